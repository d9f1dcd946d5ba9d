package relay

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// handover is a log whose first part is folded in one file and whose rest in another, too, which
// knows of the first nothing but checkpoints.
type handover struct {
	t       *testing.T
	dice    *rand.Rand
	here    *rig
	maxOwed int64 // of an endpoint; 0: the default
	records []journal.Record
	next    int // of the records
}

var handoverNow = time.Date(2026, 3, 19, 9, 0, 0, 0, time.UTC)

func newHandover(t *testing.T, seed uint64, maxOwed int64, apart time.Duration, us []kyc.Update) *handover {
	t.Helper()
	h := &handover{t: t, maxOwed: maxOwed, dice: rand.New(rand.NewPCG(seed, 3))}
	h.here = h.file()
	defer func() { h.here.write(slices.Clone(h.records)...) }()
	for i := range us {
		u := us[i]
		u.ReceivedAt = handoverNow.Add(time.Duration(i-len(us)) * apart)
		h.records = append(h.records, journal.Record{Kind: u.Kind, Appended: u.ReceivedAt, Body: u.AppendJSON(nil), Position: h.here.at(int64(i + 1))})
	}
	return h
}

// file is a file of another node: the same registry, the same clock.
func (h *handover) file() *rig {
	h.t.Helper()
	few := newPartner(h.t, ok).endpoint("acme-few", func(e *Endpoint) { e.MaxOwed = h.maxOwed })
	few.URL = "http://127.0.0.1:1/"
	all := few
	all.ID, all.MaxOwed = "acme-all", 0
	other := all
	other.ID = "globex-all"
	g := newRig(h.t, acme(few, all), Partner{ID: "globex", Endpoints: []Endpoint{other}})
	g.clock.set(handoverNow.Add(time.Second))
	if err := g.registry.RegisterPolicies(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	return g
}

// fold folds the next n records in a file, and in another one, if there is one.
func (h *handover) fold(n int, also ...*rig) {
	h.t.Helper()
	for _, g := range append(also, h.here) {
		rs := slices.Clone(h.records[h.next : h.next+n])
		if err := g.relay.fold(h.t.Context(), rs); err != nil {
			h.t.Fatal(err)
		}
	}
	h.next += n
}

// settle ends some of what is owed in the file, as receipts.
func (h *handover) settle() (rs []outbox.Receipt) {
	h.t.Helper()
	err := h.here.store.View(func(tx *store.Tx) error {
		all, err := h.here.outbox.ListOwed(tx, outbox.OwedQuery{Wanted: func(string) bool { return true }, Most: 1000, Look: 10000})
		for _, d := range all.List {
			if h.dice.IntN(2) == 0 {
				continue
			}
			rs = append(rs, outbox.Receipt{
				Endpoint: d.Endpoint, Lane: d.Lane, WebhookID: d.WebhookID, Sequence: d.Sequence, Order: h.here.relay.Position().Offset, Reason: "test", At: handoverNow.Add(time.Minute),
				Outcome: []outbox.Outcome{outbox.Done, outbox.Done, outbox.Died, outbox.Cancelled}[h.dice.IntN(4)],
			})
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.here.tamper(func(tx *store.Tx) error { return h.here.outbox.Receive(tx, rs...) })
	return rs
}

// strands are all of a file.
func (h *handover) strands(g *rig) (all []Strand) {
	h.t.Helper()
	seen := map[Strand]bool{}
	err := g.store.View(func(tx *store.Tx) error {
		return errors.Join(
			tx.Bucket(store.Subjects).ForEach(func(k, _ []byte) error {
				seen[PersonStrand(string(k))] = true
				return nil
			}),
			tx.Bucket(store.Refs).ForEach(func(k, _ []byte) error {
				if ref, _, ok := waitsAt(k); bytes.HasPrefix(k, []byte("h\x00")) && ok {
					seen[RefStrand(ref)] = true
				}
				if ref, ok := bytes.CutPrefix(k, []byte(strandPrefix)); ok {
					seen[RefStrand(string(ref))] = true
				}
				return nil
			}),
		)
	})
	if err != nil {
		h.t.Fatal(err)
	}
	for s := range seen {
		all = append(all, s)
	}
	slices.Sort(all)
	return all
}

func (h *handover) checkpoint(s Strand) (c Checkpoint) {
	h.t.Helper()
	err := h.here.store.View(func(tx *store.Tx) (err error) {
		c, err = h.here.relay.Checkpoint(tx, s)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// restored is another file, of these checkpoints, that goes on behind a record.
func (h *handover) restored(at journal.Position, cs []Checkpoint) *rig {
	h.t.Helper()
	g := h.file()
	g.write(slices.Clone(h.records)...)
	g.tamper(func(tx *store.Tx) error { return g.relay.RestoreTo(tx, at) })
	h.dice.Shuffle(len(cs), func(i, j int) { cs[i], cs[j] = cs[j], cs[i] })
	for some := range slices.Chunk(cs, 7) {
		g.tamper(func(tx *store.Tx) error {
			for i := range some {
				if err := g.relay.Restore(tx, &some[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g
}

// kept is what is kept of strands in a file, but for their history. Not all: nothing of refs, not
// when a head is due, and not that a person was ahead of the file.
func (h *handover) kept(g *rig, all bool) map[string][]string {
	h.t.Helper()
	is := map[string][]string{}
	err := g.store.View(func(tx *store.Tx) error {
		for _, n := range []store.Name{store.Subjects, store.Refs, store.Deliveries, store.Due, store.Withheld, store.Dead, store.Timers, store.Standings, store.Index, store.Meta} {
			err := tx.Bucket(n).ForEach(func(k, v []byte) error {
				_, told := splitDelivered(k)
				counts := strings.HasPrefix(string(k), "outbox/") || strings.HasPrefix(string(k), "relay/") && !strings.HasPrefix(string(k), "relay/finder")
				switch {
				case n == store.Index && !told, n == store.Meta && !counts:
					return nil
				case n == store.Meta && !bytes.ContainsFunc(v, func(c rune) bool { return c != 0 }):
					return nil // a count that came back to nothing
				case !all && (n == store.Refs || n == store.Due || n == store.Meta && strings.Contains(string(k), openClaims)):
					return nil
				case !all && n == store.Subjects:
					s := &subject{lane: string(k)}
					if err := s.decode(v); err != nil {
						return err
					}
					s.Ahead = false
					v = s.appendTo(nil)
				}
				is[n.String()] = append(is[n.String()], fmt.Sprintf("%q %x", k, v))
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return is
}

// same compares two files.
func (h *handover) same(when string, other *rig, all bool) {
	h.t.Helper()
	want, got := h.kept(h.here, all), h.kept(other, all)
	for n := range want {
		for i := range max(len(want[n]), len(got[n])) {
			switch {
			case i >= len(got[n]):
				h.t.Errorf("%s: %s has %d entries, want %d: not %s", when, n, len(got[n]), len(want[n]), want[n][i])
			case i >= len(want[n]):
				h.t.Errorf("%s: %s has %d entries, want %d: also %s", when, n, len(got[n]), len(want[n]), got[n][i])
			case want[n][i] != got[n][i]:
				h.t.Errorf("%s: %s has\n%s, want\n%s", when, n, got[n][i], want[n][i])
			default:
				continue
			}
			break
		}
	}
}

// sound has a file examined, by all who look at what they keep.
func (h *handover) sound(g *rig) {
	h.t.Helper()
	rep, err := store.Examine(h.t.Context(), filepath.Join(g.snapshot(), "countersign.db"), "", nil, NewAuditor, outbox.NewAuditor)
	if err != nil || len(rep.Problems) > 0 {
		h.t.Errorf("what was restored does not pass its check: %v %v", rep.Problems, err)
	}
}

// TestCheckpoint: whoever knows of a person and of refs nothing but checkpoints has the same state,
// owes the same, says the same to whoever asks, and goes on in the same way.
func TestCheckpoint(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for seed := range uint64(12) {
		few := int64(7) * int64(seed%2)
		h := newHandover(t, seed, few, time.Millisecond, randomUpdates(seed, 160))
		h.fold(40 + h.dice.IntN(40))
		h.settle()
		h.fold(20)
		h.settle()
		var cs []Checkpoint
		for _, s := range h.strands(h.here) {
			cs = append(cs, h.checkpoint(s))
		}
		other := h.restored(h.here.relay.Position(), cs)
		h.same(fmt.Sprintf("seed %d, restored", seed), other, true)
		h.reads(other, seen)
		if few == 0 { // else whose delivery gives way to another person's is of this process
			h.fold(len(h.records)-h.next, other)
			h.same(fmt.Sprintf("seed %d, gone on", seed), other, true)
		}
		h.sound(other)
		for n, rows := range h.kept(other, true) {
			seen[n] += len(rows)
		}
	}
	for _, n := range []store.Name{store.Subjects, store.Refs, store.Deliveries, store.Due, store.Withheld, store.Dead, store.Timers, store.Standings, store.Index, store.Meta} {
		if seen[n.String()] == 0 {
			t.Errorf("nothing stood in %s: this shows nothing of it", n)
		}
	}
	for _, what := range []string{"person", "change"} {
		if seen[what] == 0 {
			t.Errorf("no %s was read", what)
		}
	}
}

// reads compares what partners and operators read of each person.
func (h *handover) reads(other *rig, seen map[string]int) {
	h.t.Helper()
	for _, s := range h.strands(h.here) {
		kind, lane := s.split()
		if kind != personStrand {
			continue
		}
		partner, id, live := splitLane(lane)
		want, err := h.here.relay.SubjectStatus(partner, id, live)
		got, err2 := other.relay.SubjectStatus(partner, id, live)
		if err != nil || err2 != nil {
			h.t.Fatal(err, err2)
		}
		if !reflect.DeepEqual(want, got) {
			h.t.Errorf("%s reads as\n%+v, want\n%+v", lane, got, want)
		}
		seen["person"]++
		if want.Change != nil {
			seen["change"]++
		}
	}
}

// TestCheckpointsOfDifferentTimes: each strand's checkpoint may be of another time, later than where
// the file goes on. What it has seen it passes over: it goes on for half a year, and ids are
// remembered for 90 days.
func TestCheckpointsOfDifferentTimes(t *testing.T) {
	t.Parallel()
	passed := 0
	for seed := range uint64(12) {
		us := slices.DeleteFunc(randomUpdates(seed, 220), func(u kyc.Update) bool { return u.Subject.ID == "" })
		h := newHandover(t, seed, 0, 20*time.Hour, us)
		h.fold(30)
		at, best := h.here.relay.Position(), map[Strand]Checkpoint{}
		for _, s := range h.strands(h.here) {
			best[s] = h.checkpoint(s)
		}
		var late []outbox.Receipt // that no checkpoint needs to have
		for h.next < len(h.records) {
			h.fold(1)
			if h.dice.IntN(9) == 0 {
				late = append(late, h.settle()...)
			}
			if all := h.strands(h.here); h.dice.IntN(3) == 0 {
				if s := all[h.dice.IntN(len(all))]; s[0] == personStrand {
					best[s] = h.checkpoint(s)
				}
			}
		}
		var cs []Checkpoint
		for _, c := range best {
			if cs = append(cs, c); c.Strand[0] == personStrand && c.Upto > at.Offset {
				passed++
			}
		}
		slices.SortFunc(cs, func(a, b Checkpoint) int { return strings.Compare(string(a.Strand), string(b.Strand)) })
		other := h.restored(at, cs)
		h.next = 30
		rest := slices.Clone(h.records[30:])
		if err := other.relay.fold(t.Context(), rest); err != nil {
			t.Fatal(err)
		}
		other.tamper(func(tx *store.Tx) error { return other.outbox.Receive(tx, late...) })
		h.same(fmt.Sprintf("seed %d", seed), other, false)
		h.sound(other)
	}
	if passed < 12 {
		t.Errorf("%d checkpoints had seen more than the file: this shows nothing", passed)
	}
}

// TestCheckpointRefused: what is no checkpoint is refused, and nobody's state is overwritten.
func TestCheckpointRefused(t *testing.T) {
	t.Parallel()
	h := newHandover(t, 5, 0, time.Millisecond, randomUpdates(5, 60))
	h.fold(60)
	other := h.file()
	refused := func(c *Checkpoint, want error) {
		t.Helper()
		err := other.store.Update(t.Context(), func(tx *store.Tx) error { return other.relay.Restore(tx, c) })
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", c.Strand, err, want)
		}
	}
	for _, s := range h.strands(h.here) {
		c := h.checkpoint(s)
		for n := range len(c.Body) {
			refused(&Checkpoint{s, c.Upto, c.Body[:n]}, store.ErrBadRecord)
		}
		refused(&Checkpoint{s, c.Upto, append(bytes.Clone(c.Body), 0)}, store.ErrBadRecord)
		refused(&Checkpoint{"x" + s, c.Upto, c.Body}, store.ErrBadRecord)
		if s[0] == personStrand {
			refused(&Checkpoint{s + "x", c.Upto, c.Body}, store.ErrBadRecord)
			refused(&Checkpoint{s, c.Upto + 1, c.Body}, store.ErrBadRecord)
		}
		if err := other.store.Update(t.Context(), func(tx *store.Tx) error { return other.relay.Restore(tx, &c) }); err != nil {
			t.Fatal(err)
		}
		refused(&c, ErrRestored)
	}
	for _, s := range []Strand{"", "x", "p", PersonStrand("acme/nobody"), RefStrand("nothing")} {
		err := h.here.store.View(func(tx *store.Tx) error {
			_, err := h.here.relay.Checkpoint(tx, s)
			return err
		})
		if !errors.Is(err, outbox.ErrNotFound) {
			t.Errorf("%q: %v, want not found", s, err)
		}
	}
	damaged := "acme/user-1"
	h.here.tamper(func(tx *store.Tx) error { return spoil(tx, store.Subjects, []byte(damaged)) })
	err := h.here.store.View(func(tx *store.Tx) error {
		_, err := h.here.relay.Checkpoint(tx, PersonStrand(damaged))
		return err
	})
	if !errors.Is(err, ErrAside) {
		t.Errorf("of a damaged person: %v, want %v", err, ErrAside)
	}
}

// TestRestoredErased: an erasure finds all that a checkpoint has brought.
func TestRestoredErased(t *testing.T) {
	t.Parallel()
	h := newHandover(t, 5, 0, time.Millisecond, randomUpdates(5, 120))
	h.fold(120)
	h.settle()
	var cs []Checkpoint
	for _, s := range h.strands(h.here) {
		cs = append(cs, h.checkpoint(s))
	}
	other := h.restored(h.here.relay.Position(), cs)
	other.run()
	const id = "user-1"
	if _, err := other.relay.Erase(t.Context(), "acme", id, true, "", func(Erasure) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for _, n := range store.Names() {
		err := other.store.View(func(tx *store.Tx) error {
			return tx.Bucket(n).ForEach(func(k, v []byte) error {
				if lane := "acme/" + id + "\x00"; bytes.Contains(append(k, 0), []byte(lane)) || bytes.HasPrefix(v, []byte(lane)) {
					t.Errorf("%s: %q is left", n, k)
				}
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	h.sound(other)
}
