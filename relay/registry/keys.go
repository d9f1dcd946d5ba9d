package registry

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"countersign/outbox/store"
	"countersign/signing"
)

func endpointKey(endpoint string) string { return "endpoint-key/" + endpoint }

// EndpointKey is the key that was made for an endpoint; not ok: none was.
func (r *Registry) EndpointKey(endpoint string) (key signing.Key, ok bool, err error) {
	name := endpointKey(endpoint)
	var sealed []byte
	err = r.o.Store.View(func(tx *store.Tx) error {
		v, err := tx.Bucket(store.Registry).GetEither([]byte(name))
		sealed = bytes.Clone(v)
		return err
	})
	if err == nil && sealed == nil {
		return key, false, nil
	}
	if err == nil {
		var text []byte
		if text, err = r.o.Sealer.Unseal(name, sealed); err == nil {
			key, err = signing.NewKey(text)
		}
	}
	if err != nil {
		return signing.Key{}, false, fmt.Errorf("read the key of %s: %w", endpoint, err)
	}
	return key, true, nil
}

// MakeEndpointKey makes a key for an endpoint and keeps it sealed: nil once that is on stable storage. before is given its text while it does not count yet, and may refuse.
func (r *Registry) MakeEndpointKey(ctx context.Context, endpoint string, before func(text string) error) (text string, key signing.Key, err error) {
	name := endpointKey(endpoint)
	if text, key, err = signing.GenerateKey(r.o.Random); err != nil {
		return "", key, err
	}
	sealed, err := r.o.Sealer.Seal(name, []byte(text))
	if err == nil {
		err = before(text)
	}
	if err != nil {
		return "", signing.Key{}, err
	}
	err = r.o.Store.Update(ctx, func(tx *store.Tx) error { return tx.Bucket(store.Registry).PutTwice([]byte(name), sealed) })
	if err != nil {
		return "", signing.Key{}, fmt.Errorf("keep the key of %s: %w", endpoint, err)
	}
	return text, key, nil
}

func publishedKey(source, id string) string { return "published-key/" + source + "/" + id }

// PublishedKeys are the keys that a source's provider published, as they were kept. One that is damaged is not among them: it is looked up again.
func (r *Registry) PublishedKeys(source string) (all [][]byte, err error) {
	prefix := publishedKey(source, "")
	err = r.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Registry).Cursor()
		for k, v := c.Seek([]byte(prefix)); strings.HasPrefix(string(k), prefix); k, v = c.Next() {
			if v != nil {
				all = append(all, bytes.Clone(v))
			}
		}
		return nil
	})
	return all, err
}

// KeepPublishedKey keeps one, as whoever looked it up writes it: nil once it is on stable storage.
func (r *Registry) KeepPublishedKey(ctx context.Context, source, id string, v []byte) error {
	return r.o.Store.Update(ctx, func(tx *store.Tx) error { return tx.Bucket(store.Registry).Put([]byte(publishedKey(source, id)), v) })
}

// DropPublishedKey forgets one.
func (r *Registry) DropPublishedKey(ctx context.Context, source, id string) error {
	return r.o.Store.Update(ctx, func(tx *store.Tx) error { return tx.Bucket(store.Registry).Delete([]byte(publishedKey(source, id))) })
}
