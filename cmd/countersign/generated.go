package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"

	"countersign/outbox/store"
	"countersign/relay/registry"
	"countersign/signing"
)

// keptKeys are the keys of an endpoint that has none in the config; the first is made and handed
// over.
func (g *gateway) keptKeys(endpoint string) ([]registry.Key, error) {
	keys, made, err := g.registry.FirstKey(context.Background(), endpoint, func(text string) error {
		if g.terminal != nil {
			return nil
		}
		return g.handOver(endpoint, text) // before it counts: a start that ends here makes another
	})
	if err == nil && made != nil && g.terminal != nil {
		fmt.Fprintf(g.terminal, "endpoint %s has no keys in the config: made one, shown this once: %s\n", endpoint, made.Secret) //nolint:errcheck // a notice
	}
	return keys, err
}

// futureKeys are the keys of an endpoint that has none in the config, or one as it will be made
// when it counts.
func (g *gateway) futureKeys(endpoint string) ([]registry.Key, error) {
	keys, err := g.registry.KeptKeys(endpoint)
	if err != nil || len(keys) > 0 {
		return keys, err
	}
	_, key, err := signing.GenerateKey(rand.Reader)
	return []registry.Key{{Key: key}}, err
}

// handOver writes a generated key where only the operator can read it: the log stream is kept,
// copied and searched by others.
func (g *gateway) handOver(endpoint, text string) error {
	path := filepath.Join(g.cfg.Data, "endpoint-"+endpoint+".key")
	if err := store.WriteFile(path, []byte(text+"\n")); err != nil {
		return fmt.Errorf("hand over the key of %s: %w", endpoint, err)
	}
	g.log.Warn("endpoint_key_made", "endpoint", endpoint, "file", path, "remedy", "give the key to the partner, then delete the file: the gateway does not need it")
	return nil
}
