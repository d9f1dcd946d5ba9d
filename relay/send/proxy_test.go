package send

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// egress is an HTTP proxy that keeps what it is asked and connects to loopback only.
type egress struct {
	addr string

	mu     sync.Mutex // guards the fields below
	asked  []string   // request lines
	auth   []string   // Proxy-Authorization, by request
	answer func(target string) string
}

// newEgress makes a proxy. answer is what it says to a CONNECT; "": 200, and the tunnel.
func newEgress(t *testing.T, secure *tls.Config, answer func(target string) string) *egress {
	t.Helper()
	e := &egress{answer: answer}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.addr = l.Addr().String()
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go e.serve(t, c)
		}
	}()
	return e
}

func (e *egress) serve(t *testing.T, c net.Conn) {
	t.Helper()
	defer c.Close()
	r := bufio.NewReader(c)
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	target := req.RequestURI
	e.mu.Lock()
	e.asked = append(e.asked, req.Method+" "+target+" host "+req.Host)
	e.auth = append(e.auth, req.Header.Get("Proxy-Authorization"))
	answer := e.answer
	e.mu.Unlock()
	if answer != nil {
		if text := answer(target); text != "" {
			_, _ = io.WriteString(c, text)
			_, _ = io.Copy(io.Discard, r) // until it is hung up
			return
		}
	}
	at, err := netip.ParseAddrPort(target)
	if err != nil || !at.Addr().IsLoopback() {
		t.Errorf("THE PROXY WAS ASKED FOR %s, which is no loopback address", target)
		return
	}
	onward, err := net.Dial("tcp", target)
	if err != nil {
		_, _ = io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	defer onward.Close()
	_, _ = io.WriteString(c, "HTTP/1.1 200 Connection established\r\nX-Proxy: yes\r\n\r\n")
	go func() {
		_, _ = io.Copy(onward, r)
		_ = onward.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(c, onward)
}

func (e *egress) seen() (asked, auth []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.asked), slices.Clone(e.auth)
}

func proxyAt(t *testing.T, raw, credentials string) *Proxy {
	t.Helper()
	p, err := NewProxy(raw, credentials)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var standIn = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")} // stands for a public address

// TestProxyIsGivenTheJudgedAddress: in live mode, with a proxy at an address that no endpoint may
// be at. It is asked for the address, never for the name; TLS and Host are the name's; the
// credentials are the proxy's alone. Over HTTP/1 and HTTP/2, through a proxy in clear and over TLS.
func TestProxyIsGivenTheJudgedAddress(t *testing.T) {
	now := time.Now()
	cert, roots := certificate(t, "hooks.example", now.Add(-time.Hour), now.Add(time.Hour))
	proxyCert, _ := certificate(t, "proxy.example", now.Add(-time.Hour), now.Add(time.Hour))
	leaf := mustLeaf(t, proxyCert)
	roots.AddCert(leaf)
	for _, http2 := range []bool{false, true} {
		for _, scheme := range []string{"http", "https"} {
			var got *http.Request
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				got = r
				fmt.Fprint(w, r.TLS.ServerName)
			}))
			l, err := net.Listen("tcp", "127.0.0.2:0")
			if err != nil {
				t.Fatal(err)
			}
			s.Listener.Close()
			s.Listener, s.EnableHTTP2, s.TLS = l, http2, tlsWith(cert)
			s.StartTLS()
			t.Cleanup(s.Close)
			var secure *tls.Config
			if scheme == "https" {
				secure = tlsWith(proxyCert)
			}
			e := newEgress(t, secure, nil)
			_, proxyPort, _ := net.SplitHostPort(e.addr)
			_, port, _ := net.SplitHostPort(l.Addr().String())
			resolver := nameServer(t, func(name string, _ int) []string {
				if strings.HasPrefix(name, "proxy.") {
					return []string{"127.0.0.1"}
				}
				return []string{"127.0.0.2"}
			})
			p := client(t, Options{
				LiveMode: true, Allow: standIn, RootCAs: roots, Resolver: resolver, Proxy: proxyAt(t, scheme+"://proxy.example:"+proxyPort, "user:canary"), connecting: onlyLoopback(t),
			})
			for range 2 {
				a, err := post(t, p, "https://hooks.example:"+port+"/kyc", soon)
				if err != nil || a.Code != http.StatusOK || string(a.Body) != "hooks.example" || got.Host != "hooks.example:"+port || (got.ProtoMajor == 2) != http2 || len(got.Header["Proxy-Authorization"]) > 0 {
					t.Errorf("%s, http2 %v: %+v, %v; the endpoint saw %+v", scheme, http2, a, err, got)
				}
			}
			asked, auth := e.seen()
			want := "CONNECT 127.0.0.2:" + port + " host 127.0.0.2:" + port
			if !slices.Equal(asked, []string{want}) || !slices.Equal(auth, []string{"Basic dXNlcjpjYW5hcnk="}) {
				t.Errorf("%s, http2 %v: the proxy was asked %q with %q, want %q once", scheme, http2, asked, auth, want)
			}
		}
	}
}

// TestProxyAndPlainHTTP: the sandbox's plain endpoints go through it in the same way.
func TestProxyAndPlainHTTP(t *testing.T) {
	e := newEgress(t, nil, nil)
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	a, err := post(t, client(t, Options{Proxy: proxyAt(t, "http://"+e.addr, ""), connecting: onlyLoopback(t)}), url, soon)
	asked, auth := e.seen()
	if err != nil || a.Code != http.StatusNoContent || len(asked) != 1 || !strings.HasPrefix(asked[0], "CONNECT 127.0.0.1:") || auth[0] != "" {
		t.Errorf("%+v, %v, %q, %q", a, err, asked, auth)
	}
}

// TestProxyRefusals: what the proxy says is not the partner's answer. Each has a reason of its own,
// and none quotes the proxy or its credentials.
func TestProxyRefusals(t *testing.T) {
	f := func(answer, want, text string) {
		t.Helper()
		e := newEgress(t, nil, func(string) string { return answer })
		p := client(t, Options{Proxy: proxyAt(t, "http://"+e.addr, "user:canary"), Allow: standIn})
		a, err := post(t, p, "http://127.0.0.2:9/canary", soon)
		if Classify(err) != want || a.Code != 0 || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %+v, %v; want %s: %s", answer, a, err, want, text)
		}
		if err != nil && (strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "dXNlcjpjYW5hcnk")) {
			t.Errorf("%q: %v", answer, err)
		}
	}
	f("HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"canary\"\r\nContent-Length: 1000000\r\n\r\ncanary", ProxyAuth, "407")
	f("HTTP/1.1 403 Forbidden canary\r\nContent-Length: 6\r\n\r\ncanary", ProxyRefused, "403")
	f("HTTP/1.1 404 Not Found\r\n\r\n", ProxyRefused, "404")
	f("HTTP/1.1 302 Found\r\nLocation: http://canary/\r\n\r\n", ProxyRefused, "302")
	f("HTTP/1.1 500 canary\r\n\r\n", ProxyFailed, "500")
	f("HTTP/1.1 502 Bad Gateway\r\n\r\n", ProxyFailed, "502")
	f("HTTP/1.1 503 Service Unavailable\r\n\r\n", ProxyFailed, "503")
	f("HTTP/1.1 2x0 canary\r\n\r\n", ProxyFailed, "not HTTP")
	f("220 mail.canary ESMTP\r\n\r\n", ProxyFailed, "not HTTP")
	f("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ProxyFailed, "more than its answer")
	f("HTTP/1.1 200 OK\r\nX-Filler: "+strings.Repeat("canary", 20<<10)+"\r\n\r\n", ProxyFailed, "not HTTP")
	_, err := post(t, client(t, Options{Proxy: proxyAt(t, "http://127.0.0.1:1", "")}), "http://127.0.0.1:9/", soon)
	if Classify(err) != ProxyFailed || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("a proxy that is gone: %v", err)
	}
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	_, err = post(t, client(t, Options{Proxy: proxyAt(t, s.URL, "")}), "http://127.0.0.1:9/", soon)
	if Classify(err) != ProxyFailed || !strings.Contains(err.Error(), "authority we do not know") {
		t.Errorf("a proxy of an authority we do not know: %v", err)
	}
}

// TestProxyThatHangs ends with the attempt's deadline, or the dial's, and leaves nothing behind.
func TestProxyThatHangs(t *testing.T) {
	began, hang := make(chan struct{}, 2), make(chan struct{})
	defer close(hang)
	e := newEgress(t, nil, func(string) string {
		began <- struct{}{}
		<-hang
		return "HTTP/1.1 200 OK\r\n\r\n"
	})
	p := client(t, Options{Proxy: proxyAt(t, "http://"+e.addr, ""), DialTimeout: 300 * time.Millisecond})
	_, err := post(t, p, "http://127.0.0.1:9/", 50*time.Millisecond)
	if Classify(err) != Timeout || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if _, err := post(t, p, "http://127.0.0.1:9/", soon); Classify(err) != Timeout {
		t.Errorf("%v", err)
	}
	eventually(t, "every slot is free", func() bool { return len(p.slots) == 0 })
}

// TestProxyTriesAddresses: where the proxy cannot reach one address of a name it is asked for the
// next, but it is not asked for any that may not be called.
func TestProxyTriesAddresses(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) {})
	_, port, _ := net.SplitHostPort(strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/kyc?token=canary-query"))
	e := newEgress(t, nil, func(target string) string {
		if strings.HasPrefix(target, "127.0.0.1:") {
			return ""
		}
		return "HTTP/1.1 502 Bad Gateway\r\n\r\n"
	})
	resolver := nameServer(t, func(string, int) []string {
		return []string{"127.0.0.9", "10.0.0.1", "fd00::1", "169.254.169.254", "127.0.0.1", "::1"}
	})
	p := client(t, Options{Proxy: proxyAt(t, "http://"+e.addr, ""), Resolver: resolver, connecting: onlyLoopback(t)})
	if a, err := post(t, p, "http://hooks.example:"+port, soon); err != nil || a.Code != http.StatusOK {
		t.Errorf("%+v, %v", a, err)
	}
	asked, _ := e.seen()
	for _, line := range asked {
		if !strings.HasPrefix(line, "CONNECT 127.0.0.") && !strings.HasPrefix(line, "CONNECT [::1]:") {
			t.Errorf("the proxy was asked: %s", line)
		}
	}
	if len(asked) == 0 || len(asked) > maxTried {
		t.Errorf("%q", asked)
	}
}

func TestNewProxy(t *testing.T) {
	f := func(raw, want, problem string) {
		t.Helper()
		p, err := NewProxy(raw, "user:canary")
		got := ""
		if p != nil {
			got = fmt.Sprintf("%v %v", p, p.InClear())
		}
		ue, _ := errors.AsType[*URLError](err)
		if got != want || problem != "" && (ue == nil || !strings.Contains(ue.Problem, problem) || ue.Remedy == "") {
			t.Errorf("%q: %q, %v; want %q, %q", raw, got, err, want, problem)
		}
		if text := fmt.Sprintf("%v %+v %#v %v", p, p, p, err); strings.Contains(text, "canary") || strings.Contains(text, "dXNlcjpjYW5hcnk") {
			t.Errorf("it prints: %s", text)
		}
	}
	f("http://proxy.example:3128", "proxy.example:3128 true", "")
	f("http://proxy.example/", "proxy.example:80 true", "")
	f("https://proxy.example", "proxy.example:443 false", "")
	f("http://10.0.0.1:3128", "10.0.0.1:3128 true", "")
	f("http://[fd00::1]:3128", "[fd00::1]:3128 true", "")
	for _, raw := range []string{"", "proxy.example:3128", "socks5://proxy.example:1080", "http://", "http://:3128", "http:proxy.example", "http://pro xy", "ftp://proxy.example"} {
		f(raw, "", "is not the address of a proxy")
	}
	f("http://u:canary@proxy.example:3128", "", "user name or password")
	f("http://proxy.example:3128/path", "", "has a path")
	f("http://proxy.example:3128?canary", "", "has a path")
	f("http://proxy.example:0", "", "no usable port")
	f("http://proxy.example:65536", "", "no usable port")
}
