package dispatch

import (
	"context"
	"fmt"
	"time"

	"countersign/outbox"
)

// disable marks an endpoint as gone: nothing is sent, and what is owed stays owed, until somebody resumes it.
func (d *Dispatcher) disable(ctx context.Context, s *sender, reason string) {
	at := d.o.Now()
	marked := d.o.Registry.Disable(s.e.ID, reason, func(err error) {
		if err != nil {
			d.o.Logger.Error("endpoint_disable_not_written", "endpoint", s.e.ID, "error", err)
			return
		}
		d.notice(Notice{Kind: Disabled, Endpoint: s.name(), At: at, Reason: reason})
	})
	if !marked {
		return
	}
	d.m.disabled.WithLabelValues(s.e.ID).Set(1)
	d.o.Logger.ErrorContext(ctx, "endpoint_disabled", "endpoint", s.e.ID, "reason", reason)
}

// Resume takes a disabled endpoint up again, and sends what is owed: nil once that is on stable storage.
func (d *Dispatcher) Resume(ctx context.Context, endpoint string) error {
	s := d.senders[endpoint]
	if s == nil {
		return fmt.Errorf("endpoint %s: %w", endpoint, outbox.ErrNotFound)
	}
	if err := d.o.Registry.Enable(ctx, endpoint); err != nil {
		return fmt.Errorf("resume %s: %w", endpoint, err)
	}
	d.m.disabled.WithLabelValues(endpoint).Set(0)
	s.forgive()
	s.nudge()
	return nil
}

// EndpointView is what is shown of an endpoint.
type EndpointView struct {
	Object   string `json:"object"`
	ID       string `json:"id"`
	Partner  string `json:"partner"`
	URL      string `json:"url"`
	Format   string `json:"format"`
	Owed     int64  `json:"owed"`
	Dead     int64  `json:"dead"`
	Disabled string `json:"disabled,omitempty"` // why
	Orphaned bool   `json:"orphaned,omitempty"` // it is not in the config: what is owed to it stays owed
	Breaker  string `json:"breaker,omitempty"`  // closed, open or half_open

	BreakerOpened time.Time `json:"breaker_opened_at,omitzero"` // of one that is not closed
	FailingSince  time.Time `json:"failing_since,omitzero"`     // nothing has been accepted since

	Withheld int `json:"withheld,omitempty"` // of an orphaned one: rejections and suspensions that it has not been told of
}

// view shows how the endpoint does.
func (s *sender) view(v *EndpointView) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v.Breaker, v.BreakerOpened, v.FailingSince = s.breaker.state.String(), s.breaker.opened.UTC(), s.health.is.Since.UTC()
	if s.breaker.opened.IsZero() {
		v.BreakerOpened = time.Time{}
	}
	if s.health.is.Since.IsZero() {
		v.FailingSince = time.Time{}
	}
}

// Endpoints lists every endpoint of the config, in its order, and after them those that are known and not in it.
func (d *Dispatcher) Endpoints() []EndpointView {
	list := []EndpointView{} // never null
	now := d.o.Registry.Read()
	for _, p := range now.Partners() {
		for j := range p.Endpoints {
			e := &p.Endpoints[j]
			v := EndpointView{
				Object: "endpoint", ID: e.ID, Partner: p.ID, URL: e.URL, Format: e.Format.Name, Owed: d.o.Outbox.Owed(e.ID), Dead: d.o.Outbox.Dead(e.ID),
				Disabled: now.Disabled(e.ID),
			}
			if s := d.senders[e.ID]; s != nil {
				s.view(&v)
			}
			list = append(list, v)
		}
	}
	for _, o := range now.Orphans() {
		if k, err := d.o.Outbox.Kept(o.Endpoint); err == nil {
			list = append(list, EndpointView{Object: "endpoint", ID: o.Endpoint, Partner: o.Partner, Owed: k.Owed, Dead: k.Dead, Orphaned: true, Withheld: len(k.Withheld)})
		}
	}
	return list
}
