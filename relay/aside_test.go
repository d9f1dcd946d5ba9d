package relay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/store"
)

// wound damages what stands in the file under a key, so that nobody can put it right.
func (g *rig) wound(n store.Name, key []byte) {
	g.t.Helper()
	g.tamper(func(tx *store.Tx) error { return spoil(tx, n, key) })
}

// numbered lists the changes of a subject as a partner would have them.
func (g *rig) numbered(id string) (list []string) {
	g.t.Helper()
	for _, c := range g.view("acme", id, true).Changes {
		list = append(list, fmt.Sprintf("%d %s %s %s -> %s", c.Sequence, c.ID, c.Type, c.PreviousStatus, c.Status))
	}
	return list
}

func (g *rig) stateOf(lane string) []byte {
	g.t.Helper()
	var b []byte
	err := g.store.View(func(tx *store.Tx) error {
		s, err := loadSubject(tx, lane)
		if err == nil {
			b, err = s.State.MarshalBinary()
		}
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return b
}

func isAside(g *rig, ids ...string) {
	g.t.Helper()
	var got []string
	for _, v := range g.relay.Aside() {
		got = append(got, v.ID)
	}
	if !slices.Equal(got, ids) {
		g.t.Errorf("set aside: %v, want %v", got, ids)
	}
}

// TestDamagedState (I13): one damaged record costs one person. Nothing is told of them, what is
// said of them is kept, everybody else goes on; and from the whole history the state is made anew,
// the very one that would stand had nothing happened.
func TestDamagedState(t *testing.T) {
	f := func(what string, damage func(g *rig)) {
		t.Helper()
		p, q := newPartner(t, ok), newPartner(t, ok)
		g, twin := start(t, acme(p.endpoint("a"))), start(t, acme(q.endpoint("a")))
		tell := func(us ...kyc.Update) {
			for _, r := range []*rig{g, twin} {
				r.tell(us...)
				r.settled()
			}
		}
		tell(said("ann", 1, kyc.InReview), said("ann", 2, kyc.Approved), said("bob", 1, kyc.Approved))
		damage(g)
		before := len(p.seen())
		tell(said("ann", 3, kyc.Rejected))
		tell(said("bob", 2, kyc.Rejected), said("ann", 4, kyc.Approved))
		isAside(g, "ann")
		if got := len(p.seen()) - before; got != 2 {
			t.Errorf("%s: %d deliveries, want the two of bob", what, got)
		}
		if v := g.view("acme", "ann", true); !v.SetAside || v.Status.Status != "" || len(v.Records) != 2 {
			t.Errorf("%s: %+v", what, v)
		}
		if _, err := g.relay.SubjectStatus("acme", "ann", true); !errors.Is(err, ErrAside) {
			t.Errorf("%s: a poll answers %v", what, err)
		}
		held(t, g, 2)
		g.restart()
		isAside(g, "ann")
		if _, err := g.relay.Rebuild(t.Context(), Rebuild{Partner: "acme", Subject: "bob", Livemode: true, Actor: "ops"}); !errors.Is(err, ErrNotAside) {
			t.Errorf("%s: bob is rebuilt: %v", what, err)
		}
		order := Rebuild{Partner: "acme", Subject: "ann", Livemode: true, Actor: "ops", Note: "the disk"}
		foreseen, err := g.relay.ForeseeRebuild(order)
		if err != nil || foreseen.Waiting != 2 || foreseen.Before != kyc.Approved {
			t.Errorf("%s: ForeseeRebuild = %+v, %v", what, foreseen, err)
		}
		held(t, g, 2)
		isAside(g, "ann")
		out, err := g.relay.Rebuild(t.Context(), order)
		if err != nil || !out.Folded {
			t.Fatalf("%s: Rebuild = %+v, %v", what, out, err)
		}
		asForeseen(t, &foreseen, &out)
		g.settled()
		isAside(g)
		held(t, g, 0)
		if got, want := g.numbered("ann"), twin.numbered("ann"); !slices.Equal(got, want) || len(want) < 4 {
			t.Errorf("%s: told\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		tell(said("ann", 5, kyc.Approved), said("ann", 6, kyc.Rejected))
		if got, want := g.stateOf("acme/ann"), twin.stateOf("acme/ann"); !bytes.Equal(got, want) {
			t.Errorf("%s: the state is %x, want %x", what, got, want)
		}
		if got, want := g.numbered("ann"), twin.numbered("ann"); !slices.Equal(got, want) {
			t.Errorf("%s: afterwards\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		inOrder(t, p)
	}
	state := func(g *rig) { g.wound(store.Subjects, []byte("acme/ann")) }
	f("while it runs", state)
	f("found at the start", func(g *rig) { state(g); g.restart() })
	f("a length that lies", func(g *rig) {
		g.tamper(func(tx *store.Tx) error {
			return tx.Bucket(store.Subjects).Put([]byte("acme/ann"), []byte{0xff, 0xff, 0x03, '{', '}'})
		})
	})
	f("somebody else's state", func(g *rig) {
		g.tamper(func(tx *store.Tx) error {
			v, err := tx.Bucket(store.Subjects).Get([]byte("acme/bob"))
			return errors.Join(err, tx.Bucket(store.Subjects).Put([]byte("acme/ann"), bytes.Clone(v)))
		})
	})
}

// asForeseen: what a rebuild came to is what was foreseen of it.
func asForeseen(t *testing.T, foreseen *RebuildPlan, came *Decided) {
	t.Helper()
	if foreseen.After != came.After || len(foreseen.Changes) != len(came.Changes) || len(came.Changes) == 0 {
		t.Errorf("foreseen:\n%+v\ncame:\n%+v", foreseen.Decided, came)
	}
	for i := range min(len(foreseen.Changes), len(came.Changes)) {
		f, c := &foreseen.Changes[i], &came.Changes[i]
		if f.Type != c.Type || f.Sequence != c.Sequence || f.Status != c.Status || f.PreviousStatus != c.PreviousStatus || !slices.Equal(f.Endpoints, c.Endpoints) {
			t.Errorf("foreseen %+v, came %+v", f, c)
		}
	}
}

// inOrder proves that a partner has been told of each subject in order, and nothing twice (I3).
func inOrder(t *testing.T, p *partner) {
	t.Helper()
	last := map[string]uint64{}
	for _, h := range p.seen() {
		var m struct {
			Data struct {
				Sequence uint64
				Subject  struct{ ID string }
			}
		}
		if err := json.Unmarshal([]byte(h.body), &m); err != nil {
			t.Fatal(err)
		}
		if c := m.Data; c.Sequence <= last[c.Subject.ID] {
			t.Errorf("%s: %d after %d", c.Subject.ID, c.Sequence, last[c.Subject.ID])
		}
		last[m.Data.Subject.ID] = m.Data.Sequence
	}
}

// TestRebuildFromRest: where the history is not whole nobody can tell where somebody stands. An
// operator says so, and that is told, under a number that was never told.
func TestRebuildFromRest(t *testing.T) {
	p := newPartner(t, ok)
	g := start(t, acme(p.endpoint("a")))
	g.tell(said("ann", 1, kyc.InReview), said("ann", 2, kyc.Rejected), said("ann", 3, kyc.Approved))
	g.settled()
	told := g.view("acme", "ann", true).Changes
	g.tamper(func(tx *store.Tx) error {
		c := tx.Bucket(store.History).Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			if k[historyHead-1] == kindRecord {
				return errors.Join(spoil(tx, store.History, bytes.Clone(k)), spoil(tx, store.Subjects, []byte("acme/ann")))
			}
		}
		return errors.New("no record")
	})
	g.restart()
	g.tell(said("ann", 4, kyc.Rejected))
	g.folded()
	isAside(g, "ann")
	order := Rebuild{Partner: "acme", Subject: "ann", Livemode: true, Actor: "ops"}
	if _, err := g.relay.Rebuild(t.Context(), order); !errors.Is(err, ErrNotWhole) {
		t.Fatalf("half a history: %v", err)
	}
	if _, err := g.relay.ForeseeRebuild(order); !errors.Is(err, ErrNotWhole) {
		t.Fatalf("half a history, foreseen: %v", err)
	}
	order.Decision = &Decision{Manual: true, Check: kyc.IdentityVerification, Scope: kyc.Overall, Status: kyc.InReview}
	foreseen, err := g.relay.ForeseeRebuild(order)
	if err != nil || foreseen.Waiting != 1 {
		t.Fatalf("ForeseeRebuild = %+v, %v", foreseen, err)
	}
	held(t, g, 1)
	out, err := g.relay.Rebuild(t.Context(), order)
	asForeseen(t, &foreseen, &out)
	if err != nil || !out.Folded || out.After != kyc.InReview && out.After != kyc.Rejected {
		t.Fatalf("Rebuild = %+v, %v", out, err)
	}
	g.settled()
	isAside(g)
	held(t, g, 0)
	v := g.view("acme", "ann", true)
	if last := v.Changes[len(v.Changes)-1]; last.Sequence <= told[len(told)-1].Sequence || v.Status.Status == kyc.Approved {
		t.Errorf("told %d last, %s; %d had been told before", last.Sequence, v.Status.Status, told[len(told)-1].Sequence)
	}
	inOrder(t, p)
}

// TestRepairSuspects: whoever a record that cannot be read seems to be about is set aside; a ref
// that cannot be read leads to nobody.
func TestRepairSuspects(t *testing.T) {
	g := start(t, acme())
	g.tell(of(said("ann", 1, kyc.Approved), "persona", "act_ann", "", ""), of(said("bob", 1, kyc.Approved), "persona", "act_bob", "", ""))
	g.tell(unknown(1, kyc.Approved, "act_new", "", ""))
	g.folded()
	g.stopped()
	bob := said("bob", 2, kyc.Rejected)
	if err := g.journal.Append(t.Context(), journal.Record{Kind: bob.Kind, Appended: g.clock.now(), Body: bob.AppendJSON(nil)}); err != nil {
		t.Fatal(err)
	}
	g.tamper(func(tx *store.Tx) error {
		k, _ := tx.Bucket(store.Journal).Cursor().Last()
		ref, _ := tx.Bucket(store.Refs).Cursor().Seek([]byte(strandPrefix))
		return errors.Join(spoilHead(tx, store.Journal, bytes.Clone(k)), spoil(tx, store.Refs, bytes.Clone(ref)))
	})
	g.restart()
	eventually(t, "bob is set aside", func() bool { return len(g.relay.Aside()) == 1 })
	isAside(g, "bob")
	g.tell(unknown(2, kyc.Rejected, "act_ann", "", "")) // the first ref
	g.folded()
	held(t, g, 2)
	if v := g.view("acme", "ann", true); v.Status.Status != kyc.Approved || v.SetAside {
		t.Errorf("ann: %+v", v.Status)
	}
	if out, err := g.relay.Rebuild(t.Context(), Rebuild{Partner: "acme", Subject: "bob", Livemode: true, Actor: "ops"}); err != nil || !out.Folded {
		t.Fatalf("Rebuild = %+v, %v", out, err)
	}
	g.wound(store.Subjects, []byte("acme/ann"))
	g.restart()
	eventually(t, "ann is set aside", func() bool { return len(g.relay.Aside()) > 0 })
	isAside(g, "ann") // and bob is not again
}

// spoilHead damages a record so that what it says can still be guessed.
func spoilHead(tx *store.Tx, n store.Name, key []byte) error {
	body, err := tx.Bucket(n).Get(key)
	record := store.NewRecord(body)
	err = errors.Join(err, tx.Bucket(n).PutRecord(key, record))
	record[1] ^= 0xff
	return err
}

// TestRepairMakesAnew: what follows from other records is made anew from them.
func TestRepairMakesAnew(t *testing.T) {
	g := start(t, acme())
	approval := said("ann", 2, kyc.Approved)
	approval.ExpiresAt = g.clock.now().AddDate(1, 0, 0)
	g.tell(said("ann", 1, kyc.InReview), named(approval))
	g.folded()
	g.tamper(func(tx *store.Tx) error {
		timer, _ := tx.Bucket(store.Timers).Cursor().First()
		place, _ := tx.Bucket(store.Index).Cursor().First()
		return errors.Join(spoil(tx, store.Timers, bytes.Clone(timer)), spoil(tx, store.Index, bytes.Clone(place)))
	})
	g.restart()
	eventually(t, "the timer is there again", func() bool { return g.entries(store.Timers) == 1 && g.entries(store.Damaged) == 2 })
	eventually(t, "the repair is over", func() bool { yes, err := g.store.Unrepaired(); return !yes && err == nil })
	if v := g.view("acme", "ann", true); len(v.Records) != 2 {
		t.Errorf("%d records found by the index, want 2", len(v.Records))
	}
	path := g.store.Path()
	g.close()
	rep, err := store.Examine(t.Context(), path, "", nil, NewAuditor)
	if err != nil || len(rep.Problems) > 0 {
		t.Errorf("%+v, %v", rep, err)
	}
	g.open()
}
