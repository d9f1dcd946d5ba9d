package provider

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"countersign/kyc"
	"countersign/signing"
)

const (
	dojahName    = "dojah"
	dojahVersion = 2 // the watch list of the banks
)

var dojah = Adapter{
	Name:      dojahName,
	Version:   dojahVersion,
	Doc:       "https://docs.dojah.io/docs/technical-reference/verify-events",
	Evidence:  kyc.Signed,
	Options:   dojahOptions,
	Scheme:    dojahScheme,
	Translate: translateDojah,
	// A reference is one run of the widget by one person, or one address to visit.
	PersonRefs: []RefKind{SessionRef},
	Overall:    []kyc.Check{kyc.IdentityVerification, kyc.BusinessVerification, kyc.AddressVerification},
	Workflow:   "widget_id",
	Events: []string{
		"address.completed", "address.failed", "address.pending",
		"kyc_widget.Abandoned", "kyc_widget.Approved", "kyc_widget.Completed", "kyc_widget.Failed", "kyc_widget.Ongoing", "kyc_widget.Pending",
		"ngn_wallet",
	},
	Gaps: []string{
		"How long Dojah waits for an answer, which answers it accepts and whether it tries again are not documented.",
		"No callback names its time or an id: the order of two of them is the order in which they arrived.",
		"x-dojah-signature-v2 is a constant made of the secret and proves nothing of a body; it is not looked at.",
		"A proxy that writes the JSON anew breaks the signature; there is no mode that repairs it.",
		"Whether Pending waits for a reviewer or for the person is not documented: see the option pending.",
		"The status Approved is known from one client in use only.",
		"The bodies of AML Monitoring and of sms are not published, and older SDKs send another shape: such callbacks are kept in quarantine, so subscribe to kyc_widget and address only.",
		"A firm is known by the verification_type RC-NUMBER or business only; any other run of the widget counts as the identity of a person.",
		"aml.status of true is taken for a hit, which waits for a person; one page of the vendor's says that it tells whether a screening was made.",
		"A BVN that the banks watch (watch_listed in government_data) opens screening as suspected fraud; its words other than YES and NO are not verified.",
		"That a hit of the screening (aml) was cleared is not passed on: an operator releases it.",
		"The widget is given its metadata in the browser. Whether the person can change it there is not documented: if so, one could name another's id and be verified for them.",
		"A body of the widget or of an address is not known to name test mode; where it has environment, that counts. A test app is a source of its own.",
	},
	reasons: dojahReasons,
}

var dojahOptions = map[string]string{
	"pending": "in_review or pending: what the status Pending means, a reviewer or the person who must act (default in_review)",
	"subject": "where our id stands: metadata.NAME, as the widget was configured, or reference_id where we chose it (default metadata.user_id)",
}

const dojahSubject = "metadata.user_id"

func dojahScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(dojahOptions); err != nil {
		return nil, err
	}
	if _, err := o.oneOf("pending", string(kyc.InReview), string(kyc.Pending)); err != nil {
		return nil, err
	}
	if s, ok := o["subject"]; ok && s != "reference_id" {
		if name, ok := strings.CutPrefix(s, "metadata."); !ok || name == "" {
			return nil, fmt.Errorf("option subject: %q is not metadata.NAME or reference_id", s)
		}
	}
	return signing.BodyHMAC{Header: "X-Dojah-Signature", Hash: signing.SHA256, Encoding: signing.Hex}, nil
}

type dojahBody struct {
	// The widget. Almost everything else in it is personal data.
	Status           string                    `json:"verification_status"`
	Passed           raw[*bool]                `json:"status"` // true or false; a wallet has a word there
	ReferenceID      ident                     `json:"reference_id"`
	WidgetID         ident                     `json:"widget_id"`
	VerificationType string                    `json:"verification_type"`
	Metadata         object                    `json:"metadata"`
	Steps            map[string]raw[dojahStep] `json:"data"`
	AML              struct {
		Hit *bool `json:"status"`
	} `json:"aml"`

	// An address that somebody visits.
	Entity *struct {
		Status      string `json:"status"`
		ReferenceID ident  `json:"reference_id"`
	} `json:"entity"`

	// A wallet, which is no verification.
	Event string `json:"event"`

	Environment string `json:"environment"` // of a wallet, and of whatever else says it
}

// dojahStep is a step of the widget. Some have no status, and one may be a list.
type dojahStep struct {
	Status  *bool  `json:"status"`
	Message string `json:"message"` // for people: it refines a reason and goes no further

	Data raw[struct {
		BVN raw[struct {
			Entity raw[struct {
				Listed jsontext.Value `json:"watch_listed"`
			}] `json:"entity"`
		}] `json:"bvn"`
	}] `json:"data"` // of government_data: what the banks' register says of the person
}

func translateDojah(_ signing.Header, body []byte, o Options) (Result, error) {
	var b dojahBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	switch {
	case b.Status != "":
		return b.widget(o)
	case b.Entity != nil:
		return b.address()
	case b.Event != "":
		return Result{EventType: "ngn_wallet", Ignored: noStatus, Livemode: mode(b.Environment)}, nil
	default: // it may be a hit of AML Monitoring, whose shape nobody publishes: it must not get lost
		return Result{}, unreadable("verification_status", "is missing")
	}
}

// dojahEvent is our name for what has none: the service and its status.
func dojahEvent(service, status string) string {
	if w := word(status); w != "" {
		return service + "." + w
	}
	return service
}

// dojahAddress is what the status of an address says.
var dojahAddress = map[string]kyc.Status{"pending": kyc.Pending, "completed": kyc.Approved, "failed": kyc.Rejected}

func (b *dojahBody) address() (Result, error) {
	r := Result{EventType: dojahEvent("address", b.Entity.Status), Livemode: mode(b.Environment)}
	if b.Entity.Status == "" {
		r.Ignored = noStatus
		return r, nil
	}
	var f fields
	u := observe(dojahName, dojahVersion, r, time.Time{})
	u.Scope, u.Check, u.Subject.Kind = kyc.Overall, kyc.AddressVerification, kyc.Individual
	if u.Verification.Ref = f.id("entity.reference_id", b.Entity.ReferenceID); u.Verification.Ref == "" {
		f.fail("entity.reference_id", "is missing") // nothing else in it names anybody
	}
	if f.err != nil {
		return Result{}, f.err
	}
	switch u.Status = dojahAddress[b.Entity.Status]; u.Status {
	case "":
		u.Status, r.KeepBody = kyc.InReview, true
	case kyc.Rejected:
		reject(&u, nil, retryable)
	default:
	}
	r.Updates = []kyc.Update{u}
	return r, nil
}

func (b *dojahBody) widget(o Options) (Result, error) {
	var f fields
	r := Result{EventType: dojahEvent("kyc_widget", b.Status), Livemode: mode(b.Environment)}
	u := observe(dojahName, dojahVersion, r, time.Time{})
	u.Scope, u.Check, u.Subject.Kind = kyc.Overall, kyc.IdentityVerification, kyc.Individual
	if strings.EqualFold(b.VerificationType, "RC-NUMBER") || strings.EqualFold(b.VerificationType, "business") { // RC: the register of companies
		u.Check, u.Subject.Kind = kyc.BusinessVerification, kyc.Company
	}
	u.Verification = kyc.Verification{Ref: f.id("reference_id", b.ReferenceID), Workflow: f.id("widget_id", b.WidgetID)}
	u.Subject.ID = b.subject(u.Verification.Ref, o, &f)
	if u.Subject.ID == "" && u.Verification.Ref == "" {
		f.fail("reference_id", "is missing")
	}
	failed := b.failed(&f)
	passed, ok := b.Passed.read()
	if !ok {
		f.fail("status", "has an unexpected type")
	}
	if f.err != nil {
		return Result{}, f.err
	}
	r.KeepBody = b.what(passed != nil && *passed, failed, o, &u)
	r.Updates = []kyc.Update{u}
	hits, unknown := b.hits()
	if r.KeepBody = r.KeepBody || unknown; len(hits) > 0 || unknown { // of its own: no approval of the identity clears it
		u.Scope, u.Check, u.Status, u.ExpiryKind = kyc.CheckScope, kyc.Screening, kyc.InReview, ""
		u.Reasons, u.Retryable, u.Terminal = dojahReasons.pairs(hits), false, false
		r.Updates = append(r.Updates, u)
	}
	return r, nil
}

// hits lists what the body has against the person beside the verification, and reports a word that
// is unknown.
func (b *dojahBody) hits() (codes []string, unknown bool) {
	if b.AML.Hit != nil && *b.AML.Hit {
		codes = append(codes, "aml.status=true")
	}
	step, _ := b.Steps["government_data"].read()
	data, _ := step.Data.read()
	bvn, _ := data.BVN.read()
	entity, _ := bvn.Entity.read()
	switch strings.ToLower(scalar(entity.Listed)) {
	case "", "no", "false":
	case "yes", "true":
		codes = append(codes, "watch_listed=YES")
	default:
		unknown = true
	}
	return codes, unknown
}

// subject finds our own id where the source says it stands.
func (b *dojahBody) subject(reference string, o Options, f *fields) string {
	where := o["subject"]
	if where == "" {
		where = dojahSubject
	}
	if where == "reference_id" {
		return reference
	}
	return f.chosen("metadata", b.Metadata, strings.TrimPrefix(where, "metadata."))
}

// dojahSteps are the steps we know, in the order in which a person takes them.
var dojahSteps = []string{
	"index", "countries", "user_data", "government_data", "business_data", "business_id", "id", "selfie", "phone_number", "email", "address", "additional_document",
}

// steps lists the steps of the body: those we know, then the others, for one that failed is a no
// whatever it is.
func (b *dojahBody) steps() []string {
	others := slices.DeleteFunc(slices.Sorted(maps.Keys(b.Steps)), func(name string) bool { return slices.Contains(dojahSteps, name) })
	return slices.Concat(dojahSteps, others)
}

// failed lists what the steps that failed mean. Some steps have no status, and one may be a list:
// those cannot fail.
func (b *dojahBody) failed(f *fields) (pairs []kyc.ReasonPair) {
	for _, name := range b.steps() {
		said := b.Steps[name]
		if said.Kind() != '{' {
			continue
		}
		if !slices.Contains(dojahSteps, name) {
			name = "step" // a name that we do not know may be anybody's text
		}
		step, ok := said.read()
		if !ok {
			f.fail("data."+name, "has an unexpected type")
			return nil
		}
		if step.Status == nil || *step.Status {
			continue
		}
		code := "data." + name + ".status=false"
		pair := kyc.ReasonPair{Code: dojahReasons.look(code).reason, ProviderCode: code}
		if name == "id" && strings.Contains(strings.ToLower(step.Message), "expired") {
			pair.Code = kyc.DocumentExpired
		}
		pairs = append(pairs, pair)
	}
	return ranked(pairs)
}

// what fills in the status, and reports a word that is unknown or that the rest of the body
// contradicts: that is in review.
func (b *dojahBody) what(passed bool, failed []kyc.ReasonPair, o Options, u *kyc.Update) (doubtful bool) {
	switch b.Status {
	case "Ongoing":
		u.Status = kyc.Pending
	case "Pending":
		if u.Status = kyc.InReview; o["pending"] == string(kyc.Pending) {
			u.Status = kyc.Pending
		}
	case "Completed", "Approved":
		if u.Status = kyc.Approved; !passed || len(failed) > 0 {
			u.Status, u.Reasons, doubtful = kyc.InReview, failed, true
		}
	case "Failed":
		if passed {
			u.Status, u.Reasons, doubtful = kyc.InReview, failed, true
			break
		}
		var codes []string
		for _, p := range failed {
			codes = append(codes, p.ProviderCode)
		}
		reject(u, failed, dojahReasons.hint(codes), retryable)
	case "Abandoned":
		u.Status, u.ExpiryKind = kyc.Expired, kyc.ExpiryAttempt
	default:
		u.Status, u.Reasons, doubtful = kyc.InReview, failed, true
	}
	return doubtful
}

// dojahReasons: Dojah publishes no codes, so a code here is the field that says no.
var dojahReasons = newReasons(
	means(kyc.UnsupportedCountry, terminal,
		"data.countries.status=false",
	),
	means(kyc.LivenessFailed, retryable,
		"data.selfie.status=false",
	),
	means(kyc.DataMismatch, retryable,
		"data.address.status=false", "data.business_data.status=false", "data.government_data.status=false", "data.user_data.status=false",
	),
	means(kyc.DocumentMissing, retryable,
		"data.additional_document.status=false",
	),
	means(kyc.DocumentUnreadable, retryable,
		"data.id.status=false",
	),
	means(kyc.OtherReason, retryable,
		"data.email.status=false", "data.phone_number.status=false",
	),
	means(kyc.FraudSuspected, undecided,
		"watch_listed=YES",
	),
	means(kyc.OtherReason, undecided,
		"aml.status=true",
	),
)
