package outbox

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"countersign/outbox/store"
)

// of is a change of a lane of another kind than its number says: a rejection or not, and of which
// type.
func of(lane string, seq uint64, rejection bool) Delivery {
	d := change("a", lane, seq)
	if d.Restrictive = rejection; rejection {
		d.Type = "kyc.status.rejected"
	}
	return d
}

// notice is a change that decides nothing.
func notice(lane string, seq uint64) Delivery {
	d := of(lane, seq, false)
	d.Type = "kyc.document.received"
	return d
}

func decides(changeType string) bool { return changeType != "kyc.document.received" }

// fullRig is an endpoint that owes as much as it may once something is put.
func fullRig(t *testing.T, c *clock, limit int64) *rig {
	t.Helper()
	return startRig(t, store.Options{}, Options{Now: c.now, Decides: decides}, Endpoint{ID: "a", MaxOwed: limit})
}

// reopened stops the rig and starts it on the same file.
func (r *rig) reopened(t *testing.T, limit int64) *rig {
	t.Helper()
	r.audit(t)
	n := r.again(t, Endpoint{ID: "a", MaxOwed: limit})
	n.audit(t)
	return n
}

// told delivers all that is owed, and returns it as lane and sequence in the order of the lanes.
func (r *rig) told(t *testing.T, c *clock) (told []string) {
	t.Helper()
	for range 200 {
		ds := r.claim(t, "a", 50)
		if len(ds) == 0 {
			c.add(time.Hour)
			if ds = r.claim(t, "a", 50); len(ds) == 0 {
				break
			}
		}
		for _, d := range ds {
			told = append(told, fmt.Sprint(d.Lane, d.Sequence))
			r.end(t, d, Done, "http_2xx")
		}
	}
	slices.SortStableFunc(told, func(a, b string) int { return int(a[0]) - int(b[0]) })
	return told
}

// dead lists what is dead as an overflow, as lane and sequence.
func (r *rig) overflown(t *testing.T) (list []string) {
	t.Helper()
	ds, _, err := r.ListDead(func(e string) bool { return e == "a" }, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range ds {
		if d.Reason == Overflow {
			list = append(list, fmt.Sprint(d.Subject, d.Sequence))
		}
	}
	slices.Sort(list)
	return list
}

func (r *rig) wants(t *testing.T, c *clock, dead, told []string) {
	t.Helper()
	if got := r.overflown(t); !slices.Equal(got, dead) {
		t.Errorf("%v are dead as an overflow, want %v", got, dead)
	}
	if got := r.told(t, c); !slices.Equal(got, told) {
		t.Errorf("told %v, want %v", got, told)
	}
	r.audit(t)
}

// TestOverflowKeepsTheNewest: of one person the older ones are given up, and listed, and the newest
// decision goes out, also where it comes to a file that is opened again.
func TestOverflowKeepsTheNewest(t *testing.T) {
	c := newClock()
	r := fullRig(t, c, 3)
	r.put(t, of("x", 1, false), of("x", 2, false), of("y", 1, false))
	r = r.reopened(t, 3)
	r.put(t, of("x", 3, true)) // 1 is given up for it
	r = r.reopened(t, 3)
	r.put(t, of("x", 4, true), of("y", 2, true)) // 2, and 1 of y
	r = r.reopened(t, 3)
	r.wants(t, c, []string{"x1", "x2", "y1"}, []string{"x3", "x4", "y2"})
	r.put(t, of("x", 5, false)) // what has been delivered has made room
	if got := r.told(t, c); !slices.Equal(got, []string{"x5"}) {
		t.Errorf("told %v, want 5 of x: there is room again", got)
	}
}

// TestOverflowSparesWhatIsInFlight: the older one is under way, so the newer is owed beyond the
// bound; and if the older fails, it is not tried again before the newer.
func TestOverflowSparesWhatIsInFlight(t *testing.T) {
	c := newClock()
	r := fullRig(t, c, 2)
	r.put(t, of("x", 1, false), of("y", 1, false))
	flying := r.claim(t, "a", 9)
	r.put(t, of("x", 2, true), of("y", 2, false))
	r.audit(t)
	if r.Owed("a") != 4 || r.Dead("a") != 0 {
		t.Fatalf("%d owed, %d dead; want 4: one more for each in flight", r.Owed("a"), r.Dead("a"))
	}
	r.put(t, of("x", 3, false), of("z", 1, false)) // 2 of x gives way, and z has nobody who would
	for _, d := range flying {
		r.settle(t, Attempt{Delivery: d, Outcome: Retry, Reason: "busy", Code: 503, At: c.now(), Retry: c.now().Add(12 * time.Hour)})
	}
	r = r.reopened(t, 2)
	if r.Owed("a") != 2 {
		t.Errorf("%d owed, want 2 again", r.Owed("a"))
	}
	if ds := r.claim(t, "a", 9); len(ds) != 2 { // at once, not when 1 would have been tried again
		t.Errorf("%d are due, want 2", len(ds))
	} else {
		r.Release(ds...)
	}
	r.wants(t, c, []string{"x1", "x2", "y1", "z1"}, []string{"x3", "y2"})
}

// TestOverflowOfRejections: for a rejection an approval of somebody else gives way, never a
// rejection; if there is none it is owed beyond the bound, up to a tenth.
func TestOverflowOfRejections(t *testing.T) {
	c := newClock()
	r := fullRig(t, c, 10)
	for i := range 10 {
		r.put(t, of(string(rune('A'+i)), 1, i >= 4)) // four approvals, six rejections
	}
	for i := range 5 {
		r = r.reopened(t, 10)
		r.put(t, of(string(rune('K'+i)), 1, true)) // the fifth finds no approval
	}
	r = r.reopened(t, 10)
	if r.Owed("a") != 11 {
		t.Errorf("%d owed, want 11: the bound and a tenth", r.Owed("a"))
	}
	r.put(t, of("P", 1, true), of("Q", 1, false)) // and no more than that
	r = r.reopened(t, 10)
	if list, _, err := r.ListWithheld("", "", 99, false); len(list) != 12 || err != nil {
		t.Errorf("%d are withheld, %v; want twelve, with the one for which there was no room", len(list), err)
	}
	r.wants(t, c, []string{"A1", "B1", "C1", "D1", "P1", "Q1"}, []string{"E1", "F1", "G1", "H1", "I1", "J1", "K1", "L1", "M1", "N1", "O1"})
}

// TestOverflowOfNotices: what decides nothing gives way to a decision, and never pushes one out.
func TestOverflowOfNotices(t *testing.T) {
	c := newClock()
	r := fullRig(t, c, 2)
	r.put(t, of("x", 1, true), notice("y", 1))
	r.put(t, notice("x", 2)) // nothing older than the rejection is owed
	r = r.reopened(t, 2)
	r.put(t, of("y", 2, false))
	r.wants(t, c, []string{"x2", "y1"}, []string{"x1", "y2"})
}

// TestOverflowLooksOn: the search for an approval that gives way is bounded, and goes on where it
// ended.
func TestOverflowLooksOn(t *testing.T) {
	c := newClock()
	const n = 4 * yieldLook
	r := fullRig(t, c, n)
	for i := range n - 1 {
		forced := of(fmt.Sprintf("r%04d", i), 1, false)
		forced.Force = true
		r.put(t, forced)
	}
	r.put(t, of("s", 1, false)) // the last of all
	looked := 0
	for r.Dead("a") == 0 && looked < 10 {
		r.put(t, of(fmt.Sprintf("t%d", looked), 1, true))
		looked++
	}
	r.audit(t)
	if got := r.overflown(t); looked != 4 || !slices.Equal(got, []string{"s1"}) {
		t.Errorf("after %d rejections %v gave way, want that of s after four", looked, got)
	}
	if want := int64(n + 3); r.Owed("a") != want {
		t.Errorf("%d owed, want %d", r.Owed("a"), want)
	}
}

// TestGivenUpAsItIsClaimed: what is claimed from the file as it was before it was given up is sent
// all the same. If it arrives, it is dead no more; else its lane goes on.
func TestGivenUpAsItIsClaimed(t *testing.T) {
	f := func(outcome Outcome, want []string) {
		t.Helper()
		c := newClock()
		r := fullRig(t, c, 2)
		r.put(t, of("x", 1, false), of("y", 1, true))
		ds, _, err := r.Claim("a", Turn{Max: 1, Plain: true})
		if len(ds) != 1 || err != nil {
			t.Fatalf("claimed %v, %v", ds, err)
		}
		d := ds[0]
		r.show("a", func(l *lanes) { delete(l.leased, d.Lane) }) // the writer had looked before the claim
		r.put(t, of("x", 2, true))
		r.audit(t)
		r.show("a", func(l *lanes) { l.leased[d.Lane] = d.Sequence })
		r.settle(t, Attempt{Delivery: d, Outcome: outcome, Reason: "x", Code: 500, At: c.now(), Retry: c.now().Add(time.Hour)})
		r = r.reopened(t, 2)
		r.wants(t, c, want, []string{"x2", "y1"})
	}
	f(Done, nil)
	f(Retry, []string{"x1"})
	f(Died, []string{"x1"})
}

// TestRedeliverAfterOverflow: an old one that was given up and is ordered again does not go out
// after the later one, unless it is forced.
func TestRedeliverAfterOverflow(t *testing.T) {
	c := newClock()
	r := fullRig(t, c, 1)
	r.put(t, of("x", 1, false), of("x", 2, true))
	order := func(id string, force bool) {
		r.update(t, func(tx *store.Tx) error {
			return r.Revive(tx, revived(id, force, r.o.Now()), func(DeadDelivery) bool { return true }, func(DeadDelivery) ([]byte, error) { return []byte("again"), nil })
		})
		r = r.reopened(t, 1)
	}
	order("evt_x-1@a", false) // the later one is owed: it gives way again
	r.wants(t, c, []string{"x1"}, []string{"x2"})
	order("evt_x-1@a", true)
	r.wants(t, c, nil, []string{"x1"})
}

// refill owes again what waited for room.
func (r *rig) refill(t *testing.T, allowed bool) int {
	t.Helper()
	n, err := r.Refill(t.Context(), "a", func(_ *store.Tx, d DeadDelivery) bool { return allowed && d.ID != "evt_a-1@a" }, func(_ *store.Tx, d DeadDelivery) ([]byte, error) {
		if d.Subject == "unkept" {
			return nil, nil
		}
		return []byte("rendered again"), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r.audit(t)
	return n
}

// TestRefill: what had to give way is owed again when there is room, rejections first, as much as
// there is room for; but not what its person has been decided about since.
func TestRefill(t *testing.T) {
	c := newClock()
	r := fullRig(t, c, 2)
	r.put(t, of("x", 1, true), of("y", 1, true))
	r.put(t, of("a", 1, false), of("b", 1, false), of("c", 1, true), of("unkept", 1, false), of("d", 1, false))
	r = r.reopened(t, 2)
	if n := r.refill(t, true); n != 0 || r.Dead("a") != 5 {
		t.Fatalf("%d are owed again, %d dead; want none, there is no room", n, r.Dead("a"))
	}
	ds := r.claim(t, "a", 9)
	r.end(t, ds[0], Done, "http_2xx")
	if n := r.refill(t, true); n != 1 || r.Owed("a") != 2 {
		t.Errorf("%d are owed again, %d owed; want one", n, r.Owed("a"))
	}
	if d, err := r.FindDead("evt_c-1@a"); err == nil {
		t.Errorf("%+v is dead, want the rejection owed first", d)
	}
	r.put(t, of("a", 2, false)) // no room for it either; of the two that wait the caller knows which counts
	r = r.reopened(t, 2)
	for range 4 {
		r.told(t, c)
		r.refill(t, true)
	}
	r.wants(t, c, []string{"a1", "unkept1"}, nil)
	if n := r.refill(t, true); n != 0 {
		t.Errorf("%d are owed again, want none: what is left waits no longer", n)
	}
	r.put(t, of("m", 1, true), of("n", 1, true), of("o", 1, false))
	r.told(t, c)
	if n := r.refill(t, false); n != 0 {
		t.Errorf("%d are owed again, want none: it is overtaken", n)
	}
}
