package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"countersign/ingest"
	"countersign/ingest/confirm"
	"countersign/outbox/store"
	"countersign/relay/send"
	"countersign/signing"
)

// startKeys lets a source look up the keys that its provider publishes. Like the ingress it is started as soon as there is a journal, and before it.
func (g *gateway) startKeys(sc SourceConfig, s *ingest.Source) error {
	asked, ok := apiSource(sc)
	if !ok || asked.API.Keys == nil {
		return nil
	}
	if g.keyMetrics == nil {
		g.keyMetrics = confirm.NewKeyMetrics(g.metrics())
	}
	keys, err := confirm.NewKeys(confirm.KeysOptions{
		Source: asked, Store: publishedKeys{g.store}, Control: send.Guard(g.cfg.Live(), g.cfg.EgressAllow), Logger: g.log, Metrics: g.keyMetrics,
	})
	if err != nil {
		return err
	}
	s.KeysFor = func(ctx context.Context, h signing.Header, body []byte, client netip.Addr) (signing.Keyring, error) {
		return keys.For(ctx, confirm.Callback{Header: h, Body: body, Client: client})
	}
	s.Proved = keys.Proved
	g.process.start("keys of "+sc.Name, keys.Run)
	return nil
}

// publishedKeys keeps what was looked up in the registry, whose checksums tell when one was changed.
type publishedKeys struct{ store *store.Store }

func publishedPrefix(source string) string { return "published-key/" + source + "/" }

// Keys implements confirm.KeyStore. One that is damaged is looked up again.
func (p publishedKeys) Keys(source string) (all []confirm.PublishedKey, err error) {
	prefix := publishedPrefix(source)
	err = p.store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Registry).Cursor()
		for k, v := c.Seek([]byte(prefix)); strings.HasPrefix(string(k), prefix); k, v = c.Next() {
			var key confirm.PublishedKey
			if v != nil && json.Unmarshal(v, &key) == nil {
				all = append(all, key)
			}
		}
		return nil
	})
	return all, err
}

// KeepKey implements confirm.KeyStore.
func (p publishedKeys) KeepKey(ctx context.Context, source string, k confirm.PublishedKey) error {
	v, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("keep a published key: %w", err)
	}
	return p.store.Update(ctx, func(tx *store.Tx) error {
		return tx.Bucket(store.Registry).Put([]byte(publishedPrefix(source)+k.ID), v)
	})
}

// DropKey implements confirm.KeyStore.
func (p publishedKeys) DropKey(ctx context.Context, source, id string) error {
	return p.store.Update(ctx, func(tx *store.Tx) error {
		return tx.Bucket(store.Registry).Delete([]byte(publishedPrefix(source) + id))
	})
}
