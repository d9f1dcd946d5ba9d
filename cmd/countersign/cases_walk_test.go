package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/ingest/provider"
	"countersign/signing"
)

// walk is one hard case being walked: a running gateway with its files in the working directory, a
// partner, and what the operator typed and saw.
type walk struct {
	t      *testing.T
	dir    string
	g      *gateway
	cfg    *Config
	log    notebook
	desk   *desk
	ran    []typed  // what the operator typed
	series []string // metrics that showed the case
	env    map[string]string
}

// typed is one command as an operator types it, and what it printed.
type typed struct{ line, out string }

// Keys of the walk's sources that a walk names.
const (
	sumsubKey = "sumsub-secret-canary"
	otherKey  = "sumsub-secret-of-somewhere-else"
	apiKey    = "api-key-canary"
)

func newWalk(t *testing.T) *walk {
	t.Helper()
	w := &walk{t: t, dir: t.TempDir(), desk: newDesk(t), env: map[string]string{}}
	t.Chdir(w.dir)
	for name, text := range map[string]string{
		"sumsub.key": sumsubKey, "other.key": otherKey, "rebilly.key": "countersign:basic-canary", "blendfi.key": "blendfi-secret-canary",
		"facecheck.key": "facecheck-secret-canary", "acme.key": acmeKey, "api.key": apiKey,
	} {
		w.save(name, text)
	}
	w.save("countersign.yaml", fmt.Sprintf(`mode: sandbox
data: ./data
listen: {callbacks: %s, control: %s}
sources:
  - {name: sumsub-eu, provider: sumsub, keys: [file:sumsub.key], partner: acme}
  - {name: blendfi, provider: blendfi, keys: [file:blendfi.key], partner: acme}
  - {name: rebilly, provider: rebilly, keys: [file:rebilly.key], partner: acme}
partners:
  - id: acme
    policy: {required: [identity_verification]}
    endpoints:
      - {id: acme-main, url: "%s", keys: [file:acme.key], retry: {first: 10ms, factor: 1, max: 10ms, attempts: 2}}
`, freeAddr(t), freeAddr(t), w.desk.url))
	t.Cleanup(w.stop)
	w.start()
	return w
}

func (w *walk) start() {
	w.t.Helper()
	cfg, problems := loadConfig("countersign.yaml", func(string) (string, bool) { return "", false }, knownNames())
	if len(problems) > 0 {
		w.t.Fatal(problems)
	}
	g, err := newGateway(cfg, roleAll, slog.New(slog.NewJSONHandler(&w.log, nil)), io.Discard)
	if err != nil {
		w.t.Fatal(err)
	}
	w.g, w.cfg = g, cfg
}

func (w *walk) stop() {
	if w.g == nil {
		return
	}
	if err := w.g.close(); err != nil {
		w.t.Errorf("close: %v", err)
	}
	w.g = nil
}

// edit changes the config as an operator does: edit, check, restart.
func (w *walk) edit(old, text string) {
	w.t.Helper()
	was := read(w.t, "countersign.yaml")
	if strings.Count(was, old) != 1 {
		w.t.Fatalf("the config does not hold %q once", old)
	}
	w.save("countersign.yaml", strings.Replace(was, old, text, 1))
	w.run(exitYes, "check", "is in order")
	w.stop()
	w.start()
}

// run types one command and expects these words of its output.
func (w *walk) run(want int, line string, wants ...string) (out string) {
	w.t.Helper()
	code, o, e := cli(w.t, w.env, words(line)...)
	w.ran = append(w.ran, typed{line, o + e})
	if code != want || !containsAll(o+e, wants) {
		w.t.Fatalf("countersign %s: exit %d, want %d with %q\n%s%s", line, code, want, wants, o, e)
	}
	return o
}

// until types one command again and again until its output holds these words: the fold and the
// partner come after the 200.
func (w *walk) until(line string, wants ...string) (out string) {
	w.t.Helper()
	var code int
	var errs string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if code, out, errs = cli(w.t, w.env, words(line)...); code == exitYes && containsAll(out, wants) {
			w.ran = append(w.ran, typed{line, out})
			return out
		}
	}
	w.t.Fatalf("countersign %s: never exit 0 with %q\n%s%s", line, wants, out, errs)
	return ""
}

func containsAll(text string, wants []string) bool {
	return !slices.ContainsFunc(wants, func(s string) bool { return !strings.Contains(text, s) })
}

// words splits a line as a shell does, as far as the document needs it.
func words(line string) (args []string) {
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			args = append(args, part)
		} else {
			args = append(args, strings.Fields(part)...)
		}
	}
	return args
}

// save writes a file beside the config.
func (w *walk) save(name, text string) {
	w.t.Helper()
	write(w.t, w.dir, name, text)
}

// metric waits until a series has this value.
func (w *walk) metric(series string, want float64) {
	w.t.Helper()
	w.series = append(w.series, series)
	eventually(w.t, fmt.Sprintf("%s is %v", series, want), func() bool {
		got, ok := w.scrape(series)
		return ok && got == want
	})
}

func (w *walk) scrape(series string) (v float64, ok bool) {
	w.t.Helper()
	resp, err := http.Get("http://" + w.cfg.Listen.Control + "/metrics")
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if text, found := strings.CutPrefix(line, series+" "); found {
			v, err = strconv.ParseFloat(strings.TrimSpace(text), 64)
			return v, err == nil
		}
	}
	return 0, false
}

// sample is a body as its provider sends it, with some words replaced: old, new, old, new ….
func (w *walk) sample(source, event string, v provider.SampleVars, replace ...string) []byte {
	w.t.Helper()
	if v.At.IsZero() {
		v.At = time.Now()
	}
	body, err := provider.Sample(w.source(source).Provider, event, v)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(replace); i += 2 {
		if !bytes.Contains(body, []byte(replace[i])) {
			w.t.Fatalf("the sample %s does not hold %q", event, replace[i])
		}
		body = bytes.ReplaceAll(body, []byte(replace[i]), []byte(replace[i+1]))
	}
	return body
}

func (w *walk) source(name string) *SourceConfig {
	w.t.Helper()
	i := slices.IndexFunc(w.cfg.Sources, func(s SourceConfig) bool { return s.Name == name })
	if i < 0 {
		w.t.Fatalf("no source %s", name)
	}
	return &w.cfg.Sources[i]
}

// callback is a callback signed with a key: the source's own if none is named.
func (w *walk) callback(source, key string, body []byte) *http.Request {
	w.t.Helper()
	sc := *w.source(source)
	if key != "" {
		k, err := signing.ParseKey(key)
		if err != nil {
			w.t.Fatal(err)
		}
		sc.Keys = []signing.Key{k}
	}
	req, err := newCallback(w.t.Context(), &sc, "http://"+w.cfg.Listen.Callbacks, body, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	return req
}

// send sends a callback and expects this answer.
func (w *walk) send(want int, req *http.Request) {
	w.t.Helper()
	if code, text, err := post(req); err != nil || code != want {
		w.t.Fatalf("the callback was answered %d %s (%v), want %d", code, text, err, want)
	}
}

// capture keeps a callback as an operator captures it: headers.json and body.json.
func (w *walk) capture(req *http.Request, body []byte) {
	w.t.Helper()
	headers, err := json.Marshal(req.Header)
	if err != nil {
		w.t.Fatal(err)
	}
	w.save("headers.json", string(headers))
	w.save("body.json", string(body))
}

// only is the id of the only row that a list prints.
func (w *walk) only(list string) string {
	w.t.Helper()
	rows := strings.Split(strings.TrimSpace(list), "\n")
	if len(rows) != 2 {
		w.t.Fatalf("want one row behind the header:\n%s", list)
	}
	return strings.Fields(rows[1])[0]
}

// firsts are the first cells of a table's rows, which are ids.
func firsts(table string) (ids []string) {
	for i, row := range strings.Split(strings.TrimSpace(table), "\n") {
		if i > 0 {
			ids = append(ids, strings.Fields(row)[0])
		}
	}
	return ids
}

// told waits until the partner took a change of this type about this person.
func (w *walk) told(subject, changeType string) {
	w.t.Helper()
	eventually(w.t, subject+" is told "+changeType, func() bool { return w.desk.took(subject, changeType) == 1 })
}

// desk is a partner that takes webhooks, or answers something else for a while.
type desk struct {
	url  string
	mu   sync.Mutex // guards what follows
	code int
	has  map[string]int // by subject and type
	h    http.Header    // of the last webhook, taken or not
	body string
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{code: http.StatusOK, has: map[string]int{}}
	s := httptest.NewServer(d)
	t.Cleanup(s.Close)
	d.url = s.URL
	return d
}

// ServeHTTP implements http.Handler.
func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var e struct {
		Type string
		Data struct{ Subject struct{ ID string } }
	}
	body, err := io.ReadAll(r.Body)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.h, d.body = r.Header.Clone(), string(body)
	if err != nil || json.Unmarshal(body, &e) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if d.code == http.StatusOK {
		d.has[e.Data.Subject.ID+" "+e.Type]++
	}
	w.WriteHeader(d.code)
}

func (d *desk) answer(code int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.code = code
}

func (d *desk) last() (h http.Header, body string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.h, d.body
}

func (d *desk) took(subject, changeType string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.has[subject+" "+changeType]
}

// notebook is a log, or a terminal, that is read while it is written.
type notebook struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

// Write implements io.Writer.
func (n *notebook) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.buf.Write(b)
}

// String is what was written so far.
func (n *notebook) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.buf.String()
}
