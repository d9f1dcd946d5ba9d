package ingest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// stranger dials from a loopback address of its own.
func (d *door) stranger(host byte) (net.Conn, error) {
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, host)}}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return from.DialContext(ctx, "tcp", d.addr)
}

// gone reports whether the gateway has closed a connection on which it has nothing to say.
func gone(c net.Conn) bool {
	c.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := io.Copy(io.Discard, c)
	return !timedOut(err)
}

// anonymous is how much memory of the process is pages of its own.
func anonymous(t *testing.T) (bytes int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal("the memory of this process is read from /proc: ", err)
	}
	for line := range strings.Lines(string(b)) {
		if n, _ := fmt.Sscanf(line, "RssAnon: %d kB", &bytes); n == 1 {
			return bytes << 10
		}
	}
	t.Fatal("/proc/self/status has no RssAnon")
	return 0
}

const (
	someHeaders = "POST /v1/callbacks/sumsub HTTP/1.1\r\nHost: h\r\nX-More: "
	someBody    = "POST /v1/callbacks/sumsub HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n"
)

// trusting believes what these proxies say.
func trusting(prefixes ...string) func(*Options) {
	return func(o *Options) {
		for _, p := range prefixes {
			o.TrustedProxies = append(o.TrustedProxies, netip.MustParsePrefix(p))
		}
	}
}

// hasBegun reports whether the gateway has read something of a client's connection.
func (d *door) hasBegun(client net.Conn) bool {
	for _, c := range d.ln.begun() {
		if c.RemoteAddr().String() == client.LocalAddr().String() {
			return true
		}
	}
	return false
}

// crowdedOut is how many connections were closed to make place, for a reason.
func (d *door) crowdedOut(reason string) float64 {
	d.t.Helper()
	var m dto.Metric
	if err := d.m.crowded.WithLabelValues(reason).Write(&m); err != nil {
		d.t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// TestHostileConnections: ten thousand connections of two hundred addresses that say nothing, half
// a header or half a body, and hold, cost less than 256 MiB, their senders' side included, and
// genuine callbacks beside them are answered.
func TestHostileConnections(t *testing.T) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	n, limit := min(10_000, int(files.Cur)-4096-1000), 256<<20
	if raced {
		n, limit = 1000, 1<<30
	}
	if n < 1000 {
		t.Fatalf("only %d files may be open: raise it with ulimit -n", files.Cur)
	}
	d := open(t, func(o *Options) { o.ReadTimeout = 0 }) // what the gateway has
	d.ask(approval(t, "sumsub", "user-0"))
	debug.FreeOSMemory()
	before := anonymous(t)

	conns := make([]net.Conn, n)
	var senders sync.WaitGroup
	var failed, bodies atomic.Int64
	const hands = 32
	for hand := range hands {
		senders.Go(func() {
			half := []byte(someBody + strings.Repeat("x", 512<<10))
			for i := hand; i < n; i += hands {
				c, err := d.stranger(byte(2 + i%199))
				if err != nil {
					failed.Add(1)
					continue
				}
				conns[i] = c
				c.SetWriteDeadline(time.Now().Add(patience))
				switch {
				case i%3 == 1:
					io.WriteString(c, someHeaders+strings.Repeat("y", 8<<10))
				case i%12 == 2:
					c.Write(half)
					bodies.Add(1)
				}
			}
		})
	}
	sent := make(chan struct{})
	go func() { senders.Wait(); close(sent) }()
	asked, slowest, peak, open := 0, time.Duration(0), 0, 0
	for during := true; during || asked < 50; asked++ {
		started := time.Now()
		raw := approval(t, "sumsub", fmt.Sprintf("user-%d", asked))
		status, err := d.try(raw)
		if err != nil { // on a machine that stands still for a second it may be the oldest itself, once
			status, err = d.try(raw)
		}
		if status != 200 {
			t.Errorf("a genuine callback meanwhile: %d, %v", status, err)
		}
		slowest, peak, open = max(slowest, time.Since(started)), max(peak, anonymous(t)), max(open, d.ln.count())
		select {
		case <-sent:
			during = false
		default:
		}
	}
	t.Logf("%d connections, %d of them with half a body, %d were open at once: %d MiB more at most; the slowest of %d genuine callbacks took %v; %v bytes of bodies are held",
		n, bodies.Load(), open, (peak-before)>>20, asked, slowest, d.bodies.holds())
	if failed.Load() > 0 || open < min(n, 4096)*9/10 || open > 4096 {
		t.Errorf("%d could not connect, %d were open at once", failed.Load(), open)
	}
	if peak-before > limit {
		t.Errorf("%d MiB, want less than %d", (peak-before)>>20, limit>>20)
	}
	if slowest > patience {
		t.Errorf("a genuine callback took %v", slowest)
	}
	for _, c := range conns {
		if c != nil {
			c.Close()
		}
	}
	eventually(t, "everything is given back", func() bool { return d.ln.count() == 0 && d.bodies.holds() == 0 })
}

// TestOneAddressIsNotAll: one address has its share of the connections, of which its own oldest
// gives way; others get in. A trusted proxy may have them all.
func TestOneAddressIsNotAll(t *testing.T) {
	d := open(t, func(o *Options) { o.MaxConns, o.ConnsOfAddress, o.ReadTimeout = 40, 10, time.Minute })
	var conns []net.Conn
	for range 30 {
		c, err := d.stranger(2)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "P")
		conns = append(conns, c)
		eventually(t, "it is let in", func() bool { return d.hasBegun(c) })
	}
	for i, c := range conns {
		if i < 20 {
			eventually(t, "an older one has given way", func() bool { return gone(c) })
		} else if gone(c) {
			t.Errorf("connection %d of 30 is gone", i)
		}
	}
	if n := d.ln.count(); n != 10 {
		t.Errorf("%d are open, want 10", n)
	}
	if a := d.ask(approval(t, "sumsub", "user-1")); a.status != 200 {
		t.Errorf("another address: %d", a.status)
	}
	if got := d.crowdedOut(crowdedAddress); got != 20 {
		t.Errorf("%v are counted, want 20", got)
	}
}

// TestTrustedProxyHasNoShare: a proxy speaks for many. Of IPv6, a proxy is one address, and
// everybody else a /64.
func TestTrustedProxyHasNoShare(t *testing.T) {
	f := func(listen, proxies string, want int) {
		t.Helper()
		ln, err := net.Listen("tcp", listen)
		if err != nil {
			t.Logf("not on %s: %v", listen, err) // a machine without IPv6
			return
		}
		d := open(t, trusting(proxies), func(o *Options) {
			o.Listener.Close()
			o.Listener, o.MaxConns, o.ConnsOfAddress, o.ReadTimeout = ln, 40, 10, time.Minute
		})
		d.addr = ln.Addr().String()
		for range 30 {
			io.WriteString(d.dial(), "P")
		}
		eventually(t, "all that may be are open", func() bool { return d.ln.count() == want && len(d.ln.begun()) == want })
	}
	f("127.0.0.1:0", "127.0.0.1/32", 30)
	f("127.0.0.1:0", "127.0.0.2/32", 10)
	f("[::1]:0", "::1/128", 30)
	f("[::1]:0", "::2/128", 10)
	for text, want := range map[string]string{"2001:db8::7": "2001:db8::", "2001:db8:0:1::7": "2001:db8:0:1::", "fe80::1%eth0": "fe80::", "203.0.113.7": "203.0.113.7"} {
		if got := block(netip.MustParseAddr(text)); got != netip.MustParseAddr(want) {
			t.Errorf("%s counts as %s, want %s", text, got, want)
		}
	}
	if got := block(netip.Addr{}); got.IsValid() {
		t.Errorf("nobody counts as %s", got)
	}
}

// TestWhoGivesWay: when every connection is taken, first those go that have proven nothing and are
// late, the latest first; then proven ones that rest; never one whose request is being dealt with.
func TestWhoGivesWay(t *testing.T) {
	d := open(t, func(o *Options) {
		o.MaxConns, o.ConnsOfAddress, o.ReadTimeout, o.AppendTimeout = 4, 4, time.Minute, time.Minute
	})
	rests := d.dial()
	io.WriteString(rests, approval(t, "sumsub", "user-1"))
	if a, err := read(bufio.NewReader(rests)); err != nil || a.status != 200 {
		t.Fatalf("%d, %v", a.status, err)
	}
	gate := make(chan struct{})
	d.held.set(nil, gate)
	before := d.held.called()
	busy := d.dial()
	io.WriteString(busy, approval(t, "sumsub", "user-2"))
	eventually(t, "it is being dealt with", func() bool { return d.held.called() == before+1 })
	first, second := d.dial(), d.dial()
	eventually(t, "all are taken", func() bool { return d.ln.count() == 4 })
	d.age(2*newCredit, first)
	d.age(2*provenCredit, rests)
	d.age(3*newCredit, second)
	f := func(what string, c net.Conn) net.Conn {
		t.Helper()
		next := d.dial()
		eventually(t, what+" gives way", func() bool { return gone(c) })
		return next
	}
	third := f("the latest", second)
	fourth := f("the next", first)
	d.age(-time.Minute, third, fourth) // however long this takes
	f("the one that rests", rests)
	d.age(2*time.Minute, third)
	f("what is late by now", third)
	if gone(fourth) || gone(busy) {
		t.Error("one that was not late, or whose request is ours to finish, has given way")
	}
	close(gate)
	busy.SetReadDeadline(time.Now().Add(patience))
	if a, err := read(bufio.NewReader(busy)); err != nil || a.status != 200 {
		t.Errorf("%d, %v; want 200", a.status, err)
	}
}

// age makes connections look as if they had been silent for longer.
func (d *door) age(by time.Duration, clients ...net.Conn) {
	d.ln.mu.Lock()
	defer d.ln.mu.Unlock()
	d.ln.latest = nil
	for c := range d.ln.open {
		for _, client := range clients {
			if c.RemoteAddr().String() == client.LocalAddr().String() {
				c.due.Add(-int64(by))
			}
		}
	}
}
