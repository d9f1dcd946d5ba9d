package dispatch

import (
	"time"

	"countersign/relay/registry"
	"countersign/signing"
)

// keys are those of the endpoint, newest first. The registry is asked at each attempt: a rotation
// counts at once, and a revocation before the next one.
func (s *sender) keys() []registry.Key { return s.r.o.Registry.Read().Keys(s.id) }

// ring are those that sign for the endpoint at an instant.
func (s *sender) ring(now time.Time) signing.Keyring {
	return s.r.o.Registry.Read().Ring(s.id, now)
}

// there reports whether the endpoint is one of today's: of one that went, no keys are known.
func (s *sender) there() bool { return s.r.o.Registry.Read().Endpoint(s.id) != nil }

// keys says when keys end, also of those that were made since.
func (d *Dispatcher) keys(now *registry.Snapshot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id := range d.senders {
		d.m.key(id, now.Keys(id), d.o.Now())
	}
}

// key says when the next key of an endpoint stops signing.
func (m *metrics) key(endpoint string, keys []registry.Key, now time.Time) {
	m.keyEnds.WithLabelValues(endpoint).Set(keyEnds(keys, now))
}

// keyEnds is when the next key stops signing, in unix seconds; 0: none does.
func keyEnds(keys []registry.Key, now time.Time) float64 {
	var next time.Time
	for _, k := range keys {
		if k.Until.After(now) && (next.IsZero() || k.Until.Before(next)) {
			next = k.Until
		}
	}
	if next.IsZero() {
		return 0
	}
	return float64(next.Unix())
}
