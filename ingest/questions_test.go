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

// TestQuestions: what a callback leaves open is on disk with it, and nothing is asked that it
// proved itself.
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

// TestConfirmed: an answer counts like a signed update, names the claim it answers, and is the same
// however often it is given.
func TestConfirmed(t *testing.T) {
	d := open(t)
	asked := at.Add(-time.Second)
	q := journal.Question{Source: "prefixed", What: "w", Ref: "r", Claim: "claim-1"}
	f := func(q journal.Question, status kyc.Status, subject string) kyc.Update {
		t.Helper()
		res := provider.Result{Updates: []kyc.Update{{Subject: kyc.Subject{ID: subject}, Scope: kyc.Overall, Check: kyc.Screening, Status: status, OccurredAt: happened, OccurredAtOrigin: kyc.OriginProvider}}}
		in, err := d.Confirmed(q, res, nil, [][]byte{[]byte("the answer")}, asked)
		if err != nil || len(in.Records) != 1 || in.Keep != nil {
			t.Fatalf("%+v, %v", in, err)
		}
		return *in.Records[0].Update
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
	update := []kyc.Update{{Subject: kyc.Subject{ID: "nobody's"}}}
	for _, c := range []struct {
		res    provider.Result
		unread error
		want   journal.Reason
	}{
		{provider.Result{Livemode: &live, Updates: update}, nil, journal.WrongMode},
		{provider.Result{Updates: update}, nil, journal.NoPartner},
		{provider.Result{}, provider.ErrUnreadable, journal.Unreadable},
		{provider.Result{}, nil, journal.Unreadable},
	} {
		if in, err := d.Confirmed(q, c.res, c.unread, [][]byte{[]byte("the answer")}, asked); err != nil || in.Applied() || in.Keep == nil || in.Keep.Reason != c.want {
			t.Errorf("%+v gave %+v, %v", c, in, err)
		}
	}
	if in, err := d.Confirmed(journal.Question{Source: "gone"}, provider.Result{}, nil, nil, asked); err == nil {
		t.Errorf("a source that is gone gave %+v", in)
	}
}

// TestRelease: what is in quarantine is translated again with today's adapter and today's source,
// and goes only if that made it clear.
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
		if in, err := d.Release(it); !errors.Is(err, ErrStillUnclear) || !strings.Contains(err.Error(), want) {
			t.Errorf("released %+v, %v; want %q", in, err, want)
		}
	}
	mode := item(journal.WrongMode, "sumsub", wrongMode)
	unclear(mode, "livemode")
	unclear(item(journal.Unreadable, "probe", "gibberish"), "no such word")
	unclear(item(journal.UnknownWord, "probe", "keep"), "in_review")
	event := item(journal.UnknownEvent, "sumsub", strings.Replace(sample(t, "sumsub", "rejected_final", provider.SampleVars{}), "applicantReviewed", "applicantSomethingNew", 1))
	unclear(event, "event is unknown")
	unclear(item(journal.NoPartner, "prefixed", sample(t, "sumsub", "approved", provider.SampleVars{Subject: "gamma:1"})), "partner")

	event.Body = []byte(strings.Replace(string(event.Body), "applicantSomethingNew", "applicantReviewed", 1)) // as if a later version knew it
	if in, err := d.Release(event); err != nil || in.Keep != nil || len(in.Records) != 1 || in.Records[0].Update.Status != kyc.Rejected {
		t.Errorf("an event that is known by now: %+v, %v", in, err)
	}

	d.set.Load().sources["sumsub"].Livemode = true // the operator has corrected the source
	mode.At = at.Add(-72 * time.Hour)
	in, err := d.Release(mode)
	rs := in.Records
	if err != nil || in.Keep != nil || len(rs) != 1 || rs[0].Update.Status != kyc.Approved || !rs[0].Update.ReceivedAt.Equal(mode.At) || !rs[0].Appended.Equal(at) {
		t.Fatalf("%+v, %v", in, err)
	}
	thin := journal.Item{ID: "thin", Source: "probe", Provider: "probe", Reason: journal.Unreadable, At: mode.At, Body: []byte("fetch")} // a later adapter reads it
	if asked, err := d.Release(thin); err != nil || len(asked.Records) != 1 || len(asked.Records[0].Ask) != 1 || !asked.Records[0].Ask[0].Since.Equal(at) {
		t.Errorf("%+v, %v", asked, err)
	}
	before, held := d.journal.Backlog(), d.journal.Quarantined()
	if err := d.journal.Drop(context.Background(), mode.ID, in); err != nil || d.journal.Backlog() != before+1 || d.journal.Quarantined() != held-1 {
		t.Errorf("%v: %d records more, %d items less", err, d.journal.Backlog()-before, held-d.journal.Quarantined())
	}
	if err := d.journal.Drop(context.Background(), mode.ID, in); !errors.Is(err, journal.ErrNotFound) || d.journal.Backlog() != before+1 {
		t.Errorf("released twice: %v", err)
	}
	half := journal.Item{ID: "half", Source: "probe", Provider: "probe", Reason: journal.Unreadable, At: at, Headers: map[string][]string{"Content-Type": {"application/json"}}, Body: []byte("keep")} // a later adapter reads all but a word
	in, err = d.Release(half)
	if err != nil || len(in.Records) != 1 || in.Keep == nil || in.Keep.Reason != journal.UnknownWord {
		t.Fatalf("read in part: %+v, %v", in, err)
	}
	if err := d.journal.Hold(context.Background(), half); err != nil {
		t.Fatal(err)
	}
	held = d.journal.Quarantined() // the body is there already, under its own name
	if err := d.journal.Drop(context.Background(), "half", in); err != nil || d.journal.Quarantined() != held-1 {
		t.Errorf("%v: %d in quarantine, want %d", err, d.journal.Quarantined(), held-1)
	}
	d.keeps(journal.UnknownWord, "probe", "keep")
	mode.Source = "gone"
	if _, err := d.Release(mode); err == nil {
		t.Error("a source that is gone released something")
	}
}

// TestReleaseAnswer: what an API answered is released as an answer, by today's adapter, and only if
// all of it is there.
func TestReleaseAnswer(t *testing.T) {
	word := "gibberish" // what the adapter of the day makes of it
	p := &probe{}
	a := p.adapter()
	a.API = &provider.API{
		Next: func(_ provider.Fetch, answers [][]byte, _ provider.Options) (provider.Call, bool, error) {
			return provider.Call{}, len(answers) < 2, nil
		},
		Read: func(q provider.Fetch, answers [][]byte, o provider.Options) (provider.Result, error) {
			if q.Ref != "r" || q.What != "w" || string(answers[0]) != "first\nof two" || string(answers[1]) != "second" {
				t.Errorf("asked %+v, answered %q", q, answers)
			}
			return p.translate(nil, []byte(word), o)
		},
	}
	d := open(t, func(o *Options) {
		o.Sources = append(o.Sources, Source{Name: "asked", Adapter: a, Keys: ring(t, hmacKey), Partner: "acme", Evidence: kyc.Signed})
	})
	q, asked := journal.Question{Source: "asked", What: "w", Ref: "r", Claim: "c"}, at.Add(-time.Hour)
	kept := func(res provider.Result, unread error) (journal.Intake, journal.Item) {
		t.Helper()
		in, err := d.Confirmed(q, res, unread, [][]byte{[]byte("first\nof two"), []byte("second")}, asked)
		if err != nil || in.Keep == nil {
			t.Fatalf("%+v, %v", in, err)
		}
		return in, *in.Keep
	}
	_, it := kept(provider.Result{}, provider.ErrUnreadable)
	if in, err := d.Release(it); !errors.Is(err, ErrStillUnclear) {
		t.Errorf("%+v, %v", in, err)
	}
	word = "reply"
	in, err := d.Release(it)
	if err != nil || in.Keep != nil || len(in.Records) != 1 {
		t.Fatalf("%+v, %v", in, err)
	}
	if u := in.Records[0].Update; u.Kind != kyc.Confirmation || u.Status != kyc.Pending || u.Authenticity != kyc.Signed || !u.AskedAt.Equal(asked) || !in.Records[0].Appended.Equal(at) {
		t.Errorf("%+v", u)
	}
	less := it
	less.Answer = &journal.Answer{What: "w", Ref: "r", Parts: it.Answer.Parts[:1]}
	if in, err := d.Release(less); !errors.Is(err, ErrStillUnclear) || !strings.Contains(err.Error(), "not all") {
		t.Errorf("half of it: %+v, %v", in, err)
	}
	word = "keep"
	res, err := p.translate(nil, []byte(word), nil)
	first, it := kept(res, err)
	if in, err := d.Release(it); !errors.Is(err, ErrStillUnclear) || !strings.Contains(err.Error(), "in_review") {
		t.Errorf("%+v, %v", in, err)
	}
	word = "reply"
	in, err = d.Release(it)
	if err != nil || in.Keep != nil || len(in.Records) != 1 || in.Records[0].Update.ID == first.Records[0].Update.ID || in.Records[0].Update.ProviderEvent.Revision != 1 {
		t.Errorf("%+v, %v", in, err)
	}
}
