package main

import (
	"fmt"

	"countersign/relay/format"
	"countersign/relay/registry"
)

// partners turns a config's partners into the registry's; first has the keys that are kept of an
// endpoint that has none in it.
func (g *gateway) partners(cfg *Config, first func(endpoint string) ([]registry.Key, error)) ([]registry.Partner, error) {
	var ps []registry.Partner
	for _, pc := range cfg.receivers() {
		p := registry.Partner{ID: pc.ID, RenamedFrom: pc.RenamedFrom, Policy: pc.Policy, MaxOpen: pc.MaxOpen}
		for _, ec := range pc.Endpoints {
			f, _ := format.ByName(ec.Format)
			e := registry.Endpoint{
				ID: ec.ID, URL: ec.URL, Format: f, Events: ec.Events, Concurrency: ec.Concurrency, Rate: ec.Rate, Timeout: ec.Timeout,
				MaxOwed: ec.MaxOwed, Since: ec.Since, Retry: registry.Retry(ec.Retry), Headers: ec.Headers, TLS: ec.TLS, DisableAfter: ec.DisableAfter,
			}
			var err error
			if e.Filter, err = registry.NewFilter(ec.Filter); err != nil {
				return nil, fmt.Errorf("endpoint %s: %w", e.ID, err)
			}
			for _, k := range ec.Keys {
				e.Keys = append(e.Keys, registry.Key{Key: k.Key, Until: k.Until})
			}
			keys := e.Keys
			if ec.GenerateKey {
				var err error
				if keys, err = first(ec.ID); err != nil {
					return nil, err
				}
			}
			if err := checkEndpointKeys(f, keys); err != nil {
				if ec.GenerateKey {
					err = fmt.Errorf("%w; with the format it had, rotate it to an hmac key and revoke the others, then change the format", err)
				}
				return nil, fmt.Errorf("endpoint %s, format %s: %w", e.ID, f.Name, err)
			}
			p.Endpoints = append(p.Endpoints, e)
		}
		ps = append(ps, p)
	}
	return ps, nil
}
