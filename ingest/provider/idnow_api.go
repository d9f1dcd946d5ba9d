package provider

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
)

// idnowIdentification is what IDnow's API is asked for.
const idnowIdentification = "identification"

// idnowAPI reads one identification. The API key opens a session, whose token reads it.
var idnowAPI = API{
	Doc:         "https://docs-autoident.idnow.io",
	Live:        "https://gateway.idnow.de",
	Sandbox:     "https://gateway.test.idnow.de",
	Credentials: "key: the company's API key; user: unused",
	Authorize:   idnowAuthorize,
	Next:        idnowNext,
	Read: func(q Fetch, answers [][]byte, o Options) (Result, error) {
		if len(answers) == 0 {
			return Result{}, unreadable("answer", "is missing")
		}
		r, err := idnowRead(answers[len(answers)-1], o)
		if err != nil || r.Ignored != "" {
			return r, err
		}
		if u := r.Updates[0]; idnowRef(u.Verification.Workflow, u.Subject.ID) != q.Ref {
			return Result{}, unreadable("identificationprocess.transactionnumber", "is not the one asked for")
		}
		return r, nil
	},
}

// idnowRef names an identification for the API.
func idnowRef(company, transaction string) string { return company + "/" + transaction }

func idnowNext(q Fetch, answers [][]byte, _ Options) (Call, bool, error) {
	if len(answers) > 1 {
		return Call{}, false, nil
	}
	name, transaction, _ := strings.Cut(q.Ref, "/")
	company, err := segment("companyid", name)
	if err != nil {
		return Call{}, false, err
	}
	base := "/api/v1/" + company
	if len(answers) == 0 {
		return Call{Method: http.MethodPost, Path: base + "/login"}, true, nil
	}
	number, err := segment("transactionnumber", transaction)
	var session struct {
		Token string `json:"authToken"`
	}
	err = errors.Join(decode(answers[0], &session), err)
	if session.Token == "" || strings.ContainsFunc(session.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		err = errors.Join(err, unreadable("authToken", "is missing or no word"))
	}
	c := Call{Method: http.MethodGet, Path: base + "/identifications/" + number, Header: map[string]string{"X-API-LOGIN-TOKEN": session.Token}}
	return c, err == nil, err
}

// idnowAuthorize puts the key where it belongs, which is the body of the first call.
func idnowAuthorize(c *Call, k Credentials, _ time.Time) error {
	if c.Method != http.MethodPost {
		return nil // the session's token is in it
	}
	var err error
	return errors.Join(k.lend(func(secret string) {
		c.Body, err = json.Marshal(map[string]string{"apiKey": secret})
	}), err)
}
