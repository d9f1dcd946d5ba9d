package cluster

import (
	"testing"

	"countersign/relay"
)

// clearedTooEarly is the history, with two zombies, in which whoever clears before a watermark of its
// own is committed loses a record. The dice seldom find it.
func clearedTooEarly(t *testing.T, m mistake) []string {
	w := newWorld(t, 1, m)
	w.sure = true
	defer func() {
		for _, n := range w.nodes {
			n.lose()
		}
	}()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fold := func(n *node) {
		for n.p.position() < w.logs[Updates].end || !n.p.CaughtUp() {
			_, err := n.p.FoldSome(ctx)
			must(err)
		}
	}
	publish := func(n *node) {
		for first := true; first || len(n.p.round.strands) > 0; first = false {
			_, err := n.p.CheckpointSome(ctx, 100)
			must(err)
		}
	}
	give := func(n *node) {
		w.member++
		n.take()
	}
	say := func() {
		w.tick++
		w.sayOf("user-0")
	}
	a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]
	say()
	give(a)
	fold(a)
	publish(a)
	_, err := a.p.CheckpointSome(ctx, 100)
	must(err) // a's watermark rests on what a has published
	give(b)
	fold(b)
	say()
	fold(a)
	publish(a) // a does not know that it is none, and publishes more than b knows
	give(a)    // with its file: what it has published covers what it has
	fold(a)
	_, err = a.p.CheckpointSome(ctx, 100)
	must(err)
	b.p.dirty.add(relay.PersonStrand("acme/user-0"))
	publish(b) // b neither: it publishes less
	_, err = b.p.ClearSome(ctx, 100)
	must(err)
	a.kill()
	b.kill()
	give(c)
	if w.rest(); len(w.problems) == 0 {
		w.judge()
	}
	return w.problems
}

// TestClearedTooEarly: what an older owner has published stays until a watermark of the later one is
// committed.
func TestClearedTooEarly(t *testing.T) {
	t.Parallel()
	if problems := clearedTooEarly(t, none); len(problems) > 0 {
		t.Error(problems[0])
	}
}
