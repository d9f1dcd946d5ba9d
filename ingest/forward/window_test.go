package forward

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"countersign/ingest/journal"
)

// queueOf is a partition's queue of groups of these sizes; of one the entry stands alone.
func queueOf(sizes ...int) (es []Entry) {
	for g, n := range sizes {
		for range n {
			e := Entry{Place: journal.At(int64(len(es) + 1)), Message: &Message{Key: []byte("k"), Value: make([]byte, 100)}}
			if n > 1 {
				e.Group = strconv.Itoa(g)
			}
			es = append(es, e)
		}
	}
	return es
}

// batches takes everything out of a window of one partition, and returns the sizes of the batches.
func batches(w *window, maxBytes int) (sizes []int) {
	for len(w.parts[0].queue) > 0 {
		sizes = append(sizes, len(w.take(0, maxBytes).Records))
		w.acked(0, someTime)
	}
	return sizes
}

// What one callback brought goes to a partition in one batch: records of another node could come
// between. Only what is larger than the broker takes is split.
func TestWindowKeepsCallbacksWhole(t *testing.T) {
	const most = 1 << 20
	f := func(what string, maxBytes int, sizes []int, want ...int) {
		t.Helper()
		w := newWindow([]journal.Position{{}})
		w.add(queueOf(sizes...), journal.At(1))
		if got := batches(w, maxBytes); !slices.Equal(got, want) {
			t.Errorf("%s: batches of %v, want %v", what, got, want)
		}
	}
	alone := slices.Repeat([]int{1}, 498)
	f("all that fit", most, []int{1, 3, 1}, 5)
	f("one that would be split comes later", most, append(slices.Clone(alone), 5, 1), 498, 6)
	f("one larger than a batch goes whole", most, []int{600, 1}, 600, 1)
	f("behind others", most, []int{1, 600, 1}, 1, 600, 1)
	f("larger than the broker takes", 100_000, []int{700}, 500, 200)
	f("one that ends with the batch", most, append(slices.Clone(alone), 2, 2), 500, 2)
}

// The same of random queues, with refusals and batches that were too large, and of what is cut off a
// partition that goes on failing.
func TestWindowSplitsNoGroup(t *testing.T) {
	cut := 0
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		var sizes []int
		for range 800 {
			sizes = append(sizes, 1+r.IntN(1+r.IntN(9)))
		}
		w := newWindow([]journal.Position{{}})
		w.add(queueOf(sizes...), journal.At(1))
		q := &w.parts[0]
		for len(q.queue) > 0 {
			n := len(w.take(0, 1<<20).Records)
			switch r.IntN(4) {
			case 0:
				w.refused(0, someTime, waitAfter)
			case 1:
				if q.alone = true; q.hole.Offset == 0 {
					if w.shorten(); q.hole.Offset > 0 && within(sizes, q.hole.Offset) {
						t.Fatalf("seed %d: what is read again begins within a group", seed)
					}
				}
				if q.hole.Offset > 0 {
					cut++
				}
				w.refused(0, someTime, waitAfter)
			default:
				if q.splits(n) {
					t.Fatalf("seed %d: a batch of %d splits a group", seed, n)
				}
				w.acked(0, someTime)
			}
		}
	}
	if cut == 0 {
		t.Error("no queue was ever cut")
	}
}

// within reports whether a place stands in the middle of a group.
func within(sizes []int, place int64) bool {
	at := int64(1)
	for _, n := range sizes {
		if at == place {
			return false
		}
		at += int64(n)
	}
	return true
}
