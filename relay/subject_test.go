package relay

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// TestSubject: who told us what, what we made of it, whom we told.
func TestSubject(t *testing.T) {
	p, gone := newPartner(t, ok), newPartner(t, always(404))
	g := start(t, acme(p.endpoint("a", only("kyc.status.*")), gone.endpoint("b", only("kyc.check.*"), attempts(3))))
	review := because(said("ann", 1, kyc.InReview), kyc.HighRisk)
	other := said("ann", 5, kyc.Approved)
	other.Source, other.Provider = "persona-eu", "persona"
	g.tell(review, review, named(other), said("annabel", 1, kyc.Suspended))
	g.settled()
	v := g.view("acme", "ann", true)
	if v.Object != "subject" || v.Partner != "acme" || v.ID != "ann" || !v.Livemode || v.HasMore || v.Policy.Version != 1 {
		t.Errorf("%+v", v)
	}
	same(t, "verdicts", verdicts(v), []string{"applied[1 2]", "duplicate[]", "applied[3 4]"})
	var sources []string
	for _, r := range v.Records {
		if sources = append(sources, r.Update.Source); r.At.IsZero() {
			t.Error("a record without its time")
		}
	}
	same(t, "sources", sources, []string{"sumsub-eu", "sumsub-eu", "persona-eu"})
	if r := v.Records[0].Update.Reasons; len(r) != 1 || r[0].Code != kyc.HighRisk {
		t.Errorf("reasons: %v", r)
	}
	var changes, outcomes []string
	for _, c := range v.Changes {
		changes = append(changes, fmt.Sprint(c.Sequence, " ", c.Type))
	}
	for _, o := range v.Deliveries {
		outcomes = append(outcomes, fmt.Sprint(o.Sequence, " ", o.Endpoint, " ", o.Outcome, " ", o.Reason, " ", o.Code, " ", o.Attempts))
	}
	slices.Sort(outcomes) // endpoints wait for nobody
	same(t, "changes", changes, []string{"1 kyc.check.review_required", "2 kyc.status.in_review", "3 kyc.check.clear", "4 kyc.status.approved"})
	same(t, "outcomes", outcomes, []string{"1 b dead_lettered exhausted 404 3", "2 a done http_2xx 200 1", "3 b dead_lettered exhausted 404 3", "4 a done http_2xx 200 1"})
	if v.Status.Status != kyc.Approved || v.Status.Sequence != 4 || len(v.Checks) != 2 || v.Checks[0].Status != kyc.Approved || v.Checks[1].Status != kyc.InReview {
		t.Errorf("status %+v, checks %+v", v.Status, v.Checks)
	}
	if n := len(g.view("acme", "annabel", true).Records); n != 1 {
		t.Errorf("annabel has %d records", n)
	}
}

func TestSubjectNotFound(t *testing.T) {
	g := start(t, acme())
	g.tell(said("ann", 1, kyc.Approved))
	g.folded()
	f := func(partner, id string, livemode bool) {
		t.Helper()
		if _, err := g.relay.Subject(partner, id, livemode, Asked{}); !errors.Is(err, outbox.ErrNotFound) {
			t.Errorf("Subject(%q, %q, %v) = %v", partner, id, livemode, err)
		}
	}
	f("acme", "an", true)
	f("acme", "annn", true)
	f("acme", "ann", false)
	f("acme", "", true)
	f("acm", "ann", true)
	f("acme/ann", "", true)
	f("", "", true)
}

// TestSubjectIDs: ids with our own separators in them stay apart.
func TestSubjectIDs(t *testing.T) {
	p := newPartner(t, ok)
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"))))
	ids := []string{"ann", "ann@example.com", "a/b", "a", "b", "ünï", strings.Repeat("x", 128), "t", "a%2Fb", "a b"}
	for _, id := range ids {
		g.tell(said(id, 1, kyc.Approved), inTest(said(id, 2, kyc.Rejected)))
	}
	g.settled()
	for _, id := range ids {
		live, test := g.view("acme", id, true), g.view("acme", id, false)
		if len(live.Records) != 1 || len(test.Records) != 1 || live.Status.Status != kyc.Approved || test.Status.Status != kyc.Rejected || live.Changes[0].Subject.ID != id {
			t.Errorf("%q: %d live and %d test records", id, len(live.Records), len(test.Records))
		}
	}
	if n := len(p.accepted()); n != 2*len(ids) {
		t.Errorf("%d delivered, want %d", n, 2*len(ids))
	}
}

// TestSubjectPages: a page of a life of 50,000 changes and their deliveries, the newest first,
// costs about as many looks as it shows entries, wherever it is, and together the pages are the
// life: no entry is left out or shown twice, also when more comes between two pages.
func TestSubjectPages(t *testing.T) {
	t.Parallel()
	const life = 50_000
	p := newPartner(t, ok)
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"))))
	g.tell(said("ann", 1, kyc.Approved), said("anna", 1, kyc.Approved))
	g.settled()
	g.lifetime("ann", life, "a")
	f := func(limit int) {
		t.Helper()
		v, err := g.relay.Subject("acme", "ann", true, Asked{Limit: limit})
		if err != nil || len(v.Records)+len(v.Deliveries) != limit || !v.HasMore || v.Status.Status != kyc.Approved {
			t.Fatalf("%v: %d records and %d deliveries, %v", err, len(v.Records), len(v.Deliveries), v.Status)
		}
		for range 3 {
			var looked int
			from, _ := (&Asked{After: v.Next}).before()
			was := v
			v = SubjectView{}
			if err := g.store.View(func(tx *store.Tx) error {
				v.page(tx, laneOf("acme", "ann", true), from, limit, nil)
				looked = tx.Looked()
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if looked > 5*limit+10 {
				t.Errorf("%d looks for a page of %d", looked, limit)
			}
			if got, before := v.Records[0].At, was.Records[len(was.Records)-1].At; !got.Before(before) {
				t.Errorf("%s after %s", got, before)
			}
		}
	}
	f(10)
	f(100)
	f(1000)
	a, seen, last := Asked{Limit: 1000}, map[uint64]bool{}, uint64(1<<62)
	for more := true; more; {
		v, err := g.relay.Subject("acme", "ann", true, a)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range v.Changes {
			if seen[c.Sequence] || c.Sequence >= last {
				t.Fatalf("change %d again, or out of order after %d", c.Sequence, last)
			}
			seen[c.Sequence], last = true, c.Sequence
		}
		if more, a.After = v.HasMore, v.Next; len(seen) == 2000 {
			g.lifetime("anna", 10, "a")
		}
	}
	if len(seen) != life+2 {
		t.Errorf("%d changes, want %d", len(seen), life+2)
	}
	if _, err := g.relay.Subject("acme", "ann", true, Asked{After: "AAAA"}); !errors.Is(err, ErrCursor) {
		t.Errorf("no cursor: %v", err)
	}
}

// TestDamagedHistory: a damaged entry is left out and stays in the file; the rest is shown (I8).
func TestDamagedHistory(t *testing.T) {
	g := start(t, acme())
	g.tell(said("ann", 1, kyc.InReview), said("ann", 2, kyc.Approved), said("ann", 3, kyc.Rejected))
	g.folded()
	g.tamper(func(tx *store.Tx) error {
		seen := map[byte]int{}
		var keys [][]byte
		err := tx.Bucket(store.History).ForEach(func(k, _ []byte) error {
			kind := k[historyHead-1]
			if seen[kind]++; kind == kindRecord && seen[kind] == 2 || kind == kindChange && seen[kind] == 1 {
				keys = append(keys, slices.Clone(k))
			}
			return nil
		})
		for _, k := range keys {
			err = errors.Join(err, spoil(tx, store.History, k))
		}
		return err
	})
	if v := g.view("acme", "ann", true); len(v.Records) != 2 || len(v.Changes) != 5 || v.Status.Status != kyc.Rejected {
		t.Errorf("%d records, %d changes, %s", len(v.Records), len(v.Changes), v.Status.Status)
	}
}

// TestSubjectJSON holds the names that the API and the command line show.
func TestSubjectJSON(t *testing.T) {
	p := newPartner(t, ok)
	g := start(t, acme(p.endpoint("a")))
	g.tell(said("ann", 1, kyc.Approved))
	g.settled()
	var got map[string]any
	if err := json.Unmarshal([]byte(text(t, g.view("acme", "ann", true))), &got); err != nil {
		t.Fatal(err)
	}
	f := func(object any, want ...string) {
		t.Helper()
		m, _ := object.(map[string]any)
		var names []string
		for k := range m {
			names = append(names, k)
		}
		slices.Sort(names)
		same(t, "fields", names, want)
	}
	firstOf := func(name string) any {
		list, _ := got[name].([]any)
		if len(list) == 0 {
			t.Fatalf("%s is empty", name)
		}
		return list[0]
	}
	f(any(got), "changes", "checks", "deliveries", "endpoints", "has_more", "id", "livemode", "object", "partner", "policy", "records", "status", "why")
	f(firstOf("records"), "at", "changes", "update", "verdict")
	f(firstOf("deliveries"), "at", "attempts", "code", "created_at", "endpoint", "format", "id", "outcome", "reason", "received_at", "sequence", "took_ms", "type")
}
