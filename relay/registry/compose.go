package registry

import (
	"fmt"
	"maps"
	"slices"

	"countersign/relay/format"
	"countersign/relay/send"
)

// compose makes the partners there are of those of the config and of what is kept, each endpoint
// with its share of what may be in flight. m is a change that is not written yet; nil: there is
// none. What compose does not know (policies, and what is disabled) is left out.
func (r *Registry) compose(declared []Partner, stored Stored, ns names, m *made) (*Snapshot, error) {
	os := r.Read().owners
	if m != nil && m.endpoint != "" {
		os = maps.Clone(os)
		o := os[m.endpoint]
		o.Partner = stored.Endpoints[m.endpoint].Endpoint.Partner
		os[m.endpoint] = o
	}
	s, err := compose(declared, stored, ns, os, r.endpoint)
	if err == nil && r.o.Divide != nil {
		err = r.o.Divide(s.Receivers())
	}
	return s, err
}

// compose is the one place where the partners of the config and what is kept in the file become the
// partners there are: those of the config in its order, each with its own endpoints and then those
// that are kept of it, and then those that are kept, by their ids. endpoint makes what is kept an
// endpoint.
func compose(declared []Partner, stored Stored, ns names, os owners, endpoint func(Version) (Endpoint, error)) (*Snapshot, error) {
	s := &Snapshot{declared: map[string]bool{}, partners: map[string]*Partner{}, endpoints: map[string]*Endpoint{}, whose: map[string]string{}, stored: stored, owners: os, names: ns, roots: ns.roots()}
	for i := range declared {
		p := declared[i]
		p.Endpoints = slices.Clone(p.Endpoints)
		for j := range p.Endpoints {
			s.declared[p.Endpoints[j].ID] = true
		}
		if p.ID == Operator {
			s.operator = p.Endpoints
			continue
		}
		s.all = append(s.all, p)
		s.declared[partnerName(p.ID)] = true
	}
	for _, id := range slices.Sorted(maps.Keys(stored.Partners)) {
		if kept := stored.Partners[id].Partner; !s.declared[partnerName(s.Shown(id))] { // else its config's counts: own has refused that at the start
			s.all = append(s.all, Partner{ID: kept.ID, Policy: kept.Policy, MaxOpen: kept.MaxOpen})
		}
	}
	kept := stored.byPartner()
	for i := range s.all {
		p := &s.all[i]
		root := s.Kept(p.ID)
		s.partners[root] = p
		for _, v := range kept[root] {
			if s.declared[v.ID] {
				continue
			}
			e, err := endpoint(v)
			if err != nil {
				return nil, err
			}
			p.Endpoints = append(p.Endpoints, e)
		}
	}
	for _, p := range s.Receivers() {
		for j := range p.Endpoints {
			e := &p.Endpoints[j]
			s.endpoints[e.ID], s.whose[e.ID] = e, p.ID
		}
	}
	return s, nil
}

// partnerName keeps the ids of partners apart from those of endpoints.
func partnerName(id string) string { return "partner/" + id }

func (s *Snapshot) declaredPartner(id string) bool { return s.declared[partnerName(id)] }

func (s *Snapshot) declaredEndpoint(id string) bool { return s.declared[id] }

// Declared reports whether an endpoint stands in the config.
func (s *Snapshot) Declared(endpoint string) bool { return s.declaredEndpoint(endpoint) }

// DeclaredPartner reports whether a partner stands in the config.
func (s *Snapshot) DeclaredPartner(id string) bool { return s.declaredPartner(id) }

// StoredPartner is the last version of a partner that is kept in the file.
func (s *Snapshot) StoredPartner(id string) (Version, bool) {
	v, ok := s.stored.Partners[id]
	return v, ok && !s.declaredPartner(id)
}

// StoredEndpoint is the last version of an endpoint that is kept in the file.
func (s *Snapshot) StoredEndpoint(id string) (Version, bool) {
	v, ok := s.stored.Endpoints[id]
	return v, ok && !s.declaredEndpoint(id)
}

// Owner is whose an endpoint is, also one that is not served any more; "": nobody's.
func (s *Snapshot) Owner(endpoint string) string {
	if partner, ok := s.whose[endpoint]; ok {
		return partner
	}
	return s.Shown(s.owners[endpoint].Partner)
}

// endpoint is an endpoint that is kept, as everybody sees it. One that has not changed is what it
// was.
func (r *Registry) endpoint(v Version) (e Endpoint, err error) {
	k, now := v.Endpoint, r.Read()
	was := now.endpoints[k.ID]
	if was != nil && now.stored.Endpoints[k.ID].Number == v.Number {
		e = *was
		e.Concurrency = k.Concurrency // of which it may have had a share
		return e, nil
	}
	e = Endpoint{
		ID: k.ID, URL: k.URL, Public: k.Public, Events: k.Events, Concurrency: k.Concurrency, Rate: k.Rate, Timeout: k.Timeout, MaxOwed: k.MaxOwed, Since: k.Since, Retry: k.Retry, DisableAfter: k.DisableAfter,
	}
	var ok bool
	if e.Format, ok = format.ByName(k.Format); !ok {
		return e, fmt.Errorf("endpoint %s: this program knows no format %s", k.ID, k.Format)
	}
	if e.Filter, err = NewFilter(k.Filter); err != nil { // an earlier program took it
		e.Filter = &Filter{text: k.Filter}
	}
	values, err := r.open(k)
	if err != nil {
		return e, err
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		e.Headers = append(e.Headers, send.NewHeader(name, values[name]))
	}
	return e, nil
}

// with gives a snapshot after a change what was decided about partners and endpoints beside it.
// r.mu is held.
func (s *Snapshot) with(now *Snapshot, m *made) {
	s.policies, s.disabled, s.paused, s.kept = now.policies, now.disabled, now.paused, now.kept
	if m.endpoint == "" {
		s.owners = now.owners
		return
	}
	s.disabled, s.paused = maps.Clone(now.disabled), maps.Clone(now.paused)
	delete(s.disabled, m.endpoint)
	delete(s.paused, m.endpoint)
	s.keep(m.endpoint, []Key{m.key.Key})
}

// StoredBy counts the endpoints that are kept of a partner.
func (s *Snapshot) StoredBy(partner string) (n int) {
	partner = s.Kept(partner)
	for id, v := range s.stored.Endpoints {
		if v.Endpoint.Partner == partner && !s.declared[id] {
			n++
		}
	}
	return n
}
