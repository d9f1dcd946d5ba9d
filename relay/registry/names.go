package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"countersign/outbox/store"
)

// A partner's people, policies, endpoints and idempotency keys are kept under one id for good: the
// first that the partner was known by. A partner that is renamed shows another; nothing that is
// kept moves.

const namesPrefix = "partner-names/" // by the id that a partner is kept under

// named is what is kept of a partner that was renamed.
type named struct {
	Shown    string   `json:"shown"`    // the id that it has now
	Formerly []string `json:"formerly"` // the ids that it had, the last first
}

// names are those of all partners that were renamed, by the id that each is kept under.
type names map[string]named

func readNames(tx *store.Tx) (names, error) {
	all := names{}
	err := tx.Bucket(store.Registry).EachEither([]byte(namesPrefix), func(k, v []byte) error {
		var n named
		if json.Unmarshal(v, &n) != nil {
			return fmt.Errorf("names of a partner %s: %w", k, store.ErrBadRecord)
		}
		all[strings.TrimPrefix(string(k), namesPrefix)] = n
		return nil
	})
	return all, err
}

// kept is the id that a partner is kept under, by any of its ids.
func (ns names) kept(id string) string {
	for root, n := range ns {
		if n.Shown == id || slices.Contains(n.Formerly, id) {
			return root
		}
	}
	return id
}

// shown is the id that a partner has now, by any of its ids.
func (ns names) shown(id string) string {
	if n, ok := ns[ns.kept(id)]; ok {
		return n.Shown
	}
	return id
}

// rename makes the names what they are after it.
func (ns names) rename(r Rename) {
	root := ns.kept(r.From)
	n := ns[root]
	formerly := []string{ns.shown(r.From)}
	for _, id := range n.Formerly {
		if id != r.To && !slices.Contains(formerly, id) {
			formerly = append(formerly, id)
		}
	}
	ns[root] = named{r.To, formerly}
}

// Rename gives a partner another id.
type Rename struct {
	From string // the id that it had last
	To   string
}

// rename plans what a partner's renamed_from comes to, or refuses it.
func (p *planner) rename(partner *Partner, declared map[string]bool) {
	refuse := func(key, what, remedy string) {
		p.Refused = append(p.Refused, Refusal{Partner: partner.ID, Key: key, What: what, Remedy: remedy})
	}
	id, from := partner.ID, p.shown(partner.RenamedFrom)
	switch is := p.shown(id); {
	case partner.RenamedFrom == "" && is != id:
		refuse("id", fmt.Sprintf("partner %s was renamed to %s, and keeps what is kept of it", id, is), "give this partner an id of its own, or rename it back with renamed_from: "+is+", and without a partner "+is)
	case partner.RenamedFrom == "" || from == id: // it has that id already
	case declared[from]:
		refuse("renamed_from", fmt.Sprintf("partner %s is in the config as %s", partner.RenamedFrom, from), "remove renamed_from, or that partner")
	case is != id && is != from:
		refuse("renamed_from", fmt.Sprintf("partner %s was renamed to %s", id, is), "give this partner an id that is new")
	case is == id && p.known(id):
		refuse("renamed_from", fmt.Sprintf("partner %s is known already: only a new id can take the place of another", id), "give it an id that is new, or remove renamed_from")
	case p.any && !p.known(p.kept(from)):
		refuse("renamed_from", fmt.Sprintf("no partner %s is known", partner.RenamedFrom), "correct it, or remove renamed_from")
	default:
		r := Rename{from, id}
		p.Renames = append(p.Renames, r)
		p.names.rename(r)
	}
}

// known reports whether anything is kept under a partner's id: a policy, which each has from its
// first start, an endpoint, or a person.
func (p *planner) known(id string) bool {
	if n, err := p.tx.Number(registeredKey(id)); n > 0 || err != nil {
		return true
	}
	for _, o := range p.owners {
		if o.Partner == id {
			return true
		}
	}
	for _, is := range p.owing {
		if is == id {
			return true
		}
	}
	k, _ := p.tx.Bucket(store.Subjects).Cursor().Seek([]byte(id + "/"))
	return strings.HasPrefix(string(k), id+"/")
}

// RenamePartners gives the partners of a plan their new ids, in one transaction: nil once that is
// on stable storage.
func (r *Registry) RenamePartners(ctx context.Context, p Plan) error {
	if len(p.Renames) == 0 {
		return nil
	}
	err := r.o.Store.Update(ctx, func(tx *store.Tx) error {
		all, err := readNames(tx)
		if err != nil {
			return err
		}
		for _, rename := range p.Renames {
			all.rename(rename)
			root := all.kept(rename.To)
			if err := putTwice(tx.Bucket(store.Registry), namesPrefix+root, all[root]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("rename partners: %w", err)
	}
	return nil
}

// Kept is the id that a partner is kept under, by any id that it has or had. Of one that was never
// renamed, that id.
func (s *Snapshot) Kept(partner string) string {
	if root, ok := s.roots[partner]; ok {
		return root
	}
	return partner
}

// Shown is the id that a partner has now, by any id that it has or had.
func (s *Snapshot) Shown(partner string) string {
	if n, ok := s.names[s.Kept(partner)]; ok {
		return n.Shown
	}
	return partner
}

// PartnerNames are all ids that a partner has or had, read from the file, for whoever starts before
// Configure.
func (r *Registry) PartnerNames(partner string) (ids []string, err error) {
	ids = []string{partner}
	err = r.o.Store.View(func(tx *store.Tx) error {
		all, err := readNames(tx)
		if n, ok := all[all.kept(partner)]; ok {
			ids = append(ids, n.Formerly...)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the names of partners: %w", err)
	}
	return ids, nil
}

// roots are the ids that renamed partners are kept under, by each that they have or had.
func (ns names) roots() map[string]string {
	all := map[string]string{}
	for root, n := range ns {
		for _, id := range append([]string{root, n.Shown}, n.Formerly...) {
			all[id] = root
		}
	}
	return all
}
