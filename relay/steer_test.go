package relay

import (
	"context"
	"errors"
	"sync"
	"testing"

	"countersign/kyc"
	"countersign/outbox"
)

// between is a context that does something when a call of the outbox is about to write: after the
// relay has found the delivery, and before the outbox looks for it.
type between struct {
	context.Context
	once *sync.Once
	do   func()
}

// Done implements context.Context. The store asks for it before it takes the write.
func (b between) Done() <-chan struct{} {
	b.once.Do(b.do)
	return b.Context.Done()
}

// TestSteeredMeanwhile: whatever becomes of a delivery between the moment at which it is found and
// the one at which it is steered, what is answered is true of it then. It never is that there is no
// such delivery.
func TestSteeredMeanwhile(t *testing.T) {
	p := newPartner(t, always(500))
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"), hourly)))
	order := outbox.Cancel{By: "otto", Because: "a test person"}
	f := func(name string, meanwhile func(id string) error, want error, steer func(ctx context.Context, id string) error) {
		t.Helper()
		g.tell(said(name, 1, kyc.Approved))
		g.folded()
		id := ""
		eventually(t, "it is tried", func() bool {
			for _, told := range g.view("acme", name, true).Endpoints {
				if len(told.Owed) == 1 && told.Owed[0].Failures > 0 && told.Owed[0].Waits == WaitsForTry {
					id = told.Owed[0].ID
				}
			}
			return id != ""
		})
		ctx := between{t.Context(), &sync.Once{}, func() {
			if err := meanwhile(id); err != nil {
				t.Errorf("%s: meanwhile: %v", name, err)
			}
		}}
		if err := steer(ctx, id); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	retry := func(ctx context.Context, id string) error {
		_, _, err := g.relay.RetryNow(ctx, id)
		return err
	}
	skip := func(id string) error {
		_, _, err := g.relay.Skip(t.Context(), id)
		return err
	}
	cancel := func(id string) error {
		_, _, err := g.relay.Cancel(t.Context(), id, order)
		return err
	}
	f("retried as it is dead-lettered", skip, outbox.ErrDead, retry)
	f("retried as it is cancelled", cancel, outbox.ErrCancelled, retry)
	f("skipped as somebody else skips it", skip, nil, func(ctx context.Context, id string) error {
		_, known, err := g.relay.Skip(ctx, id)
		if !known {
			t.Error("it was skipped twice")
		}
		return err
	})
	f("skipped as it is cancelled", cancel, outbox.ErrCancelled, func(ctx context.Context, id string) error {
		_, _, err := g.relay.Skip(ctx, id)
		return err
	})
	f("cancelled as somebody else cancels it", cancel, nil, func(ctx context.Context, id string) error {
		_, known, err := g.relay.Cancel(ctx, id, order)
		if !known {
			t.Error("it was cancelled twice")
		}
		return err
	})
	f("cancelled as it is dead-lettered", skip, nil, func(ctx context.Context, id string) error {
		_, _, err := g.relay.Cancel(ctx, id, order)
		return err
	})
}
