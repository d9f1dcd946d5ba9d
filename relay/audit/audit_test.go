package audit

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/outbox/store"
)

// race is whether the race detector runs.
var race bool

// rig is a trail in a real file.
type rig struct {
	t     *testing.T
	dir   string
	store *store.Store
	stop  func()
}

func newRig(t *testing.T) *rig {
	t.Helper()
	g := &rig{t: t, dir: t.TempDir()}
	g.open()
	t.Cleanup(func() { g.stop() })
	return g
}

func (g *rig) open() {
	g.t.Helper()
	s, err := store.Open(store.Options{Dir: g.dir})
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	g.store = s
	g.stop = func() {
		cancel()
		if err := <-done; err != nil {
			g.t.Error(err)
		}
		if err := s.Close(); err != nil {
			g.t.Error(err)
		}
		g.stop = func() {}
	}
}

var epoch = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// write appends n entries, a minute apart: each third was refused, each fourth is about ann.
func (g *rig) write(n int) (heads []Head) {
	g.t.Helper()
	for len(heads) < n {
		err := g.store.Update(g.t.Context(), func(tx *store.Tx) error {
			last, err := HeadOf(tx)
			if err != nil {
				return err
			}
			var some []Head
			for i := range min(1000, n-len(heads)) {
				number := int(last.Number) + i + 1
				e := Entry{Kind: Done, At: epoch.Add(time.Duration(number) * time.Minute), Call: fmt.Sprint("POST /v1/{id}/", number%5), Actor: fmt.Sprint("kim", number%2), Path: fmt.Sprint("/v1/", number)}
				if number%3 == 0 {
					e.Kind, e.Status, e.Error = Refused, 400, "no"
				}
				if number%4 == 0 {
					e.Persons = []string{"person:ann"}
				}
				if number%7 == 0 {
					e.Endpoints = []string{"acme-main", "acme-risk"}[:1+number%2]
				}
				h, err := Append(tx, &e)
				if err != nil {
					return err
				}
				some = append(some, h)
			}
			heads = append(heads, some...)
			return nil
		})
		if err != nil {
			g.t.Fatal(err)
		}
	}
	return heads
}

// late is when everything that was refused may have been reduced.
var late = epoch.AddDate(1, 0, 0)

const month = 30 * 24 * time.Hour

// verify walks all of the chain, so many entries a step.
func (g *rig) verify(noted *Head, most int) (all Verification) {
	g.t.Helper()
	for from := (Head{}); ; {
		v, err := Verify(g.store.View, from, most, noted, late, month)
		if err != nil {
			g.t.Fatal(err)
		}
		all.Entries, all.Reduced, all.Damaged, all.Faults = all.Entries+v.Entries, all.Reduced+v.Reduced, all.Damaged+v.Damaged, all.Faults+v.Faults
		all.Troubles = append(all.Troubles, v.Troubles...)
		if v.Noted != Pending {
			all.Noted = v.Noted
		}
		if v.Done {
			all.First, all.Head, all.Anchor, all.Done = v.First, v.Head, v.Anchor, true
			return all
		}
		from = Head{Number: v.At.Number, Hash: v.At.Hash}
	}
}

// TestChain: what was written is verified, in one step and in many; each head is a part of it, and
// no other is.
func TestChain(t *testing.T) {
	g := newRig(t)
	if v := g.verify(nil, 1); !v.Sound() || v.Entries != 0 || v.Head.Number != 0 {
		t.Errorf("an empty trail: %+v", v)
	}
	heads := g.write(2500)
	g.stop()
	g.open() // over a restart
	heads = append(heads, g.write(7)...)
	for _, most := range []int{1, 2000, 1 << 20} {
		v := g.verify(nil, most)
		if !v.Sound() || v.Entries != 2507 || v.Head != heads[2506] || v.First.Number != 1 || !v.First.At.Equal(heads[0].At) {
			t.Errorf("in steps of %d: %+v", most, v)
		}
		for _, i := range []int{0, 1, 998, 999, 1000, 1001, 2500, 2506} {
			if v := g.verify(&heads[i], most); v.Noted != Proved || !v.Sound() {
				t.Errorf("head %d in steps of %d: %+v", i, most, v)
			}
			other := heads[i]
			other.Hash[7] ^= 1
			if v := g.verify(&other, most); v.Noted != NotInIt || v.Sound() {
				t.Errorf("another head %d in steps of %d: %q", i, most, v.Noted)
			}
		}
		if v := g.verify(&Head{Number: 2508}, most); v.Noted != NotInIt {
			t.Errorf("a head from before a truncation, in steps of %d: %q", most, v.Noted)
		}
	}
	back, err := ParseHead(heads[5].String())
	if err != nil || back.Number != 6 || back.Hash != heads[5].Hash {
		t.Errorf("%s is read as %s, %v", heads[5], back, err)
	}
	for _, wrong := range []string{"", "6", "6:", "6:00", "x:" + strings.Repeat("0", 64), "6:" + strings.Repeat("0", 66), "6:" + strings.Repeat("g", 64)} {
		if h, err := ParseHead(wrong); err == nil {
			t.Errorf("%q is read as %s", wrong, h)
		}
	}
}

// TestRetention: refused calls leave their hash, the front leaves its last hash; the chain stays
// whole, and a head is proved as long as its entry is there.
func TestRetention(t *testing.T) {
	g := newRig(t)
	heads := g.write(2000)
	at := func(n int) time.Time { return epoch.Add(time.Duration(n) * time.Minute) }
	reduce := func(before time.Time) {
		for after, more := uint64(0), true; more; {
			var err error
			if after, more, err = Reduce(t.Context(), g.store, after, before); err != nil {
				t.Fatal(err)
			}
		}
	}
	reduce(at(1501))
	v := g.verify(&heads[2], 1<<20)
	if !v.Sound() || v.Reduced != 500 || v.Entries != 2000 || v.Noted != Proved {
		t.Errorf("reduced: %+v", v)
	}
	reduce(at(1501)) // again, from the start: nothing is taken twice
	for more := true; more; {
		var err error
		if more, err = Leave(t.Context(), g.store, at(1201), late); err != nil {
			t.Fatal(err)
		}
	}
	v = g.verify(nil, 1<<20)
	if !v.Sound() || v.Entries != 800 || v.First.Number != 1201 || v.Anchor.Number != 1200 || v.Anchor.Hash != heads[1199].Hash || !v.Anchor.Left.Equal(late) {
		t.Errorf("the front has left: %+v", v)
	}
	for n, want := range map[int]Proof{1199: TooEarly, 1200: Proved, 1201: Proved, 2000: Proved} {
		if v := g.verify(&heads[n-1], 300); v.Noted != want {
			t.Errorf("head %d: %q, want %q", n, v.Noted, want)
		}
	}
	err := g.store.View(func(tx *store.Tx) error { // and nothing leads to what has gone
		return tx.Bucket(store.Audit).ForEach(func(k, _ []byte) error {
			if k[0] == personKeys && k[len(k)-2] == 0 && k[len(k)-1] < 200 {
				t.Errorf("%x is left", k)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for more := true; more; {
		if more, err = Leave(t.Context(), g.store, late, late); err != nil {
			t.Fatal(err)
		}
	}
	next := g.write(1)
	if v := g.verify(&heads[1999], 1); !v.Sound() || v.Entries != 2 || next[0].Number != 2001 {
		t.Errorf("when all have had their time: %+v, next %s", v, next[0])
	}
}

// TestFilters: each filter gives what a walk over everything gives, in pages and as a stream, and
// looks at a bounded number of records for a page.
func TestFilters(t *testing.T) {
	g := newRig(t)
	g.write(3000)
	all := func(f Filter) (ns []uint64) {
		f.All = true
		if _, err := Walk(g.store, Filter{All: true}, 0, func(some []Listed) error {
			for _, l := range some {
				if (f.Actor == "" || l.Actor == f.Actor) && (f.Person == "" || slices.Contains(l.Persons, f.Person)) && (f.Endpoint == "" || slices.Contains(l.Endpoints, f.Endpoint)) && (f.Call == "" || strings.Contains(l.Call, f.Call)) &&
					(f.Outcome == "" || (l.Kind == Done) == (f.Outcome == "ok")) && (f.Since.IsZero() || !l.At.Before(f.Since)) && (f.Until.IsZero() || l.At.Before(f.Until)) {
					ns = append(ns, l.Number)
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return ns
	}
	at := func(n int) time.Time { return epoch.Add(time.Duration(n) * time.Minute) }
	for _, f := range []Filter{
		{},
		{Actor: "kim1"},
		{Person: "person:ann"},
		{Person: "person:bob"},
		{Endpoint: "acme-main"},
		{Endpoint: "acme-risk", Actor: "kim1", Since: at(100)},
		{Endpoint: "acme"},
		{Call: "/3"},
		{Outcome: "ok"},
		{Outcome: "refused"},
		{Since: at(700), Until: at(1300)},
		{Actor: "kim0", Person: "person:ann", Call: "/4", Outcome: "refused", Since: at(100), Until: at(2900)},
		{Actor: "nobody"},
	} {
		want := all(f)
		var paged, streamed []uint64
		for from, more := uint64(0), true; more; {
			p, err := List(g.store, f, from, 70)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range p.Entries {
				paged = append(paged, l.Number)
			}
			from, more = p.Before, p.More
		}
		slices.Reverse(paged)
		if _, err := Walk(g.store, f, 0, func(some []Listed) error {
			for _, l := range some {
				streamed = append(streamed, l.Number)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(paged, want) || !slices.Equal(streamed, want) {
			t.Errorf("%+v: %d in pages, %d streamed, want %d", f, len(paged), len(streamed), len(want))
		}
	}
}

// TestListIsBounded: a page of a long trail is found without a walk, whatever is asked for.
func TestListIsBounded(t *testing.T) {
	g := newRig(t)
	n := uint64(100_000)
	if race {
		n /= 5
	}
	half := epoch.Add(time.Duration(n/2) * time.Minute)
	g.write(int(n))
	for _, f := range []Filter{{}, {Actor: "nobody"}, {Call: "nothing"}, {Person: "person:ann", Actor: "nobody"}, {Endpoint: "acme-main", Actor: "nobody"}, {Since: half}, {Until: half}} {
		before := time.Now()
		p, err := List(g.store, f, 0, 100)
		took := time.Since(before)
		if err != nil || p.More != (p.Before > 1) && f.Since.IsZero() && f.Endpoint == "" { // of an endpoint the first entry is not number 1
			t.Errorf("%+v: %v, more %v before %d", f, err, p.More, p.Before)
		}
		if looked := n - p.Before; f.about() == "" && f.Until.IsZero() && looked > lookMost+step {
			t.Errorf("%+v: %d were looked at", f, looked)
		}
		t.Logf("%+v: %d entries in %s", f, len(p.Entries), took)
	}
	before := time.Now()
	v := g.verify(nil, 50_000)
	if !v.Sound() || v.Entries != int64(n) {
		t.Errorf("%+v", v)
	}
	t.Logf("%d entries verified in %s, %s", v.Entries, time.Since(before), filepath.Base(g.store.Path()))
}
