package outbox

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"countersign/outbox/store"
)

// annsLanes is a rig that owes five deliveries of ann to two endpoints, and others to others.
func annsLanes(t *testing.T, c *clock) *rig {
	t.Helper()
	r := startRig(t, store.Options{}, Options{Now: c.now}, Endpoint{ID: "a"}, Endpoint{ID: "b"})
	for seq := range uint64(5) {
		r.put(t, change("a", "ann", 4+seq), change("b", "ann", 4+seq))
	}
	for i := range 50 {
		r.put(t, change("a", fmt.Sprint("ann", i), 1), change("b", fmt.Sprint("an", i), 1))
	}
	return r
}

// TestOwedIn: what is owed in a lane is listed in its order: the head says when it is due, and the
// others behind which they stand; other lanes and other endpoints cost no look.
func TestOwedIn(t *testing.T) {
	c := newClock()
	r := annsLanes(t, c)
	f := func(n int, wantMore bool, want ...uint64) {
		t.Helper()
		_ = r.s.View(func(tx *store.Tx) error {
			list, more := r.OwedIn(tx, "a", "ann", n)
			var seqs []uint64
			for i := range list {
				o := &list[i]
				seqs = append(seqs, o.Sequence)
				if head := o.Sequence == 4; head == o.Next.IsZero() || head != (o.Behind == 0) || !head && o.Behind != 4 || o.ID != o.WebhookID+"@a" || o.Type == "" || len(o.Body) == 0 || o.Since.IsZero() {
					t.Errorf("%+v", o)
				}
			}
			if !slices.Equal(seqs, want) || more != wantMore {
				t.Errorf("%d: %d, more: %v; want %d", n, seqs, more, want)
			}
			if tx.Looked() > len(list)+10 {
				t.Errorf("%d looks for %d", tx.Looked(), len(list))
			}
			return nil
		})
	}
	f(100, false, 4, 5, 6, 7, 8)
	f(2, true, 4, 5)
	f(-1, false, 4, 5, 6, 7, 8)
}

// TestLaneInTime: the head of a lane says that it is being tried, how often it has failed and when
// it is tried next; what is dead stands in its lane's order.
func TestLaneInTime(t *testing.T) {
	c := newClock()
	r := annsLanes(t, c)
	c.add(time.Minute)
	view := func() (o []Owed, dead []DeadDelivery) {
		_ = r.s.View(func(tx *store.Tx) error {
			o, _ = r.OwedIn(tx, "a", "ann", 10)
			dead, _ = r.DeadIn(tx, "a", "ann", 10)
			return nil
		})
		return o, dead
	}
	of := func() Delivery {
		t.Helper()
		ds := r.claim(t, "a", 100)
		i := slices.IndexFunc(ds, func(d Delivery) bool { return d.Lane == "ann" })
		if i < 0 {
			t.Fatal("ann's is not due")
		}
		for j := range ds {
			if j != i {
				r.Release(ds[j])
			}
		}
		return ds[i]
	}
	d := of()
	if o, _ := view(); len(o) != 5 || !o[0].InFlight || o[1].InFlight {
		t.Errorf("while it is tried: %+v", o)
	}
	retry := c.now().Add(time.Hour)
	r.settle(t, Attempt{Delivery: d, Outcome: Retry, Reason: "http_5xx", Code: 503, At: c.now(), Retry: retry})
	if o, _ := view(); len(o) != 5 || o[0].Failures != 1 || !o[0].Next.Equal(retry) || !o[0].FirstFailure.Equal(c.now()) || o[0].InFlight || o[1].Behind != 4 {
		t.Errorf("after a failure: %+v", o)
	}
	c.add(2 * time.Hour)
	r.settle(t, Attempt{Delivery: of(), Outcome: Died, Reason: "exhausted", Code: 503, At: c.now()})
	if o, dead := view(); len(o) != 4 || o[0].Sequence != 5 || o[0].Behind != 0 || len(dead) != 1 || dead[0].Sequence != 4 || dead[0].Reason != "exhausted" || dead[0].Subject != "ann" {
		t.Errorf("after the last: %+v, %+v", o, dead)
	}
}

// TestWhereabouts: the keys that are listed are those of the lane, in each bucket, at every
// endpoint, and nobody else's; all of them together are the bucket.
func TestWhereabouts(t *testing.T) {
	c := newClock()
	r := annsLanes(t, c)
	c.add(time.Minute)
	for _, e := range []string{"a", "b"} {
		for i, d := range r.claim(t, e, 100) {
			a := Attempt{Delivery: d, Outcome: Retry, Reason: "http_5xx", Code: 503, At: c.now(), Retry: c.now().Add(time.Hour)}
			if a.Outcome = []Outcome{Retry, Died}[i%2]; d.Lane == "ann" {
				a.Outcome = map[string]Outcome{"a": Retry, "b": Died}[e]
			}
			r.settle(t, a)
		}
	}
	lanes := map[string]bool{"ann": true}
	for i := range 50 {
		lanes[fmt.Sprint("ann", i)], lanes[fmt.Sprint("an", i)] = true, true
	}
	_ = r.s.View(func(tx *store.Tx) error {
		for _, n := range []store.Name{store.Deliveries, store.Due, store.Dead, store.Withheld, store.Attempts} {
			whose, all, shown := map[string]string{}, 0, 0
			for lane := range lanes {
				for _, k := range Whereabouts(tx, n, lane) {
					if other, taken := whose[string(k)]; taken {
						t.Errorf("%s: %q is %s's and %s's", n, k, lane, other)
					}
					whose[string(k)] = lane
					if v, err := tx.Bucket(n).Get(k); err != nil || v == nil {
						t.Errorf("%s: nothing stands under %q", n, k)
					} else if Show(n, k, v) != nil {
						shown++
					}
				}
			}
			_ = tx.Bucket(n).ForEach(func(k, _ []byte) error {
				if all++; whose[string(k)] == "" {
					t.Errorf("%s: %q is nobody's", n, k)
				}
				return nil
			})
			if all == 0 || shown == 0 {
				t.Errorf("%s: %d records, %d shown", n, all, shown)
			}
		}
		return nil
	})
}
