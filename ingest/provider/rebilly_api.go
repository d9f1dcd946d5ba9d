package provider

import (
	"net/http"
	"time"

	"countersign/kyc"
)

// rebillyAsked is what Rebilly's API is asked for, about each kind of object; the words are those
// of its paths.
var rebillyAsked = map[rebillyAbout]string{rebillyDocument: "kyc-document", rebillyRequest: "kyc-request"}

// rebillyAPI reads one document or one request. Each organization has a base URL of its own, in
// test and in live mode.
var rebillyAPI = API{ //nolint:gosec // its credentials are described, not held
	Doc:         "https://github.com/Rebilly/api-definitions/tree/main/openapi/paths",
	Credentials: "key: the organization's API key; user: unused; the base URL is the organization's too: https://api.rebilly.com/organizations/ID",
	Authorize:   keyHeader("REB-APIKEY", ""),
	Next: func(q Fetch, answers [][]byte, _ Options) (Call, bool, error) {
		if len(answers) > 0 {
			return Call{}, false, nil
		}
		id, err := segment("id", q.Ref)
		return Call{Method: http.MethodGet, Path: "/" + q.What + "s/" + id}, err == nil, err
	},
	Read: rebillyRead,
}

// rebillyRequests are what the status words of a request mean. For the last two no callback exists.
var rebillyRequests = map[string]kyc.Status{
	"gathering":      kyc.Pending,
	"attempted":      kyc.Pending,
	"partial":        kyc.Pending,
	"pending-review": kyc.InReview,
	"fulfilled":      kyc.Approved,
	"failed":         kyc.Rejected,
	"abandoned":      kyc.Expired,
	"expired":        kyc.Expired,
}

// rebillyRead reads the object itself, which a callback embeds.
func rebillyRead(q Fetch, answers [][]byte, o Options) (Result, error) {
	if len(answers) == 0 {
		return Result{}, unreadable("answer", "is missing")
	}
	var a struct {
		rebillyObject
		Embedded struct {
			Customer struct {
				ID           ident  `json:"id"`
				CustomFields object `json:"customFields"`
			} `json:"customer"`
		} `json:"_embedded"`
	}
	if err := decode(answers[0], &a); err != nil {
		return Result{}, err
	}
	e, b := rebillyEvent{about: rebillyDocument, byStatus: true}, rebillyBody{EventType: q.What}
	b.Embedded.Customer = a.Embedded.Customer
	if q.What == rebillyAsked[rebillyRequest] {
		e = rebillyEvent{about: rebillyRequest, status: rebillyRequests[a.Status]}
		b.Embedded.Request, b.RequestID = a.rebillyObject, ident(q.Ref)
	} else {
		b.Embedded.Document, b.DocumentID = a.rebillyObject, ident(q.Ref)
	}
	r := Result{EventType: q.What, Dedupe: b.dedupe(e)}
	if a.Status == "" || a.Status == "archived" {
		r.Ignored, r.Unsettled = noStatus, a.Status == ""
		return r, nil
	}
	var f fields
	u := observe(rebillyName, rebillyVersion, r, a.occurred(e, &f))
	u.ProviderEvent.Revision = f.count("revision", a.Revision)
	b.who(e, answers[0], o, &u, &f)
	f.asked("id", q.Ref, a.ID)
	if f.err != nil {
		return Result{}, f.err
	}
	r.KeepBody = a.what(e, &u)
	if u.Status == kyc.Expired {
		u.ExpiryKind = kyc.ExpiryAttempt
	}
	if err := a.deadline(e, &u); err != nil {
		return Result{}, err
	}
	r.Unsettled = !r.KeepBody && (u.Status == kyc.Pending || u.Status == kyc.InReview)
	r.Updates = append([]kyc.Update{u}, a.instantly(u)...)
	return r, nil
}

// deadline is when an open request lapses: no callback will say so.
func (d *rebillyObject) deadline(e rebillyEvent, u *kyc.Update) error {
	if e.about != rebillyRequest {
		return nil
	}
	var f fields
	if at := f.time("expirationTime", d.Deadline, time.Second, time.RFC3339); u.Status == kyc.Pending {
		u.ExpiresAt = at
	}
	return f.err
}
