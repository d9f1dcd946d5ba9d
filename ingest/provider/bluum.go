package provider

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

const (
	bluumName    = "bluum"
	bluumVersion = 2 // account_id; decisions under unknown names are kept
)

// Bluum says that it signs and not how (https://docs.bluumfinance.com/platform/webhooks), so a
// source says it. The default is a guess: if it is wrong, every callback is refused, and none is
// believed that should not be.
var bluum = Adapter{
	Name:      bluumName,
	Version:   bluumVersion,
	Doc:       "https://docs.bluumfinance.com/platform/webhooks",
	Evidence:  kyc.Signed,
	Options:   bluumOptions,
	Scheme:    bluumScheme,
	Translate: translateBluum,
	// An investor is one person or firm, and so are the workflows and documents of it.
	PersonRefs: []RefKind{SubjectRef, SessionRef},
	Overall:    []kyc.Check{kyc.IdentityVerification, kyc.BusinessVerification},
	Steps:      []kyc.Check{kyc.IdentityVerification, kyc.DocumentVerification, kyc.AddressVerification, kyc.BusinessVerification, kyc.TaxIDVerification, kyc.Screening, kyc.RiskAssessment},
	Workflow:   "workflow_id",
	Events:     []string{"account.created", "account.updated", "document.approved", "document.rejected", "kyc.verification.approved"},
	Gaps: []string{
		"Header, algorithm and encoding of the signature are not published; the default (X-Bluum-Signature, hex HMAC-SHA-256 of the body) is assumed. Before going " +
			"live, set the options to what your dashboard or support says, and try one real callback with countersign verify.",
		"The bodies of kyc.* and compliance.* events are not published; they are read as the published resources look.",
		"The full list of events can be had with an account only; an unknown event is ignored, or kept where it decides something, except below account, document, kyc and " +
			"compliance. Below the last two one that has no status, and whose name we do not know, waits in review.",
		"An approval below kyc and compliance is believed of a workflow only: the event is kyc.verification.approved, or the object has a workflow's type or status.",
		"A check of another kind than the five published ones is ignored where it is clear or pending, else kept in quarantine.",
		"A failed screening does not say on which list: it is a terminal rejection with reason other.",
		"An account does not say whether it is a firm's: it counts as a person's identity. Everything that accounts say of one investor is one session: a declined one that is " +
			"active again stays rejected until an operator releases it.",
		"The documented example has no event id: without one the digest of the body tells repeats apart.",
		"Whether EXPIRED is an approval that ran out or a session that lapsed is not stated; it is taken for the first, which takes the approval away.",
		"Which key of metadata holds our id is the partner's choice: see the option metadata.",
		"Reasons are free text; only the four published sentences are understood and passed on.",
	},
	reasons: bluumReasons,
}

// What the words of each kind of object say. Their case and style differ from endpoint to endpoint,
// so all are compared as kebab.
var (
	bluumDocuments = map[string]kyc.Status{"processing": kyc.Pending, "approved": kyc.Approved, "rejected": kyc.Rejected}
	bluumWorkflows = map[string]kyc.Status{
		"in-progress": kyc.Pending, "pending-review": kyc.InReview, "approved": kyc.Approved, "rejected": kyc.Rejected, "suspended": kyc.Suspended,
		"expired": kyc.Expired,
	}
	bluumStates = map[string]kyc.Status{"pending": kyc.Pending, "clear": kyc.Approved, "failed": kyc.Rejected, "review-required": kyc.InReview, bluumError: kyc.InReview}
	// onboarding is pending, not not_started: which of the two it is the body does not say, and the
	// latter would lift what was decided before.
	bluumInvestors = map[string]kyc.Status{
		"onboarding": kyc.Pending, "awaiting-documents": kyc.Pending, "under-review": kyc.InReview, "active": kyc.Approved, "suspended": kyc.Suspended,
		"closed": kyc.Suspended, "declined": kyc.Rejected, bluumSetup: kyc.InReview,
	}
)

// The words for something that broke, which is nobody's doubt about the person.
const (
	bluumError = "error"
	bluumSetup = "setup-failed"
)

var (
	bluumChecks = map[string]kyc.Check{
		"identity-verification": kyc.IdentityVerification, "tax-id-verification": kyc.TaxIDVerification, "screening": kyc.Screening,
		"risk-assessment": kyc.RiskAssessment, "business-verification": kyc.BusinessVerification,
	}
	bluumPapers = map[string]kyc.Check{"proof-of-address": kyc.AddressVerification, "w9-form": kyc.TaxIDVerification}
)

// bluumCheck is one check of a workflow, under the names of either endpoint.
type bluumCheck struct {
	CheckType   string `json:"check_type"`
	CheckTypeCa string `json:"checkType"`
	Type        string `json:"type"`
	Status      string `json:"status"`
}

type bluumBody struct {
	ID        ident  `json:"id"`
	Event     string `json:"event"`
	Timestamp string `json:"timestamp"`
	Livemode  *bool  `json:"livemode"` // beside that of the object, where either stands
	Data      struct {
		CheckType        string       `json:"check_type"` // of an event about one check
		CheckTypeCa      string       `json:"checkType"`
		Type             string       `json:"type"` // of a check too, but not of a check only
		Status           string       `json:"status"`
		ID               ident        `json:"id"`
		InvestorID       ident        `json:"investor_id"`
		InvestorIDCa     ident        `json:"investorId"`
		AccountID        ident        `json:"account_id"` // in its stead: https://github.com/bluum-finance/example-neo-bank
		AccountIDCa      ident        `json:"accountId"`
		WorkflowID       ident        `json:"workflow_id"`
		WorkflowIDCa     ident        `json:"workflowId"`
		WorkflowType     string       `json:"workflow_type"`
		WorkflowTypeCa   string       `json:"workflowType"`
		WorkflowStatus   string       `json:"workflow_status"`
		WorkflowStatusCa string       `json:"workflowStatus"`
		RiskLevel        string       `json:"risk_level"`
		RiskLevelCa      string       `json:"riskLevel"`
		DocumentType     string       `json:"document_type"`
		DocumentTypeCa   string       `json:"documentType"`
		Reason           string       `json:"reason"` // free text
		Livemode         *bool        `json:"livemode"`
		Metadata         object       `json:"metadata"`
		Checks           []bluumCheck `json:"checks"`
	} `json:"data"`
}

func translateBluum(_ signing.Header, body []byte, o Options) (Result, error) {
	var b bluumBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	if b.Event == "" {
		return Result{}, unreadable("event", "is missing")
	}
	var f fields
	r := Result{EventID: f.id("id", b.ID), EventType: word(b.Event), Livemode: marked(b.Livemode, b.Data.Livemode)}
	if r.EventID != "" {
		r.Dedupe = []string{r.EventID}
	}
	says := b.says()
	if r.Ignored, r.Hold = says.ignored, says.hold; (r.Ignored != "" || r.Hold != "") && f.err == nil {
		return r, nil
	}
	if says.about == bluumOneCheck && bluumChecks[b.checkType()] == "" {
		f.fail("check_type", "is of no kind we know") // it may be a no that must not get lost
	}
	if r.EventType == "" {
		f.fail("event", "is not a word")
	}
	u := observe(bluumName, bluumVersion, r, f.time("timestamp", b.Timestamp, time.Second, time.RFC3339))
	b.who(says, o, &u, &f)
	if f.err != nil {
		return Result{}, f.err
	}
	r.KeepBody = says.doubtful
	b.what(says, &u)
	r.Updates = []kyc.Update{u}
	if says.about == bluumWorkflow {
		steps, unknown := b.steps(u)
		r.Updates, r.KeepBody = append(r.Updates, steps...), r.KeepBody || unknown
	}
	return r, nil
}

// bluumAbout is the kind of object an event is about.
type bluumAbout byte

const (
	bluumInvestor bluumAbout = iota
	bluumDocument
	bluumWorkflow
	bluumOneCheck
)

// bluumSaid is what an event says before it is known about whom.
type bluumSaid struct {
	about    bluumAbout
	ignored  string
	hold     Hold
	word     string // as kebab
	status   kyc.Status
	doubtful bool
}

// bluumNews are the last words of names that only say that something goes on.
var bluumNews = []string{"created", "started", "submitted", "updated"}

// checkType is the kind of a check that the event is about, as kebab; "" if it is about something
// else.
func (b *bluumBody) checkType() string {
	if kind := kebab(cmp.Or(b.Data.CheckType, b.Data.CheckTypeCa)); kind != "" {
		return kind
	}
	if kind := kebab(b.Data.Type); bluumChecks[kind] != "" {
		return kind
	}
	return ""
}

// bluumNamed is what the last word of an event's name says: in the words of its own kind of object,
// else of any; "" if in none.
func bluumNamed(name string, own map[string]kyc.Status) kyc.Status {
	return cmp.Or(own[name], bluumWorkflows[name], bluumStates[name], bluumInvestors[name])
}

// says reads the kind of the event and its status: the body's, which the event's name must not
// contradict. Without a body's status the name is believed, except that the unpublished ones
// approve nobody, and that nobody knows what an unknown one says.
func (b *bluumBody) says() (s bluumSaid) {
	d := &b.Data
	event := strings.ToLower(b.Event)
	family, _, _ := strings.Cut(event, ".")
	body, words := d.Status, bluumInvestors
	switch family {
	case "account":
		if event == "account.created" {
			return bluumSaid{ignored: noStatus}
		}
	case "document":
		s.about, words = bluumDocument, bluumDocuments
	case "kyc", "compliance":
		if body = cmp.Or(d.WorkflowStatus, d.WorkflowStatusCa); body == "" && b.checkType() != "" {
			s.about, words, body = bluumOneCheck, bluumStates, d.Status
			if said := bluumStates[kebab(body)]; bluumChecks[b.checkType()] == "" && (said == kyc.Approved || said == kyc.Pending) {
				return bluumSaid{ignored: otherKind}
			}
		} else {
			s.about, words, body = bluumWorkflow, bluumWorkflows, cmp.Or(body, d.Status)
		}
	case "order", "transfer", "deposit", "withdrawal", "funding", "payment", "transaction", "trade", "position", "portfolio": // of money
		return bluumSaid{ignored: noStatus}
	default:
		said := bluumNamed(kebab(cmp.Or(d.WorkflowStatus, d.WorkflowStatusCa, d.Status, event[strings.LastIndexByte(event, '.')+1:])), nil)
		if slices.Contains([]kyc.Status{kyc.Approved, kyc.Rejected, kyc.Suspended, kyc.Expired}, said) {
			return bluumSaid{hold: UnknownEvent}
		}
		return bluumSaid{ignored: unknownEv}
	}
	name := kebab(b.Event[strings.LastIndexByte(b.Event, '.')+1:])
	_, own := words[name]
	named := bluumNamed(name, words)
	if s.word = kebab(body); s.word == "" {
		if s.word, s.status = name, named; !own && (slices.Contains(bluumNews, name) || s.about == bluumInvestor || s.about == bluumDocument) {
			s.ignored = noStatus
		}
		s.doubtful = !own && named != kyc.Pending || named == kyc.Approved && s.about != bluumDocument
	} else {
		var known bool
		s.status, known = words[s.word]
		s.doubtful = !known || named != "" && named != s.status && (own || s.status == kyc.Approved)
	}
	if s.status == kyc.Approved && s.about == bluumWorkflow && (kebab(cmp.Or(d.RiskLevel, d.RiskLevelCa)) == "prohibited" || !b.knownType()) {
		s.doubtful = true
	}
	return s
}

// knownType reports whether it is a workflow, of a kind that can approve somebody: other objects
// are approved as well, a document or a submission.
func (b *bluumBody) knownType() bool {
	d := &b.Data
	workflow := cmp.Or(d.WorkflowStatus, d.WorkflowStatusCa, d.WorkflowType, d.WorkflowTypeCa) != "" || strings.HasPrefix(strings.ToLower(b.Event), "kyc.verification.")
	return workflow && cmp.Or(d.DocumentType, d.DocumentTypeCa) == "" && slices.Contains([]string{"", "kyc", "kyb", "periodic-review"}, kebab(cmp.Or(d.WorkflowType, d.WorkflowTypeCa)))
}

// who fills in the subject, the session and the check.
func (b *bluumBody) who(s bluumSaid, o Options, u *kyc.Update, f *fields) {
	d := &b.Data
	u.Subject = kyc.Subject{ID: f.chosen("metadata", d.Metadata, cmp.Or(o["metadata"], "external_id")), ProviderRef: f.same("investor_id", d.InvestorID, d.InvestorIDCa), Kind: kyc.Individual}
	if account := f.same("account_id", d.AccountID, d.AccountIDCa); u.Subject.ProviderRef == "" {
		u.Subject.ProviderRef = account
	}
	workflow := f.same("workflow_id", d.WorkflowID, d.WorkflowIDCa)
	u.Scope, u.Check = kyc.Overall, kyc.IdentityVerification
	own := f.id("data.id", d.ID)
	switch s.about {
	case bluumInvestor:
		u.Subject.ProviderRef = f.same("investor_id", ident(u.Subject.ProviderRef), ident(own))
		u.Verification.Ref = u.Subject.ProviderRef
	case bluumDocument:
		kind := cmp.Or(d.DocumentType, d.DocumentTypeCa)
		u.Scope, u.Check = kyc.DocumentScope, cmp.Or(bluumPapers[kebab(kind)], kyc.DocumentVerification)
		u.Verification = kyc.Verification{Ref: own, ParentRef: workflow}
		if u.Document = (kyc.Document{ID: own, Type: word(kind)}); own == "" {
			f.fail("data.id", "is missing")
		}
	default:
		u.Verification = kyc.Verification{Ref: cmp.Or(workflow, own), Workflow: cmp.Or(workflow, own)}
		if kebab(cmp.Or(d.WorkflowType, d.WorkflowTypeCa)) == "kyb" {
			u.Subject.Kind, u.Check = kyc.Company, kyc.BusinessVerification
		}
	}
	if u.Subject.ID == "" && u.Subject.ProviderRef == "" && u.Verification.Ref == "" {
		f.fail("investor_id", "is missing")
	}
}

// what fills in the status.
func (b *bluumBody) what(s bluumSaid, u *kyc.Update) {
	if s.about == bluumOneCheck {
		u.Scope, u.Check = kyc.CheckScope, bluumChecks[b.checkType()]
	}
	if u.Status = s.status; s.doubtful {
		u.Status = kyc.InReview
		return
	}
	bluumFill(u, s.word, b.reasons())
	if u.Status == kyc.Rejected && s.about == bluumInvestor {
		u.Retryable, u.Terminal = false, true // declined
	}
}

// bluumFill adds what goes with a status. A rejection can be mended, except by a list of persons.
func bluumFill(u *kyc.Update, said string, pairs []kyc.ReasonPair) {
	switch u.Status {
	case kyc.Rejected:
		h := retryable
		if u.Check == kyc.Screening {
			h = terminal
		}
		reject(u, pairs, h)
	case kyc.InReview:
		if said == bluumError || said == bluumSetup {
			u.Reasons = []kyc.ReasonPair{{Code: kyc.TechnicalFailure, ProviderCode: strings.ReplaceAll(said, "-", "_")}}
		}
	case kyc.Expired:
		u.ExpiryKind = kyc.ExpiryValidity
	default: // the others need no reasons
	}
}

// steps makes an update of every check of a workflow. A check of a kind we do not know is left out,
// and the body kept.
func (b *bluumBody) steps(workflow kyc.Update) (steps []kyc.Update, unknown bool) {
	for _, c := range b.Data.Checks {
		check, known := bluumChecks[kebab(cmp.Or(c.CheckType, c.CheckTypeCa, c.Type))]
		if !known {
			unknown = true
			continue
		}
		u := workflow
		u.Scope, u.Check, u.Reasons, u.Retryable, u.Terminal, u.ExpiryKind = kyc.CheckScope, check, nil, false, false, ""
		said := kebab(c.Status)
		if u.Status, known = bluumStates[said]; !known {
			u.Status, unknown = kyc.InReview, true
		}
		bluumFill(&u, said, nil)
		steps = append(steps, u)
	}
	return steps, unknown
}

// reasons finds the published sentence that the free text is. Anything else may name somebody and
// goes no further.
func (b *bluumBody) reasons() []kyc.ReasonPair {
	for code := range bluumReasons {
		if strings.EqualFold(code, strings.TrimSpace(b.Data.Reason)) {
			return bluumReasons.pairs([]string{code})
		}
	}
	return nil
}

var bluumReasons = newReasons(
	means(kyc.NameMismatch, retryable,
		"Name mismatch",
	),
	means(kyc.DocumentExpired, retryable,
		"Document is expired",
	),
	means(kyc.DocumentTypeNotAccepted, retryable,
		"Document type not accepted",
	),
	means(kyc.DocumentUnreadable, retryable,
		"Document is blurry or illegible",
	),
)
