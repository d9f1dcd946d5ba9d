package provider

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"countersign/kyc"
)

// What Plaid's API is asked for. An answer has no event: its type is this word.
const (
	plaidAttempt   = "identity_verification"
	plaidScreening = "screening"
	plaidEntity    = "entity_screening"
)

// plaidCalls are the calls for these, and the name of the id in each.
var plaidCalls = map[string]struct{ path, id string }{
	plaidAttempt:   {"/identity_verification/get", "identity_verification_id"},
	plaidScreening: {"/watchlist_screening/individual/get", "watchlist_screening_id"},
	plaidEntity:    {"/watchlist_screening/entity/get", "entity_watchlist_screening_id"},
}

var plaidAPI = API{
	Doc:         "https://plaid.com/docs/api/products/identity-verification/",
	Live:        "https://production.plaid.com",
	Sandbox:     "https://sandbox.plaid.com",
	Credentials: "user: the client_id; key: the secret of the environment",
	Authorize: func(c *Call, k Credentials, _ time.Time) (err error) {
		if lent := k.lend(func(secret string) { err = c.addToBody(map[string]any{"client_id": k.User, "secret": secret}) }); lent != nil {
			return lent
		}
		return err
	},
	Next: func(q Fetch, answers [][]byte, _ Options) (Call, bool, error) {
		call, ok := plaidCalls[q.What]
		if !ok || q.Ref == "" {
			return Call{}, false, unreadable("what", "is nothing that can be asked for")
		}
		body, err := json.Marshal(map[string]string{call.id: q.Ref})
		return Call{Method: http.MethodPost, Path: call.path, Body: body}, len(answers) == 0 && err == nil, err
	},
	Read: plaidRead,
	Keys: &PublishedKeys{
		KeyID: plaidJWT{}.KeyID,
		Call: func(kid string) (Call, error) {
			body, err := json.Marshal(map[string]string{"key_id": kid})
			return Call{Method: http.MethodPost, Path: "/webhook_verification_key/get", Body: body}, err
		},
		Plausible: plaidPlausible,
		Read:      plaidReadKey,
	},
}

// plaidWordsOf are the words of the steps that we know.
type plaidWordsOf struct {
	Terms     string `json:"accept_tos"`
	Telephone string `json:"verify_sms"`
	Identity  string `json:"kyc_check"`
	Document  string `json:"documentary_verification"`
	Selfie    string `json:"selfie_check"`
	Lists     string `json:"watchlist_screening"`
	Risk      string `json:"risk_check"`
}

// plaidAnswer is an attempt or a screening. What the person entered is never read.
type plaidAnswer struct {
	ID           ident        `json:"id"`
	ClientUserID ident        `json:"client_user_id"`
	CreatedAt    string       `json:"created_at"`
	CompletedAt  string       `json:"completed_at"`
	PreviousID   ident        `json:"previous_attempt_id"`
	Status       string       `json:"status"`
	Steps        plaidWordsOf `json:"steps"`
	Template     struct {
		ID ident `json:"id"`
	} `json:"template"`
	AuditTrail struct {
		Timestamp string `json:"timestamp"`
	} `json:"audit_trail"`
}

func plaidRead(q Fetch, answers [][]byte, _ Options) (Result, error) {
	if len(answers) == 0 {
		return Result{}, unreadable("answer", "is missing")
	}
	var a plaidAnswer
	if err := decode(answers[0], &a); err != nil {
		return Result{}, err
	}
	var f fields
	r := Result{EventType: q.What}
	at := a.CompletedAt
	switch {
	case q.What != plaidAttempt:
		at = a.AuditTrail.Timestamp
	case at == "" && slices.Contains([]string{"active", "expired", "canceled"}, a.Status): // an outcome with this time could hide behind an older one
		at = a.CreatedAt
	}
	u := observe(plaidName, plaidVersion, r, f.time("completed_at", at, time.Second, time.RFC3339))
	u.Subject = kyc.Subject{ID: f.id("client_user_id", a.ClientUserID), Kind: kyc.Individual}
	u.Verification = kyc.Verification{
		Ref: f.asked("id", q.Ref, a.ID), AttemptRef: f.id("previous_attempt_id", a.PreviousID), Workflow: f.id("template.id", a.Template.ID),
	}
	if a.Status == "" {
		f.fail("status", "is missing")
	}
	switch q.What {
	case plaidAttempt:
		u.Scope, u.Check = kyc.Overall, kyc.IdentityVerification
		r.KeepBody = a.outcome(&u)
		r.Updates = append([]kyc.Update{u}, a.steps(u)...)
		r.Unsettled = u.Status == kyc.Pending
	case plaidScreening, plaidEntity:
		if q.What == plaidEntity {
			u.Subject.Kind = kyc.Company
		}
		r.KeepBody = a.screening(&u)
		r.Updates = []kyc.Update{u}
	default:
		return Result{}, unreadable("what", "is nothing that can be asked for")
	}
	return r.unless(f.err)
}

// screening fills in what became of a screening, which the customer's own people decide.
func (a *plaidAnswer) screening(u *kyc.Update) (doubtful bool) {
	u.Scope, u.Check = kyc.CheckScope, kyc.Screening
	switch a.Status {
	case "cleared":
		u.Status = kyc.Approved
	case "rejected":
		reject(u, []kyc.ReasonPair{{Code: kyc.OtherReason, ProviderCode: a.Status}}, terminal)
	case "pending_review":
		u.Status = kyc.InReview
	default:
		u.Status, doubtful = kyc.InReview, true
	}
	return doubtful
}

// plaidRow finds the row of a step that a person failed by hand: that of the step.
func plaidRow(code string) string {
	return strings.Replace(code, "=manually_rejected", "=failed", 1)
}

// plaidReadKey takes the key out of the answer, if the scheme can use it.
func plaidReadKey(answer []byte) (jwk string, expired bool, err error) {
	var a struct {
		Key jsontext.Value `json:"key"`
	}
	if err := decode(answer, &a); err != nil {
		return "", false, err
	}
	k, err := readJWK(a.Key)
	if err != nil {
		return "", false, errPlaidAnswer
	}
	return string(a.Key), k.expired, nil
}
