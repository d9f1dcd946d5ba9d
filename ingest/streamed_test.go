package ingest

import (
	"testing"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
	"countersign/kyc"
)

const (
	accountActive    = `{"account_id":"acc-7","at":"2026-05-01T12:29:15.5Z","event_id":41,"status_to":"ACTIVE"}`
	accountWondering = `{"account_id":"acc-7","at":"2026-05-01T12:29:15.5Z","event_id":42,"status_to":"WONDERING"}`
)

// followed opens a door with a source that is followed beside those that are posted to.
func followed(t *testing.T) *door {
	t.Helper()
	return open(t, func(o *Options) {
		o.Sources = append(o.Sources, Source{Name: "brokerage", Adapter: adapter(t, "alpaca"), Partner: "acme", Evidence: kyc.Signed, MaxBody: 1 << 20})
	})
}

// TestStreamed: an event of a stream counts like a signed callback, and is the same however often
// it is read.
func TestStreamed(t *testing.T) {
	d := followed(t)
	f := func(event string) (us []kyc.Update) {
		t.Helper()
		res, err := d.set.Load().sources["brokerage"].Adapter.Translate(nil, []byte(event), nil)
		if err != nil {
			t.Fatal(err)
		}
		in, err := d.Streamed("brokerage", res, nil, []byte(event))
		if err != nil || (in.Keep != nil) != res.KeepBody {
			t.Fatalf("%+v, %v", in, err)
		}
		for _, r := range in.Records {
			us = append(us, *r.Update)
		}
		return us
	}
	us := f(accountActive)
	if len(us) != 1 {
		t.Fatalf("%+v", us)
	}
	u := us[0]
	if u.Kind != kyc.Observation || u.Status != kyc.Approved || u.Authenticity != kyc.Signed || u.NeedsConfirmation || u.ClaimedStatus != "" || u.Partner != "acme" ||
		u.Source != "brokerage" || u.Subject.ProviderRef != "acc-7" || !u.ReceivedAt.Equal(at) || u.BodySHA256 == "" {
		t.Errorf("%+v", u)
	}
	if again := f(accountActive); again[0].ID != u.ID || f(accountWondering)[0].ID == u.ID {
		t.Errorf("ids %s, again %s", u.ID, again[0].ID)
	}
	if us := f(`{"account_id":"acc-7","event_id":43,"account_blocked":true}`); len(us) != 0 {
		t.Errorf("an event without a status: %+v", us)
	}
	live := true
	if in, err := d.Streamed("brokerage", provider.Result{Livemode: &live}, nil, nil); err != nil || in.Applied() || in.Keep == nil || in.Keep.Reason != journal.WrongMode {
		t.Errorf("a live event gave %+v, %v", in, err)
	}
	for _, source := range []string{"sumsub", "nosuch"} {
		if in, err := d.Streamed(source, provider.Result{}, nil, nil); err == nil {
			t.Errorf("%s gave %+v", source, in)
		}
	}
}

// TestStreamTakesNoCallbacks: a source that is followed does not exist for whoever posts; what of
// its stream is in quarantine is released as good as signed.
func TestStreamTakesNoCallbacks(t *testing.T) {
	d := followed(t)
	before := d.journal.Backlog()
	for _, path := range []string{"brokerage", "brokerage/", "brokerage/token"} {
		if a := d.ask(post(pathPrefix+path, accountActive)); a.status != 404 {
			t.Errorf("%s: answered %d", path, a.status)
		}
	}
	if n := d.count("unknown", unknownSource); n != 3 || d.journal.Backlog() != before || d.journal.Quarantined() != 0 {
		t.Errorf("%v refused, %d records, %d in quarantine", n, d.journal.Backlog()-before, d.journal.Quarantined())
	}
	in, err := d.Release(journal.Item{Source: "brokerage", Reason: journal.Unreadable, At: at, Body: []byte(accountActive)})
	if err != nil || len(in.Records) != 1 || in.Records[0].Update.Status != kyc.Approved || in.Records[0].Update.Authenticity != kyc.Signed {
		t.Errorf("released %+v, %v", in, err)
	}
}
