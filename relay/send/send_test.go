package send

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const soon = 10 * time.Second // a deadline no passing test comes near

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL + "/kyc?token=canary-query"
}

// raw serves every connection with fn, which sees what net/http would never let a handler do.
func raw(t *testing.T, fn func(*net.TCPConn)) (addr string, accepted *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	accepted = new(atomic.Int64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			go func() {
				defer c.Close()
				fn(c.(*net.TCPConn))
			}()
		}
	}()
	return l.Addr().String(), accepted
}

// client is the pool of one endpoint.
func client(t *testing.T, o Options) *Pool {
	t.Helper()
	c := New(o)
	t.Cleanup(c.Close)
	return c.Pool(PoolOptions{Name: "hooks"})
}

func post(t *testing.T, c *Pool, url string, timeout time.Duration) (Answer, error) {
	t.Helper()
	return c.Post(t.Context(), url, Fields{{"Content-Type", "application/json"}}, []byte(`{"a":1}`), timeout)
}

func TestPostSendsExactlyWhatItWasGiven(t *testing.T) {
	var got *http.Request
	var body []byte
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusNoContent)
	})
	c := client(t, Options{UserAgent: "countersign/1.2"})
	h := http.Header{"Webhook-Id": {"evt_1"}, "Idempotency-Key": {"x"}, "X-Idempotency-Key": {"x"}}
	a, err := c.Post(t.Context(), url, fieldsOf(h), []byte(`{"a":1}`), soon)
	if err != nil || a.Code != http.StatusNoContent {
		t.Fatalf("Post = %+v, %v", a, err)
	}
	if string(body) != `{"a":1}` || got.ContentLength != 7 || got.Method != http.MethodPost || got.URL.RawQuery != "token=canary-query" {
		t.Errorf("sent %s %s %q", got.Method, got.URL, body)
	}
	want := http.Header{"Webhook-Id": {"evt_1"}, "User-Agent": {"countersign/1.2"}, "Content-Length": {"7"}}
	if len(got.Header) != len(want) {
		t.Errorf("headers %v, want %v", got.Header, want)
	}
	for k := range want {
		if got.Header.Get(k) != want.Get(k) {
			t.Errorf("%s: %q, want %q", k, got.Header.Get(k), want.Get(k))
		}
	}
}

func TestEveryCodeIsAnAnswer(t *testing.T) {
	var other atomic.Int64
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { other.Add(1) })
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.URL.Path[1:])
		w.Header().Set("Location", elsewhere)
		w.WriteHeader(code)
	})
	c := client(t, Options{})
	for code := 200; code <= 999; code++ {
		a, err := post(t, c, strings.Replace(url, "/kyc", "/"+strconv.Itoa(code), 1), soon)
		if err != nil || a.Code != code {
			t.Fatalf("%d: got %d, %v", code, a.Code, err)
		}
	}
	if other.Load() != 0 {
		t.Errorf("a redirect was followed %d times", other.Load())
	}
}

func TestDeadline(t *testing.T) {
	done := make(chan struct{})
	defer close(done)
	f := func(name string, h http.HandlerFunc, wantCode int, wantErr, wantCut string) {
		t.Helper()
		start := time.Now()
		a, err := post(t, client(t, Options{}), serve(t, h), 100*time.Millisecond)
		if took := time.Since(start); took < 90*time.Millisecond || took > 2*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
		if got := Classify(err); got != wantErr || a.Code != wantCode || a.Cut != wantCut {
			t.Errorf("%s: error %q, code %d, cut %q; want %q, %d, %q", name, got, a.Code, a.Cut, wantErr, wantCode, wantCut)
		}
		if wantErr != "" && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v is not context.DeadlineExceeded", name, err)
		}
		if a.Timings.Total < 90*time.Millisecond {
			t.Errorf("%s: total %v", name, a.Timings.Total)
		}
	}
	hang := func(r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-done:
		}
	}
	f("says nothing", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); hang(r) }, 0, Timeout, "")
	f("yes, then a body that hangs", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		hang(r)
	}, http.StatusOK, "", Timeout)
	f("a byte every 10 ms", func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-r.Context().Done():
				return
			case <-done:
				return
			case <-tick.C:
				_, _ = w.Write([]byte("x"))
				w.(http.Flusher).Flush()
			}
		}
	}, http.StatusOK, "", Timeout)
}

func TestCanceledByTheCaller(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
	})
	_, err := client(t, Options{}).Post(ctx, url, nil, []byte("x"), soon)
	if Classify(err) != Canceled || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestBodies(t *testing.T) {
	endless := strings.Repeat("0123456789abcdef", 64)
	f := func(name string, h http.HandlerFunc, wantLen int, wantCut string) {
		t.Helper()
		a, err := post(t, client(t, Options{}), serve(t, h), soon)
		if err != nil || a.Code != http.StatusOK || len(a.Body) != wantLen || a.Cut != wantCut {
			t.Errorf("%s: %d bytes, code %d, cut %q, %v; want %d bytes, cut %q", name, len(a.Body), a.Code, a.Cut, err, wantLen, wantCut)
		}
	}
	f("none", func(http.ResponseWriter, *http.Request) {}, 0, "")
	f("small", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "thanks") }, 6, "")
	f("one over", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 16<<10+1)) }, 16<<10, "")
	f("endless", func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := io.WriteString(w, endless); err != nil {
				return
			}
		}
	}, 16<<10, "")
	f("shorter than it says", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "short")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}, 5, Reset)
}

func TestGzipIsNotUnpacked(t *testing.T) {
	var packed bytes.Buffer
	zw := gzip.NewWriter(&packed)
	_, _ = zw.Write(make([]byte, 10<<20))
	_ = zw.Close()
	var asked []string
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header.Values("Accept-Encoding")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	})
	a, err := post(t, client(t, Options{}), url, soon)
	if err != nil || string(a.Body) != packed.String()[:min(packed.Len(), 16<<10)] || len(asked) != 0 {
		t.Errorf("%d of %d bytes, asked for %v, %v", len(a.Body), packed.Len(), asked, err)
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	var fresh atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		_, _ = w.Write(make([]byte, n))
	}))
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			fresh.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	f := func(bytes int, wantFresh int64) {
		t.Helper()
		c := client(t, Options{})
		fresh.Store(0)
		for i := range 3 {
			a, err := post(t, c, s.URL+"/?n="+strconv.Itoa(bytes), soon)
			if err != nil {
				t.Fatal(err)
			}
			if a.Timings.FirstByte <= 0 || a.Timings.Total < a.Timings.FirstByte {
				t.Errorf("timings %+v", a.Timings)
			}
			if reused := wantFresh == 1 && i > 0; (a.Timings.Connect == 0) != reused {
				t.Errorf("%d bytes, post %d: connect %v", bytes, i, a.Timings.Connect)
			}
		}
		if fresh.Load() != wantFresh {
			t.Errorf("%d bytes: %d connections, want %d", bytes, fresh.Load(), wantFresh)
		}
	}
	f(0, 1)
	f(70<<10, 1) // read to its end, though not kept
	f(1<<20, 3)  // dropped, and the connection with it
}

func TestHTTP2(t *testing.T) {
	proto := make(chan string, 2)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { proto <- r.Proto }))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c := client(t, Options{LiveMode: true, RootCAs: roots, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	a, err := post(t, c, s.URL, soon)
	if err != nil || a.Code != http.StatusOK || a.Timings.TLS <= 0 {
		t.Fatalf("Post = %+v, %v", a, err)
	}
	if p := <-proto; p != "HTTP/2.0" {
		t.Errorf("spoke %s", p)
	}
}
