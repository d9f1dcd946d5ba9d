package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/ingest"
	"countersign/ingest/journal"
	"countersign/ingest/provider"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay"
	"countersign/relay/control"
	"countersign/relay/dispatch"
	"countersign/relay/format"
	"countersign/relay/registry"
	"countersign/relay/send"
	"countersign/signing"
)

// stage is a gateway of real parts, but for its clock: two ingresses in front of one journal, the
// relay behind it, and partners on loopback. Its sources have the same names at both ingresses.
// What is posted to the one is signed; to the other it proves less than the sources ask for.
type stage struct {
	t        *testing.T
	clock    stageClock
	log      notebook
	post     postbox
	dir      string
	store    *store.Store
	sealer   *store.Sealer
	journal  *journal.Bolt
	outbox   *outbox.Outbox
	relay    *relay.Relay
	client   *send.Client
	partners []registry.Partner

	strong, weak door
	control      string // the address of the control listener
	stopRelay    func()
}

// door is one of the ingresses, and what a provider signs with there.
type door struct {
	*ingest.Ingress
	scheme signing.Scheme
	key    signing.Key
}

const pollToken = "cs_of_a_viewer"

var stageKey = func() signing.Key {
	k, err := signing.ParseKey("a-key-of-thirty-two-bytes-and-so")
	if err != nil {
		panic(err)
	}
	return k
}()

// newStage is a stage with these sources, and a partner with one endpoint for each of the policies.
// Other sources stand beside the signed ones.
func newStage(t *testing.T, sources []string, policies map[string]kyc.Policy, others ...ingest.Source) *stage {
	t.Helper()
	g := &stage{t: t, dir: t.TempDir()}
	t.Cleanup(func() { // of a test that failed
		if t.Failed() {
			t.Log(g.log.String())
		}
	})
	g.clock.set(t0)
	g.post.open(t)
	log, reg := slog.New(slog.NewJSONHandler(&g.log, &slog.HandlerOptions{Level: slog.LevelError})), prometheus.NewRegistry()
	var err error
	if g.store, err = store.Open(store.Options{Dir: g.dir, Logger: log, Metrics: reg, Linger: 200 * time.Microsecond}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.must(g.store.Close()) })
	g.run(g.store.Run)
	if g.sealer, err = store.OpenSealer(g.dir); err != nil {
		t.Fatal(err)
	}
	if g.journal, err = journal.NewBolt(journal.Options{Store: g.store, Sealer: g.sealer, Logger: log, Metrics: reg, Now: g.clock.now}); err != nil {
		t.Fatal(err)
	}
	g.client = send.New(send.Options{})
	t.Cleanup(g.client.Close)
	g.play(policies)
	g.strong = g.door(log, sources, signing.BodyHMAC{Header: "X-Signature"}, kyc.Signed, others...)
	g.weak = g.door(log, sources, signing.Static{Header: "X-Token"}, kyc.Authenticated)
	return g
}

// run runs a component until it is stopped, at the latest when the test ends.
func (g *stage) run(component func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- component(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); g.must(<-ended) })
	g.t.Cleanup(stop)
	return stop
}

func (g *stage) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Error(err)
	}
}

// play starts a relay with these policies on the store as it is; one that runs already is stopped
// before.
func (g *stage) play(policies map[string]kyc.Policy) {
	g.t.Helper()
	if g.stopRelay != nil {
		g.stopRelay()
	}
	key, err := signing.StandardKey(acmeKey)
	if err != nil {
		g.t.Fatal(err)
	}
	f, _ := format.ByName("standard")
	var owed []outbox.Endpoint
	g.partners = nil
	for id, p := range policies {
		g.partners = append(g.partners, registry.Partner{ID: id, Policy: p, Endpoints: []registry.Endpoint{{
			ID: id + "-main", URL: g.post.URL + "/" + id, Format: f, Keys: []registry.Key{{Key: key}}, Events: []string{"kyc.*"}, Concurrency: 16,
		}}})
		owed = append(owed, outbox.Endpoint{ID: id + "-main"})
	}
	people, err := registry.New(registry.Options{Store: g.store, Partners: slices.Clone(g.partners)})
	if err != nil {
		g.t.Fatal(err)
	}
	log, reg := slog.New(slog.NewJSONHandler(&g.log, &slog.HandlerOptions{Level: slog.LevelError})), prometheus.NewRegistry()
	if g.outbox, err = outbox.New(outbox.Options{Store: g.store, Logger: log, Metrics: reg, Now: g.clock.now, Settled: relay.Settled, Decides: relay.Decides}, owed); err != nil {
		g.t.Fatal(err)
	}
	if g.relay, err = relay.New(relay.Options{
		Store: g.store, Log: g.journal, Journal: g.journal, Outbox: g.outbox, Registry: people, Logger: log, Metrics: reg, Now: g.clock.now, Alarm: g.clock.alarm,
	}); err != nil {
		g.t.Fatal(err)
	}
	dispatcher := dispatch.New(dispatch.Options{
		Registry: people, Outbox: g.outbox, Client: g.client, After: g.relay.Begun(), Anew: g.relay.Anew, Logger: log, Metrics: reg, Now: g.clock.now,
	})
	ln, err := (&net.ListenConfig{}).Listen(g.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		g.t.Fatal(err)
	}
	g.control = ln.Addr().String()
	stopControl := g.run(control.New(control.Options{
		Listener: ln, Relay: g.relay, Dispatcher: dispatcher, Outbox: g.outbox, Store: g.store, Quarantine: g.journal, Questions: g.journal, Logger: log, Gatherer: reg,
		Tokens: []control.Token{{Name: "viewer", SHA256: sha256.Sum256([]byte(pollToken)), Scope: control.Viewer}},
	}).Run)
	stopDispatch, stopRelay := g.run(dispatcher.Run), g.run(g.relay.Run)
	g.stopRelay = func() { stopControl(); stopRelay(); stopDispatch() }
}

// door opens an ingress whose sources are all of a provider that signs like this.
func (g *stage) door(log *slog.Logger, sources []string, scheme signing.Scheme, proves kyc.Authenticity, others ...ingest.Source) door {
	g.t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(g.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		g.t.Fatal(err)
	}
	adapter := provider.Adapter{
		Name: "stage", Version: 1, Evidence: proves, Translate: translateSaid,
		Scheme: func(provider.Options) (signing.Scheme, error) { return scheme, nil },
	}
	o := ingest.Options{Listener: ln, Journal: g.journal, Sources: others, Logger: log, Metrics: prometheus.NewRegistry(), Now: g.clock.now}
	o.Partners = func(id string) bool {
		return slices.ContainsFunc(g.partners, func(p registry.Partner) bool { return p.ID == id })
	}
	for _, name := range sources {
		o.Sources = append(o.Sources, ingest.Source{
			Name: name, Adapter: adapter, Keys: signing.Keyring{stageKey}, PartnerFrom: "subject_prefix", Evidence: kyc.Signed, MaxBody: 1 << 20,
		})
	}
	in, err := ingest.New(o)
	if err != nil {
		g.t.Fatal(err)
	}
	g.run(in.Run)
	return door{in, scheme, stageKey}
}

// send posts a callback as a provider would.
func (g *stage) send(d door, source string, body []byte) {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, "http://"+d.Addr().String()+"/v1/callbacks/"+source, bytes.NewReader(body))
	if err == nil {
		err = d.scheme.Sign(req.Header, signing.Message{Body: body}, signing.Keyring{d.key})
	}
	if err != nil {
		g.t.Error(err)
		return
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Error(err)
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		g.t.Errorf("%s to %s: %s", body, source, resp.Status)
	}
}

// append writes records as a part of the gateway that is not on stage would.
func (g *stage) append(rs ...journal.Record) { g.must(g.journal.Append(g.t.Context(), rs...)) }

// settled waits until all that was said has been folded, all that time has brought until now too,
// and all that this owes has been delivered.
func (g *stage) settled() {
	g.t.Helper()
	tick := time.NewTicker(300 * time.Microsecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); ; <-tick.C {
		if g.unfolded() == 0 && !g.overdue() && g.unfolded() == 0 && g.owed() == 0 { // in this order: folding sets timers, and timers make records
			return
		}
		if time.Now().After(end) {
			at, _ := g.nextTimer()
			g.t.Fatalf("it never settles: at %s, the next timer at %s, %d records not folded, %d deliveries owed", g.clock.now(), at, g.unfolded(), g.owed())
		}
	}
}

// nextTimer is when time changes somebody next: an entry stands until its record has been folded.
func (g *stage) nextTimer() (at time.Time, ok bool) {
	g.view(func(tx *store.Tx) {
		if k, _ := tx.Bucket(store.Timers).Cursor().First(); len(k) > 8 {
			at, ok = time.UnixMicro(int64(binary.BigEndian.Uint64(k))).UTC(), true
		}
	})
	return at, ok
}

func (g *stage) overdue() bool {
	at, ok := g.nextTimer()
	return ok && !at.After(g.clock.now())
}

// unfolded is how many records the relay has not taken.
func (g *stage) unfolded() (n int64) {
	g.view(func(tx *store.Tx) {
		k, _ := tx.Bucket(store.Journal).Cursor().Last()
		if last, ok := journal.PositionOf(k); ok {
			n = max(0, last.Offset-g.relay.Position().Offset)
		}
	})
	return n
}

func (g *stage) view(fn func(*store.Tx)) {
	g.t.Helper()
	g.must(g.store.View(func(tx *store.Tx) error { fn(tx); return nil }))
}

func (g *stage) owed() (n int64) {
	for i := range g.partners {
		n += g.outbox.Owed(g.partners[i].Endpoints[0].ID)
	}
	return n
}

// goOn sets the clock, and before that to every instant at which time changes somebody; each is
// told to seen when all has settled.
func (g *stage) goOn(to time.Time, seen func(now time.Time)) {
	g.t.Helper()
	for {
		at, ok := g.nextTimer()
		if !ok || at.After(to) {
			break
		}
		g.clock.set(at)
		g.settled()
		seen(at)
	}
	g.clock.set(to)
}

// stageClock stands until it is set.
type stageClock struct {
	mu     sync.Mutex // guards what follows
	at     time.Time
	alarms map[chan time.Time]time.Time
}

func (c *stageClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *stageClock) set(to time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = to
	for ch, at := range c.alarms {
		if !at.After(to) {
			close(ch)
			delete(c.alarms, ch)
		}
	}
}

// alarm is relay.Options.Alarm.
func (c *stageClock) alarm(at time.Time) (<-chan time.Time, func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := make(chan time.Time)
	if !at.After(c.at) {
		close(ch)
		return ch, func() {}
	}
	if c.alarms == nil {
		c.alarms = map[chan time.Time]time.Time{}
	}
	c.alarms[ch] = at
	return ch, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.alarms, ch)
	}
}

// compareGolden holds a text to a file of testdata; with UPDATE_GOLDEN it writes it.
func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		t.Fatal("make it with UPDATE_GOLDEN=1")
	}
	if err != nil {
		t.Fatal(err)
	}
	want, have := strings.Split(string(b), "\n\n"), strings.Split(got, "\n\n")
	for i := range max(len(want), len(have)) {
		switch {
		case i >= len(want):
			t.Errorf("%s: not there:\n%s", name, have[i])
		case i >= len(have):
			t.Errorf("%s: gone:\n%s", name, want[i])
		case want[i] != have[i]:
			t.Errorf("%s:\n got %s\nwant %s", name, have[i], want[i])
		}
	}
}
