package relay

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"countersign/kyc"
	"countersign/outbox/store"
)

// listed are the ids that a list has, over all its pages.
func (g *rig) listed(q Persons) (ids []string) {
	g.t.Helper()
	for q.Limit = 7; ; {
		list, next, _, err := g.relay.Persons(q)
		if err != nil {
			g.t.Fatal(err)
		}
		for i := range list {
			ids = append(ids, list[i].ID)
		}
		if q.After = next; next == "" {
			return ids
		}
	}
}

// stands fails where lists of persons are not what the persons themselves say.
func (g *rig) stands(when string, ids []string) {
	g.t.Helper()
	for _, live := range []bool{true, false} {
		held := int64(0)
		want := map[string][]string{}
		for _, id := range ids {
			v, err := g.relay.Subject("acme", id, live, Asked{Limit: 1})
			if err != nil {
				continue // nobody, or erased
			}
			by := 0
			for _, c := range v.Checks {
				by += len(c.HeldBy)
			}
			for _, status := range []string{"", string(v.Status.Status)} {
				want[status] = append(want[status], id)
				if by > 0 {
					want[status+" held"] = append(want[status+" held"], id)
				}
			}
			if by > 0 {
				held++
			}
		}
		for _, status := range append([]kyc.Status{""}, kyc.Statuses...) {
			for _, only := range []bool{false, true} {
				name := string(status)
				if only {
					name += " held"
				}
				for _, partner := range []string{"", "acme"} {
					if got := g.listed(Persons{Partner: partner, Livemode: live, Status: status, Held: only}); !slices.Equal(got, want[name]) {
						g.t.Errorf("%s: live %v, %q of %q: %v, want %v", when, live, name, partner, got, want[name])
					}
				}
			}
		}
		if got := g.relay.Held(live); got != held {
			g.t.Errorf("%s: live %v: %d are held, want %d", when, live, got, held)
		}
		if begins := g.listed(Persons{Partner: "acme", Begins: "p1", Livemode: live}); slices.ContainsFunc(begins, func(id string) bool { return id[:2] != "p1" }) {
			g.t.Errorf("%s: those that begin with p1 are %v", when, begins)
		}
	}
	if ps := g.audited(); len(ps) > 0 {
		g.t.Errorf("%s: %v", when, ps)
	}
}

// TestStandings: whatever is said, released and erased, lists of persons have those who stand so, and
// a damaged or lost entry is made again.
func TestStandings(t *testing.T) {
	g := start(t, acme())
	random := rand.New(rand.NewPCG(3, 4))
	var ids []string
	for i := range 30 {
		ids = append(ids, fmt.Sprintf("p%02d", i))
	}
	minute := 0
	for round := range 4 {
		for range 60 {
			minute++
			u := said(ids[random.IntN(len(ids))], minute, kyc.Statuses[1+random.IntN(len(kyc.Statuses)-1)])
			u.Livemode = random.IntN(4) > 0
			if u.Livemode == false {
				u.Subject.ProviderRef, u.Verification.Ref = "t"+u.Subject.ProviderRef, "t"+u.Verification.Ref
			}
			if u = named(u); random.IntN(4) == 0 {
				u.Status = kyc.Rejected
				u = because(u, kyc.SanctionsMatch)
			}
			g.tell(u)
		}
		g.folded()
		g.stands(fmt.Sprint("round ", round), ids)
		for _, id := range g.listed(Persons{Livemode: true, Held: true})[:2] {
			if _, err := g.decide(Decision{Partner: "acme", Subject: id, Livemode: true, Source: "sumsub-eu", Check: kyc.IdentityVerification, Release: true, Actor: "otto"}); err != nil {
				t.Fatal(err)
			}
		}
		g.stands("after releases", ids)
		g.erase(g.listed(Persons{Livemode: true, Held: true})[0])
		g.stands("after an erasure", ids)
		g.restart()
		g.stands("after a start", ids)
	}
	g.tamper(func(tx *store.Tx) error {
		c := tx.Bucket(store.Standings).Cursor()
		first, _ := c.First()
		first = bytes.Clone(first)
		last, _ := c.Last()
		return errors.Join(spoil(tx, store.Standings, first), spoil(tx, store.Standings, bytes.Clone(last)))
	})
	g.restart()
	eventually(t, "the repair is over", func() bool { yes, err := g.store.Unrepaired(); return !yes && err == nil })
	g.stands("after a repair", ids)
}
