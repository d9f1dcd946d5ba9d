package control

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// refused is how often something was refused for a reason.
func (g *rig) refused(reason string) float64 {
	g.t.Helper()
	var m dto.Metric
	if err := g.server.o.Refusals.refused.WithLabelValues(reason).Write(&m); err != nil {
		g.t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// TestWrongTokens: they are counted, logged without themselves, and slowed down; a right one from
// the same address passes all the while.
func TestWrongTokens(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Now().UnixNano())
	g := newRig(t, func(o *Options) { o.Now = func() time.Time { return time.Unix(0, now.Load()) } })
	// What else is refused from this address hides no line about tokens.
	if code, _ := g.handwritten("GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"); code != 421 {
		t.Fatal(code)
	}
	wrong, often := 0, 0
	for range 50 {
		switch a := g.call("guessed", "GET", "/v1/endpoints", ""); {
		case a.code == 401:
			wrong++
		case a.code == 429 && a.header.Get("Retry-After") == "1":
			often++
		default:
			t.Fatalf("%d %s", a.code, a.body)
		}
		if a := g.call("vera", "GET", "/v1/endpoints", ""); a.code != 200 {
			t.Fatalf("the right one beside it: %d %s", a.code, a.body)
		}
		if a := g.call("", "GET", "/healthz", ""); a.code != 200 {
			t.Fatalf("health beside it: %d", a.code)
		}
	}
	if wrong != wrongRate || often != 50-wrongRate {
		t.Errorf("%d were looked at and %d refused at once, of 50 in no time", wrong, often)
	}
	if a, b := g.refused(byUnknown), g.refused(byOften); a != 50 || b != 50-wrongRate {
		t.Errorf("%v and %v are counted", a, b)
	}
	now.Add(int64(time.Second)) // the next ones are looked at again
	if a := g.call("guessed", "GET", "/v1/endpoints", ""); a.code != 401 {
		t.Errorf("a second later: %d", a.code)
	}
	lines := func() int { return strings.Count(g.log.String(), `"control_token_refused"`) }
	if lines() != 1 {
		t.Errorf("the log says it %d times within a minute", lines())
	}
	now.Add(int64(tellEvery))
	g.call("guessed", "GET", "/v1/endpoints", "")
	if log := g.log.String(); lines() != 2 || !strings.Contains(log, `"others_since":50`) || !strings.Contains(log, `"address":"127.0.0.1:`) || strings.Contains(log, "guessed") {
		t.Errorf("%d lines: %s", lines(), log)
	}
	if a := g.call("", "GET", "/v1/endpoints", ""); a.code != 401 || g.refused(byMissing) != 1 { // none is not a wrong one
		t.Errorf("without: %d", a.code)
	}
}

// TestWatchIsBounded: whoever has many addresses does not fill the memory, nor the log.
func TestWatchIsBounded(t *testing.T) {
	w := newWatch()
	now, told := time.Now(), 0
	for i := range 10 * watched {
		from := network(&net.TCPAddr{IP: net.IP{10, byte(i >> 16), byte(i >> 8), byte(i)}, Port: 1})
		w.often(from, now)
		if _, ok := w.tell(from, now); ok {
			told++
		}
	}
	if len(w.seen) != watched || w.order.Len() != watched || told != linesAtOnce {
		t.Errorf("%d and %d networks are kept, %d lines", len(w.seen), w.order.Len(), told)
	}
	a, b := network(addr("[2001:db8:1:2::1]:80")), network(addr("[2001:db8:1:2:ffff::9]:80"))
	if a != b || a == network(addr("[2001:db8:1:3::1]:80")) || network(addr("[::ffff:10.0.0.1]:1")) != network(addr("10.0.0.1:2")) || network(addr("nothing")) != (netip.Addr{}) {
		t.Errorf("networks: %v, %v", a, b)
	}
}

// TestExposed: where strangers reach the listener, metrics and profiles take a token, and health
// says no more than it must.
func TestExposed(t *testing.T) {
	g := newRig(t, func(o *Options) { o.Exposed = true })
	f := func(path, token string, want int) answer {
		t.Helper()
		a := g.call(token, "GET", path, "")
		if a.code != want {
			t.Errorf("%s by %q: %d, want %d: %.200s", path, token, a.code, want, a.body)
		}
		return a
	}
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/heap", "/debug/pprof/symbol", "/debug/pprof/profile?seconds=1", "/debug/pprof/trace?seconds=1"} {
		viewer := map[bool]int{true: 200, false: 403}[path == "/metrics"]
		f(path, "", 401)
		f(path, "eve", 401)
		f(path, "pia", 403)
		f(path, "odd", 403)
		f(path, "vera", viewer)
	}
	f("/debug/pprof/cmdline", "otto", 200)
	f("/debug/pprof/heap", "ada", 200)
	f("/healthz", "", 200)
	g.mu.Lock()
	g.reasons, g.notes = []string{"the disk of /var/lib is nearly used up"}, []string{"kafka-1.internal is out"}
	g.mu.Unlock()
	if a := f("/readyz", "", 503); len(a.json) != 1 || a.json["status"] != "not_ready" || a.header.Get("Retry-After") != "1" {
		t.Errorf("to a stranger: %s", a.body)
	}
	if a := f("/readyz", "vera", 503); a.json["reasons"] == nil || a.json["notes"] == nil {
		t.Errorf("to a viewer: %s", a.body)
	}
	if a := f("/readyz", "pia", 503); len(a.json) != 1 {
		t.Errorf("to a partner: %s", a.body)
	}
	f("/readyz", "eve", 401)
}

// TestProfiles: what runs for a time is bounded in time and number; what is a picture of the moment
// is not.
func TestProfiles(t *testing.T) {
	g := newRig(t)
	for _, page := range []string{"profile", "trace", "heap", "goroutine", "allocs"} {
		for _, seconds := range []string{"0", "-1", "61", "3600", "1e9", "0.5", "NaN", "x", "99999999999999999999"} {
			if a := g.call("", "GET", "/debug/pprof/"+page+"?seconds="+seconds, ""); a.code != 400 || !strings.Contains(a.body, "1 to 60") {
				t.Errorf("%s of %s: %d %.100s", page, seconds, a.code, a.body)
			}
		}
	}
	u, _ := url.Parse(g.url)
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /debug/pprof/trace?seconds=60 HTTP/1.1\r\nHost: localhost\r\n\r\n")
	eventually(t, "it runs", g.server.profiling.Load)
	for _, page := range []string{"profile", "profile?seconds=1", "trace", "heap?seconds=1"} {
		if a := g.call("", "GET", "/debug/pprof/"+page, ""); a.code != 429 || a.header.Get("Retry-After") == "" {
			t.Errorf("%s beside it: %d %.100s", page, a.code, a.body)
		}
	}
	for _, page := range []string{"", "heap", "goroutine?debug=1", "cmdline", "symbol"} {
		if a := g.call("", "GET", "/debug/pprof/"+page, ""); a.code != 200 {
			t.Errorf("%q beside it: %d", page, a.code)
		}
	}
	c.Close() // whoever asked has gone
	eventually(t, "it has ended", func() bool { return !g.server.profiling.Load() })
	if a := g.call("", "GET", "/debug/pprof/trace?seconds=1", ""); a.code != 200 || a.body == "" {
		t.Errorf("afterwards: %d", a.code)
	}
}

// counted is a listener that knows how many of its connections are open, and how many were at once.
type counted struct {
	net.Listener
	open, most atomic.Int64
}

func (l *counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.most.Store(max(l.most.Load(), l.open.Add(1)))
	return &countedConn{Conn: c, closed: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
}

type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}

// TestSlowCallers: connections on which nothing comes, or half of something, keep nobody out, and
// not a call that has brought a token.
func TestSlowCallers(t *testing.T) {
	var ln *counted
	g := newRig(t, func(o *Options) {
		ln = &counted{Listener: o.Listener}
		o.Listener, o.Conns = ln, 8
	})
	u, _ := url.Parse(g.url)
	dial := func(text string) net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		io.WriteString(c, text)
		return c
	}
	arrived, turn := make(chan struct{}), make(chan struct{})
	g.mu.Lock()
	g.block = func() { close(arrived); <-turn }
	g.mu.Unlock()
	busy := dial("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n") // being answered: it goes last
	<-arrived
	g.mu.Lock()
	g.block = nil
	g.mu.Unlock()
	var slow []net.Conn
	for i := range 60 {
		slow = append(slow, dial([]string{"", "G", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"}[i%4]))
		fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := fresh.Get(g.url + "/healthz")
		if err != nil {
			t.Fatalf("health beside %d slow ones: %v", i+1, err)
		}
		resp.Body.Close()
	}
	if most := ln.most.Load(); most > 8+1 || g.refused(byCrowd) < 40 { // one has come before another has gone
		t.Errorf("%d were open at once, %v had to go", most, g.refused(byCrowd))
	}
	slow[0].SetReadDeadline(time.Now().Add(patience))
	if _, err := slow[0].Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("the first slow one is still in: %v", err)
	}
	close(turn)
	busy.SetReadDeadline(time.Now().Add(patience))
	if line, err := bufio.NewReader(busy).ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 200") {
		t.Errorf("the one that was being answered: %q, %v", line, err)
	}
}

// TestUnreadAnswer: whoever asks and does not read the answer holds neither a connection nor what
// makes the answer.
func TestUnreadAnswer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := NewDoor(DoorOptions{Listener: ln, Refusals: NewRefusals(nil), Logger: slog.New(slog.DiscardHandler)})
	d.takes = 100 * time.Millisecond
	ended := make(chan error, 1)
	server := d.Server(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				ended <- err
				return
			}
		}
	}))
	go server.Serve(d)
	defer server.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	select {
	case err := <-ended:
		if !isTimeout(err) {
			t.Errorf("ended by %v", err)
		}
	case <-time.After(patience):
		t.Fatal("it is still being written")
	}
	eventually(t, "its place is free", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.open) == 0
	})
}

// TestLongest: who has to go when it is full.
func TestLongest(t *testing.T) {
	d := NewDoor(DoorOptions{Refusals: NewRefusals(nil), Conns: 4})
	base := time.Now()
	in := func(name string, does, age int) *caller {
		c := &caller{door: d, from: netip.MustParseAddr(name), does: does, since: base.Add(-time.Duration(age) * time.Second)}
		d.open[c] = struct{}{}
		return c
	}
	f := func(what string, want *caller) {
		t.Helper()
		if got := d.longest(); got != want {
			t.Errorf("%s: %+v goes, want %+v", what, got, want)
		}
		d.forget(want)
	}
	token, busy := in("10.0.0.1", trusted, 900), in("10.0.0.1", called, 800)
	d.trusted = 1
	probe := in("10.0.0.2", awaited, 700)
	old, young := in("10.0.0.3", awaited, 20), in("10.0.0.3", awaited, 10)
	f("of the address that has most, the oldest", old)
	f("of two that have one each, the oldest", probe)
	f("the last that is waited for", young)
	f("one that is being answered", busy)
	f("one with a token", token)
	if d.trusted != 0 || len(d.open) != 0 {
		t.Errorf("%d trusted, %d open", d.trusted, len(d.open))
	}
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}
