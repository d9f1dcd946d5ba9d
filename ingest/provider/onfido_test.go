package provider

import "testing"

// TestRefusedQuestions: a ref that would lead a call elsewhere, or that names nothing, is not asked; and no answer is not an answer.
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
