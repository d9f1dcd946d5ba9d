package control

import (
	"countersign/kyc"
	"countersign/relay"
	"countersign/relay/control/api"
	"countersign/relay/registry"
)

// fromAPI is where a partner or an endpoint comes from that is not from the config.
const fromAPI = "api"

// removed is what came of a removal. A dry run stands in no trail.
type removed struct{ api.Removed }

// idle implements idle.
func (v removed) idle() bool { return v.DryRun }

// onePartner is an answer about a partner.
type onePartner struct{ api.PartnerDetail }

func (v onePartner) etag() string { return tagOf(v.Version, v.PartnerDetail) }

// defaultPartner is what is not said of a new partner; as in the config.
func defaultPartner() api.PartnerAsk {
	return api.PartnerAsk{MaxSubmissions: relay.DefaultMaxOpen, Policy: api.PolicyAsk{
		Required: []string{string(kyc.IdentityVerification)}, RequiredCompany: []string{string(kyc.BusinessVerification)}, ValidityMonths: 12, NoticeDays: 7,
	}}
}

// filled has the defaults where a list is empty.
func filled(in api.PartnerAsk) api.PartnerAsk {
	d := defaultPartner().Policy
	if len(in.Policy.Required) == 0 {
		in.Policy.Required = d.Required
	}
	if len(in.Policy.RequiredCompany) == 0 {
		in.Policy.RequiredCompany = d.RequiredCompany
	}
	return in
}

func policyOf(p *api.PolicyAsk) kyc.Policy {
	out := kyc.Policy{Required: wordsOf[kyc.Check](p.Required), RequiredCompany: wordsOf[kyc.Check](p.RequiredCompany), ValidityMonths: p.ValidityMonths, NoticeDays: p.NoticeDays}
	for check, months := range p.Validity {
		if out.Validity == nil {
			out.Validity = map[kyc.Check]int{}
		}
		out.Validity[kyc.Check(check)] = months
	}
	return out
}

func viewTerms(p *kyc.Policy) api.PolicyTerms {
	v := api.PolicyTerms{Required: each(p.Required, spell), RequiredCompany: each(p.RequiredCompany, spell), ValidityMonths: p.ValidityMonths, NoticeDays: p.NoticeDays}
	if len(p.Validity) > 0 {
		v.Validity = counts(p.Validity)
	}
	return v
}

func spell(c *kyc.Check) string { return string(*c) }

// viewPartner is a partner that there is.
func viewPartner(now *registry.Snapshot, p *registry.Partner) api.PartnerDetail {
	v := api.PartnerDetail{Object: "partner", ID: p.ID, From: fromConfig, MaxSubmissions: p.MaxOpen, Policy: viewTerms(&p.Policy), Endpoints: []string{}}
	for i := range p.Endpoints {
		v.Endpoints = append(v.Endpoints, p.Endpoints[i].ID)
	}
	if kept, ok := now.StoredPartner(p.ID); ok {
		v.From, v.Version, v.ChangedAt = fromAPI, kept.Number, kept.At
	}
	return v
}

// viewMadePartner is a partner as a change has left it.
func viewMadePartner(v *registry.Version, endpoints []string) api.PartnerDetail {
	if endpoints == nil {
		endpoints = []string{}
	}
	return api.PartnerDetail{
		Object: "partner", ID: v.ID, From: fromAPI, MaxSubmissions: v.Partner.MaxOpen, Policy: viewTerms(&v.Partner.Policy), Endpoints: endpoints, Version: v.Number, ChangedAt: v.At,
	}
}
