package dispatch

import (
	"context"
	"fmt"

	"countersign/outbox"
	"countersign/relay/registry"
)

// giveUpMost is how many deliveries one call gives up: few enough that it is answered in time.
const giveUpMost = 10_000

// Owes is what an endpoint owes that could be given up.
type Owes struct {
	Endpoint   string // by the id that it has now
	Owed       int64
	Rejections int64             // of these, rejections and suspensions
	Withheld   []outbox.Withheld // the first of them, by person
}

// given is an endpoint whose deliveries may be given up, by the id that it has now.
// outbox.ErrNotFound: there is none; outbox.ErrServed: it is sent what it owes.
func (d *Dispatcher) given(id string) (string, error) {
	now := d.o.Registry.Read()
	id = now.Current(id)
	switch {
	case served(now, id):
		return id, fmt.Errorf("endpoint %s: %w; remove it from the config first", id, outbox.ErrServed)
	case now.Endpoint(id) == nil && !now.IsOrphan(id):
		return id, fmt.Errorf("endpoint %s: %w", id, outbox.ErrNotFound)
	}
	return id, nil
}

func served(now *registry.Snapshot, id string) bool {
	return now.Endpoint(id) != nil && now.Disabled(id) == ""
}

// ToGiveUp says what GiveUp would give up, with at most n of the rejections.
func (d *Dispatcher) ToGiveUp(endpoint string, n int) (o Owes, err error) {
	id, err := d.given(endpoint)
	if err != nil {
		return o, err
	}
	k, err := d.owed.countsOf(id)
	if err != nil {
		return o, err
	}
	o.Endpoint, o.Owed = id, k.Owed
	o.Withheld, o.Rejections, err = d.owed.owedWithheld(id, n)
	return o, err
}

// GiveUp gives up what is owed to an endpoint that is not in the config, or is disabled: at most
// 10,000 deliveries a call, each of which is dead as given_up on stable storage. Whoever wants the
// rest calls again.
func (d *Dispatcher) GiveUp(ctx context.Context, endpoint string) (g outbox.GivenUp, err error) {
	id, err := d.given(endpoint)
	if err != nil {
		return g, err
	}
	g, err = d.owed.giveUp(ctx, id, giveUpMost, func() bool { return served(d.o.Registry.Read(), id) })
	if g.GivenUp > 0 {
		d.o.Logger.WarnContext(ctx, "deliveries_given_up", "endpoint", id, "deliveries", g.GivenUp, "pending", g.Owed)
	}
	return g, err
}
