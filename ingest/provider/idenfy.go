package provider

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

const (
	idenfyName    = "idenfy"
	idenfyVersion = 2 // lists of persons, the published codes, and denials that another try may mend
)

var idenfy = Adapter{
	Name:      idenfyName,
	Version:   idenfyVersion,
	Doc:       "https://documentation.idenfy.com/kyc/webhooks",
	Evidence:  kyc.Signed,
	Options:   idenfyOptions,
	Scheme:    idenfyScheme,
	Translate: translateIdenfy,
	// A scan is one attempt of one client.
	PersonRefs: []RefKind{SessionRef},
	Overall:    []kyc.Check{kyc.IdentityVerification},
	Steps:      []kyc.Check{kyc.Screening},
	Events:     slices.Sorted(maps.Keys(idenfyEvents)),
	Gaps: []string{
		"Callbacks of AML monitoring and of KYB have bodies of their own, which are not read: they are kept in quarantine.",
		"What a verification's body says of sanctions, PEPs and bad news is a screening: in review, rejected only where somebody has called it a true positive, and approved only beside an approval and where nothing was found or somebody has called it a false positive.",
		"No page says that a denial is final for the person: one whose codes do not decide can be tried again, unless it has fraud tags, is for a list, or the option denied says terminal.",
		"The schedule of retries is not verified. A 200 also decides where the person's browser goes next.",
		"A body does not name test mode: each environment is a source of its own.",
	},
	reasons: idenfyReasons,
}

var idenfyOptions = map[string]string{
	"denied": "terminal or retryable: what a denial is whose codes do not decide it; with fraud tags it is terminal (default retryable)",
}

func idenfyScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(idenfyOptions); err != nil {
		return nil, err
	}
	if _, err := o.oneOf("denied", "retryable", "terminal"); err != nil {
		return nil, err
	}
	return signing.BodyHMAC{Header: "Idenfy-Signature", Hash: signing.SHA256, Encoding: signing.Hex}, nil
}

// idenfyEvents are the words of status.overall, which are all the name that a callback has. "" says
// nothing about the status.
var idenfyEvents = map[string]kyc.Status{
	"ACTIVE":          kyc.Pending,
	"APPROVED":        kyc.Approved,
	"ARCHIVED":        "",
	"DELETED":         "",
	"DENIED":          kyc.Rejected,
	"EXPIRED":         kyc.Expired,
	"EXPIRED-DELETED": "",
	"REVIEWING":       kyc.InReview,
	"SUSPECTED":       kyc.InReview,
}

type idenfyBody struct {
	ClientID   ident `json:"clientId"`
	ScanRef    ident `json:"scanRef"`
	Final      bool  `json:"final"` // absent: not final
	FinishTime ident `json:"finishTime"`
	Status     struct {
		Overall          string   `json:"overall"`
		AutoDocument     string   `json:"autoDocument"`
		AutoFace         string   `json:"autoFace"`
		ManualDocument   string   `json:"manualDocument"`
		ManualFace       string   `json:"manualFace"`
		FraudTags        []string `json:"fraudTags"`
		MismatchTags     []string `json:"mismatchTags"`
		SuspicionReasons []string `json:"suspicionReasons"`
		DenyReasons      []string `json:"denyReasons"`
		AMLClass         string   `json:"amlResultClass"`
		PEPs             string   `json:"pepsStatus"`
		Sanctions        string   `json:"sanctionsStatus"`
		AdverseMedia     string   `json:"adverseMediaStatus"`
	} `json:"status"`
	AML    raw[[]idenfyLists] `json:"AML"` // one answer of each service
	OldAML raw[[]idenfyLists] `json:"aml"` // its older name, where the one answer stood alone
}

func translateIdenfy(_ signing.Header, body []byte, o Options) (Result, error) {
	var b idenfyBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	said := b.Status.Overall
	if said == "" {
		return Result{}, unreadable("status.overall", "is missing")
	}
	var f fields
	status, known := idenfyEvents[said]
	finished, at := b.finished(&f)
	scan := f.id("scanRef", b.ScanRef)
	r := Result{EventType: word(said), Dedupe: []string{scan, strconv.FormatBool(b.Final), said, finished}}
	if r.EventType == "" {
		r.EventType = "status"
	}
	if known && status == "" && f.err == nil {
		r.Ignored, r.Dedupe = noStatus, nil
		return r, nil
	}
	u := observe(idenfyName, idenfyVersion, r, at)
	u.Scope, u.Check, u.Status = kyc.Overall, kyc.IdentityVerification, status
	u.Subject = kyc.Subject{ID: f.id("clientId", b.ClientID), Kind: kyc.Individual}
	if u.Verification.Ref = scan; scan == "" {
		f.fail("scanRef", "is missing")
	}
	if f.err != nil {
		return Result{}, f.err
	}
	seen := b.screen()
	r.KeepBody = b.what(known, seen.confirmed || len(seen.codes) > 0, o, &u) || seen.odd
	r.Updates = []kyc.Update{u}
	if screening, told := seen.beside(u); told {
		r.Updates = append(r.Updates, screening)
	}
	return r, nil
}

// finished reads when the scan ended, in seconds; one that goes on has no such time.
func (b *idenfyBody) finished(f *fields) (text string, at time.Time) {
	return string(b.FinishTime), f.epoch("finishTime", b.FinishTime, time.Second)
}

// what fills in the status. What is not final decides nothing: another callback follows.
func (b *idenfyBody) what(known, listed bool, o Options, u *kyc.Update) (keep bool) {
	codes := b.codes()
	tagged := len(b.Status.FraudTags)+len(b.Status.MismatchTags)+len(b.Status.SuspicionReasons)+len(b.Status.DenyReasons) > 0
	looked := b.Status.ManualDocument != "" || b.Status.ManualFace != ""
	switch {
	case !known, u.Status == kyc.Approved && tagged && !looked: // a machine's yes beside its own doubts
		u.Status, u.Reasons = kyc.InReview, idenfyReasons.pairs(codes)
		return true
	case !b.Final && u.Status == kyc.Expired:
		u.Status = kyc.Pending
	case !b.Final && u.Status != kyc.Pending, u.Status == kyc.InReview:
		u.Status, u.Reasons = kyc.InReview, idenfyReasons.pairs(codes)
	case u.Status == kyc.Rejected:
		fallback := retryable
		if o["denied"] == "terminal" || len(b.Status.FraudTags) > 0 || listed && len(codes) == 0 {
			fallback = terminal
		}
		reject(u, idenfyReasons.pairs(codes), idenfyReasons.hint(codes), fallback)
	case u.Status == kyc.Expired:
		u.ExpiryKind = kyc.ExpiryAttempt
	}
	return false
}

// codes are what speaks against the person: a person's word about the document or the face counts
// before the machine's.
func (b *idenfyBody) codes() (codes []string) {
	s := &b.Status
	for _, pair := range [][2]string{{s.ManualDocument, s.AutoDocument}, {s.ManualFace, s.AutoFace}} {
		code := pair[0]
		if code == "" {
			code = pair[1]
		}
		if code != "" && code != "DOC_VALIDATED" && code != "FACE_MATCH" {
			codes = append(codes, code)
		}
	}
	codes = slices.Concat(codes, s.FraudTags, s.MismatchTags, s.SuspicionReasons, s.DenyReasons)
	return slices.DeleteFunc(codes, func(code string) bool { return slices.Contains(idenfyListed, code) })
}
