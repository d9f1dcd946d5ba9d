package control

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// handwritten sends what a test has written by hand and returns the answer's code and all of it.
func (g *rig) handwritten(text string) (code int, all string) {
	g.t.Helper()
	u, err := url.Parse(g.url)
	if err != nil {
		g.t.Fatal(err)
	}
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		g.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, text); err != nil {
		g.t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		g.t.Fatalf("%q: %v", text, err)
	}
	if _, err := fmt.Sscanf(string(b), "HTTP/1.%d %d", new(int), &code); err != nil {
		g.t.Fatalf("%q: %q", text, b)
	}
	return code, string(b)
}

// TestHost: a page that has made its own name resolve to this address is refused by the name,
// whatever it brings.
func TestHost(t *testing.T) {
	g := newRig(t, func(o *Options) { o.Names = []string{"Gateway.internal", "10.1.2.3"} })
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(g.url, "http://"))
	f := func(host string, want int) {
		t.Helper()
		for _, path := range []string{"/healthz", "/readyz", "/metrics", "/debug/pprof/cmdline", "/v1/endpoints", "/v1/nothing"} {
			code, all := g.handwritten("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: Bearer secret-ada\r\nConnection: close\r\n\r\n")
			if want == 421 && (code != 421 || !strings.Contains(all, "listen.control_hosts") || !strings.Contains(all, `"code":"host"`)) || want == 200 && code == 421 {
				t.Errorf("Host %s, %s: %d, want %d: %s", host, path, code, want, all)
			}
		}
	}
	for _, ours := range []string{
		"127.0.0.1", "127.0.0.1:" + port, "127.9.9.9:1", "[::1]:" + port, "[::1]", "[::ffff:127.0.0.1]", "localhost", "LOCALHOST:" + port, "localhost.", "gateway.INTERNAL:80", "gateway.internal.", "10.1.2.3:8481",
	} {
		f(ours, 200)
	}
	for _, theirs := range []string{
		"evil.example", "evil.example:" + port, "localhost.evil.example", "127.0.0.1.evil.example", "gateway", "internal", "x.gateway.internal", "0.0.0.0:" + port, "0.0.0.0", "[::]:" + port, "10.1.2.4", "8.8.8.8",
		"169.254.169.254", "2130706433", "127.1", "0x7f000001", "evil.localhost", "[fe80::1]",
	} {
		f(theirs, 421)
	}
	if code, all := g.handwritten("GET http://evil.example/v1/endpoints HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); code != 421 { // the target names the host then
		t.Errorf("by the target: %s", all)
	}
	if code, all := g.handwritten("GET /healthz HTTP/1.0\r\n\r\n"); code != 200 { // a probe of HTTP/1.0, which no browser speaks
		t.Errorf("without a host: %s", all)
	}
	if n := g.refused(byHost); n != 18*6+1 {
		t.Errorf("%v are counted", n)
	}
	if log := g.log.String(); strings.Count(log, "control_host_refused") != 1 || strings.Contains(log, "secret-") { // all came from one address within a minute
		t.Errorf("the log says it %d times", strings.Count(log, "control_host_refused"))
	}
}

// TestHostOfPod: a probe calls the address at which it reaches us, and no other.
func TestHostOfPod(t *testing.T) {
	d := NewDoor(DoorOptions{Refusals: NewRefusals(nil)})
	f := func(host, local string, want bool) {
		t.Helper()
		req, err := http.NewRequestWithContext(contextWith(local), http.MethodGet, "/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		if req.Host = host; d.known(req) != want {
			t.Errorf("Host %s at %s: %v", host, local, !want)
		}
	}
	f("10.2.0.9:8481", "10.2.0.9:8481", true)
	f("10.2.0.9", "[::ffff:10.2.0.9]:8481", true)
	f("[fd00::9]:8481", "[fd00::9]:8481", true)
	f("[fe80::9]", "[fe80::9%eth0]:8481", true)
	f("10.2.0.10", "10.2.0.9:8481", false)
	f("pod.example", "10.2.0.9:8481", false)
}

func contextWith(local string) context.Context {
	return context.WithValue(context.Background(), http.LocalAddrContextKey, addr(local))
}
