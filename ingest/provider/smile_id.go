package provider

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"countersign/kyc"
	"countersign/signing"
)

const (
	smileName    = "smile_id"
	smileVersion = 2             // results of unknown codes are kept
	smileSuffix  = "sid_request" // what is signed last, in callbacks and in questions
	smileTime    = "2006-01-02T15:04:05.000Z"
)

var smileID = Adapter{
	Name:      smileName,
	Version:   smileVersion,
	Doc:       "https://docs.usesmileid.com",
	Evidence:  kyc.Authenticated, // the signature covers a timestamp and nothing else of the body
	Options:   smileOptions,
	Scheme:    smileScheme,
	Translate: translateSmile,
	// A job is about one person.
	PersonRefs: []RefKind{SessionRef},
	Overall:    []kyc.Check{kyc.IdentityVerification, kyc.DocumentVerification},
	Steps:      []kyc.Check{kyc.Liveness},
	Workflow:   "the job type",
	Events:     slices.Sorted(maps.Keys(smileEvents)),
	API:        &smileAPI,
	Gaps: []string{
		"The signature does not cover the body: whoever has seen one callback can sign another for as long as the tolerance lasts, so every verdict needs the job_status query or a source that accepts the risk.",
		"A signature and its timestamp can be used more than once.",
		"Retries, the time allowed for an answer and the addresses that callbacks come from are not verified.",
		"A new key disables the old one at once: there is no overlap.",
		"Callbacks hold images: a source needs max_body of 2MiB.",
		"The result codes beyond 1012 to 1023, the words of Actions and the numbers of the job types are not verified.",
		"Whether a document that failed was unreadable or forged is not told: it is taken for unreadable.",
		"The form of the job_status query and of its answer comes from the provider's libraries; the answer's own signature is not checked, for the connection is ours.",
		"Callbacks of the V3 API (status clear, block, attention or error) have no signature in the body and are not read: one that arrives is refused, or kept.",
		"Only biometric KYC, enhanced KYC and document verification (job types 1, 5, 6 and 11) are read.",
	},
	reasons: smileReasons,
}

var smileOptions = map[string]string{
	"partial":   "in_review or approved: what a partial match (1021) means, which Smile ID counts as approved (default in_review)",
	"tolerance": "how old a timestamp may be, such as 5m (default 5m)",
}

func smileScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(smileOptions); err != nil {
		return nil, err
	}
	if _, err := o.oneOf("partial", string(kyc.InReview), string(kyc.Approved)); err != nil {
		return nil, err
	}
	tolerance, err := o.tolerance(5*time.Minute, false)
	if err != nil {
		return nil, err
	}
	return signing.BodyProof{Signature: "signature", Timestamp: "timestamp", Suffix: smileSuffix, Tolerance: tolerance}, nil
}

// smileEvent is what a result code says. The zero value says nothing about the status.
type smileEvent struct {
	status    kyc.Status
	byActions bool // what was done decides
	fault     bool
}

var smileEvents = map[string]smileEvent{
	"0810": {status: kyc.Approved}, // after a person has looked
	"1012": {status: kyc.Approved},
	"1020": {status: kyc.Approved},
	"1021": {status: kyc.InReview}, // or approved, by option
	"1013": {status: kyc.Rejected},
	"1014": {status: kyc.Rejected},
	"1022": {status: kyc.Rejected},
	"1023": {status: kyc.Rejected},
	"1015": {status: kyc.Pending}, // the authority that is asked is out of reach
	"1016": {fault: true},
	"0001": {fault: true},
}

// smileCode reads a result code. The hundreds tell what the rest are about.
func smileCode(code string) (e smileEvent, known bool) {
	if e, known = smileEvents[code]; known || len(code) != 4 || strings.Trim(code, "0123456789") != "" {
		return e, known
	}
	switch {
	case strings.HasPrefix(code, "08"), strings.HasPrefix(code, "12"):
		return smileEvent{byActions: true}, true
	case code[0] == '2', code[0] == '4':
		return smileEvent{fault: true}, true
	}
	return smileEvent{}, false
}

// smileJobs is the check that a job of this type decides. The others are no check of a person's
// identity: a login, an enrolment, a business.
var smileJobs = map[string]kyc.Check{
	"1":  kyc.IdentityVerification, // and liveness, which is a step of it
	"5":  kyc.IdentityVerification,
	"6":  kyc.DocumentVerification,
	"11": kyc.DocumentVerification,
}

// smileBody is a result: of a callback, and inside an answer. Numbers may stand as texts, and
// truths too.
type smileBody struct {
	Code    string                    `json:"ResultCode"` // its ResultText is for people
	JobID   ident                     `json:"SmileJobID"`
	Final   jsontext.Value            `json:"IsFinalResult"`
	Actions map[string]jsontext.Value `json:"Actions"`
	Time    ident                     `json:"timestamp"`
	Partner struct {
		UserID  ident          `json:"user_id"`
		JobID   ident          `json:"job_id"`
		JobType jsontext.Value `json:"job_type"`
	} `json:"PartnerParams"`
}

func translateSmile(_ signing.Header, body []byte, o Options) (Result, error) {
	var b smileBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	if b.Code == "" {
		return Result{}, unreadable("ResultCode", "is missing")
	}
	var f fields
	at := f.clock("timestamp", b.Time, time.RFC3339)
	r := Result{EventType: word(b.Code), Dedupe: []string{string(b.JobID), b.Code, string(b.Time)}}
	if b.JobID == "" { // the rest could be another person's too
		r.Dedupe = nil
	}
	if r.Ignored, r.Fault = b.ignored(&f); r.Ignored == unknownEv && b.decides() {
		r.Ignored, r.Hold = "", UnknownEvent
	}
	if r.Ignored != "" || r.Hold != "" || f.err != nil {
		return r.unless(f.err)
	}
	b.result(observe(smileName, smileVersion, r, at), &r, o, &f)
	if job := f.id("PartnerParams.job_id", b.Partner.JobID); f.err == nil && job != "" && r.Updates[0].Subject.ID != "" && r.Updates[0].Status != kyc.Pending {
		r.Fetch = []Fetch{{Ref: f.pair("PartnerParams.user_id", r.Updates[0].Subject.ID, job), What: smileAsked, Confirms: true}}
	}
	return r.unless(f.err)
}

// ignored says why a result carries no status, "" if it does.
func (b *smileBody) ignored(f *fields) (why string, fault bool) {
	e, known := smileCode(b.Code)
	job := scalar(b.Partner.JobType)
	switch {
	case !known:
		return unknownEv, false
	case e.fault:
		return faultEv, true
	case job == "": // it could be one that counts
		f.fail("PartnerParams.job_type", "is missing")
	case smileJobs[job] == "":
		return otherKind, false
	}
	return "", false
}

// decides reports that something was decided about somebody, whatever the code: a result that is
// final, or one of actions, of a job that counts or may count.
func (b *smileBody) decides() bool {
	job := scalar(b.Partner.JobType)
	return (job == "" || smileJobs[job] != "") && (len(b.Actions) > 0 || strings.EqualFold(scalar(b.Final), "true"))
}

// result fills in the updates of a result: the whole job's and, where a face was compared as well
// as a number, that of the face.
func (b *smileBody) result(u kyc.Update, r *Result, o Options, f *fields) {
	job := scalar(b.Partner.JobType)
	u.Scope, u.Check = kyc.Overall, smileJobs[job]
	u.Subject = kyc.Subject{ID: f.id("PartnerParams.user_id", b.Partner.UserID), Kind: kyc.Individual}
	u.Verification = kyc.Verification{Ref: f.id("SmileJobID", b.JobID), Workflow: job}
	if u.Subject.ID == "" && u.Verification.Ref == "" {
		f.fail("PartnerParams.user_id", "is missing")
	}
	face := u
	r.KeepBody = b.what(o, &u)
	r.Updates = []kyc.Update{u}
	if job != "1" || strings.EqualFold(scalar(b.Final), "false") {
		return
	}
	face.Scope, face.Check = kyc.CheckScope, kyc.Liveness
	switch said := smileSaid(b.Actions["Liveness_Check"]); {
	case said == smileNo:
		reject(&face, []kyc.ReasonPair{{Code: kyc.LivenessFailed, ProviderCode: "Liveness_Check"}}, retryable)
	case said == smileYes && u.Status == kyc.Approved:
		face.Status = kyc.Approved
	case said == smileOpen:
		face.Status = kyc.InReview
	default:
		return
	}
	r.Updates = append(r.Updates, face)
}

// smileWord is what a word of Actions says.
type smileWord byte

const (
	smileSilent smileWord = iota // a word that neither passes nor fails
	smileYes
	smileOpen
	smileNo
)

func smileSaid(said jsontext.Value) smileWord {
	switch scalar(said) {
	case "Passed", "Approved", "Verified":
		return smileYes
	case "Under Review", "Provisionally Approved", "Unable To Determine", "Not Verified", "No Match", "Issuer Unavailable": // no yes, whoever decides what they are
		return smileOpen
	case "Failed", "Rejected":
		return smileNo
	default:
		return smileSilent
	}
}

// what fills in the status. A result that is not final is not one: the job goes on. A yes beside an
// action that failed contradicts itself.
func (b *smileBody) what(o Options, u *kyc.Update) (doubtful bool) {
	e, _ := smileCode(b.Code)
	pairs, worst := b.actions()
	switch u.Status = e.status; {
	case e.byActions && worst == smileNo:
		reject(u, pairs, retryable)
	case e.byActions:
		u.Status, doubtful = kyc.InReview, worst != smileOpen
	case b.Code == "1021":
		u.Status, u.Reasons = kyc.InReview, []kyc.ReasonPair{{Code: kyc.DataMismatch, ProviderCode: b.Code}}
		if o["partial"] == string(kyc.Approved) {
			u.Status, u.Reasons = kyc.Approved, nil
		}
	case e.status == kyc.Rejected:
		codes := []string{b.Code}
		reject(u, smileReasons.pairs(codes), smileReasons.hint(codes))
	}
	if u.Status == kyc.Approved && worst >= smileOpen {
		u.Status, u.Reasons, doubtful = kyc.InReview, pairs, true
	}
	switch final := scalar(b.Final); {
	case strings.EqualFold(final, "false") && u.Status != kyc.Pending:
		doubted(u)
	case final != "" && !strings.EqualFold(final, "true") && !strings.EqualFold(final, "false"):
		doubted(u)
		doubtful = true
	}
	return doubtful
}

// smileActions are what was done and what it means when it failed.
var smileActions = map[string]kyc.Reason{
	"Verify_Document":             kyc.DocumentUnreadable,
	"Human_Review_Document_Check": kyc.DocumentUnreadable,
	"Liveness_Check":              kyc.LivenessFailed,
	"Human_Review_Liveness_Check": kyc.LivenessFailed,
	"Selfie_To_ID_Card_Compare":   kyc.LivenessFailed,
	"Human_Review_Compare":        kyc.LivenessFailed,
	"Selfie_Check":                kyc.LivenessFailed,
	"Names":                       kyc.NameMismatch,
	"Verify_ID_Number":            kyc.DataMismatch,
	"DOB":                         kyc.DataMismatch,
	"Gender":                      kyc.DataMismatch,
	"ID_Number":                   kyc.DataMismatch,
}

// actions lists those that failed, and how bad the worst is.
func (b *smileBody) actions() (pairs []kyc.ReasonPair, worst smileWord) {
	for _, name := range slices.Sorted(maps.Keys(b.Actions)) {
		said := smileSaid(b.Actions[name])
		if worst = max(worst, said); said == smileNo {
			pairs = append(pairs, kyc.ReasonPair{Code: cmp.Or(smileActions[name], kyc.OtherReason), ProviderCode: word(name)})
		}
	}
	return ranked(pairs), worst
}

// smileReasons are the result codes of a comparison.
var smileReasons = newReasons(
	means(kyc.DataMismatch, retryable,
		"1013", "1014", "1022", "1023",
	),
	means(kyc.DocumentUnreadable, retryable,
		"0001",
	),
	means(kyc.OtherReason, retryable,
		"1015", "1016",
	),
)
