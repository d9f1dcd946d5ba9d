package confirm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/ingest/provider"
	"countersign/signing"
)

var errNotLookedUp = errors.New("this key has not been looked up")

// Known returns the key that a callback names if it is known and serves, and asks nobody. Errors
// are those of For.
func (k *Keys) Known(h signing.Header) (signing.Keyring, error) {
	kid, err := k.s.API.Keys.KeyID(h)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if one := k.known[kid]; one != nil && k.now().Sub(one.Fetched) < keyServes {
		return one.ring, nil
	}
	return nil, fmt.Errorf("%w: %w", provider.ErrNoKey, errNotLookedUp)
}

// KeyState is a published key that is known: its id, when it was fetched, and until when it serves
// if it cannot be fetched anew.
type KeyState struct {
	ID             string
	Fetched, Until time.Time
}

// State lists the keys that are known, by id.
func (k *Keys) State() []KeyState {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []KeyState
	for id, one := range k.known {
		all = append(all, KeyState{id, one.Fetched, one.Fetched.Add(keyServes)})
	}
	slices.SortFunc(all, func(a, b KeyState) int { return strings.Compare(a.ID, b.ID) })
	return all
}
