package outbox

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/outbox/store"
)

// TestMetricsOfMany: of outboxes that are measured together an endpoint has one series of each kind:
// what is counted is the sum, what is oldest the oldest of all; of one that has left nothing counts.
func TestMetricsOfMany(t *testing.T) {
	c := newClock()
	reg := prometheus.NewPedanticRegistry() // it refuses two series of a name
	among := NewMetrics(reg)
	all := []Endpoint{{ID: "a", MaxOwed: 10}, {ID: "b", MaxOwed: 5}}
	first, second := startRig(t, store.Options{}, Options{Now: c.now, Among: among}, all...), startRig(t, store.Options{}, Options{Now: c.now, Among: among}, all...)
	owe := func(r *rig, endpoint, lane string, seq uint64, ago time.Duration) {
		d := change(endpoint, lane, seq)
		d.Owed = c.now().Add(-ago)
		r.put(t, d)
	}
	owe(first, "a", "x", 1, 10*time.Second)
	owe(second, "a", "y", 1, 30*time.Second)
	owe(second, "a", "z", 3, 20*time.Second) // a rejection
	owe(first, "b", "x", 3, 5*time.Second)
	owe(second, "b", "y", 3, 40*time.Second)
	second.Leave("b") // it has gone, and the first has not been told yet
	f := func(what string, want map[string]float64) {
		t.Helper()
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		is := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				name := strings.TrimPrefix(f.GetName(), "outbox_")
				if l := m.GetLabel(); len(l) > 0 {
					name += " " + l[0].GetValue()
				}
				if v := m.GetGauge().GetValue(); v != 0 {
					is[name] = v
				}
			}
		}
		if !maps.Equal(is, want) {
			t.Errorf("%s: %v, want %v", what, is, want)
		}
	}
	want := map[string]float64{
		"pending_deliveries a": 3, "max_pending_deliveries a": 20, "oldest_due_seconds a": 30, "oldest_pending_seconds a": 30, "oldest_withheld_rejection_seconds a": 20,
		"pending_deliveries b": 1, "max_pending_deliveries b": 5, "oldest_due_seconds b": 5, "oldest_pending_seconds b": 5, "oldest_withheld_rejection_seconds b": 5,
	}
	f("both", want)
	d := second.claim(t, "a", 1)[0]
	letGo := second.held(t)
	second.Settle(Attempt{Delivery: d, Outcome: Done, At: c.now()})
	want["unwritten_results"] = 1
	f("while the disk takes nothing", want)
	letGo()
	if err := second.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	among.Leave(second.Outbox)
	f("the first", map[string]float64{
		"pending_deliveries a": 1, "max_pending_deliveries a": 10, "oldest_due_seconds a": 10, "oldest_pending_seconds a": 10,
		"pending_deliveries b": 1, "max_pending_deliveries b": 5, "oldest_due_seconds b": 5, "oldest_pending_seconds b": 5, "oldest_withheld_rejection_seconds b": 5,
	})
	first.Leave("b")
	f("an orphan of the first", map[string]float64{
		"pending_deliveries a": 1, "max_pending_deliveries a": 10, "oldest_due_seconds a": 10, "oldest_pending_seconds a": 10, "oldest_withheld_rejection_seconds b": 5,
	})
}

// TestReturned: whoever waits until everything that was claimed has been settled or released waits
// for that, and not for the disk.
func TestReturned(t *testing.T) {
	r := startRig(t, store.Options{}, Options{}, Endpoint{ID: "a"})
	r.put(t, change("a", "x", 1), change("a", "y", 1), change("a", "z", 3))
	ds := r.claim(t, "a", 9)
	over, cancel := context.WithCancel(context.Background())
	cancel()
	f := func(want error) {
		t.Helper()
		if err := r.Returned(over); err != want { //nolint:errorlint // it is that one
			t.Errorf("%v, want %v", err, want)
		}
	}
	f(context.Canceled)
	waits := make(chan error, 1)
	go func() { waits <- r.Returned(context.Background()) }()
	letGo := r.held(t)
	defer letGo()
	r.Release(ds[0], change("a", "w", 1)) // and one that nobody claimed
	r.Settle(Attempt{Delivery: ds[1], Outcome: Done}, Attempt{Delivery: change("a", "v", 1), Outcome: Done})
	f(context.Canceled)
	r.Settle(Attempt{Delivery: ds[2], Outcome: Retry})
	f(nil)
	if err := <-waits; err != nil {
		t.Error(err)
	}
	if again := r.claim(t, "a", 9); len(again) != 1 || again[0].From() != r.Outbox {
		t.Errorf("%+v", again)
	}
	f(context.Canceled)
}
