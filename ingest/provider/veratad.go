package provider

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

const (
	veratadName    = "veratad"
	veratadVersion = 2 // callbacks of documents alone; stops in lists
)

var veratad = Adapter{
	Name:       veratadName,
	Version:    veratadVersion,
	Doc:        "https://api.veratad.com/vx/api-methods/webhook",
	Evidence:   kyc.Authenticated, // at best: nothing is documented
	Proves:     veratadProves,
	Options:    veratadOptions,
	Scheme:     veratadScheme,
	Translate:  translateVeratad,
	PersonRefs: []RefKind{SessionRef}, // a request is one journey of one person
	Overall:    []kyc.Check{kyc.IdentityVerification},
	Steps:      []kyc.Check{kyc.DocumentVerification},
	Events:     slices.Sorted(maps.Keys(veratadStatuses)),
	Gaps: []string{
		"The vendor's page shows no header and no signature. Use a path token, and an allow list where the addresses are known.",
		"Whether a static header can be set up is not verified.",
		"The schedule of retries and the time limit are not verified.",
		"The times name no zone; that they are in UTC is not verified.",
		"Of the status words only PENDING is in the vendor's example; PASS, FAIL and REVIEW are not verified.",
		"Whether another try can mend a FAIL is not documented: it is terminal for its request.",
		"Callbacks of documents alone (statusid 2 and 3, from the vendor's plugin) name no request: each is a step, about its reference. Any other number waits in review.",
		"What stops of a journey that ask lists of persons are called is not verified: one that did not pass, and is called after OFAC, sanctions, watch lists or exposed persons, opens screening.",
		"There is no test flag.",
		"No API to ask again is documented: every approval stays a claim until an operator decides.",
	},
}

var veratadOptions = map[string]string{
	"auth":    "none (nothing proves the sender) or header (the key is the value of a static header) (default none)",
	"header":  "with auth: header, the name of that header, such as X-Countersign-Token",
	"subject": "where our id stands if reference is empty: additionalData.NAME (default nowhere)",
}

func veratadScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(veratadOptions); err != nil {
		return nil, err
	}
	if where, ok := o["subject"]; ok && veratadMember(where) == "" {
		return nil, fmt.Errorf("option subject: %q is not additionalData.NAME", where)
	}
	return o.static("none", "header")
}

func veratadProves(o Options) kyc.Authenticity {
	if o["auth"] == "header" {
		return kyc.Authenticated
	}
	return kyc.Network
}

// veratadMember is the name that the option subject gives, "" if it gives none.
func veratadMember(where string) string {
	name, ok := strings.CutPrefix(where, "additionalData.")
	if !ok {
		return ""
	}
	return name
}

// veratadStatuses are the words for the journey; they stand for events, which have no other name.
var veratadStatuses = map[string]kyc.Status{
	"PENDING": kyc.Pending,
	"PASS":    kyc.Approved,
	"FAIL":    kyc.Rejected,
	"REVIEW":  kyc.InReview,
}

// veratadBody leaves out the person's data, which is most of it.
type veratadBody struct {
	Reference  ident  `json:"reference"`
	Status     string `json:"status"`   // of the journey
	StatusID   ident  `json:"statusid"` // instead, in callbacks of documents alone
	RequestID  ident  `json:"request_id"`
	Additional object `json:"additionalData"` // an object; empty it may be a list
	Step       struct {
		Detail       string `json:"detail"`
		Confirmation ident  `json:"confirmation"`
	} `json:"dcams_plus"` // of the latest step only: its action says nothing about the journey
	Journey struct {
		Stops []struct {
			At     string `json:"timestamp"`
			Type   string `json:"type"`
			Source string `json:"source"`
			Status string `json:"status"`
			Action string `json:"action"`
		} `json:"stops"`
	} `json:"journey"`
}

// veratadIDs are the numbers for a status: https://github.com/veratad-apps/woocommerce
// dcams_callback.
var veratadIDs = map[ident]string{"2": "PASS", "3": "FAIL"}

func translateVeratad(_ signing.Header, body []byte, o Options) (Result, error) {
	var b veratadBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	alone := b.Status == "" && b.StatusID != ""
	if alone {
		b.Status = cmp.Or(veratadIDs[b.StatusID], "statusid-"+word(string(b.StatusID)))
	}
	var f fields
	ref, r := f.id("request_id", b.RequestID), Result{EventType: cmp.Or(word(b.Status), "journey")}
	if ref != "" && b.Step.Confirmation != "" { // and the status, for a person may decide without another step
		r.Dedupe = []string{ref, string(b.Step.Confirmation), b.Status}
	}
	at, last := time.Time{}, ""
	if n := len(b.Journey.Stops); n > 0 {
		at = f.time("journey.stops.timestamp", b.Journey.Stops[n-1].At, time.Microsecond, time.DateTime, time.RFC3339)
		last = b.Journey.Stops[n-1].Status
	}
	u := observe(veratadName, veratadVersion, r, at)
	u.Subject = kyc.Subject{ID: cmp.Or(f.id("reference", b.Reference), b.additional(o, &f)), Kind: kyc.Individual}
	u.Verification.Ref = ref
	if u.Subject.ID == "" && ref == "" {
		f.fail("request_id", "is missing")
	}
	if f.err != nil {
		return Result{}, f.err
	}
	if b.Status == "" {
		r.Ignored = noStatus
		return r, nil
	}
	status, known := veratadStatuses[b.Status]
	u.Scope, u.Check, u.Status = kyc.Overall, kyc.IdentityVerification, status
	if alone {
		u.Scope, u.Check = kyc.CheckScope, kyc.DocumentVerification
	}
	if r.KeepBody = !known || status == kyc.Approved && last == "FAIL"; r.KeepBody {
		u.Status = kyc.InReview
	}
	if u.Status == kyc.Rejected {
		reject(&u, b.why(), terminal)
	}
	r.Updates = []kyc.Update{u}
	if hits := b.hits(); len(hits) > 0 { // of its own: a journey that passes does not clear it
		u.Scope, u.Check, u.Status = kyc.CheckScope, kyc.Screening, kyc.InReview
		u.Reasons, u.Retryable, u.Terminal = hits, false, false
		r.Updates = append(r.Updates, u)
	}
	return r, nil
}

// hits lists what stops of the journey found in lists of persons: that they did not pass, not who
// it is.
func (b *veratadBody) hits() (pairs []kyc.ReasonPair) {
	for _, stop := range b.Journey.Stops {
		kind := strings.ToLower(stop.Type + " " + stop.Source)
		passed := func(s string) bool { return s == "" || s == "PASS" || s == "PENDING" }
		if passed(stop.Status) && passed(stop.Action) {
			continue
		}
		for _, list := range veratadLists {
			if pair := (kyc.ReasonPair{Code: list.reason}); strings.Contains(kind, list.word) && !slices.Contains(pairs, pair) {
				pairs = append(pairs, pair)
			}
		}
	}
	return ranked(pairs)
}

// veratadLists tells a stop that asks lists of persons by what it is called.
var veratadLists = []struct {
	word   string
	reason kyc.Reason
}{{"ofac", kyc.SanctionsMatch}, {"sanction", kyc.SanctionsMatch}, {"watch", kyc.SanctionsMatch}, {"exposed", kyc.PEPMatch}}

// additional finds our id where the source says it stands.
func (b *veratadBody) additional(o Options, f *fields) string {
	name := veratadMember(o["subject"])
	if name == "" {
		return ""
	}
	return f.chosen("additionalData", b.Additional, name)
}

// why reads the one thing that the detail, which is a phrase and stays here, can tell: whether it
// is about age.
func (b *veratadBody) why() []kyc.ReasonPair {
	words := strings.FieldsFunc(strings.ToUpper(b.Step.Detail), func(r rune) bool { return r < 'A' || r > 'Z' })
	if slices.Contains(words, "AGE") || slices.Contains(words, "UNDERAGE") {
		return []kyc.ReasonPair{{Code: kyc.Underage}}
	}
	return nil
}
