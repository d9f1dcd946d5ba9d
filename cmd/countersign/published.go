package main

import (
	"context"
	"encoding/json"
	"fmt"

	"countersign/ingest/confirm"
	"countersign/relay/registry"
)

// publishedKeys keeps what was looked up in the registry, whose checksums tell when one was
// changed.
type publishedKeys struct{ registry *registry.Registry }

// Keys implements confirm.KeyStore. One that is damaged is looked up again.
func (p publishedKeys) Keys(source string) (all []confirm.PublishedKey, err error) {
	kept, err := p.registry.PublishedKeys(source)
	for _, v := range kept {
		var key confirm.PublishedKey
		if json.Unmarshal(v, &key) == nil {
			all = append(all, key)
		}
	}
	return all, err
}

// KeepKey implements confirm.KeyStore.
func (p publishedKeys) KeepKey(ctx context.Context, source string, k confirm.PublishedKey) error {
	v, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("keep a published key: %w", err)
	}
	return p.registry.KeepPublishedKey(ctx, source, k.ID, v)
}

// DropKey implements confirm.KeyStore.
func (p publishedKeys) DropKey(ctx context.Context, source, id string) error {
	return p.registry.DropPublishedKey(ctx, source, id)
}
