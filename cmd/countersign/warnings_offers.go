package main

import (
	"slices"

	"countersign/ingest/provider"
	"countersign/kyc"
)

// offer is what some sources together can approve. Its size does not depend on how many they are.
type offer struct {
	sources   int
	companies int                // of these, the sources that only approve companies
	can       map[kyc.Check]bool // nil: nothing
	anything  bool               // what the configuration of one makes of a body decides that
}

// offers works out what is given to each partner, with one look at each source: a config may have
// tens of thousands of both. give says what a source can approve.
func offers(sources []SourceConfig, give func(*SourceConfig) (can []kyc.Check, anything bool)) func(partner string) offer {
	var everybody offer // by sources that may be about any partner's people
	each := map[string]*offer{}
	for i := range sources {
		s := &sources[i]
		o := &everybody
		if s.PartnerFrom == "" {
			if o = each[s.Partner]; o == nil {
				o = &offer{}
				each[s.Partner] = o
			}
		}
		can, anything := give(s)
		o.add(can, anything)
	}
	return func(partner string) offer {
		if own := each[partner]; own != nil {
			return own.with(everybody)
		}
		return everybody
	}
}

func (o *offer) add(can []kyc.Check, anything bool) {
	o.sources++
	o.anything = o.anything || anything
	if !slices.ContainsFunc(can, func(c kyc.Check) bool { return c != kyc.BusinessVerification }) {
		o.companies++
	}
	if o.can == nil {
		o.can = map[kyc.Check]bool{}
	}
	for _, c := range can {
		o.can[c] = true
	}
}

// with is what the sources of both can approve.
func (o *offer) with(more offer) offer {
	both := offer{sources: o.sources + more.sources, companies: o.companies + more.companies, anything: o.anything || more.anything, can: map[kyc.Check]bool{}}
	for _, can := range []map[kyc.Check]bool{o.can, more.can} {
		for c := range can {
			both.can[c] = true
		}
	}
	return both
}

// missing lists the required types that no source can give. The usual list is no mistake of
// somebody who has only people, or only companies.
func (o *offer) missing(required, usual []kyc.Check) (none []kyc.Check) {
	if o.anything {
		return nil
	}
	unused := slices.Contains(usual, kyc.BusinessVerification) || o.sources > 0 && o.companies == o.sources
	if slices.Equal(required, usual) && unused {
		return nil
	}
	for _, c := range required {
		if !o.can[c] {
			none = append(none, c)
		}
	}
	return none
}

// gives lists the check types that a source can approve; anything: what its configuration makes of
// a body decides that.
func gives(s *SourceConfig) (can []kyc.Check, anything bool) {
	a, err := adapterOf(*s)
	if err != nil || a.Name == provider.GenericName {
		return nil, true
	}
	can = slices.Clone(a.Steps)
	if s.Check != "" {
		return append(can, s.Check), false
	}
	unmapped := len(s.Workflows) == 0 // some approval keeps the adapter's type
	for _, w := range s.Workflows {
		_, mapped := s.CheckByWorkflow[w]
		unmapped = unmapped || !mapped
	}
	for w, c := range s.CheckByWorkflow {
		if len(s.Workflows) == 0 || slices.Contains(s.Workflows, w) {
			can = append(can, c)
		}
	}
	if unmapped {
		can = append(can, a.Overall...)
	}
	return can, false
}
