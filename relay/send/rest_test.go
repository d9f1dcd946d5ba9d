package send

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// resting serves connections on which, after the first answer, after does something; requests are
// counted, and answered with their number.
func resting(t *testing.T, scheme string, after func(net.Conn)) (url string, roots *x509.CertPool, accepted, requests *atomic.Int64, done chan struct{}) {
	t.Helper()
	cert, roots := certificate(t, "localhost", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	requests, done = new(atomic.Int64), make(chan struct{}, 100)
	addr, accepted := raw(t, func(tcp *net.TCPConn) {
		c := net.Conn(tcp)
		if scheme == "https" {
			c = tls.Server(tcp, tlsWith(cert))
		}
		r := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n%02d", requests.Add(1))
			if after != nil {
				after(c)
				done <- struct{}{}
			}
		}
	})
	_, port, _ := net.SplitHostPort(addr)
	return scheme + "://localhost:" + port + "/", roots, accepted, requests, done
}

// TestWhatComesAtRest: what comes on a connection that rests is never the answer of the next
// request, which goes to a new one; and one that was closed meanwhile is seen to be before anything
// is written to it. TLS's own messages are neither. The control leaves the connection alone.
func TestWhatComesAtRest(t *testing.T) {
	f := func(what, scheme string, after func(net.Conn), wantConns int64) {
		t.Helper()
		url, roots, accepted, requests, done := resting(t, scheme, after)
		p := client(t, Options{RootCAs: roots, Resolver: nameServer(t, func(string, int) []string { return []string{"127.0.0.1"} })})
		for n := 1; n <= 3; n++ {
			a, err := post(t, p, url, soon)
			if err != nil || string(a.Body) != fmt.Sprintf("%02d", n) || a.Repeated {
				t.Errorf("%s over %s, post %d: %+v with %q, %v", what, scheme, n, a, a.Body, err)
			}
			<-done
			arrives(t, p, what != "nothing")
		}
		if accepted.Load() != wantConns || requests.Load() != 3 {
			t.Errorf("%s over %s: %d connections, %d requests; want %d, 3", what, scheme, accepted.Load(), requests.Load(), wantConns)
		}
	}
	for _, scheme := range []string{"http", "https"} {
		f("nothing", scheme, func(net.Conn) {}, 1)
		f("an answer", scheme, func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n99") }, 3)
		f("a line end", scheme, func(c net.Conn) { _, _ = io.WriteString(c, "\r\n") }, 3)
		f("the end", scheme, func(c net.Conn) { _ = c.Close() }, 3)
	}
	f("half the end", "http", func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite() }, 3)
	f("a reset", "http", func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() }, 3)
	f("half the end", "https", func(c net.Conn) { _ = c.(*tls.Conn).CloseWrite() }, 3)
}

// held is a connection on which what is written goes out together, when it is let go.
type held struct {
	*net.TCPConn
	holds bool
	text  bytes.Buffer
}

func (h *held) Write(b []byte) (int, error) {
	if h.holds {
		return h.text.Write(b)
	}
	return h.TCPConn.Write(b)
}

func (h *held) letGo() {
	_, _ = h.TCPConn.Write(h.text.Bytes())
	h.text.Reset()
}

// TestWhatComesAtOnce: an answer that nobody asked for comes with the one that was, in a record of
// TLS of its own, while another post waits for the connection: it is not that one's answer.
func TestWhatComesAtOnce(t *testing.T) {
	cert, roots := certificate(t, "localhost", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	release := make(chan struct{})
	addr, accepted := raw(t, func(tcp *net.TCPConn) {
		h := &held{TCPConn: tcp}
		c := tls.Server(h, tlsWith(cert))
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		<-release
		h.holds = true
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n%s", req.Header.Get("Webhook-Id"))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray")
		h.letGo()
		_, _ = io.Copy(io.Discard, tcp)
	})
	_, port, _ := net.SplitHostPort(addr)
	c := New(Options{RootCAs: roots, Resolver: nameServer(t, func(string, int) []string { return []string{"127.0.0.1"} })})
	t.Cleanup(c.Close)
	p := c.Pool(PoolOptions{Conns: 1})
	var posts sync.WaitGroup
	for i, word := range []string{"one..", "two.."} {
		posts.Go(func() {
			a, err := p.Post(t.Context(), "https://localhost:"+port, Fields{{"Webhook-Id", word}}, []byte("x"), soon)
			if err != nil || string(a.Body) != word || a.Repeated {
				t.Errorf("%s: %+v with %q, %v", word, a, a.Body, err)
			}
		})
		eventually(t, "the first has the connection, and the other waits", func() bool {
			return accepted.Load() == 1 && p.waiting.Load() == int64(i)
		})
	}
	close(release)
	posts.Wait()
}

// arrives waits until what the other side has done to the connection that rests can be seen.
func arrives(t *testing.T, p *Pool, something bool) {
	t.Helper()
	if !something {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.current.idle {
		eventually(t, "something arrives", func() bool {
			var err error
			_ = c.s.wire.raw.Control(func(fd uintptr) {
				_, _, err = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			})
			// TLS may have read it beside the answer; a look takes one byte of it at most.
			return err != syscall.EAGAIN || c.Conn != net.Conn(c.s) && !c.silent()
		})
	}
}

// TestSweep: connections at rest that the other side has closed, or that nobody has used for long,
// are closed though nobody posts.
func TestSweep(t *testing.T) {
	f := func(what string, after func(net.Conn), age time.Duration, wantLeft int) {
		t.Helper()
		url, _, _, _, done := resting(t, "http", after)
		p := client(t, Options{Resolver: nameServer(t, func(string, int) []string { return []string{"127.0.0.1"} })})
		if _, err := post(t, p, url, soon); err != nil {
			t.Fatal(err)
		}
		<-done
		arrives(t, p, what == "is closed")
		p.mu.Lock()
		for _, c := range p.current.idle {
			c.rested = c.rested.Add(-age)
		}
		p.mu.Unlock()
		p.sweep()
		if n := len(p.slots); n != wantLeft {
			t.Errorf("%s for %v: %d connections, want %d", what, age, n, wantLeft)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.sweeping != (wantLeft > 0) {
			t.Errorf("%s for %v: it will be looked at again: %v", what, age, p.sweeping)
		}
	}
	f("rests", func(net.Conn) {}, 0, 1)
	f("rests", func(net.Conn) {}, maxRest-lookEvery-time.Second, 1)
	f("rests", func(net.Conn) {}, maxRest-lookEvery, 0) // it would be over 90 s by the next look
	f("is closed", func(c net.Conn) { _ = c.Close() }, 0, 0)
}

// TestLongBodies: what does not fit one write arrives as it is; and a partner that answers before it
// has read it, and reads no further, has answered. That connection is not used again.
func TestLongBodies(t *testing.T) {
	var got atomic.Pointer[[]byte]
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got.Store(&b)
	})
	p := client(t, Options{})
	for _, size := range []int{0, 1, oneWrite - 300, oneWrite, oneWrite + 1, 1 << 20} {
		body := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		a, err := p.Post(t.Context(), url, nil, body, soon)
		if err != nil || a.Code != 200 || !bytes.Equal(*got.Load(), body) || (size == 1 || size == oneWrite-300) && !a.Reused {
			t.Errorf("%d bytes: %+v, %v; %d came", size, a, err, len(*got.Load()))
		}
	}
	hold := make(chan struct{})
	defer close(hold)
	addr, accepted := raw(t, func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 1000))
		_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\n\r\ntoo much")
		<-hold
	})
	for range 2 {
		a, err := p.Post(t.Context(), "http://"+addr, nil, make([]byte, 32<<20), soon)
		if err != nil || a.Code != 413 || string(a.Body) != "too much" || a.Reused || a.Timings.Total > soon/2 {
			t.Errorf("%+v with %q, %v", a, a.Body, err)
		}
	}
	if accepted.Load() != 2 {
		t.Errorf("%d connections", accepted.Load())
	}
	eventually(t, "no connection but the first is left", func() bool { return len(p.slots) <= 1 })
}

// TestHeadersThatCannotBeSent: no header can say more than its one line, over HTTP/1.1 and HTTP/2:
// nothing is sent then, and no error holds it.
func TestHeadersThatCannotBeSent(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		var served atomic.Int64
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) }))
		s.EnableHTTP2 = http2
		s.StartTLS()
		t.Cleanup(s.Close)
		roots := x509.NewCertPool()
		roots.AddCert(s.Certificate())
		p := client(t, Options{RootCAs: roots})
		f := func(h http.Header, want string) {
			t.Helper()
			before := served.Load()
			_, err := p.Post(t.Context(), s.URL, fieldsOf(h), []byte("x"), soon)
			if Classify(err) != want || (served.Load() > before) != (want == "") || err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("http2 %v, %q: %v, served %v", http2, h, err, served.Load() > before)
			}
		}
		f(http.Header{"X-A": {" tab\tand é "}}, "")
		for _, value := range []string{"canary\r\nX-B: c", "canary\nX-B: c", "canary\r", "canary\x00", "canary\x7f"} {
			f(http.Header{"X-A": {value}}, Other)
			f(http.Header{"X-A": {"fine", value}}, Other)
		}
		for _, name := range []string{"", "canary:", "canary x", "canary\r\nX-B", "canaryé", "canary\x00"} {
			f(http.Header{name: {"x"}}, Other)
		}
		f(http.Header{"content-length": {"0"}, "Transfer-Encoding": {"chunked"}, "Connection": {"close"}, "HOST": {"canary"}, "Expect": {"100-continue"}}, "") // are not sent
		if a, err := p.Post(t.Context(), s.URL, nil, []byte("x"), soon); err != nil || !a.Reused {
			t.Errorf("http2 %v: afterwards: %+v, %v", http2, a, err)
		}
	}
}

// TestProtocolChanges: an endpoint that chooses HTTP/2 and then HTTP/1.1, or the other way round, is
// spoken to in what it chose, without a post that fails.
func TestProtocolChanges(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, r.Proto)
	}))
	var http2 atomic.Bool
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := s.TLS.Clone()
		if c.GetConfigForClient = nil; !http2.Load() {
			c.NextProtos = []string{"http/1.1"}
		}
		return c, nil
	}}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c := new(clock)
	p := client(t, Options{RootCAs: roots, Now: c.now})
	for i, now := range []bool{false, true, false, false, true, true, false} {
		http2.Store(now)
		want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[now]
		for range 3 {
			if a, err := post(t, p, s.URL, soon); err != nil || string(a.Body) != want {
				t.Errorf("%d: %s, %v; want %s", i, a.Body, err, want)
			}
		}
		p.mu.Lock()
		if p.http2["https://"+s.Listener.Addr().String()] != now {
			t.Errorf("%d: it is taken to speak HTTP/2: %v", i, !now)
		}
		p.mu.Unlock()
		var posts sync.WaitGroup
		for range 8 {
			posts.Go(func() {
				if a, err := post(t, p, s.URL, soon); err != nil || string(a.Body) != want {
					t.Errorf("%d, side by side: %s, %v; want %s", i, a.Body, err, want)
				}
			})
		}
		posts.Wait()
		c.forward(5 * time.Minute) // so that connections are new
	}
}

// TestHTTP2IsFoundOut with the connection that it is then spoken on, and once for a pool.
func TestHTTP2IsFoundOut(t *testing.T) {
	var opened atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }))
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			opened.Add(1)
		}
	}
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	p := client(t, Options{RootCAs: roots})
	for i, path := range []string{"/a", "/a", "/b"} {
		a, err := post(t, p, s.URL+path, soon)
		if err != nil || string(a.Body) != "HTTP/2.0" || a.Reused != (i > 0) || opened.Load() != 1 || len(p.slots) != 1 {
			t.Errorf("post %d: %+v with %q, %v; %d connections", i, a, a.Body, err, opened.Load())
		}
	}
}

// TestURLChanges: connections that rest for other URLs give way where there is room for no more.
func TestURLChanges(t *testing.T) {
	var urls []string
	for range 3 {
		url, _, _, _, _ := resting(t, "http", nil)
		urls = append(urls, strings.Replace(url, "localhost", "127.0.0.1", 1))
	}
	c := New(Options{})
	t.Cleanup(c.Close)
	p := c.Pool(PoolOptions{Conns: 2})
	for i := range 12 {
		a, err := post(t, p, urls[i%len(urls)], soon)
		if err != nil || a.Code != 200 || len(p.slots) > 2 {
			t.Errorf("post %d: %+v, %v; %d connections", i, a, err, len(p.slots))
		}
	}
}
