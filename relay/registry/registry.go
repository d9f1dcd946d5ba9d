// Package registry is the one owner of who is told and by which right: partners, their endpoints
// and keys, their policies, which endpoints are disabled, and the keys and tokens that were made at
// run time. No other package writes its bucket.
//
// Its promises: everybody reads one snapshot, which nobody changes, so that two looks at it agree;
// what has been decided counts in the snapshot of whoever decided at once, and is kept on stable
// storage; what cannot be made again stands there twice, for one copy may be damaged.
package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
)

// Options of a Registry. Store is required, and where keys are made Sealer and Random too.
type Options struct {
	Store    *store.Store
	Sealer   *store.Sealer
	Random   io.Reader
	Partners []Partner        // see Configure, which New does not replace: what they decide becomes versions with the first change that is written
	Now      func() time.Time // nil: time.Now

	Live     bool                  // the addresses of endpoints that are made through the API are held to what live mode allows,
	Allow    []netip.Prefix        // and to these exceptions
	Reserved map[string]bool       // canonical names of the headers that formats set
	Divide   func([]Partner) error // gives every endpoint its share of what may be in flight, whenever there are other endpoints; an error: there is no room for so many. Nil: each has what it asks for
}

// Bucket is where everything that a Registry keeps stands: partners, endpoints, keys, tokens, and
// nothing of any person.
const Bucket = store.Registry

// Registry is safe for concurrent use.
type Registry struct {
	o        Options
	snapshot atomic.Pointer[Snapshot]

	changing sync.Mutex           // held by whoever changes partners, endpoints or keys, over the commit, and taken before keying and mu; guards the fields below
	declared []Partner            // nil: nobody has said yet
	answers  map[string]time.Time // when each that is kept was given
	dropping []string             // those that the write under way takes away

	mu       sync.Mutex // held by whoever puts another snapshot in the place of the last
	watchers []watcher

	past past // snapshots of earlier versions

	pausing sync.Mutex // held over a pause, or its end, from the file to the snapshot
	keying  sync.Mutex // held over a change of kept keys, from the file to the snapshot
}

// watcher is told of other partners and endpoints.
type watcher struct {
	before func(*Snapshot) error
	after  func(*Snapshot)
}

// Snapshot is what the registry said at one moment. Nobody changes it, nor what it hands out.
type Snapshot struct {
	all       []Partner
	operator  []Endpoint
	declared  map[string]bool // endpoints of the config, and its partners by partnerName
	stored    Stored
	whose     map[string]string   // partners by endpoint
	partners  map[string]*Partner // by the id that each is kept under
	endpoints map[string]*Endpoint
	policies  map[string]map[int]kyc.Policy // by partner, as it is kept, and version
	disabled  map[string]*string            // by endpoint: why
	paused    map[string]*Pause             // by endpoint
	owners    owners
	names     names             // of partners that were renamed
	roots     map[string]string // the ids that those are kept under, by each that they have or had
	kept      map[string][]Key  // by endpoint: keys that are not in the config
}

// New reads what is kept about the partners given.
func New(o Options) (*Registry, error) {
	r := &Registry{o: o}
	r.snapshot.Store(&Snapshot{stored: noneStored()})
	if err := o.Store.View(r.readAnswers); err != nil {
		return nil, fmt.Errorf("read the registry: %w", err)
	}
	if err := r.configure(o.Partners, func(*Snapshot) error { return nil }); err != nil {
		return nil, err
	}
	return r, nil
}

// Watch has somebody told whenever the partners and endpoints are others than before: before is
// called while the snapshot does not count yet, and may refuse it, after when it does. Both are
// called one after the other for each set, and may not change the registry themselves; either may
// be nil.
func (r *Registry) Watch(before func(*Snapshot) error, after func(*Snapshot)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watchers = append(r.watchers, watcher{before, after})
}

// admit asks the watchers whether a snapshot with other partners may count. r.mu is held.
func (r *Registry) admit(s *Snapshot) error {
	for _, w := range r.watchers {
		if w.before == nil {
			continue
		}
		if err := w.before(s); err != nil {
			return err
		}
	}
	return nil
}

// publish makes a snapshot with other partners, which has been admitted, the one that counts. r.mu
// is held.
func (r *Registry) publish(s *Snapshot) {
	r.snapshot.Store(s)
	for _, w := range r.watchers {
		if w.after != nil {
			w.after(s)
		}
	}
}

// Configure makes these the partners of the config, in their order, beside those that are kept in
// the file, with what is kept about all of them: their policies, which of their endpoints are
// disabled or paused, which names those had, and the keys that are kept of them. What decides of
// all that, and is other than the last versions say, becomes versions, in one transaction. It may
// be called again while everything runs: the new ones count at once, when those versions are on
// stable storage, or on error not at all. Nobody may change ps after.
func (r *Registry) Configure(ps []Partner) error {
	if ps == nil {
		ps = []Partner{} // there are none, and that has been said
	}
	return r.configure(ps, func(s *Snapshot) error {
		vs := append(s.unsaid(ps), s.stored.unsaidPolicies(s.policies)...)
		if len(vs) == 0 || r.o.Store.ReadOnly() { // of a rehearsal
			return nil
		}
		number(vs, s.stored.Last, configActor, r.now())
		err := r.o.Store.Update(context.Background(), func(tx *store.Tx) error { return writeVersions(tx.Bucket(store.Registry), vs) })
		if err != nil {
			return fmt.Errorf("keep what the config declares: %w", err)
		}
		s.stored = s.stored.with(vs)
		return nil
	})
}

// configure is Configure; say writes what a snapshot says that no version does, before it counts.
func (r *Registry) configure(ps []Partner, say func(*Snapshot) error) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	var stored Stored
	var ns names
	err := r.o.Store.View(func(tx *store.Tx) (err error) {
		if ns, err = readNames(tx); err != nil {
			return err
		}
		stored, err = readStored(tx)
		return err
	})
	if err != nil {
		return fmt.Errorf("read the registry: %w", err)
	}
	s, err := r.compose(ps, stored, ns, nil)
	if err != nil {
		return fmt.Errorf("read the registry: %w", err)
	}
	r.mu.Lock() // over the look at the file too, or it would miss an endpoint that is disabled meanwhile
	defer r.mu.Unlock()
	err = r.o.Store.View(func(tx *store.Tx) error { return errors.Join(s.recall(tx), r.recallKeys(tx, s)) })
	if err != nil {
		return fmt.Errorf("read the registry: %w", err)
	}
	if err := r.admit(s); err != nil {
		return err
	}
	if err := say(s); err != nil {
		return err
	}
	r.declared = ps
	r.publish(s)
	return nil
}

// recall reads what is kept about the partners and endpoints of a snapshot.
func (s *Snapshot) recall(tx *store.Tx) (err error) {
	s.policies, s.disabled, s.paused = map[string]map[int]kyc.Policy{}, map[string]*string{}, map[string]*Pause{}
	if s.owners, _, err = readOwners(tx); err != nil {
		return err
	}
	for id := range s.partners {
		if s.policies[id], err = policies(tx, id); err != nil {
			return err
		}
	}
	for id := range s.endpoints {
		if why := disabledFor(tx, id); why != "" {
			s.disabled[id] = &why
		}
		if p := pausedBy(tx, id); p != nil {
			s.paused[id] = p
		}
	}
	return nil
}

func (r *Registry) now() time.Time {
	if r.o.Now == nil {
		return time.Now()
	}
	return r.o.Now()
}

// Read returns what counts now. Whoever needs two answers that agree asks one snapshot.
func (r *Registry) Read() *Snapshot { return r.snapshot.Load() }

// change puts a copy that fn has changed in the place of the snapshot, unless fn says no. What fn
// changes in a map it changes in a clone.
func (r *Registry) change(fn func(*Snapshot) bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := *r.Read()
	if !fn(&s) {
		return false
	}
	r.snapshot.Store(&s)
	return true
}

// Partners are all of them: those of the config in its order, then those that are kept in the file.
// The operator is none.
func (s *Snapshot) Partners() []Partner { return s.all }

// Operator stands in the place of a partner's id for whoever runs the gateway: endpoints of its own
// are told of what becomes of the others, and of nobody's status. No partner has such an id.
const Operator = "(operator)"

// Receivers are all whom anything is sent to: the partners and, where it has endpoints, the
// operator.
func (s *Snapshot) Receivers() []Partner {
	if len(s.operator) == 0 {
		return s.all
	}
	return append(slices.Clip(s.all), Partner{ID: Operator, Endpoints: s.operator})
}

// Partner is the partner of an id, which it has or had; nil: there is none.
func (s *Snapshot) Partner(id string) *Partner { return s.partners[s.Kept(id)] }

// Endpoint is the endpoint of an id; nil: there is none.
func (s *Snapshot) Endpoint(id string) *Endpoint { return s.endpoints[id] }

// Policy is a version of a partner's policy; the defaults where it is not registered.
func (s *Snapshot) Policy(partner string, version int) kyc.Policy {
	return s.policies[s.Kept(partner)][version]
}

// Policies are all registered versions of a partner's policy.
func (s *Snapshot) Policies(partner string) map[int]kyc.Policy {
	return s.policies[s.Kept(partner)]
}

// NewestPolicy is the newest registered version of a partner's policy; 0: there is none.
func (s *Snapshot) NewestPolicy(partner string) int { return newest(s.policies[s.Kept(partner)]) }

// Disabled is why an endpoint is disabled; "": it is not.
func (s *Snapshot) Disabled(endpoint string) string {
	if why := s.disabled[endpoint]; why != nil {
		return *why
	}
	return ""
}

// mark sets why an endpoint is disabled; nil: it is not.
func (s *Snapshot) mark(endpoint string, why *string) {
	s.disabled = maps.Clone(s.disabled)
	if why == nil {
		delete(s.disabled, endpoint)
		return
	}
	s.disabled[endpoint] = why
}
