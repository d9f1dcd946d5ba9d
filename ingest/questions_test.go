package ingest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
	"countersign/kyc"
)

// open lists the questions of a source that are due by now.
func (d *door) questions(source string) []journal.Question {
	d.t.Helper()
	qs, _, err := d.journal.Due(source, at, 100)
	if err != nil {
		d.t.Fatal(err)
	}
	return qs
}

// TestQuestions: what a callback leaves open is on disk with it, and nothing is asked that it proved itself.
func TestQuestions(t *testing.T) {
	d := open(t)
	u := d.last(genuine(t, "probe", "fetch"))
	qs := d.questions("probe")
	if u.Kind != kyc.FetchRequest || u.Status != "" || u.Partner != "acme" || len(qs) != 1 || qs[0].Ref != "r" || qs[0].What != "w" || qs[0].Claim != u.ID || !qs[0].Since.Equal(at) {
		t.Errorf("a thin callback: %+v, questions %+v", u, qs)
	}
	d.last(genuine(t, "probe", "weak"))
	if qs := d.questions("probe"); len(qs) != 1 || qs[0].Claim != u.ID {
		t.Errorf("a signed approval is asked about: %+v", qs)
	}
	u = d.last(genuine(t, "weakly", "weak"))
	if qs := d.questions("weakly"); u.Status != kyc.InReview || u.ClaimedStatus != kyc.Approved || u.Authenticity != kyc.Authenticated || len(qs) != 1 || qs[0].Claim != u.ID {
		t.Errorf("a weak approval (I10): %+v, questions %+v", u, qs)
	}
	if qs := d.questions("sumsub"); len(qs) != 0 {
		t.Errorf("sources share questions: %+v", qs)
	}
}

// TestConfirmed: an answer counts like a signed update, names the claim it answers, and is the same however often it is given.
func TestConfirmed(t *testing.T) {
	d := open(t)
	asked := at.Add(-time.Second)
	q := journal.Question{Source: "prefixed", What: "w", Ref: "r", Claim: "claim-1"}
	f := func(q journal.Question, status kyc.Status, subject string) kyc.Update {
		t.Helper()
		res := provider.Result{Updates: []kyc.Update{{Subject: kyc.Subject{ID: subject}, Scope: kyc.Overall, Check: kyc.Screening, Status: status, OccurredAt: happened, OccurredAtOrigin: kyc.OriginProvider}}}
		rs, err := d.Confirmed(q, res, []byte("the answer"), asked)
		if err != nil || len(rs) != 1 {
			t.Fatalf("%+v, %v", rs, err)
		}
		return *rs[0].Update
	}
	u := f(q, kyc.Approved, "acme:user-1")
	if u.Kind != kyc.Confirmation || u.Authenticity != kyc.Signed || u.NeedsConfirmation || u.Status != kyc.Approved || !u.AskedAt.Equal(asked) ||
		u.Partner != "acme" || u.Subject.ID != "user-1" || u.Source != "prefixed" || u.BodySHA256 == "" || !u.ReceivedAt.Equal(at) {
		t.Errorf("%+v", u)
	}
	other := q
	other.Claim = "claim-2"
	ids := []string{u.ID, f(q, kyc.Rejected, "acme:user-1").ID, f(other, kyc.Approved, "acme:user-1").ID}
	slices.Sort(ids)
	if again := f(q, kyc.Approved, "acme:user-1"); again.ID != u.ID || len(slices.Compact(ids)) != 3 {
		t.Errorf("ids %v, again %s", ids, again.ID)
	}
	live := true
	for _, c := range []struct {
		q   journal.Question
		res provider.Result
	}{
		{q, provider.Result{Livemode: &live}},
		{q, provider.Result{Updates: []kyc.Update{{Subject: kyc.Subject{ID: "nobody's"}}}}},
		{journal.Question{Source: "gone"}, provider.Result{}},
	} {
		if rs, err := d.Confirmed(c.q, c.res, nil, asked); err == nil {
			t.Errorf("%+v gave %+v", c, rs)
		}
	}
}

// TestRelease: what is in quarantine is translated again with today's adapter and today's source, and goes only if that made it clear.
func TestRelease(t *testing.T) {
	wrongMode := sample(t, "sumsub", "approved", provider.SampleVars{Livemode: true})
	d := open(t)
	item := func(reason journal.Reason, source, body string) journal.Item {
		t.Helper()
		d.ask(genuine(t, source, body))
		items, _, err := d.journal.Items("", 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range items {
			if it, err := d.journal.Unseal(v.ID); err == nil && it.Reason == reason && string(it.Body) == body {
				return it
			}
		}
		t.Fatalf("%s is not in quarantine", body)
		return journal.Item{}
	}
	unclear := func(it journal.Item, want string) {
		t.Helper()
		if rs, err := d.Release(it); !errors.Is(err, ErrStillUnclear) || !strings.Contains(err.Error(), want) {
			t.Errorf("released %+v, %v; want %q", rs, err, want)
		}
	}
	mode := item(journal.WrongMode, "sumsub", wrongMode)
	unclear(mode, "livemode")
	unclear(item(journal.Unreadable, "probe", "gibberish"), "no such word")
	unclear(item(journal.UnknownWord, "probe", "keep"), "in_review")
	unclear(item(journal.NoPartner, "prefixed", sample(t, "sumsub", "approved", provider.SampleVars{Subject: "gamma:1"})), "partner")

	d.sources["sumsub"].Livemode = true // the operator has corrected the source
	mode.At = at.Add(-72 * time.Hour)
	rs, err := d.Release(mode)
	if err != nil || len(rs) != 1 || rs[0].Update.Status != kyc.Approved || !rs[0].Update.ReceivedAt.Equal(mode.At) || !rs[0].Appended.Equal(at) {
		t.Fatalf("%+v, %v", rs, err)
	}
	thin := journal.Item{ID: "thin", Source: "probe", Provider: "probe", Reason: journal.Unreadable, At: mode.At, Body: []byte("fetch")} // a later adapter reads it
	if asked, err := d.Release(thin); err != nil || len(asked) != 1 || len(asked[0].Ask) != 1 || !asked[0].Ask[0].Since.Equal(at) {
		t.Errorf("%+v, %v", asked, err)
	}
	before, held := d.journal.Backlog(), d.journal.Quarantined()
	if err := d.journal.Drop(context.Background(), mode.ID, rs...); err != nil || d.journal.Backlog() != before+1 || d.journal.Quarantined() != held-1 {
		t.Errorf("%v: %d records more, %d items less", err, d.journal.Backlog()-before, held-d.journal.Quarantined())
	}
	if err := d.journal.Drop(context.Background(), mode.ID, rs...); !errors.Is(err, journal.ErrNotFound) || d.journal.Backlog() != before+1 {
		t.Errorf("released twice: %v", err)
	}
	mode.Source = "gone"
	if _, err := d.Release(mode); err == nil {
		t.Error("a source that is gone released something")
	}
}
