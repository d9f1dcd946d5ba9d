package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"countersign/outbox/store"
)

// versionSchema is the layout of a Version.
const versionSchema = 1

const (
	versionPrefix = "version/"         // of every change, by its number
	partnerPrefix = "stored-partner/"  // of the last version of each partner there is
	storedPrefix  = "stored-endpoint/" // and of each endpoint
)

// What a version says was done.
const (
	PartnerCreated  = "partner.created"
	PartnerUpdated  = "partner.updated"
	PartnerRemoved  = "partner.removed"
	EndpointCreated = "endpoint.created"
	EndpointUpdated = "endpoint.updated"
	EndpointRemoved = "endpoint.removed"
)

// Version is one change of a partner or an endpoint that is kept in the file: who made it, when,
// and the whole new value. Versions are only ever appended, numbered from 1 without a gap, and
// complete: whoever folds all of them knows what is kept. They stand twice, for they cannot be made
// again. Values of headers are sealed in them, and keys are no part of them.
type Version struct {
	Schema   int             `json:"schema_version"`
	Number   uint64          `json:"number"`
	At       time.Time       `json:"at"`
	Actor    string          `json:"actor"` // the token's name
	What     string          `json:"what"`
	ID       string          `json:"id"`                 // of the partner or the endpoint
	Partner  *StoredPartner  `json:"partner,omitempty"`  // what it is from here on; of an endpoint, or one that was removed: nil
	Endpoint *StoredEndpoint `json:"endpoint,omitempty"` // the same
}

// Stored is what is kept of partners and endpoints: the last version of each there is. Nobody
// changes it.
type Stored struct {
	Last      uint64 // number of the last version; 0: there is none
	Partners  map[string]Version
	Endpoints map[string]Version
}

func noneStored() Stored {
	return Stored{Partners: map[string]Version{}, Endpoints: map[string]Version{}}
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
	s.Partners, s.Endpoints = maps.Clone(s.Partners), maps.Clone(s.Endpoints)
	for _, v := range vs {
		s.take(v)
	}
	return s
}

func (s *Stored) take(v Version) {
	s.Last = max(s.Last, v.Number)
	switch {
	case strings.HasPrefix(v.What, "partner."):
		put(s.Partners, v, v.Partner != nil)
	case strings.HasPrefix(v.What, "endpoint."):
		put(s.Endpoints, v, v.Endpoint != nil)
	}
}

func put(all map[string]Version, v Version, stands bool) {
	if stands {
		all[v.ID] = v
		return
	}
	delete(all, v.ID)
}

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

func (v *Version) currentKey() []byte {
	if strings.HasPrefix(v.What, "partner.") {
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
	if v.Partner == nil && v.Endpoint == nil {
		return b.Delete(v.currentKey())
	}
	return b.Put(v.currentKey(), body)
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
		err = fmt.Errorf("%d of %d versions of partners and endpoints: %w", last-uint64(len(all)), last, store.ErrBadRecord)
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

// readStored reads the last version of everything there is. What is damaged, or missing, is folded
// again from all of them.
func readStored(tx *store.Tx) (Stored, error) {
	s, b := noneStored(), tx.Bucket(store.Registry)
	var damaged error
	for _, prefix := range []string{partnerPrefix, storedPrefix} {
		c := b.Cursor()
		for k, body := c.Seek([]byte(prefix)); strings.HasPrefix(string(k), prefix); k, body = c.Next() {
			var v Version
			if body == nil || json.Unmarshal(body, &v) != nil || string(v.currentKey()) != string(k) {
				damaged = errors.Join(damaged, fmt.Errorf("%s: %w", k, store.ErrBadRecord))
				continue
			}
			s.take(v)
		}
	}
	s.Last = lastVersion(b)
	if damaged == nil {
		return s, nil
	}
	all, err := Versions(tx)
	if err != nil {
		return s, errors.Join(damaged, err)
	}
	return Fold(all), nil
}
