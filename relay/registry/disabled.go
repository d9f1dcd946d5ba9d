package registry

import (
	"context"
	"fmt"

	"countersign/outbox/store"
)

// The mark of a disabled endpoint: its value is the reason.
func disabledKey(endpoint string) []byte { return []byte("disabled/" + endpoint) }

// damaged is why an endpoint is disabled whose mark cannot be read: that it is marked still stands.
const damaged = "damaged"

// Disable marks an endpoint: what it owes, and what it would owe, is dead until Enable. That counts
// here at once, and in the file with one of the next commits, of which written is told. It reports
// false for one that is disabled already, and changes nothing.
func (r *Registry) Disable(endpoint, reason string, written func(error)) bool {
	why := &reason
	marked := r.change(func(s *Snapshot) bool {
		if s.disabled[endpoint] != nil {
			return false
		}
		s.mark(endpoint, why)
		return true
	})
	if !marked {
		return false
	}
	r.o.Store.Later(func(tx *store.Tx) error {
		if r.Read().disabled[endpoint] != why {
			return nil // enabled before the mark was written
		}
		return tx.Bucket(store.Registry).PutTwice(disabledKey(endpoint), []byte(reason))
	}, written)
	return true
}

// Enable takes the mark away, here at once: nil once that is on stable storage. What died meanwhile
// stays dead until it is ordered again.
func (r *Registry) Enable(ctx context.Context, endpoint string) error {
	var why *string
	r.change(func(s *Snapshot) bool {
		why = s.disabled[endpoint]
		s.mark(endpoint, nil)
		return true
	})
	err := r.o.Store.Update(ctx, func(tx *store.Tx) error { return tx.Bucket(store.Registry).DeleteBoth(disabledKey(endpoint)) })
	if err == nil {
		return nil
	}
	r.change(func(s *Snapshot) bool {
		if why == nil || s.disabled[endpoint] != nil {
			return false
		}
		s.mark(endpoint, why)
		return true
	})
	return fmt.Errorf("enable %s: %w", endpoint, err)
}

// IsDisabled reports whether the endpoint is marked as disabled in the file, for who writes in the
// same transaction.
func IsDisabled(tx *store.Tx, endpoint string) bool {
	return tx.Bucket(store.Registry).HasEither(disabledKey(endpoint))
}

// disabledFor is why the endpoint is disabled, "" if it is not.
func disabledFor(tx *store.Tx, endpoint string) string {
	reason, err := tx.Bucket(store.Registry).GetEither(disabledKey(endpoint))
	if err != nil {
		return damaged
	}
	return string(reason)
}
