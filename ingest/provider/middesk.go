package provider

import (
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"countersign/kyc"
	"countersign/signing"
)

const (
	middeskName    = "middesk"
	middeskVersion = 2 // every kind of hit, and those that monitoring finds
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
		"A hit of a watchlist counts as a possible sanctions match: which list it was is not read. The list of results that a reviewer dismissed is not told apart.",
		"business.approved and business.rejected come from older webhooks. Of other events about a business only a status of rejected or in_review is read, and of the " +
			"known rest only a watchlist with hits; a status that decides under any other name is kept.",
		"A hit (watchlists, politically exposed persons, adverse media; of the business or its people) opens screening, even beside an approval. No event takes it back: an " +
			"operator decides, and decides again where a later update repeats it. A webhook whose include leaves those parts out does not tell them.",
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

// middeskEvents: business.updated comes for many changes; the fold owes nothing for a status that
// stands already.
var middeskEvents = []string{
	"business.approved", "business.created", "business.rejected", "business.updated", "watchlist.completed", "watchlist_result.created", "watchlist_result.updated",
}

// middeskBusiness are the events whose business may be believed to be approved; another one about a
// business may only take that away.
var middeskBusiness = []string{"business.approved", "business.created", "business.updated"}

// middeskFamilies are the objects whose events say nothing about the business as a whole.
var middeskFamilies = []string{
	"address.", "bankruptcy.", "document.", "lien.", "monitor.", "name.", "order.", "person.", "registration.", "subscription.", "tin.", "watchlist.",
}

var middeskStatuses = map[string]kyc.Status{
	"open":      kyc.NotStarted,
	"pending":   kyc.Pending,
	"in_audit":  kyc.Pending,
	"in_review": kyc.InReview,
	"approved":  kyc.Approved,
	"rejected":  kyc.Rejected,
}

// middeskBegun are the words that decide nothing.
var middeskBegun = []string{"open", "pending", "in_audit"}

// middeskObject is a business, or something that belongs to one. Names, addresses and the tax
// number are never read.
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

	// What was searched beside the verification, of the business and its people:
	// https://docs.middesk.com/build/webhooks
	Watchlist raw[struct {
		Hits int `json:"hit_count"`
	}] `json:"watchlist"`
	Exposed raw[middeskSearch] `json:"politically_exposed_person_screening"`
	Media   raw[middeskSearch] `json:"adverse_media_screening"`
}

// middeskSearch is a search that may have found somebody.
type middeskSearch struct {
	Results []jsontext.Value `json:"results"`
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
	hit := strings.HasPrefix(b.Type, "watchlist.") && object.Hits > 0 || strings.HasPrefix(b.Type, "watchlist_result.") && slices.Contains(middeskEvents, b.Type)
	_, said := middeskStatuses[object.Status]
	var hits []string
	if business {
		hits, r.KeepBody = object.hits()
	}
	switch {
	case business && object.Status != "" && (slices.Contains(middeskEvents, b.Type) || no), hit, len(hits) > 0 && slices.Contains(middeskEvents, b.Type):
	case business && slices.Contains(middeskEvents, b.Type), slices.ContainsFunc(middeskFamilies, func(p string) bool { return strings.HasPrefix(b.Type, p) }):
		r.Ignored = noStatus
	case said && !slices.Contains(middeskBegun, object.Status), len(hits) > 0, strings.HasPrefix(b.Type, "watchlist_result."):
		r.Hold = UnknownEvent
	default:
		r.Ignored = unknownEv
	}
	u := observe(middeskName, middeskVersion, r, f.time("created_at", b.At, time.Millisecond, time.RFC3339))
	u.Subject = kyc.Subject{ID: f.id("external_id", object.ExternalID), ProviderRef: f.id("business_id", object.BusinessID), Kind: kyc.Company}
	if business {
		u.Subject.ProviderRef = f.id("data.object.id", object.ID)
	}
	if r.Ignored == "" && r.Hold == "" && u.Subject.ID == "" && u.Subject.ProviderRef == "" {
		f.fail("data.object.id", "is missing")
	}
	switch {
	case f.err != nil:
		return Result{}, f.err
	case r.Ignored != "" || r.Hold != "":
		r.KeepBody = false
		return r, nil
	case hit:
		r.Updates = []kyc.Update{middeskHit(u, []string{middeskWatchlist})}
	case object.Status == "":
		r.Updates = []kyc.Update{middeskHit(u, hits)}
	default:
		var doubtful bool
		r.Updates, doubtful = object.what(u, b.Type)
		r.KeepBody = r.KeepBody || doubtful
	}
	return r, nil
}

// middeskHit is a check of its own, so that no approval of the business clears it.
func middeskHit(u kyc.Update, keys []string) kyc.Update {
	u.Scope, u.Check, u.Status = kyc.CheckScope, kyc.Screening, kyc.InReview
	u.Reasons, u.Retryable, u.Terminal = middeskReasons.pairs(keys), false, false
	return u
}

// what fills in the status, and reports a word that is unknown or that contradicts the event: that
// is in review.
func (o *middeskObject) what(u kyc.Update, event string) (us []kyc.Update, doubtful bool) {
	status, known := middeskStatuses[o.Status]
	if doubtful = !known || status == kyc.Approved && !slices.Contains(middeskBusiness, event); doubtful {
		status = kyc.InReview
	}
	u.Scope, u.Check, u.Status = kyc.Overall, kyc.BusinessVerification, status
	failed := o.tasks("failure", "failed")
	hits, unread := o.hits()
	switch status {
	case kyc.Rejected:
		hits = slices.DeleteFunc(hits, func(key string) bool { return slices.Contains(failed, key) }) // those are reasons of the rejection
		reject(&u, middeskReasons.pairs(failed), terminal)
	case kyc.InReview:
		u.Reasons = middeskReasons.pairs(slices.DeleteFunc(failed, middeskListed))
	default: // a yes and an attempt need no reasons
	}
	us = append(us, u)
	if len(hits) > 0 || unread {
		us = append(us, middeskHit(u, hits))
	}
	return us, doubtful
}

// middeskListed reports a task of the searches in lists and media.
func middeskListed(key string) bool {
	return slices.Contains([]string{middeskWatchlist, "global_watchlists", middeskExposed, middeskMedia}, key)
}

// tasks lists the tasks of the review that have one of these statuses.
func (o *middeskObject) tasks(statuses ...string) (keys []string) {
	for _, t := range o.Review.Tasks {
		if slices.Contains(statuses, t.Status) {
			keys = append(keys, t.Key)
		}
	}
	return keys
}

// hits lists what was found in lists and media, by the tasks of the review and by what was
// searched: persons and media unless their task says that it is nothing. It reports a search in a
// form that cannot be read, which may have found somebody.
func (o *middeskObject) hits() (keys []string, unread bool) {
	for _, key := range o.tasks("failure", "failed", "warning") {
		if middeskListed(key) && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	cleared := o.tasks("success")
	list, read := o.Watchlist.read()
	if list.Hits > 0 && !slices.Contains(keys, "global_watchlists") && !slices.Contains(keys, middeskWatchlist) {
		keys = append(keys, middeskWatchlist) // whatever a task says of it
	}
	unread = !read && string(o.Watchlist.Value) != "[]"
	for _, s := range []struct {
		key    string
		search raw[middeskSearch]
	}{{middeskExposed, o.Exposed}, {middeskMedia, o.Media}} {
		found, read := s.search.read()
		if len(found.Results) > 0 && !slices.Contains(keys, s.key) && !slices.Contains(cleared, s.key) {
			keys = append(keys, s.key)
		}
		unread = unread || !read && string(s.search.Value) != "[]"
	}
	return keys, unread
}

const (
	middeskWatchlist = "watchlist"
	middeskExposed   = "politically_exposed_persons"
	middeskMedia     = "adverse_media"
)

// middeskReasons are the keys of a review's tasks. None says whether another try helps.
var middeskReasons = newReasons(
	means(kyc.SanctionsMatch, undecided,
		middeskWatchlist, "global_watchlists",
	),
	means(kyc.PEPMatch, undecided,
		middeskExposed,
	),
	means(kyc.AdverseMediaMatch, undecided,
		middeskMedia,
	),
	means(kyc.DataMismatch, undecided,
		"address", "address_verification", "entity_type", "entity_type_match", "formation_state", "person_verification", "phone", "tin", "tin_error", "tin_issued", "tin_type",
		"web_address_verification", "web_email_address_verification", "web_person_verification", "web_phone_number_verification",
	),
	means(kyc.NameMismatch, undecided,
		"dba_name", "name", "name_and_entity_type", "web_business_name_verification",
	),
	means(kyc.HighRisk, undecided,
		"address_cmra", "address_high_risk", "address_registered_agent", "address_risk", "bankruptcies", "email_risk", "liens", "litigations", "people_bankruptcies",
		"people_criminal_history", "people_liens", "people_litigations", "risky_keywords",
	),
	means(kyc.OtherReason, undecided,
		"address_deliverability", "address_frequency", "address_property_type", "domain_redirect", "industry", "kyc_decision", "location_frequency", "ppp_loans",
		"profile_discovery", "profile_status", "sos", "sos_active", "sos_domestic", "sos_domestic_sub_status", "sos_inactive", "sos_match", "sos_not_found", "sos_status",
		"sos_sub_status", "sos_unknown", "time_in_business", "web_presence_quality", "website", "website_parked", "website_status", "website_url_discovery",
		"website_url_domain_ownership", "website_verification",
	),
)
