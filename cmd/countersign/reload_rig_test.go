package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/ingest/provider"
	"countersign/relay/format"
	"countersign/signing"
)

// reloader is a gateway in this process whose config is rewritten while providers post and partners
// are told.
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
	by          int   // which of endpointKeys has signed it
}

var hearings atomic.Int64

// endpointKeys are those of the endpoint that stays, by turns.
var endpointKeys = []string{acmeKey, "whsec_OTg3NjU0MzIxMDk4NzY1NDMyMTA5ODc2NTQzMjEwOTg="}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	f, ok := format.ByName("standard")
	if !ok {
		t.Fatal("no format")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		by := -1 // which of the keys has signed it
		for i, text := range endpointKeys {
			key, kerr := signing.ParseKey(text)
			if err = errors.Join(err, kerr); f.Scheme.Verify(req.Header, body, signing.Keyring{key}, time.Now()) == nil {
				by = i
			}
		}
		var e struct {
			Data struct {
				Sequence int64
				Subject  struct{ ID string }
			}
		}
		if err != nil || by < 0 || json.Unmarshal(body, &e) != nil {
			t.Errorf("told in words, or with a signature, that nobody reads: %v", err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		time.Sleep(2 * time.Millisecond) // a partner's work: some are in flight whenever something is reloaded
		r.mu.Lock()
		r.told = append(r.told, hearing{req.Header.Get("Webhook-Id"), e.Data.Subject.ID, e.Data.Sequence, hearings.Add(1), by})
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
	for i, key := range endpointKeys {
		write(t, r.dir, fmt.Sprintf("acme%d.key", i), key)
	}
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

// write writes one of two configs: of what stays something changes, and of the rest one has what
// the other has not.
func (r *reloader) write(n int) string {
	keys, extra, url, name, more := "[file:k1, file:k2]", "", r.one.url, "ann", ""
	events, partner := "kyc.status.*", ""
	if n%2 == 1 {
		keys, url, name = "[file:k2, file:k3]", r.two.url, "bob"
		events = "kyc.status.*, kyc.status.approved"
		partner = fmt.Sprintf("\n      - {id: acme-guest, url: %q, keys: [file:acme0.key]}\n  - {id: beta, endpoints: [{id: beta-main, url: %q}]}", r.other.url, r.other.url)
		extra = `
  - {name: comes, provider: sumsub, keys: [file:k3], partner: acme, rate: 5000}
  - {name: asked, provider: jumio, token: file:path.token, partner: acme, api: {url: "http://127.0.0.1:9", user: client-7, key: file:api.key, questions: 20}}
  - {name: followed, provider: alpaca, partner: acme, api: {url: "http://127.0.0.1:9", user: broker-7, key: file:api.key}}
  - {name: published, provider: plaid_idv, partner: acme, api: {url: "http://127.0.0.1:9", user: id, key: file:api.key}}`
		more = `
limits: {bodies: 24MiB, connections_per_address: 200}
retention: {audit: 1y}
trusted_proxies: [127.0.0.9/32]
log: {level: warn, deliveries: all}`
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
      - {id: acme-main, url: "%s", keys: [file:acme%d.key], concurrency: %d, events: [%s]}%s
tokens:
  - {name: %s, sha256: %x, scope: viewer}%s
`, r.dir, r.callbacks, r.control, keys, extra, url, n%2, 4+12*(n%2), events, partner, name, sha256.Sum256([]byte(tokenOf(name))), more)
	write(r.t, r.dir, "countersign.yaml", text)
	return text
}

// poster posts about people of its own to a source until it is ended, and wants each callback
// taken.
type poster struct {
	source  string
	refused []error
	taken   []string // subjects of whom everything was answered 200
	good    atomic.Int64
	end     func()
}

func (r *reloader) post(source, key string, c *http.Client, events ...string) *poster {
	ctx, cancel := context.WithCancel(r.t.Context())
	p, done := &poster{source: source}, make(chan struct{})
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

// undecided is how often the disk did not answer in time for a callback of a source.
func (r *reloader) undecided(source string) (n int) {
	_, text := r.call(r.token, "/metrics")
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, fmt.Sprintf("countersign_ingest_callbacks_total{source=%q,verdict=\"undecided\"} ", source)); ok {
			fmt.Sscan(rest, &n)
		}
	}
	return n
}

func openFiles(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
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
