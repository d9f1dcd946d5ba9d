package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"countersign/outbox/store"
)

// An endpoint belongs to one partner for ever, from the first start that knows it, in the config or
// not: what is owed to it, and the key that was made for it, are about that partner's people. It
// takes another id only by a Move.

const (
	ownerPrefix = "owner/"
	movePrefix  = "move/" // of moves that have begun, by the id they lead to
)

// owner is what is kept of an endpoint for good.
type owner struct {
	Partner  string   `json:"partner"`            // by the id that it is kept under
	Became   string   `json:"became,omitempty"`   // the id that took its place
	Formerly []string `json:"formerly,omitempty"` // the ids whose place it took, the last first
}

// Move gives what is kept of an endpoint to another id of the same partner.
type Move struct {
	Partner string `json:"partner"`
	From    string `json:"from"`
	To      string `json:"to"`
}

// Refusal is why a config may not be served upon what is kept.
type Refusal struct {
	Partner, Endpoint string // whose entry in the config it is about; no endpoint: the partner's own
	Key               string // of that entry: id or renamed_from
	What, Remedy      string
}

// Orphan is an endpoint that is known, and neither in the config nor made through the API: what is
// owed to it stays owed.
type Orphan struct{ Partner, Endpoint string }

// Plan is what a config comes to upon what is kept.
type Plan struct {
	Refused []Refusal
	Renames []Rename // of partners
	Moves   []Move   // those that have begun first
	Orphans []Orphan
	Gone    []string // partners that own endpoints and are not in the config

	fresh []Move // endpoints that get their first owner: no From
}

// owners are what is kept of all endpoints.
type owners map[string]owner

func readOwners(tx *store.Tx) (owners, []Move, error) {
	all := owners{}
	b := tx.Bucket(store.Registry)
	err := b.EachEither([]byte(ownerPrefix), func(k, v []byte) error {
		var o owner
		if json.Unmarshal(v, &o) != nil {
			return fmt.Errorf("owner %s: %w", k, store.ErrBadRecord)
		}
		all[strings.TrimPrefix(string(k), ownerPrefix)] = o
		return nil
	})
	var begun []Move
	if err == nil {
		err = b.EachEither([]byte(movePrefix), func(k, v []byte) error {
			var m Move
			if json.Unmarshal(v, &m) != nil {
				return fmt.Errorf("move %s: %w", k, store.ErrBadRecord)
			}
			if !slices.Contains(begun, m) {
				begun = append(begun, m)
			}
			return nil
		})
	}
	return all, begun, err
}

// current is the id that an endpoint has now.
func (os owners) current(id string) string {
	for range len(os) { // a chain is no longer
		next := os[id].Became
		if next == "" {
			break
		}
		id = next
	}
	return id
}

// move makes the owners what they are after it.
func (os owners) move(m Move) {
	from, to := os[m.From], owner{Partner: m.Partner}
	for _, id := range append([]string{m.From}, slices.Concat(from.Formerly, os[m.To].Formerly)...) {
		if id != m.To && !slices.Contains(to.Formerly, id) {
			to.Formerly = append(to.Formerly, id)
		}
	}
	os[m.From], os[m.To] = owner{Partner: m.Partner, Became: m.To, Formerly: from.Formerly}, to
}

// planner works a Plan out.
type planner struct {
	Plan
	owners
	names
	tx       *store.Tx
	declared map[string]string // partners by endpoint, as they are kept
	stored   Stored            // what was made through the API
	owing    map[string]string // partners, by endpoint that owes something about their people
	any      bool              // endpoints have been recorded before
}

// PlanOf compares a config with what is kept. owing says, of each endpoint that owes something,
// whose people that is about: files of before owners were kept are judged by it.
func PlanOf(tx *store.Tx, ps []Partner, owing map[string]string) (Plan, error) {
	all, begun, err := readOwners(tx)
	if err != nil {
		return Plan{}, fmt.Errorf("read the owners of endpoints: %w", err)
	}
	stored, err := readStored(tx)
	if err != nil {
		return Plan{}, fmt.Errorf("read the partners and endpoints that are kept: %w", err)
	}
	ns, err := readNames(tx)
	if err != nil {
		return Plan{}, fmt.Errorf("read the names of partners: %w", err)
	}
	p := &planner{owners: all, names: ns, tx: tx, declared: map[string]string{}, stored: stored, owing: owing, any: len(all) > 0}
	ids := map[string]bool{}
	for i := range ps {
		ids[ps[i].ID] = true
	}
	for i := range ps {
		p.rename(&ps[i], ids)
	}
	for _, m := range begun {
		p.Moves = append(p.Moves, m)
		p.move(m)
	}
	partners := map[string]bool{}
	for i := range ps {
		root := p.kept(ps[i].ID)
		partners[root] = true
		for j := range ps[i].Endpoints {
			p.declared[ps[i].Endpoints[j].ID] = root
		}
	}
	for id := range stored.Partners {
		if partners[id] {
			p.Refused = append(p.Refused, Refusal{Partner: id, Key: "id", What: "partner " + id + " was made through the API, and is kept in the database", Remedy: "take it out of the config; or remove it with countersign partners remove " + id + ", and then start with this config: pending deliveries stay, and its endpoints go on if they are declared under their ids"})
		}
		partners[id] = true
	}
	for i := range ps {
		for j := range ps[i].Endpoints {
			p.endpoint(p.kept(ps[i].ID), &ps[i].Endpoints[j])
		}
	}
	for id, partner := range owing {
		if _, known := p.owners[id]; !known && p.declared[id] == "" {
			p.own(id, partner)
		}
	}
	for id, o := range p.owners {
		if v, ok := stored.Endpoints[id]; ok && partners[v.Endpoint.Partner] {
			continue
		}
		if o.Became == "" && p.declared[id] == "" {
			p.Orphans = append(p.Orphans, Orphan{p.shown(o.Partner), id})
		}
		if is := p.shown(o.Partner); !partners[o.Partner] && !slices.Contains(p.Gone, is) {
			p.Gone = append(p.Gone, is)
		}
	}
	slices.SortFunc(p.Orphans, func(a, b Orphan) int { return strings.Compare(a.Endpoint, b.Endpoint) })
	slices.Sort(p.Gone)
	return p.Plan, nil
}

// owner is whose an endpoint is; "": nobody's yet.
func (p *planner) owner(id string) string {
	if o, ok := p.owners[id]; ok {
		return o.Partner
	}
	return p.owing[id]
}

func (p *planner) endpoint(partner string, e *Endpoint) {
	refuse := func(key, what, remedy string) {
		p.Refused = append(p.Refused, Refusal{Partner: p.shown(partner), Endpoint: e.ID, Key: key, What: what, Remedy: remedy})
	}
	if is := p.owner(e.ID); is != "" && is != partner {
		refuse("id", fmt.Sprintf("endpoint %s belongs to partner %s, and cannot change its partner: its pending deliveries and its key are that partner's", e.ID, p.shown(is)), "give this endpoint an id of its own")
		return
	}
	if v, ok := p.stored.Endpoints[e.ID]; ok && v.Endpoint.Partner == partner {
		refuse("id", fmt.Sprintf("endpoint %s was made through the API, and is kept in the database", e.ID), "take it out of the config; or remove it with countersign endpoints remove "+e.ID+", and then start with this config: its pending deliveries go on")
		return
	}
	o, known := p.owners[e.ID]
	from := p.current(e.RenamedFrom)
	if e.RenamedFrom != "" && from != e.ID {
		if what, remedy := p.refusal(partner, e, from); what != "" {
			refuse("renamed_from", what, remedy)
			return
		}
		m := Move{partner, from, e.ID}
		p.Moves = append(p.Moves, m)
		p.move(m)
		return
	}
	switch {
	case o.Became != "":
		is := p.current(e.ID)
		refuse("id", fmt.Sprintf("endpoint %s was renamed to %s", e.ID, is), fmt.Sprintf("give this endpoint an id of its own, or rename it back with renamed_from: %s, and without an endpoint %s", is, is))
	case !known:
		p.own(e.ID, partner)
	}
}

// own gives an endpoint its first owner.
func (p *planner) own(id, partner string) {
	p.owners[id] = owner{Partner: partner}
	p.fresh = append(p.fresh, Move{Partner: partner, To: id})
}

// refusal is why an endpoint may not take the place of another, whose id is from now; what is "":
// it may.
func (p *planner) refusal(partner string, e *Endpoint, from string) (what, remedy string) {
	o, known := p.owners[e.ID]
	is := p.owner(from)
	switch {
	case p.stored.Endpoints[from].Endpoint != nil:
		return fmt.Sprintf("endpoint %s was made through the API, and is kept in the database", from), "remove renamed_from, or remove that endpoint first, with countersign endpoints remove " + from
	case p.declared[from] != "":
		return fmt.Sprintf("endpoint %s was renamed to %s, which is in the config", e.RenamedFrom, from), "remove renamed_from, or that endpoint"
	case is != "" && is != partner:
		return fmt.Sprintf("endpoint %s belongs to partner %s, for ever", from, p.shown(is)), "remove renamed_from: its pending deliveries are about that partner's persons"
	case known && o.Became == "" || !known && p.owing[e.ID] != "":
		return fmt.Sprintf("endpoint %s has been in use already: only a new id can take the place of another", e.ID), "give it an id that is new, or remove renamed_from"
	case known && p.current(e.ID) != from:
		return fmt.Sprintf("endpoint %s was renamed to %s", e.ID, p.current(e.ID)), "give it an id that is new"
	case is == "" && p.any && !p.traces(from):
		return fmt.Sprintf("no endpoint %s is known", from), "correct it, or remove renamed_from"
	}
	return "", ""
}

// traces reports whether something is kept of an endpoint that has no owner: of before owners were
// kept.
func (p *planner) traces(id string) bool {
	b := p.tx.Bucket(store.Registry)
	return b.HasEither([]byte(endpointKey(id))) || b.HasEither(disabledKey(id))
}

// Own makes the endpoints of a plan that are new their partners': nil once that is on stable
// storage.
func (r *Registry) Own(ctx context.Context, p Plan) error {
	err := r.o.Store.Update(ctx, func(tx *store.Tx) error {
		b := tx.Bucket(store.Registry)
		for _, m := range p.fresh {
			if err := putTwice(b, ownerPrefix+m.To, owner{Partner: m.Partner}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep the owners of endpoints: %w", err)
	}
	return nil
}

// Begin notes that a move has begun, so that every later start goes on with it until Finish: nil
// once that is on stable storage. One is under way at a time.
func (r *Registry) Begin(ctx context.Context, m Move) error {
	err := r.o.Store.Update(ctx, func(tx *store.Tx) error { return putTwice(tx.Bucket(store.Registry), movePrefix+m.To, m) })
	if err != nil {
		return fmt.Errorf("rename endpoint %s to %s: %w", m.From, m.To, err)
	}
	return nil
}

// Finish ends a move that has begun, when what was owed has moved: the keys that are kept, the mark
// of a disabled one and the ownership follow, in one transaction. Nil once that is on stable
// storage.
func (r *Registry) Finish(ctx context.Context, m Move) error {
	err := r.o.Store.Update(ctx, func(tx *store.Tx) error {
		all, _, err := readOwners(tx)
		if err != nil {
			return err
		}
		all.move(m)
		b := tx.Bucket(store.Registry)
		for _, id := range []string{m.From, m.To} {
			if err := putTwice(b, ownerPrefix+id, all[id]); err != nil {
				return err
			}
		}
		if err := r.carryKey(tx, m); err != nil {
			return err
		}
		if err := carryPause(b, tx, m); err != nil {
			return err
		}
		if b.HasEither(disabledKey(m.From)) {
			if err := b.PutTwice(disabledKey(m.To), []byte(disabledFor(tx, m.From))); err != nil {
				return err
			}
			if err := b.DeleteBoth(disabledKey(m.From)); err != nil {
				return err
			}
		}
		if err := carryHealth(b, m); err != nil {
			return err
		}
		return b.DeleteBoth([]byte(movePrefix + m.To))
	})
	if err != nil {
		return fmt.Errorf("rename endpoint %s to %s: %w", m.From, m.To, err)
	}
	return nil
}

func putTwice(b store.Bucket, key string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.PutTwice([]byte(key), body)
}

// Formerly are the ids that an endpoint had before, the last first: what is kept of the past names
// it by these.
func (s *Snapshot) Formerly(endpoint string) []string { return s.owners[endpoint].Formerly }

// Current is the id that an endpoint has now.
func (s *Snapshot) Current(endpoint string) string { return s.owners.current(endpoint) }

// IsOrphan reports whether an endpoint is known and not served.
func (s *Snapshot) IsOrphan(endpoint string) bool {
	o, known := s.owners[endpoint]
	return known && o.Became == "" && s.endpoints[endpoint] == nil
}

// Orphans are the endpoints that are known and not served, in the order of their ids.
func (s *Snapshot) Orphans() (list []Orphan) {
	for id, o := range s.owners {
		if s.IsOrphan(id) {
			list = append(list, Orphan{s.Shown(o.Partner), id})
		}
	}
	slices.SortFunc(list, func(a, b Orphan) int { return strings.Compare(a.Endpoint, b.Endpoint) })
	return list
}
