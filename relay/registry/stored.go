package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
	"countersign/relay/format"
	"countersign/relay/send"
	"countersign/signing"
)

// StoredPartner is a partner that was made through the API, as it is kept; or what decides of one
// of the config.
type StoredPartner struct {
	ID        string     `json:"id"`
	Policy    kyc.Policy `json:"policy"` // without a version
	MaxOpen   int64      `json:"max_open,omitempty"`
	Endpoints []string   `json:"endpoints,omitempty"` // of one of the config: those of the config, in their order
}

// StoredEndpoint is an endpoint that was made through the API, as it is kept: of a partner that was
// made so too, or of one of the config. Or it is what decides of an endpoint of the config: then it
// has a partner, a format, events, a filter and a time from which on, and nothing else.
type StoredEndpoint struct {
	ID           string            `json:"id"`
	Partner      string            `json:"partner"` // by the id that it is kept under
	URL          string            `json:"url,omitempty"`
	Public       bool              `json:"public,omitempty"` // see Endpoint.Public
	Format       string            `json:"format"`
	Events       []string          `json:"events"`
	Filter       string            `json:"filter,omitempty"`
	Concurrency  int               `json:"concurrency,omitempty"`
	Rate         float64           `json:"rate,omitempty"`    // attempts per second; 0: no limit
	Timeout      time.Duration     `json:"timeout,omitempty"` // nanoseconds, as all durations here
	MaxOwed      int64             `json:"max_owed,omitempty"`
	Since        time.Time         `json:"since,omitzero"`
	DisableAfter time.Duration     `json:"disable_after,omitempty"` // see Endpoint.DisableAfter
	Retry        Retry             `json:"retry,omitzero"`
	Headers      map[string][]byte `json:"headers,omitempty"` // sealed values, by canonical name
}

// EndpointDraft is an endpoint that is to be kept, with the values of its headers in clear.
type EndpointDraft struct {
	StoredEndpoint
	Clear map[string]string // values of headers, by name
}

// The most that is kept.
const (
	maxPartners  = 10_000
	maxEndpoints = 100 // of one partner, those of the config too
)

// Why something that is kept is not changed. Each has the remedy in its text.
var (
	ErrDeclared = errors.New("it is in the config file: change it there")
	ErrUnknown  = errors.New("there is none of this id")
	ErrTaken    = errors.New("this id is taken, or was in use before: choose another")
	ErrChanged  = errors.New("it has been changed meanwhile: read it again, and repeat the change")
	ErrTooMany  = errors.New("there are as many as may be kept: remove some")
	ErrNoRoom   = errors.New("no file may be open for another endpoint: remove some, or raise the limit of open files and restart")
)

// Change is who changes something that is kept, and on which conditions.
type Change struct {
	Actor  string
	At     time.Time
	Expect func(v Version) bool                        // whether what it is about may be changed, as it is now; nil: it may
	Answer func(v Version, key string) (Answer, error) // what is kept beside it for whoever asks again; nil: nothing
}

// made is what is written with versions, in one transaction.
type made struct {
	versions []Version
	endpoint string // of a new one: its id
	key      Made   // and its key
	answer   *Answer
}

// CreatePartner keeps a new partner: nil once that is on stable storage, and everybody sees it.
func (r *Registry) CreatePartner(ctx context.Context, p StoredPartner, c Change) (Version, error) {
	return r.one(ctx, c, PartnerCreated, func(s *Snapshot) (*made, error) {
		switch {
		case CheckName(p.ID) != nil:
			return nil, CheckName(p.ID).at("id")
		case s.declaredPartner(p.ID):
			return nil, fmt.Errorf("partner %s: %w", p.ID, ErrDeclared)
		case s.Partner(p.ID) != nil:
			return nil, fmt.Errorf("partner %s: %w", p.ID, ErrTaken)
		case len(s.stored.Partners) >= maxPartners:
			return nil, ErrTooMany
		}
		return &made{versions: []Version{{What: PartnerCreated, ID: p.ID, Partner: &p}}}, p.check()
	})
}

// UpdatePartner changes one that is kept: fn is given a copy.
func (r *Registry) UpdatePartner(ctx context.Context, id string, c Change, fn func(*StoredPartner) error) (Version, error) {
	return r.one(ctx, c, PartnerUpdated, func(s *Snapshot) (*made, error) {
		v, err := s.storedPartner(id, &c)
		if err != nil {
			return nil, err
		}
		p := *v.Partner
		p.Policy.Validity = maps.Clone(p.Policy.Validity)
		if err := fn(&p); err != nil {
			return nil, err
		}
		p.ID = id
		return &made{versions: []Version{{What: PartnerUpdated, ID: id, Partner: &p}}}, p.check()
	})
}

// RemovePartner takes a partner away with its endpoints. What is owed to them stays owed, as to
// every orphan.
func (r *Registry) RemovePartner(ctx context.Context, id string, c Change) error {
	_, err := r.one(ctx, c, PartnerRemoved, func(s *Snapshot) (*made, error) {
		if _, err := s.storedPartner(id, &c); err != nil {
			return nil, err
		}
		m := &made{}
		for _, e := range s.stored.byPartner()[s.Kept(id)] {
			m.versions = append(m.versions, Version{What: EndpointRemoved, ID: e.ID})
		}
		m.versions = append(m.versions, Version{What: PartnerRemoved, ID: id})
		return m, nil
	})
	return err
}

// CreateEndpoint keeps a new endpoint and makes its key, whose text is returned this once: nil once
// both are on stable storage, and everybody sees them.
func (r *Registry) CreateEndpoint(ctx context.Context, d EndpointDraft, c Change) (v Version, key string, err error) {
	v, err = r.one(ctx, c, EndpointCreated, func(s *Snapshot) (*made, error) {
		p := s.Partner(d.Partner)
		d.Partner = s.Kept(d.Partner)
		switch {
		case CheckName(d.ID) != nil:
			return nil, CheckName(d.ID).at("id")
		case p == nil:
			return nil, fmt.Errorf("partner %s: %w", d.Partner, ErrUnknown)
		case s.endpoints[d.ID] != nil, s.owners[d.ID].Became != "", s.owners[d.ID].Partner != "" && s.owners[d.ID].Partner != d.Partner:
			return nil, fmt.Errorf("endpoint %s: %w", d.ID, ErrTaken) // also of whom it is somebody else's: nothing is said of that
		case len(p.Endpoints) >= maxEndpoints:
			return nil, ErrTooMany
		}
		e, err := r.sound(&d)
		if err != nil {
			return nil, err
		}
		m := &made{versions: []Version{{What: EndpointCreated, ID: d.ID, Endpoint: e}}, endpoint: d.ID}
		m.key, err = r.NewKey(signing.HMAC)
		key = m.key.Secret
		return m, err
	})
	return v, key, err
}

// UpdateEndpoint changes one that is kept: fn is given a copy. Its id and its partner stay what
// they are.
func (r *Registry) UpdateEndpoint(ctx context.Context, id string, c Change, fn func(*EndpointDraft) error) (Version, error) {
	return r.one(ctx, c, EndpointUpdated, func(s *Snapshot) (*made, error) {
		v, err := s.storedEndpoint(id, &c)
		if err != nil {
			return nil, err
		}
		d := EndpointDraft{StoredEndpoint: *v.Endpoint}
		d.Events = slices.Clone(d.Events)
		if d.Clear, err = r.open(v.Endpoint); err != nil {
			return nil, err
		}
		if err := fn(&d); err != nil {
			return nil, err
		}
		d.ID, d.Partner = id, v.Endpoint.Partner
		e, err := r.sound(&d)
		if f, ok := format.ByName(d.Format); ok && err == nil && signing.CheckKeys(f.Scheme, s.Ring(id, c.At)) != nil {
			err = &ValueError{"format", "cannot use the keys that this endpoint has", "rotate them to a kind that the format takes, or keep the format"}
		}
		return &made{versions: []Version{{What: EndpointUpdated, ID: id, Endpoint: e}}}, err
	})
}

// RemoveEndpoint takes an endpoint away. What is owed to it stays owed, as to every orphan; its id
// stays its partner's.
func (r *Registry) RemoveEndpoint(ctx context.Context, id string, c Change) error {
	_, err := r.one(ctx, c, EndpointRemoved, func(s *Snapshot) (*made, error) {
		_, err := s.storedEndpoint(id, &c)
		return &made{versions: []Version{{What: EndpointRemoved, ID: id}}}, err
	})
	return err
}

// storedPartner is the last version of a partner that may be changed.
func (s *Snapshot) storedPartner(id string, c *Change) (Version, error) {
	v, ok := s.stored.Partners[id]
	switch {
	case s.declaredPartner(id):
		return v, fmt.Errorf("partner %s: %w", id, ErrDeclared)
	case !ok:
		return v, fmt.Errorf("partner %s: %w", id, ErrUnknown)
	case c.Expect != nil && !c.Expect(v):
		return v, fmt.Errorf("partner %s: %w", id, ErrChanged)
	}
	return v, nil
}

// storedEndpoint is the last version of an endpoint that may be changed.
func (s *Snapshot) storedEndpoint(id string, c *Change) (Version, error) {
	v, ok := s.stored.Endpoints[id]
	switch {
	case s.declaredEndpoint(id):
		return v, fmt.Errorf("endpoint %s: %w", id, ErrDeclared)
	case !ok:
		return v, fmt.Errorf("endpoint %s: %w", id, ErrUnknown)
	case c.Expect != nil && !c.Expect(v):
		return v, fmt.Errorf("endpoint %s: %w", id, ErrChanged)
	}
	return v, nil
}

// check holds a partner to the rules.
func (p *StoredPartner) check() error {
	ps := &p.Policy
	for _, list := range [][]kyc.Check{ps.Required, ps.RequiredCompany, slices.Collect(maps.Keys(ps.Validity))} {
		for _, c := range list {
			if !slices.Contains(kyc.Checks, c) {
				return &ValueError{"policy", "names a check that is none", "use the types of checks that docs/EVENTS.md lists"}
			}
		}
	}
	for _, months := range ps.Validity {
		if m := within("policy.validity", months, 1, MaxValidity); m != nil {
			return m
		}
	}
	if len(ps.Required) == 0 || len(ps.RequiredCompany) == 0 {
		return &ValueError{"policy", "requires no check", "name at least one, or leave the list out to have the default"}
	}
	return first(
		within("max_submissions", p.MaxOpen, 1, MaxOpenRefs), within("policy.validity_months", ps.ValidityMonths, 1, MaxValidity),
		within("policy.notice_days", ps.NoticeDays, 1, MaxNotice),
	)
}

// sound holds an endpoint to the rules, and seals its headers.
func (r *Registry) sound(d *EndpointDraft) (*StoredEndpoint, error) {
	allow := r.o.Allow
	if d.Public {
		allow = nil
	}
	if ue, ok := errors.AsType[*send.URLError](send.CheckURL(d.URL, r.o.Live, allow)); ok {
		return nil, &ValueError{"url", ue.Problem, ue.Remedy}
	}
	if _, ok := format.ByName(d.Format); !ok {
		return nil, &ValueError{"format", "is none that this program knows", "use one of those that countersign formats lists"}
	}
	if _, err := NewFilter(d.Filter); err != nil {
		return nil, err
	}
	rate := d.Rate
	if rate == 0 { // no limit
		rate = MaxRate
	}
	err := first(
		checkEvents(d.Events), within("concurrency", d.Concurrency, 1, MaxConcurrency), within("rate", rate, MinRate, MaxRate), lasts("timeout", d.Timeout, MinTimeout, MaxTimeout),
		within("max_owed", d.MaxOwed, 1, MostOwed), lasts("retry.first", d.Retry.First, MinWait, MaxWait), within("retry.factor", d.Retry.Factor, 1, MaxFactor),
		lasts("retry.max", d.Retry.Max, MinWait, MaxWait), within("retry.jitter", d.Retry.Jitter, 0, MaxJitter), within("retry.attempts", d.Retry.Attempts, 1, MaxAttempts),
		lasts("retry.max_retry_after", d.Retry.MaxRetryAfter, MinRetryAfter, MaxRetryAfter), checkDisableAfter(d.DisableAfter), d.Retry.Check().at("retry.max"), CheckHeaders(d.Clear, r.o.Reserved),
	)
	if err != nil {
		return nil, err
	}
	e := d.StoredEndpoint
	e.Headers = nil
	for name, value := range d.Clear {
		name = http.CanonicalHeaderKey(name)
		sealed, err := r.o.Sealer.Seal(headerName(e.ID, name), []byte(value))
		if err != nil {
			return nil, err
		}
		if e.Headers == nil {
			e.Headers = map[string][]byte{}
		}
		e.Headers[name] = sealed
	}
	return &e, nil
}

// one works a change out upon what there is, writes it, and puts the snapshot after it in the place
// of the last. Changes come one after another.
func (r *Registry) one(ctx context.Context, c Change, what string, work func(*Snapshot) (*made, error)) (v Version, err error) {
	r.changing.Lock()
	defer r.changing.Unlock()
	now := r.Read()
	m, err := work(now)
	if err != nil {
		return v, err
	}
	number(m.versions, now.stored.Last, c.Actor, c.At)
	if n := len(m.versions); n > 0 {
		v = m.versions[n-1]
	}
	next, err := r.compose(r.declared, now.stored.with(m.versions), now.names, m)
	if err != nil {
		return v, err
	}
	if c.Answer != nil {
		a, err := c.Answer(v, m.key.Secret)
		if err != nil {
			return v, err
		}
		m.answer = &a
	}
	r.mu.Lock() // over the commit too: what is disabled or paused meanwhile is not lost, and what nobody admits is not written
	defer r.mu.Unlock()
	next.with(r.Read(), m)
	if err = r.admit(next); err == nil {
		err = r.keep(ctx, now.stored, next, m)
	}
	if err != nil {
		return v, fmt.Errorf("keep %s %s: %w", what, v.ID, err)
	}
	r.publish(next)
	return v, nil
}

// keep writes a change, with what else it decides: nil once all of it is on stable storage.
func (r *Registry) keep(ctx context.Context, was Stored, next *Snapshot, m *made) error {
	known := map[string]map[int]kyc.Policy{}
	var vs []Version
	write := func(tx *store.Tx) error {
		clear(known)
		b := tx.Bucket(store.Registry)
		for i := range m.versions {
			v := &m.versions[i]
			if v.Partner != nil {
				root := next.Kept(v.ID)
				ps, err := registerPolicy(tx, root, v.Partner.Policy)
				if err != nil {
					return err
				}
				known[root] = ps
			}
		}
		if m.endpoint != "" {
			err := errors.Join(r.PutFirstKey(tx, m.endpoint, m.key), b.DeleteBoth(disabledKey(m.endpoint)), b.DeleteBoth(pausedKey(m.endpoint)), b.DeleteBoth(healthKey(m.endpoint)), putTwice(b, ownerPrefix+m.endpoint, next.owners[m.endpoint]))
			if err != nil {
				return err
			}
		}
		vs = append(slices.Clone(m.versions), was.unsaidPolicies(known)...)
		if m.endpoint != "" {
			vs = append(vs, was.unsaidOwner(m.endpoint, next.owners[m.endpoint])...)
		}
		number(vs, was.Last, m.versions[0].Actor, m.versions[0].At)
		return errors.Join(writeVersions(b, vs), r.writeAnswer(b, m.answer))
	}
	// Whoever hangs up must not leave it undecided whether it counts.
	if err := r.o.Store.Update(context.WithoutCancel(ctx), write); err != nil {
		return err
	}
	r.noteAnswer(m.answer)
	next.stored = was.with(vs)
	next.policies = maps.Clone(next.policies)
	maps.Copy(next.policies, known)
	for i := range m.versions {
		if m.versions[i].What == PartnerRemoved {
			delete(next.policies, next.Kept(m.versions[i].ID))
		}
	}
	return nil
}
