package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"countersign/outbox"
	"countersign/relay/registry"
	"countersign/relay/send"
	"countersign/signing"
)

// PingType is the type of the webhook that a ping posts. No change of anybody has it.
const PingType = "endpoint.ping"

// Pinged is what came of a ping.
type Pinged struct {
	WebhookID string
	Delivered bool   // the endpoint answered 2xx
	Reason    string // as of an attempt
	Code      int    // of the answer; 0: none came
	Detail    string // what went wrong, in words of our own
	Took      time.Duration
}

// ErrBusy says that a ping of the endpoint is under way, or was a moment ago.
var ErrBusy = errors.New("it was pinged a moment ago")

const pingRest = time.Second // between two pings of an endpoint

// Ping posts a test webhook to an endpoint at once, signed like every other, also while it is
// disabled or paused. It tells of nobody: it is tried once, kept nowhere, and says nothing about
// what is owed.
func (d *Dispatcher) Ping(ctx context.Context, endpoint string) (p Pinged, err error) {
	s := d.sender(endpoint)
	if s == nil {
		return p, fmt.Errorf("endpoint %s: %w", endpoint, outbox.ErrNotFound)
	}
	now := d.o.Now()
	if !s.pinging(now) {
		return p, fmt.Errorf("endpoint %s: %w", endpoint, ErrBusy)
	}
	by := s.setup.Load()
	p.WebhookID = fmt.Sprintf("ping_%016x", rand.Uint64()) //nolint:gosec // unique, and no secret
	body, h, err := pingOf(by.Endpoint, s.ring(now), p.WebhookID, now)
	if err != nil {
		return p, fmt.Errorf("ping %s: %w", endpoint, err)
	}
	a, err := by.pool.Post(ctx, by.URL, h, body, by.Timeout)
	v := read(&a, err)
	p.Delivered, p.Reason, p.Code, p.Took = v.ok, v.reason, a.Code, d.o.Now().Sub(now)
	if err != nil {
		p.Detail = err.Error()
	}
	return p, nil
}

// pingBody has the shape of the standard format, and its order.
type pingBody struct {
	Type      string   `json:"type"`
	Timestamp string   `json:"timestamp"`
	Data      pingData `json:"data"`
}

type pingData struct {
	ID       string `json:"id"`
	Endpoint string `json:"endpoint"`
}

// pinging reports whether an endpoint may be pinged now, and notes that it is.
func (s *sender) pinging(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.pinged) < pingRest && !now.Before(s.pinged) {
		return false
	}
	s.pinged = now
	return true
}

func pingOf(e *registry.Endpoint, keys signing.Keyring, id string, now time.Time) (body []byte, f send.Fields, err error) {
	body, err = json.Marshal(pingBody{PingType, now.UTC().Format(time.RFC3339Nano), pingData{id, e.ID}})
	if err != nil {
		return nil, nil, err
	}
	f = send.Fields{{Name: "Content-Type", Value: "application/json"}}
	err = e.Format.Scheme.Sign(&f, signing.Message{ID: id, Time: now, Body: body}, keys)
	return body, f, err
}
