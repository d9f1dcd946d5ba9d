package provider

import (
	"net/http"
	"strings"
	"time"

	"countersign/kyc"
)

// socureAPI reads an evaluation of RiskOS, or a transaction of the older document verification,
// which has another base URL and another word before the key.
var socureAPI = API{ //nolint:gosec // its credentials are described, not held
	Doc:         "https://help.socure.com/riskos/docs/kyc-watchlist-screening-hosted-flow-handle-results",
	Live:        "https://riskos.socure.com",
	Sandbox:     "https://riskos.sandbox.socure.com",
	Credentials: "key: the API key; user: unused",
	Authorize: func(c *Call, k Credentials, now time.Time) error {
		if strings.HasPrefix(c.Path, socureDocuments) {
			return keyHeader("Authorization", "SocureApiKey ")(c, k, now)
		}
		return keyHeader("Authorization", "Bearer ")(c, k, now)
	},
	Next: socureNext,
	Read: socureRead,
}

const (
	socureEvaluations = "/api/evaluation/"
	socureDocuments   = "/api/3.0/documents/"
)

func socureNext(q Fetch, answers [][]byte, _ Options) (Call, bool, error) {
	if len(answers) > 0 {
		return Call{}, false, nil
	}
	id, err := segment("eval_id", q.Ref)
	c := Call{Method: http.MethodGet, Path: socureEvaluations + id}
	if q.What == socureTransaction {
		c.Path = socureDocuments + id
	}
	c.setHeader("Accept", "application/json")
	return c, err == nil, err
}

func socureRead(q Fetch, answers [][]byte, _ Options) (Result, error) {
	if len(answers) == 0 {
		return Result{}, unreadable("answer", "is missing")
	}
	if q.What == socureTransaction {
		return socureReadTransaction(q, answers[0])
	}
	var d socureData
	if err := decode(answers[0], &d); err != nil {
		return Result{}, err
	}
	var f fields
	r := Result{EventType: "evaluation_completed", Livemode: mode(d.Environment)}
	u := observe(socureName, socureVersion, r, f.time("decision_at", d.DecidedAt, time.Second, time.RFC3339))
	u.Subject = kyc.Subject{ID: f.id("customer_user_id", d.User), Kind: kyc.Individual}
	u.Verification.Ref = q.Ref
	if f.id("eval_id", d.EvalID) != q.Ref {
		f.fail("eval_id", "is not the one asked for")
	}
	if f.err != nil {
		return Result{}, f.err
	}
	switch {
	case d.Status == "evaluation_paused":
		socureDecides(&u, kyc.Pending)
		r.Unsettled = true
	case d.Decision == "":
		r.Ignored, r.Unsettled = noStatus, true
		return r, nil
	default:
		r.KeepBody = d.judge(&u)
	}
	r.Updates = d.beside([]kyc.Update{u})
	return r, nil
}

func socureReadTransaction(q Fetch, answer []byte) (Result, error) {
	var t struct {
		TransactionID ident `json:"docvTransactionId"`
		Decision      struct {
			Value string   `json:"value"`
			Codes []string `json:"reasonCodes"`
		} `json:"decision"`
	}
	if err := decode(answer, &t); err != nil {
		return Result{}, err
	}
	var f fields
	r := Result{EventType: "VERIFICATION_COMPLETED"}
	u := observe(socureName, socureVersion, r, time.Time{})
	u.Subject.Kind, u.Verification.Ref = kyc.Individual, q.Ref
	if f.id("docvTransactionId", t.TransactionID) != q.Ref {
		f.fail("docvTransactionId", "is not the one asked for")
	}
	if f.err != nil {
		return Result{}, f.err
	}
	if t.Decision.Value == "" {
		r.Ignored, r.Unsettled = noStatus, true
		return r, nil
	}
	r.KeepBody = socureJudge(&u, t.Decision.Value, t.Decision.Codes)
	r.Updates = []kyc.Update{u}
	return r, nil
}
