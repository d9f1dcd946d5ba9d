package registry

import (
	"testing"
	"time"

	"countersign/outbox/store"
)

// TestHealth: what is kept of an endpoint that fails is there after a restart, also when one copy
// is damaged, goes along when it is renamed, and is gone when it is well.
func TestHealth(t *testing.T) {
	g := newRig(t)
	g.run()
	if refused := g.serve(nil, "acme:a", "acme:b"); refused != "" {
		t.Fatal(refused)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ill := Health{Since: at, Last: at.Add(time.Hour), Failures: 7, Opened: at.Add(time.Minute)}
	f := func(endpoint string, want Health) {
		t.Helper()
		if got, err := g.Health(endpoint); got != want || err != nil {
			t.Errorf("%s is %+v, %v; want %+v", endpoint, got, err, want)
		}
	}
	set := func(h Health) {
		t.Helper()
		told := make(chan error, 1)
		if g.SetHealth("a", h, func(err error) { told <- err }); <-told != nil {
			t.Fatal("not written")
		}
	}
	f("a", Health{})
	set(ill)
	g.again(acme())
	f("a", ill)
	f("b", Health{})
	if err := g.store.Update(t.Context(), func(tx *store.Tx) error { return tx.Bucket(store.Registry).Delete(healthKey("a")) }); err != nil {
		t.Fatal(err)
	}
	f("a", ill) // the second copy
	if refused := g.serve(nil, "acme:c<a", "acme:b"); refused != "" {
		t.Fatal(refused)
	}
	f("c", ill)
	f("a", Health{})
	g.SetHealth("c", Health{}, nil)
	g.written()
	f("c", Health{})
}
