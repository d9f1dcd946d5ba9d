package provider

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
)

// TestCommonSamples: a common name means the same whoever the provider is, and where a provider has
// no sample of that name, none of its samples says that.
func TestCommonSamples(t *testing.T) {
	v := SampleVars{Subject: "user-7", At: time.Date(2026, 5, 1, 12, 30, 15, 0, time.UTC)}
	translated := func(a Adapter, name string) Result {
		t.Helper()
		body, err := Sample(a.Name, name, v)
		if err != nil {
			t.Fatalf("%s %s: %v", a.Name, name, err)
		}
		r, err := a.Translate(http.Header{}, body, nil)
		if err != nil {
			t.Fatalf("%s %s: %v", a.Name, name, err)
		}
		return r
	}
	have := 0
	for _, a := range All {
		common := CommonSamples(a.Name)
		for _, name := range CommonNames {
			if _, ok := common[name]; ok {
				have++
				if r := translated(a, name); !says(r, name) {
					t.Errorf("%s: %s (%s) does not say that: %s", a.Name, name, common[name], asJSON(t, r.Updates))
				}
				continue
			}
			if _, err := Sample(a.Name, name, v); err == nil || !strings.Contains(err.Error(), "no callback that says "+name+": there are ") {
				t.Errorf("%s %s: %v", a.Name, name, err)
			}
			for _, event := range SampleEvents(a.Name) {
				if says(translated(a, event), name) {
					t.Errorf("%s has a sample that says %s: %s", a.Name, name, event)
				}
			}
		}
	}
	for adapter, names := range commonSamples {
		for name, event := range names {
			if slices.Contains(SampleEvents(adapter), name) || !slices.Contains(SampleEvents(adapter), event) || !slices.Contains(CommonNames, name) {
				t.Errorf("%s: %s is %s", adapter, name, event)
			}
		}
	}
	if have < 90 {
		t.Errorf("%d common samples of %d providers", have, len(All))
	}
}

// says reports whether a callback says what a common name means.
func says(r Result, name string) bool {
	if name != "hit" {
		return len(r.Updates) > 0 && r.Updates[0].Scope == kyc.Overall && string(r.Updates[0].Status) == name && !r.Updates[0].Expiring
	}
	return slices.ContainsFunc(r.Updates, func(u kyc.Update) bool {
		listed := slices.ContainsFunc(u.Reasons, func(p kyc.ReasonPair) bool {
			return slices.Contains([]kyc.Reason{kyc.SanctionsMatch, kyc.PEPMatch, kyc.AdverseMediaMatch}, p.Code)
		})
		return listed || u.Check == kyc.Screening && (u.Status == kyc.InReview || u.Status == kyc.Rejected)
	})
}
