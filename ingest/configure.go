package ingest

import (
	"cmp"
	"fmt"
	"net/netip"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"countersign/kyc"
	"countersign/signing"
)

// Settings are what of an Ingress can change while it serves; see Options for what each means. What
// is zero gets its default.
type Settings struct {
	Sources        []Source
	Partners       func(id string) bool
	TrustedProxies []netip.Prefix

	MaxConns, ConnsOfAddress               int
	Bodies, BodiesOfSource, BodiesOfClient int64
}

// mostConns is how many connections there are at the most.
const mostConns = 4096

func (o *Options) settings() Settings {
	return Settings{
		Sources: o.Sources, Partners: o.Partners, TrustedProxies: o.TrustedProxies,
		MaxConns: o.MaxConns, ConnsOfAddress: o.ConnsOfAddress,
		Bodies: o.Bodies, BodiesOfSource: o.BodiesOfSource, BodiesOfClient: o.BodiesOfClient,
	}
}

// fill puts in what is left to us.
func (s *Settings) fill() {
	s.MaxConns = cmp.Or(s.MaxConns, mostConns)
	s.ConnsOfAddress = cmp.Or(s.ConnsOfAddress, max(1, s.MaxConns/4))
	s.Bodies = cmp.Or(s.Bodies, 48<<20)
	s.BodiesOfSource = cmp.Or(s.BodiesOfSource, s.Bodies/2)
	largest := int64(leastRoom)
	for i := range s.Sources {
		largest = max(largest, s.Sources[i].MaxBody)
	}
	s.BodiesOfClient = cmp.Or(s.BodiesOfClient, max(s.Bodies/4, largest))
}

// set is what one request sees, from its first byte to its last. Nobody changes it.
type set struct {
	sources  map[string]*source
	partners func(id string) bool
	proxies  []netip.Prefix
}

// source is a source as one set has it.
type source struct {
	Source
	of     *set
	scheme signing.Scheme
	limit  *rate.Limiter
	keyed  bool // a key proves its callbacks: only genuine ones count towards the rate
	proves kyc.Authenticity
	tally  *tally
}

// tally is what a source is known by as long as sets have one of its name. It counts on for
// requests that saw a set which has ended, and nobody reads that any more.
type tally struct {
	label     string
	places    places
	refusals  refusals // of log lines, not of callbacks
	callbacks *answered
	ahead     prometheus.Counter
	faults    prometheus.Counter
	held      int64        // by its bodies, guarded by the lock of bodies
	came      atomic.Int64 // when the last callback was answered, in Unix nanoseconds; 0: none was
	taken     atomic.Int64 // and the last of those that were taken
}

// Plan works out what another set of settings comes to, with all that can fail, and changes
// nothing. Apply, which cannot fail, makes it count: each request sees either what was before, as a
// whole, or what is now. Nobody is refused meanwhile, and what is known of a source that stays is
// kept. One plan is made and applied at a time.
func (in *Ingress) Plan(to Settings) (apply func(), err error) {
	to.fill()
	was := in.set.Load()
	now := &set{sources: map[string]*source{}, partners: to.Partners, proxies: to.TrustedProxies}
	for _, s := range to.Sources {
		if now.sources[s.Name], err = now.source(s, was.sources[s.Name]); err != nil {
			return nil, fmt.Errorf("source %s: %w", s.Name, err)
		}
	}
	return func() {
		for name, s := range now.sources {
			if s.tally == nil {
				s.tally = in.m.tally(name)
			}
			if old := was.sources[name]; old == nil || old.Evidence != s.Evidence {
				in.m.weigh(s, old)
			}
		}
		in.ln.bound(to.MaxConns, to.ConnsOfAddress)
		in.bodies.bound(to.Bodies, to.BodiesOfSource, to.BodiesOfClient)
		in.set.Store(now)
		for name := range was.sources {
			if now.sources[name] == nil {
				in.m.forget(was.sources[name])
			}
		}
	}, nil
}

// source makes one, and carries over what is known of the one that had its name; nil: none had.
func (now *set) source(s Source, was *source) (*source, error) {
	scheme, err := s.Adapter.Scheme(s.Options)
	if err != nil {
		return nil, err
	}
	if s.KeysFor == nil {
		if err := signing.CheckKeys(scheme, s.Keys); err != nil {
			return nil, err
		}
	}
	src := &source{
		Source: s, of: now, scheme: scheme, limit: rate.NewLimiter(rate.Inf, 1),
		proves: s.Adapter.Authenticity(s.Options), keyed: !signing.Keyless(scheme),
	}
	if s.Adapter.Stream != nil {
		src.proves = kyc.Signed // nobody posts to it: what it says came over a connection that we opened
	}
	if s.Rate > 0 {
		src.limit = rate.NewLimiter(rate.Limit(s.Rate), max(1, int(s.Rate)))
	}
	if was == nil {
		return src, nil
	}
	src.tally = was.tally
	if s.Rate == was.Rate {
		src.limit = was.limit
	}
	return src, nil
}

// tally makes the series of a source.
func (m *metrics) tally(label string) *tally {
	t := m.answers(label)
	t.ahead, t.faults = m.ahead.WithLabelValues(label), m.faults.WithLabelValues(label)
	return t
}

// answers makes those of whatever is posted to, a source or none.
func (m *metrics) answers(label string) *tally {
	return &tally{label: label, callbacks: m.callbacks.of(label)}
}

// weigh says what a source's approvals need, in the place of what they needed; nil: nothing was said.
// Series are named one by one, here and below: a search for those of one source looks at all.
func (m *metrics) weigh(s, was *source) {
	if was != nil {
		m.evidence.DeleteLabelValues(was.Name, string(was.Evidence))
	}
	m.evidence.WithLabelValues(s.Name, string(s.Evidence)).Set(1)
}

// forget takes out the series of a source that has ended.
func (m *metrics) forget(s *source) {
	if s.Name != unknownLabel { // which is shared with what is posted to none
		m.callbacks.forget(s.Name)
	}
	m.ahead.DeleteLabelValues(s.Name)
	m.faults.DeleteLabelValues(s.Name)
	m.evidence.DeleteLabelValues(s.Name, string(s.Evidence))
}
