package control

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay"
	"countersign/relay/dispatch"
	"countersign/relay/format"
	"countersign/relay/registry"
	"countersign/relay/replay"
	"countersign/relay/send"
	"countersign/signing"
)

const patience = 20 * time.Second // no passing test comes near it

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %s in vain until %s", patience, what)
		}
	}
}

// logBook keeps what was logged.
type logBook struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// rig is a control listener with everything real behind it.
type rig struct {
	t          *testing.T
	url        string
	store      *store.Store
	journal    *journal.Bolt
	outbox     *outbox.Outbox
	relay      *relay.Relay
	dispatcher *dispatch.Dispatcher
	registry   *registry.Registry
	reg        *prometheus.Registry
	log        logBook
	partner    *httptest.Server // answers 404 to whatever holds the word bad
	server     *Server
	halt       func() error // ends the writer of the file
	stop       func() error // ends the listener and returns what Run returned
	appended   int64
	formats    []string     // of further endpoints
	made       atomic.Int64 // tokens

	mu      sync.Mutex   // guards the fields below
	took    []took       // what the partner was sent, in this order
	again   []kyc.Update // what a body from quarantine means today; nil: as little as before
	reasons []string
	notes   []string
	block   func() // called by /readyz
	thanks  string // what the partner answers from now on, also to what holds the word bad
}

// The tokens, by name.
var scopes = map[string]Scope{"vera": Viewer, "otto": Operator, "ada": Admin, "pia": Partner, "bea": Partner, "odd": "chief"}

func tokens() (ts []Token) {
	for name, scope := range scopes {
		partner := "acme"
		if name == "bea" {
			partner = "beta"
		}
		ts = append(ts, Token{Name: name, SHA256: sha256.Sum256([]byte("secret-" + name)), Scope: scope, Partner: partner})
	}
	return ts
}

// theirs is what the partner says where it refuses: somebody else's text.
const theirs = "WE KNOW NOBODY OF THAT NAME"

// took is one webhook as it was sent: at which endpoint (the path it was posted to), and its body.
type took struct{ endpoint, body string }

// newRig serves endpoints main (told all statuses) and strict (one attempt) of acme; change adjusts
// the options of the server.
func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	return newRigWith(t, nil, change...)
}

// newRigWith has these endpoints of acme too, which are named as their formats and told everything.
func newRigWith(t *testing.T, formats []string, change ...func(*Options)) *rig {
	t.Helper()
	return newRigOf(t, t.TempDir(), formats, change...)
}

// newRigIn has its file in this directory, which may be there.
func newRigIn(t *testing.T, dir string, change ...func(*Options)) *rig {
	t.Helper()
	return newRigOf(t, dir, nil, change...)
}

func newRigOf(t *testing.T, dir string, formats []string, change ...func(*Options)) *rig {
	t.Helper()
	g := &rig{t: t, reg: prometheus.NewRegistry(), formats: formats}
	log := slog.New(slog.NewJSONHandler(&g.log, nil))
	var err error
	if g.store, err = store.Open(store.Options{Dir: dir, Logger: log, Metrics: g.reg}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.store.Close(); err != nil {
			t.Error(err)
		}
	})
	g.halt = background(t, g.store.Run)
	sealer, err := store.OpenSealer(dir)
	if err != nil {
		t.Fatal(err)
	}
	if g.journal, err = journal.NewBolt(journal.Options{Store: g.store, Sealer: sealer, Logger: log, Metrics: g.reg}); err != nil {
		t.Fatal(err)
	}
	if g.registry, err = registry.New(registry.Options{Store: g.store, Sealer: sealer, Random: rand.Reader}); err != nil {
		t.Fatal(err)
	}
	g.startRelay(log)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.url = "http://" + l.Addr().String()
	replays := replay.New(replay.Options{Store: g.store, Outbox: g.outbox, Relay: g.relay, Registry: g.registry, Logger: log, Metrics: g.reg})
	o := Options{
		Listener: l, Relay: g.relay, Dispatcher: g.dispatcher, Outbox: g.outbox, Replays: replays, Store: g.store, Registry: g.registry, Quarantine: g.journal, Questions: g.journal, Backup: g.store.Backup,
		Release: g.translate, Sources: map[string]bool{"sumsub-eu": true, "beta-only": true}, SourcePartners: map[string]string{"beta-only": "beta"}, Ready: g.ready, Tokens: tokens(), Logger: log, Gatherer: g.reg, Metrics: g.reg,
		NewToken: g.newToken, Refusals: NewRefusals(g.reg),
	}
	for _, fn := range change {
		fn(&o)
	}
	g.server = New(o)
	g.stop = background(t, g.server.Run)
	return g
}

// background runs a component until the test ends, or until what it returns is called.
func background(t *testing.T, run func(context.Context) error) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(patience):
			return fmt.Errorf("did not stop within %s", patience)
		}
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return stop
}

func (g *rig) startRelay(log *slog.Logger) {
	g.t.Helper()
	g.partner = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		g.mu.Lock()
		g.took = append(g.took, took{strings.TrimPrefix(r.URL.Path, "/"), string(b)})
		thanks := g.thanks
		g.mu.Unlock()
		if thanks != "" {
			_, _ = io.WriteString(w, thanks)
			return
		}
		if strings.Contains(string(b), `"id":"bad`) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, theirs+"\x1b[2J")
		}
	}))
	g.t.Cleanup(g.partner.Close)
	key, err := signing.StandardKey("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	if err != nil {
		g.t.Fatal(err)
	}
	standard, _ := format.ByName("standard")
	e := registry.Endpoint{
		ID: "main", URL: g.partner.URL, Format: standard, Keys: []registry.Key{{Key: key}}, Events: []string{"kyc.status.*"}, Concurrency: 4, Timeout: 5 * time.Second,
		Retry: registry.Retry{First: time.Millisecond, Factor: 1, Max: time.Millisecond, Attempts: 1},
	}
	strict := e
	strict.ID = "strict"
	es, owed := []registry.Endpoint{e, strict}, []outbox.Endpoint{{ID: "main"}, {ID: "strict"}}
	for _, name := range g.formats {
		e.ID, e.URL, e.Events = name, g.partner.URL+"/"+name, []string{"kyc.*"}
		e.Format, _ = format.ByName(name)
		es, owed = append(es, e), append(owed, outbox.Endpoint{ID: name})
	}
	if err := g.registry.Configure([]registry.Partner{{ID: "acme", Endpoints: es}, {ID: "beta"}}); err != nil {
		g.t.Fatal(err)
	}
	if g.outbox, err = outbox.New(outbox.Options{Store: g.store, Logger: log, Metrics: g.reg, Settled: relay.Settled, Decides: relay.Decides}, owed); err != nil {
		g.t.Fatal(err)
	}
	g.relay, err = relay.New(relay.Options{
		Journaled: g.journal,
		Store:     g.store, Log: g.journal, Journal: g.journal, Outbox: g.outbox, Registry: g.registry, Logger: log, Metrics: g.reg,
	})
	if err != nil {
		g.t.Fatal(err)
	}
	g.dispatcher = dispatch.New(dispatch.Options{
		Registry: g.registry, Outbox: g.outbox, Client: send.New(send.Options{}), After: g.relay.Begun(), Anew: g.relay.Anew, Logger: log, Metrics: g.reg,
	})
	background(g.t, g.dispatcher.Run)
	background(g.t, g.relay.Run)
	eventually(g.t, "the policies are registered", func() bool {
		_, err := g.relay.PlanPolicy(context.Background(), "acme")
		return err == nil
	})
}

// newToken makes tokens that are easily told apart.
func (g *rig) newToken() (string, error) { return fmt.Sprint("secret-made-", g.made.Add(1)), nil }

// translate is what the ingress would make of a body from quarantine.
func (g *rig) translate(item journal.Item) (in journal.Intake, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.again == nil {
		return in, fmt.Errorf("today's adapter makes no more of %s", item.ID)
	}
	for _, u := range g.again {
		in.Records = append(in.Records, journal.Record{Kind: u.Kind, Appended: time.Now(), Body: u.AppendJSON(nil)})
	}
	return in, nil
}

func (g *rig) ready() (reasons, notes []string) {
	g.mu.Lock()
	block, reasons, notes := g.block, g.reasons, g.notes
	g.mu.Unlock()
	if block != nil {
		block()
	}
	return reasons, notes
}

// tell lets sumsub say something about acme's subject, and waits until everything of it is
// delivered or dead.
func (g *rig) tell(subject string, minute int, s kyc.Status) {
	g.t.Helper()
	g.append(subject, minute, s)
	g.settled()
}

// append is tell, and waits for nothing.
func (g *rig) append(subject string, minute int, s kyc.Status) {
	g.t.Helper()
	at := time.Date(2026, 3, 1, 9, minute, 0, 0, time.UTC)
	u := kyc.Update{
		SchemaVersion: 1, Kind: kyc.Observation, Source: "sumsub-eu", Provider: "sumsub", Partner: "acme", Livemode: true, Subject: kyc.Subject{ID: subject},
		Verification: kyc.Verification{Ref: "s-" + subject}, Scope: kyc.Overall, Check: kyc.IdentityVerification, Status: s, Authenticity: kyc.Signed,
		OccurredAt: at, OccurredAtOrigin: kyc.OriginProvider, ReceivedAt: at,
	}
	u.ID = kyc.UpdateID(u.Source, []string{subject, at.String(), string(s)}, u.Kind, u.Check, u.Scope, "", 0, at)
	body, err := json.Marshal(u)
	if err != nil {
		g.t.Fatal(err)
	}
	if err := g.journal.Append(context.Background(), journal.Record{Kind: u.Kind, Appended: time.Now(), Body: body}); err != nil {
		g.t.Fatal(err)
	}
	g.appended++
}

func (g *rig) settled() {
	g.t.Helper()
	eventually(g.t, "all is folded and nothing is owed", func() bool {
		owed := g.outbox.Owed("main") + g.outbox.Owed("strict")
		for _, name := range g.formats {
			owed += g.outbox.Owed(name)
		}
		return g.relay.Position().Offset >= g.appended && owed == 0
	})
}

// answer is what the listener said.
type answer struct {
	code   int
	header http.Header
	body   string
	json   map[string]any
}

// call makes one request; token "" sends none. headers are pairs.
func (g *rig) call(token, method, path, body string, headers ...string) (a answer) {
	g.t.Helper()
	req, err := http.NewRequest(method, g.url+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer secret-"+token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	a = answer{code: resp.StatusCode, header: resp.Header, body: string(b)}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(b, &a.json); err != nil {
			g.t.Fatalf("%s %s: %v: %s", method, path, err, b)
		}
	}
	return a
}

// data are the items of a list.
func (a answer) data(t *testing.T) (items []map[string]any) {
	t.Helper()
	list, ok := a.json["data"].([]any)
	if !ok || a.json["object"] != "list" {
		t.Fatalf("no list: %d %s", a.code, a.body)
	}
	for _, i := range list {
		items = append(items, i.(map[string]any))
	}
	return items
}
