package outbox

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"countersign/outbox/store"
)

// owedIDs walks a list page by page, and says what is in it.
func (r *rig) owedIDs(t *testing.T, q OwedQuery) (list []Listed) {
	t.Helper()
	for range 10_000 {
		var p Page[Listed]
		err := r.s.View(func(tx *store.Tx) (err error) {
			p, err = r.ListOwed(tx, q)
			return err
		})
		if err != nil || len(p.List) > q.Most || p.Looked > q.Look {
			t.Fatalf("%d entries, %d looked at: %v", len(p.List), p.Looked, err)
		}
		list = append(list, p.List...)
		if q.After = p.Next; p.Next == "" {
			return list
		}
	}
	t.Fatal("the list has no end")
	return nil
}

// TestListOwed: whatever is owed, and however many a page has or looks at, what is pending and what
// is retrying come once each, as they will be tried, each lane in its order.
func TestListOwed(t *testing.T) {
	c := newClock()
	random := rand.New(rand.NewPCG(3, 4))
	endpoints := []Endpoint{{ID: "a"}, {ID: "a-b"}, {ID: "b"}}
	r := startRig(t, store.Options{}, Options{Now: c.now}, endpoints...)
	for lane := range 30 {
		for _, e := range endpoints {
			for seq := range uint64(random.IntN(4)) {
				d := change(e.ID, fmt.Sprint("lane-", lane), seq+1)
				d.Owed = c.now()
				r.put(t, d)
			}
		}
		c.add(time.Duration(random.IntN(3)) * time.Second)
		if random.IntN(3) == 0 {
			for _, e := range endpoints {
				for _, d := range r.claim(t, e.ID, 2) {
					r.settle(t, Attempt{Delivery: d, Outcome: Retry, Reason: "http_5xx", Code: 500, Detail: "it answered 500", At: c.now(), Took: time.Second, Retry: c.now().Add(time.Duration(random.IntN(20)) * time.Second)})
				}
			}
		}
	}
	r.audit(t)
	want := map[string]bool{}
	r.update(t, func(tx *store.Tx) error {
		for id := range inspect(tx, r.Outbox, nil).owed {
			d := Delivery{Endpoint: id.endpoint, WebhookID: fmt.Sprintf("evt_%s-%d", id.lane, id.seq)}
			want[d.ID()+" of "+id.lane] = true
		}
		return nil
	})
	every := func(string) bool { return true }
	for _, look := range []int{1, 3, 1000} {
		for _, most := range []int{1, 2, 1000} {
			seen := map[string]bool{}
			for _, retrying := range []bool{true, false} {
				var last time.Time
				behind := map[string]uint64{}
				for _, l := range r.owedIDs(t, OwedQuery{Wanted: every, Retrying: retrying, Most: most, Look: look}) {
					id := l.ID() + " of " + l.Lane
					if seen[id] || l.Next.Before(last) || l.Retrying() != retrying || l.Sequence <= behind[l.Endpoint+l.Lane] || l.Body != nil {
						t.Errorf("by %d and %d: %s again or out of order: %+v", most, look, id, l)
					}
					if retrying != (l.Last != nil) || retrying && (l.Last.Detail != "it answered 500" || l.Failures < 1) {
						t.Errorf("%s failed last as %+v", id, l.Last)
					}
					seen[id], last, behind[l.Endpoint+l.Lane] = true, l.Next, l.Sequence
				}
			}
			if len(seen) != len(want) {
				t.Errorf("by %d and %d: %d are listed of %d", most, look, len(seen), len(want))
			}
			for id := range want {
				if !seen[id] {
					t.Errorf("by %d and %d: %s is not listed", most, look, id)
				}
			}
		}
	}
	for lane := range 30 {
		name, n := fmt.Sprint("lane-", lane), 0
		for _, retrying := range []bool{true, false} {
			for _, l := range r.owedIDs(t, OwedQuery{Wanted: func(e string) bool { return e != "b" }, Lane: name, Retrying: retrying, Most: 1, Look: 2}) {
				if n++; l.Lane != name || l.Endpoint == "b" {
					t.Errorf("of %s: %+v", name, l)
				}
			}
		}
		for id := range want {
			if d, ok := strings.CutSuffix(id, " of "+name); ok && !strings.HasSuffix(d, "@b") {
				n--
			}
		}
		if n != 0 {
			t.Errorf("of %s %d too many are listed", name, n)
		}
	}
	for _, place := range []string{"nonsense", "a", "a\x00\x09", strings.Repeat("x", 100)} {
		err := r.s.View(func(tx *store.Tx) error {
			_, err := r.ListOwed(tx, OwedQuery{Wanted: every, After: place, Most: 1, Look: 1})
			return err
		})
		if !errors.Is(err, ErrPlace) {
			t.Errorf("a list goes on from %q: %v", place, err)
		}
	}
}
