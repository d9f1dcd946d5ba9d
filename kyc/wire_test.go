package kyc

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// The spelling of an update and of a change is a contract (docs/EVENTS.md): every field, in this
// order, and what is absent when empty.
func TestWire(t *testing.T) {
	when, until := time.Date(2026, 3, 19, 9, 20, 0, 1e6, time.UTC), time.Date(2027, 3, 19, 9, 20, 0, 1e6, time.UTC)
	u := Update{
		SchemaVersion: 1, ID: "01JPN3ABCDEFGHJKMNPQRSTVWX", Kind: Observation, Source: "sumsub-eu", Provider: "sumsub",
		ProviderEvent: ProviderEvent{ID: "req-63f9", Type: "applicantReviewed", Revision: 3}, Partner: "acme",
		Subject: Subject{ID: "user-001", ProviderRef: "65f2a9c4", Kind: Individual}, Verification: Verification{Ref: "65f2b000", Workflow: "basic-kyc-level"},
		Scope: Overall, Check: IdentityVerification, Document: Document{ID: "d1", Type: "identity-proof", Subtype: "passport"},
		Status: Rejected, Reasons: []ReasonPair{{DocumentUnreadable, "LOW_QUALITY"}}, Retryable: true, Authenticity: Signed,
		OccurredAt: when, OccurredAtOrigin: OriginProvider, ReceivedAt: when.Add(1199 * time.Millisecond), BodySHA256: "9f86", AdapterVersion: 1, Traceparent: "00-1",
	}
	f := func(name string, v any) {
		t.Helper()
		got, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, string(got))
		want, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		back := reflect.New(reflect.TypeOf(v))
		d := json.NewDecoder(bytes.NewReader(want))
		d.DisallowUnknownFields()
		if err := d.Decode(back.Interface()); err != nil || !reflect.DeepEqual(back.Elem().Interface(), v) {
			t.Errorf("%s read back: %+v, %v", name, back.Elem(), err)
		}
	}
	f("update.json", u)
	f("update-least.json", Update{SchemaVersion: 1, Kind: Observation})
	u.Kind, u.Verification.ParentRef, u.Verification.AttemptRef = Decision, "p", "a"
	u.Status, u.ExpiryKind, u.ClaimedStatus, u.Terminal, u.NeedsConfirmation, u.Expiring, u.Livemode, u.ExpiresAt = Expired, ExpiryValidity, Approved, true, true, true, true, until
	u.Release, u.Actor, u.Note, u.Endpoint, u.ChangeID, u.Force, u.AskedAt = true, "ops", "seen", "acme-main", "evt_1", true, when
	u.PolicyVersion, u.UnroutedID, u.TakenBack, u.Rebuild, u.Callback = 3, "unrouted_1", "01JPN3ABCDEFGHJKMNPQRSTVWX", "history", Callback{"01JPN3ABCDEFGHJKMNPQRSTVWX", 1, 2}
	f("update-most.json", u)
	f("change.json", Change{
		ID: "evt_01JPN3ABCDEFGHJKMNPQRSTVWX", Type: "kyc.status.approved", Sequence: 7, Partner: "acme", Subject: Subject{ID: "user-001", Kind: Individual},
		Status: Approved, PreviousStatus: InReview, Check: CheckView{IdentityVerification, "clear", "sumsub-eu", "sumsub", "65f2a9c4"},
		ApprovedAt: when, ExpiresAt: until, OccurredAt: when, ReceivedAt: when, CauseID: "01JPN3", Traceparent: "00-1",
	})
	f("change-least.json", Change{})
	f("change-claim.json", Change{
		ID: "evt_01JPN3ABCDEFGHJKMNPQRSTVWX", Type: "kyc.status.in_review", Sequence: 8, Partner: "acme", Subject: Subject{ID: "user-001", Kind: Individual},
		Status: InReview, PreviousStatus: Approved, Check: CheckView{IdentityVerification, "review_required", "rebilly", "rebilly", "r1"}, Reasons: []ReasonPair{{FraudSuspected, "x"}},
		NeedsConfirmation: true, ClaimedStatus: Rejected, DecidedBy: "01JPN3", OccurredAt: when, ReceivedAt: when, CauseID: "01JPN3",
	})
	f("policy.json", Policy{Version: 2, Required: []Check{IdentityVerification}, RequiredCompany: []Check{BusinessVerification}, ValidityMonths: 12, Validity: map[Check]int{Screening: 6}, NoticeDays: 7})
	f("view.json", View{Status: Approved, ApprovedAt: when, ExpiresAt: until, Sequence: 7})
	f("check.json", CheckState{
		Source: "sumsub-eu", Provider: "sumsub", ProviderRef: "65f2a9c4", Type: IdentityVerification, Scope: Overall, DocumentType: "x", Status: Rejected,
		Reasons: []ReasonPair{{PEPMatch, "pep"}}, Terminal: true, OccurredAt: when, HeldBy: []string{"01JPN3"},
	})
}

// An open policy never travels: written out, it requires what a silent one does.
func TestOpenPolicyStaysHome(t *testing.T) {
	b, err := json.Marshal(Policy{Open: true})
	if err != nil || string(b) != `{"version":0}` {
		t.Errorf("%s, %v", b, err)
	}
	var p Policy
	if err := json.Unmarshal([]byte(`{"Open":true,"open":true}`), &p); err != nil || p.Open {
		t.Errorf("%+v, %v", p, err)
	}
}

// The words are a contract too, and so is the order of reasons: the first is the primary one.
func TestWords(t *testing.T) {
	f := func(name, want string, got ...string) {
		t.Helper()
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %s, want %s", name, s, want)
		}
	}
	f("statuses", "not_started pending in_review approved rejected expired suspended", texts(Statuses)...)
	f("checks", "identity_verification document_verification address_verification tax_id_verification screening risk_assessment liveness business_verification", texts(Checks)...)
	f("reasons", "sanctions_match pep_match adverse_media_match fraud_suspected underage duplicate_account unsupported_country liveness_failed data_mismatch name_mismatch "+
		"document_expired document_type_not_accepted document_missing document_unreadable attempts_exceeded high_risk company_structure consent_declined technical_failure other", texts(Priority)...)
	f("verdicts", "applied duplicate stale superseded parked held overruled unrouted ambiguous set_aside", texts(Verdicts)...)
	f("kinds", "observation confirmation fetch decision timer policy submission redelivery erasure",
		texts([]Kind{Observation, Confirmation, FetchRequest, Decision, Timer, PolicyChange, Submission, Redelivery, Erasure})...)
	for _, c := range Checks { // and a state spells none of them out
		if w := (writer{}); len(encodeTerm(&w, string(c))) != 1 {
			t.Errorf("%s is written out", c)
		}
	}
	for _, r := range Priority {
		if w := (writer{}); len(encodeTerm(&w, string(r))) != 1 {
			t.Errorf("%s is written out", r)
		}
	}
}

func encodeTerm(w *writer, s string) []byte {
	w.term(s)
	return w.b
}

func texts[T ~string](all []T) []string {
	out := make([]string, len(all))
	for i, x := range all {
		out[i] = string(x)
	}
	return out
}

// golden compares with a file of testdata; with UPDATE_GOLDEN it writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile("testdata/"+name, []byte(got+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if got+"\n" != string(want) {
		t.Errorf("%s:\n got %s\nwant %s", name, got, want)
	}
}
