package ingest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
	"countersign/kyc"
	"countersign/signing"
)

// last sends a callback that must be taken, and returns the update it became.
func (d *door) last(raw string) kyc.Update {
	d.t.Helper()
	before := d.journal.Backlog()
	if a := d.ask(raw); a.status != 200 || d.journal.Backlog() != before+1 {
		d.t.Fatalf("%d, and %d new records: %.300s", a.status, d.journal.Backlog()-before, raw)
	}
	us := d.updates()
	return us[len(us)-1]
}

// TestRecord: what only the source knows is in the update, and the record says when it was taken.
func TestRecord(t *testing.T) {
	d := open(t)
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	body := sample(t, "sumsub", "approved", provider.SampleVars{Subject: "user-1", ProviderRef: "prv-1", SessionRef: "ses-1", EventID: "ev-1"})
	u := d.last(genuine(t, "sumsub", body, "Traceparent: "+trace))
	sum := sha256.Sum256([]byte(body))
	want := kyc.Update{
		SchemaVersion: 1, ID: u.ID, Kind: kyc.Observation, Source: "sumsub", Provider: "sumsub", ProviderEvent: u.ProviderEvent, Partner: "acme",
		Subject: kyc.Subject{ID: "user-1", ProviderRef: "prv-1", Kind: kyc.Individual}, Verification: kyc.Verification{Ref: "ses-1", Workflow: "basic-kyc-level"},
		Scope: kyc.Overall, Check: kyc.IdentityVerification, Status: kyc.Approved, Authenticity: kyc.Signed, OccurredAt: happened, OccurredAtOrigin: kyc.OriginProvider,
		ReceivedAt: at, BodySHA256: hex.EncodeToString(sum[:]), AdapterVersion: u.AdapterVersion, Traceparent: trace,
	}
	got, _ := json.Marshal(u)
	if w, _ := json.Marshal(want); string(got) != string(w) || u.AdapterVersion == 0 || u.ProviderEvent.Type != "applicantReviewed" {
		t.Errorf("got  %s\nwant %s", got, w)
	}
	if r := d.records()[0]; r.Kind != kyc.Observation || !r.Appended.Equal(at) || r.Position.Offset != 1 {
		t.Errorf("record %+v", r)
	}
}

// TestEvidence is I10: what a source's evidence does not carry waits for confirmation.
func TestEvidence(t *testing.T) {
	d := open(t)
	f := func(source, event string, status, claimed kyc.Status, needs bool) {
		t.Helper()
		u := d.last(genuine(t, source, sample(t, "rebilly", event, provider.SampleVars{})))
		if u.Status != status || u.ClaimedStatus != claimed || u.NeedsConfirmation != needs || u.Authenticity != kyc.Authenticated {
			t.Errorf("%s %s: %s, claimed %q, needs confirmation %v, %s", source, event, u.Status, u.ClaimedStatus, u.NeedsConfirmation, u.Authenticity)
		}
	}
	f("rebilly", "request_fulfilled", kyc.InReview, kyc.Approved, true)
	f("rebilly", "request_attempted", kyc.Pending, "", true)
	f("rebilly", "document_accepted", kyc.InReview, kyc.Approved, true)
	f("trusting", "request_fulfilled", kyc.Approved, "", false)
	f("trusting", "request_attempted", kyc.Pending, "", false)
	if u := d.last(approval(t, "sumsub", "user-1")); u.Status != kyc.Approved || u.NeedsConfirmation {
		t.Errorf("a signed approval: %+v", u)
	}
}

// TestClockAhead: a provider's clock far ahead of ours orders nothing, is counted, and leaves the
// id as it was.
func TestClockAhead(t *testing.T) {
	d := open(t)
	f := func(ahead time.Duration, occurred time.Time, origin kyc.Origin) kyc.Update {
		t.Helper()
		u := d.last(genuine(t, "sumsub", sample(t, "sumsub", "approved", provider.SampleVars{At: at.Add(ahead)})))
		if !u.OccurredAt.Equal(occurred) || u.OccurredAtOrigin != origin {
			t.Errorf("%v ahead: %v, %s; want %v, %s", ahead, u.OccurredAt, u.OccurredAtOrigin, occurred, origin)
		}
		return u
	}
	f(5*time.Minute, at.Add(5*time.Minute), kyc.OriginProvider)
	early := f(time.Hour, at, kyc.OriginReceived)
	if n := strings.Count(d.log.String(), `"provider_clock_ahead"`); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
	now := at.Add(59 * time.Minute)
	later := open(t, func(o *Options) { o.Now = func() time.Time { return now } })
	u := later.last(genuine(t, "sumsub", sample(t, "sumsub", "approved", provider.SampleVars{At: at.Add(time.Hour)})))
	if u.ID != early.ID || u.OccurredAtOrigin != kyc.OriginProvider {
		t.Errorf("sent again, when it is no longer ahead: id %s, %s; want %s", u.ID, u.OccurredAtOrigin, early.ID)
	}
}

// TestIDs is I4: the same callback has the same id, whichever node takes it and whenever; another
// source, event or time has another.
func TestIDs(t *testing.T) {
	d := open(t)
	later := at.Add(47 * time.Hour)
	node := open(t, func(o *Options) { o.Now = func() time.Time { return later } })
	ids := map[string]string{}
	f := func(name, source, adapter, event string, v provider.SampleVars) {
		t.Helper()
		body := sample(t, adapter, event, v)
		u := d.last(genuine(t, source, body))
		for _, again := range []kyc.Update{d.last(genuine(t, source, body, "X-Sent: again")), node.last(genuine(t, source, body))} {
			if again.ID != u.ID {
				t.Errorf("%s: %s, sent again %s", name, u.ID, again.ID)
			}
		}
		if other, taken := ids[u.ID]; taken || len(u.ID) != 26 {
			t.Errorf("%s and %s share the id %q", name, other, u.ID)
		}
		ids[u.ID] = name
	}
	f("first", "sumsub", "sumsub", "approved", provider.SampleVars{})
	f("another source", "other", "sumsub", "approved", provider.SampleVars{})
	f("another event", "sumsub", "sumsub", "pending", provider.SampleVars{})
	f("another time", "sumsub", "sumsub", "approved", provider.SampleVars{At: happened.Add(-time.Second)})
	f("another subject", "sumsub", "sumsub", "approved", provider.SampleVars{Subject: "user-2"})
	f("rebilly", "rebilly", "rebilly", "document_accepted", provider.SampleVars{Revision: 1})
	f("rebilly, next revision", "rebilly", "rebilly", "document_accepted", provider.SampleVars{Revision: 2})
	f("persona", "persona", "persona", "approved", provider.SampleVars{})

	several := provider.Result{Updates: []kyc.Update{{}, {}, {Document: kyc.Document{ID: "d"}}}}
	rs, err := d.Ingress.records(&message{src: d.set.Load().sources["sumsub"], h: http.Header{}, body: []byte("x"), now: at, res: several})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range rs {
		var u kyc.Update
		if err := json.Unmarshal(r.Body, &u); err != nil || seen[u.ID] {
			t.Errorf("id %s, %v: two updates of one body share it", u.ID, err)
		}
		seen[u.ID] = true
	}
	id := func(u kyc.Update) string {
		rs, err := d.Ingress.records(&message{src: d.set.Load().sources["sumsub"], h: http.Header{}, body: []byte("x"), now: at, res: provider.Result{Updates: []kyc.Update{u}}})
		if err != nil {
			t.Fatal(err)
		}
		var out kyc.Update
		if err := json.Unmarshal(rs[0].Body, &out); err != nil {
			t.Fatal(err)
		}
		return out.ID
	}
	first := kyc.Update{OccurredAt: happened, OccurredAtOrigin: kyc.OriginSignature}
	resent := kyc.Update{OccurredAt: happened.Add(time.Hour), OccurredAtOrigin: kyc.OriginSignature}
	if id(first) != id(resent) {
		t.Error("a signature's time, which differs per sending, is in the id")
	}
}

// TestCheckOverride: a source says what its overall updates are about, by workflow before by
// source; steps and documents keep their own.
func TestCheckOverride(t *testing.T) {
	d := open(t)
	src := *d.set.Load().sources["sumsub"]
	f := func(want kyc.Check, u kyc.Update) {
		t.Helper()
		u.Check = kyc.Liveness
		rs, err := d.Ingress.records(&message{src: &src, h: http.Header{}, body: []byte("x"), now: at, res: provider.Result{Updates: []kyc.Update{u}}})
		if err != nil {
			t.Fatal(err)
		}
		var got kyc.Update
		if err := json.Unmarshal(rs[0].Body, &got); err != nil || got.Check != want {
			t.Errorf("%s %s: check %s, %v; want %s", u.Scope, u.Verification.Workflow, got.Check, err, want)
		}
	}
	basic, poa := kyc.Verification{Workflow: "basic"}, kyc.Verification{Workflow: "poa"}
	f(kyc.Liveness, kyc.Update{Scope: kyc.Overall})
	src.Check = kyc.IdentityVerification
	f(kyc.IdentityVerification, kyc.Update{Scope: kyc.Overall, Verification: poa})
	src.Checks = map[string]kyc.Check{"poa": kyc.AddressVerification}
	f(kyc.AddressVerification, kyc.Update{Scope: kyc.Overall, Verification: poa})
	f(kyc.IdentityVerification, kyc.Update{Scope: kyc.Overall, Verification: basic})
	f(kyc.IdentityVerification, kyc.Update{Scope: kyc.Overall})
	src.Check = ""
	f(kyc.Liveness, kyc.Update{Scope: kyc.Overall, Verification: basic})
	f(kyc.Liveness, kyc.Update{Scope: kyc.CheckScope, Verification: poa})
	f(kyc.Liveness, kyc.Update{Scope: kyc.DocumentScope, Verification: poa})
}

// TestAddress: whose subject it is.
func TestAddress(t *testing.T) {
	d := open(t)
	f := func(source, subject, partner, id string) {
		t.Helper()
		u := d.last(approval(t, source, subject))
		if u.Partner != partner || u.Subject.ID != id || u.Subject.ProviderRef == "" {
			t.Errorf("%s, %s: partner %q, subject %+v; want %q, %q", source, subject, u.Partner, u.Subject, partner, id)
		}
	}
	f("sumsub", "acme:user-1", "acme", "acme:user-1")
	f("prefixed", "acme:user-1", "acme", "user-1")
	f("prefixed", "beta:a:b", "beta", "a:b")
	f("submitted", "user-1", "", "")
	noID := strings.Replace(sample(t, "sumsub", "approved", provider.SampleVars{Subject: "gone"}), `"externalUserId":"gone",`, "", 1)
	if u := d.last(genuine(t, "prefixed", noID)); u.Partner != "" || u.Subject.ID != "" || u.Subject.ProviderRef != "ref-gone" {
		t.Errorf("without our id: %+v", u)
	}
	for _, subject := range []string{"user-1", "gamma:user-1", ":user-1", "acme:", "ACME:user-1"} {
		d.quarantines(journal.NoPartner, "prefixed", sample(t, "sumsub", "approved", provider.SampleVars{Subject: subject}))
	}
}

// quarantines sends a callback that must be answered 200, leave no record, and be kept sealed; a
// second time it is kept once.
func (d *door) quarantines(reason journal.Reason, source, body string) {
	d.t.Helper()
	before, held := d.journal.Backlog(), d.journal.Quarantined()
	for range 2 {
		if a := d.ask(genuine(d.t, source, body, "Content-Type: application/json", "X-Other: not kept")); a.status != 200 {
			d.t.Fatalf("answered %d", a.status)
		}
	}
	if d.journal.Backlog() != before || d.journal.Quarantined() != held+1 {
		d.t.Errorf("%d new records and %d new bodies; want none and one", d.journal.Backlog()-before, d.journal.Quarantined()-held)
	}
	d.keeps(reason, source, body)
}

// keeps wants a body in quarantine, readable with the key and not without.
func (d *door) keeps(reason journal.Reason, source, body string) {
	d.t.Helper()
	items, _, err := d.journal.Items("", 1000)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, v := range items {
		item, err := d.journal.Unseal(v.ID)
		if err != nil {
			d.t.Fatal(err)
		}
		if string(item.Body) != body || item.Source != source {
			continue
		}
		if item.Reason != reason || !item.At.Equal(at) || v.Bytes != len(body) || item.Detail == "" || len(item.Headers) != 1 || item.Headers["Content-Type"][0] != "application/json" {
			d.t.Errorf("held as %+v", item)
		}
		if b, _ := json.Marshal(v); len(body) > 20 && strings.Contains(string(b), body[:20]) {
			d.t.Errorf("the list shows the body: %s", b)
		}
		return
	}
	d.t.Errorf("%s: not in quarantine: %.80s", reason, body)
}

// TestQuarantine is I8: what is genuine and cannot be applied is kept, sealed, and nothing is
// applied.
func TestQuarantine(t *testing.T) {
	d := open(t)
	d.quarantines(journal.WrongMode, "sumsub", sample(t, "sumsub", "approved", provider.SampleVars{Livemode: true}))
	d.quarantines(journal.Unreadable, "sumsub", `{"type":"applicantReviewed","externalUserId":{"an object":"where a text belongs"}}`)
	d.quarantines(journal.Unreadable, "sumsub", "\x00\x01 binary, and no JSON at all")
	d.quarantines(journal.Unreadable, "probe", "nothing: an adapter with a bug")
	d.quarantines(journal.Unreadable, "sumsub", strings.Repeat("[", 200_000))
	for i, hold := range provider.Holds {
		d.quarantines(journal.Reason(hold), "probe", fmt.Sprintf("held: %d", i))
	}
	unknown := strings.Replace(sample(t, "sumsub", "rejected_final", provider.SampleVars{}), "applicantReviewed", "applicantSomethingNew", 1)
	d.quarantines(journal.UnknownEvent, "sumsub", unknown)

	u := d.last(genuine(t, "probe", "keep: a word nobody knows", "Content-Type: application/json"))
	if u.Status != kyc.InReview || d.journal.Quarantined() != int64(7+len(provider.Holds)) {
		t.Errorf("an unknown word: %s, %d in quarantine", u.Status, d.journal.Quarantined())
	}
	d.keeps(journal.UnknownWord, "probe", "keep: a word nobody knows")

	live := open(t, func(o *Options) {
		for i := range o.Sources {
			o.Sources[i].Livemode = true
		}
	})
	if u := live.last(genuine(t, "sumsub", sample(t, "sumsub", "approved", provider.SampleVars{Livemode: true}))); !u.Livemode {
		t.Error("a live update is not marked so")
	}
	if u := live.last(approval(t, "rebilly", "user-1")); !u.Livemode { // whose bodies do not say
		t.Error("an update of a live source is not marked so")
	}
	live.quarantines(journal.WrongMode, "sumsub", sample(t, "sumsub", "approved", provider.SampleVars{}))
}

// TestHostileIDs: an id that could be taken for another subject's, or that cannot be told from
// another, is nobody's: its body is kept, and nothing of it is applied.
func TestHostileIDs(t *testing.T) {
	d := open(t)
	for _, id := range []string{`ann\u0001t`, `\u0000`, `ann\u0085`, `ann\n`, `ann\u001b[2J`, `ann\ufffd`, `ann\ud800`, strings.Repeat("x", kyc.MaxID+1)} {
		body := strings.Replace(sample(t, "sumsub", "approved", provider.SampleVars{Subject: "HERE"}), "HERE", id, 1)
		d.quarantines(journal.Unreadable, "sumsub", body)
	}
	for _, id := range []string{"ann\x01t", "\x00", "ann\u0085", "ann\n", "ann\xff", "ann\ufffd", strings.Repeat("x", kyc.MaxID+1)} { // whatever the adapter makes of it
		d.quarantines(journal.Unreadable, "probe", "subject:"+id)
	}
	for _, ref := range []string{"a\x00b", "a\x01t", "a\xff", "a\ufffd"} {
		d.quarantines(journal.Unreadable, "probe", "ref:"+ref)
		d.quarantines(journal.Unreadable, "probe", "fetches:"+ref)
	}
	for _, id := range []string{"a/b", "%01t", `ann\x01t`, ".", "Zoë", strings.Repeat("x", kyc.MaxID)} {
		if u := d.last(genuine(t, "probe", "subject:"+id)); u.Subject.ID != id {
			t.Errorf("%q became %q", id, u.Subject.ID)
		}
	}
}

// TestTraceparent: only a well-formed W3C header goes on.
func TestTraceparent(t *testing.T) {
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	f := func(want string, values ...string) {
		t.Helper()
		if got := traceparent(http.Header{"Traceparent": values}); got != want {
			t.Errorf("traceparent(%q) = %q, want %q", values, got, want)
		}
	}
	f(good, good)
	f("")
	f("", "")
	f("", good, good)
	f("", strings.ToUpper(good))
	f("", good+" ")
	f("", good+"-01")
	f("", "01"+good[2:])
	f("", good[:54]+"g")
	f("", strings.Replace(good, "-", "_", 1))
	f("", strings.Replace(good, "4bf92f3577b34da6a3ce929d0e0e4736", strings.Repeat("0", 32), 1))
	f("", strings.Replace(good, "00f067aa0ba902b7", strings.Repeat("0", 16), 1))
	f("", "00-"+strings.Repeat("-", 32)+good[35:])
	for i := range good {
		f("", good[:i]+"\n"+good[i+1:])
	}
}

// TestNew: a source whose scheme or keys cannot work is refused by name before anything is served.
func TestNew(t *testing.T) {
	f := func(want string, change func(*Source)) {
		t.Helper()
		s := Source{Name: "the-source", Adapter: adapter(t, "sumsub"), Keys: ring(t, hmacKey)}
		change(&s)
		if _, err := New(Options{Sources: []Source{s}}); err == nil || !strings.Contains(err.Error(), "the-source") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want one that names the source and %q", err, want)
		}
	}
	f("unknown option", func(s *Source) { s.Options = provider.Options{"algo": "sha256"} })
	f("key", func(s *Source) { s.Keys = nil })
	f("key", func(s *Source) { s.Keys = signing.Keyring{{}} })
	f("user:password", func(s *Source) { s.Adapter, s.Keys = adapter(t, "rebilly"), ring(t, "no-colon-here-at-all") })
}

// TestProviderReleases: a provider's word that ends its own suspension is a record like another,
// with or without a status, and at the provider's time. Who proves less than the source asks for
// ends nothing.
func TestProviderReleases(t *testing.T) {
	d := open(t)
	f := func(source string, status, wantStatus kyc.Status, wantRelease bool) {
		t.Helper()
		u := kyc.Update{
			Subject: kyc.Subject{ID: "user-1"}, Scope: kyc.Overall, Check: kyc.IdentityVerification, Status: status, Release: true,
			Verification: kyc.Verification{ParentRef: "user"}, OccurredAt: happened, OccurredAtOrigin: kyc.OriginProvider,
		}
		in := d.intake(&message{src: d.set.Load().sources[source], h: http.Header{}, body: []byte("active"), now: at, res: provider.Result{Updates: []kyc.Update{u}}})
		if len(in.Records) != 1 || in.Keep != nil {
			t.Fatalf("%s: %+v", source, in)
		}
		var got kyc.Update
		if err := json.Unmarshal(in.Records[0].Body, &got); err != nil {
			t.Fatal(err)
		}
		if got.Status != wantStatus || got.Release != wantRelease || !got.OccurredAt.Equal(happened) || got.Kind != kyc.Observation {
			t.Errorf("%s: %s; want status %q, release %v", source, in.Records[0].Body, wantStatus, wantRelease)
		}
	}
	f("probe", "", "", true)
	f("probe", kyc.Approved, kyc.Approved, true)
	f("weakly", "", "", false)
	f("weakly", kyc.Approved, kyc.InReview, false)
}
