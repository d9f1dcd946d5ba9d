package registry

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"countersign/kyc"
)

// What decides whom a person's change is owed to, and how it is said, has to be known by a number,
// also of what was not made through the API: what the config declares, the numbers of policies, the
// names of partners, and whose endpoints are. So it becomes versions as well, whenever the snapshot
// that is to count says something else than the last of them do.
//
// What of it decides: of a partner its id, its policy and the order of its endpoints; of an endpoint
// its partner, format, events, filter and since. What changes when and how a delivery is made, and
// never which, is of the moment, and no version says it of the config: URL, headers, certificates,
// keys, timeouts, retries, rate, concurrency, max_owed, max_submissions, pauses, and what is
// disabled. A URL and a header may hold a secret, too.

// unsaid are the versions that are missing for the last ones to say what decides in a snapshot,
// policies apart, in the same order each time. declared are the partners of the config; nil: nobody
// knows them.
func (s *Snapshot) unsaid(declared []Partner) (vs []Version) {
	want := map[string]Version{}
	add := func(v Version) { want[string(v.currentKey())] = v }
	for root, n := range s.names {
		add(Version{What: PartnerRenamed, ID: root, Names: &n})
	}
	for id, o := range s.owners {
		add(Version{What: EndpointOwned, ID: id, Owner: &o})
	}
	for i := range declared {
		p := &declared[i]
		root := s.Kept(p.ID)
		said := StoredPartner{ID: p.ID, Policy: p.Policy}
		for j := range p.Endpoints {
			e := &p.Endpoints[j]
			said.Endpoints = append(said.Endpoints, e.ID)
			add(Version{What: EndpointCreated, ID: e.ID, Declared: true, Endpoint: &StoredEndpoint{
				ID: e.ID, Partner: root, Format: e.Format.Name, Events: e.Events, Filter: e.Filter.String(), Since: e.Since.UTC(),
			}})
		}
		add(Version{What: PartnerCreated, ID: root, Declared: true, Partner: &said})
	}
	if declared != nil {
		vs = s.stored.undeclared(want)
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		v := want[key]
		last, was := s.stored.said[key]
		if was && last.says(&v) {
			continue
		}
		if was && v.Declared {
			v.What = strings.TrimSuffix(v.What, "created") + "updated"
		}
		vs = append(vs, v)
	}
	return vs
}

// undeclared are the versions that take away what the config declared and declares no more, what it
// declares now being among those by their places.
func (s *Stored) undeclared(want map[string]Version) (vs []Version) {
	for _, key := range slices.Sorted(maps.Keys(s.said)) {
		v := s.said[key]
		if _, stands := want[key]; stands || !v.Declared {
			continue
		}
		gone := Version{What: EndpointRemoved, ID: v.ID, Declared: true}
		if v.Partner != nil {
			gone.What = PartnerRemoved
		}
		vs = append(vs, gone)
	}
	return vs
}

// unsaidPolicies are the versions that are missing for the last ones to name these policies, by
// partner as it is kept. What stands under a number never changes.
func (s *Stored) unsaidPolicies(all map[string]map[int]kyc.Policy) (vs []Version) {
	for _, root := range slices.Sorted(maps.Keys(all)) {
		for _, n := range slices.Sorted(maps.Keys(all[root])) {
			p := all[root][n]
			v := Version{What: PolicyRegistered, ID: root, Policy: &p}
			if _, said := s.said[string(v.currentKey())]; !said {
				vs = append(vs, v)
			}
		}
	}
	return vs
}

// unsaidOwner is the version that says whose an endpoint is; none, if the last ones do.
func (s *Stored) unsaidOwner(endpoint string, o owner) []Version {
	v := Version{What: EndpointOwned, ID: endpoint, Owner: &o}
	if last, was := s.said[string(v.currentKey())]; was && last.says(&v) {
		return nil
	}
	return []Version{v}
}

// says reports whether a version says the same as another of the same thing.
func (v *Version) says(o *Version) bool {
	is := func(v *Version) []byte {
		body, err := json.Marshal(Version{Partner: v.Partner, Endpoint: v.Endpoint, Policy: v.Policy, Names: v.Names, Owner: v.Owner})
		if err != nil {
			return nil
		}
		return body
	}
	is1, is2 := is(v), is(o)
	return is1 != nil && bytes.Equal(is1, is2)
}
