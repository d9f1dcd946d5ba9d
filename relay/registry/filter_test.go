package registry

import (
	"errors"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
)

func TestFilter(t *testing.T) {
	c := kyc.Change{
		ID: "evt_1", Type: "kyc.status.rejected", Sequence: 3, Partner: "acme", Livemode: true, Subject: kyc.Subject{ID: "ann", Kind: kyc.Individual}, Status: kyc.Rejected,
		PreviousStatus: kyc.Approved, Check: kyc.CheckView{Type: kyc.IdentityVerification, Source: "sumsub-eu"}, OccurredAt: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC),
		Reasons: []kyc.ReasonPair{{Code: "sanctions_match", ProviderCode: "X1"}, {Code: "other"}},
	}
	f := func(text string, want bool) {
		t.Helper()
		filter, err := NewFilter(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			return
		}
		if got, err := filter.Match(&c); got != want || err != nil {
			t.Errorf("%s: %v, %v", text, got, err)
		}
		if filter.String() != text {
			t.Errorf("%q shows as %q", text, filter)
		}
	}
	f("", true)
	f(`change.status == "rejected" || change.check.source startsWith "sumsub"`, true)
	f(`change.status == "approved"`, false)
	f(`change.type matches "^kyc[.]status" and change.sequence >= 3 and not change.terminal`, true)
	f(`change.status in ["approved", "rejected"]`, true)
	f(`any(change.reasons, .code == "sanctions_match")`, true)
	f(`all(change.reasons, {#.provider_code != ""})`, false)
	f(`len(change.reasons) > 2 ? true : change.livemode`, true)
	f(`change.expires_at == "" && change.occurred_at >= "2026-01-01T00:00:00Z"`, true)
	f(`upper(change.subject.id) == "ANN"`, true)
}

// TestFilterRefused: what could run long, or is no condition on a change, is refused where it is
// written, and says where.
func TestFilterRefused(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := NewFilter(text)
		var m *ValueError
		if !errors.As(err, &m) || m.Field != "filter" || m.Remedy == "" || !strings.Contains(m.What, want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	f(`change.status == `, "line 1, column")
	f("change.status ==\n 3", "line 1, column 15")
	f(`change.statos == "x"`, "column 8")
	f(`change.status`, "bool")
	f(`true + 1`, "operator +")
	f(`any(1..1000000, # == 3)`, "operator ..")
	f(`let a = change; a.terminal`, "assignments")
	f(`any(change.reasons, any(change.reasons, true))`, "a loop inside another")
	f(`now() == now()`, "function now")
	f(`repeat("x", 1000000000) == ""`, "function repeat")
	f(`change.subject.id matches change.partner`, "not written out")
	f(`"x" matches "("`, "column")
	f(`{"a": 1}.a == 1`, "maps")
	f(`change.reasons[0:1] == []`, "slices")
	f(`any(map(change.reasons, #), true)`, "function map")
	f(strings.Repeat("!", 2000)+"true", "longer than")
	f(strings.Repeat("!", 300)+"true", "more than 200 parts")
	f(strings.Repeat("(", 900), "column")
}

// TestFilterFails: one that fails while it runs says so, and that the change is owed.
func TestFilterFails(t *testing.T) {
	filter, err := NewFilter(`change.reasons[5].code == "other"`)
	if err != nil {
		t.Fatal(err)
	}
	if yes, err := filter.Match(&kyc.Change{}); !yes || err == nil || !strings.Contains(err.Error(), "the filter failed") {
		t.Errorf("Match = %v, %v", yes, err)
	}
	if yes, err := (&Filter{text: "gone"}).Match(&kyc.Change{}); !yes || err == nil {
		t.Errorf("Match = %v, %v", yes, err)
	}
}

func BenchmarkFilter(b *testing.B) {
	filter, err := NewFilter(`change.status == "rejected" || change.check.source startsWith "sumsub"`)
	if err != nil {
		b.Fatal(err)
	}
	c := &kyc.Change{Status: kyc.Approved}
	for b.Loop() {
		_, _ = filter.Match(c)
	}
}
