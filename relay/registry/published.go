package registry

import (
	"bytes"
	"context"
	"strings"

	"countersign/outbox/store"
)

func publishedKey(source, id string) string { return "published-key/" + source + "/" + id }

// PublishedKeys are the keys that a source's provider published, as they were kept. One that is
// damaged is not among them: it is looked up again.
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
