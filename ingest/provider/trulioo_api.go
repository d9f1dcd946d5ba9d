package provider

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"countersign/kyc"
)

// What Trulioo's API is asked for, and how.
const (
	truliooTransaction = "transaction"
	truliooAuthorize   = "/authorize/customer"
)

// truliooAPI reads one transaction of document verification. A licence key opens a session, whose
// token reads the transaction.
var truliooAPI = API{
	Doc:         "https://developer.trulioo.com/reference/demo-license",
	Live:        "https://verification.trulioo.com",
	Credentials: "key: the licence key of document verification; user: unused",
	Authorize: func(c *Call, k Credentials, now time.Time) error {
		if c.Path != truliooAuthorize {
			return nil // the session's token is in it
		}
		return keyHeader("Authorization", "Bearer ")(c, k, now)
	},
	Next: truliooNext,
	Read: truliooRead,
}

func truliooNext(q Fetch, answers [][]byte, _ Options) (Call, bool, error) {
	c := Call{Method: http.MethodPost, Path: truliooAuthorize, Header: map[string]string{"Accept-Version": "2.5"}}
	switch len(answers) {
	case 0:
		c.Body = []byte(`{"consent":false}`) // we ask, and nobody has consented to anything new
		return c, true, nil
	case 1:
		var session struct {
			Token string `json:"accessToken"`
		}
		if err := decode(answers[0], &session); err != nil {
			return Call{}, false, err
		}
		ref, err := segment("transactionId", q.Ref)
		if session.Token == "" || strings.ContainsFunc(session.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			err = unreadable("accessToken", "is missing or no word")
		}
		c.Method, c.Path = http.MethodGet, "/customer/transactions/"+ref
		c.setHeader("Authorization", "Bearer "+session.Token)
		return c, err == nil, err
	default:
		return Call{}, false, nil
	}
}

// segment makes an id one part of a path. What a path would take for a step up or down is no id.
func segment(field, id string) (string, error) {
	if id == "" || strings.Trim(id, ".") == "" {
		return "", unreadable(field, "cannot stand in a path")
	}
	return url.PathEscape(id), nil
}

// asked reads the id that an answer must name: one that names none, or another, is no answer to the
// question.
func (f *fields) asked(field, ref string, named ident) string {
	id := f.same(field, ident(ref), named)
	if f.id(field, named) == "" {
		f.fail(field, "is missing")
	}
	return id
}

// truliooAnswer is a transaction. What it says of the person and the document is never read.
type truliooAnswer struct {
	TransactionID ident  `json:"transactionId"`
	ClientID      ident  `json:"clientId"`
	Status        string `json:"status"`
	Indicators    []struct {
		Type    string `json:"type"`
		Result  string `json:"result"`
		Reasons []struct {
			Result string `json:"result"`
			Code   string `json:"code"`
		} `json:"subindicators"`
	} `json:"indicators"`
}

func truliooRead(q Fetch, answers [][]byte, _ Options) (Result, error) {
	if len(answers) == 0 {
		return Result{}, unreadable("transaction", "is missing")
	}
	var a truliooAnswer
	if err := decode(answers[len(answers)-1], &a); err != nil {
		return Result{}, err
	}
	var f fields
	r := Result{EventType: "decision"}
	// timeOfTransaction stays the same while a review goes on, so that it could not tell the
	// decision from what went before.
	u := observe(truliooName, truliooVersion, r, time.Time{})
	u.Subject = kyc.Subject{ID: f.id("clientId", a.ClientID), Kind: kyc.Individual}
	if u.Verification.Ref = f.id("transactionId", a.TransactionID); u.Verification.Ref != q.Ref {
		f.fail("transactionId", "is not the one asked for")
	}
	if f.err != nil {
		return Result{}, f.err
	}
	if a.Status == "" {
		r.Ignored, r.Unsettled = noStatus, true
		return r, nil
	}
	u.Scope, u.Check = kyc.Overall, kyc.IdentityVerification
	r.Unsettled = a.Status == "NO_RESULT" || a.Status == "PENDING_RESULT"
	r.KeepBody = a.judge(&u, a.Status)
	if worst := a.result(); u.Status == kyc.Approved && worst != "" && worst != "ACCEPTED" {
		u.Status, r.KeepBody = kyc.InReview, true
	}
	r.Updates = append(r.Updates, u)
	for _, step := range []struct {
		check kyc.Check
		types []string
	}{
		{kyc.DocumentVerification, []string{"DOCUMENT"}},
		{kyc.Liveness, []string{"FACE_MATCH", "LIVENESS"}},
	} {
		if result := a.result(step.types...); result != "" {
			u.Scope, u.Check = kyc.CheckScope, step.check
			r.KeepBody = a.judge(&u, result, step.types...) || r.KeepBody
			r.Updates = append(r.Updates, u)
		}
	}
	return r, nil
}

// judge fills in the status that a word says, with the codes of these indicators, and reports a
// word that is unknown: that is in review.
func (a *truliooAnswer) judge(u *kyc.Update, result string, types ...string) (doubtful bool) {
	u.Reasons, u.Retryable, u.Terminal = nil, false, false
	codes := a.codes(types)
	switch result {
	case "ACCEPTED":
		u.Status = kyc.Approved
	case "DECLINED":
		payload, pairs := undecided, truliooReasons.pairs(codes)
		if grave(pairs) { // whatever a lighter code beside it would allow
			payload = terminal
		}
		reject(u, pairs, payload, truliooReasons.hint(codes), retryable)
	case "REVIEW":
		u.Status, u.Reasons = kyc.InReview, truliooReasons.pairs(codes)
	case "ERROR":
		u.Status, u.Reasons = kyc.InReview, ranked(append(truliooReasons.pairs(codes), kyc.ReasonPair{Code: kyc.TechnicalFailure, ProviderCode: "ERROR"}))
	case "NO_RESULT", "PENDING_RESULT":
		u.Status = kyc.Pending
	default:
		u.Status = kyc.InReview
		return true
	}
	return false
}

// result is the gravest result of these indicators, or of all; "" if none has one.
func (a *truliooAnswer) result(types ...string) (gravest string) {
	grades := []string{"", "NO_RESULT", "PENDING_RESULT", "ACCEPTED", "REVIEW", "ERROR", "", "DECLINED"}
	grade := func(result string) int {
		if i := slices.Index(grades, result); i >= 0 {
			return i
		}
		return len(grades) - 2 // an unknown word
	}
	for _, i := range a.Indicators {
		if (len(types) == 0 || slices.Contains(types, i.Type)) && grade(i.Result) > grade(gravest) {
			gravest = i.Result
		}
	}
	if gravest == "NO_RESULT" {
		return ""
	}
	return gravest
}

// codes are those of the findings that speak against the person, of these indicators, or of all.
func (a *truliooAnswer) codes(types []string) (codes []string) {
	for _, i := range a.Indicators {
		for _, r := range i.Reasons {
			if (len(types) == 0 || slices.Contains(types, i.Type)) && r.Code != "" && r.Code != "NONE" && r.Result != "ACCEPTED" && r.Result != "NO_RESULT" {
				codes = append(codes, r.Code)
			}
		}
	}
	return codes
}

// truliooReasons are the codes of what was looked at, without those of a success, and the kinds of
// lists.
var truliooReasons = newReasons(
	means(kyc.SanctionsMatch, terminal,
		"watchlist.wl",
	),
	means(kyc.PEPMatch, terminal,
		"watchlist.pep",
	),
	means(kyc.AdverseMediaMatch, terminal,
		"watchlist.am",
	),
	means(kyc.FraudSuspected, terminal,
		"DOCUMENT_TAMPERING",
	),
	means(kyc.FraudSuspected, undecided,
		"SUSPICIOUS",
	),
	means(kyc.UnsupportedCountry, terminal,
		"INVALID_CONFIG_COUNTRY",
	),
	means(kyc.LivenessFailed, retryable,
		"DECLINED_FACE_MATCH", "LIVENESS_FAIL",
	),
	means(kyc.DataMismatch, retryable,
		"DATA_XCHECK_REFERENCE", "DATA_XCHECK_REFERENCE_ADDRESS", "DATA_XCHECK_REFERENCE_DOB", "DATA_XCHECK_REFERENCE_EXPIRY", "DIFFERENT_DOCUMENTS",
		"INPUT_MATCH_FAILED",
	),
	means(kyc.NameMismatch, retryable,
		"DATA_XCHECK_REFERENCE_GIVEN_NAME", "DATA_XCHECK_REFERENCE_NAME", "DATA_XCHECK_REFERENCE_SURNAME",
	),
	means(kyc.DocumentExpired, retryable,
		"EXPIRED",
	),
	means(kyc.DocumentTypeNotAccepted, retryable,
		"INVALID_CONFIG_DOCTYPE", "INVALID_CONFIG_JURISDICTION", "ISSUE_DATE_OVER_10Y", "PRINTOUT_USED", "SCREEN_USED", "TOO_MANY_DOCUMENTS",
		"UNKNOWN_DOCUMENT_TYPE", "UNSUPPORTED_DOCUMENT",
	),
	means(kyc.DocumentMissing, retryable,
		"DOCUMENT_NOT_FOUND", "PHOTOS_MISSING",
	),
	means(kyc.DocumentUnreadable, retryable,
		"DAMAGED", "DOCUMENT_CROPPED", "DOCUMENT_PHOTO_NOT_FOUND", "INVALID_BARCODE", "INVALID_CHARACTERS", "INVALID_MRZ", "JURISDICTION_NOT_FOUND",
		"MISSING_FIELD", "OCR_MISSING", "POOR_IMAGE_QUALITY",
	),
	means(kyc.TechnicalFailure, retryable,
		"CUSTOMER_INPUT_MISSING", "ERROR_DOCUMENT", "ERROR_DOCUMENT_LIVENESS", "ERROR_FACE_MATCH", "MISSING_CODE_MAPPING",
	),
)
