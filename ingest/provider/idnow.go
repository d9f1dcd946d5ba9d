package provider

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

const (
	idnowName    = "idnow"
	idnowVersion = 2 // the reasons of VideoIdent
)

var idnow = Adapter{
	Name:       idnowName,
	Version:    idnowVersion,
	Doc:        "https://docs-autoident.idnow.io",
	Evidence:   kyc.Authenticated, // a fixed credential; nothing covers the body but TLS
	Options:    idnowOptions,
	Scheme:     idnowScheme,
	Translate:  translateIdnow,
	PersonRefs: []RefKind{SessionRef}, // an identification is one of one person
	Overall:    []kyc.Check{kyc.IdentityVerification},
	Workflow:   "companyid",
	Events:     slices.Sorted(maps.Keys(idnowResults)),
	API:        &idnowAPI,
	Gaps: []string{
		"No signature was found in public receivers, and the vendor's page could be read in part only: a fixed credential proves the sender.",
		"The addresses that IDnow calls from, its schedule of retries and its time limit are not verified.",
		"The shape of the body is that of three public receivers.",
		"transactionnumber must be our id of the person. Where it names one identification only, set partner_from: submission and register identificationprocess.id: by its transactionnumber nobody is found then.",
		"Whether identificationtime moves between a preliminary result and the final one is not verified; while it does not, the stricter of the two stands.",
		"That TST- begins the id of every test identification, and of no other, is not verified.",
		"API: the shape of its answer is that of the callback, by public clients.",
	},
	reasons: idnowReasons,
}

var idnowOptions = map[string]string{
	"auth":          "basic (the key is user:password) or header (the key is the value of a static header) (default basic)",
	"header":        "with auth: header, the name of that header, such as X-Countersign-Token",
	"data_changed":  "approved or in_review: what SUCCESS_DATA_CHANGED means, where the data did not fit what was sent in and was corrected (default approved)",
	"check_pending": "in_review or pending: what CHECK_PENDING means (default in_review)",
}

func idnowScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(idnowOptions); err != nil {
		return nil, err
	}
	if _, err := o.oneOf("data_changed", string(kyc.Approved), string(kyc.InReview)); err != nil {
		return nil, err
	}
	if _, err := o.oneOf("check_pending", string(kyc.InReview), string(kyc.Pending)); err != nil {
		return nil, err
	}
	return o.static("basic", "header")
}

// idnowResult is what a result means.
type idnowResult struct {
	status  kyc.Status
	option  string // or what the source says
	fraud   bool
	payload hint // what the result itself says of another try
	open    bool // another one follows
}

// idnowResults stand for events, which have no other name.
var idnowResults = map[string]idnowResult{
	"SUCCESS":                   {status: kyc.Approved},
	"SUCCESS_DATA_CHANGED":      {status: kyc.Approved, option: "data_changed"},
	"SUCCESS_DATA_CHANGE":       {status: kyc.Approved, option: "data_changed"}, // as the vendor's API document writes it
	"REVIEW_PENDING":            {status: kyc.InReview, open: true},
	"CHECK_PENDING":             {status: kyc.InReview, option: "check_pending", open: true},
	"FRAUD_SUSPICION_PENDING":   {status: kyc.InReview, fraud: true, open: true},
	"FRAUD_SUSPICION_CONFIRMED": {status: kyc.Rejected, fraud: true, payload: terminal},
	"ABORTED":                   {status: kyc.Rejected}, // by the person or the agent
	"CANCELED":                  {status: kyc.Rejected}, // by the reviewer
}

// idnowBody leaves out the person's data, contacts and documents.
type idnowBody struct {
	Process struct {
		Result      string `json:"result"`
		Reason      string `json:"reason"`
		Company     ident  `json:"companyid"`
		At          string `json:"identificationtime"`
		ID          ident  `json:"id"`
		Transaction ident  `json:"transactionnumber"`
	} `json:"identificationprocess"`
}

func translateIdnow(_ signing.Header, body []byte, o Options) (Result, error) {
	r, err := idnowRead(body, o)
	r.Unsettled = false // a callback does not ask again: IDnow calls again
	if err != nil || r.Ignored != "" {
		return r, err
	}
	if u := r.Updates[0]; u.Subject.ID != "" && u.Verification.Workflow != "" && u.Status != kyc.Pending {
		r.Fetch = []Fetch{{Ref: idnowRef(u.Verification.Workflow, u.Subject.ID), What: idnowIdentification, Confirms: true}}
	}
	return r, nil
}

// idnowRead reads an identification, in a callback or as the API gives it.
func idnowRead(body []byte, o Options) (Result, error) {
	var b idnowBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	var f fields
	p := &b.Process
	id, at := f.id("identificationprocess.id", p.ID), f.time("identificationprocess.identificationtime", p.At, time.Second, time.RFC3339)
	r := Result{EventType: cmp.Or(word(p.Result), "identification")}
	if strings.HasPrefix(id, "TST-") || p.Reason == "OTHER_TEST" {
		r.Livemode = new(bool)
	}
	if id != "" && !at.IsZero() {
		r.Dedupe = []string{id, p.Result, p.At}
	}
	u := observe(idnowName, idnowVersion, r, at)
	u.Subject = kyc.Subject{ID: f.id("identificationprocess.transactionnumber", p.Transaction), Kind: kyc.Individual}
	u.Verification = kyc.Verification{Ref: id, Workflow: f.id("identificationprocess.companyid", p.Company)}
	switch {
	case u.Subject.ID == "" && id == "":
		f.fail("identificationprocess.id", "is missing")
	case strings.Contains(u.Verification.Workflow, "/"):
		f.fail("identificationprocess.companyid", "holds a slash") // it is part of a path, and of what the API is asked for
	}
	if f.err != nil {
		return Result{}, f.err
	}
	if p.Result == "" {
		r.Ignored, r.Unsettled = noStatus, true
		return r, nil
	}
	result, known := idnowResults[p.Result]
	r.Unsettled, r.KeepBody = result.open, !known
	b.what(result, o, &u)
	r.Updates = []kyc.Update{u}
	return r, nil
}

// what fills in the status; a result that we do not know is in review.
func (b *idnowBody) what(result idnowResult, o Options, u *kyc.Update) {
	u.Scope, u.Check = kyc.Overall, kyc.IdentityVerification
	u.Status = cmp.Or(kyc.Status(o[result.option]), result.status, kyc.InReview)
	var codes []string
	if b.Process.Reason != "" {
		codes = []string{b.Process.Reason}
	}
	pairs := idnowReasons.pairs(codes)
	if result.fraud {
		pairs = ranked(append(pairs, kyc.ReasonPair{Code: kyc.FraudSuspected, ProviderCode: b.Process.Result}))
	}
	switch u.Status {
	case kyc.Rejected:
		reject(u, pairs, result.payload, idnowReasons.hint(codes), retryable)
	case kyc.InReview:
		u.Reasons = pairs
	default: // a yes and an attempt need no reasons
	}
}

// idnowReasons is the list of the public receivers, and that of the vendor's API document, which
// says what is permanent: https://github.com/Solarisbank/idnow-client docs/IDnow_API.pdf, 14.5.3.
var idnowReasons = newReasons(
	means(kyc.LivenessFailed, retryable,
		"PHOTO_OTHER", "SELFIE_BLURRY", "SELFIE_DARKNESS", "SELFIE_GLARE", "SELFIE_OTHER", "SELFIE_PERSPECTIVE", "USER_OBSCURED", "USER_WRONG_PERSON",
	),
	means(kyc.DataMismatch, retryable,
		"USER_ID", "USER_ID_NUMBER",
	),
	means(kyc.DataMismatch, terminal,
		"DATA_APPLICATION_ADDRESS", "DATA_APPLICATION_DATA",
	),
	means(kyc.DocumentExpired, retryable,
		"DATA_ID_EXPIRED", "ID_EXPIRED", "ID_SECOND_DOCUMENT_EXPIRED",
	),
	means(kyc.DocumentTypeNotAccepted, retryable,
		"ID_HAS_STICKER", "ID_NOT_SUPPORTED", "ID_OTHER", "ID_SECOND_DOCUMENT_OTHER", "TECH_ID_TYPE",
	),
	means(kyc.DocumentMissing, retryable,
		"ID_NEED_ADDITIONAL_DOCUMENT", "ID_SECOND_DOCUMENT", "ID_WRONG_SIDE", "USER_INVOICE_MISSING", "USER_NO_ID",
	),
	means(kyc.DocumentUnreadable, retryable,
		"BAD_PHOTO_QUALITY", "ID_BLURRY", "ID_BROKEN", "ID_DAMAGED", "ID_DAMAGED_OTHER", "ID_DARKNESS", "ID_DATA", "ID_DATA_COVERED", "ID_DATA_OTHER",
		"ID_GLARE", "ID_OUTWORN", "ID_PERSPECTIVE", "ID_SECOND_DOCUMENT_BAD_PHOTO_QUALITY", "ID_SECOND_DOCUMENT_DAMAGED",
		"ID_SECURITY_FEATURE_NOT_VISIBLE_NOT_FRAUD", "ID_SECURITY_FEATURE_OTHER", "ID_SECURITY_FEATURE_VIDEO_CANNOT_BE_PLAYED",
		"ID_SECURITY_FEATURE_VIDEO_FILE_MISSING", "ID_SECURITY_FEATURE_VIDEO_SHORT", "ID_WRITTEN_ON", "TECH_HOLOGRAM", "TECH_LIGHTING", "TECH_PHOTO", "TECH_VIDEO",
	),
	means(kyc.ConsentDeclined, retryable,
		"USER_ABORT_WHILE_WAITING", "USER_CANCELLATION",
	),
	means(kyc.TechnicalFailure, retryable,
		"IDENT_DISPLAY_ERROR", "TECH_AUDIO", "TECH_DISCONNECTED_VIDEO", "TECH_DISCONNECTED_WEBSOCKET", "TECH_IDENT_CODE_DELIVERY", "TECH_INTERNAL_SERVER_ERROR",
		"TECH_INTERNET_CONNECTION", "TECH_TIMEOUT", "TSP_CERTIFICATE_EXPIRED", "TSP_SIGNING_FAILED", "TSP_WRONG_CONFIRMATION_TOKEN",
	),
	means(kyc.OtherReason, retryable,
		"IDENT_CANNOT_BE_COMPLETED", "IDENT_OTHER", "OTHER_ABUSE", "OTHER_ERROR", "OTHER_MISCELLANEOUS_TEMPORARY", "OTHER_TEST", "USER_IDENT_CODE",
	),
	means(kyc.OtherReason, terminal,
		"OTHER_MISCELLANEOUS_PERMANENT", "USER_LANGUAGE",
	),
)
