package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/ingest/provider"
	"countersign/signing"
)

// reloader is a gateway in this process whose config is rewritten while providers post and partners are told.
type reloader struct {
	*gateway
	t                  *testing.T
	dir, path          string
	callbacks, control string
	one, two           *receiver // of the endpoint that stays, at the two addresses it may have
	other              *receiver // of a partner that comes and goes
	log                book
}

// receiver is a partner that notes what it is told, in its order.
type receiver struct {
	url string

	mu   sync.Mutex // guards what follows
	told []hearing
}

type hearing struct {
	id, subject string
	sequence    int64
	came        int64 // before which others, at every receiver of this process
}

var hearings atomic.Int64

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var e struct {
			Data struct {
				Sequence int64
				Subject  struct{ ID string }
			}
		}
		if json.NewDecoder(req.Body).Decode(&e) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		time.Sleep(2 * time.Millisecond) // a partner's work: some are in flight whenever something is reloaded
		r.mu.Lock()
		r.told = append(r.told, hearing{req.Header.Get("Webhook-Id"), e.Data.Subject.ID, e.Data.Sequence, hearings.Add(1)})
		r.mu.Unlock()
	})}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	r.url = "http://" + ln.Addr().String() + "/"
	return r
}

func (r *receiver) all() []hearing {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.told)
}

func newReloader(t *testing.T) *reloader {
	t.Helper()
	r := &reloader{t: t, dir: t.TempDir(), callbacks: freeAddr(t), control: freeAddr(t), one: newReceiver(t), two: newReceiver(t), other: newReceiver(t)}
	for i, key := range []string{"a-key-that-is-old-0001", "a-key-that-is-good-002", "a-key-that-is-new-0003"} {
		write(t, r.dir, fmt.Sprintf("k%d", i+1), key)
	}
	write(t, r.dir, "acme.key", acmeKey)
	write(t, r.dir, "api.key", "a-secret-of-an-api-account")
	write(t, r.dir, "path.token", "a-token-in-a-path-0001")
	r.path = filepath.Join(r.dir, "countersign.yaml")
	r.write(0)
	env := func(string) (string, bool) { return "", false }
	load := func() (*Config, []problem) { return loadConfig(r.path, env, knownNames()) }
	cfg, problems := load()
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	level := new(slog.LevelVar)
	log := slog.New(slog.NewJSONHandler(&r.log, &slog.HandlerOptions{Level: level}))
	o := outside{log: log, terminal: io.Discard, load: load, level: level}
	files, err := maxFiles()
	if err != nil {
		t.Fatal(err)
	}
	if o.limits, err = newLimits(cfg, files); err != nil {
		t.Fatal(err)
	}
	if r.gateway, err = openGateway(cfg, roleAll, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return r
}

// tokenOf is what ann and bob come with.
func tokenOf(name string) string { return "the-token-of-" + name + "-is-this-0123456789" }

// write writes one of two configs: of what stays something changes, and of the rest one has what the other has not.
func (r *reloader) write(n int) string {
	keys, extra, url, name, more := "[file:k1, file:k2]", "", r.one.url, "ann", ""
	events, partner := "kyc.status.*", ""
	if n%2 == 1 {
		keys, url, name = "[file:k2, file:k3]", r.two.url, "bob"
		events = "kyc.status.*, kyc.status.approved"
		partner = fmt.Sprintf("\n      - {id: acme-guest, url: %q, keys: [file:acme.key]}\n  - {id: beta, endpoints: [{id: beta-main, url: %q}]}", r.other.url, r.other.url)
		extra = `
  - {name: comes, provider: sumsub, keys: [file:k3], partner: acme, rate: 5000}
  - {name: asked, provider: jumio, token: file:path.token, partner: acme, api: {url: "http://127.0.0.1:9", user: client-7, key: file:api.key, questions: 20}}
  - {name: followed, provider: alpaca, partner: acme, api: {url: "http://127.0.0.1:9", user: broker-7, key: file:api.key}}
  - {name: published, provider: plaid_idv, partner: acme, api: {url: "http://127.0.0.1:9", user: id, key: file:api.key}}`
		more = `
limits: {bodies: 24MiB, connections_per_address: 200}
retention: {audit: 1y}
trusted_proxies: [127.0.0.9/32]
log: {level: warn}`
	}
	text := fmt.Sprintf(`mode: sandbox
data: %s/data
listen: {callbacks: %s, control: %s}
sources:
  - {name: rotates, provider: sumsub, keys: %s, partner: acme}
  - {name: steady, provider: sumsub, keys: [file:k2], partner: acme}%s
partners:
  - id: acme
    endpoints:
      - {id: acme-main, url: "%s", keys: [file:acme.key], concurrency: %d, events: [%s]}%s
tokens:
  - {name: %s, sha256: %x, scope: viewer}%s
`, r.dir, r.callbacks, r.control, keys, extra, url, 4+12*(n%2), events, partner, name, sha256.Sum256([]byte(tokenOf(name))), more)
	write(r.t, r.dir, "countersign.yaml", text)
	return text
}

// poster posts about people of its own to a source until it is ended, and wants each callback taken.
type poster struct {
	refused []error
	taken   []string // subjects of whom everything was answered 200
	good    atomic.Int64
	end     func()
}

func (r *reloader) post(source, key string, c *http.Client, events ...string) *poster {
	ctx, cancel := context.WithCancel(r.t.Context())
	p, done := &poster{}, make(chan struct{})
	p.end = sync.OnceFunc(func() { cancel(); <-done })
	r.t.Cleanup(p.end)
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			subject := fmt.Sprintf("%s-%d", source, i)
			whole := true
			for _, event := range events {
				if err := give(c, r.callback(source, key, subject, event)); err != nil {
					p.refused, whole = append(p.refused, err), false
				}
			}
			if whole {
				p.taken = append(p.taken, subject)
				p.good.Add(1)
			}
		}
	}()
	return p
}

// callback is one that somebody signs with a key of his own.
func (r *reloader) callback(source, key, subject, event string) *http.Request {
	k, err := signing.ParseKey(key)
	if err != nil {
		panic(err)
	}
	now := time.Now()
	body, err := provider.Sample("sumsub", event, provider.SampleVars{Subject: subject, EventID: event + subject, At: now})
	if err != nil {
		panic(err)
	}
	req, err := newCallback(context.Background(), &SourceConfig{Name: source, Provider: "sumsub", Keys: signing.Keyring{k}}, "http://"+r.callbacks, body, now)
	if err != nil {
		panic(err)
	}
	return req
}

// call asks the control listener as somebody.
func (r *reloader) call(token, path string) (status int, text string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://"+r.control+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := fresh().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// again writes the next config and has it read.
func (r *reloader) again(n int) {
	r.t.Helper()
	r.write(n)
	if n%5 == 0 {
		r.hangup(r.t.Context())
	} else if _, err := r.reload(r.t.Context(), false); err != nil {
		r.t.Fatalf("reload %d: %v", n, err)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(fds)
}

// TestReloadUnderLoad reloads a hundred times while providers post and partners are told. Nobody who stays is refused, nothing is lost, repeated or reordered, what comes and goes does, and
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
		if len(p.refused) > 0 {
			t.Errorf("%d refused: %v", len(p.refused), p.refused[0])
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
	// Resting connections to the partner are three goroutines each, and two files; what one reload in two left behind would be more.
	const resting = 16
	eventually(t, fmt.Sprintf("no goroutine is left beyond %d", goroutines), func() bool { return runtime.NumGoroutine() <= goroutines+3*resting+20 })
	eventually(t, fmt.Sprintf("no file is left open beyond %d", files), func() bool { return openFiles(t) <= files+2*resting })
	t.Logf("%d goroutines, %d before; %d files, %d before", runtime.NumGoroutine(), goroutines, openFiles(t), files)
	if _, text := r.call(tokenOf("ann"), "/metrics"); strings.Contains(text, `source="comes"`) || strings.Contains(text, `source="followed"`) || strings.Contains(text, `source="asked"`) || strings.Contains(text, `source="published"`) {
		t.Error("series of sources that have ended are there")
	}
	t.Logf("%d + %d people, %d told", len(posters[0].taken), len(posters[1].taken), len(r.one.all())+len(r.two.all()))
}

// sequences are the changes that each person's partner was told of, in the order of their coming.
func (r *reloader) sequences() map[string][]int64 {
	all := map[string][]int64{}
	for _, x := range append(r.one.all(), r.two.all()...) {
		all[x.subject] = append(all[x.subject], x.sequence)
	}
	return all
}

// inOrder wants nothing told twice, and nothing before what came first.
func (r *reloader) inOrder() {
	r.t.Helper()
	for name, all := range map[string][]hearing{"acme-main": append(r.one.all(), r.two.all()...), "acme-guest": r.other.all()} {
		slices.SortFunc(all, func(a, b hearing) int { return cmp.Compare(a.came, b.came) })
		seen, last, repeated := map[string]bool{}, map[string]int64{}, 0
		for _, x := range all {
			if seen[x.id] {
				repeated++
			}
			if x.sequence <= last[x.subject] {
				r.t.Errorf("%s, %s: %d after %d", name, x.subject, x.sequence, last[x.subject])
			}
			seen[x.id], last[x.subject] = true, x.sequence
		}
		if repeated > 0 || len(all) == 0 {
			r.t.Errorf("%s: %d of %d were told twice", name, repeated, len(all))
		}
	}
}

// TestReloadRefusesWhole: a config with a mistake, or with what takes a restart, changes nothing that can be seen, and says where it is.
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

// dryRun reports whether the command refuses a config.
func dryRun(t *testing.T, path string) bool {
	t.Helper()
	code, out, _ := cli(t, nil, "reload", "--dry-run", "--config", path)
	return code == exitNo && strings.Contains(out, "nothing was changed")
}

// seen is everything that can be seen of how a gateway is configured.
func (r *reloader) seen() string {
	r.t.Helper()
	var b strings.Builder
	series := map[string]bool{}
	_, text := r.call(r.token, "/metrics")
	for line := range strings.Lines(text) {
		name := line[:max(0, strings.LastIndexByte(line, ' '))]
		if strings.Contains(line, `source="`) || strings.Contains(line, `endpoint="`) || strings.HasPrefix(name, "countersign_ingest_") && strings.Contains(name, "max") {
			series[name] = true
		}
	}
	fmt.Fprintln(&b, slices.Sorted(maps.Keys(series)))
	for _, name := range []string{"ann", "bob"} {
		status, _ := r.call(tokenOf(name), "/v1/quarantine")
		fmt.Fprintln(&b, name, status)
	}
	for _, key := range []string{"a-key-that-is-old-0001", "a-key-that-is-good-002", "a-key-that-is-new-0003"} {
		for _, source := range []string{"rotates", "steady", "comes"} {
			fmt.Fprintln(&b, key, source, give(fresh(), r.callback(source, key, "looked-at", "created")))
		}
	}
	_, text = r.call(r.token, "/v1/endpoints")
	fmt.Fprintln(&b, text)
	fmt.Fprintln(&b, r.reloading.cfg.Retention, r.level.Level(), r.reloading.quarantineKept())
	return b.String()
}

// TestDryRun: it says what would come and go, and what becomes of what is owed, and changes nothing, not on disk either. What would take from a partner what is its own is refused, and so is what cannot
// be done while the gateway runs.
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
	if _, made, err := r.registry.EndpointKey("beta-main"); made || err != nil {
		t.Errorf("a key was made: %v %v", made, err)
	}
	r.again(1)
	if _, made, err := r.registry.EndpointKey("beta-main"); !made || err != nil {
		t.Errorf("no key was made: %v %v", made, err)
	}
	r.write(2)
	dry("- partners[acme].endpoints[acme-guest]", "owed: partner beta is not in the config", "owed: endpoint acme-guest of acme is not in the config, and is orphaned", "would be applied")
	text := r.write(1)
	write(t, r.dir, "countersign.yaml", strings.Replace(text, "{id: beta-main, ", "{id: acme-guest, ", 1))
	dry("countersign.yaml:16: ", "acme-guest stands twice", "nothing was changed") // it stands twice
	write(t, r.dir, "countersign.yaml", strings.Replace(strings.Replace(text, "{id: acme-guest, ", "{id: acme-third, ", 1), "{id: beta-main, ", "{id: acme-guest, ", 1))
	dry("countersign.yaml:16: partners[1].endpoints[0].id: endpoint acme-guest belongs to partner acme, for ever", "nothing was changed")
	write(t, r.dir, "countersign.yaml", strings.Replace(text, "{id: acme-guest, ", "{id: acme-other, renamed_from: acme-guest, ", 1))
	dry("countersign.yaml:15: partners[0].endpoints[1].renamed_from: endpoint acme-other is to take the place of acme-guest", "restart for this", "nothing was changed")
}

// TestReloadedPolicy: another policy is its partner's newest version at once, and nobody's status changes by that.
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

// TestReloadReadsSecretsAgain: a file that was rewritten in its place counts after a reload, though the config is the same.
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
	if log := r.log.String(); strings.Contains(log, next) || strings.Contains(log, old) {
		t.Error("a key is in the log")
	}
}

// TestKeysOfAReload: each key of the config either counts after a reload or takes a restart, and docs/OPERATIONS.md says which.
func TestKeysOfAReload(t *testing.T) {
	b, err := os.ReadFile("../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	all := configReference()
	for i, k := range all {
		parent := i+1 < len(all) && strings.HasPrefix(all[i+1].Key, k.Key+".")
		counts, takes := below(k.Key, reloadedKeys), below(k.Key, fixedKeys)
		if counts == takes && !(parent && !counts) {
			t.Errorf("%s: counts after a reload %v, takes a restart %v", k.Key, counts, takes)
		}
	}
	for _, row := range []struct {
		begins string
		keys   []string
	}{{"Counts after a reload: ", reloadedKeys}, {"Takes a restart: ", fixedKeys}} {
		want := row.begins + "`" + strings.Join(row.keys, "`, `") + "`."
		if !strings.Contains(string(b), want) {
			t.Errorf("docs/OPERATIONS.md does not say %q", want)
		}
	}
}
