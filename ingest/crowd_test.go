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

	"countersign/ingest/provider"
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

var at1 = netip.MustParseAddr("198.51.100.1")

// trusting believes what these proxies say.
func trusting(prefixes ...string) func(*Options) {
	return func(o *Options) {
		for _, p := range prefixes {
			o.TrustedProxies = append(o.TrustedProxies, netip.MustParsePrefix(p))
		}
	}
}

// begunFrom is how many connections of a loopback address have begun a request.
func begunFrom(d *door, host byte) (n int) {
	for _, c := range d.ln.begun() {
		if c.origin == netip.AddrFrom4([4]byte{127, 0, 0, host}) {
			n++
		}
	}
	return n
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

// TestHostileConnections: ten thousand connections of two hundred addresses that say nothing, half a header or half a body, and hold, cost less than 256 MiB, their senders'
// side included, and genuine callbacks beside them are answered.
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
		t.Skipf("only %d files may be open", files.Cur)
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

// TestHoldingBodies: eight hundred connections that send nearly a megabyte each and hold cost what the budget says.
func TestHoldingBodies(t *testing.T) {
	const n = 800
	d := open(t, func(o *Options) { o.ReadTimeout = 0 })
	d.ask(approval(t, "sumsub", "user-0"))
	debug.FreeOSMemory()
	before, peak, slowest := anonymous(t), 0, time.Duration(0)
	nearly := []byte(someBody + strings.Repeat("x", 1<<20-1))
	for i := range n {
		c, err := d.stranger(byte(2 + i%199))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		c.Write(nearly)
		if i%20 == 0 {
			started := time.Now()
			if a := d.ask(approval(t, "sumsub", fmt.Sprintf("user-%d", i))); a.status != 200 {
				t.Errorf("a genuine callback beside %d: %d", i, a.status)
			}
			slowest, peak = max(slowest, time.Since(started)), max(peak, anonymous(t))
		}
	}
	t.Logf("%d MiB more at most; the slowest genuine callback took %v; %d bytes of bodies are held", (peak-before)>>20, slowest, int(d.bodies.holds()))
	if peak-before > 256<<20 && !raced || d.bodies.holds() > float64(d.bodies.limit) {
		t.Errorf("%d MiB, %v bytes of bodies", (peak-before)>>20, d.bodies.holds())
	}
	if slowest > patience {
		t.Errorf("a genuine callback took %v", slowest)
	}
}

// TestOneAddressIsNotAll: one address has its share of the connections, of which its own oldest gives way; others get in. A trusted proxy may have them all.
func TestOneAddressIsNotAll(t *testing.T) {
	d := open(t, func(o *Options) { o.MaxConns, o.ConnsOfAddress = 40, 10 })
	var conns []net.Conn
	for range 30 {
		c, err := d.stranger(2)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "P")
		conns = append(conns, c)
		eventually(t, "it is let in", func() bool {
			return begunFrom(d, 2) == min(len(conns), 10)
		})
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

// TestTrustedProxyHasNoShare: a proxy speaks for many.
func TestTrustedProxyHasNoShare(t *testing.T) {
	d := open(t, trusting("127.0.0.2/32"), func(o *Options) { o.MaxConns, o.ConnsOfAddress = 40, 10 })
	for range 30 {
		c, err := d.stranger(2)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	eventually(t, "all are open", func() bool { return d.ln.count() == 30 })
}

// TestWhoGivesWay: when every connection is taken, first those go that have proven nothing and are late, the latest first; then proven ones that rest; never one whose
// request is being dealt with.
func TestWhoGivesWay(t *testing.T) {
	d := open(t, func(o *Options) { o.MaxConns, o.ConnsOfAddress = 4, 4 })
	rests, r := d.dial(), (*bufio.Reader)(nil)
	io.WriteString(rests, approval(t, "sumsub", "user-1"))
	r = bufio.NewReader(rests)
	if a, err := read(r); err != nil || a.status != 200 {
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
	f("the one that rests", rests)
	d.age(2*newCredit, third)
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

// TestBodiesHaveABudget: connections that send much and hold are cut when the memory for bodies is used up, with an answer, and a genuine callback of any size gets what it needs.
func TestBodiesHaveABudget(t *testing.T) {
	const held = 600 << 10
	f := func(name string, hostile, genuineTo string, change func(*Options)) {
		t.Helper()
		d := open(t, change, func(o *Options) { o.ConnsOfAddress = 1000 })
		var conns []net.Conn
		for range 20 {
			c, err := d.stranger(2)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			io.WriteString(c, strings.Replace(someBody, "sumsub", hostile, 1)+strings.Repeat("x", held))
			conns = append(conns, c)
		}
		body := sample(t, "sumsub", "approved", provider.SampleVars{})
		eventually(t, "the budget is used up", func() bool { return d.bodies.holds() >= 3<<20 })
		for _, size := range []int{len(body), 60 << 10} { // little is had at once
			if a := d.ask(genuine(t, genuineTo, body+strings.Repeat(" ", size-len(body)))); a.status != 200 {
				t.Errorf("%s: a genuine callback of %d bytes: %d", name, size, a.status)
			}
		}
		eventually(t, name+": a genuine callback of a megabyte is taken", func() bool { // once those that hold are late
			return d.ask(genuine(t, genuineTo, body+strings.Repeat(" ", 1<<20-len(body)))).status == 200
		})
		if d.bodies.holds() > 5<<20 {
			t.Errorf("%s: %v bytes are held", name, d.bodies.holds())
		}
		cut := 0
		for _, c := range conns {
			c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			a, err := read(bufio.NewReader(c))
			if timedOut(err) {
				continue
			}
			if cut++; err != nil || a.status != 503 || a.header.Get("Retry-After") != "1" {
				t.Errorf("%s: who was cut is answered %d %v, %v", name, a.status, a.header, err)
			}
		}
		if cut < 10 || cut == len(conns) {
			t.Errorf("%s: %d of %d were cut", name, cut, len(conns))
		}
		if n := d.count(hostile, noRoom); int(n) < cut {
			t.Errorf("%s: %v are counted, and %d were answered", name, n, cut)
		}
	}
	f("all", "sumsub", "sumsub", func(o *Options) { o.Bodies, o.BodiesOfSource, o.BodiesOfClient = 4<<20, 4<<20, 4<<20 })
	f("a source", "other", "sumsub", func(o *Options) { o.Bodies, o.BodiesOfSource, o.BodiesOfClient = 64<<20, 4<<20, 64<<20 })
	f("the same source", "sumsub", "sumsub", func(o *Options) { o.Bodies, o.BodiesOfSource, o.BodiesOfClient = 64<<20, 4<<20, 64<<20 })
	f("an address", "sumsub", "sumsub", func(o *Options) { o.Bodies, o.BodiesOfSource, o.BodiesOfClient = 64<<20, 64<<20, 4<<20 })
}

// TestSlowGivesWayToFast: what is cut is what has made the least progress, however it goes about it, and not a body that keeps coming.
func TestSlowGivesWayToFast(t *testing.T) {
	d := open(t, func(o *Options) { o.Bodies, o.BodiesOfSource, o.BodiesOfClient = 2<<20, 2<<20, 2<<20 })
	b := d.bodies
	src := d.sources["sumsub"]
	fly := func(n int64, due time.Duration) *flight {
		t.Helper()
		near, far := net.Pipe()
		t.Cleanup(func() { near.Close(); far.Close() })
		f := b.start(src, at1, &conn{Conn: near, l: d.ln})
		f.conn.due.Store(elapsed() + int64(due))
		if !b.take(f, n) {
			t.Fatalf("%d bytes are not to be had", n)
		}
		return f
	}
	steady, drips, holds := fly(512<<10, time.Minute), fly(512<<10, -time.Minute), fly(512<<10, -2*time.Minute)
	large := fly(400<<10, time.Minute)
	gave := func(want ...bool) {
		t.Helper()
		for i, f := range []*flight{steady, drips, holds, large} {
			if b.gave(f) != want[i] {
				t.Errorf("flight %d gave way: %v, want %v", i, b.gave(f), want[i])
			}
		}
	}
	if !b.take(large, 400<<10) {
		t.Error("a steady body has to get what a slow one holds")
	}
	gave(false, false, true, false)
	if !b.take(large, 700<<10) {
		t.Error("the second slow one has to give way")
	}
	gave(false, true, true, false)
	if b.take(large, 1<<20) {
		t.Error("more was had than there is")
	}
	gave(false, true, true, false)
	small := b.start(src, at1, large.conn)
	if !b.take(small, 30<<10) {
		t.Error("there is room for it")
	}
	if b.take(steady, 10<<10) { // it has more than a little
		t.Error("a large one has got more than there is")
	}
	other := b.start(src, at1, large.conn)
	if !b.take(other, 60<<10) {
		t.Error("who needs little has to get it from who has more")
	}
	if b.whole(steady) == b.whole(large) {
		t.Error("one of the large ones, and not both, has to give way")
	}
	for _, f := range []*flight{steady, drips, holds, large, small, other} {
		b.end(f)
	}
	if b.holds() != 0 || src.held != 0 || len(b.addresses) != 0 {
		t.Errorf("%v bytes are held, %d of the source, %v", b.holds(), src.held, b.addresses)
	}
}
