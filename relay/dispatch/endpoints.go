package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"countersign/outbox"
	"countersign/relay/registry"
)

// disable marks an endpoint as gone: nothing is sent, and what is owed stays owed, until somebody
// resumes it.
func (d *Dispatcher) disable(ctx context.Context, s *sender, reason string) {
	at := d.o.Now()
	marked := d.o.Registry.Disable(s.id, reason, func(err error) {
		if err != nil {
			d.o.Logger.Error("endpoint_disable_not_written", "endpoint", s.id, "error", err)
			return
		}
		d.notice(Notice{Kind: Disabled, Endpoint: s.id, At: at, Reason: reason})
	})
	if !marked {
		return
	}
	s.mu.Lock()
	if !s.over {
		d.m.disabled.WithLabelValues(s.id).Set(1)
	}
	s.mu.Unlock()
	d.o.Logger.ErrorContext(ctx, "endpoint_disabled", "endpoint", s.id, "reason", reason)
}

// Pause has nothing new sent to an endpoint until Resume: what it is owed, and what comes for it,
// stays owed. Nil once that is on stable storage; what is under way ends as it would have.
func (d *Dispatcher) Pause(ctx context.Context, endpoint, by string) error {
	s := d.sender(endpoint)
	if s == nil {
		return fmt.Errorf("endpoint %s: %w", endpoint, outbox.ErrNotFound)
	}
	if err := d.o.Registry.Pause(ctx, endpoint, registry.Pause{By: by, At: d.o.Now().UTC()}); err != nil {
		return err
	}
	d.m.paused.WithLabelValues(endpoint).Set(1)
	s.nudge()
	return nil
}

// Resume takes a disabled or paused endpoint up again, and sends what is owed: nil once that is on
// stable storage.
func (d *Dispatcher) Resume(ctx context.Context, endpoint string) error {
	s := d.sender(endpoint)
	if s == nil {
		return fmt.Errorf("endpoint %s: %w", endpoint, outbox.ErrNotFound)
	}
	if err := errors.Join(d.o.Registry.Enable(ctx, endpoint), d.o.Registry.Unpause(ctx, endpoint)); err != nil {
		return fmt.Errorf("resume %s: %w", endpoint, err)
	}
	d.m.paused.WithLabelValues(endpoint).Set(0)
	d.m.disabled.WithLabelValues(endpoint).Set(0)
	s.forgive()
	s.nudge()
	return nil
}

// EndpointView is what is shown of an endpoint.
type EndpointView struct {
	Object   string          `json:"object"`
	ID       string          `json:"id"`
	Partner  string          `json:"partner"`
	URL      string          `json:"url"`
	Format   string          `json:"format"`
	Owed     int64           `json:"pending"`
	Dead     int64           `json:"dead_lettered"`
	Disabled string          `json:"disabled,omitempty"` // why
	Paused   *registry.Pause `json:"paused,omitempty"`   // who had it paused, and when
	Orphaned bool            `json:"orphaned,omitempty"` // it is not in the config: what is owed to it stays owed
	Withheld int             `json:"withheld,omitempty"` // of an orphaned one: rejections and suspensions that it has not been told of

	Breaker       string    `json:"breaker,omitempty"`          // closed, half_open or open
	BreakerOpened time.Time `json:"breaker_opened_at,omitzero"` // of one that is not closed
	FailingSince  time.Time `json:"failing_since,omitzero"`     // nothing has been accepted since
	OldestDue     time.Time `json:"oldest_due_at,omitzero"`     // since when its earliest due delivery has been due
}

// Standing is how an endpoint does at this moment: what EndpointView has of its breaker, its health
// and its oldest delivery.
func (d *Dispatcher) Standing(endpoint string) (v EndpointView) {
	if s := d.sender(endpoint); s != nil {
		s.view(&v)
	}
	if at := d.owed.oldestDue(endpoint); !at.IsZero() {
		v.OldestDue = at.UTC()
	}
	return v
}

// view shows how the endpoint does.
func (s *sender) view(v *EndpointView) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v.Breaker = s.breaker.state.String()
	if at := s.breaker.opened; !at.IsZero() {
		v.BreakerOpened = at.UTC()
	}
	if at := s.health.is.Since; !at.IsZero() {
		v.FailingSince = at.UTC()
	}
}

// Breaker is how the breaker of an endpoint stands: closed, half_open or open; "": nobody delivers
// to it.
func (d *Dispatcher) Breaker(endpoint string) string {
	s := d.sender(endpoint)
	if s == nil {
		return ""
	}
	var v EndpointView
	s.view(&v)
	return v.Breaker
}

// Endpoints lists every endpoint of the config, in its order, and after them those that are known
// and not in it.
func (d *Dispatcher) Endpoints() []EndpointView {
	list := []EndpointView{} // never null
	now := d.o.Registry.Read()
	for _, p := range now.Receivers() {
		for j := range p.Endpoints {
			e := &p.Endpoints[j]
			owed, dead := d.owed.counts(e.ID)
			v := EndpointView{
				Object: "endpoint", ID: e.ID, Partner: p.ID, URL: e.URL, Format: e.Format.Name, Owed: owed, Dead: dead,
				Disabled: now.Disabled(e.ID), Paused: now.Paused(e.ID),
			}
			is := d.Standing(e.ID)
			v.Breaker, v.BreakerOpened, v.FailingSince, v.OldestDue = is.Breaker, is.BreakerOpened, is.FailingSince, is.OldestDue
			list = append(list, v)
		}
	}
	for _, o := range now.Orphans() {
		if k, err := d.owed.countsOf(o.Endpoint); err == nil {
			list = append(list, EndpointView{Object: "endpoint", ID: o.Endpoint, Partner: o.Partner, Owed: k.Owed, Dead: k.Dead, Orphaned: true, Withheld: int(k.Withheld)})
		}
	}
	return list
}
