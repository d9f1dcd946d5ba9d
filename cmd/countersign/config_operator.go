package main

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"countersign/relay/notice"
	"countersign/relay/registry"
)

// operator reads the endpoints of whoever runs the gateway, which are told of what becomes of the
// others.
func (l *loader) operator(n *yaml.Node, at string) {
	read := func(n *yaml.Node, at string) {
		e := l.endpoint(n, at)
		if !has(n, "events") {
			e.Events = []string{"*"}
		}
		for i, event := range e.Events {
			if event != "*" && !registry.IsNotice(event) {
				l.wrong(child(n, "events"), fmt.Sprintf("%s[%d]", join(at, "events"), i), mistake{"is no operational webhook: " + show(event), "use *, or one of " + strings.Join(notice.Types, ", ")})
			}
		}
		if e.Format != notice.Format {
			l.wrong(child(n, "format"), join(at, "format"), mistake{"has no word for operational webhooks", "remove it, or write " + notice.Format})
		}
		l.cfg.Operator = append(l.cfg.Operator, e)
	}
	l.object(n, at, field{"endpoints", true, l.list(true, read)})
}

// receivers are all that a config sends anything to: its partners and, where it has endpoints, the
// operator.
func (c *Config) receivers() []PartnerConfig {
	if len(c.Operator) == 0 {
		return c.Partners
	}
	return append(slices.Clip(c.Partners), PartnerConfig{ID: registry.Operator, Endpoints: c.Operator})
}

// endpointKey is the key of an endpoint in the file: of the i-th receiver the j-th.
func (c *Config) endpointKey(i, j int) string {
	if i == len(c.Partners) {
		return fmt.Sprintf("operator.endpoints[%d]", j)
	}
	return fmt.Sprintf("partners[%d].endpoints[%d]", i, j)
}
