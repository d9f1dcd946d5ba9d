package send

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// lag is how long the other side lets one phase of an attempt wait. A busy machine adds to others,
// but hardly as much; what is measured by the side that waits is never less.
const lag = 400 * time.Millisecond

// slow is a server that says how long each of its phases took by its own clock, and where it is.
type slow struct {
	url   string
	at    netip.AddrPort
	roots *x509.CertPool
	where atomic.Pointer[string] // the phase that lags
}

func newSlow(t *testing.T, secure, http2 bool) *slow {
	t.Helper()
	s := &slow{roots: x509.NewCertPool()}
	s.lags("")
	now := time.Now()
	cert, roots := certificate(t, "hooks.example", now.Add(-time.Hour), now.Add(time.Hour))
	s.roots = roots
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		s.lag("first byte")
		_, _ = io.WriteString(w, "so ")
		_ = http.NewResponseController(w).Flush()
		s.lag("rest")
		_, _ = io.WriteString(w, "be it")
	}))
	scheme := "http"
	if secure {
		scheme = "https"
		server.EnableHTTP2 = http2
		server.TLS = tlsWith(cert)
		server.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			s.lag("tls")
			return nil, nil
		}
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	s.at = netip.MustParseAddrPort(server.Listener.Addr().String())
	_, port, _ := strings.Cut(s.at.String(), ":")
	s.url = scheme + "://hooks.example:" + port
	return s
}

func (s *slow) lags(phase string) { s.where.Store(&phase) }

func (s *slow) lag(phase string) {
	if *s.where.Load() == phase {
		time.Sleep(lag)
	}
}

// options has a name server that answers a little later, and a connect that takes its time.
func (s *slow) options(t *testing.T) Options {
	t.Helper()
	return Options{
		RootCAs: s.roots, DialTimeout: soon, TLSTimeout: soon,
		Resolver: nameServer(t, func(string, int) []string {
			s.lag("dns")
			return []string{"127.0.0.1"}
		}),
		connecting: func(string) error {
			s.lag("connect")
			return nil
		},
	}
}

// most is the phase that took the most. The parts come to no more than the whole.
func most(t *testing.T, s Timings) (phase string, took time.Duration) {
	t.Helper()
	rest := s.Total - s.DNS - s.Connect - s.TLS - s.FirstByte
	if rest < 0 || min(s.DNS, s.Connect, s.TLS, s.FirstByte) < 0 {
		t.Errorf("the parts of %+v do not come to the whole", s)
	}
	parts := map[string]time.Duration{"dns": s.DNS, "connect": s.Connect, "tls": s.TLS, "first byte": s.FirstByte, "rest": rest}
	for name, d := range parts {
		if d > took || phase == "" {
			phase, took = name, d
		}
	}
	return phase, took
}

// sees has attempts made until the phase that lags is the one that took the most: on a busy machine
// another may take longer, but not each time. least is how long it took at least.
func sees(t *testing.T, phase string, least time.Duration, attempt func() Answer) Answer {
	t.Helper()
	for range 5 {
		a := attempt()
		name, took := most(t, a.Timings)
		if name == phase {
			if took < least {
				t.Errorf("%s took %s, and it took %s at least", phase, took, least)
			}
			return a
		}
		t.Logf("%s lags, and most of %+v is %s", phase, a.Timings, name)
	}
	t.Errorf("%s lags, and another phase took the most, five times", phase)
	return Answer{}
}

// leastOf is how long a phase takes that lags: the other side begins with the rest of an answer before
// the first byte of it is seen.
func leastOf(phase string) time.Duration {
	if phase == "rest" {
		return 0
	}
	return lag
}

// TestPhases: where the time of an attempt went is where the other side let it go, in HTTP/1.1 and
// HTTP/2, on new connections and on used ones, straight and through a proxy.
func TestPhases(t *testing.T) {
	f := func(name string, secure, http2, proxied bool, phases ...string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSlow(t, secure, http2)
			o := s.options(t)
			if proxied {
				e := newEgress(t, nil, func(string) string {
					s.lag("connect")
					return ""
				})
				o.Proxy, o.connecting = proxyAt(t, "http://"+e.addr, ""), nil
			}
			for _, phase := range phases {
				s.lags(phase)
				a := sees(t, phase, leastOf(phase), func() Answer {
					a, err := post(t, client(t, o), s.url, soon) // a pool of its own: nothing is used again
					if err != nil || string(a.Body) != "so be it" || a.Size != 8 {
						t.Fatalf("%+v, %v", a, err)
					}
					return a
				})
				if a.Reused || a.Address != s.at || a.Timings.DNS == 0 || a.Timings.Connect == 0 || a.Timings.FirstByte == 0 || secure != (a.Timings.TLS > 0) {
					t.Errorf("%s: reused %v, to %s, %+v; want a new one to %s", phase, a.Reused, a.Address, a.Timings, s.at)
				}
			}
			s.lags("")
			again := client(t, o)
			if _, err := post(t, again, s.url, soon); err != nil {
				t.Fatal(err)
			}
			for _, phase := range []string{"first byte", "rest"} {
				s.lags(phase)
				a := sees(t, phase, leastOf(phase), func() Answer {
					a, err := post(t, again, s.url, soon)
					if err != nil {
						t.Fatal(err)
					}
					return a
				})
				if got := a.Timings; !a.Reused || a.Address != s.at || got.DNS+got.Connect+got.TLS != 0 {
					t.Errorf("%s of a used connection: reused %v, to %s, %+v", phase, a.Reused, a.Address, got)
				}
			}
		})
	}
	f("plain", false, false, false, "dns", "connect", "first byte", "rest")
	f("HTTP/1.1", true, false, false, "dns", "connect", "tls", "first byte", "rest")
	f("HTTP/2", true, true, false, "dns", "connect", "tls", "first byte", "rest")
	f("proxy", true, true, true, "dns", "connect", "tls", "first byte", "rest")
	f("plain through a proxy", false, false, true, "dns", "connect", "first byte")
}

// TestPhasesOfFailures: of what fails or hangs, the phase that it failed in is the longest, and the
// address that was tried is said.
func TestPhasesOfFailures(t *testing.T) {
	f := func(phase, reason string, secure, proxied, known bool, set func(*slow, *Options), timeout time.Duration) {
		t.Helper()
		var s *slow
		least := lag
		if reason == Timeout {
			least = 0 // what comes before it takes of its time
		}
		a := sees(t, phase, least, func() Answer {
			s = newSlow(t, secure, false)
			s.lags(phase)
			o := s.options(t)
			if proxied {
				o.connecting = nil
			}
			set(s, &o)
			a, err := post(t, client(t, o), s.url, timeout)
			if got := Classify(err); got != reason {
				t.Fatalf("%s: %v, want %s", phase, err, reason)
			}
			return a
		})
		if want := map[bool]netip.AddrPort{true: s.at}[known]; a.Address != want || a.Reused {
			t.Errorf("%s: it went to %s, want %s", phase, a.Address, want)
		}
	}
	long := func(where string) func(*slow, *Options) {
		return func(s *slow, o *Options) {
			o.Resolver = nameServer(t, func(string, int) []string {
				if where == "dns" {
					time.Sleep(4 * lag)
				}
				return []string{"127.0.0.1"}
			})
			o.connecting = func(string) error {
				if where == "connect" {
					time.Sleep(4 * lag)
				}
				return nil
			}
			if where == "proxy" {
				e := newEgress(t, nil, func(string) string {
					time.Sleep(4 * lag)
					return ""
				})
				o.Proxy, o.connecting = proxyAt(t, "http://"+e.addr, ""), nil
			}
		}
	}
	f("dns", DNS, false, false, false, func(s *slow, o *Options) {
		o.Resolver = nameServer(t, func(string, int) []string {
			s.lag("dns")
			return nil
		})
	}, soon)
	f("connect", Connect, false, false, true, func(s *slow, o *Options) {
		was := o.connecting
		o.connecting = func(a string) error {
			return cmp.Or(was(a), error(net.UnknownNetworkError("refused")))
		}
	}, soon)
	f("dns", Timeout, false, false, false, long("dns"), 2*lag)
	f("connect", Timeout, false, false, true, long("connect"), 2*lag)
	f("connect", Timeout, true, true, true, long("proxy"), 2*lag)
	f("first byte", Timeout, true, false, true, func(s *slow, _ *Options) { s.hangs(t, "http") }, 2*lag)
	f("tls", Timeout, true, false, true, func(s *slow, _ *Options) { s.hangs(t, "https") }, 2*lag)
	f("tls", TLS, true, false, true, func(_ *slow, o *Options) { o.RootCAs = x509.NewCertPool() }, soon)
}

// hangs is a server that accepts, and says nothing.
func (s *slow) hangs(t *testing.T, scheme string) {
	t.Helper()
	addr, _ := raw(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	_, port, _ := strings.Cut(addr, ":")
	s.url, s.at = scheme+"://hooks.example:"+port, netip.MustParseAddrPort(addr)
}

// TestPhasesOfAnothersDial: a request that waited for a connection of its own and was given one that
// had become free is not said to have connected, though its dial goes on behind its back.
func TestPhasesOfAnothersDial(t *testing.T) {
	s := newSlow(t, false, false)
	o := s.options(t)
	var dials atomic.Int64
	release := make(chan struct{})
	o.connecting = func(string) error {
		if dials.Add(1) > 1 {
			<-release
			return errors.New("too late")
		}
		return nil
	}
	c := client(t, o)
	s.lags("first byte")
	var wg sync.WaitGroup
	wg.Go(func() {
		if a, err := post(t, c, s.url, soon); err != nil || a.Reused {
			t.Errorf("the first: %+v, %v", a, err)
		}
	})
	eventually(t, "the first has connected", func() bool { return dials.Load() == 1 })
	wg.Go(func() {
		a, err := post(t, c, s.url, soon)
		if err != nil || !a.Reused || a.Address != s.at || a.Timings.Connect+a.Timings.DNS+a.Timings.TLS != 0 {
			t.Errorf("the second: %+v, %v; want the connection of the first", a, err)
		}
		most(t, a.Timings)
	})
	wg.Wait()
	close(release)
}
