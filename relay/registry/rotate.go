package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"countersign/outbox/store"
	"countersign/signing"
)

// How long older keys sign on after a rotation, and how many may.
const (
	DefaultOverlap = 24 * time.Hour
	MaxOverlap     = 7 * 24 * time.Hour
	MaxOldKeys     = 10
)

// Why a key cannot be made or revoked.
var (
	ErrNoEndpoint   = errors.New("there is no such endpoint")
	ErrKeysInConfig = errors.New("its keys are in the config, so they are changed there: put the new key first, and give the old one until")
	ErrKind         = errors.New("a key is of kind hmac or ed25519")
	ErrNoEd25519    = errors.New("its format signs with an HMAC and cannot use an ed25519 key")
	ErrOverlap      = errors.New("an overlap is 0 to 7 days")
	ErrManyKeys     = errors.New("ten older keys still sign: revoke one, or wait until the overlap of one has ended")
	ErrNoKey        = errors.New("there is no such key that signs")
	ErrLastKey      = errors.New("no other key signs: make one in its place in the same call, with replace=true")
)

// Rotate makes a new key for an endpoint, which signs first from the moment it is on stable
// storage, and nil is only returned then. The key that was the newest signs on until the overlap
// has ended; one before it keeps the end it has. answer says what the call is answered, which is
// kept in the same transaction for whoever asks again; nil: nothing is kept.
func (r *Registry) Rotate(ctx context.Context, endpoint string, kind signing.Kind, overlap time.Duration, answer func(Made) (*Answer, error)) (Made, error) {
	if overlap < 0 || overlap > MaxOverlap {
		return Made{}, ErrOverlap
	}
	m, err := r.NewKey(kind)
	if err != nil {
		return Made{}, err
	}
	var a *Answer
	if answer != nil {
		a, err = answer(m)
	}
	if err == nil {
		err = r.rekey(ctx, endpoint, func(ks kept, now time.Time) (kept, error) { return ks.with(m.kept(), now, overlap) }, kind, a)
	}
	if err != nil {
		return Made{}, err
	}
	return m, nil
}

// with is what a rotation makes of the keys that sign.
func (ks kept) with(m keptKey, now time.Time, overlap time.Duration) (kept, error) {
	older := slices.Clone(ks)
	for i := range older {
		if older[i].Until.IsZero() {
			older[i].Until = now.Add(overlap)
		}
	}
	older = older.live(now)
	if len(older) > MaxOldKeys {
		return nil, ErrManyKeys
	}
	return append(kept{m}, older...), nil
}

// Revoke ends a key of an endpoint: when it returns nil that is on stable storage, and no attempt
// that begins is signed with the key. The newest of those that are left signs for good. The last
// one that signs is only revoked with replace, which makes another of its kind; what is made is not
// nil then. answer is as that of Rotate, and is given what is made.
func (r *Registry) Revoke(ctx context.Context, endpoint, id string, replace bool, answer func(*Made) (*Answer, error)) (made *Made, err error) {
	kind := signing.HMAC
	if i := slices.IndexFunc(r.Read().Keys(endpoint), func(k Key) bool { return k.ID == id }); i >= 0 {
		kind = r.Read().Keys(endpoint)[i].Key.Kind()
	}
	if replace {
		m, err := r.NewKey(kind)
		if err != nil {
			return nil, err
		}
		made = &m
	}
	var a *Answer
	if answer != nil {
		a, err = answer(made)
	}
	if err == nil {
		err = r.rekey(ctx, endpoint, func(ks kept, now time.Time) (kept, error) { return ks.without(id, made, now) }, "", a)
	}
	if err != nil {
		return nil, err
	}
	return made, nil
}

// without is what a revocation makes of the keys that sign.
func (ks kept) without(id string, made *Made, now time.Time) (kept, error) {
	at := slices.IndexFunc(ks, func(k keptKey) bool { return k.ID == id })
	if id == "" || at < 0 {
		return nil, ErrNoKey
	}
	left := slices.Delete(slices.Clone(ks), at, at+1)
	if made != nil {
		for i := range left {
			if left[i].Until.IsZero() {
				left[i].Until = now.Add(DefaultOverlap)
			}
		}
		return append(kept{made.kept()}, left...), nil
	}
	if len(left) == 0 {
		return nil, ErrLastKey
	}
	left[0].Until = time.Time{}
	return left, nil
}

// rekey changes the kept keys of an endpoint, of which fn is given those that sign, and keeps an
// answer with that: nil once it is on stable storage, and in the snapshot. One change is under way
// at a time, so that the snapshot follows them in their order.
func (r *Registry) rekey(ctx context.Context, endpoint string, fn func(kept, time.Time) (kept, error), kind signing.Kind, a *Answer) error {
	r.changing.Lock() // for the answer
	defer r.changing.Unlock()
	r.keying.Lock()
	defer r.keying.Unlock()
	e := r.Read().Endpoint(endpoint)
	switch {
	case e == nil:
		return fmt.Errorf("endpoint %s: %w", endpoint, ErrNoEndpoint)
	case len(e.Keys) > 0:
		return fmt.Errorf("endpoint %s: %w", endpoint, ErrKeysInConfig)
	case kind == signing.Ed25519 && !signing.Asymmetric(e.Format.Scheme):
		return fmt.Errorf("endpoint %s, format %s: %w", endpoint, e.Format.Name, ErrNoEd25519)
	}
	var keys []Key
	ctx = context.WithoutCancel(ctx) // whoever hangs up must not leave the snapshot behind the file
	err := r.o.Store.Update(ctx, func(tx *store.Tx) error {
		now := r.now()
		ks, err := r.readKept(tx, endpoint)
		if err == nil {
			ks, err = fn(ks.live(now), now)
		}
		if err == nil {
			keys, err = ks.keys()
		}
		if err != nil {
			return err
		}
		return errors.Join(r.putKept(tx, endpoint, ks), r.writeAnswer(tx.Bucket(store.Registry), a))
	})
	if err != nil {
		return fmt.Errorf("endpoint %s: %w", endpoint, err)
	}
	r.noteAnswer(a)
	r.change(func(s *Snapshot) bool {
		s.keep(endpoint, keys)
		return true
	})
	return nil
}
