package relay

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/registry"
)

// versions are the policies registered for acme.
func versions(t *testing.T, g *rig) map[int]kyc.Policy {
	t.Helper()
	r, err := registry.New(registry.Options{Store: g.store, Partners: []Partner{{ID: "acme"}}}) // it reads the file, and registers nothing
	if err != nil {
		t.Fatal(err)
	}
	return r.Read().Policies("acme")
}

func TestPolicyVersions(t *testing.T) {
	g := newRig(t, acme())
	f := func(what string, p kyc.Policy, want int) {
		t.Helper()
		g.close()
		g.partners = []Partner{{ID: "acme", Policy: p}}
		g.open()
		g.run()
		g.tell(said(fmt.Sprint(what, g.appended), 1, kyc.Approved))
		g.folded()
		if known := versions(t, g); len(known) != want {
			t.Errorf("%s: %d versions, want %d: %+v", what, len(known), want, known)
		}
	}
	screened := kyc.Policy{Required: []kyc.Check{kyc.IdentityVerification, kyc.Screening}}
	f("none", kyc.Policy{}, 1)
	f("the same", kyc.Policy{}, 1)
	f("an empty list is no list", kyc.Policy{Required: []kyc.Check{}, RequiredCompany: []kyc.Check{}}, 1)
	f("another", screened, 2)
	f("the same", screened, 2)
	f("another number", kyc.Policy{Version: 7, Required: screened.Required}, 2)
	f("as at first", kyc.Policy{}, 3)
	f("validity", kyc.Policy{ValidityMonths: 6}, 4)
	f("the same", kyc.Policy{ValidityMonths: 6}, 4)
	for n, p := range versions(t, g) {
		if p.Version != n {
			t.Errorf("version %d says it is %d", n, p.Version)
		}
	}
}

// TestSubjectsKeepTheirPolicy: a new version is for new subjects.
func TestSubjectsKeepTheirPolicy(t *testing.T) {
	g := start(t, acme())
	g.tell(said("ann", 1, kyc.Pending))
	g.folded()
	g.close()
	g.partners = []Partner{{ID: "acme", Policy: kyc.Policy{Required: []kyc.Check{kyc.IdentityVerification, kyc.AddressVerification}}}}
	g.open()
	g.run()
	g.tell(said("ann", 2, kyc.Approved), said("bob", 2, kyc.Approved))
	g.folded()
	f := func(id string, version int, want kyc.Status) {
		t.Helper()
		if v := g.view("acme", id, true); v.Policy.Version != version || v.Status.Status != want {
			t.Errorf("%s stands at %s under version %d; want %s under %d", id, v.Status.Status, v.Policy.Version, want, version)
		}
	}
	f("ann", 1, kyc.Approved)
	f("bob", 2, kyc.Pending)
	g.restart()
	g.tell(said("ann", 3, kyc.InReview), said("ann", 4, kyc.Approved))
	g.folded()
	f("ann", 1, kyc.Approved)
	f("bob", 2, kyc.Pending)
}

// TestDamagedPolicy: a policy that is damaged has a second copy. Where that is damaged too, only
// those who are folded under it are set aside.
func TestDamagedPolicy(t *testing.T) {
	p := acme()
	g := start(t, p)
	g.tell(said("ann", 1, kyc.Approved))
	g.folded()
	g.tamper(func(tx *store.Tx) error { return spoil(tx, store.Registry, []byte("policy/acme/00000001")) })
	g.restart()
	g.tell(said("ann", 2, kyc.Rejected))
	g.folded()
	if v := g.view("acme", "ann", true); v.SetAside || v.Status.Status != kyc.Rejected || v.Policy.Version != 1 {
		t.Errorf("with one copy left: %+v", v.Status)
	}
	g.tamper(func(tx *store.Tx) error { return spoilPolicy(tx, 1) })
	g.restart()
	g.tell(said("ann", 3, kyc.Approved), said("bob", 1, kyc.Approved))
	g.folded()
	if v := g.view("acme", "ann", true); !v.SetAside {
		t.Errorf("without a copy: %+v", v.Status)
	}
	if v := g.view("acme", "bob", true); v.SetAside || v.Status.Status != kyc.Approved {
		t.Errorf("somebody new: %+v", v.Status)
	}
}

// spoilPolicy damages both copies of a version of acme's policy, as far as they are not yet.
func spoilPolicy(tx *store.Tx, version int) error {
	for _, prefix := range []string{"", "\x00second/"} {
		k := fmt.Appendf(nil, "%spolicy/acme/%08d", prefix, version)
		if !tx.Bucket(store.Registry).Has(k) {
			continue
		}
		if err := spoil(tx, store.Registry, k); err != nil {
			return err
		}
	}
	return nil
}

// TestNewestBehindAGap: an older policy that is damaged takes nothing from the newest: what a new
// one would mean can be asked, and it is the one that people are moved to.
func TestNewestBehindAGap(t *testing.T) {
	g := newRig(t, Partner{ID: "acme"})
	for months := 1; months <= 3; months++ {
		g.close()
		g.partners = []Partner{{ID: "acme", Policy: kyc.Policy{ValidityMonths: months}}}
		g.open()
		g.run()
		g.tell(said(fmt.Sprint("user-", months), 1, kyc.Approved))
		g.folded()
	}
	g.tamper(func(tx *store.Tx) error { return spoilPolicy(tx, 1) })
	g.restart()
	g.tell(said("late", 1, kyc.Approved))
	g.folded()
	plan, err := g.relay.PlanPolicy(t.Context(), "acme")
	if err != nil || plan.Version != 3 || plan.Policy.ValidityMonths != 3 {
		t.Errorf("the plan is for version %d of %d months, %v; want 3 and 3", plan.Version, plan.Policy.ValidityMonths, err)
	}
}

// TestViewWhileStarting: the control listener may ask before Run has registered anything.
func TestViewWhileStarting(t *testing.T) {
	g := start(t, acme())
	g.tell(said("ann", 1, kyc.Approved))
	g.folded()
	g.close()
	g.open()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			if v, err := allOf(g.relay, "acme", "ann", true, Asked{}); err != nil || v.Policy.Version != 1 {
				t.Errorf("policy version %d, %v", v.Policy.Version, err)
				return
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	g.run()
	g.tell(said("ann", 2, kyc.Rejected))
	g.folded()
	close(stop)
	<-stopped
}

// TestSimulateBesideRun: policies are registered while others read them (the race detector judges),
// and whoever reads gets a version that is registered, or none.
func TestSimulateBesideRun(t *testing.T) {
	g := newRig(t, acme())
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			p := Simulation{Partner: "acme", Subject: fmt.Sprint("tess", i), Kind: kyc.Individual, Status: kyc.Approved}
			for {
				got, err := g.relay.Simulate(context.Background(), p)
				if errors.Is(err, outbox.ErrNotFound) { // not registered yet
					runtime.Gosched()
					continue
				}
				if err != nil || got.Status != kyc.Approved {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
		})
	}
	g.run()
	wg.Wait()
}
