package main

import (
	"time"

	"go.yaml.in/yaml/v3"
)

// LimitsConfig bounds what strangers can make the callbacks' listener hold. 0: the default, which
// depends on the machine.
type LimitsConfig struct {
	Bodies                int64 // bytes of memory for all bodies on their way
	BodiesPerSource       int64 // of these, those to one source
	BodiesPerAddress      int64 // of these, those of one client address
	ConnectionsPerAddress int
}

// What all bodies may take where the config does not say: a quarter of the memory, and no more than
// this, which is some fifty bodies of a megabyte at once.
const manyBodies = 48 << 20

func (l *loader) limits(n *yaml.Node, at string) {
	c := &l.cfg.Limits
	bytes := func(dst *int64) setter { return value(l, dst, tagSize, size(64<<10, 1<<40)) }
	l.object(
		n, at,
		field{"bodies", false, bytes(&c.Bodies)},
		field{"bodies_per_source", false, bytes(&c.BodiesPerSource)},
		field{"bodies_per_address", false, bytes(&c.BodiesPerAddress)},
		field{"connections_per_address", false, value(l, &c.ConnectionsPerAddress, tagNumber, whole(1, 1_000_000))},
	)
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		l.holdsLargest(n.Content[i].Value, n.Content[i+1], at)
	}
}

// holdsLargest wants a limit on bodies to hold the largest that a source takes.
func (l *loader) holdsLargest(key string, n *yaml.Node, at string) {
	c := &l.cfg.Limits
	limit, ok := map[string]int64{"bodies": c.Bodies, "bodies_per_source": c.BodiesPerSource, "bodies_per_address": c.BodiesPerAddress}[key]
	if !ok || limit == 0 {
		return
	}
	if largest := l.cfg.largestBody(); largest > limit {
		l.wrong(n, join(at, key), mistake{"is less than the largest max_body of a source", "raise it to " + formatSize(largest) + " or more, or lower max_body"})
		return
	}
	if key != "bodies" && c.Bodies > 0 && limit > c.Bodies {
		l.wrong(n, join(at, key), mistake{"is more than limits.bodies, of which it is a part", "lower it, or raise limits.bodies"})
	}
}

// largestBody is the most that one callback may have.
func (c *Config) largestBody() (n int64) {
	for i := range c.Sources {
		n = max(n, c.Sources[i].MaxBody)
	}
	return n
}

// bodies is what callbacks may take of so much memory; 0: nobody knows how much there is.
func (c *Config) bodies(memory int64) (all, perSource, perAddress int64) {
	largest := c.largestBody()
	if all = c.Limits.Bodies; all == 0 {
		all = manyBodies
		if memory > 0 {
			all = min(memory/4, manyBodies)
		}
		all = max(all, largest, c.Limits.BodiesPerSource, c.Limits.BodiesPerAddress)
	}
	if perSource = c.Limits.BodiesPerSource; perSource == 0 {
		perSource = max(all/2, largest)
	}
	if perAddress = c.Limits.BodiesPerAddress; perAddress == 0 {
		perAddress = max(all/4, largest)
	}
	return all, perSource, perAddress
}

// defaultIdle is longer than the minute for which most load balancers keep a connection they do not
// use.
const defaultIdle = 75 * time.Second
