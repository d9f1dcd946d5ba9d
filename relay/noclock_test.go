package relay

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// notOfTheFold are the buckets that are about this process: when it folded what, and from when on it
// may try what it owes. What waited for longer than a minute to be folded is due from then, and not
// from when it was taken, and such a head has an entry more that says so. The registry is not the
// fold's: its versions say when they were made.
var notOfTheFold = map[store.Name]bool{store.Folds: true, store.Due: true, store.Registry: true}

// foldedAt folds records with the clock at an instant, in another file each time, and returns what
// stands in each bucket. What is to be said after the first half is made of what that has owed.
func foldedAt(t *testing.T, now time.Time, first []journal.Record, then func(g *rig) []journal.Record) map[store.Name][]string {
	t.Helper()
	few := newPartner(t, ok).endpoint("acme-few", func(e *Endpoint) { e.MaxOwed = 9 })
	few.URL = "http://127.0.0.1:1/"
	all := few
	all.ID, all.MaxOwed = "acme-all", 0
	g := newRig(t, acme(few, all), Partner{ID: "globex"})
	g.clock.set(now)
	fold := func(rs []journal.Record) {
		t.Helper()
		for i := range rs {
			g.appended++
			rs[i].Position = g.at(g.appended)
		}
		if err := g.relay.fold(t.Context(), rs); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.registry.RegisterPolicies(t.Context()); err != nil {
		t.Fatal(err)
	}
	fold(slices.Clone(first))
	fold(then(g))
	is := map[store.Name][]string{}
	err := g.store.View(func(tx *store.Tx) error {
		for _, n := range store.Names() {
			if err := tx.Bucket(n).ForEach(func(k, v []byte) error {
				if n == store.Meta && (bytes.HasPrefix(k, []byte("registry/")) || !bytes.HasPrefix(k, []byte("relay/")) && !bytes.HasPrefix(k, []byte("outbox/"))) {
					return nil // what this process keeps of itself
				}
				is[n] = append(is[n], fmt.Sprintf("%q %x", k, v))
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return is
}

// TestNoClockInTheFold: the same records give the same file, byte for byte, whenever they are
// folded: states, histories, what is owed, what is given up for want of room, and what is owed again
// by an order or by a replay (I11). Only when it was folded, and when it is due, is of the clock.
func TestNoClockInTheFold(t *testing.T) {
	base := time.Date(2026, 3, 19, 9, 0, 0, 0, time.UTC)
	at := func(i int) time.Time { return base.Add(time.Duration(i) * time.Millisecond) }
	var first []journal.Record
	for i, u := range randomUpdates(7, 150) {
		u.ReceivedAt = at(i)
		first = append(first, journal.Record{Kind: u.Kind, Appended: at(i), Body: u.AppendJSON(nil)})
	}
	then := func(g *rig) (rs []journal.Record) {
		dead := g.dead("acme-few")
		if len(dead) < 8 {
			t.Fatalf("%d are dead for want of room: this shows nothing", len(dead))
		}
		for i, d := range dead[:8] {
			webhookID, _, _ := outbox.SplitID(d.ID)
			u := kyc.Update{SchemaVersion: 1, Kind: kyc.Redelivery, ChangeID: webhookID, Endpoint: "acme-all", Force: i%2 == 0, Actor: "ops", ReceivedAt: at(200 + i)}
			u.Partner, u.Subject.ID, u.Livemode = splitLane(d.Subject)
			if u.Endpoint = "acme-few"; i < 4 {
				u.Replay = kyc.Replay{ID: "rpl_1", Sequence: d.Sequence, At: d.Received}
				u.Endpoint = "acme-all"
			}
			u = named(u)
			rs = append(rs, journal.Record{Kind: u.Kind, Appended: u.ReceivedAt, Body: u.AppendJSON(nil)})
		}
		return rs
	}
	one, other := foldedAt(t, at(400), first, then), foldedAt(t, at(400).Add(time.Hour), first, then)
	for _, n := range []store.Name{store.Subjects, store.History, store.Refs, store.Deliveries, store.Dead, store.Outcomes, store.Withheld, store.Index} {
		if len(one[n]) == 0 {
			t.Errorf("nothing stands in %s: this shows nothing of it", n)
		}
	}
	for _, n := range store.Names() {
		if notOfTheFold[n] {
			if slices.Equal(one[n], other[n]) {
				t.Errorf("%s: the same an hour later: the clock was not moved", n)
			}
			continue
		}
		for i := range max(len(one[n]), len(other[n])) {
			if i >= len(one[n]) || i >= len(other[n]) || one[n][i] != other[n][i] {
				t.Errorf("%s: %d entries, and %d an hour later; the first that differs is number %d", n, len(one[n]), len(other[n]), i)
				break
			}
		}
	}
}
