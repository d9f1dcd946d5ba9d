package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/relay/control"
)

// TestReloadUnderLoad reloads a hundred times while providers post and partners are told. Nobody
// who stays is refused, nothing is lost, repeated or reordered, what comes and goes does, and
// nothing is left behind.
func TestReloadUnderLoad(t *testing.T) {
	r := newReloader(t)
	const good = "a-key-that-is-good-002"
	for n := range 4 { // what is made once is made
		r.again(n + 1)
	}
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	clients := []*http.Client{{Timeout: 30 * time.Second, Transport: &http.Transport{}}, {Timeout: 30 * time.Second, Transport: &http.Transport{}}, fresh()}
	posters := []*poster{
		r.post("rotates", good, clients[0], "pending", "approved"),
		r.post("steady", good, clients[1], "pending", "approved"),
	}
	bare := clients[2]
	for n := range 100 {
		r.again(n + 1)
		odd := (n+1)%2 == 1
		for name, want := range map[string]bool{"ann": !odd, "bob": odd} {
			if status, _ := r.call(tokenOf(name), "/v1/quarantine"); (status == http.StatusOK) != want {
				t.Fatalf("after %d: %s is answered %d", n+1, name, status)
			}
		}
		err := give(bare, r.callback("comes", "a-key-that-is-new-0003", fmt.Sprint("guest-", n), "approved"))
		if (err == nil) != odd {
			t.Fatalf("after %d: the source that comes and goes says %v", n+1, err)
		}
		if err := give(bare, r.callback("rotates", "a-key-that-is-old-0001", "late", "approved")); (err == nil) == odd {
			t.Fatalf("after %d: the key that is taken out passes, or one that is there does not: %v", n+1, err)
		}
	}
	wanted := map[string]bool{}
	for _, p := range posters {
		p.end()
		if slow := r.undecided(p.source); len(p.refused) > slow { // a disk that takes two seconds is no reload's fault
			t.Errorf("%s: %d refused, and the disk was slow %d times: %v", p.source, len(p.refused), slow, p.refused[0])
		}
		for _, subject := range p.taken {
			wanted[subject] = true
		}
	}
	if len(wanted) < 100 {
		t.Errorf("only %d people during 100 reloads", len(wanted))
	}
	eventually(t, "everybody's approval is told", func() bool {
		for s, seq := range r.sequences() {
			if len(seq) >= 2 {
				delete(wanted, s)
			}
		}
		return len(wanted) == 0
	})
	r.inOrder()
	for _, c := range clients {
		c.CloseIdleConnections()
	}
	r.again(100) // an even one: what it was before
	// Resting connections to the partner are three goroutines each, and two files; what one reload
	// in two left behind would be more.
	const resting = 16
	eventually(t, fmt.Sprintf("no goroutine is left beyond %d", goroutines), func() bool { return runtime.NumGoroutine() <= goroutines+3*resting+20 })
	eventually(t, fmt.Sprintf("no file is left open beyond %d", files), func() bool { return openFiles(t) <= files+2*resting+8 })
	t.Logf("%d goroutines, %d before; %d files, %d before", runtime.NumGoroutine(), goroutines, openFiles(t), files)
	if _, text := r.call(tokenOf("ann"), "/metrics"); strings.Contains(text, `source="comes"`) || strings.Contains(text, `source="followed"`) || strings.Contains(text, `source="asked"`) || strings.Contains(text, `source="published"`) {
		t.Error("series of sources that have ended are there")
	}
	t.Logf("%d + %d people, %d told", len(posters[0].taken), len(posters[1].taken), len(r.one.all())+len(r.two.all()))
}

// TestReloadRefusesWhole: a config with a mistake, or with what takes a restart, changes nothing
// that can be seen, and says where it is.
func TestReloadRefusesWhole(t *testing.T) {
	r := newReloader(t)
	before := r.seen()
	other := r.write(1) // in which nearly everything is otherwise
	f := func(what, old, new string, line int, wants ...string) {
		t.Helper()
		text := strings.Replace(other, old, new, 1)
		if text == other {
			t.Fatalf("%s: nothing is replaced", what)
		}
		write(t, r.dir, "countersign.yaml", text)
		for _, dry := range []bool{true, false} {
			res, err := r.reload(t.Context(), dry)
			for _, want := range append(wants, fmt.Sprintf("countersign.yaml:%d: ", line)) {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %+v, %v; want %q", what, res, err, want)
				}
			}
		}
		if !dryRun(t, r.path) {
			t.Errorf("%s: the command does not refuse it", what)
		}
		if now := r.seen(); now != before {
			t.Errorf("%s: before\n%s\nafter\n%s", what, before, now)
		}
	}
	f("a wrong rate", "rate: 5000", "rate: fast", 7, "sources[2].rate", "is not a rate")
	f("a secret that is not there", "keys: [file:k2, file:k3]", "keys: [file:k2, file:k9]", 5, "sources[0].keys[1]", "does not exist")
	f("a key that is none", "retention: {audit: 1y}", "retentions: {audit: 1y}", 20, "retentions")
	f("two of a name", "name: steady", "name: rotates", 6, "sources[1].name")
	f("what takes a restart, beside what does not", "mode: sandbox", "mode: sandbox\nstorage: {backlog: 5}", 2, "storage.backlog", "restart for this")
	f("what takes a restart", "listen: {callbacks: ", "listen: {idle_timeout: 10s, callbacks: ", 3, "listen.idle_timeout", "restart for this")
	if n := len(regexp.MustCompile(`"msg":"config_refused"`).FindAllString(r.log.String(), -1)); n < 6 {
		t.Errorf("%d problems are logged", n)
	}
	r.write(0)
	if res, err := r.reload(t.Context(), false); err != nil || !res.Applied || len(res.Differences) != 0 {
		t.Errorf("put back as it was: %+v, %v", res, err)
	}
}

// TestDryRun: it says what would come and go, and what becomes of what is owed, and changes
// nothing, not on disk either. What would take from a partner what is its own is refused, and so is
// what cannot be done while the gateway runs.
func TestDryRun(t *testing.T) {
	r := newReloader(t)
	dry := func(wants ...string) {
		t.Helper()
		before := r.seen()
		code, out, errs := cli(t, nil, "reload", "--dry-run", "--config", r.path)
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("exit %d, no %q in\n%s%s", code, want, out, errs)
			}
		}
		if now := r.seen(); now != before {
			t.Errorf("before\n%s\nafter\n%s", before, now)
		}
	}
	r.write(1)
	dry("+ sources[comes]\n", "+ partners[beta]\n", "~ partners[acme].endpoints[acme-main].url: (not shown) -> (not shown)", "- tokens[ann]\n", "would be applied", "nothing was changed")
	if keys, err := r.registry.KeptKeys("beta-main"); len(keys) > 0 || err != nil {
		t.Errorf("a key was made: %v %v", len(keys), err)
	}
	r.again(1)
	if keys, err := r.registry.KeptKeys("beta-main"); len(keys) != 1 || err != nil {
		t.Errorf("no key was made: %v %v", len(keys), err)
	}
	r.write(2)
	dry("- partners[acme].endpoints[acme-guest]", "affected: partner beta is not in the config", "affected: endpoint acme-guest of acme is not in the config, and is orphaned", "would be applied")
	text := r.write(1)
	write(t, r.dir, "countersign.yaml", strings.Replace(text, "{id: beta-main, ", "{id: acme-guest, ", 1))
	dry("countersign.yaml:16: ", "acme-guest is duplicated", "nothing was changed") // it stands twice
	write(t, r.dir, "countersign.yaml", strings.Replace(strings.Replace(text, "{id: acme-guest, ", "{id: acme-third, ", 1), "{id: beta-main, ", "{id: acme-guest, ", 1))
	dry("countersign.yaml:16: partners[1].endpoints[0].id: endpoint acme-guest belongs to partner acme, and cannot change its partner", "nothing was changed")
	write(t, r.dir, "countersign.yaml", strings.Replace(text, "{id: acme-guest, ", "{id: acme-other, renamed_from: acme-guest, ", 1))
	dry("countersign.yaml:15: partners[0].endpoints[1].renamed_from: endpoint acme-other is to take the place of acme-guest", "restart for this", "nothing was changed")
}

// TestReloadsAtOnce: one is under way at a time; whoever cannot wait is told, and what counts in
// the end is the file as a whole.
func TestReloadsAtOnce(t *testing.T) {
	r := newReloader(t)
	r.reloading.turn <- struct{}{} // one is under way
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.reload(gone, false); !errors.Is(err, control.ErrNotNow) {
		t.Errorf("%v", err)
	}
	r.write(1)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if res, err := r.reload(t.Context(), i%2 == 0); err != nil || res.Applied == res.DryRun {
				t.Errorf("%+v, %v", res, err)
			}
		})
	}
	<-r.reloading.turn
	wg.Wait()
	if status, _ := r.call(tokenOf("bob"), "/v1/quarantine"); status != http.StatusOK {
		t.Errorf("bob is answered %d", status)
	}
	if _, text := r.call(r.token, "/metrics"); !strings.Contains(text, "countersign_reloads_total{outcome=\"applied\"} 4\n") || !strings.Contains(text, "countersign_reload_last_successful 1\n") {
		t.Error("four are not counted")
	}
	r.phase.Store(stopping)
	if _, err := r.reload(t.Context(), false); !errors.Is(err, control.ErrNotNow) {
		t.Errorf("while it stops: %v", err)
	}
}

// TestReloadedPolicy: another policy is its partner's newest version at once, and nobody's status
// changes by that.
func TestReloadedPolicy(t *testing.T) {
	r := newReloader(t)
	if err := give(fresh(), r.callback("steady", "a-key-that-is-good-002", "user-1", "approved")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the partner is told", func() bool { return len(r.one.all()) == 1 })
	before := r.registry.Read().NewestPolicy("acme")
	for range 2 { // it is the same the second time
		text := r.write(0)
		write(t, r.dir, "countersign.yaml", strings.Replace(text, "  - id: acme\n", "  - id: acme\n    policy: {required: [identity_verification, screening]}\n", 1))
		if _, err := r.reload(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	if now := r.registry.Read().NewestPolicy("acme"); now != before+1 {
		t.Errorf("the newest policy is %d, was %d", now, before)
	}
	if _, text := r.call(r.token, "/v1/subjects/acme/user-1"); !strings.Contains(text, `"status":"approved"`) || len(r.one.all()) != 1 {
		t.Errorf("%s, %d told", text, len(r.one.all()))
	}
}

// TestReloadReadsSecretsAgain: a file that was rewritten in its place counts after a reload, though
// the config is the same.
func TestReloadReadsSecretsAgain(t *testing.T) {
	r := newReloader(t)
	const old, next = "a-key-that-is-good-002", "a-key-that-was-rotated-4"
	if err := give(fresh(), r.callback("steady", old, "user-1", "approved")); err != nil {
		t.Fatal(err)
	}
	write(t, r.dir, "k2", next)
	dry, err := r.reload(t.Context(), true)
	if err != nil || len(dry.Differences) != 2 || dry.Applied || !strings.Contains(dry.Differences[1].Key, "sources[steady].keys[0]") {
		t.Fatalf("%+v, %v", dry, err)
	}
	if err := give(fresh(), r.callback("steady", next, "user-2", "approved")); err == nil {
		t.Fatal("the new key counts before it was reloaded")
	}
	if _, err := r.reload(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := give(fresh(), r.callback("steady", next, "user-2", "approved")); err != nil {
		t.Error(err)
	}
	if err := give(fresh(), r.callback("steady", old, "user-3", "approved")); err == nil {
		t.Error("the old key counts")
	}
	eventually(t, "both are told", func() bool { return len(r.one.all()) == 2 })
	write(t, r.dir, "acme0.key", endpointKeys[1])
	if _, err := r.reload(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := give(fresh(), r.callback("steady", next, "user-4", "approved")); err != nil {
		t.Error(err)
	}
	eventually(t, "the partner is told with its new key", func() bool { all := r.one.all(); return len(all) == 3 && all[2].by == 1 && all[1].by == 0 })
	if log := r.log.String(); strings.Contains(log, next) || strings.Contains(log, old) {
		t.Error("a key is in the log")
	}
}

// TestKeysOfAReload: each key of the config either counts after a reload or takes a restart, and
// docs/CONFIGURATION.md says which.
func TestKeysOfAReload(t *testing.T) {
	b, err := os.ReadFile(configuration)
	if err != nil {
		t.Fatal(err)
	}
	all := configReference()
	for i, k := range all {
		parent := i+1 < len(all) && strings.HasPrefix(all[i+1].Key, k.Key+".")
		counts, takes := below(k.Key, reloadedKeys), below(k.Key, fixedKeys)
		if counts == takes && (counts || !parent) {
			t.Errorf("%s: counts after a reload %v, takes a restart %v", k.Key, counts, takes)
		}
	}
	for _, row := range []struct {
		begins string
		keys   []string
	}{{"Takes effect with a reload: ", reloadedKeys}, {"Takes a restart: ", fixedKeys}} {
		want := row.begins + "`" + strings.Join(row.keys, "`, `") + "`."
		if !strings.Contains(string(b), want) {
			t.Errorf("docs/CONFIGURATION.md does not say %q", want)
		}
	}
}
