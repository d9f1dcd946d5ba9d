package cluster

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"

	"countersign/ingest/journal"
	"countersign/outbox"
	"countersign/outbox/store"
)

// failed notes that something is not as it must be. A history ends with its first failure.
func (w *world) failed(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// owner is the node that owns the partition; nil: nobody does.
func (w *world) owner() *node {
	for _, n := range w.nodes {
		if n.p != nil && n.port.member == w.member {
			return n
		}
	}
	return nil
}

// assign has the group give the partition to somebody, and whoever had it goes on as a zombie, or
// does not.
func (w *world) assign() {
	if was := w.owner(); was != nil && w.oneIn(2) {
		was.kill()
	} else if was != nil {
		w.zombies++
	}
	w.member++
	n := w.nodes[w.dice.IntN(len(w.nodes))]
	if w.oneIn(3) {
		n.lose()
	}
	n.take()
}

// step makes one thing happen.
func (w *world) step() {
	w.tick++
	switch w.dice.IntN(36) {
	case 0, 1, 2, 3, 4:
		w.say()
	case 5:
		w.compact()
	case 6:
		w.retain()
	case 7:
		w.orderAgain()
	case 8:
		w.assign()
	case 9:
		if n := w.nodes[w.dice.IntN(len(w.nodes))]; w.oneIn(3) {
			n.lose()
		} else if w.oneIn(3) {
			n.kill()
		}
	default:
		n := w.owner()
		if zombie := w.nodes[w.dice.IntN(len(w.nodes))]; w.oneIn(3) {
			n = zombie
		}
		switch {
		case n != nil && n.p != nil:
			n.step()
		case w.owner() == nil:
			w.assign()
		}
	}
}

// rest lets everything come to rest: the last owner does all there is to do, and the partner accepts
// everything.
func (w *world) rest() {
	for _, n := range w.nodes {
		if n != w.owner() {
			n.kill()
		}
	}
	for range 400 {
		w.tick++
		n := w.owner()
		if n == nil {
			w.assign()
			continue
		}
		if w.quiet(n) || len(w.problems) > 0 {
			return
		}
		ctx := w.t.Context()
		for _, do := range []func() error{
			func() error { _, err := n.p.FoldSome(ctx); return err },
			func() error { return n.deliver(true) },
			func() error { _, err := n.p.TellReceipts(ctx); return err },
			func() error { _, err := n.p.ReceiveSome(ctx); return err },
			func() error { _, err := n.p.CheckpointSome(ctx, 20); return err },
		} {
			n.went(do())
		}
	}
	w.failed("it does not come to rest")
}

func (w *world) quiet(n *node) bool {
	owed, queued := int64(0), 0
	for _, e := range endpoints {
		owed += n.outbox.Owed(e)
	}
	err := n.store.View(func(tx *store.Tx) error {
		queued = len(Unsent(tx))
		return nil
	})
	return err == nil && n.p.CaughtUp() && n.p.position() == w.logs[Updates].end && owed == 0 && queued == 0 && n.p.receipts == w.logs[Receipts].end
}

// judge holds what is there to what the log says, folded by one node that nothing ever happened to.
func (w *world) judge() {
	judge := &node{w: w, name: "judge", port: &port{w, -1}}
	judge.open()
	defer judge.lose()
	var rs []journal.Record
	for i := range w.first {
		rs = append(rs, judge.p.updateOf(&w.first[i]))
	}
	if err := judge.relay.Fold(w.t.Context(), rs); err != nil {
		w.t.Fatal(err)
	}
	want, got := w.subjects(judge), w.subjects(w.owner())
	for lane, is := range want {
		if !bytes.Equal(is, got[lane]) {
			w.failed("%s is\n%x, and its log says\n%x", lane, got[lane], is)
		}
	}
	for lane := range got {
		if want[lane] == nil {
			w.failed("%s was invented", lane)
		}
	}
	w.judgeDeliveries(judge)
}

// subjects are the records of all persons, but for whether they were ahead of their file.
func (w *world) subjects(n *node) map[string][]byte {
	all := map[string][]byte{}
	err := n.store.View(func(tx *store.Tx) error {
		return tx.Bucket(store.Subjects).ForEach(func(k, v []byte) error {
			v = bytes.Clone(v)
			size, length := binary.Uvarint(v[1:])
			v[1+length+int(size)] &^= 2
			all[string(k)] = v
			return nil
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// judgeDeliveries: all that was owed has arrived, or has died and was not ordered again since; in
// order; nothing else has.
func (w *world) judgeDeliveries(judge *node) {
	owed := map[string]string{}
	err := judge.store.View(func(tx *store.Tx) error {
		page, err := judge.outbox.ListOwed(tx, outbox.OwedQuery{Wanted: func(string) bool { return true }, Most: 10_000, Look: 100_000})
		for _, d := range page.List {
			l, _ := judge.outbox.FindOwed(tx, d.Endpoint, d.Lane, d.Sequence)
			owed[d.ID()] = string(l.Body)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for id, body := range owed {
		is, arrived := w.bodies[id]
		ordered, again := w.ordered[id]
		ended, did := w.ended[id]
		switch {
		case arrived && is != body:
			w.failed("%s was altered: %s, want %s", id, is, body)
		case !did:
			w.failed("%s was lost", id)
		case again && !arrived && ended <= ordered:
			w.failed("%s was ordered again at %d, and nobody tried", id, ordered)
		}
	}
	for id := range w.bodies {
		if _, ok := owed[id]; !ok {
			w.failed("%s was invented", id)
		}
	}
	for lane, as := range w.told {
		last, seen := uint64(0), map[string]bool{}
		for _, a := range as {
			if w.died[a.id] || seen[a.id] {
				continue // who comes after may not know that it died
			}
			if seen[a.id] = true; a.sequence < last {
				w.failed("%s: %d was told first after %d", lane, a.sequence, last)
			}
			last = a.sequence
		}
	}
}

// history lives through one, and returns what is not as it must be.
func history(t *testing.T, seed uint64, m mistake, all *counts) []string {
	t.Helper()
	w := newWorld(t, seed, m)
	defer func() {
		for _, n := range w.nodes {
			n.lose()
		}
	}()
	for range 150 + w.dice.IntN(150) {
		if w.step(); len(w.problems) > 0 {
			return w.problems
		}
	}
	if w.rest(); len(w.problems) == 0 {
		w.judge()
	}
	all.add(&w.counts)
	return w.problems
}

func (c *counts) add(o *counts) {
	for _, x := range [][2]*int{
		{&c.takeovers, &o.takeovers},
		{&c.cold, &o.cold},
		{&c.warm, &o.warm},
		{&c.rounds, &o.rounds},
		{&c.cleared, &o.cleared},
		{&c.repeats, &o.repeats},
		{&c.zombies, &o.zombies},
		{&c.orders, &o.orders},
		{&c.crashes, &o.crashes},
		{&c.restored, &o.restored},
		{&c.timers, &o.timers},
	} {
		*x[0] += *x[1]
	}
}

// histories is how many a test lives through: HISTORIES, or what it says itself.
func histories(n uint64) uint64 {
	if more, err := strconv.ParseUint(os.Getenv("HISTORIES"), 10, 64); err == nil {
		return more
	}
	return n
}

// TestHistories: whatever becomes of the nodes, their files and their answers, each person stands
// where the log says, and each delivery arrives, in order, as it was.
func TestHistories(t *testing.T) {
	t.Parallel()
	var all counts
	n := histories(few)
	for seed := range n {
		if problems := history(t, seed, none, &all); len(problems) > 0 {
			t.Fatalf("history %d: %s", seed, problems[0])
		}
	}
	t.Logf("%d histories: %+v", n, all)
	if slices.Contains([]int{all.takeovers, all.cold, all.warm, all.rounds, all.cleared, all.repeats, all.zombies, all.orders, all.crashes, all.restored, all.timers}, 0) {
		t.Errorf("%+v: this shows nothing of what never happened", all)
	}
}
