package relay

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// lifetime gives a subject of acme a long history: as many changes, each accepted by an endpoint,
// after those that it has.
func (g *rig) lifetime(id string, n int, endpoint string) {
	g.t.Helper()
	lane, begin := laneOf("acme", id, true), g.clock.now().Add(time.Hour)
	for first := 0; first < n; first += 5000 {
		if err := g.store.Update(g.t.Context(), func(tx *store.Tx) error {
			var err error
			for i := first; i < min(n, first+5000); i++ {
				at, seq := begin.Add(time.Duration(i)*time.Millisecond), uint64(100+i)
				h := historyRecord{At: at, Verdict: kyc.Applied, Changes: []uint64{seq}, Update: []byte(`{}`)}
				k, c := recordKey(at, journal.At(int64(1000+i))), kyc.Change{ID: fmt.Sprint("evt_", i), Sequence: seq}
				d := outbox.Delivery{Endpoint: endpoint, Lane: lane, Sequence: seq}
				err = errors.Join(err, tx.Bucket(store.History).PutRecord(k, h.record(lane)), tx.Bucket(store.Index).Put(indexKey(lane, k)),
					tx.Bucket(store.History).PutRecord(changeKey(at, journal.At(int64(1000+i)), seq), appendChange(appendEntry(nil, lane), &c)),
					Settled(tx, outbox.Attempt{Delivery: d, Outcome: outbox.Done, At: at}))
			}
			return err
		}); err != nil {
			g.t.Fatal(err)
		}
	}
}

// TestRedeliveryLooks: an order to deliver again about a person of 50,000 changes costs the writer
// a few looks, whether it is overtaken or not, and whether its body is kept or made again.
func TestRedeliveryLooks(t *testing.T) {
	const changes, most = 50_000, 60
	p := newPartner(t, always(500))
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"), attempts(1), func(e *Endpoint) { e.MaxOwed = 1 }), p.endpoint("b", only("none.*"))))
	g.tell(said("ann", 1, kyc.Rejected))
	g.settled()
	g.tell(said("bob", 1, kyc.InReview))
	g.settled()
	g.lifetime("ann", changes, "b")
	p.from(ok)
	died := g.dead("a")[0]
	bare := died
	bare.HasBody = false
	err := g.store.View(func(tx *store.Tx) error {
		if overtaken(tx, died.Subject, died.Sequence, []string{"a", "formerly"}) || tx.Looked() > 2 {
			t.Errorf("overtaken, or %d looks at who had accepted nothing", tx.Looked())
		}
		return nil
	})
	err = errors.Join(err, g.store.View(func(tx *store.Tx) error {
		if !overtaken(tx, died.Subject, died.Sequence, []string{"a", "b"}) || tx.Looked() > 2 {
			t.Errorf("not overtaken, or %d looks at who had accepted all", tx.Looked())
		}
		return nil
	}), g.store.View(func(tx *store.Tx) error {
		if body, err := renderDead(tx, g.registry.Read(), bare); body == nil || err != nil || tx.Looked() > most {
			t.Errorf("made again: %d bytes, %v, after %d looks", len(body), err, tx.Looked())
		}
		return nil
	}), g.store.Update(t.Context(), func(tx *store.Tx) error {
		before := tx.Looked()
		err := g.relay.revive(tx, g.registry.Read(), order{id: died.ID})
		if n := tx.Looked() - before; n > most {
			t.Errorf("carried out with %d looks", n)
		}
		return err
	}))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is accepted", func() bool { return len(p.accepted()) == 1 })
}

// acceptances are a subject's, one of them long before the other two.
func (g *rig) acceptances() {
	g.t.Helper()
	for i, by := range []time.Duration{0, 30 * time.Hour, time.Hour} {
		g.clock.advance(by)
		g.tell(said("ann", i+1, []kyc.Status{kyc.Rejected, kyc.InReview, kyc.Approved}[i]))
		g.settled()
	}
}

// deliveredAs is how far an endpoint has been told of ann: by the look, and by the walk.
func (g *rig) deliveredAs(endpoint string) (look delivered, walk uint64) {
	g.t.Helper()
	err := g.store.View(func(tx *store.Tx) (err error) {
		for overtakenBefore(tx, "acme/ann", walk, []string{endpoint}) {
			walk++
		}
		look, err = deliveredTo(tx, "acme/ann", endpoint)
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return look, walk
}

// TestDeliveredTo: what is kept of how far an endpoint has been told agrees with its history, after
// retention and a restart too, and goes with the last of it.
func TestDeliveredTo(t *testing.T) {
	p := newPartner(t, ok)
	g := newRig(t, acme(p.endpoint("a", only("kyc.status.*"))))
	g.relay.Keep(Retention{History: 48 * time.Hour})
	g.run()
	g.acceptances()
	f := func(when string, there bool) {
		t.Helper()
		g.retained()
		if look, walk := g.deliveredAs("a"); look.sequence != walk || walk > 0 != there {
			t.Errorf("%s: up to %d by the look, %d by the walk", when, look.sequence, walk)
		}
	}
	g.stopped()
	f("at once", true)
	g.clock.advance(20 * time.Hour)
	f("without the first", true)
	g.clock.advance(48 * time.Hour)
	f("without all", false)
	if n := g.entries(store.Index) + g.entries(store.History) + g.entries(store.Outcomes); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}

// TestDeliveredToDamaged: when it is damaged the history says it, and a repair makes it anew from
// there.
func TestDeliveredToDamaged(t *testing.T) {
	p := newPartner(t, ok)
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"))))
	g.acceptances()
	want, _ := g.deliveredAs("a")
	key := deliveredKey("acme/ann", "a")
	g.wound(store.Index, key)
	err := g.store.Update(t.Context(), func(tx *store.Tx) error {
		if _, err := deliveredTo(tx, "acme/ann", "a"); !errors.Is(err, store.ErrBadRecord) {
			t.Errorf("it reads as %v", err)
		}
		if !overtaken(tx, "acme/ann", want.sequence-1, []string{"a"}) || overtaken(tx, "acme/ann", want.sequence, []string{"a"}) {
			t.Error("the walk says something else")
		}
		raw := bytes.Clone(tx.Bucket(store.Index).Raw(key))
		err := accepted(tx, "acme/ann", "a", 1, g.clock.now())
		if !bytes.Equal(raw, tx.Bucket(store.Index).Raw(key)) {
			t.Error("what is damaged was written over")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	g.restart()
	eventually(t, "the repair is over", func() bool { yes, err := g.store.Unrepaired(); return !yes && err == nil })
	if is, _ := g.deliveredAs("a"); is != want || want.sequence == 0 {
		t.Errorf("after a repair up to %+v, want %+v", is, want)
	}
	path := g.store.Path()
	g.close()
	rep, err := store.Examine(t.Context(), path, "", nil, NewAuditor)
	if err != nil || len(rep.Problems) > 0 {
		t.Errorf("%+v, %v", rep, err)
	}
	g.open()
}
