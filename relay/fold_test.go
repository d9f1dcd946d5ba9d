package relay

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// told is what a standard body says.
type told struct {
	Type string `json:"type"`
	Data struct {
		ID       string      `json:"id"`
		Sequence uint64      `json:"sequence"`
		Previous uint64      `json:"previous_sequence"`
		Subject  kyc.Subject `json:"subject"`
		Livemode bool        `json:"livemode"`
	} `json:"data"`
}

func read1(t *testing.T, h hit) (b told) {
	t.Helper()
	if err := json.Unmarshal([]byte(h.body), &b); err != nil {
		t.Fatal(err, h.body)
	}
	return b
}

// story is a partner's hits as "type previous>sequence".
func story(t *testing.T, hits []hit) (lines []string) {
	t.Helper()
	for _, h := range hits {
		b := read1(t, h)
		lines = append(lines, fmt.Sprintf("%s %d>%d", strings.TrimPrefix(b.Type, "kyc."), b.Data.Previous, b.Data.Sequence))
	}
	return lines
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

// verdicts are what became of a subject's records, with the changes owed for them.
func verdicts(v SubjectView) (lines []string) {
	for _, r := range v.Records {
		lines = append(lines, fmt.Sprint(r.Verdict, r.Changes))
	}
	return lines
}

func TestFoldKeepsEveryVerdict(t *testing.T) {
	p := newPartner(t, ok)
	g := start(t, acme(p.endpoint("a")))
	review := said("ann", 1, kyc.InReview)
	g.tell(review, said("ann", 3, kyc.Approved), review, said("ann", 2, kyc.InReview), said("ann", 2, kyc.Rejected))
	g.settled()
	v := g.view("acme", "ann", true)
	same(t, "verdicts", verdicts(v), []string{"applied[1 2]", "applied[3 4]", "duplicate[]", "stale[]", "stale[]"})
	same(t, "deliveries", story(t, p.seen()), []string{"check.review_required 0>1", "status.in_review 1>2", "check.clear 2>3", "status.approved 3>4"})
	for i, c := range v.Changes {
		if h := p.seen()[i]; h.id != c.ID || c.Sequence != uint64(i+1) {
			t.Errorf("change %d is %s with sequence %d, delivered as %s", i, c.ID, c.Sequence, h.id)
		}
	}
	f := func(verdict kyc.Verdict, want float64) {
		t.Helper()
		if got := g.metric("relay_updates_total", "verdict", string(verdict)); got != want {
			t.Errorf("relay_updates_total{%s} = %v, want %v", verdict, got, want)
		}
	}
	f(kyc.Applied, 2)
	f(kyc.Duplicate, 1)
	f(kyc.Stale, 2)
	f(kyc.Held, 0)
}

func TestEndpointsDiffer(t *testing.T) {
	all, statuses, checks, sparse := newPartner(t, ok), newPartner(t, ok), newPartner(t, ok), newPartner(t, ok)
	g := start(t, acme(
		all.endpoint("all"), statuses.endpoint("statuses", only("kyc.status.*")), checks.endpoint("checks", only("kyc.check.clear", "kyc.check.failed")),
		sparse.endpoint("sparse", func(e *Endpoint) { e.Format = blendfi }),
	))
	g.tell(said("ann", 1, kyc.Pending), said("ann", 2, kyc.InReview), said("ann", 3, kyc.Approved), said("ann", 4, kyc.InReview), said("ann", 5, kyc.Approved))
	g.settled()
	same(t, "all", story(t, all.seen()), []string{
		"check.pending 0>1", "status.pending 1>2", "check.review_required 2>3", "status.in_review 3>4", "check.clear 4>5",
		"status.approved 5>6", "check.review_required 6>7", "status.in_review 7>8", "check.clear 8>9", "status.approved 9>10",
	})
	same(t, "statuses", story(t, statuses.seen()), []string{"status.pending 0>2", "status.in_review 2>4", "status.approved 4>6", "status.in_review 6>8", "status.approved 8>10"})
	same(t, "checks", story(t, checks.seen()), []string{"check.clear 0>5", "check.clear 5>9"})
	var words []string
	for _, h := range sparse.seen() {
		_, rest, _ := strings.Cut(h.body, `"type":"`)
		word, _, _ := strings.Cut(rest, `"`)
		words = append(words, word)
	}
	same(t, "blendfi has no word for pending and for a first review", words, []string{"user.kyc.approved", "user.kyc.rejected", "user.kyc.approved"})
	var ids []string
	for _, h := range all.seen() {
		if strings.HasPrefix(read1(t, h).Type, "kyc.status.") {
			ids = append(ids, h.id)
		}
	}
	var others []string
	for _, h := range statuses.seen() {
		others = append(others, h.id)
	}
	same(t, "the webhook-id is the change's at every endpoint", others, ids)
	s := loaded(t, g, "acme/ann")
	f := func(endpoint string, want uint64) {
		t.Helper()
		if s.Owed.of(endpoint) != want {
			t.Errorf("%s was last owed %d, want %d", endpoint, s.Owed.of(endpoint), want)
		}
	}
	f("all", 10)
	f("checks", 9)
	f("sparse", 10)
}

// TestNoWordOwesNothing: where the format has no word, previous_sequence does not move.
func TestNoWordOwesNothing(t *testing.T) {
	mute := standard
	mute.Name = "mute"
	mute.Render = func(c kyc.Change, previous uint64) ([]byte, error) {
		if c.Status == kyc.InReview {
			return nil, nil
		}
		return standard.Render(c, previous)
	}
	p := newPartner(t, ok)
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"), func(e *Endpoint) { e.Format = mute })))
	g.tell(said("ann", 1, kyc.Pending), said("ann", 2, kyc.InReview), said("ann", 3, kyc.Approved))
	g.settled()
	same(t, "deliveries", story(t, p.seen()), []string{"status.pending 0>2", "status.approved 2>6"})
}

func loaded(t *testing.T, g *rig, lane string) (s *subject) {
	t.Helper()
	err := g.store.View(func(tx *store.Tx) (err error) {
		s, err = loadSubject(tx, lane)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSince(t *testing.T) {
	p := newPartner(t, ok)
	g := newRig(t)
	now := g.clock.now().Truncate(time.Microsecond)
	f := func(id string, since time.Time) Endpoint {
		return p.endpoint(id, only("kyc.status.*"), func(e *Endpoint) { e.Since = since })
	}
	g.partners = []Partner{acme(
		f("always", time.Time{}), f("past", now.Add(-time.Hour)), f("slack", now.Add(5*time.Minute)), f("late", now.Add(5*time.Minute+time.Microsecond)),
	)}
	g.restart()
	r := g.record(said("ann", 1, kyc.Approved))
	r.Appended = now
	g.write(r)
	g.settled()
	s := loaded(t, g, "acme/ann")
	for id, want := range map[string]uint64{"always": 2, "past": 2, "slack": 2, "late": 0} {
		if s.Owed.of(id) != want {
			t.Errorf("%s was owed %d, want %d", id, s.Owed.of(id), want)
		}
	}
	if n := len(p.seen()); n != 3 {
		t.Errorf("%d deliveries, want 3", n)
	}
}

func TestModesShareNothing(t *testing.T) {
	p := newPartner(t, ok)
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"))))
	g.tell(said("ann", 1, kyc.Approved), inTest(said("ann", 2, kyc.Rejected)), inTest(said("ann", 3, kyc.Pending)))
	g.settled()
	live, test := g.view("acme", "ann", true), g.view("acme", "ann", false)
	if live.Status.Status != kyc.Approved || test.Status.Status != kyc.Rejected && test.Status.Status != kyc.Pending {
		t.Errorf("live is %s, test is %s", live.Status.Status, test.Status.Status)
	}
	if len(live.Records) != 1 || len(test.Records) != 2 || live.Changes[0].Sequence != 1 || test.Changes[0].Sequence != 1 {
		t.Errorf("live has %d records, test has %d; their sequences start at %d and %d", len(live.Records), len(test.Records), live.Changes[0].Sequence, test.Changes[0].Sequence)
	}
	for _, h := range p.seen() {
		b := read1(t, h)
		if b.Data.Subject.ID != "ann" || b.Data.Livemode != (b.Type == "kyc.status.approved") {
			t.Errorf("%s about %q, livemode %v", b.Type, b.Data.Subject.ID, b.Data.Livemode)
		}
	}
}

// TestBodyStays: every attempt has the same id and body, also after a restart with another format
// (I4, I5); its signature is fresh.
func TestBodyStays(t *testing.T) {
	p := newPartner(t, always(500))
	e := p.endpoint("a", only("kyc.status.*"))
	g := start(t, acme(e))
	g.tell(said("ann", 1, kyc.Approved))
	n := len(p.until(t, 3))
	g.close()
	other := e
	other.Format = blendfiV1
	g.partners = []Partner{acme(other)}
	g.clock.advance(time.Minute)
	g.open()
	g.run()
	p.until(t, n+2)
	p.from(ok)
	g.tell(said("ann", 2, kyc.Suspended)) // made in the new format
	g.settled()
	hits := p.seen()
	for _, h := range hits[:len(hits)-1] {
		if h.id != hits[0].id || h.body != hits[0].body {
			t.Errorf("attempt of %s: %s\nwant %s: %s", h.id, h.body, hits[0].id, hits[0].body)
		}
	}
	last := hits[len(hits)-1]
	if last.header.Get("X-Blendfi-Event-Id") == "" || last.id == hits[0].id {
		t.Errorf("what is owed after the change of format has headers %v", last.header)
	}
	if !signedBy(e, hits[0], mainKey, time.Now()) || !signedBy(e, hits[n+1], mainKey, g.clock.now()) {
		t.Error("a signature does not hold")
	}
	if a, b := hits[0].header.Get("Webhook-Timestamp"), hits[n+1].header.Get("Webhook-Timestamp"); a == b {
		t.Errorf("the timestamp stayed %s", a)
	}
}

// TestUnknownRecordsAreKept: what the fold cannot read is kept and counted, and the fold goes on
// (I8).
func TestUnknownRecordsAreKept(t *testing.T) {
	f := func(what string, kind kyc.Kind, body string) {
		t.Helper()
		p := newPartner(t, ok)
		g := start(t, acme(p.endpoint("a", only("kyc.status.*"))))
		g.write(journal.Record{Kind: kind, Appended: g.clock.now(), Body: []byte(body)})
		g.tell(said("ann", 1, kyc.Approved))
		g.settled()
		if g.relay.Unrouted() != 1 || len(p.seen()) != 1 {
			t.Errorf("%s: %d held, %d delivered; want 1, 1", what, g.relay.Unrouted(), len(p.seen()))
		}
		g.restart()
		if g.relay.Unrouted() != 1 {
			t.Errorf("%s: %d held after a restart", what, g.relay.Unrouted())
		}
		var kept string
		g.tamper(func(tx *store.Tx) error {
			v, err := tx.Bucket(store.Refs).Get(heldKey("", g.at(1)))
			var h unroutedRecord
			if err == nil {
				err = json.Unmarshal(v, &h)
			}
			kept = string(h.Raw)
			if h.Raw == nil {
				kept = strings.TrimPrefix(string(h.Body), "null")
			}
			return err
		})
		if kept != body {
			t.Errorf("%s: kept %q, want %q", what, kept, body)
		}
	}
	f("a kind of a later version", kyc.Erasure, `{"schema_version":2,"kind":"erasure","subject":{"id":"ann"}}`)
	f("a kind nobody knows", kyc.Observation, `{"schema_version":9,"kind":"prophecy"}`)
	f("fields of other types", kyc.Observation, `{"kind":["observation"]}`)
	f("not JSON", kyc.Observation, "not json \x00\xff")
	f("cut off", kyc.Observation, `{"kind":"observa`)
	f("empty", kyc.Observation, ``)
}

// TestUnknownPartner: a change that is owed to nobody is kept all the same.
func TestUnknownPartner(t *testing.T) {
	p := newPartner(t, ok)
	g := start(t, acme(p.endpoint("a")))
	u := said("ann", 1, kyc.Approved)
	u.Partner = "gone"
	g.tell(named(u))
	g.folded()
	if v := g.view("gone", "ann", true); v.Status.Status != kyc.Approved || len(v.Changes) != 2 || len(v.Deliveries) != 0 {
		t.Errorf("%+v", v)
	}
	if _, err := g.relay.Subject("acme", "ann", true, Asked{}); !errors.Is(err, outbox.ErrNotFound) {
		t.Errorf("acme's ann: %v", err)
	}
	if len(p.seen()) != 0 {
		t.Error("somebody was told")
	}
}
