package registry

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"countersign/kyc"
	"countersign/outbox/store"
	"countersign/relay/format"
)

// VersionNumber names what decided what is owed, and how it is said, from one change of it to the
// next. It is the number of the last Version of that change.
type VersionNumber uint64

// mostPast is how much the snapshots of At hold in memory, all together: last versions of something.
// The snapshots that nobody has asked for the longest are forgotten, and made again from the file;
// the one that was asked for last is always kept.
const mostPast = 200_000

// past are the snapshots that At has made.
type past struct {
	mu   sync.Mutex
	made []*Snapshot // the one that was asked for last is the last
}

// Newest is the number of what Read says; 0: nothing has been said yet.
func (r *Registry) Newest() VersionNumber { return VersionNumber(r.Read().stored.Last) }

// At is what Read said when a number was the newest, in everything that decides, and is the same
// whenever and wherever it is asked: all that it says follows from the versions up to that number.
// Of the moment it says nothing: its partners and endpoints have what decides (see said.go) and
// nothing else, none of its endpoints is disabled or paused, and none has a key. The order of its
// partners is that of the ids that they are kept under, those of the config first. Nil: nobody
// knows; because the number has not come yet, was never the newest, is of before versions said what
// the config declares, or because versions up to it are damaged, which Versions names.
//
// The numbers that were asked for last are kept in memory, see mostPast: whoever folds goes from one
// to the next, and does not read the versions of long ago again.
func (r *Registry) At(v VersionNumber) *Snapshot {
	now := r.Read().stored
	if v == 0 || uint64(v) > now.Last {
		return nil
	}
	r.past.mu.Lock()
	defer r.past.mu.Unlock()
	if s := r.past.find(v); s != nil {
		return s
	}
	s, err := r.remake(now, v)
	if err != nil {
		return nil
	}
	r.past.keep(s)
	return s
}

func (p *past) find(v VersionNumber) *Snapshot {
	i := slices.IndexFunc(p.made, func(s *Snapshot) bool { return s.stored.Last == uint64(v) })
	if i < 0 {
		return nil
	}
	s := p.made[i]
	p.made = append(slices.Delete(p.made, i, i+1), s)
	return s
}

func (p *past) keep(s *Snapshot) {
	p.made = append(p.made, s)
	n := 0
	for i, s := range slices.Backward(p.made) {
		of := &s.stored
		if n += 1 + len(of.said) + len(of.Partners) + len(of.Endpoints); n > mostPast && i < len(p.made)-1 {
			p.made = slices.Delete(p.made, 0, i+1)
			return
		}
	}
}

// before is what the versions up to the greatest number that is not above one came to, of those that
// are kept.
func (p *past) before(v VersionNumber) Stored {
	best := noneStored()
	for _, s := range p.made {
		if s.stored.Last <= uint64(v) && s.stored.Last > best.Last {
			best = s.stored
		}
	}
	return best
}

// remake makes the snapshot of a number. now is what all versions come to.
func (r *Registry) remake(now Stored, v VersionNumber) (*Snapshot, error) {
	from := now
	if uint64(v) < now.Last {
		from = r.past.before(v)
	}
	var vs []Version
	err := r.o.Store.View(func(tx *store.Tx) (err error) {
		vs, err = versionsFrom(tx, min(from.Last, uint64(v)-1), uint64(v)) // the last one also where nothing is to be folded
		return err
	})
	if err != nil {
		return nil, err
	}
	if last := vs[len(vs)-1]; last.Schema < decidingSchema || last.More {
		return nil, fmt.Errorf("version %d was never the newest, or does not say what the config declares", v)
	}
	if from.Last < uint64(v) {
		from = from.with(vs)
	}
	return from.snapshot()
}

// snapshot is what versions say of what decides.
func (s *Stored) snapshot() (*Snapshot, error) {
	var declared []Partner
	ns, os, ps := names{}, owners{}, map[string]map[int]kyc.Policy{}
	for _, v := range s.said {
		switch {
		case v.Names != nil:
			ns[v.ID] = *v.Names
		case v.Owner != nil:
			os[v.ID] = *v.Owner
		case v.Policy != nil:
			if ps[v.ID] == nil {
				ps[v.ID] = map[int]kyc.Policy{}
			}
			ps[v.ID][v.Policy.Version] = *v.Policy
		case v.Partner != nil:
			p, err := s.declaredPartner(v.Partner)
			if err != nil {
				return nil, err
			}
			declared = append(declared, p)
		}
	}
	slices.SortFunc(declared, func(a, b Partner) int { return cmp.Compare(ns.kept(a.ID), ns.kept(b.ID)) })
	all, err := compose(declared, *s, ns, os, deciding)
	if err != nil {
		return nil, err
	}
	all.policies = map[string]map[int]kyc.Policy{}
	for root := range all.partners {
		if all.policies[root] = ps[root]; ps[root] == nil {
			all.policies[root] = map[int]kyc.Policy{}
		}
	}
	for i := range all.all {
		all.all[i].MaxOpen = 0
	}
	return all, nil
}

// declaredPartner is a partner of the config with its endpoints, as far as it decides.
func (s *Stored) declaredPartner(of *StoredPartner) (Partner, error) {
	p := Partner{ID: of.ID, Policy: of.Policy}
	for _, id := range of.Endpoints {
		v := Version{ID: id, Declared: true}
		said, ok := s.said[string(v.currentKey())]
		if !ok || said.Endpoint == nil {
			return p, fmt.Errorf("endpoint %s of the config: %w", id, store.ErrBadRecord)
		}
		e, err := deciding(said)
		if err != nil {
			return p, err
		}
		p.Endpoints = append(p.Endpoints, e)
	}
	return p, nil
}

// deciding is what of an endpoint decides.
func deciding(v Version) (e Endpoint, err error) {
	k := v.Endpoint
	e = Endpoint{ID: k.ID, Events: k.Events, Since: k.Since}
	if k.Format != "" {
		var ok bool
		if e.Format, ok = format.ByName(k.Format); !ok {
			return e, fmt.Errorf("endpoint %s: this program knows no format %s", k.ID, k.Format)
		}
	}
	if e.Filter, err = NewFilter(k.Filter); err != nil { // an earlier program took it
		e.Filter = &Filter{text: k.Filter}
	}
	return e, nil
}
