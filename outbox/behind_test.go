package outbox

import (
	"context"
	"fmt"
	"testing"
	"time"

	"countersign/outbox/store"
)

// held stops the writer until it is let go, with whatever comes meanwhile waiting for it.
func (r *rig) held(tb testing.TB) (letGo func()) {
	tb.Helper()
	in, out, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- r.s.Update(context.Background(), func(*store.Tx) error {
			select {
			case <-in:
			default:
				close(in)
			}
			<-out
			return nil
		})
	}()
	<-in
	return func() {
		tb.Helper()
		close(out)
		if err := <-ended; err != nil {
			tb.Error(err)
		}
	}
}

// oweTo owes an endpoint deliveries of as many persons.
func (r *rig) oweTo(tb testing.TB, endpoint string, n int) {
	tb.Helper()
	ds := make([]Delivery, n)
	for i := range ds {
		ds[i] = Delivery{
			Endpoint: endpoint, Lane: fmt.Sprintf("acme/p-%06d", i), Sequence: 1, WebhookID: fmt.Sprintf("evt_%06d", i), Type: "kyc.status.approved", Format: "standard",
			Owed: r.o.Now(), Received: r.o.Now(), Body: []byte("{}"),
		}
	}
	r.put(tb, ds...)
}

func accepted(ds []Delivery) (as []Attempt) {
	for _, d := range ds {
		as = append(as, Attempt{Delivery: d, Outcome: Done, Code: 200, At: time.Now()})
	}
	return as
}

// TestBehind: a disk that is slow stops new attempts once so many wait for it, and each endpoint
// hears that it is over; what waits is settled in parts, so that callbacks find the writer free in
// between.
func TestBehind(t *testing.T) {
	parts, in := map[*store.Tx]int{}, 0
	r := startRig(t, store.Options{Linger: time.Nanosecond}, Options{Settled: func(tx *store.Tx, _ Attempt) error {
		parts[tx]++
		in = max(in, parts[tx])
		return nil
	}}, Endpoint{ID: "acme-01"}, Endpoint{ID: "acme-02"})
	r.oweTo(t, "acme-01", mostUnsettled)
	as := accepted(r.claim(t, "acme-01", mostUnsettled))
	if len(as) != mostUnsettled {
		t.Fatalf("claimed %d", len(as))
	}
	letGo := r.held(t)
	for len(r.Wake("acme-02")) > 0 {
		<-r.Wake("acme-02")
	}
	r.Settle(as[:mostUnsettled-1]...)
	if r.Behind() {
		t.Errorf("behind with %d", mostUnsettled-1)
	}
	r.Settle(as[mostUnsettled-1])
	if !r.Behind() {
		t.Errorf("not behind with %d", mostUnsettled)
	}
	letGo()
	r.flush(t)
	select {
	case <-r.Wake("acme-02"):
	default:
		t.Error("an endpoint that has settled nothing does not hear that attempts may be begun again")
	}
	if r.Behind() || r.unsettled.Load() != 0 {
		t.Errorf("behind with %d when all is settled", r.unsettled.Load())
	}
	if in > settleAtOnce || len(parts) < mostUnsettled/settleAtOnce {
		t.Errorf("up to %d in one of %d transactions, want at most %d", in, len(parts), settleAtOnce)
	}
	if n := r.Owed("acme-01"); n != 0 {
		t.Errorf("%d are owed still", n)
	}
}

// TestSettleKeepsNoBody: what waits for the disk holds only the bodies that it will write.
func TestSettleKeepsNoBody(t *testing.T) {
	r := startRig(t, store.Options{Linger: time.Nanosecond}, Options{}, Endpoint{ID: "acme-01"})
	r.oweTo(t, "acme-01", 4)
	as := accepted(r.claim(t, "acme-01", 4))
	if len(as) != 4 {
		t.Fatal(as)
	}
	as[1].Outcome, as[1].Retry = Retry, r.o.Now().Add(time.Hour)
	as[2].Outcome, as[2].Retry, as[2].Remade = Retry, r.o.Now().Add(time.Hour), true
	as[3].Outcome, as[3].Reason = Died, "rejected"
	letGo := r.held(t)
	r.Settle(as...)
	r.mu.Lock()
	var kept []bool
	for _, a := range append(r.running, r.pending...) {
		kept = append(kept, a.Delivery.Body != nil)
	}
	r.mu.Unlock()
	if fmt.Sprint(kept) != "[false false true true]" {
		t.Errorf("bodies are kept: %v", kept)
	}
	if as[0].Delivery.Body == nil {
		t.Error("the caller's own is taken away")
	}
	letGo()
	r.flush(t)
	if n := r.Dead("acme-01"); n != 1 {
		t.Errorf("%d are dead", n)
	}
}
