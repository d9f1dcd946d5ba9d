package provider

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

// sampled is what each sample must become. The fold and the simulator rely on these words.
var sampled = map[string]map[string]kyc.Status{
	"sumsub": {
		"created": kyc.NotStarted, "pending": kyc.Pending, "on_hold": kyc.InReview, "approved": kyc.Approved, "company_approved": kyc.Approved,
		"rejected_retry": kyc.Rejected, "rejected_final": kyc.Rejected, "rejected_sanctions": kyc.Rejected, "reset": kyc.NotStarted,
		"deactivated": kyc.Suspended,
	},
	"persona": {
		"created": kyc.NotStarted, "pending": kyc.Pending, "completed": kyc.Pending, "approved": kyc.Approved, "marked_for_review": kyc.InReview,
		"declined": kyc.Rejected, "failed": kyc.Rejected, "expired": kyc.Expired,
	},
	"rebilly": {
		"document_created": kyc.Pending, "document_accepted": kyc.Approved, "document_rejected": kyc.Rejected,
		"request_attempted": kyc.Pending, "request_fulfilled": kyc.Approved, "request_failed": kyc.Rejected,
	},
	"blendfi": {
		"approved": kyc.Approved, "rejected": kyc.Rejected, "rejected_final": kyc.Rejected, "expired_notice": kyc.Approved, "expired": kyc.Expired,
		"v1_pending": kyc.Pending, "v1_approved": kyc.Approved, "v1_rejected": kyc.Rejected, "v1_expired_notice": kyc.Approved, "v1_expired": kyc.Expired,
	},
}

func TestSamples(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 30, 15, 0, time.UTC)
	v := SampleVars{Subject: `user "7" \ å`, ProviderRef: "prv-7", SessionRef: "ses-7", EventID: "ev-7", At: at, Revision: 4}
	for _, a := range All {
		events := SampleEvents(a.Name)
		if len(events) != len(sampled[a.Name]) || !slices.IsSorted(events) {
			t.Errorf("%s has samples %v, want %d sorted", a.Name, events, len(sampled[a.Name]))
		}
		bodies := map[string]bool{}
		for _, event := range events {
			body, err := Sample(a.Name, event, v)
			if err != nil {
				t.Errorf("%s/%s: %v", a.Name, event, err)
				continue
			}
			if strings.Contains(string(body), "{{") || strings.HasSuffix(string(body), "\n") {
				t.Errorf("%s/%s is not filled in: %s", a.Name, event, body)
			}
			r, err := a.Translate(http.Header{}, body, nil)
			if err != nil || len(r.Updates) != 1 {
				t.Errorf("%s/%s: %+v, %v", a.Name, event, r, err)
				continue
			}
			sound(t, a, body, r, nil)
			checkSample(t, a, event, v, body, r.Updates[0])
			bodies[string(body)] = true
			other := v
			other.Subject = "user-8"
			if again, err := Sample(a.Name, event, other); err != nil || bodies[string(again)] {
				t.Errorf("%s/%s: another person has the same body", a.Name, event)
			}
		}
	}
}

func checkSample(t *testing.T, a Adapter, event string, v SampleVars, body []byte, u kyc.Update) {
	t.Helper()
	at := v.At
	if event == "expired_notice" { // the old form of it has no time
		at = time.Time{}
	}
	session := u.Verification.ParentRef
	if session == "" {
		session = u.Verification.Ref
	}
	if a.Name == "blendfi" { // has none
		session = v.SessionRef
	}
	if u.Status != sampled[a.Name][event] || u.Subject.ID != v.Subject || u.Subject.ProviderRef != v.ProviderRef || session != v.SessionRef ||
		!u.OccurredAt.Equal(at) || u.Expiring != strings.HasSuffix(event, "notice") {
		t.Errorf("%s/%s: %s becomes %s", a.Name, event, body, asJSON(t, u))
	}
	if id := u.ProviderEvent.ID; strings.Contains(string(body), v.EventID) && id != v.EventID {
		t.Errorf("%s/%s: event id %q", a.Name, event, id)
	}
	if a.Name == "rebilly" && u.ProviderEvent.Revision != int64(v.Revision) {
		t.Errorf("%s/%s: revision %d", a.Name, event, u.ProviderEvent.Revision)
	}
	if event == "rejected_final" && !u.Terminal {
		t.Errorf("%s/%s is not terminal", a.Name, event)
	}
	s, h := scheme(t, a, nil), http.Header{} // as the simulator sends it
	if err := s.Sign(h, signing.Message{Time: v.At, Body: body}, ring(t, "user:key")); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(h, body, ring(t, "user:key"), v.At); err != nil {
		t.Errorf("%s/%s: verify: %v", a.Name, event, err)
	}
}

func TestSampleDefaults(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 30, 15, 678e6, time.UTC)
	ids := map[string]bool{}
	for _, v := range []SampleVars{{Subject: "a", At: at}, {Subject: "b", At: at}, {Subject: "a", At: at.Add(time.Millisecond)}} {
		body, err := Sample("sumsub", "approved", v)
		if err != nil {
			t.Fatal(err)
		}
		r, err := sumsub.Translate(http.Header{}, body, nil)
		if err != nil || len(r.Updates) != 1 {
			t.Fatalf("%s: %v", body, err)
		}
		u := r.Updates[0]
		if u.Subject.ProviderRef == "" || u.Verification.Ref == "" || !u.OccurredAt.Equal(v.At) {
			t.Errorf("%s", asJSON(t, u))
		}
		ids[strings.Join(r.Dedupe, "|")] = true
	}
	if len(ids) != 3 {
		t.Errorf("three events have %d dedupe keys", len(ids))
	}
}

func TestSampleErrors(t *testing.T) {
	v := SampleVars{Subject: "a", At: time.Unix(1, 0)}
	f := func(adapter, event string, v SampleVars, want string) {
		t.Helper()
		if _, err := Sample(adapter, event, v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Sample(%q, %q): %v, want %q", adapter, event, err, want)
		}
	}
	f("nobody", "approved", v, "no samples")
	f("sumsub", "applauded", v, "there are approved, ")
	f("sumsub", "../persona/approved", v, "no sample")
	f("sumsub", "approved", SampleVars{Subject: "a"}, "a subject and a time")
	f("sumsub", "approved", SampleVars{At: time.Unix(1, 0)}, "a subject and a time")
}
