package provider

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/signing"
)

// TestSamples holds the samples to testdata/<adapter>/samples.json: what each must become. The fold
// and the simulator rely on these words.
func TestSamples(t *testing.T) {
	v := SampleVars{
		Subject: `user "7" \ å`, ProviderRef: "prv-7", SessionRef: "ses-7", EventID: "ev-7", Revision: 4,
		At: time.Date(2026, 5, 1, 12, 30, 15, 0, time.UTC),
	}
	for _, a := range All {
		var want map[string]string
		readJSON(t, a, "samples.json", &want)
		if events := SampleEvents(a.Name); !slices.Equal(events, slices.Sorted(maps.Keys(want))) || len(events) == 0 {
			t.Errorf("%s has samples %v, want %v", a.Name, events, want)
		}
		bodies := map[string]bool{}
		for event, becomes := range want {
			body, err := Sample(a.Name, event, v)
			if err != nil {
				t.Errorf("%s/%s: %v", a.Name, event, err)
				continue
			}
			if strings.Contains(string(body), "{{") || strings.HasSuffix(string(body), "\n") {
				t.Errorf("%s/%s is not filled in: %s", a.Name, event, body)
			}
			r, err := a.Translate(http.Header{}, body, nil)
			if err != nil {
				t.Errorf("%s/%s: %v", a.Name, event, err)
				continue
			}
			sound(t, a, r, nil)
			checkSample(t, a, event, becomes, v, body, r)
			bodies[string(body)] = true
			if again, err := Sample(a.Name, event, SampleVars{Subject: "user-8", At: v.At}); err != nil || bodies[string(again)] {
				t.Errorf("%s/%s: another person has the same body", a.Name, event)
			}
		}
	}
}

// checkSample looks for everything that the sample was filled with in what it becomes.
func checkSample(t *testing.T, a Adapter, event, becomes string, v SampleVars, body []byte, r Result) {
	t.Helper()
	text, err := sampleFiles.ReadFile("testdata/" + a.Name + "/samples/" + event + ".json")
	if err != nil {
		t.Fatal(err)
	}
	has := func(word string) bool { return strings.Contains(string(text), "{{"+word) }
	if len(r.Updates) == 0 {
		if becomes != r.Disposition() {
			t.Errorf("%s/%s: %s becomes %s, want %s", a.Name, event, body, r.Disposition(), becomes)
		}
		return
	}
	u := r.Updates[0]
	refs := []string{u.Subject.ID, u.Subject.ProviderRef, u.Verification.Ref, u.Verification.ParentRef, u.Verification.AttemptRef, u.Document.ID}
	f := func(ok bool, what string) {
		t.Helper()
		if !ok {
			t.Errorf("%s/%s: %s: %s becomes %s", a.Name, event, what, body, asJSON(t, u))
		}
	}
	f(string(u.Status) == becomes, "want "+becomes)
	f(!has("subject}}") || slices.Contains(refs, v.Subject), "subject")
	f(!has("ref}}") || slices.Contains(refs, v.ProviderRef), "provider's ref")
	f(!has("session}}") || slices.Contains(refs, v.SessionRef) || a.Name == blendfiName, "session") // blendfi's is one person's, for ever
	f(!has("event}}") || u.ProviderEvent.ID == v.EventID, "event id")
	f(!has("revision}}") || u.ProviderEvent.Revision == int64(v.Revision), "revision")
	f(u.OccurredAt.IsZero() || u.OccurredAt.Equal(v.At), "time")
	f(!u.OccurredAt.IsZero() || !has("at"), "no time")
	f(u.Expiring == strings.HasSuffix(event, "notice"), "notice")
	f(u.Terminal || event != "rejected_final", "not terminal")
	s, first := scheme(t, a, nil), variants(t, a)[0] // as the simulator sends it
	if signing.Keyless(s) {
		return
	}
	m, ok := sign(t, s, body, v.At, ring(t, first.Key))
	if err := s.Verify(m.h, m.body, ring(t, first.Key), v.At); err != nil || !ok {
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
