package registry

import (
	"encoding/json"
	"fmt"
	"time"

	"countersign/outbox/store"
)

// Health is what is kept of an endpoint that fails, so that a restart does not take it for a
// healthy one.
type Health struct {
	Since    time.Time `json:"since,omitzero"`  // the first failure since the last success; zero: it does not fail
	Last     time.Time `json:"last,omitzero"`   // the last failure known
	Failures int       `json:"failures"`        // of attempts since then
	Opened   time.Time `json:"opened,omitzero"` // when its breaker opened; zero: it is closed
}

func healthKey(endpoint string) []byte { return []byte("health/" + endpoint) }

// Health is what is kept of an endpoint. One that is damaged in both copies counts as none: what
// fails will fail again.
func (r *Registry) Health(endpoint string) (h Health, err error) {
	err = r.o.Store.View(func(tx *store.Tx) error {
		v, err := tx.Bucket(store.Registry).GetEither(healthKey(endpoint))
		if err == nil && v != nil && json.Unmarshal(v, &h) != nil {
			h = Health{}
		}
		return nil
	})
	if err != nil {
		return Health{}, fmt.Errorf("read the health of %s: %w", endpoint, err)
	}
	return h, nil
}

// SetHealth keeps it with one of the next commits, of which written is told by whoever writes: it
// must return at once, and may be nil. The zero value is kept by keeping nothing.
func (r *Registry) SetHealth(endpoint string, h Health, written func(error)) {
	then := func(err error) {
		if written != nil {
			written(err)
		}
	}
	kept := r.o.Store.Later(func(tx *store.Tx) error { return putHealth(tx.Bucket(store.Registry), endpoint, h) }, then)
	if !kept {
		then(store.ErrClosed)
	}
}

func putHealth(b store.Bucket, endpoint string, h Health) error {
	if h == (Health{}) {
		return b.DeleteBoth(healthKey(endpoint))
	}
	return putTwice(b, string(healthKey(endpoint)), h)
}

// carryHealth keeps what is kept of an endpoint under the name of the one that takes its place.
func carryHealth(b store.Bucket, m Move) error {
	v, err := b.GetEither(healthKey(m.From))
	if err != nil || v == nil {
		return nil //nolint:nilerr // what fails will fail again
	}
	if err := b.PutTwice(healthKey(m.To), v); err != nil {
		return err
	}
	return b.DeleteBoth(healthKey(m.From))
}
