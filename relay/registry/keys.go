package registry

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"countersign/outbox/store"
	"countersign/signing"
)

// An endpoint that has no keys in the config has kept ones, all in one record, sealed as a whole:
// so a rotation, a revocation and a rename are one write each, and nothing of a key stands in the
// file in clear.

// endpointKey names the record of an endpoint's kept keys.
func endpointKey(endpoint string) string { return "endpoint-key/" + endpoint }

// Key is one signing key of an endpoint. It signs until Until; zero: for good.
type Key struct {
	Key   signing.Key
	Until time.Time

	ID     string    // of a kept one: as long as it is kept, and never another's; "" of one in the config
	MadeAt time.Time // of a kept one
}

// Signs reports whether the key signs at an instant.
func (k *Key) Signs(now time.Time) bool { return k.Until.IsZero() || now.Before(k.Until) }

// Made is a key that has just been made. Secret is what the partner needs of an HMAC key, and
// nothing gives that out a second time; of an ed25519 key the partner needs the public half, and
// the private one is given to nobody: so nobody but the gateway can have signed.
type Made struct {
	Key
	Secret string

	text string
}

// keptKey is a key as it stands in the sealed record.
type keptKey struct {
	ID     string    `json:"id"`
	Text   string    `json:"text"`
	MadeAt time.Time `json:"made_at"`
	Until  time.Time `json:"until,omitzero"`
}

// kept are the keys of one endpoint, newest first.
type kept []keptKey

// keys makes them what signs.
func (ks kept) keys() ([]Key, error) {
	list := make([]Key, 0, len(ks))
	for _, k := range ks {
		key, err := signing.StandardKey(k.Text)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", k.ID, err)
		}
		list = append(list, Key{Key: key, Until: k.Until, ID: k.ID, MadeAt: k.MadeAt})
	}
	return list, nil
}

// live are those that sign at an instant.
func (ks kept) live(now time.Time) kept {
	return slices.DeleteFunc(slices.Clone(ks), func(k keptKey) bool { return !k.Until.IsZero() && !now.Before(k.Until) })
}

// readKept reads the keys that are kept of an endpoint; none: none were made.
func (r *Registry) readKept(tx *store.Tx, endpoint string) (ks kept, err error) {
	name := endpointKey(endpoint)
	sealed, err := tx.Bucket(store.Registry).GetEither([]byte(name))
	if err == nil && sealed == nil {
		return nil, nil
	}
	if err == nil {
		var plain []byte
		if plain, err = r.o.Sealer.Unseal(name, bytes.Clone(sealed)); err == nil && json.Unmarshal(plain, &ks) != nil {
			err = store.ErrBadRecord // what the decoder says of it could show a part of a key
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the keys of %s: %w", endpoint, err)
	}
	return ks, nil
}

// KeptKeys are the keys that are kept of an endpoint, newest first, whatever the config says of it;
// none: none were made.
func (r *Registry) KeptKeys(endpoint string) (keys []Key, err error) {
	err = r.o.Store.View(func(tx *store.Tx) error {
		ks, err := r.readKept(tx, endpoint)
		if err == nil {
			keys, err = ks.keys()
		}
		return err
	})
	return keys, err
}

// recallKeys reads the keys that are kept of the endpoints of a snapshot that have none of the
// config.
func (r *Registry) recallKeys(tx *store.Tx, s *Snapshot) error {
	s.kept = map[string][]Key{}
	for id, e := range s.endpoints {
		if len(e.Keys) > 0 {
			continue
		}
		ks, err := r.readKept(tx, id)
		if err != nil {
			return err
		}
		if s.kept[id], err = ks.keys(); err != nil {
			return fmt.Errorf("the keys of %s: %w", id, err)
		}
	}
	return nil
}

// putKept keeps the keys of an endpoint in place of those that were.
func (r *Registry) putKept(tx *store.Tx, endpoint string, ks kept) error {
	plain, err := json.Marshal(ks)
	if err != nil {
		return err
	}
	name := endpointKey(endpoint)
	sealed, err := r.o.Sealer.Seal(name, plain)
	if err != nil {
		return err
	}
	return tx.Bucket(store.Registry).PutTwice([]byte(name), sealed)
}

// NewKey makes a key that counts nowhere yet: see PutFirstKey.
func (r *Registry) NewKey(kind signing.Kind) (m Made, err error) {
	var id [8]byte
	if _, err := io.ReadFull(r.o.Random, id[:]); err != nil {
		return Made{}, fmt.Errorf("read randomness: %w", err)
	}
	m.ID, m.MadeAt = "key_"+hex.EncodeToString(id[:]), r.now().UTC().Truncate(time.Second)
	switch kind {
	case signing.HMAC:
		m.text, m.Key.Key, err = signing.GenerateKey(r.o.Random)
		m.Secret = m.text
	case signing.Ed25519:
		m.text, m.Key.Key, err = signing.GenerateEd25519Key(r.o.Random)
	default:
		return Made{}, ErrKind
	}
	return m, err
}

func (m *Made) kept() keptKey {
	return keptKey{ID: m.ID, Text: m.text, MadeAt: m.MadeAt, Until: m.Until}
}

// PutFirstKey keeps a key of NewKey as the only one of an endpoint that is made in the same
// transaction. It signs from the next Configure on.
func (r *Registry) PutFirstKey(tx *store.Tx, endpoint string, m Made) error {
	return r.putKept(tx, endpoint, kept{m.kept()})
}

// FirstKey sees to it that an endpoint that has no keys in the config has one that is kept: nil
// once it is on stable storage. before is given the text of one that is made while it does not
// count yet, and may refuse. It signs from the next Configure on. made is nil: there was one.
func (r *Registry) FirstKey(ctx context.Context, endpoint string, before func(text string) error) (keys []Key, made *Made, err error) {
	r.keying.Lock()
	defer r.keying.Unlock()
	var ks kept
	if err := r.o.Store.View(func(tx *store.Tx) error { ks, err = r.readKept(tx, endpoint); return err }); err != nil {
		return nil, nil, err
	}
	if len(ks) > 0 {
		keys, err = ks.keys()
		return keys, nil, err
	}
	m, err := r.NewKey(signing.HMAC)
	if err == nil {
		err = before(m.Secret)
	}
	if err != nil {
		return nil, nil, err
	}
	if err := r.o.Store.Update(ctx, func(tx *store.Tx) error { return r.PutFirstKey(tx, endpoint, m) }); err != nil {
		return nil, nil, fmt.Errorf("keep the key of %s: %w", endpoint, err)
	}
	return []Key{m.Key}, &m, nil
}

// carryKey seals the keys that are kept of an endpoint under the name of the one that takes its
// place.
func (r *Registry) carryKey(tx *store.Tx, m Move) error {
	ks, err := r.readKept(tx, m.From)
	if err != nil || len(ks) == 0 {
		return err
	}
	if err := r.putKept(tx, m.To, ks); err != nil {
		return err
	}
	return tx.Bucket(store.Registry).DeleteBoth([]byte(endpointKey(m.From)))
}

// Keys are the keys of an endpoint, newest first: those of the config, where it has any, else the
// kept ones. Which of them sign is a question of the time.
func (s *Snapshot) Keys(endpoint string) []Key {
	if e := s.endpoints[endpoint]; e != nil && len(e.Keys) > 0 {
		return e.Keys
	}
	return s.kept[endpoint]
}

// Ring are the keys with which an endpoint signs at an instant, newest first.
func (s *Snapshot) Ring(endpoint string, now time.Time) (ring signing.Keyring) {
	for _, k := range s.Keys(endpoint) {
		if k.Signs(now) {
			ring = append(ring, k.Key)
		}
	}
	return ring
}

// keep puts the kept keys of an endpoint into the snapshot.
func (s *Snapshot) keep(endpoint string, keys []Key) {
	s.kept = maps.Clone(s.kept)
	s.kept[endpoint] = keys
}
