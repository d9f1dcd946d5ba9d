package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	bolt "go.etcd.io/bbolt"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/format"
	"countersign/relay/send"
	"countersign/signing"
)

const patience = 20 * time.Second // no passing test comes near it

// eventually waits until ok holds.
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

// clock is real time plus what a test adds to it.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time                 { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(by time.Duration)       { c.ahead.Add(int64(by)) }
func mustKey(text string) (k signing.Key)       { k, _ = signing.StandardKey(text); return k }
func formatNamed(name string) (f format.Format) { f, _ = format.ByName(name); return f }

// The keys of endpoints: rotated is the older one.
var (
	mainKey    = mustKey("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	rotatedKey = mustKey("whsec_YWJjZGVmZ2hpamFiY2RlZmdoaWphYmNkZWZnaGlqYWI=")
	standard   = formatNamed("standard")
	blendfi    = formatNamed("blendfi")
	blendfiV1  = formatNamed("blendfi-v1")
)

// personRefs as the adapters declare them.
var personRefs = map[string][]RefKind{
	"sumsub": {SubjectRef, SessionRef}, "persona": {SubjectRef, SessionRef}, "rebilly": {SubjectRef, SessionRef, ParentRef},
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

func (l *logBook) has(text string) bool { return l.count(text) > 0 }

func (l *logBook) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// rig is a relay with everything real around it but the providers. What is set before open counts.
type rig struct {
	t        *testing.T
	dir      string
	clock    clock
	partners []Partner
	grace    time.Duration
	wrap     func(*journal.Bolt) journal.Journal // for faults
	log      logBook

	store   *store.Store
	journal *journal.Bolt
	outbox  *outbox.Outbox
	relay   *Relay
	client  *send.Client
	reg     *prometheus.Registry

	stopRelay, stopStore context.CancelFunc
	relayDone, storeDone chan error
	appended             int64
}

// newRig makes a rig whose partners stand; it is open but does not run.
func newRig(t *testing.T, partners ...Partner) *rig {
	t.Helper()
	g := &rig{t: t, dir: t.TempDir(), partners: partners, grace: 5 * time.Second}
	t.Cleanup(func() { g.close() })
	g.open()
	return g
}

// start is newRig, running.
func start(t *testing.T, partners ...Partner) *rig {
	t.Helper()
	g := newRig(t, partners...)
	g.run()
	return g
}

func acme(es ...Endpoint) Partner { return Partner{ID: "acme", Endpoints: es} }

func (g *rig) open() {
	g.t.Helper()
	g.reg = prometheus.NewRegistry()
	log := slog.New(slog.NewJSONHandler(&g.log, nil))
	var err error
	if g.store, err = store.Open(store.Options{Dir: g.dir, Logger: log, Metrics: g.reg, Linger: 200 * time.Microsecond}); err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.stopStore, g.storeDone = cancel, make(chan error, 1)
	go func(s *store.Store, done chan error) { done <- s.Run(ctx) }(g.store, g.storeDone)
	sealer, err := store.OpenSealer(g.dir)
	if err != nil {
		g.t.Fatal(err)
	}
	if g.journal, err = journal.NewBolt(journal.Options{Store: g.store, Sealer: sealer, Logger: log, Metrics: g.reg, Now: g.clock.now}); err != nil {
		g.t.Fatal(err)
	}
	g.client = send.New(send.Options{MaxConnsPerHost: 64})
	g.makeRelay(log)
}

// makeRelay makes a new outbox and relay on the store as it is.
func (g *rig) makeRelay(log *slog.Logger) {
	g.t.Helper()
	var owed []outbox.Endpoint
	partners := make([]Partner, len(g.partners))
	for i, p := range g.partners { // New keeps and completes what it is given
		partners[i] = p
		for _, e := range p.Endpoints {
			owed = append(owed, outbox.Endpoint{ID: e.ID, MaxOwed: e.MaxOwed})
		}
	}
	var err error
	if g.outbox, err = outbox.New(outbox.Options{Store: g.store, Logger: log, Metrics: g.reg, Now: g.clock.now, Settled: Settled}, owed); err != nil {
		g.t.Fatal(err)
	}
	var j journal.Journal = g.journal
	if g.wrap != nil {
		j = g.wrap(g.journal)
	}
	g.relay, err = New(Options{
		Store: g.store, Journal: j, Outbox: g.outbox, Client: g.client, Partners: partners, PersonRefs: personRefs,
		Logger: log, Metrics: g.reg, Now: g.clock.now, Grace: g.grace,
	})
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	g.stopRelay, g.relayDone = cancel, make(chan error, 1)
	go func(r *Relay, done chan error) { done <- r.Run(ctx) }(g.relay, g.relayDone)
}

// halt asks the relay to stop and returns what Run returned.
func (g *rig) halt() error {
	g.t.Helper()
	if g.stopRelay == nil {
		return nil
	}
	g.stopRelay()
	return g.ended()
}

// ended waits until Run has returned.
func (g *rig) ended() error {
	g.t.Helper()
	defer func() { g.stopRelay = nil }()
	select {
	case err := <-g.relayDone:
		return err
	case <-time.After(patience):
		g.t.Fatal("the relay does not stop")
		return nil
	}
}

// haltStore stops the store.
func (g *rig) haltStore() {
	g.t.Helper()
	g.stopStore()
	select {
	case err := <-g.storeDone:
		if err != nil {
			g.t.Errorf("store: %v", err)
		}
		g.storeDone <- nil
	case <-time.After(patience):
		g.t.Fatal("the store does not stop")
	}
}

// close stops the relay, then the store, as the gateway does.
func (g *rig) close() {
	g.t.Helper()
	if g.store == nil {
		return
	}
	if err := g.halt(); err != nil {
		g.t.Errorf("relay: %v", err)
	}
	g.haltStore()
	g.shut()
}

func (g *rig) shut() {
	g.t.Helper()
	if err := g.store.Close(); err != nil {
		g.t.Error(err)
	}
	g.client.Close()
	g.store = nil
}

func (g *rig) restart() {
	g.t.Helper()
	g.close()
	g.open()
	g.run()
}

// snapshot copies what is committed at this moment: the file as a power cut would leave it.
func (g *rig) snapshot() (dir string) {
	dir, err := os.MkdirTemp(g.t.TempDir(), "crash")
	if err == nil {
		err = g.store.View(func(tx *bolt.Tx) error { return tx.CopyFile(filepath.Join(dir, "countersign.db"), 0o600) })
	}
	var key []byte
	if err == nil {
		key, err = os.ReadFile(filepath.Join(g.dir, "countersign.key"))
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "countersign.key"), key, 0o600)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		g.t.Error(err)
	}
	return dir
}

// crash goes on from a snapshot: whatever was in memory is lost.
func (g *rig) crash() {
	g.t.Helper()
	dir := g.snapshot()
	g.close()
	g.dir = dir
	g.open()
	g.run()
}

// record is an update as ingest writes it.
func (g *rig) record(u kyc.Update) journal.Record {
	g.t.Helper()
	body, err := json.Marshal(u)
	if err != nil {
		g.t.Fatal(err)
	}
	return journal.Record{Kind: u.Kind, Appended: g.clock.now(), Body: body}
}

// tell appends updates, all in one append.
func (g *rig) tell(us ...kyc.Update) {
	g.t.Helper()
	rs := make([]journal.Record, len(us))
	for i, u := range us {
		rs[i] = g.record(u)
	}
	g.write(rs...)
}

func (g *rig) write(rs ...journal.Record) {
	g.t.Helper()
	if err := g.journal.Append(context.Background(), rs...); err != nil {
		g.t.Fatal(err)
	}
	g.appended += int64(len(rs))
}

// folded waits until everything appended has been folded.
func (g *rig) folded() {
	g.t.Helper()
	eventually(g.t, fmt.Sprintf("%d records are folded", g.appended), func() bool { return g.relay.Position() >= g.appended })
}

// settled waits until everything appended is folded and nothing is owed.
func (g *rig) settled() {
	g.t.Helper()
	g.folded()
	for _, p := range g.partners {
		for _, e := range p.Endpoints {
			eventually(g.t, "nothing is owed to "+e.ID, func() bool { return g.outbox.Owed(e.ID) == 0 })
		}
	}
}

// wake makes every sender look at the clock again.
func (g *rig) wake() {
	for _, s := range g.relay.senders {
		s.nudge()
	}
}

// after moves the clock and wakes the senders.
func (g *rig) after(d time.Duration) {
	g.clock.advance(d)
	g.wake()
}

func (g *rig) view(partner, id string, livemode bool) SubjectView {
	g.t.Helper()
	v, err := g.relay.Subject(partner, id, livemode)
	if err != nil {
		g.t.Fatal(err)
	}
	return v
}

// dead lists the dead deliveries of an endpoint.
func (g *rig) dead(endpoint string) []outbox.DeadDelivery {
	g.t.Helper()
	ds, more, err := g.outbox.ListDead(endpoint, "", 1000)
	if err != nil || more {
		g.t.Fatal(more, err)
	}
	return ds
}

// redeliver orders one dead delivery and waits until the order is folded.
func (g *rig) redeliver(id string, force bool) error {
	g.t.Helper()
	err := g.relay.Redeliver(context.Background(), id, force, "ops")
	if err == nil {
		g.appended++
		g.folded()
	}
	return err
}

// metric is the value of one series; labels are pairs. -1: there is none.
func (g *rig) metric(name string, labels ...string) float64 {
	g.t.Helper()
	families, err := g.reg.Gather()
	if err != nil {
		g.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	next:
		for _, m := range f.GetMetric() {
			have := map[string]string{}
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			for i := 0; i < len(labels); i += 2 {
				if have[labels[i]] != labels[i+1] {
					continue next
				}
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return -1
}

// tamper writes to the file beside the relay.
func (g *rig) tamper(fn func(tx *bolt.Tx) error) {
	g.t.Helper()
	if err := g.store.Update(context.Background(), fn); err != nil {
		g.t.Fatal(err)
	}
}
