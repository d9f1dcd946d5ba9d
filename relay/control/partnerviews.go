package control

import (
	"time"

	"countersign/kyc"
	"countersign/relay"
	"countersign/relay/registry"
)

// Where a partner or an endpoint comes from.
const fromAPI = "api"

// PolicyInput is a partner's policy as it is sent and shown.
type PolicyInput struct {
	Required        []kyc.Check       `json:"required"`         // of a person; [] or null: the default
	RequiredCompany []kyc.Check       `json:"required_company"` // of a business
	ValidityMonths  int               `json:"validity_months"`
	Validity        map[kyc.Check]int `json:"validity,omitempty"` // months, by check, where it differs
	NoticeDays      int               `json:"notice_days"`
}

// PartnerInput is the request that makes or changes a partner. In a change, what is left out stays.
type PartnerInput struct {
	ID             string      `json:"id,omitempty"` // of a new one
	MaxSubmissions int64       `json:"max_submissions"`
	Policy         PolicyInput `json:"policy"`
}

// PartnerView is what is shown of a partner.
type PartnerView struct {
	Object         string      `json:"object"` // partner
	ID             string      `json:"id"`
	From           string      `json:"from"` // config, or api
	MaxSubmissions int64       `json:"max_submissions"`
	Policy         PolicyInput `json:"policy"`
	Endpoints      []string    `json:"endpoints"`         // their ids
	Version        uint64      `json:"version,omitempty"` // of what was made through the API: the number of its last change
	ChangedAt      time.Time   `json:"changed_at,omitzero"`
}

// PartnerList is a page of partners.
type PartnerList struct {
	Object  string        `json:"object"` // list
	Data    []PartnerView `json:"data"`
	HasMore bool          `json:"has_more"`
}

// RemovedView is what came of a removal, or would come of it.
type RemovedView struct {
	Object    string       `json:"object"` // partner, or endpoint
	ID        string       `json:"id"`
	Removed   bool         `json:"removed"` // false: it was a dry run
	DryRun    bool         `json:"dry_run"`
	Endpoints []OrphanView `json:"endpoints"` // what is left of each endpoint
}

// OrphanView is what is kept of an endpoint that is removed. What is owed stays owed: it goes out when an endpoint of this id is made again.
type OrphanView struct {
	ID       string `json:"id"`
	Owed     int64  `json:"owed"`
	Dead     int64  `json:"dead"`
	Withheld int    `json:"withheld"` // of what is owed: rejections and suspensions
}

// idle implements idle: a dry run has changed nothing.
func (v RemovedView) idle() bool { return v.DryRun }

func (v PartnerView) etag() string {
	if v.Version > 0 {
		return versionTag(v.Version)
	}
	return declaredTag(v)
}

// defaultPartner is what is not said of a new partner; as in the config.
func defaultPartner() PartnerInput {
	return PartnerInput{MaxSubmissions: relay.DefaultMaxOpen, Policy: PolicyInput{
		Required: []kyc.Check{kyc.IdentityVerification}, RequiredCompany: []kyc.Check{kyc.BusinessVerification}, ValidityMonths: 12, NoticeDays: 7,
	}}
}

// filled has the defaults where a list is empty.
func (in PartnerInput) filled() PartnerInput {
	d := defaultPartner().Policy
	if len(in.Policy.Required) == 0 {
		in.Policy.Required = d.Required
	}
	if len(in.Policy.RequiredCompany) == 0 {
		in.Policy.RequiredCompany = d.RequiredCompany
	}
	return in
}

func (p PolicyInput) policy() kyc.Policy {
	return kyc.Policy{Required: p.Required, RequiredCompany: p.RequiredCompany, ValidityMonths: p.ValidityMonths, Validity: p.Validity, NoticeDays: p.NoticeDays}
}

func viewPolicy(p *kyc.Policy) PolicyInput {
	return PolicyInput{p.Required, p.RequiredCompany, p.ValidityMonths, p.Validity, p.NoticeDays}
}

// viewPartner is a partner that there is.
func viewPartner(now *registry.Snapshot, p *registry.Partner) PartnerView {
	v := PartnerView{Object: "partner", ID: p.ID, From: fromConfig, MaxSubmissions: p.MaxOpen, Policy: viewPolicy(&p.Policy), Endpoints: []string{}}
	for i := range p.Endpoints {
		v.Endpoints = append(v.Endpoints, p.Endpoints[i].ID)
	}
	if kept, ok := now.StoredPartner(p.ID); ok {
		v.From, v.Version, v.ChangedAt = fromAPI, kept.Number, kept.At
	}
	return v
}

// viewMadePartner is a partner as a change has left it.
func viewMadePartner(v *registry.Version, endpoints []string) PartnerView {
	if endpoints == nil {
		endpoints = []string{}
	}
	return PartnerView{
		Object: "partner", ID: v.ID, From: fromAPI, MaxSubmissions: v.Partner.MaxOpen, Policy: viewPolicy(&v.Partner.Policy), Endpoints: endpoints, Version: v.Number, ChangedAt: v.At,
	}
}
