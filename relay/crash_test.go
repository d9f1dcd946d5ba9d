package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/store"
)

// crowd is two partners with four endpoints: one that fails now and then, one that takes nothing
// before the end, one with few words, one of the other partner.
type crowd struct {
	steady, late, sparse, other *partner
	partners                    []Partner
}

func newCrowd(t *testing.T, seed uint64) *crowd {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 2))
	coins := make(chan bool, 1)
	coins <- true
	moody := func(h hit) reply {
		<-coins
		n := r.IntN(10)
		coins <- true
		switch n {
		case 0:
			return reply{code: http.StatusInternalServerError}
		case 1:
			return reply{reset: true}
		}
		return ok(h)
	}
	c := &crowd{steady: newPartner(t, moody), late: newPartner(t, always(http.StatusInternalServerError)), sparse: newPartner(t, ok), other: newPartner(t, ok)}
	c.partners = []Partner{
		acme(
			c.steady.endpoint("acme-all"), c.late.endpoint("acme-late", only("kyc.status.*"), hourly),
			c.sparse.endpoint("acme-sparse", func(e *Endpoint) { e.Format = blendfiV1 }),
		),
		{ID: "globex", Endpoints: []Endpoint{c.other.endpoint("globex-all", only("kyc.status.*", "kyc.check.clear"))}},
	}
	return c
}

// finish lets everybody accept, waits until nothing is owed, and returns what is wrong at the
// partners and in the relay's books.
func (c *crowd) finish(t *testing.T, g *rig, m *model) (wrong []string) {
	t.Helper()
	g.close()
	c.late.from(ok)
	c.steady.from(ok) // else what failed before the clock moves and after it would be refused
	g.clock.advance(2 * time.Hour)
	g.open()
	g.run()
	g.settled()
	for id, p := range map[string]*partner{"acme-all": c.steady, "acme-late": c.late, "acme-sparse": c.sparse, "globex-all": c.other} {
		for _, w := range judge(p.seen(), m.owed[id]) {
			wrong = append(wrong, id+": "+w)
		}
		if n := len(g.dead(id)); n > 0 {
			wrong = append(wrong, fmt.Sprintf("%s: %d dead", id, n))
		}
	}
	return append(wrong, m.compare(t, g.relay)...)
}

// TestStops stops, restarts and crashes a relay at random while it folds and delivers: in the end
// everything is as if nothing had happened (I2, I3, I4, I5).
func TestStops(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 3))
			us := randomUpdates(seed, 90)
			c := newCrowd(t, seed)
			g := newRig(t, c.partners...)
			g.grace = 100 * time.Millisecond // a relay whose store is gone settles nothing
			g.restart()
			m := newModel(c.partners...)
			m.take(t, time.Now(), us...)
			for len(us) > 0 {
				n := min(len(us), 1+r.IntN(18))
				g.tell(us[:n]...)
				us = us[n:]
				<-time.After(time.Duration(r.IntN(3000)) * time.Microsecond)
				switch r.IntN(8) {
				case 0:
					g.restart()
				case 1:
					g.crash()
				case 2:
					g.loseStore()
				case 3:
					g.again()
				}
			}
			for _, w := range c.finish(t, g, m) {
				t.Error(w)
			}
		})
	}
}

// loseStore stops the store under a running relay, and starts both again.
func (g *rig) loseStore() {
	g.t.Helper()
	g.haltStore()
	g.stopRelay()
	if err := g.ended(); err != nil && !errors.Is(err, store.ErrClosed) {
		g.t.Errorf("relay: %v", err)
	}
	g.shut()
	g.open()
	g.run()
}

// again stops the relay and makes a new one on the same open store: nothing of the first may be
// left running.
func (g *rig) again() {
	g.t.Helper()
	if err := g.halt(); err != nil {
		g.t.Error(err)
	}
	g.reg = prometheus.NewRegistry()
	g.makeRelay(slog.New(slog.NewJSONHandler(&g.log, nil)))
	g.run()
}

// fault is a way for the process to die between a batch and its commit, or to break I2.
type fault string

const (
	dieBefore     fault = "dies before the commit"
	dieAfter      fault = "dies after the commit"
	positionFirst fault = "commits the position, then the effects" // breaks I2
	effectsFirst  fault = "commits the effects, then the position" // breaks I2
)

var errDied = errors.New("died")

// mortal is a journal whose reader dies at its n-th batch.
type mortal struct {
	*journal.Bolt
	g     *rig
	fault fault
	left  int
	died  atomic.Bool
	dir   string // what is left of it
}

func (j *mortal) Tail(ctx context.Context, from journal.Position, fn func(context.Context, []journal.Record) error) error {
	return j.Bolt.Tail(ctx, from, func(ctx context.Context, rs []journal.Record) error {
		if j.left--; j.left != 0 {
			return fn(ctx, rs)
		}
		j.died.Store(true)
		before, last := rs[0].Position.Plus(-1), rs[len(rs)-1].Position
		switch j.fault {
		case dieBefore:
		case positionFirst:
			j.g.setPosition(last)
		case effectsFirst, dieAfter:
			if err := fn(ctx, rs); err != nil {
				return err
			}
			if j.fault == effectsFirst {
				j.g.setPosition(before)
			}
		}
		j.dir = j.g.snapshot()
		return errDied
	})
}

// Passed keeps everything, so that a position that was set back finds its records again.
func (j *mortal) Passed(context.Context, journal.Position) error { return nil }

func (g *rig) setPosition(at journal.Position) {
	g.tamper(func(tx *store.Tx) error {
		return journal.WritePosition(tx, positionKey, at)
	})
}

// dies runs a relay over random updates; it dies at some batches, each time by the same fault.
func dies(t *testing.T, seed uint64, f fault) (wrong []string) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 4))
	us := randomUpdates(seed, 60)
	c := newCrowd(t, seed)
	m := newModel(c.partners...)
	m.take(t, time.Now(), us...)
	g := newRig(t, c.partners...)
	var j *mortal
	g.wrap = func(b *journal.Bolt) readAndWritten {
		j = &mortal{Bolt: b, g: g, fault: f, left: 1 + r.IntN(4)}
		return j
	}
	quiet := func() bool { return g.position() == g.appended && !j.died.Load() || !g.alive() }
	for range 3 {
		g.reopen(g.dir)
		g.run()
		eventually(t, "the first batch is folded or the relay is dead", quiet)
		for len(us) > 0 && g.alive() {
			n := min(len(us), 1+r.IntN(5))
			g.tell(us[:n]...)
			us = us[n:]
			eventually(t, "the batch is folded or the relay is dead", quiet)
		}
		if g.alive() {
			break
		}
		if err := g.ended(); !errors.Is(err, errDied) {
			t.Fatalf("the relay ended with %v", err)
		}
		g.haltStore()
		g.shut()
		g.dir = j.dir
		g.open()
	}
	g.wrap = nil
	g.reopen(g.dir)
	g.run()
	g.tell(us...)
	return c.finish(t, g, m)
}

func (g *rig) reopen(dir string) {
	g.t.Helper()
	g.close()
	g.dir = dir
	g.open()
}

// alive reports whether Run goes on.
func (g *rig) alive() bool {
	select {
	case err := <-g.relayDone:
		g.relayDone <- err
		return false
	default:
		return true
	}
}

// TestDeath dies between fold and commit, before and after: nothing is repeated and nothing skipped
// (I2). The negative controls break I2, and must be seen.
func TestDeath(t *testing.T) {
	f := func(fault fault, sound bool) {
		t.Helper()
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			seen := 0
			for seed := range uint64(4) {
				wrong := dies(t, seed, fault)
				if sound {
					for _, w := range wrong {
						t.Error(w)
					}
				}
				seen += len(wrong)
			}
			if !sound && seen == 0 {
				t.Error("nobody has noticed: the checker cannot fail")
			}
		})
	}
	f(dieBefore, true)
	f(dieAfter, true)
	f(positionFirst, false)
	f(effectsFirst, false)
}

// TestBatches folds the same records in batches of different sizes: the result is the same.
func TestBatches(t *testing.T) {
	t.Parallel()
	f := func(seed uint64, size int) {
		t.Helper()
		us := randomUpdates(seed, 120)
		c := newCrowd(t, seed)
		g := newRig(t, c.partners...)
		m := newModel(c.partners...)
		m.take(t, time.Now(), us...)
		rs := make([]journal.Record, len(us))
		for i, u := range us {
			rs[i] = g.record(u)
			rs[i].Position = g.at(int64(i + 1))
		}
		g.write(rs...)
		if err := g.registry.RegisterPolicies(t.Context()); err != nil {
			t.Fatal(err)
		}
		for len(rs) > 0 {
			n := min(size, len(rs))
			if err := g.relay.fold(t.Context(), rs[:n]); err != nil {
				t.Fatal(err)
			}
			rs = rs[n:]
		}
		for _, w := range m.compare(t, g.relay) {
			t.Errorf("seed %d in batches of %d: %s", seed, size, w)
		}
		g.run()
		for _, w := range c.finish(t, g, m) {
			t.Errorf("seed %d in batches of %d: %s", seed, size, w)
		}
	}
	f(100, 1)
	f(100, 7)
	f(100, 120)
	f(101, 1)
	f(101, 40)
	f(101, 120)
}

// TestModel keeps the model from being empty talk: random updates lead to every verdict and to many
// changes.
func TestModel(t *testing.T) {
	t.Parallel()
	p := newPartner(t, ok)
	verdicts := map[kyc.Verdict]int{}
	waiting := 0
	for seed := range uint64(16) {
		m := newModel(acme(p.endpoint("a")), Partner{ID: "globex"})
		m.take(t, time.Now(), randomUpdates(seed, 90)...)
		waiting += len(m.waiting)
		for _, l := range m.lanes {
			for _, r := range l.records {
				verdicts[r.Verdict]++
			}
		}
	}
	for _, v := range []kyc.Verdict{kyc.Applied, kyc.Duplicate, kyc.Stale, kyc.Superseded, kyc.Held} {
		if verdicts[v] == 0 {
			t.Errorf("no record was %s", v)
		}
	}
	if waiting == 0 {
		t.Error("no record waits for its ref")
	}
}
