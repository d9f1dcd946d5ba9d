package registry

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
)

func keptPartner(id string) StoredPartner {
	return StoredPartner{ID: id, MaxOpen: 10, Policy: kyc.Policy{
		Required: []kyc.Check{kyc.IdentityVerification}, RequiredCompany: []kyc.Check{kyc.BusinessVerification}, ValidityMonths: 12, NoticeDays: 7,
	}}
}

func keptEndpoint(id, partner string) EndpointDraft {
	return EndpointDraft{StoredEndpoint: StoredEndpoint{
		ID: id, Partner: partner, URL: "https://hooks.example.com/kyc", Format: "standard", Events: []string{"kyc.status.*"}, Concurrency: 16, Timeout: 15 * time.Second, MaxOwed: 1000,
		Retry: Retry{First: time.Second, Factor: 3, Max: time.Hour, Jitter: 0.2, Attempts: 15, MaxRetryAfter: time.Hour},
	}, Clear: map[string]string{"x-env": "canary-secret"}}
}

func by(actor string) Change { return Change{Actor: actor, At: time.Now()} }

// stored is what the file holds: by its current records, and folded from all versions.
func (g *rig) onDisk() (current, folded Stored) {
	g.t.Helper()
	err := g.store.View(func(tx *store.Tx) error {
		var err error
		if current, err = readStored(tx); err != nil {
			return err
		}
		all, err := Versions(tx)
		folded = Fold(all)
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return current, folded
}

// TestStored: partners and endpoints are made, changed and removed beside those of the config, and
// are the same after a restart.
func TestStored(t *testing.T) {
	g := newRig(t, acme())
	g.run()
	ctx := t.Context()
	v, err := g.CreatePartner(ctx, keptPartner("beta"), by("otto"))
	if err != nil || v.Number != 1 || v.What != PartnerCreated || v.Actor != "otto" || v.Partner.MaxOpen != 10 {
		t.Fatalf("%+v, %v", v, err)
	}
	v, key, err := g.CreateEndpoint(ctx, keptEndpoint("b-main", "beta"), by("otto"))
	if err != nil || v.Number != 3 || !strings.HasPrefix(key, "whsec_") {
		t.Fatalf("%+v, %v", v, err)
	}
	if _, _, err = g.CreateEndpoint(ctx, keptEndpoint("a-more", "acme"), by("otto")); err != nil { // of a partner of the config
		t.Fatal(err)
	}
	look := func(when string) {
		t.Helper()
		s := g.Read()
		if ps := s.Partners(); len(ps) != 2 || ps[0].ID != "acme" || len(ps[0].Endpoints) != 3 || ps[1].ID != "beta" || len(ps[1].Endpoints) != 1 {
			t.Fatalf("%s: %+v", when, ps)
		}
		e := s.Endpoint("b-main")
		if e == nil || len(s.Keys("b-main")) != 1 || len(e.Headers) != 1 || e.Headers[0].Name != "X-Env" || s.Owner("b-main") != "beta" || s.Declared("b-main") || !s.Declared("a") || s.NewestPolicy("beta") != 1 {
			t.Fatalf("%s: %+v", when, e)
		}
		kept, err := g.KeptKeys("b-main")
		if err != nil || len(kept) != 1 || !same(kept[0].Key, s.Keys("b-main")[0].Key) {
			t.Errorf("%s: the key is another", when)
		}
		if current, folded := g.onDisk(); !reflect.DeepEqual(current, folded) {
			t.Errorf("%s: the file holds\n%+v, and its versions come to\n%+v", when, current, folded)
		}
	}
	look("made")
	g.again(acme())
	look("after a restart")
	was := g.Read().Endpoint("b-main")
	v, err = g.UpdateEndpoint(ctx, "b-main", by("otto"), func(d *EndpointDraft) error {
		d.ID, d.Partner, d.Concurrency, d.Filter = "other", "acme", 3, "change.terminal" // the first two stay
		if d.Clear["X-Env"] != "canary-secret" {
			t.Error("the header is not what it was")
		}
		return nil
	})
	if e := g.Read().Endpoint("b-main"); err != nil || v.Number != 7 || e.Concurrency != 3 || e.Filter.String() != "change.terminal" || was.Concurrency != 16 {
		t.Errorf("updated: %+v, %v", e, err)
	}
	look("updated")
	if _, err := g.UpdatePartner(ctx, "beta", by("otto"), func(p *StoredPartner) error { p.Policy.NoticeDays = 9; return nil }); err != nil || g.Read().NewestPolicy("beta") != 2 || g.Read().Policy("beta", 2).NoticeDays != 9 {
		t.Errorf("updated: %v, policy %d", err, g.Read().NewestPolicy("beta"))
	}
	if err := g.RemoveEndpoint(ctx, "a-more", by("otto")); err != nil || g.Read().Endpoint("a-more") != nil || g.Read().Owner("a-more") != "acme" {
		t.Errorf("removed: %v", err)
	}
	if err := g.RemovePartner(ctx, "beta", by("otto")); err != nil || g.Read().Partner("beta") != nil || g.Read().Endpoint("b-main") != nil {
		t.Errorf("removed: %v", err)
	}
	if o := g.Read().Orphans(); len(o) != 2 || o[0] != (Orphan{"acme", "a-more"}) || o[1] != (Orphan{"beta", "b-main"}) {
		t.Errorf("orphans: %+v", o)
	}
	g.again(acme())
	if current, folded := g.onDisk(); !reflect.DeepEqual(current, folded) || len(current.Endpoints)+len(current.Partners) != 0 || current.Last != 12 {
		t.Errorf("the file holds %+v, and its versions come to %+v", current, folded)
	}
	err = g.store.View(func(tx *store.Tx) error {
		return tx.Bucket(store.Registry).EachEither([]byte(versionPrefix), func(_, v []byte) error {
			if strings.Contains(string(v), "canary") || strings.Contains(string(v), "whsec") {
				t.Errorf("a secret stands in a version: %s", v)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestVersions: whatever is done, what the file holds is what its versions come to, also where
// current records or one of the copies are damaged.
func TestVersions(t *testing.T) {
	for seed := range uint64(5) {
		g := newRig(t, acme())
		g.run()
		r := rand.New(rand.NewPCG(seed, 1))
		for range 60 {
			partner := fmt.Sprint("p", r.IntN(4))
			endpoint := fmt.Sprint(partner, "-e", r.IntN(3))
			switch r.IntN(6) { // most are refused now and then
			case 0:
				_, _ = g.CreatePartner(t.Context(), keptPartner(partner), by("otto"))
			case 1, 2:
				_, _, _ = g.CreateEndpoint(t.Context(), keptEndpoint(endpoint, partner), by("otto"))
			case 3:
				_, _ = g.UpdateEndpoint(t.Context(), endpoint, by("otto"), func(d *EndpointDraft) error { d.Concurrency = 1 + r.IntN(9); return nil })
			case 4:
				_ = g.RemoveEndpoint(t.Context(), endpoint, by("otto"))
			case 5:
				if r.IntN(4) == 0 {
					_ = g.RemovePartner(t.Context(), partner, by("otto"))
				}
			}
		}
		current, folded := g.onDisk()
		if !reflect.DeepEqual(current, folded) || current.Last < 5 || !reflect.DeepEqual(plain(current), plain(g.Read().stored)) {
			t.Fatalf("seed %d: the file holds\n%+v\n, its versions come to\n%+v\n, and the snapshot has\n%+v", seed, current, folded, g.Read().stored)
		}
		err := g.store.Update(t.Context(), func(tx *store.Tx) error {
			b := tx.Bucket(store.Registry)
			for id := range current.Endpoints {
				if err := b.Put([]byte(storedPrefix+id), []byte("{")); err != nil { // a current record that is no record
					return err
				}
			}
			return b.Delete(versionKey(2)) // one of its copies is still there
		})
		if err != nil {
			t.Fatal(err)
		}
		if mended, _ := g.onDisk(); !reflect.DeepEqual(mended, folded) {
			t.Errorf("seed %d: mended to %+v", seed, mended)
		}
	}
}

// plain has the times as they are read again.
func plain(s Stored) Stored {
	s = s.with(nil)
	for _, all := range []map[string]Version{s.Partners, s.Endpoints} {
		for id, v := range all {
			v.At = v.At.Round(0)
			all[id] = v
		}
	}
	return s
}

// TestManyChangesAtOnce: changes at the same time come one after another, and marks and changes do
// not undo one another. The race detector judges too.
func TestManyChangesAtOnce(t *testing.T) {
	g := newRig(t, acme())
	g.run()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 10 {
				if _, _, err := g.CreateEndpoint(t.Context(), keptEndpoint(fmt.Sprintf("e%d-%d", i, n), "acme"), by("otto")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			if !g.Disable("a", "for a test", func(error) {}) || g.Read().Disabled("a") == "" {
				t.Error("the mark has gone")
			}
			if err := g.Enable(t.Context(), "a"); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for range 5 {
			if err := g.Configure([]Partner{acme()}); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	current, folded := g.onDisk()
	if len(g.Read().Partner("acme").Endpoints) != 42 || current.Last != 2*40+3 || !reflect.DeepEqual(current, folded) {
		t.Errorf("%d endpoints, %d versions", len(g.Read().Partner("acme").Endpoints), current.Last)
	}
}

// TestDivide: every endpoint gets its share again whenever there is another, and one that nobody
// has room for is refused.
func TestDivide(t *testing.T) {
	g := newRig(t, acme())
	g.run()
	full := errors.New("full")
	g.o.Divide = func(ps []Partner) error {
		n := 0
		for _, p := range ps {
			n += len(p.Endpoints)
		}
		for _, p := range ps {
			for i := range p.Endpoints {
				p.Endpoints[i].Concurrency = min(p.Endpoints[i].Concurrency, 12/n)
			}
		}
		if n > 4 {
			return full
		}
		return nil
	}
	f := func(id string, want int, wanted error) {
		t.Helper()
		if _, _, err := g.CreateEndpoint(t.Context(), keptEndpoint(id, "acme"), by("otto")); !errors.Is(err, wanted) {
			t.Errorf("%s: %v", id, err)
		}
		if e := g.Read().Endpoint("first"); e.Concurrency != want {
			t.Errorf("after %s: %d at once, want %d", id, e.Concurrency, want)
		}
	}
	f("first", 4, nil)
	f("second", 3, nil)
	f("third", 3, full)
	if err := g.RemoveEndpoint(t.Context(), "second", by("otto")); err != nil || g.Read().Endpoint("first").Concurrency != 4 {
		t.Errorf("%v, %d at once", err, g.Read().Endpoint("first").Concurrency)
	}
}

// TestWatchersAdmit: whoever watches sees a set before it counts, with what is kept in the file,
// and when one refuses it nothing is written.
func TestWatchersAdmit(t *testing.T) {
	g := newRig(t, acme())
	g.run()
	var refuse error
	before, after := 0, 0
	g.Watch(func(soon *Snapshot) error {
		if before++; soon.Endpoint("more") == nil || g.Read().Endpoint("more") != nil {
			t.Error("it does not see what will be, or that counts already")
		}
		return refuse
	}, func(now *Snapshot) {
		if after++; now != g.Read() || now.Endpoint("more") == nil || now.Owner("more") != "acme" || len(now.Policies("acme")) != 0 {
			t.Error("it sees another set than the one that counts")
		}
	})
	refuse = errors.New("no room")
	if _, _, err := g.CreateEndpoint(t.Context(), keptEndpoint("more", "acme"), by("otto")); !errors.Is(err, refuse) || before != 1 || after != 0 || g.Read().Endpoint("more") != nil {
		t.Errorf("refused: %v, %d before, %d after", err, before, after)
	}
	if current, _ := g.onDisk(); current.Last != 0 {
		t.Errorf("what was refused is kept: %+v", current)
	}
	refuse = nil
	if _, _, err := g.CreateEndpoint(t.Context(), keptEndpoint("more", "acme"), by("otto")); err != nil || before != 2 || after != 1 {
		t.Errorf("%v, %d before, %d after", err, before, after)
	}
}
