package provider

import (
	"strings"
	"testing"
)

// TestRefusedQuestions: a ref that would lead a call elsewhere, or that names nothing, is not
// asked; and no answer is not an answer.
func TestRefusedQuestions(t *testing.T) {
	f := func(a Adapter, what string, refs ...string) {
		t.Helper()
		for _, ref := range refs {
			if c, ok, err := a.API.Next(Fetch{Ref: ref, What: what}, nil, nil); ok || err == nil {
				t.Errorf("%s: %s %q is asked: %+v, %v", a.Name, what, ref, c, err)
			}
		}
		if r, err := a.API.Read(Fetch{Ref: "r", What: what}, nil, nil); err == nil || len(r.Updates) > 0 {
			t.Errorf("%s: %s: no answer reads %+v, %v", a.Name, what, r, err)
		}
		if r, err := a.API.Read(Fetch{Ref: "r", What: what}, [][]byte{[]byte(`{"job_complete":true,"message":"try later"}`)}, nil); err == nil {
			t.Errorf("%s: %s: an answer without a status reads %+v", a.Name, what, r)
		}
	}
	for _, what := range []string{onfidoCheckAsked, onfidoReportAsked, onfidoMonitorAsked, onfidoRunAsked} {
		f(onfido, what, "", ".", "..")
	}
	f(jumio, jumioAsked, "", "account", "account/", "/execution", "../execution", "account/..")
	f(shufti, shuftiAsked, "")
	f(smileID, smileAsked, "", "user", "user/", "/job")
	f(plaidIDV, plaidAttempt, "")
	f(plaidIDV, "applause", "r")

	for _, a := range []Adapter{onfido, plaidIDV} {
		if r, err := a.API.Read(Fetch{Ref: "r", What: "applause"}, [][]byte{[]byte(`{"id":"r","status":"success"}`)}, nil); err == nil {
			t.Errorf("%s: an answer to nothing reads %+v", a.Name, r)
		}
	}
	report := []byte(`{"id":"r","name":"document","status":"complete","check_id":".."}`)
	if _, ok, err := onfido.API.Next(Fetch{Ref: "r", What: onfidoReportAsked}, [][]byte{report}, nil); ok || err == nil {
		t.Errorf("the check .. is asked: %v", err)
	}
	for _, what := range []string{onfidoCheckAsked, onfidoMonitorAsked} { // half an answer, or one of another form
		for _, second := range []string{"", `{"reports":7,"matches":7}`} {
			answers := [][]byte{[]byte(`{"id":"r","status":"complete","result":"clear"}`), []byte(second)}
			if second == "" {
				answers = answers[:1]
			}
			if r, err := onfido.API.Read(Fetch{Ref: "r", What: what}, answers, nil); err == nil {
				t.Errorf("%s: half an answer reads %+v", what, r)
			}
		}
	}
}

// TestNamelessAnswers: a yes that does not say what it is about is not the answer.
func TestNamelessAnswers(t *testing.T) {
	f := func(a Adapter, q Fetch, name string, answers ...string) {
		t.Helper()
		for _, named := range []bool{true, false} {
			var texts [][]byte
			for _, text := range answers {
				if !named {
					text = strings.Replace(text, name, "", 1)
				}
				texts = append(texts, []byte(text))
			}
			if r, err := a.API.Read(q, texts, nil); (err == nil) != named {
				t.Errorf("%s: %s, named %v: %+v, %v", a.Name, q.What, named, r, err)
			}
		}
	}
	f(onfido, Fetch{Ref: "r", What: onfidoRunAsked}, `"id":"r",`, `{"id":"r","applicant_id":"a","status":"approved"}`)
	f(onfido, Fetch{Ref: "r", What: onfidoCheckAsked}, `"id":"r",`, `{"id":"r","applicant_id":"a","status":"complete","result":"clear"}`,
		`{"reports":[{"name":"document","status":"complete","result":"clear"}]}`)
	f(onfido, Fetch{Ref: "r", What: onfidoReportAsked}, `"id":"r",`, `{"id":"r","name":"document","status":"complete","result":"clear"}`)
	f(onfido, Fetch{Ref: "r", What: onfidoMonitorAsked}, `"id":"r",`, `{"id":"r","applicant_id":"a"}`, `{"matches":[]}`)
	workflow := `{"workflow":{"id":"x","status":"PROCESSED"},"account":{"id":"a"},"decision":{"type":"PASSED"}}`
	f(jumio, Fetch{Ref: "a/x", What: jumioAsked}, `"id":"x",`, workflow)
	f(jumio, Fetch{Ref: "a/x", What: jumioAsked}, `"id":"a"`, workflow)
	f(plaidIDV, Fetch{Ref: "r", What: plaidAttempt}, `"id":"r",`, `{"id":"r","status":"success"}`)
	f(rebilly, Fetch{Ref: "r", What: "kyc-request"}, `"id":"r",`, `{"id":"r","customerId":"c","status":"fulfilled"}`)
	job := `{"job_complete":true,"result":{"ResultCode":"1012","SmileJobID":"s","PartnerParams":{"user_id":"u","job_id":"j","job_type":5}}}`
	f(smileID, Fetch{Ref: "u/j", What: smileAsked}, `"user_id":"u",`, job)
	f(smileID, Fetch{Ref: "u/j", What: smileAsked}, `"job_id":"j",`, job)
	f(shufti, Fetch{Ref: "r", What: shuftiAsked}, `"reference":"r",`, `{"reference":"r","event":"verification.accepted"}`)
}
