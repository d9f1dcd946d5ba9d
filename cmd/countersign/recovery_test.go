package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// TestStartsAreCounted: starts are counted in the database, by how the process before had ended,
// and what a start found is kept for whoever looks later.
func TestStartsAreCounted(t *testing.T) {
	dir, config := house(t, newHook(t, func() int { return http.StatusServiceUnavailable }).url)
	text := strings.Replace(read(t, config), "first: 10ms, factor: 1, max: 10ms, attempts: 3", "first: 1h", 1)
	write(t, dir, "countersign.yaml", text)
	f := func(g *gateway, clean, unclean, pending float64) {
		t.Helper()
		for name, want := range map[string]float64{
			`countersign_starts_total{ended="clean"}`: clean, `countersign_starts_total{ended="unclean"}`: unclean,
			`countersign_recovery_pending_deliveries`: pending, `countersign_recovery_unevaluated_records`: 0, `countersign_recovery_problems`: 0,
		} {
			if got := gauge(t, g, name); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
		if pending > 0 && gauge(t, g, "countersign_recovery_check_seconds") <= 0 {
			t.Error("nobody knows how long the file was examined")
		}
	}
	g := start(t, config)
	f(g, 1, 0, 0)
	if code, out, errs := cli(t, nil, "trigger", "--config", config, "sumsub-eu", "approved"); code != exitYes {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	eventually(t, "it is tried in vain", func() bool { return g.outbox.Owed("acme-main") > 0 && g.outbox.OldestDue("acme-main").IsZero() })
	if got := gauge(t, g, `countersign_outbox_oldest_pending_seconds{endpoint="acme-main"}`); got <= 0 {
		t.Errorf("what waits for its retry has waited for %v s", got)
	}
	owed := float64(g.outbox.Owed("acme-main"))
	if err := g.close(); err != nil {
		t.Fatal(err)
	}
	g = start(t, config)
	f(g, 2, 0, owed)
	if err := g.close(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "data"), "countersign.unclean", "1\n") // as after a crash
	f(start(t, config), 2, 1, owed)
}
