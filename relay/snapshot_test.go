package relay

import (
	"context"
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
	"countersign/relay/registry"
)

// world is a relay that folds records which are the same in each world, by what its registry said
// under one number or another. Nothing is delivered.
type world struct {
	*rig
	numbers []registry.VersionNumber // of the configs that it was given
	next    int64                    // offset of the next record
	size    int                      // of what is folded at once
}

// configs are two in a row: in the second everything is otherwise that decides, by other names.
func configs() (is [][]Partner) {
	f, err := registry.NewFilter(`change.status != "pending"`)
	if err != nil {
		panic(err)
	}
	first := []Partner{
		acme(Endpoint{ID: "a", Format: standard, Events: []string{"*"}}, Endpoint{ID: "b", Format: blendfi, Events: []string{"kyc.status.*"}, MaxOwed: 3}),
		{ID: "globex", Endpoints: []Endpoint{{ID: "g", Format: standard, Events: []string{"*"}}}},
	}
	second := []Partner{
		{ID: "initech", RenamedFrom: "acme", Policy: kyc.Policy{ValidityMonths: 1, Required: []kyc.Check{kyc.AddressVerification}}, Endpoints: []Endpoint{
			{ID: "a-now", RenamedFrom: "a", Format: blendfiV1, Events: []string{"kyc.status.*"}}, {ID: "c", Format: standard, Events: []string{"*"}, Filter: f},
		}},
		{ID: "globex", Endpoints: []Endpoint{{ID: "g", Format: standard, Events: []string{"*"}, Since: t0.Add(100 * time.Hour)}}},
	}
	return [][]Partner{first, second}
}

// newWorld is a world whose registry was given so many configs, one after the other.
func newWorld(t *testing.T, given int) *world {
	t.Helper()
	all := configs()
	w := &world{rig: newRig(t, slices.Concat(all...)...), next: 1, size: 1000}
	w.clock.set(t0.Add(24 * time.Hour))
	for _, ps := range all[:given] {
		var plan registry.Plan
		err := w.store.View(func(tx *store.Tx) (err error) { plan, err = registry.PlanOf(tx, ps, nil); return err })
		ctx := t.Context()
		if err = errors.Join(err, w.registry.RenamePartners(ctx, plan), w.registry.Own(ctx, plan)); err != nil || len(plan.Refused) > 0 {
			t.Fatal(plan.Refused, err)
		}
		for _, m := range plan.Moves {
			if err := errors.Join(w.registry.Begin(ctx, m), w.registry.Finish(ctx, m)); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(w.registry.Configure(ps), w.registry.RegisterPolicies(ctx)); err != nil {
			t.Fatal(err)
		}
		w.numbers = append(w.numbers, w.registry.Newest())
	}
	return w
}

// by lets the world fold by what the registry said under the number of a config, and from a record
// on by that of another.
func (w *world) by(config int, from int64, then int) *world {
	w.relay.o.Snapshot = func(at journal.Position) *registry.Snapshot {
		if at.Offset >= from {
			return w.registry.At(w.numbers[then])
		}
		return w.registry.At(w.numbers[config])
	}
	return w
}

func (w *world) say(us ...kyc.Update) {
	w.t.Helper()
	rs := make([]journal.Record, len(us))
	for i, u := range us {
		rs[i] = w.record(u)
		rs[i].Position.Offset = w.next
		w.next++
	}
	for len(rs) > 0 {
		n := min(w.size, len(rs))
		if err := w.relay.fold(w.t.Context(), rs[:n]); err != nil {
			w.t.Fatal(err)
		}
		rs = rs[n:]
	}
}

// live says what is said in every world, and whatever operators then order, by what stands there.
func (w *world) live(seed uint64) (file []string) {
	w.t.Helper()
	us := randomUpdates(seed, 150)
	w.say(us[:100]...)
	now := w.clock.now().UTC()
	move := kyc.Update{SchemaVersion: 1, Kind: kyc.PolicyChange, Partner: "acme", Livemode: true, Subject: kyc.Subject{ID: "user-1"}, PolicyVersion: 2, Actor: "ops", ReceivedAt: now}
	w.say(named(move))
	w.say(named(kyc.Update{
		SchemaVersion: 1, Kind: kyc.Submission, Source: "sumsub-eu", Provider: "sumsub", Partner: "acme", Livemode: true, Subject: kyc.Subject{ID: "user-9", ProviderRef: "p-user-9"}, ReceivedAt: now,
	}))
	var released, back, again []kyc.Update
	w.tamper(func(tx *store.Tx) error {
		c := tx.Bucket(store.Refs).Cursor()
		for k, _ := c.Seek([]byte("p\x00")); strings.HasPrefix(string(k), "p\x00") && len(released) < 3; k, _ = c.Next() {
			at, _ := journal.PositionOf(k[2:])
			u := kyc.Update{SchemaVersion: 1, Kind: kyc.Decision, Release: true, UnroutedID: unroutedID(at), Partner: "acme", Livemode: true, Actor: "ops", ReceivedAt: now}
			u.Subject.ID = fmt.Sprint("user-", len(released))
			released = append(released, named(u))
		}
		recall(tx, "acme/user-0", func(key []byte, kind byte, body []byte) bool {
			var c kyc.Change
			if kind == kindChange && readChange(body, &c) {
				at, _ := recordTime(key)
				for _, endpoint := range []string{"a", "a-now", "b", "c"} {
					u := kyc.Update{SchemaVersion: 1, Kind: kyc.Redelivery, Partner: "acme", Livemode: true, Subject: kyc.Subject{ID: "user-0"}, ChangeID: c.ID, Endpoint: endpoint, Force: true, Actor: "ops", ReceivedAt: now}
					u.Replay.ID, u.Replay.Sequence, u.Replay.At = "r1", c.Sequence, at
					again = append(again, named(u))
				}
			}
			return true
		})
		return nil
	})
	w.say(append(released, again...)...)
	dead := w.dead("b") // what was given up, without a body
	for _, d := range dead[:min(len(dead), 5)] {
		id, endpoint, _ := outbox.SplitID(d.ID)
		u := kyc.Update{SchemaVersion: 1, Kind: kyc.Redelivery, ChangeID: id, Endpoint: endpoint, Force: true, Actor: "ops", ReceivedAt: now}
		u.Partner, u.Subject.ID, u.Livemode = splitLane(d.Subject)
		w.say(named(u))
	}
	w.rebuild("user-2", nil)
	d := rejects()
	w.rebuild("user-3", &d)
	w.tamper(func(tx *store.Tx) error {
		for _, r := range released {
			if g := readGiven(tx, r.UnroutedID); g != nil {
				u := kyc.Update{SchemaVersion: 1, Kind: kyc.Decision, UnroutedID: r.UnroutedID, TakenBack: g.Update, Actor: "ops", ReceivedAt: now}
				u.Partner, u.Subject.ID, u.Livemode = splitLane(g.Lane)
				back = append(back, named(u))
			}
		}
		return nil
	})
	w.say(back...)
	w.say(us[100:]...)
	if len(released) == 0 || len(back) == 0 || len(again) == 0 || len(dead) == 0 && len(w.numbers) == 1 {
		w.t.Fatalf("%d released, %d taken back, %d again, %d given up: too little was tried", len(released), len(back), len(again), len(dead))
	}
	return w.file()
}

// rebuild sets somebody of acme aside, and orders that they be made again: from their history, or by
// a decision.
func (w *world) rebuild(id string, d *Decision) {
	w.t.Helper()
	w.tamper(func(tx *store.Tx) error { return w.relay.putAside(tx, "acme/"+id, store.Subjects) })
	_, u, err := w.relay.rebuilding(&Rebuild{Partner: "acme", Subject: id, Livemode: true, Note: "for a test", Actor: "ops", Decision: d})
	if err != nil {
		w.t.Fatal(err)
	}
	w.say(named(u))
}

// file is what stands in the file, but for what the registry keeps, and when what was decided.
func (w *world) file() (lines []string) {
	w.t.Helper()
	err := w.store.View(func(tx *store.Tx) error {
		for _, n := range store.Names() {
			if n == store.Registry || n == store.Folds {
				continue
			}
			err := tx.Bucket(n).ForEach(func(k, v []byte) error {
				if key := string(k); !strings.HasPrefix(key, "relay/policy/") && key != "store/sums" {
					lines = append(lines, fmt.Sprintf("%s %q %q", n, k, v))
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return lines
}

// TestFoldByVersion: what is owed, and everything else that a fold makes, follows from the records
// and from what the registry said under the number that counts for them: the same by the first, by
// the second, and by the first again, whatever the registry says meanwhile, and as it was when that
// was the newest. A fold that asks the registry what it says at the moment makes something else of
// the same records: then each test here fails.
func TestFoldByVersion(t *testing.T) {
	t.Parallel()
	const never = 1 << 40
	for seed := range uint64(2) {
		first := newWorld(t, 1).live(seed)  // when the first was the newest
		second := newWorld(t, 2).live(seed) // by what counts at the moment, which is no function of the records
		if slices.Equal(first, second) {
			t.Fatalf("seed %d: two configs decide the same: nothing is shown", seed)
		}
		f := func(what string, got, want []string) {
			t.Helper()
			for i := range want {
				if i >= len(got) || got[i] != want[i] {
					t.Errorf("seed %d, %s:\n%.300s\nwant\n%.300s", seed, what, strings.Join(got[i:min(i+1, len(got))], ""), want[i])
					return
				}
			}
			if len(got) != len(want) {
				t.Errorf("seed %d, %s: %d entries, want %d", seed, what, len(got), len(want))
			}
		}
		f("by the first", newWorld(t, 2).by(0, never, 0).live(seed), first)
		f("by the second", newWorld(t, 2).by(1, never, 1).live(seed), second)
		f("by the first again", newWorld(t, 2).by(0, never, 0).live(seed), first)
		whole := newWorld(t, 2).by(0, 60, 1).live(seed)
		if slices.Equal(whole, first) || slices.Equal(whole, second) {
			t.Errorf("seed %d: a number that comes in the midst changes nothing", seed)
		}
		w := newWorld(t, 2).by(0, 60, 1)
		w.size = 7
		f("in other batches", w.live(seed), whole)
	}
}

// TestRegistryNotRead: a record of which it is not known what decides about it waits, and those
// before it do not.
func TestRegistryNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	read := int64(2) // up to which record
	ctx, stop := context.WithCancel(t.Context())
	w.relay.o.Snapshot = func(at journal.Position) *registry.Snapshot {
		if at.Offset > read {
			if at.Offset == 3 && w.relay.Position().Offset == 2 && read == 2 {
				stop() // it has come to wait
			}
			return nil
		}
		return w.registry.At(w.numbers[0])
	}
	rs := make([]journal.Record, 4)
	for i := range rs {
		rs[i] = w.record(said("ann", i+1, kyc.Pending))
		rs[i].Position.Offset = int64(i + 1)
	}
	if err := w.relay.fold(ctx, rs); err != nil || w.relay.Position().Offset != 2 || !w.log.has("registry_not_read") {
		t.Fatalf("folded up to %v, %v; want 2", w.relay.Position(), err)
	}
	read = 4
	if err := w.relay.fold(t.Context(), rs[2:]); err != nil || w.relay.Position().Offset != 4 {
		t.Errorf("folded up to %v, %v; want 4", w.relay.Position(), err)
	}
}
