package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/outbox/store"
)

// fastDir is a directory in memory where there is one: these tests commit often and are not about
// the disk.
func fastDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "countersign")
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// rig is an outbox on a store of its own, with a clock that stands until it is moved.
type rig struct {
	*Outbox
	s    *store.Store
	reg  *prometheus.Registry
	stop func() error
}

func startRig(tb testing.TB, so store.Options, o Options, endpoints ...Endpoint) *rig {
	tb.Helper()
	if so.Dir == "" {
		so.Dir = fastDir(tb)
	}
	s, err := store.Open(so)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	r := &rig{s: s, reg: prometheus.NewPedanticRegistry(), stop: sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-ended, s.Close())
	})}
	tb.Cleanup(func() {
		if err := r.stop(); err != nil {
			tb.Error(err)
		}
	})
	o.Store, o.Metrics, o.Logger = s, r.reg, slog.New(slog.DiscardHandler)
	if r.Outbox, err = New(o, endpoints); err != nil {
		tb.Fatal(err)
	}
	return r
}

// again stops the rig and starts it on the same file: what was leased is not any more.
func (r *rig) again(t *testing.T, endpoints ...Endpoint) *rig {
	t.Helper()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	return startRig(t, store.Options{Dir: filepath.Dir(r.s.Path())}, Options{Now: r.o.Now, Settled: r.o.Settled}, endpoints...)
}

func (r *rig) update(tb testing.TB, fn func(*store.Tx) error) {
	tb.Helper()
	if err := r.s.Update(context.Background(), fn); err != nil {
		tb.Fatal(err)
	}
}

func (r *rig) put(tb testing.TB, ds ...Delivery) {
	tb.Helper()
	r.update(tb, func(tx *store.Tx) error { return r.Put(tx, ds...) })
}

func (r *rig) flush(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Second)
	defer cancel()
	if err := r.Flush(ctx); err != nil {
		tb.Fatalf("Flush: %v", err)
	}
}

// settle ends an attempt and waits for the disk.
func (r *rig) settle(tb testing.TB, as ...Attempt) {
	tb.Helper()
	r.Settle(as...)
	r.flush(tb)
}

// claim returns the sequences claimed, in order.
func (r *rig) claim(tb testing.TB, endpoint string, n int) []Delivery {
	tb.Helper()
	ds, _, err := r.Claim(endpoint, Turn{Max: n, Failed: n})
	if err != nil {
		tb.Fatal(err)
	}
	return ds
}

func (r *rig) audit(t *testing.T) {
	t.Helper()
	if err := r.s.View(func(tx *store.Tx) error { return audit(tx, r.Outbox) }); err != nil {
		t.Error(err)
	}
}

func (r *rig) metric(t *testing.T, name, label string) float64 {
	t.Helper()
	fams, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fams {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || m.GetLabel()[len(m.GetLabel())-1].GetValue() == label) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() // only one of them is there
			}
		}
	}
	t.Fatalf("no metric %s %s", name, label)
	return 0
}

var base = time.Date(2026, 3, 19, 9, 20, 0, 0, time.UTC)

// clock is a Now that the test moves.
type clock struct {
	mu sync.Mutex // guards at
	at time.Time
}

func newClock() *clock { return &clock{at: base} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// change is a delivery of a lane's change to an endpoint; its webhook-id is the same at every
// endpoint.
func change(endpoint, lane string, seq uint64) Delivery {
	return Delivery{
		Endpoint: endpoint, Lane: lane, Sequence: seq, PreviousSequence: seq - 1, WebhookID: fmt.Sprintf("evt_%s-%d", lane, seq), Type: "kyc.status.approved",
		Format: "standard", Traceparent: "00-4bf9", Restrictive: seq%3 == 0, Owed: base.Add(time.Duration(seq) * time.Second), Received: base,
		Body: fmt.Appendf(nil, "body %d of %s at %s", seq, lane, endpoint),
	}
}
