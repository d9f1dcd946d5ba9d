package provider

import (
	"slices"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

const (
	middeskName    = "middesk"
	middeskVersion = 1
)

var middesk = Adapter{
	Name:       middeskName,
	Version:    middeskVersion,
	Doc:        "https://docs.middesk.com/docs/using-webhooks-1",
	Evidence:   kyc.Signed,
	Options:    middeskOptions,
	Scheme:     middeskScheme,
	Translate:  translateMiddesk,
	PersonRefs: []RefKind{SubjectRef}, // a business is one company
	Overall:    []kyc.Check{kyc.BusinessVerification},
	Events:     middeskEvents,
	Gaps: []string{
		"The signature headers and what they cover come from public receivers.",
		"Mutual TLS and OAuth, which Middesk offers as well, are not supported.",
		"The schedule of retries, the time limit and the addresses that Middesk calls from are not verified.",
		"Whether a body tells the sandbox from live mode is not verified: give each a source.",
		"What the keys of a review's tasks mean comes from a third party; a watchlist task that failed counts as a possible sanctions match.",
		"business.approved and business.rejected come from older webhooks. Of other events about a business only a status of rejected or in_review is read, and of all the " +
			"rest only a watchlist with hits.",
		"A hit of the watchlist opens screening, even beside an approval. No event takes it back: an operator decides, and decides again where a later update repeats it.",
		"A rejected business that Middesk approves later stays rejected until an operator releases it.",
	},
	reasons: middeskReasons,
}

var middeskOptions = map[string]string{
	"header": "X-Middesk-Signature-256 or X-Middesk-Signature, which older webhooks have (default X-Middesk-Signature-256)",
}

func middeskScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(middeskOptions); err != nil {
		return nil, err
	}
	header, err := o.oneOf("header", "X-Middesk-Signature-256", "X-Middesk-Signature")
	if err != nil {
		return nil, err
	}
	return signing.BodyHMAC{Header: header, Hash: signing.SHA256, Encoding: signing.Hex}, nil
}

// middeskEvents: business.updated comes for many changes; the fold owes nothing for a status that stands already.
var middeskEvents = []string{"business.approved", "business.created", "business.rejected", "business.updated", "watchlist.completed"}

// middeskBusiness are the events whose business may be believed to be approved; another one about a business may only take that away.
var middeskBusiness = []string{"business.approved", "business.created", "business.updated"}

// middeskFamilies are the objects whose events say nothing about the business as a whole.
var middeskFamilies = []string{"address.", "monitor.", "name.", "person.", "registration.", "tin.", "watchlist."}

var middeskStatuses = map[string]kyc.Status{
	"open":      kyc.NotStarted,
	"pending":   kyc.Pending,
	"in_audit":  kyc.Pending,
	"in_review": kyc.InReview,
	"approved":  kyc.Approved,
	"rejected":  kyc.Rejected,
}

// middeskObject is a business, or something that belongs to one. Names, addresses and the tax number are never read.
type middeskObject struct {
	ID         ident  `json:"id"`
	BusinessID ident  `json:"business_id"` // of what belongs to a business
	ExternalID ident  `json:"external_id"`
	Status     string `json:"status"`
	Hits       int    `json:"hit_count"`
	Review     struct {
		Tasks []struct {
			Key    string `json:"key"`
			Status string `json:"status"`
		} `json:"tasks"`
	} `json:"review"`
}

type middeskBody struct {
	ID   ident  `json:"id"`
	Type string `json:"type"`
	At   string `json:"created_at"`
	Data struct {
		Object middeskObject `json:"object"`
	} `json:"data"`
}

func translateMiddesk(_ signing.Header, body []byte, _ Options) (Result, error) {
	var b middeskBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	if b.Type == "" {
		return Result{}, unreadable("type", "is missing")
	}
	var f fields
	r, object := Result{EventID: f.id("id", b.ID), EventType: word(b.Type)}, &b.Data.Object
	if r.EventID != "" {
		r.Dedupe = []string{r.EventID}
	}
	business := strings.HasPrefix(b.Type, "business.")
	no := r.EventType != "" && (object.Status == "rejected" || object.Status == "in_review") // which counts under any name
	hit := strings.HasPrefix(b.Type, "watchlist.") && object.Hits > 0
	switch {
	case business && object.Status != "" && (slices.Contains(middeskEvents, b.Type) || no), hit:
	case business && slices.Contains(middeskEvents, b.Type), slices.ContainsFunc(middeskFamilies, func(p string) bool { return strings.HasPrefix(b.Type, p) }):
		r.Ignored = noStatus
	default:
		r.Ignored = unknownEv
	}
	u := observe(middeskName, middeskVersion, r, f.time("created_at", b.At, time.Millisecond, time.RFC3339))
	u.Subject = kyc.Subject{ID: f.id("external_id", object.ExternalID), ProviderRef: f.id("business_id", object.BusinessID), Kind: kyc.Company}
	if business {
		u.Subject.ProviderRef = f.id("data.object.id", object.ID)
	}
	if r.Ignored == "" && u.Subject.ID == "" && u.Subject.ProviderRef == "" {
		f.fail("data.object.id", "is missing")
	}
	switch {
	case f.err != nil:
		return Result{}, f.err
	case r.Ignored != "":
		return r, nil
	case hit:
		r.Updates = []kyc.Update{middeskHit(u)}
	default:
		r.Updates, r.KeepBody = object.what(u, b.Type)
	}
	return r, nil
}

// middeskHit is a check of its own, so that no approval of the business clears it.
func middeskHit(u kyc.Update) kyc.Update {
	u.Scope, u.Check, u.Status = kyc.CheckScope, kyc.Screening, kyc.InReview
	u.Reasons = middeskReasons.pairs([]string{middeskWatchlist})
	return u
}

// what fills in the status, and reports a word that is unknown or that contradicts the event: that is in review.
func (o *middeskObject) what(u kyc.Update, event string) (us []kyc.Update, doubtful bool) {
	status, known := middeskStatuses[o.Status]
	if doubtful = !known || status == kyc.Approved && !slices.Contains(middeskBusiness, event); doubtful {
		status = kyc.InReview
	}
	u.Scope, u.Check, u.Status = kyc.Overall, kyc.BusinessVerification, status
	failed := o.failed()
	if status != kyc.Rejected && slices.Contains(failed, middeskWatchlist) { // else it is a reason of the rejection
		us = append(us, middeskHit(u))
	}
	switch status {
	case kyc.Rejected:
		reject(&u, middeskReasons.pairs(failed), terminal)
	case kyc.InReview:
		u.Reasons = middeskReasons.pairs(slices.DeleteFunc(failed, func(key string) bool { return key == middeskWatchlist }))
	default: // a yes and an attempt need no reasons
	}
	return append([]kyc.Update{u}, us...), doubtful
}

// failed lists the tasks of the review that speak against the business.
func (o *middeskObject) failed() (keys []string) {
	for _, t := range o.Review.Tasks {
		if t.Status == "failure" || t.Status == "failed" {
			keys = append(keys, t.Key)
		}
	}
	return keys
}

const middeskWatchlist = "watchlist"

var middeskReasons = newReasons(
	means(kyc.SanctionsMatch, undecided,
		middeskWatchlist,
	),
	means(kyc.DataMismatch, undecided,
		"address_verification", "tin",
	),
	means(kyc.NameMismatch, undecided,
		"name",
	),
	means(kyc.OtherReason, undecided,
		"sos",
	),
)
