package kyc

import (
	"slices"
	"strings"
	"testing"
)

// tell applies records one after another and returns the types of the changes each owed, joined by blanks.
func tell(p Policy, us ...Update) []string {
	s := &State{}
	var out []string
	for _, u := range arrive(us) {
		owed, _ := s.Apply(u, p)
		out = append(out, strings.ReplaceAll(strings.Join(types(owed), " "), "kyc.", ""))
	}
	return out
}

// What is owed, record by record: only what differs from the last one told, documents first, then checks, then the status.
func TestChangesOwed(t *testing.T) {
	f := func(name string, p Policy, us []Update, want ...string) {
		t.Helper()
		if got := tell(p, us...); !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, want)
		}
	}
	i := func(minute int, r rank, reasons ...Reason) Update { return obs(sumsub, "i", minute, r, reasons...) }
	doc := func(minute int, r rank, reasons ...Reason) Update { return obs(passprt, "r", minute, r, reasons...) }
	f("an ordinary life", open, []Update{i(1, rankNotStarted), i(2, rankPending), i(3, rankInReview), i(4, rankApproved), i(9, rankSuspended)},
		"", "check.pending status.pending", "check.review_required status.in_review", "check.clear status.approved", "check.suspended status.suspended")
	f("said twice", open, []Update{i(4, rankApproved), named(i(4, rankApproved), "again"), named(i(9, rankApproved), "later")}, "check.clear status.approved", "", "")
	retry := i(5, rankRejected, DocumentUnreadable)
	retry.Retryable = true
	f("other reasons, retryable, terminal", open, []Update{i(3, rankRejected, DataMismatch), i(4, rankRejected, DocumentUnreadable), retry, i(6, rankTerminal, DocumentUnreadable)},
		"check.failed status.rejected", "check.failed status.rejected", "check.failed status.rejected", "check.failed status.rejected")
	f("another date", open, []Update{until(i(3, rankApproved), at(5000)), until(i(4, rankApproved), at(6000))}, "check.clear status.approved", "check.clear status.approved")
	f("back to the start", open, []Update{i(3, rankApproved), i(5, rankNotStarted)}, "check.clear status.approved", "check.pending status.not_started")
	f("a link lapses", open, []Update{i(1, rankPending), i(2, rankLapsed)}, "check.pending status.pending", "check.pending status.not_started")
	f("a technical failure is an error", open, []Update{i(3, rankInReview, TechnicalFailure), i(4, rankInReview, PEPMatch, TechnicalFailure)},
		"check.error status.in_review", "check.review_required status.in_review")
	f("out of order", open, []Update{i(4, rankApproved), i(2, rankPending)}, "check.clear status.approved", "")
	f("documents", idv, []Update{doc(1, rankPending), doc(2, rankRejected, DocumentUnreadable), doc(3, rankApproved), doc(4, rankExpired), doc(5, rankSuspended)},
		"document.processing status.pending", "document.rejected", "document.approved", "document.rejected", "document.rejected status.suspended")
	f("a document that decides", Policy{Required: []Check{DocumentVerification}}, []Update{doc(3, rankApproved)}, "document.approved status.approved")
	f("a source that does not speak", open, []Update{i(5, rankApproved), obs(persona, "a", 3, rankInReview)}, "check.clear status.approved", "check.review_required")
	f("a hit in screening", idv, []Update{i(3, rankApproved), obs(aml, "s", 4, rankRejected, SanctionsMatch), decide(aml, 9, rankNotStarted)},
		"check.clear status.approved", "check.failed status.rejected", "check.pending status.approved")
	policy := Update{ID: "p", Kind: PolicyChange}
	f("a policy that moves nobody", idv, []Update{i(3, rankApproved), policy}, "check.clear status.approved", "")
	for _, k := range []Kind{FetchRequest, Submission, Redelivery, Erasure, "unheard of"} {
		u := i(5, rankRejected)
		u.Kind = k
		f(string(k), open, []Update{i(3, rankApproved), u}, "check.clear status.approved", "")
	}
	f("no status", open, []Update{{ID: "x", Kind: Observation, Source: "s", Check: Screening, Scope: Overall}}, "")
	f("an unknown status is looked at", open, []Update{{ID: "x", Kind: Observation, Source: "s", Check: Screening, Scope: Overall, Status: "frozen", OccurredAt: at(1), OccurredAtOrigin: OriginProvider}}, "check.review_required status.in_review")
}

// A policy record folds again under the policy given, documents and checks included.
func TestPolicyChange(t *testing.T) {
	short := Policy{Version: 2, Required: []Check{IdentityVerification}, ValidityMonths: 6}
	s := apply(Policy{Version: 1}, obs(sumsub, "i", 3, rankApproved), obs(passprt, "", 4, rankApproved))
	if s.PolicyVersion() != 1 {
		t.Errorf("folded under %d", s.PolicyVersion())
	}
	owed, v := s.Apply(Update{ID: "p", Kind: PolicyChange, ReceivedAt: at(50)}, short)
	if want := []string{"kyc.document.approved", "kyc.check.clear", "kyc.status.approved"}; v != Applied || !slices.Equal(types(owed), want) || s.PolicyVersion() != 2 {
		t.Fatalf("%v, %s, version %d", types(owed), v, s.PolicyVersion())
	}
	if !owed[2].ExpiresAt.Equal(AddMonths(at(3), 6)) || !owed[2].OccurredAt.Equal(at(3)) || owed[2].CauseID != "p" {
		t.Errorf("%+v", owed[2])
	}
	owed, _ = s.Apply(Update{ID: "q", Kind: PolicyChange, ReceivedAt: at(60)}, Policy{Version: 3, Required: []Check{IdentityVerification, AddressVerification}, ValidityMonths: 6})
	if len(owed) != 1 || owed[0].Status != Pending || owed[0].Check != (CheckView{Type: AddressVerification, Status: "pending"}) || !owed[0].OccurredAt.Equal(at(60)) {
		t.Errorf("what is missing: %+v", owed)
	}
}

// A change carries what decides it, which need not be the record that caused it.
func TestChangeFields(t *testing.T) {
	s := &State{}
	u := received(obs(passprt, "r", 3, rankRejected, FraudSuspected, DocumentUnreadable), 10)
	u.Livemode, u.Retryable, u.Traceparent, u.Subject.Kind, u.Document = true, true, "00-1", Individual, Document{ID: "d1", Type: "identity-proof", Subtype: "passport"}
	owed, _ := s.Apply(u, idv)
	if len(owed) != 2 {
		t.Fatalf("owed %v", types(owed))
	}
	view := CheckView{Type: DocumentVerification, Status: "failed", Source: "rebilly", Provider: "rebilly", ProviderRef: "p-rebilly"}
	for n, c := range owed {
		if c.Sequence != uint64(n)+1 || c.Partner != "acme" || !c.Livemode || c.Subject != u.Subject || c.Status != Rejected || c.PreviousStatus != NotStarted || c.Check != view ||
			c.Document != u.Document || !slices.Equal(c.Reasons, u.Reasons) || !c.Retryable || c.Terminal || !c.OccurredAt.Equal(at(3)) || !c.ReceivedAt.Equal(at(10)) ||
			c.CauseID != u.ID || c.Traceparent != "00-1" || !c.ApprovedAt.IsZero() || !c.ExpiresAt.IsZero() {
			t.Errorf("change %+v", c)
		}
	}
	if owed[0].ID != ChangeID(u.ID, "kyc.document.rejected", "rebilly/document_verification/document/identity-proof") || owed[1].ID != ChangeID(u.ID, "kyc.status.rejected", "user-001") {
		t.Errorf("ids %s, %s", owed[0].ID, owed[1].ID)
	}
	owed[0].Reasons[0].Code = OtherReason // what is handed out is the caller's
	if u.Reasons[0].Code != FraudSuspected || s.View().Reasons[0].Code != FraudSuspected {
		t.Error("a change shares its reasons with the state")
	}
	// An older identity approval arrives: it owes its own check, and what it had been rejected for still decides the status.
	owed, _ = s.Apply(received(obs(sumsub, "i", 2, rankApproved), 12), idv)
	if want := []string{"kyc.check.clear"}; !slices.Equal(types(owed), want) || !owed[0].ApprovedAt.Equal(at(2)) || !owed[0].ExpiresAt.Equal(AddMonths(at(2), 12)) {
		t.Errorf("owed %v", owed)
	}
	// The document is released; the status is decided by the approval of before, caused by the operator.
	owed, _ = s.Apply(received(decide(passprt, 20, rankApproved), 20), idv)
	if last := owed[len(owed)-1]; last.Type != "kyc.status.approved" || last.Check.Source != "sumsub" || !last.OccurredAt.Equal(at(2)) || !last.ReceivedAt.Equal(at(20)) || last.PreviousStatus != Rejected {
		t.Errorf("change %+v", last)
	}
	if owed, _ = s.Apply(received(timeless(aml, "s", rankInReview, "x"), 30), idv); !owed[0].OccurredAt.Equal(at(30)) {
		t.Errorf("without a time it occurred when it was received, not %v", owed[0].OccurredAt)
	}
}

// Of several rejections the one that only an operator lifts gives its reasons: they invite no other try.
func TestGravestDecides(t *testing.T) {
	hit := obs(aml, "s", 3, rankRejected, PEPMatch)
	again := obs(sumsub, "i", 9, rankRejected, DocumentUnreadable)
	again.Retryable = true
	v := apply(idv, hit, again).View()
	if len(v.Reasons) != 1 || v.Reasons[0].Code != PEPMatch || v.Retryable {
		t.Errorf("view %+v", v)
	}
}

// No record, whatever was told before, repeats what was told, and what was told last is what polling says (I3).
func TestChangesTellTheView(t *testing.T) {
	t.Parallel()
	for seed := range enough(histories) {
		r := newRand(seed)
		s, p := &State{}, somePolicy[r.IntN(len(somePolicy))]
		var last Change
		for i := range 1 + r.IntN(12) {
			owed, v := s.Apply(anyRecord(r, i, r.IntN(2) == 0), p)
			if v == Duplicate && len(owed) > 0 {
				t.Fatalf("seed %d: a duplicate owes %v", seed, types(owed))
			}
			for _, c := range owed {
				if !strings.HasPrefix(c.Type, "kyc.status.") {
					continue
				}
				if c.Type != "kyc.status."+string(c.Status) {
					t.Fatalf("seed %d: %s says %s", seed, c.Type, c.Status)
				}
				if c.Status == last.Status && c.Retryable == last.Retryable && c.Terminal == last.Terminal && slices.Equal(c.Reasons, last.Reasons) && c.ExpiresAt.Equal(last.ExpiresAt) {
					t.Fatalf("seed %d: told twice: %+v", seed, c)
				}
				last = c
			}
			if v := s.View(); last.Sequence > 0 && (v.Status != last.Status || v.Terminal != last.Terminal || v.Retryable != last.Retryable || v.Sequence < last.Sequence ||
				last.Status != Expired && !slices.Equal(v.Reasons, last.Reasons) || !v.ExpiresAt.Equal(last.ExpiresAt)) {
				t.Fatalf("seed %d: the view is %+v, last told %+v", seed, v, last)
			}
		}
	}
}
