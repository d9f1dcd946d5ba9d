package send

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// act is what a partner does with a request, and what Post may say of it.
type act struct {
	name   string
	answer string // of which %s is the request's own word; what a partner writes, all at once
	slowly bool   // byte by byte
	ends   bool   // and then it closes the connection
	stalls bool   // and then it does nothing until the other side goes away

	reason string // of Post's error; "": there is an answer
	cut    string
	lonely bool // it says nothing at all, so the request may be written once more
}

const whole = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n%s"

var acts = []act{
	{name: "answers", answer: whole},
	{name: "answers", answer: whole}, // most of the time
	{name: "answers", answer: whole},
	{name: "answers in chunks", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n%s\r\n0\r\nX: y\r\n\r\n"},
	{name: "dribbles", answer: whole, slowly: true},
	{name: "dribbles in chunks", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n%s\r\n0\r\n\r\n", slowly: true},
	{name: "says that it begins", answer: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" + whole},
	{name: "answers until the end", answer: "HTTP/1.1 200 OK\r\n\r\n%s", ends: true},
	{name: "says that it closes", answer: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\n%s", ends: true},
	{name: "says that it closes, and does not", answer: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\n%s", stalls: true},
	{name: "speaks HTTP/1.0", answer: "HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\n%s", stalls: true},
	{name: "closes without a word of it", answer: whole, ends: true},
	{name: "answers twice", answer: whole + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstray!"},
	{name: "answers more than it says", answer: "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n%sstray!"},
	{name: "closes", ends: true, reason: Reset, lonely: true},
	{name: "closes in the header", answer: "HTTP/1.1 200 OK\r\nContent-", ends: true, reason: Reset},
	{name: "closes in the body", answer: "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n%s", ends: true, cut: Reset},
	{name: "closes in a chunk", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n%s", ends: true, cut: Reset},
	{name: "stalls", stalls: true, reason: Timeout},
	{name: "stalls in the header", answer: "HTTP/1.1 200 OK\r\n", stalls: true, reason: Timeout},
	{name: "stalls in the body", answer: "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n%s", stalls: true, cut: Timeout},
	{name: "speaks no HTTP", answer: "220 mail.example ESMTP\r\n", stalls: true, reason: Protocol},
	{name: "says two lengths", answer: "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Length: 7\r\n\r\n%s", stalls: true, reason: Protocol},
	{name: "says a chunk that is none", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n%s\r\nx\r\n", stalls: true, cut: Protocol},
}

// capricious does with each request what the request asks for, and keeps what came.
type capricious struct {
	mu   sync.Mutex // guards the fields below
	came map[string][]arrival
}

// arrival is a request that has come, byte for byte, and whether it was the first of its connection.
type arrival struct {
	text  string
	first bool
}

func (p *capricious) serve(t *testing.T, c net.Conn) {
	t.Helper()
	defer c.Close()
	var text bytes.Buffer
	r := bufio.NewReader(io.TeeReader(c, &text))
	for first := true; ; first = false {
		text.Reset()
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		word := req.Header.Get("Webhook-Id")
		p.mu.Lock()
		p.came[word] = append(p.came[word], arrival{text.String(), first})
		p.mu.Unlock()
		var n int
		_, _ = fmt.Sscan(req.Header.Get("X-Act"), &n)
		do := acts[n]
		answer := strings.ReplaceAll(do.answer, "%s", word)
		piece := max(len(answer), 1)
		if do.slowly {
			piece = 1
		}
		for at := 0; at < len(answer); at += piece {
			if _, err := io.WriteString(c, answer[at:min(at+piece, len(answer))]); err != nil {
				return
			}
		}
		if do.stalls {
			_, _ = io.Copy(io.Discard, r)
		}
		if do.ends || do.stalls {
			return
		}
	}
}

// TestHistories: whatever partners do to a connection, each post is said to have had the answer to
// its own request and no other, or why it had none; what was written is written once more only where
// Post promises that, byte for byte, and never a third time. Over plain HTTP and over TLS.
func TestHistories(t *testing.T) {
	cert, roots := certificate(t, "hooks.example", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	for seed := range uint64(3) {
		for _, scheme := range []string{"http", "https"} {
			t.Run(fmt.Sprintf("%s %d", scheme, seed), func(t *testing.T) {
				t.Parallel()
				history(t, seed, scheme, cert, roots)
			})
		}
	}
}

func history(t *testing.T, seed uint64, scheme string, cert tls.Certificate, roots *x509.CertPool) {
	t.Helper()
	partner := &capricious{came: map[string][]arrival{}}
	addr, _ := raw(t, func(c *net.TCPConn) {
		if scheme == "https" {
			partner.serve(t, tls.Server(c, tlsWith(cert)))
			return
		}
		partner.serve(t, c)
	})
	c := New(Options{RootCAs: roots, Resolver: nameServer(t, func(string, int) []string { return []string{"127.0.0.1"} })})
	p := c.Pool(PoolOptions{Name: "hooks", Conns: 3})
	_, port, _ := net.SplitHostPort(addr)
	url := scheme + "://hooks.example:" + port + "/"
	var posts sync.WaitGroup
	for who := range 4 { // one more than there are connections
		posts.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(who)))
			for i := range 60 {
				partner.judge(t, p, url, rng.IntN(len(acts)), fmt.Sprintf("%03d-%02d", who, i))
			}
		})
	}
	posts.Wait()
	c.Close()
	eventually(t, "every slot is free", func() bool { return len(p.slots) == 0 })
}

// judge posts once and holds what Post says against what may be said.
func (p *capricious) judge(t *testing.T, pool *Pool, url string, n int, word string) {
	t.Helper()
	do, timeout := acts[n], time.Minute
	if do.reason == Timeout || do.cut == Timeout {
		timeout = 150 * time.Millisecond
	}
	a, err := pool.Post(t.Context(), url, Fields{{"Webhook-Id", word}, {"X-Act", strconv.Itoa(n)}}, []byte("body of "+word), timeout)
	p.mu.Lock()
	came := p.came[word]
	p.mu.Unlock()
	tell := func(what string) {
		t.Helper()
		t.Errorf("%s: a partner that %s: %s: %+v with %q, %v; it came %d times", word, do.name, what, a, a.Body, err, len(came))
	}
	if timeout < time.Minute && Classify(err) == Timeout {
		return // on a busy machine the time may be over anywhere
	}
	switch {
	case Classify(err) != do.reason:
		tell("another reason")
	case err == nil && (a.Code != 200 || string(a.Body) != word || a.Cut != do.cut):
		tell("it is not what was answered")
	case a.Repeated && (a.Reused || len(came) == 0 || !came[len(came)-1].first):
		tell("it was not written once more to a new connection")
	case a.Repeated && len(came) > 1 && (!do.lonely || len(came) > 2 || came[0].first || came[0].text != came[1].text):
		tell("it was not to be written once more")
	case !a.Repeated && len(came) != 1:
		tell("it was to be written once")
	case do.lonely && !a.Repeated && !came[0].first:
		tell("it was to be written once more")
	}
}

// TestStoppedPosts: a context that ends cuts what is under way in it at once, whether it waits for a
// connection, for its answer, or for the rest of it; posts of another context on the same pool go
// on, and so do connections.
func TestStoppedPosts(t *testing.T) {
	hang := make(chan struct{})
	var began sync.WaitGroup
	began.Add(3)
	addr, _ := raw(t, func(c *net.TCPConn) {
		r := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			switch req.URL.Path {
			case "/half":
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")
				began.Done()
				_, _ = io.Copy(io.Discard, r)
			case "/hangs":
				began.Done()
				<-hang
			case "/cut":
				began.Done()
				_, _ = io.Copy(io.Discard, r)
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	c := New(Options{})
	t.Cleanup(c.Close)
	p := c.Pool(PoolOptions{Conns: 3})
	ctx, cut := context.WithCancel(t.Context())
	other, over := context.WithCancel(t.Context())
	defer over()
	var posts sync.WaitGroup
	do := func(ctx context.Context, path, reason, cut string) {
		posts.Go(func() {
			a, err := p.Post(ctx, "http://"+addr+path, nil, []byte("x"), time.Minute)
			if err != nil && cut != "" { // the half had not been read yet
				reason, cut = cut, ""
			}
			if Classify(err) != reason || a.Cut != cut || a.Timings.Total > 30*time.Second {
				t.Errorf("%s: %+v, %v; want %q, %q", path, a, err, reason, cut)
			}
		})
	}
	do(other, "/hangs", "", "")
	do(ctx, "/half", "", Canceled)
	do(ctx, "/cut", Canceled, "")
	began.Wait()
	do(ctx, "/waits", Canceled, "")
	eventually(t, "one waits", func() bool { return p.waiting.Load() == 1 })
	cut()
	eventually(t, "what was cut is gone", func() bool { return len(p.slots) == 1 })
	close(hang)
	posts.Wait()
	if a, err := p.Post(other, "http://"+addr+"/", nil, []byte("x"), soon); err != nil || !a.Reused {
		t.Errorf("the connection of the other context: %+v, %v", a, err)
	}
	if _, err := p.Post(ctx, "http://"+addr+"/", nil, []byte("x"), soon); Classify(err) != Canceled {
		t.Errorf("in a context that is over: %v", err)
	}
}
