package relay

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"countersign/kyc"
	"countersign/outbox/store"
	"countersign/relay/registry"
)

// filtered has an endpoint told only what meets a condition.
func filtered(t *testing.T, text string) func(*Endpoint) {
	t.Helper()
	f, err := registry.NewFilter(text)
	if err != nil {
		t.Fatal(err)
	}
	return func(e *Endpoint) { e.Filter = f }
}

// heard are the changes that a partner was told, of everybody or of some, by their types' last
// words.
func (p *partner) heard(of ...string) string {
	var words []string
	for _, h := range p.seen() {
		if len(of) > 0 && !slices.ContainsFunc(of, func(id string) bool { return strings.Contains(h.body, `"subject":{"id":"`+id+`"`) }) {
			continue
		}
		typ, _, _ := strings.Cut(strings.TrimPrefix(h.body, `{"type":"kyc.`), `"`)
		words = append(words, strings.TrimPrefix(typ, "status."))
	}
	return strings.Join(words, " ")
}

// TestTakingAwayIsTold: whoever was told that a person is approved is told what takes that away,
// whatever its events and its filter say, and before and after it what they let pass only.
func TestTakingAwayIsTold(t *testing.T) {
	events, filter, strangers, none := newPartner(t, ok), newPartner(t, ok), newPartner(t, ok), newPartner(t, ok)
	g := start(t, acme(
		events.endpoint("events", only("kyc.status.approved")), filter.endpoint("filter", only("kyc.status.*"), filtered(t, `change.status == "approved"`)),
		strangers.endpoint("strangers", only("kyc.status.*"), filtered(t, `change.subject.id == "bob"`)), none.endpoint("none", only("kyc.check.failed")),
	))
	minute := 0
	tell := func(s kyc.Status) {
		t.Helper()
		minute++
		g.tell(said("ann", minute, s))
		g.settled()
	}
	f := func(want, wantNone string) {
		t.Helper()
		if events.heard() != want || filter.heard() != want || strangers.heard() != "" || none.heard() != wantNone {
			t.Errorf("told %q by events and %q by a filter, want %q; strangers %q, and none %q, want %q", events.heard(), filter.heard(), want, strangers.heard(), none.heard(), wantNone)
		}
	}
	tell(kyc.InReview)
	tell(kyc.Rejected) // it never believed anything else
	f("", "check.failed")
	tell(kyc.Approved)
	f("approved", "check.failed")
	d := rejects()
	d.Partner, d.Subject, d.Livemode = "acme", "ann", true
	foreseen, err := g.relay.ForeseeDecision(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range foreseen.Changes {
		if want := "[events filter]"; c.Type == "kyc.status.rejected" && fmt.Sprint(c.Endpoints) != want {
			t.Errorf("foreseen for %v, want %s", c.Endpoints, want)
		}
	}
	tell(kyc.Rejected)
	f("approved rejected", "check.failed check.failed")
	tell(kyc.Suspended) // it knows already that he is not
	f("approved rejected", "check.failed check.failed")
	tell(kyc.Approved)
	f("approved rejected approved", "check.failed check.failed")
	tell(kyc.Suspended)
	f("approved rejected approved suspended", "check.failed check.failed")
}

// TestTrustOutlives: that an endpoint believes a person approved outlives a restart, other events,
// and the loss of the subject's state.
func TestTrustOutlives(t *testing.T) {
	p := newPartner(t, ok)
	g := start(t, acme(p.endpoint("main", only("kyc.status.*"))))
	g.tell(said("ann", 1, kyc.Approved))
	g.tell(said("bob", 1, kyc.Approved))
	g.tell(said("cid", 1, kyc.Rejected))
	g.settled()
	g.close()
	g.partners[0].Endpoints[0].Events = []string{"kyc.document.*"}
	g.open()
	g.run()
	g.tell(said("ann", 2, kyc.InReview))
	g.settled()
	g.tell(said("ann", 3, kyc.Rejected)) // an open review ends no approval for good
	g.tell(said("cid", 2, kyc.Suspended))
	g.settled()
	for person, want := range map[string]string{"ann": "approved in_review rejected", "bob": "approved", "cid": "rejected"} {
		if got := p.heard(person); got != want {
			t.Errorf("%s: told %q, want %q", person, got, want)
		}
	}
}

// TestBrokenFilterHidesNothing: a change that a filter fails about is owed, counted, and the first
// is logged.
func TestBrokenFilterHidesNothing(t *testing.T) {
	p := newPartner(t, ok)
	g := start(t, acme(p.endpoint("main", only("kyc.status.*"), filtered(t, `change.reasons[7].code == "x"`))))
	g.tell(said("ann", 1, kyc.Rejected))
	g.tell(said("bob", 1, kyc.Rejected))
	g.settled()
	if got := p.heard(); got != "rejected rejected" || g.metric("relay_filter_failures_total") != 2 || g.log.count("endpoint_filter_failed") != 1 {
		t.Errorf("told %q, counted %v, logged %d", got, g.metric("relay_filter_failures_total"), g.log.count("endpoint_filter_failed"))
	}
}

// TestTrustIsRebuilt: when the state of a person had to be made anew, nobody knows any more who
// believes what: all that were told anything are told what takes an approval away.
func TestTrustIsRebuilt(t *testing.T) {
	p := newPartner(t, ok)
	g := start(t, acme(p.endpoint("main", only("kyc.status.approved"))))
	g.tell(said("ann", 1, kyc.Approved))
	g.settled()
	g.wound(store.Subjects, []byte("acme/ann"))
	g.tell(said("ann", 2, kyc.InReview))
	g.settled()
	if out, err := g.relay.Rebuild(t.Context(), Rebuild{Partner: "acme", Subject: "ann", Livemode: true, Actor: "ops", Note: "the disk"}); err != nil || !out.Folded {
		t.Fatalf("Rebuild = %+v, %v", out, err)
	}
	g.tell(said("ann", 3, kyc.Rejected))
	eventually(t, "the rejection is told", func() bool { return strings.HasSuffix(p.heard(), "rejected") })
}
