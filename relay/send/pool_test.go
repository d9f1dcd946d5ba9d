package send

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// clock stands until it is moved.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time {
	return time.Unix(1_800_000_000, 0).Add(time.Duration(c.offset.Load()))
}
func (c *clock) forward(d time.Duration) { c.offset.Add(int64(d)) }

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

// TestEndpointsShareNoConnection: two endpoints are at one host and port, and one hangs. The
// other's posts pass all the same, over HTTP/1 and over HTTP/2 (I6). The control gives both one
// pool, and there nothing passes.
func TestEndpointsShareNoConnection(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		released := make(chan struct{})
		var hanging atomic.Int64
		spoken := sync.Map{}
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			spoken.Store(r.Proto, true)
			if _, _ = io.Copy(io.Discard, r.Body); r.URL.Path == "/hangs" {
				hanging.Add(1)
				<-released
			}
		}))
		s.EnableHTTP2 = proto == "HTTP/2.0"
		s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 1}
		s.StartTLS()
		roots := x509.NewCertPool()
		roots.AddCert(s.Certificate())
		c := New(Options{RootCAs: roots})
		t.Cleanup(c.Close)
		const conns = 4
		sick, well := c.Pool(PoolOptions{Name: "sick", Conns: conns}), c.Pool(PoolOptions{Name: "well", Conns: conns})
		var stuck sync.WaitGroup
		ctx, cut := context.WithCancel(t.Context())
		for range 3 * conns {
			stuck.Go(func() { _, _ = sick.Post(ctx, s.URL+"/hangs", nil, []byte("x"), time.Minute) })
		}
		eventually(t, "all connections of the sick one hang", func() bool { return hanging.Load() >= conns })
		slowest := time.Duration(0)
		for range 20 {
			a, err := post(t, well, s.URL+"/passes", soon)
			if err != nil || a.Code != http.StatusOK {
				t.Errorf("%s: the healthy endpoint: %+v, %v", proto, a, err)
			}
			slowest = max(slowest, a.Timings.Total)
		}
		t.Logf("%s: 20 posts beside %d that hang, at one host and port: the slowest took %v", proto, hanging.Load(), slowest)
		if n := hanging.Load(); n != conns { // and its bound holds
			t.Errorf("%s: %d requests hang, of an endpoint that may have %d connections with one each", proto, n, conns)
		}
		if _, err := post(t, sick, s.URL+"/passes", 200*time.Millisecond); Classify(err) != Timeout {
			t.Errorf("%s: through the hanging one's connections a post passed (%v): the test shows nothing", proto, err)
		}
		if _, ok := spoken.Load(proto); !ok {
			t.Errorf("%s was never spoken", proto)
		}
		close(released)
		cut()
		stuck.Wait()
		s.Close()
	}
}

// house is one name with two addresses, of which DNS tells one at a time.
type house struct {
	url   string
	at    atomic.Pointer[string]
	open  [2]atomic.Int64 // connections, by address
	hang  chan struct{}   // requests to /hangs end when it is closed
	began chan struct{}
	roots *x509.CertPool
}

func newHouse(t *testing.T, http2 bool) *house {
	t.Helper()
	h := &house{hang: make(chan struct{}), began: make(chan struct{}, 1), roots: x509.NewCertPool()}
	now := time.Now()
	cert, roots := certificate(t, "hooks.example", now.Add(-time.Hour), now.Add(time.Hour))
	h.roots = roots
	first, second, port := samePort(t)
	for i, l := range []net.Listener{first, second} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if r.URL.Path == "/hangs" {
				h.began <- struct{}{}
				<-h.hang
			}
			fmt.Fprintf(w, "%s %s", r.Proto, l.Addr().(*net.TCPAddr).IP)
		}))
		s.Listener.Close()
		s.Listener = l
		s.EnableHTTP2 = http2
		s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
			switch st {
			case http.StateNew:
				h.open[i].Add(1)
			case http.StateClosed, http.StateHijacked:
				h.open[i].Add(-1)
			default:
			}
		}
		s.TLS = tlsWith(cert)
		s.StartTLS()
		t.Cleanup(s.Close)
	}
	h.url = "https://hooks.example:" + port
	return h
}

func (h *house) moves(to string) { h.at.Store(&to) }

// TestConnectionsGrowOld: a connection is used for five minutes of the client's clock; then DNS is
// asked again. What is under way is not cut, and its connection is closed after it. Without the age
// (the control) the old address is used for as long as there is something to send.
func TestConnectionsGrowOld(t *testing.T) {
	f := func(http2 bool, maxAge time.Duration, want string) {
		t.Helper()
		h, c := newHouse(t, http2), new(clock)
		h.moves("127.0.0.2")
		resolver := nameServer(t, func(string, int) []string { return []string{*h.at.Load()} })
		p := client(t, Options{RootCAs: h.roots, Resolver: resolver, Now: c.now, MaxAge: maxAge})
		where := func(path string) string {
			a, err := post(t, p, h.url+path, time.Minute)
			if err != nil || a.Code != http.StatusOK {
				t.Errorf("http2 %v: %+v, %v", http2, a, err)
			}
			proto, ip, _ := strings.Cut(string(a.Body), " ")
			if (proto == "HTTP/2.0") != http2 {
				t.Errorf("spoke %s", proto)
			}
			return ip
		}
		if got := where("/1"); got != "127.0.0.2" {
			t.Errorf("first: %s", got)
		}
		h.moves("127.0.0.1")
		c.forward(5*time.Minute - time.Second)
		if got := where("/2"); got != "127.0.0.2" {
			t.Errorf("http2 %v: after 4m59s: %s, and the connection was still good", http2, got)
		}
		long := make(chan string, 1)
		if want == "127.0.0.1" {
			go func() { long <- where("/hangs") }()
			<-h.began
		}
		c.forward(time.Second)
		if got := where("/3"); got != want {
			t.Errorf("http2 %v, at most %v: after 5m: %s, want %s", http2, maxAge, got, want)
		}
		if want != "127.0.0.1" {
			return
		}
		close(h.hang)
		if got := <-long; got != "127.0.0.2" {
			t.Errorf("http2 %v: what was under way was answered by %s", http2, got)
		}
		eventually(t, "the old connections are closed", func() bool { return h.open[0].Load() == 0 })
		eventually(t, "their slots are free", func() bool { return len(p.slots) == 1 })
	}
	for _, http2 := range []bool{false, true} {
		f(http2, 0, "127.0.0.1")
		f(http2, 1000*time.Hour, "127.0.0.2") // the control
	}
}

// keepalive answers the first request of every connection, and does last with each further one. It
// counts requests read whole.
func keepalive(t *testing.T, last func(c *net.TCPConn)) (url string, accepted *atomic.Int64, requests *[]string) {
	t.Helper()
	var mu sync.Mutex
	requests = new([]string)
	addr, accepted := raw(t, func(c *net.TCPConn) {
		r := bufio.NewReader(c)
		for n := 0; ; n++ {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			b, _ := io.ReadAll(req.Body)
			mu.Lock()
			*requests = append(*requests, req.Header.Get("Webhook-Id")+" "+req.Header.Get("Webhook-Signature")+" "+string(b))
			mu.Unlock()
			if n > 0 {
				last(c)
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	return "http://" + addr + "/", accepted, requests
}

// TestResetOfARestingConnection: a request that meets its end on a connection used before is
// written once more, the same byte for byte, to a connection opened since. Once, and only if no
// byte of an answer came.
func TestResetOfARestingConnection(t *testing.T) {
	reset := func(c *net.TCPConn) { _ = c.SetLinger(0) }
	f := func(what string, last func(c *net.TCPConn), wantReason string, wantConns int64, wantRequests int) {
		t.Helper()
		url, accepted, requests := keepalive(t, last)
		p := client(t, Options{})
		h := func() http.Header { return http.Header{"Webhook-Id": {"evt_1"}, "Webhook-Signature": {"v1,x"}} }
		if _, err := p.Post(t.Context(), url, fieldsOf(h()), []byte("first"), soon); err != nil {
			t.Fatal(err)
		}
		a, err := p.Post(t.Context(), url, fieldsOf(h()), []byte("second"), soon)
		if Classify(err) != wantReason || accepted.Load() != wantConns || len(*requests) != wantRequests || a.Repeated != (wantRequests == 3) {
			t.Errorf("%s: %v on %d connections, %d requests, repeated %v; want %q, %d, %d", what, err, accepted.Load(), len(*requests), a.Repeated, wantReason, wantConns, wantRequests)
		}
		if n := len(*requests); n == 3 && (*requests)[1] != (*requests)[2] {
			t.Errorf("%s: %q and then %q", what, (*requests)[1], (*requests)[2])
		}
	}
	f("reset", reset, "", 2, 3)
	f("closed", func(*net.TCPConn) {}, "", 2, 3)
	f("half an answer, then reset", func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 O")
		<-time.After(20 * time.Millisecond) // else the reset may overtake the bytes
		reset(c)
	}, Reset, 1, 2)
	f("an answer that is none", func(c *net.TCPConn) { _, _ = io.WriteString(c, "HTTP/1.1 2x0 OK\r\n\r\n") }, Protocol, 1, 2)
}

// TestResetIsRepeatedOnce: a server that resets every request gets two of a post on a connection
// used before, and one of a post on a new one.
func TestResetIsRepeatedOnce(t *testing.T) {
	var answers, requests atomic.Int64
	answers.Store(1)
	addr, _ := raw(t, func(c *net.TCPConn) {
		r := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			requests.Add(1)
			if answers.Add(-1) < 0 {
				_ = c.SetLinger(0)
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	p := client(t, Options{})
	f := func(want string, wantRequests int64, wantRepeated bool) {
		t.Helper()
		a, err := post(t, p, "http://"+addr+"/", soon)
		if n := requests.Swap(0); Classify(err) != want || n != wantRequests || a.Repeated != wantRepeated {
			t.Errorf("%v after %d requests, repeated %v; want %q, %d, %v", err, n, a.Repeated, want, wantRequests, wantRepeated)
		}
	}
	f("", 1, false)
	f(Reset, 2, true)
	f(Reset, 1, false) // and a new connection that is reset is an attempt that failed
}

// TestStoppedPostIsNotRepeated: whoever gives up does not ask again.
func TestStoppedPostIsNotRepeated(t *testing.T) {
	began, hang := make(chan struct{}), make(chan struct{})
	defer close(hang)
	url, accepted, requests := keepalive(t, func(*net.TCPConn) {
		close(began)
		<-hang
	})
	p := client(t, Options{})
	if _, err := post(t, p, url, soon); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-began
		cancel()
	}()
	a, err := p.Post(ctx, url, nil, []byte("x"), soon)
	if !errors.Is(err, context.Canceled) || a.Repeated || accepted.Load() != 1 || len(*requests) != 2 {
		t.Errorf("%v, repeated %v, %d connections, %d requests", err, a.Repeated, accepted.Load(), len(*requests))
	}
}

// TestHTTP2ConnectionLost: a connection of HTTP/2 that ends under a request is replaced, and the
// request written once more; a stream that is reset alone is not.
func TestHTTP2ConnectionLost(t *testing.T) {
	var requests atomic.Int64
	var conns sync.Map
	s := httptest.NewUnstartedServer(nil)
	s.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch n := requests.Add(1); {
		case r.URL.Path == "/stream":
			panic(http.ErrAbortHandler)
		case r.URL.Path == "/lost" && n == 2:
			var open []net.Conn // first, for the next one may come while these are closed
			conns.Range(func(c, _ any) bool { open = append(open, c.(net.Conn)); return true })
			for _, c := range open {
				c.Close()
			}
		}
	})
	s.Config.ConnState = func(c net.Conn, st http.ConnState) {
		if st == http.StateNew {
			conns.Store(c, true)
		}
	}
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	f := func(path, want string, wantRequests int64, wantRepeated bool) {
		t.Helper()
		p := client(t, Options{RootCAs: roots})
		requests.Store(0)
		if _, err := post(t, p, s.URL+"/fine", soon); err != nil {
			t.Fatal(err)
		}
		a, err := post(t, p, s.URL+path, soon)
		if n := requests.Load(); Classify(err) != want || n != wantRequests || a.Repeated != wantRepeated {
			t.Errorf("%s: %v after %d requests, repeated %v; want %q, %d, %v", path, err, n, a.Repeated, want, wantRequests, wantRepeated)
		}
	}
	f("/lost", "", 3, true)
	f("/stream", Reset, 2, false)
}

// TestSlotsComeBack: whatever becomes of connections, their slots are free again.
func TestSlotsComeBack(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) // by an authority we do not know
	defer s.Close()
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	addr, _ := raw(t, func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 1)) })
	p := New(Options{}).Pool(PoolOptions{Conns: 2})
	for range 5 {
		for url, want := range map[string]string{s.URL: TLS, "http://127.0.0.1:1": Connect, "http://10.0.0.1": RefusedAddress, "http://" + addr: Reset} {
			if _, err := post(t, p, url, soon); Classify(err) != want {
				t.Errorf("%s: %v, want %s", url, err, want)
			}
		}
	}
	eventually(t, "every slot is free", func() bool { return len(p.slots) == 0 })
}
