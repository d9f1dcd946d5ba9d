package kyc

import (
	"slices"
	"strings"
	"testing"
)

// callback is what one callback brings.
func callback(us ...Update) []Update { return us }

// alone are callbacks of one record each.
func alone(us ...Update) (groups [][]Update) {
	for _, u := range us {
		groups = append(groups, []Update{u})
	}
	return groups
}

// tell applies callbacks one after another and returns the types of the changes each owed, joined
// by blanks.
func tell(p Policy, groups ...[]Update) (out []string) {
	s := &State{}
	for i, us := range groups {
		us = slices.Clone(us)
		for k := range us {
			if us[k].ReceivedAt.IsZero() {
				us[k].ReceivedAt = at(100 + i)
			}
		}
		owed, _ := s.Apply(us, p)
		out = append(out, strings.ReplaceAll(strings.Join(types(owed), " "), "kyc.", ""))
	}
	return out
}

// What is owed, callback by callback: only what differs from the last one told, documents first,
// then checks, then the status.
func TestChanges(t *testing.T) {
	f := func(name string, p Policy, groups [][]Update, want ...string) {
		t.Helper()
		if got := tell(p, groups...); !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, want)
		}
	}
	i := func(minute int, r rank, reasons ...Reason) Update { return obs(sumsub, "i", minute, r, reasons...) }
	doc := func(minute int, r rank, reasons ...Reason) Update { return obs(passprt, "r", minute, r, reasons...) }
	f("an ordinary life", open, alone(i(1, rankNotStarted), i(2, rankPending), i(3, rankInReview), i(4, rankApproved), i(9, rankSuspended)),
		"", "check.pending status.pending", "check.review_required status.in_review", "check.clear status.approved", "check.suspended status.suspended")
	f("said twice", open, alone(i(4, rankApproved), named(i(4, rankApproved), "again"), named(i(9, rankApproved), "later")), "check.clear status.approved", "", "")
	retry := i(5, rankRejected, DocumentUnreadable)
	retry.Retryable = true
	const rejected = "check.failed status.rejected"
	f("other reasons, retryable, terminal", open, alone(i(3, rankRejected, DataMismatch), i(4, rankRejected, DocumentUnreadable), retry, i(6, rankTerminal, DocumentUnreadable)), rejected, rejected, rejected, rejected)
	f("another date", open, alone(until(i(3, rankApproved), at(5000)), until(i(4, rankApproved), at(6000))), "check.clear status.approved", "check.clear status.approved")
	f("back to the start", open, alone(i(3, rankApproved), i(5, rankNotStarted)), "check.clear status.approved", "check.pending status.not_started")
	f("a link lapses", open, alone(i(1, rankPending), i(2, rankLapsed)), "check.pending status.pending", "check.pending status.not_started")
	f("a technical failure is an error", open, alone(i(3, rankInReview, TechnicalFailure), i(4, rankInReview, PEPMatch, TechnicalFailure)), "check.error status.in_review", "check.review_required status.in_review")
	f("out of order", open, alone(i(4, rankApproved), i(2, rankPending)), "check.clear status.approved", "")
	f("documents", idv, alone(doc(1, rankPending), doc(2, rankRejected, DocumentUnreadable), doc(3, rankApproved), doc(4, rankExpired), doc(5, rankSuspended)),
		"document.processing status.pending", "document.rejected", "document.approved", "document.rejected", "document.rejected status.suspended")
	f("a document that decides", Policy{Required: []Check{DocumentVerification}}, alone(doc(3, rankApproved)), "document.approved status.approved")
	f("a source that does not speak", open, alone(i(5, rankApproved), obs(persona, "a", 3, rankInReview)), "check.clear status.approved", "check.review_required")
	f("a hit in screening", idv, alone(i(3, rankApproved), obs(aml, "s", 4, rankRejected, SanctionsMatch), decide(aml, 9, rankNotStarted)), "check.clear status.approved", rejected, "check.pending status.approved")
	f("a policy that moves nobody", idv, alone(i(3, rankApproved), Update{ID: "p", Kind: PolicyChange}), "check.clear status.approved", "")
	for _, k := range []Kind{FetchRequest, Redelivery, Erasure, "unheard of"} {
		u := i(5, rankRejected)
		u.Kind = k
		f(string(k), open, alone(i(3, rankApproved), u), "check.clear status.approved", "")
	}
	f("no status", open, alone(Update{ID: "x", Kind: Observation, Source: "s", Check: Screening, Scope: Overall}), "")
	frozen := i(1, rankPending)
	frozen.Status = "frozen"
	f("an unknown status is looked at", open, alone(frozen), "check.review_required status.in_review")

	// A second failed try is news, a repetition is not: by another run, or another attempt of one.
	try := func(x Update, attempt string) Update { x.Verification.AttemptRef = attempt; return named(x, attempt) }
	r := func(minute int) Update { return i(minute, rankRejected, DocumentUnreadable) }
	f("rejected again", open, alone(r(3), r(5), named(r(5), "resent"), r(9)), rejected, "", "", "")
	f("in another attempt", open, alone(try(r(3), "1"), try(r(5), "2"), try(r(7), "2"), try(r(4), "1")), rejected, rejected, "", "")
	f("in another run", open, alone(obs(persona, "a", 3, rankRejected, DocumentUnreadable), obs(persona, "b", 5, rankRejected, DocumentUnreadable), obs(persona, "b", 7, rankRejected, DocumentUnreadable)), rejected, rejected, "")
	f("with the try between", open, alone(r(3), i(4, rankPending), r(5)), rejected, "check.pending status.pending", rejected)
	f("a final word again in another attempt", open, alone(try(i(3, rankTerminal, OtherReason), "1"), try(i(5, rankTerminal, OtherReason), "2")), rejected, rejected)
	f("a hit again in another attempt is none", open, alone(try(i(3, rankTerminal, SanctionsMatch), "1"), try(i(5, rankTerminal, SanctionsMatch), "2")), rejected, "")
	f("nor is a review", open, alone(try(i(3, rankInReview), "1"), try(i(5, rankInReview), "2")), "check.review_required status.in_review", "")

	// What one callback brings is told as one.
	screen := obs(aml, "i", 3, rankRejected, SanctionsMatch)
	f("approved and a hit", idv, [][]Update{callback(i(3, rankApproved), screen)}, "check.clear check.failed status.rejected")
	f("the other way round", idv, [][]Update{callback(screen, i(3, rankApproved))}, "check.failed check.clear status.rejected")
	f("rejected and approved", idv, [][]Update{callback(r(3), i(5, rankApproved))}, "check.clear status.approved")
	f("approved, then rejected and approved again: nothing has changed", idv, [][]Update{callback(i(3, rankApproved)), callback(r(4), named(i(5, rankApproved), "2"))}, "check.clear status.approved", "")
	f("a request with its documents", idv, [][]Update{callback(obs(request, "r", 3, rankApproved), doc(3, rankApproved), obs(address, "r", 3, rankRejected, DocumentExpired))}, "document.approved document.rejected check.clear status.approved")
	f("a whole life at once", open, [][]Update{callback(i(1, rankPending), r(2), i(3, rankPending), i(4, rankApproved), i(9, rankExpired))}, "check.expired status.expired")
	f("sent twice in one", open, [][]Update{callback(i(4, rankApproved), i(4, rankApproved))}, "check.clear status.approved")
	f("sent again whole", open, [][]Update{callback(i(4, rankApproved), screen), callback(i(4, rankApproved), screen)}, "check.clear check.failed status.rejected", "")
	f("nothing", open, [][]Update{callback()}, "")
}

// A change comes from the record that decides it, else from the last new one of its callback.
func TestChangesCause(t *testing.T) {
	f := func(name, want string, before []Update, us ...Update) {
		t.Helper()
		s := apply(idv, before...)
		owed, _ := s.Apply(us, idv)
		if len(owed) == 0 || owed[len(owed)-1].CauseID != want {
			t.Errorf("%s: %+v", name, owed)
		}
	}
	ok, hit, next := received(obs(sumsub, "i", 3, rankApproved), 100), received(obs(aml, "i", 3, rankRejected, SanctionsMatch), 100), received(obs(sumsub, "i", 5, rankPending), 100)
	f("the hit among them", hit.ID, nil, ok, hit, next)
	f("wherever it stands", hit.ID, nil, hit, ok)
	f("one that is known is none", next.ID, []Update{hit, decide(aml, 9, rankNotStarted)}, next, hit)
	no, release := received(decide(sumsub, 9, rankSuspended), 101), received(named(decide(sumsub, 10, rankNotStarted), "r"), 102)
	f("nor where it decides", release.ID, []Update{ok, no}, release, ok)
	f("the last, where what decides was there before", "p", []Update{ok, no}, release, Update{ID: "p", Kind: Redelivery, ReceivedAt: at(102)})
}

// A policy record folds again under the policy given, documents and checks included.
func TestChangesOfPolicy(t *testing.T) {
	short := Policy{Version: 2, Required: []Check{IdentityVerification}, ValidityMonths: 6, Validity: map[Check]int{DocumentVerification: 3}}
	s := apply(Policy{Version: 1}, obs(sumsub, "i", 3, rankApproved), obs(passprt, "", 4, rankApproved))
	if s.PolicyVersion() != 1 {
		t.Errorf("folded under %d", s.PolicyVersion())
	}
	owed, v := s.Apply([]Update{{ID: "p", Kind: PolicyChange, ReceivedAt: at(50)}}, short)
	if want := []string{"kyc.document.approved", "kyc.check.clear", "kyc.status.approved"}; v[0] != Applied || !slices.Equal(types(owed), want) || s.PolicyVersion() != 2 {
		t.Fatalf("%v, %s, version %d", types(owed), v, s.PolicyVersion())
	}
	if !owed[0].ExpiresAt.Equal(AddMonths(at(4), 3)) || !owed[2].ExpiresAt.Equal(AddMonths(at(3), 6)) || !owed[2].OccurredAt.Equal(at(3)) || owed[2].CauseID != "p" {
		t.Errorf("%+v", owed)
	}
	over := short
	over.Version, over.ValidityMonths = 3, 1
	owed, _ = s.Apply([]Update{{ID: "q", Kind: PolicyChange, ReceivedAt: AddMonths(at(4), 2)}}, over)
	if want := []string{"kyc.check.expired", "kyc.status.expired"}; !slices.Equal(types(owed), want) || !owed[1].ExpiresAt.Equal(AddMonths(at(3), 1)) {
		t.Errorf("a validity that is over: %+v", owed)
	}
	more := Policy{Version: 4, Required: []Check{IdentityVerification, AddressVerification}}
	owed, _ = s.Apply([]Update{{ID: "r", Kind: PolicyChange, ReceivedAt: AddMonths(at(4), 2)}}, more)
	if last := owed[len(owed)-1]; last.Status != Pending || last.Check != (CheckView{Type: AddressVerification, Status: "pending"}) || !last.OccurredAt.Equal(AddMonths(at(4), 2)) {
		t.Errorf("what is missing: %+v", last)
	}
}

// A change carries what decides it, which need not be the record that caused it.
func TestChangesFields(t *testing.T) {
	s := &State{}
	u := received(obs(passprt, "r", 3, rankRejected, FraudSuspected, DocumentUnreadable), 10)
	u.Livemode, u.Retryable, u.Traceparent, u.Subject.Kind, u.Document = true, true, "00-1", Individual, Document{ID: "d1", Type: "identity-proof", Subtype: "passport"}
	owed, _ := s.Apply([]Update{u}, idv)
	if len(owed) != 2 {
		t.Fatalf("owed %v", types(owed))
	}
	view := CheckView{Type: DocumentVerification, Status: "failed", Source: "rebilly", Provider: "rebilly", ProviderRef: "p-rebilly"}
	for n, c := range owed {
		if c.Sequence != uint64(n)+1 || c.Partner != "acme" || !c.Livemode || c.Subject != u.Subject || c.Status != Rejected || c.PreviousStatus != NotStarted || c.Check != view ||
			c.Document != u.Document || !slices.Equal(c.Reasons, u.Reasons) || !c.Retryable || c.Terminal || !c.OccurredAt.Equal(at(3)) || !c.ReceivedAt.Equal(at(10)) ||
			c.CauseID != u.ID || c.Traceparent != "00-1" || !c.ApprovedAt.IsZero() || !c.ExpiresAt.IsZero() || c.DecidedBy != idOf(u.ID).String() {
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
	// An older identity approval arrives: it owes its own check, and what it had been rejected for
	// still decides the status.
	first := received(obs(sumsub, "i", 2, rankApproved), 12)
	owed, _ = s.Apply([]Update{first}, idv)
	if want := []string{"kyc.check.clear"}; !slices.Equal(types(owed), want) || !owed[0].ApprovedAt.Equal(at(2)) || !owed[0].ExpiresAt.Equal(AddMonths(at(2), 12)) {
		t.Errorf("owed %v", owed)
	}
	// The document is released; the status is decided by the approval of before, caused by the
	// operator.
	d := received(decide(passprt, 20, rankApproved), 20)
	owed, _ = s.Apply([]Update{d}, idv)
	if last := owed[len(owed)-1]; last.Type != "kyc.status.approved" || last.Check.Source != "sumsub" || !last.OccurredAt.Equal(at(2)) || !last.ReceivedAt.Equal(at(20)) ||
		last.PreviousStatus != Rejected || last.CauseID != d.ID || last.DecidedBy != idOf(first.ID).String() {
		t.Errorf("change %+v", last)
	}
	if owed, _ = s.Apply([]Update{received(timeless(aml, "s", rankInReview, "x"), 30)}, idv); !owed[0].OccurredAt.Equal(at(30)) {
		t.Errorf("without a time it occurred when it was received, not %v", owed[0].OccurredAt)
	}
}

// A try that shows in place of a finding is told with what it is, and with the finding that
// decides.
func TestChangesOfTries(t *testing.T) {
	no, try := obs(sumsub, "i", 3, rankRejected, DocumentUnreadable), obs(sumsub, "i", 5, rankPending)
	no.Retryable = true
	v := apply(idv, no, try).View()
	if v.Status != Pending || len(v.Reasons) > 0 || v.Retryable || v.DecidedBy != idOf(no.ID).String() {
		t.Errorf("view %+v", v)
	}
	// A check of which nothing is left says so with its name.
	s := apply(idv, obs(sumsub, "i", 3, rankApproved), obs(aml, "s", 4, rankRejected, SanctionsMatch))
	owed, _ := s.Apply(callback(received(decide(aml, 9, rankNotStarted), 200)), idv)
	if len(owed) != 2 || owed[0].Check != (CheckView{Type: Screening, Status: "pending", Source: "aml", Provider: "aml"}) || owed[0].DecidedBy != "" || !owed[0].OccurredAt.Equal(at(9)) {
		t.Errorf("owed %+v", owed)
	}
}

// Of several findings the gravest is shown, then what only an operator answers, then what is
// serious: its reasons are the ones that a partner must not overlook.
func TestChangesShowTheGravest(t *testing.T) {
	f := func(name string, want Reason, us ...Update) {
		t.Helper()
		v := apply(idv, us...).View()
		if len(v.Reasons) == 0 || v.Reasons[0].Code != want {
			t.Errorf("%s: %+v", name, v)
		}
	}
	retry := obs(sumsub, "i", 9, rankRejected, DocumentUnreadable)
	retry.Retryable = true
	f("a hit before a rejection", PEPMatch, obs(aml, "s", 3, rankRejected, PEPMatch), retry)
	f("a hit before a final word that is newer", PEPMatch, obs(aml, "s", 3, rankRejected, PEPMatch), obs(sumsub, "i", 9, rankTerminal, OtherReason))
	f("fraud before less that is newer", FraudSuspected, obs(aml, "s", 3, rankTerminal, FraudSuspected), obs(sumsub, "i", 9, rankTerminal, OtherReason))
	f("an operator's no before fraud", OtherReason, obs(sumsub, "i", 9, rankTerminal, FraudSuspected), func() Update {
		x := decide(persona, 3, rankTerminal)
		x.Reasons = []ReasonPair{{Code: OtherReason}}
		return x
	}())
	both := apply(idv, obs(sumsub, "i", 3, rankRejected, FraudSuspected), obs(sumsub, "i", 9, rankTerminal, DataMismatch)).View().Reasons
	if len(both) != 2 || both[0].Code != FraudSuspected || both[1].Code != DataMismatch {
		t.Errorf("what is serious is told beside a graver word: %v", both)
	}
	for name, more := range map[string]Update{
		"the same reason once more": obs(sumsub, "j", 9, rankRejected, FraudSuspected), "what is not serious": obs(sumsub, "j", 9, rankRejected, DataMismatch),
		"what nobody has signed": weak(obs(sumsub, "j", 9, rankRejected, Underage)),
	} {
		if got := apply(idv, obs(sumsub, "i", 3, rankTerminal, FraudSuspected), more).View().Reasons; len(got) != 1 || got[0].Code != FraudSuspected {
			t.Errorf("%s is told beside fraud: %v", name, got)
		}
	}
	f("of two alike the newest", DataMismatch, obs(sumsub, "i", 9, rankRejected, DataMismatch), obs(persona, "a", 3, rankRejected, DocumentUnreadable))
	f("of one check the gravest", FraudSuspected, obs(sumsub, "i", 3, rankRejected, FraudSuspected), obs(sumsub, "j", 9, rankRejected, DocumentUnreadable))
}

// A hit is final and no retry, in the webhook and in the poll, whatever its provider calls it.
func TestChangesOfHits(t *testing.T) {
	for _, r := range []rank{rankRejected, rankTerminal} {
		for _, code := range []Reason{SanctionsMatch, PEPMatch} {
			u := received(obs(aml, "s", 4, r, DocumentUnreadable, code), 10)
			u.Retryable = true
			s := apply(idv, received(obs(sumsub, "i", 3, rankApproved), 9))
			owed, _ := s.Apply([]Update{u}, idv)
			for _, c := range owed {
				if c.Status != Rejected || !c.Terminal || c.Retryable {
					t.Errorf("%s: %+v", code, c)
				}
			}
			if v, c := s.View(), s.Checks()[0]; len(owed) != 2 || !v.Terminal || v.Retryable || !c.Terminal || c.Retryable || !slices.Equal(c.HeldBy, []string{idOf(u.ID).String()}) {
				t.Errorf("%s: %+v, %+v", code, v, c)
			}
		}
	}
}

// An unsigned bad message is told as in review, with what it claims and why.
func TestChangesOfClaims(t *testing.T) {
	f := func(name string, claimed Status, r rank, reasons ...Reason) {
		t.Helper()
		s := apply(open, obs(request, "r", 3, rankApproved))
		u := obs(request, "r", 5, r, reasons...)
		u.Retryable = true
		w := received(weak(u), 110)
		owed, v := s.Apply([]Update{w}, open)
		if len(owed) != 2 || v[0] != Applied {
			t.Fatalf("%s: %v, %v", name, types(owed), v)
		}
		for _, c := range owed {
			if c.Status != InReview || c.PreviousStatus != Approved || !c.NeedsConfirmation || c.ClaimedStatus != claimed || c.Terminal || c.Retryable || len(c.Reasons) != len(reasons) ||
				c.DecidedBy != idOf(w.ID).String() || c.Check.Source != "rebilly" || !c.ApprovedAt.IsZero() || !c.ExpiresAt.IsZero() {
				t.Errorf("%s: %+v", name, c)
			}
		}
		if v := s.View(); !v.NeedsConfirmation || v.ClaimedStatus != claimed || v.DecidedBy != idOf(w.ID).String() {
			t.Errorf("%s: %+v", name, v)
		}
		no := received(confirms(obs(request, "r", 4, rankApproved)), 120) // the provider denies it
		if owed, _ = s.Apply([]Update{no}, open); len(owed) != 2 || owed[1].Status != Approved || owed[1].NeedsConfirmation || owed[1].ClaimedStatus != "" || s.View().NeedsConfirmation {
			t.Errorf("%s, denied: %+v", name, owed)
		}
	}
	f("rejected", Rejected, rankRejected, DocumentUnreadable)
	f("terminal", Rejected, rankTerminal, FraudSuspected, OtherReason)
	f("a hit", Rejected, rankTerminal, SanctionsMatch)
	f("suspended", Suspended, rankSuspended)
	f("expired", Expired, rankExpired)
	f("in review", "", rankInReview, PEPMatch)

	// A lone claim of an approval, and one over an attempt.
	for _, before := range [][]Update{nil, {received(obs(request, "r", 4, rankPending), 9)}} {
		s := apply(open, before...)
		w := received(weak(until(obs(request, "r", 6, rankApproved), at(9000))), 10)
		owed, _ := s.Apply([]Update{w}, open)
		for _, c := range owed {
			if c.Status != InReview || !c.NeedsConfirmation || c.ClaimedStatus != Approved || c.DecidedBy != idOf(w.ID).String() || c.Check.Type != IdentityVerification || !c.ExpiresAt.IsZero() {
				t.Errorf("%+v", c)
			}
		}
		if v := s.View(); len(owed) != 2 || v.ClaimedStatus != Approved || !v.NeedsConfirmation {
			t.Errorf("%v, %+v", types(owed), v)
		}
	}
}
