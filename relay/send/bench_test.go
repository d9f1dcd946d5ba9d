package send

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// BenchmarkPost is what one POST of 1 KiB costs whose connection is there already, the partner in
// this process included: over plain HTTP, over TLS with HTTP/1.1 and with HTTP/2; one after
// another, and 64 side by side. cpu-ns/op is the time of all cores, which a busy machine stretches
// less than ns/op.
func BenchmarkPost(b *testing.B) {
	for _, kind := range []string{"plain", "tls", "h2"} {
		b.Run(kind, func(b *testing.B) {
			url, roots := partner(b, kind)
			c := New(Options{RootCAs: roots})
			b.Cleanup(c.Close)
			body := make([]byte, 1<<10)
			one := func(b *testing.B, p *Pool) {
				b.Helper()
				a, err := p.Post(b.Context(), url, fieldsOf(benchHeaders()), body, 15*time.Second)
				if err != nil || a.Code != http.StatusOK || string(a.Body) != "ok" {
					b.Errorf("%+v, %v", a, err)
				}
			}
			b.Run("serial", func(b *testing.B) {
				p := c.Pool(PoolOptions{Name: "hooks"})
				one(b, p)
				defer cpu(b)()
				b.ReportAllocs()
				for b.Loop() {
					one(b, p)
				}
			})
			b.Run("parallel", func(b *testing.B) {
				p := c.Pool(PoolOptions{Name: "hooks"})
				one(b, p)
				b.SetParallelism(32)
				defer cpu(b)()
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						one(b, p)
					}
				})
			})
		})
	}
}

// BenchmarkSilent is what the look at a connection that rests costs, before each request.
func BenchmarkSilent(b *testing.B) {
	for _, kind := range []string{"plain", "tls"} {
		b.Run(kind, func(b *testing.B) {
			url, roots := partner(b, kind)
			c := New(Options{RootCAs: roots})
			b.Cleanup(c.Close)
			p := c.Pool(PoolOptions{Name: "hooks"})
			if _, err := p.Post(b.Context(), url, nil, []byte("x"), 15*time.Second); err != nil {
				b.Fatal(err)
			}
			rests := p.current.idle[0]
			b.ReportAllocs()
			for b.Loop() {
				if !rests.silent() {
					b.Fatal("something came")
				}
			}
		})
	}
}

func benchHeaders() http.Header {
	return http.Header{
		"Content-Type": {"application/json"}, "Webhook-Id": {"evt_0123456789abcdef"}, "Webhook-Timestamp": {"1800000000"},
		"Webhook-Signature": {"v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="},
	}
}

// partner answers every POST; fasthttp, where it can, for it costs the least beside what is
// measured.
func partner(b *testing.B, kind string) (url string, roots *x509.CertPool) {
	b.Helper()
	if kind == "h2" {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, "ok")
		}))
		s.EnableHTTP2 = true
		s.StartTLS()
		b.Cleanup(s.Close)
		roots = x509.NewCertPool()
		roots.AddCert(s.Certificate())
		return s.URL, roots
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	url = "http://" + l.Addr().String()
	if kind == "tls" {
		s := httptest.NewTLSServer(nil) // for its certificate
		s.Close()
		roots = x509.NewCertPool()
		roots.AddCert(s.Certificate())
		l = tls.NewListener(l, &tls.Config{Certificates: s.TLS.Certificates})
		url = "https://" + url[len("http://"):]
	}
	s := &fasthttp.Server{Handler: func(c *fasthttp.RequestCtx) { c.SetBodyString("ok") }}
	go func() { _ = s.Serve(l) }()
	b.Cleanup(func() { _ = s.Shutdown() })
	return url, roots
}

// cpu reports, at its end, what all cores have spent.
func cpu(b *testing.B) func() {
	b.Helper()
	spent := func() int64 {
		var u syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return u.Utime.Nano() + u.Stime.Nano()
	}
	before := spent()
	return func() { b.ReportMetric(float64(spent()-before)/float64(b.N), "cpu-ns/op") }
}
