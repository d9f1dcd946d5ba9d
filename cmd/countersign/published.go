package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"

	"countersign/ingest"
	"countersign/ingest/confirm"
	"countersign/relay/registry"
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
		Source: asked, Store: publishedKeys{g.registry}, Control: send.Guard(g.cfg.Live(), g.cfg.EgressAllow), Logger: g.log, Metrics: g.keyMetrics,
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
