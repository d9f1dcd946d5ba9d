package ingest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"countersign/ingest/provider"
)

var at1 = netip.MustParseAddr("198.51.100.1")

// TestHoldingBodies: eight hundred connections that send nearly a megabyte each and hold cost what
// the budget says.
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

// TestBodiesHaveABudget: connections that send much and hold are cut when the memory for bodies is
// used up, with an answer, and a genuine callback of any size gets what it needs.
func TestBodiesHaveABudget(t *testing.T) {
	const held = 600 << 10
	f := func(name, hostile, genuineTo string, change func(*Options)) {
		t.Helper()
		d := open(t, change, func(o *Options) { o.ConnsOfAddress, o.ReadTimeout = 1000, time.Minute })
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
			c.SetReadDeadline(time.Now().Add(4 * glance))
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

// TestSlowGivesWayToFast: what is cut is what has made the least progress, however it goes about
// it, and not a body that keeps coming.
func TestSlowGivesWayToFast(t *testing.T) {
	d := open(t, func(o *Options) { o.Bodies, o.BodiesOfSource, o.BodiesOfClient = 2<<20, 2<<20, 2<<20 })
	b := d.bodies
	src := d.set.Load().sources["sumsub"]
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
	if b.holds() != 0 || src.tally.held != 0 || len(b.addresses) != 0 {
		t.Errorf("%v bytes are held, %d of the source, %v", b.holds(), src.tally.held, b.addresses)
	}
}
