// Package notice tells what becomes of endpoints, keys and deliveries: operational webhooks, to the
// operator's endpoints and to those of the partner concerned that want to know.
//
// Its promises: what is told is worked out from what stands in the file (an endpoint that is
// disabled, a delivery that died), and is owed in the transaction that notes it as told, so that a
// crash neither loses a notice nor repeats it; notices of one endpoint go out in order; however
// much dies, an endpoint is told of once a minute at most. A notice tells of nobody: no subject, no
// status, no URL, no key.
package notice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/registry"
)

// The types of notices.
const (
	EndpointDisabled  = "endpoint.disabled"  // nothing is sent to it until an operator resumes it
	EndpointRecovered = "endpoint.recovered" // it has accepted something after it was disabled, or after deliveries to it were exhausted
	DeliveryExhausted = "delivery.exhausted" // deliveries have died: nobody tries them again until they are redelivered
	KeyExpiring       = "key.expiring"       // a key stops signing within a week, and then within a day
)

// Types are all of them.
var Types = registry.NoticeTypes

// Format is the one that notices are made in: others have no word for them.
const Format = "standard"

const (
	rest        = time.Second        // between two looks
	exhaustRest = time.Minute        // between two notices about deliveries that died at one endpoint
	keyLook     = 10 * time.Minute   // between two looks at keys
	keySoon     = 7 * 24 * time.Hour // before its end a key is told of
	keyAtOnce   = 24 * time.Hour     // and once more
	named       = 10                 // deliveries that one notice names at most
)

// Options of a Notifier. All but Metrics and Now are required.
type Options struct {
	Store    *store.Store
	Outbox   func() *outbox.Outbox // it is made after the Notifier, whose Settled is its hook
	Registry *registry.Registry
	Logger   *slog.Logger
	Metrics  prometheus.Registerer
	Now      func() time.Time
}

// Notifier tells. Make it with New, have the outbox call Settled, run it with Run.
type Notifier struct {
	o    Options
	told *prometheus.CounterVec
	wake chan struct{} // one token

	mu        sync.Mutex // guards the fields below
	states    map[string]*state
	recovered map[string]time.Time // endpoints in trouble that have accepted something since

	keysLooked time.Time            // owned by Run
	exhausted  map[string]time.Time // owned by Run: when an endpoint's dead were told last
}

// New reads what has been told.
func New(o Options) (*Notifier, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	n := &Notifier{o: o, wake: make(chan struct{}, 1), recovered: map[string]time.Time{}, exhausted: map[string]time.Time{}}
	n.told = newTold(o.Metrics)
	err := o.Store.View(func(tx *store.Tx) error {
		n.states = readStates(tx)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the state of operational webhooks: %w", err)
	}
	return n, nil
}

// Wake has Run look at once.
func (n *Notifier) Wake() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Run looks once a second for what is to be told, and whenever it is woken, until ctx ends or the
// store fails. It begins when begun is closed.
func (n *Notifier) Run(ctx context.Context, begun <-chan struct{}) error {
	select {
	case <-begun:
	case <-ctx.Done():
		return nil
	}
	tick := time.NewTicker(rest)
	defer tick.Stop()
	for {
		err := n.look(ctx)
		if ctx.Err() != nil {
			return nil // stopping
		}
		if err != nil && !errors.Is(err, store.ErrFull) { // a full disk passes
			return fmt.Errorf("operational webhooks: %w", err)
		}
		select {
		case <-tick.C:
		case <-n.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

func (n *Notifier) look(ctx context.Context) error {
	now := n.o.Registry.Read()
	return errors.Join(n.lookAtEndpoints(ctx, now), n.lookAtDead(ctx, now), n.lookAtKeys(ctx, now))
}

// lookAtEndpoints tells of those that are disabled, and of those that have recovered.
func (n *Notifier) lookAtEndpoints(ctx context.Context, now *registry.Snapshot) error {
	for _, p := range now.Receivers() {
		for i := range p.Endpoints {
			id := p.Endpoints[i].ID
			was := n.state(id)
			why := now.Disabled(id)
			var err error
			switch since, recovered := n.hasRecovered(id, why == ""); {
			case why != "" && was.Disabled == "":
				err = n.disabled(ctx, now, p.ID, id, why)
			case why == "" && recovered:
				err = n.accepted(ctx, now, p.ID, id, since)
			case why == "" && was.Disabled != "": // resumed: in trouble until it accepts something
				err = n.o.Store.Update(ctx, func(tx *store.Tx) error { return n.write(tx, id, state{Trouble: true, Since: was.Since}) })
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (n *Notifier) disabled(ctx context.Context, now *registry.Snapshot, partner, id, why string) error {
	at := n.o.Now().UTC()
	data := disabledData{Partner: partner, Endpoint: id, Reason: why, Owed: n.o.Outbox().Owed(id)}
	return n.tell(ctx, now, note{EndpointDisabled, partner, id, at, func(nid string) any { data.ID = nid; return data }}, func(tx *store.Tx) error {
		return n.write(tx, id, state{Disabled: why, Trouble: true, Since: at})
	})
}

func (n *Notifier) accepted(ctx context.Context, now *registry.Snapshot, partner, id string, at time.Time) error {
	data := recoveredData{Partner: partner, Endpoint: id, Since: n.state(id).Since, Owed: n.o.Outbox().Owed(id)}
	return n.tell(ctx, now, note{EndpointRecovered, partner, id, at, func(nid string) any { data.ID = nid; return data }}, func(tx *store.Tx) error {
		return n.write(tx, id, state{})
	})
}

// lookAtDead tells of deliveries that have died, of each endpoint once a minute at most.
func (n *Notifier) lookAtDead(ctx context.Context, now *registry.Snapshot) error {
	var all map[string]deaths
	err := n.o.Store.View(func(tx *store.Tx) error {
		all = readDeaths(tx)
		return nil
	})
	if err != nil {
		return err
	}
	at := n.o.Now().UTC()
	for id := range all {
		if last, ok := n.exhausted[id]; ok && at.Sub(last) < exhaustRest && !at.Before(last) {
			continue
		}
		if err := n.tellDead(ctx, now, id, at); err != nil {
			return err
		}
		n.exhausted[id] = at
	}
	return nil
}

func (n *Notifier) tellDead(ctx context.Context, now *registry.Snapshot, id string, at time.Time) error {
	partner, was := now.Owner(id), n.state(id)
	var d deaths
	t := note{DeliveryExhausted, partner, id, at, func(nid string) any {
		return exhaustedData{nid, partner, id, d.Count, d.Rejections, d.Reasons, d.Since, d.Deliveries}
	}}
	return n.tell(ctx, now, t, func(tx *store.Tx) error {
		if d = deathsOf(tx, id); d.Count == 0 { // of now: more may have died
			return nil
		}
		if err := tx.Bucket(store.Meta).Delete(deathsKey(id)); err != nil {
			return err
		}
		if was.Trouble {
			return nil
		}
		return n.write(tx, id, state{Trouble: true, Since: d.Since})
	})
}

// lookAtKeys tells of keys that stop signing soon.
func (n *Notifier) lookAtKeys(ctx context.Context, now *registry.Snapshot) error {
	at := n.o.Now().UTC()
	if at.Sub(n.keysLooked) < keyLook && !at.Before(n.keysLooked) {
		return nil
	}
	n.keysLooked = at
	for _, p := range now.Receivers() {
		for i := range p.Endpoints {
			e := &p.Endpoints[i]
			for _, k := range now.Keys(e.ID) {
				if left := k.Until.Sub(at); !k.Until.IsZero() && left > 0 && left <= keySoon {
					if err := n.expires(ctx, now, p.ID, e.ID, k.Until.UTC(), at); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// expires tells of one key, unless that has been told.
func (n *Notifier) expires(ctx context.Context, now *registry.Snapshot, partner, id string, until, at time.Time) error {
	stage := int64(1)
	if until.Sub(at) <= keyAtOnce {
		stage = 2
	}
	var told int64
	err := n.o.Store.View(func(tx *store.Tx) (err error) {
		told, err = tx.Number(keyKey(id, until))
		return err
	})
	if err != nil || told >= stage {
		return err
	}
	t := note{KeyExpiring, partner, id, at, func(nid string) any { return keyData{nid, partner, id, until} }}
	return n.tell(ctx, now, t, func(tx *store.Tx) error { return tx.SetNumber(keyKey(id, until), stage) })
}

// note is something to be told.
type note struct {
	kind     string
	partner  string // whom it concerns
	endpoint string // which it is about
	at       time.Time
	data     func(id string) any // of the body; called after what tell notes has been noted
}

// tell owes a notice to everybody who wants to know, and notes that, in one transaction.
func (n *Notifier) tell(ctx context.Context, now *registry.Snapshot, t note, noted func(*store.Tx) error) error {
	to := audience(now, &t)
	err := n.o.Store.Update(ctx, func(tx *store.Tx) error {
		if err := noted(tx); err != nil {
			return err
		}
		if len(to) == 0 {
			return nil
		}
		seq, err := tx.Number(sequenceKey)
		if err == nil {
			err = tx.SetNumber(sequenceKey, seq+1)
		}
		if err != nil {
			return err
		}
		ds, err := t.deliveries(uint64(seq)+1, to) //nolint:gosec // counts up from zero
		if err != nil {
			return err
		}
		return n.o.Outbox().Put(tx, ds...)
	})
	if err != nil {
		return err
	}
	n.told.WithLabelValues(t.kind).Inc()
	n.o.Logger.InfoContext(ctx, "operational_notice", "type", t.kind, "partner", t.partner, "endpoint", t.endpoint, "receivers", len(to))
	return nil
}

// audience are the endpoints that want to know: of the operator, and of the partner concerned. The
// endpoint that it is about is told of its keys only: the rest it knows, or cannot hear.
func audience(now *registry.Snapshot, t *note) (to []string) {
	for _, p := range now.Receivers() {
		if p.ID != registry.Operator && p.ID != t.partner {
			continue
		}
		for i := range p.Endpoints {
			e := &p.Endpoints[i]
			if wants(e, t.kind, p.ID == registry.Operator) && e.Format.Name == Format && (e.ID != t.endpoint || t.kind == KeyExpiring) {
				to = append(to, e.ID)
			}
		}
	}
	return to
}

// wants reports whether an endpoint's events have a type among them. A partner's * is every change,
// and no notice: that has to be asked for by name.
func wants(e *registry.Endpoint, kind string, operator bool) bool {
	for _, p := range e.Events {
		if p == "*" && !operator {
			continue
		}
		if prefix, ok := strings.CutSuffix(p, "*"); ok && strings.HasPrefix(kind, prefix) || p == kind {
			return true
		}
	}
	return false
}
