package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"countersign/outbox/store"
)

// Pause is that an operator has asked for nothing to be sent to an endpoint. What it is owed, and
// what comes for it, stays owed until somebody resumes it.
type Pause struct {
	By string    `json:"by,omitempty"`
	At time.Time `json:"at"`
}

func pausedKey(endpoint string) []byte { return []byte("paused/" + endpoint) }

// Pause keeps that an endpoint is paused: nil once that is on stable storage, from when on nothing
// new is sent. One that is paused already stays as it is.
func (r *Registry) Pause(ctx context.Context, endpoint string, p Pause) error {
	v, err := json.Marshal(p)
	if err != nil {
		return err
	}
	r.pausing.Lock()
	defer r.pausing.Unlock()
	if r.Read().Paused(endpoint) != nil {
		return nil
	}
	err = r.o.Store.Update(ctx, func(tx *store.Tx) error {
		return tx.Bucket(store.Registry).PutTwice(pausedKey(endpoint), v)
	})
	if err != nil {
		return fmt.Errorf("pause %s: %w", endpoint, err)
	}
	r.setPaused(endpoint, &p)
	return nil
}

// Unpause ends a pause, if there is one: nil once that is on stable storage.
func (r *Registry) Unpause(ctx context.Context, endpoint string) error {
	r.pausing.Lock()
	defer r.pausing.Unlock()
	if r.Read().Paused(endpoint) == nil {
		return nil
	}
	err := r.o.Store.Update(ctx, func(tx *store.Tx) error {
		return tx.Bucket(store.Registry).DeleteBoth(pausedKey(endpoint))
	})
	if err != nil {
		return fmt.Errorf("unpause %s: %w", endpoint, err)
	}
	r.setPaused(endpoint, nil)
	return nil
}

func (r *Registry) setPaused(endpoint string, p *Pause) {
	r.change(func(s *Snapshot) bool {
		s.paused = maps.Clone(s.paused)
		if delete(s.paused, endpoint); p != nil {
			s.paused[endpoint] = p
		}
		return true
	})
}

// Paused is who paused an endpoint, and when; nil: nobody.
func (s *Snapshot) Paused(endpoint string) *Pause { return s.paused[endpoint] }

// pausedBy is what is kept of a pause; nil: there is none. A damaged one is one all the same.
func pausedBy(tx *store.Tx, endpoint string) *Pause {
	v, err := tx.Bucket(store.Registry).GetEither(pausedKey(endpoint))
	if err == nil && v == nil {
		return nil
	}
	p := &Pause{}
	if err != nil || json.Unmarshal(v, p) != nil {
		p.By = damaged
	}
	return p
}

// carryPause makes a pause that of the endpoint that takes another's place.
func carryPause(b store.Bucket, tx *store.Tx, m Move) error {
	p := pausedBy(tx, m.From)
	if p == nil {
		return nil
	}
	if err := putTwice(b, string(pausedKey(m.To)), p); err != nil {
		return err
	}
	return b.DeleteBoth(pausedKey(m.From))
}
