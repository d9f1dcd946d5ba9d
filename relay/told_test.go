package relay

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
	"countersign/relay/registry"
)

// TestTold: of each endpoint it is said how far it has been told, what it is owed and what that
// waits for, and what is dead.
func TestTold(t *testing.T) {
	good, bad := newPartner(t, ok), newPartner(t, always(503))
	g := start(t, acme(good.endpoint("a", only("kyc.status.*")), bad.endpoint("b", only("kyc.status.*"), hourly), bad.endpoint("c", only("kyc.status.*"), attempts(1))))
	g.tell(said("ann", 1, kyc.Pending))
	g.folded()
	tried := func() {
		t.Helper()
		eventually(t, "what is due has been tried", func() bool {
			return g.outbox.OldestDue("a").IsZero() && g.outbox.OldestDue("b").IsZero() && g.outbox.OldestDue("c").IsZero()
		})
	}
	tried()
	g.tell(said("ann", 2, kyc.InReview), said("ann", 3, kyc.Approved), said("anna", 1, kyc.Rejected))
	g.folded()
	tried()
	f := func(what string, want ...string) {
		t.Helper()
		var got []string
		v, err := g.relay.Subject("acme", "ann", true, Asked{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range v.Endpoints {
			words := []string{fmt.Sprint(e.Endpoint, " ", e.Accepted)}
			for _, o := range e.Owed {
				words = append(words, fmt.Sprint("owed ", o.Sequence, " ", o.Waits, " ", o.Behind, " ", o.Failures, " ", !o.Next.IsZero()))
			}
			for _, d := range e.Dead {
				words = append(words, fmt.Sprint("dead ", d.Sequence, " ", d.Reason))
			}
			got = append(got, strings.Join(words, " "))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", what, got, want)
		}
	}
	a, c := "a 6", "c 0 dead 2 exhausted dead 4 exhausted dead 6 exhausted"
	f("at first", a, "b 0 owed 2 try 0 1 true owed 4 behind 2 0 false owed 6 behind 2 0 false", c)
	if err := g.registry.Pause(t.Context(), "b", registry.Pause{By: "kim", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	f("paused", a, "b 0 owed 2 paused 0 1 false owed 4 behind 2 0 false owed 6 behind 2 0 false", c)
	var plan registry.Plan
	err := g.store.View(func(tx *store.Tx) (err error) {
		plan, err = registry.PlanOf(tx, g.partners, nil)
		return err
	})
	if err = errors.Join(err, g.registry.Own(t.Context(), plan)); err != nil { // as a start does
		t.Fatal(err)
	}
	g.close()
	g.partners[0].Endpoints = g.partners[0].Endpoints[:1]
	g.open()
	g.run()
	eventually(t, "it is known that they have gone", func() bool { return g.registry.Read().IsOrphan("b") })
	f("gone", a, "b 0 owed 2 orphaned 0 1 false owed 4 behind 2 0 false owed 6 behind 2 0 false", c)
}

// TestThenWithoutHistory: what has had its time is said to be gone, and where somebody stood is
// said as far as what is left says it.
func TestThenWithoutHistory(t *testing.T) {
	g := start(t, acme())
	steps := []kyc.Status{kyc.Pending, kyc.Approved, kyc.Rejected}
	for i, s := range steps {
		if i > 0 {
			g.clock.advance(24 * time.Hour)
		}
		u := said("ann", 1, s)
		u.OccurredAt, u.ReceivedAt = g.clock.now().Add(-time.Second), g.clock.now()
		g.tell(named(u))
		g.folded()
	}
	now := g.clock.now()
	days := func(n float64) time.Time { return now.Add(-time.Duration(n * 24 * float64(time.Hour))) }
	f := func(at time.Time, by string, status kyc.Status, records int) {
		t.Helper()
		v, err := g.relay.Subject("acme", "ann", true, Asked{At: at})
		if err != nil {
			t.Fatal(err)
		}
		if v.At == nil || v.At.By != by || v.Status.Status != status || len(v.Records) != records || (by == ByFold) == (len(v.Checks) == 0) && records > 0 || (by == ByFold) != v.At.KnownFrom.IsZero() {
			t.Errorf("%s ago: by %+v, %q, %d records, %d checks; want %s, %q, %d", now.Sub(at), v.At, v.Status.Status, len(v.Records), len(v.Checks), by, status, records)
		}
	}
	f(days(0), ByFold, kyc.Rejected, 3)
	f(days(0.5), ByFold, kyc.Approved, 2)
	f(days(1.5), ByFold, kyc.Pending, 1)
	f(days(2.5), ByFold, kyc.NotStarted, 0)
	gone := func() {
		t.Helper()
		if err := g.halt(); err != nil { // which removes what has had its time itself
			t.Fatal(err)
		}
		g.relay.Keep(Retention{History: 36 * time.Hour})
		for more := true; more; {
			var err error
			if more, err = g.relay.retainHistory(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		g.restart()
	}
	gone()
	f(days(0), ByChange, kyc.Rejected, 2)
	f(days(0.5), ByChange, kyc.Approved, 1)
	f(days(1.5), ByNobody, "", 0)
	g.clock.advance(72 * time.Hour)
	gone()
	g.tell(said("bob", 1, kyc.Approved)) // since then everything is kept
	g.folded()
	f(g.clock.now(), ByChange, kyc.Rejected, 0)
}
