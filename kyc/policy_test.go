package kyc

import (
	"slices"
	"testing"
)

func TestPolicy(t *testing.T) {
	f := func(name string, p Policy, kind string, want ...Check) {
		t.Helper()
		if got := p.For(kind); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	f("default", Policy{}, Individual, IdentityVerification)
	f("unknown kind", Policy{}, "", IdentityVerification)
	f("company", Policy{}, Company, BusinessVerification)
	f("named", Policy{Required: []Check{Screening, Liveness}}, Individual, Screening, Liveness)
	f("named for others", Policy{Required: []Check{Screening}}, Company, BusinessVerification)
	f("company named", Policy{RequiredCompany: []Check{TaxIDVerification}}, Company, TaxIDVerification)
	f("empty is not none", Policy{Required: []Check{}}, Individual, IdentityVerification)
	f("open", open, Individual)
	f("open for companies", open, Company)
}

// Two policies are the same if they ask for the same, whatever their versions.
func TestPolicySame(t *testing.T) {
	of := func() Policy {
		return Policy{
			Version: 1, Required: []Check{IdentityVerification, Screening}, RequiredCompany: []Check{BusinessVerification}, ValidityMonths: 6,
			Validity: map[Check]int{Screening: 3}, NoticeDays: 14,
		}
	}
	f := func(name string, want bool, change func(p *Policy)) {
		t.Helper()
		a, b := of(), of()
		change(&b)
		if a.Same(b) != want || b.Same(a) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
	f("itself", true, func(*Policy) {})
	f("another version", true, func(p *Policy) { p.Version = 2 })
	f("more required", false, func(p *Policy) { p.Required = append(p.Required, Liveness) })
	f("of companies", false, func(p *Policy) { p.RequiredCompany = nil })
	f("another validity", false, func(p *Policy) { p.ValidityMonths = 12 })
	f("of a type", false, func(p *Policy) { p.Validity[Screening] = 4 })
	f("of another type", false, func(p *Policy) { p.Validity = map[Check]int{Liveness: 3} })
	f("of more types", false, func(p *Policy) { p.Validity[Liveness] = 3 })
	f("another notice", false, func(p *Policy) { p.NoticeDays = 7 })
}
