package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
)

// The layouts of a Version. From the second on versions say everything that decides what is owed:
// before, they said what was made through the API.
const (
	versionSchema  = 2
	decidingSchema = 2
)

const (
	versionPrefix = "version/"         // of every change, by its number
	partnerPrefix = "stored-partner/"  // of the last version of each partner there is
	storedPrefix  = "stored-endpoint/" // and of each endpoint
	saidPrefix    = "said/"            // of the last version of everything else
)

// What a version says was done.
const (
	PartnerCreated   = "partner.created"
	PartnerUpdated   = "partner.updated"
	PartnerRemoved   = "partner.removed"
	EndpointCreated  = "endpoint.created"
	EndpointUpdated  = "endpoint.updated"
	EndpointRemoved  = "endpoint.removed"
	PolicyRegistered = "policy.registered"
	PartnerRenamed   = "partner.renamed"
	EndpointOwned    = "endpoint.owned" // it belongs to a partner from here on, or has taken another id
)

// configActor is who makes the versions that follow from the config.
const configActor = "config"

// Version is one change of something that decides what is owed, and how it is said: who made it,
// when, and the whole new value. Versions are only ever appended, numbered from 1 without a gap,
// and complete: whoever folds all of them knows what was made through the API, and of everything
// else what decides. They stand twice, for they cannot be made again. Values of headers are sealed
// in them, and keys are no part of them.
type Version struct {
	Schema   int             `json:"schema_version"`
	Number   uint64          `json:"number"`
	At       time.Time       `json:"at"`
	Actor    string          `json:"actor"` // the token's name, or config
	What     string          `json:"what"`
	ID       string          `json:"id"`                 // of the partner or the endpoint; of a partner that was not made through the API the one that it is kept under
	Declared bool            `json:"declared,omitempty"` // it stands in the config: Partner and Endpoint hold what decides, and nothing else
	More     bool            `json:"more,omitempty"`     // it counts together with the next, and not before
	Partner  *StoredPartner  `json:"partner,omitempty"`  // what it is from here on; of an endpoint, or one that was removed: nil
	Endpoint *StoredEndpoint `json:"endpoint,omitempty"` // the same
	Policy   *kyc.Policy     `json:"policy,omitempty"`   // of PolicyRegistered: the policy, with its version
	Names    *named          `json:"names,omitempty"`    // of PartnerRenamed
	Owner    *owner          `json:"owner,omitempty"`    // of EndpointOwned
}

// Stored is what versions come to: the last of each thing there is. Nobody changes it.
type Stored struct {
	Last      uint64             // number of the last version; 0: there is none
	Partners  map[string]Version // that were made through the API
	Endpoints map[string]Version // the same

	said map[string]Version // of what the config declares, policies, names and owners: by where it stands
}

func noneStored() Stored {
	return Stored{Partners: map[string]Version{}, Endpoints: map[string]Version{}, said: map[string]Version{}}
}

// Fold is what versions come to, whatever their order.
func Fold(vs []Version) Stored {
	s := noneStored()
	vs = slices.Clone(vs)
	slices.SortFunc(vs, func(a, b Version) int { return int(a.Number) - int(b.Number) }) //nolint:gosec // so many are never made
	for _, v := range vs {
		s.take(v)
	}
	return s
}

// with is what it is after further versions.
func (s Stored) with(vs []Version) Stored {
	s.Partners, s.Endpoints, s.said = maps.Clone(s.Partners), maps.Clone(s.Endpoints), maps.Clone(s.said)
	for _, v := range vs {
		s.take(v)
	}
	return s
}

func (s *Stored) take(v Version) {
	s.Last = max(s.Last, v.Number)
	all, key := s.said, string(v.currentKey())
	switch {
	case strings.HasPrefix(key, partnerPrefix):
		all, key = s.Partners, v.ID
	case strings.HasPrefix(key, storedPrefix):
		all, key = s.Endpoints, v.ID
	}
	if v.removes() {
		delete(all, key)
		return
	}
	all[key] = v
}

// removes reports whether what a version is about is there no more.
func (v *Version) removes() bool { return v.What == PartnerRemoved || v.What == EndpointRemoved }

// byPartner are the endpoints of each partner, in the order of their ids.
func (s *Stored) byPartner() map[string][]Version {
	all := map[string][]Version{}
	for _, id := range slices.Sorted(maps.Keys(s.Endpoints)) {
		v := s.Endpoints[id]
		all[v.Endpoint.Partner] = append(all[v.Endpoint.Partner], v)
	}
	return all
}

func versionKey(n uint64) []byte { return fmt.Appendf(nil, "%s%016d", versionPrefix, n) }

// currentKey is where the last version of what this one is about stands.
func (v *Version) currentKey() []byte {
	partner := strings.HasPrefix(v.What, "partner.")
	switch {
	case v.What == PolicyRegistered && v.Policy != nil:
		return fmt.Appendf(nil, "%spolicy/%s/%08d", saidPrefix, v.ID, v.Policy.Version)
	case v.What == PartnerRenamed:
		return []byte(saidPrefix + "names/" + v.ID)
	case v.What == EndpointOwned:
		return []byte(saidPrefix + "owner/" + v.ID)
	case v.Declared && partner:
		return []byte(saidPrefix + "partner/" + v.ID)
	case v.Declared:
		return []byte(saidPrefix + "endpoint/" + v.ID)
	case partner:
		return []byte(partnerPrefix + v.ID)
	}
	return []byte(storedPrefix + v.ID)
}

// write appends a version, and puts it in the place of the last of the same thing.
func (v *Version) write(b store.Bucket) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := b.PutTwice(versionKey(v.Number), body); err != nil {
		return err
	}
	if v.removes() {
		return b.Delete(v.currentKey())
	}
	return b.Put(v.currentKey(), body)
}

// number numbers versions that count together, behind the last there is.
func number(vs []Version, last uint64, actor string, at time.Time) {
	for i := range vs {
		v := &vs[i]
		v.Schema, v.Number, v.At, v.Actor, v.More = versionSchema, last+uint64(i)+1, at.UTC(), actor, i < len(vs)-1
	}
}

func writeVersions(b store.Bucket, vs []Version) error {
	for i := range vs {
		if err := vs[i].write(b); err != nil {
			return err
		}
	}
	return nil
}

// Versions are all that there are, in their order. One whose copies are both damaged is left out,
// and err says so.
func Versions(tx *store.Tx) (all []Version, err error) {
	b := tx.Bucket(store.Registry)
	err = b.EachEither([]byte(versionPrefix), func(k, body []byte) error {
		var v Version
		if json.Unmarshal(body, &v) != nil || v.Schema > versionSchema {
			return fmt.Errorf("%s: %w", k, store.ErrBadRecord)
		}
		all = append(all, v)
		return nil
	})
	slices.SortFunc(all, func(x, y Version) int { return int(x.Number) - int(y.Number) }) //nolint:gosec // so many are never made
	all = slices.CompactFunc(all, func(x, y Version) bool { return x.Number == y.Number })
	if last := lastVersion(b); err == nil && uint64(len(all)) < last {
		err = fmt.Errorf("%d of %d versions of the registry: %w", last-uint64(len(all)), last, store.ErrBadRecord)
	}
	return all, err
}

// lastVersion is the number of the last one, damaged or not; 0: there is none.
func lastVersion(b store.Bucket) (n uint64) {
	c := b.Cursor()
	k, _ := c.Seek([]byte(versionPrefix + ":")) // behind all digits
	if k == nil {
		k, _ = c.Last()
	} else {
		k, _ = c.Prev()
	}
	if _, err := fmt.Sscanf(string(k), versionPrefix+"%d", &n); err != nil {
		return 0
	}
	return n
}

// versionsFrom are those with the numbers after one up to another, all of them.
func versionsFrom(tx *store.Tx, after, upTo uint64) ([]Version, error) {
	b := tx.Bucket(store.Registry)
	var vs []Version
	for n := after + 1; n <= upTo; n++ {
		body, err := b.GetEither(versionKey(n))
		var v Version
		if err != nil || json.Unmarshal(body, &v) != nil || v.Number != n || v.Schema > versionSchema {
			return nil, fmt.Errorf("version %d of the registry: %w", n, store.ErrBadRecord)
		}
		vs = append(vs, v)
	}
	return vs, nil
}

// readStored reads the last version of everything there is. What is damaged is folded again from
// all of them. Where that cannot be, what was made through the API is lost, which is an error; the
// rest follows from the config and from what else is kept, and is left out: it is said again.
func readStored(tx *store.Tx) (Stored, error) {
	s, b := noneStored(), tx.Bucket(store.Registry)
	var damaged, lost error
	for _, prefix := range []string{partnerPrefix, storedPrefix, saidPrefix} {
		c := b.Cursor()
		for k, body := c.Seek([]byte(prefix)); strings.HasPrefix(string(k), prefix); k, body = c.Next() {
			var v Version
			if body != nil && json.Unmarshal(body, &v) == nil && string(v.currentKey()) == string(k) {
				s.take(v)
				continue
			}
			damaged = errors.Join(damaged, fmt.Errorf("%s: %w", k, store.ErrBadRecord))
			if prefix != saidPrefix {
				lost = damaged
			}
		}
	}
	s.Last = lastVersion(b)
	if damaged == nil {
		return s, nil
	}
	all, err := Versions(tx)
	switch {
	case err == nil:
		return Fold(all), nil
	case lost == nil:
		return s, nil
	}
	return s, errors.Join(lost, err)
}
