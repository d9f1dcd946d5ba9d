package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"countersign/ingest"
	"countersign/ingest/journal"
	"countersign/ingest/provider"
	"countersign/kyc"
	"countersign/outbox/store"
	"countersign/signing"
)

const patience = 20 * time.Second // no passing test comes near it

// desk is a follower on a real journal, with the ingress's records.
type desk struct {
	t        *testing.T
	dir      string
	backlog  int64
	store    *store.Store
	journal  *journal.Bolt
	reg      *prometheus.Registry // of the follower
	log      *strings.Builder
	full     atomic.Int64 // times that the journal had no room
	change   func(*Follower)
	stop     func()
	follower *Follower // the one that was run last
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, dir: t.TempDir(), change: func(*Follower) {}}
	d.open()
	t.Cleanup(func() { d.stop() })
	return d
}

// open opens the file; after stop it opens it again.
func (d *desk) open() {
	d.t.Helper()
	log, reg := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	var err error
	if d.store, err = store.Open(store.Options{Dir: d.dir, MaxSize: 1 << 30, Logger: log, Metrics: reg}); err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func(s *store.Store) { done <- s.Run(ctx) }(d.store)
	sealer, err := store.OpenSealer(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	if d.journal, err = journal.NewBolt(journal.Options{Store: d.store, Sealer: sealer, Logger: log, Metrics: reg, Backlog: d.backlog}); err != nil {
		d.t.Fatal(err)
	}
	d.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, d.store.Close()); err != nil {
			d.t.Error(err)
		}
	})
}

// seen is a journal that counts how often it has had no room.
type seen struct {
	*journal.Bolt
	full *atomic.Int64
}

// AppendFrom appends.
func (s *seen) AppendFrom(ctx context.Context, source, cursor string, rs ...journal.Record) error {
	err := s.Bolt.AppendFrom(ctx, source, cursor, rs...)
	if errors.Is(err, journal.ErrBacklog) {
		s.full.Add(1)
	}
	return err
}

// lines is a log that several goroutines write to.
type lines struct {
	mu  sync.Mutex // guards out
	out *strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

// run starts a follower; the function it returns stops it.
func (d *desk) run(sources ...Source) (stop func()) {
	d.t.Helper()
	d.reg, d.log = prometheus.NewRegistry(), &strings.Builder{}
	logger := slog.New(slog.NewJSONHandler(&lines{out: d.log}, nil))
	o := ingest.Options{Journal: d.journal, Logger: logger, Metrics: prometheus.NewRegistry()}
	for _, s := range sources {
		o.Sources = append(o.Sources, ingest.Source{Name: s.Name, Adapter: s.Adapter, Partner: "acme", Evidence: kyc.Signed})
	}
	in, err := ingest.New(o)
	if err != nil {
		d.t.Fatal(err)
	}
	f, err := New(Options{Journal: &seen{d.journal, &d.full}, Sources: sources, Take: in.Streamed, Logger: logger, Metrics: d.reg})
	if err != nil {
		d.t.Fatal(err)
	}
	f.waits = waits{silence: 5 * time.Second, answer: 5 * time.Second, first: time.Millisecond, longest: 10 * time.Millisecond, refused: time.Millisecond, room: time.Millisecond}
	d.change(f)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	d.follower = f
	go func() { done <- f.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				d.t.Error(err)
			}
		case <-time.After(patience):
			d.t.Error("the follower does not stop")
		}
	})
	d.t.Cleanup(stop)
	return stop
}

func (d *desk) eventually(what string, ok func() bool) {
	d.t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(2*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			d.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// reaches waits until a source's cursor is there.
func (d *desk) reaches(source, cursor string) {
	d.t.Helper()
	d.eventually("the cursor is "+cursor, func() bool {
		c, err := d.journal.Cursor(source)
		return err == nil && c == cursor
	})
	if err := d.store.Update(context.Background(), func(*store.Tx) error { return nil }); err != nil { // the journal hears of a commit a moment after its readers can see it
		d.t.Fatal(err)
	}
}

// updates are what the journal holds.
func (d *desk) updates() (us []kyc.Update) {
	d.t.Helper()
	want := int(d.journal.Backlog())
	if want == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := d.journal.Tail(ctx, journal.Position{}, func(_ context.Context, rs []journal.Record) error {
		for _, r := range rs {
			var u kyc.Update
			if err := json.Unmarshal(r.Body, &u); err != nil {
				return err
			}
			us = append(us, u)
		}
		if len(us) >= want {
			cancel()
		}
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return us
}

// says lists the updates in the journal as id and status.
func (d *desk) says(want string) {
	d.t.Helper()
	var got []string
	for _, u := range d.updates() {
		got = append(got, fmt.Sprint(u.ProviderEvent.Revision, " ", u.Status))
	}
	if s := strings.Join(got, ", "); s != want {
		d.t.Errorf("the journal says %q, want %q", s, want)
	}
}

// held lists what is in quarantine.
func (d *desk) held() (items []journal.Item) {
	d.t.Helper()
	views, _, err := d.journal.Items("", 100)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, v := range views {
		it, err := d.journal.Unseal(v.ID)
		if err != nil {
			d.t.Fatal(err)
		}
		items = append(items, it)
	}
	return items
}

// value is one series of the follower's metrics; -1: there is none.
func (d *desk) value(name, source, outcome string) float64 {
	d.t.Helper()
	families, err := d.reg.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label(m, "source") == source && label(m, "outcome") == outcome {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return -1
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// feed is a provider's stream. Each connection is served by the next step of its script; the last
// one stays.
type feed struct {
	url string

	mu    sync.Mutex // guards asked
	asked []string   // queries of those who had the credentials
}

// wire is one connection to a feed.
type wire struct {
	w    http.ResponseWriter
	gone <-chan struct{} // closed when the follower has left
}

// send writes texts, each at once.
func (w wire) send(texts ...string) {
	for _, text := range texts {
		io.WriteString(w.w, text)
		http.NewResponseController(w.w).Flush()
	}
}

// cut breaks the connection off.
func (w wire) cut() {
	if c, _, err := http.NewResponseController(w.w).Hijack(); err == nil {
		c.Close()
	}
}

// wait answers, and leaves the connection open.
func (w wire) wait() { w.send(""); <-w.gone }

func newFeed(t *testing.T, script ...func(wire)) *feed {
	t.Helper()
	f := &feed{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, key, _ := r.BasicAuth()
		if user != "the-user" || key != "the-secret" || r.Header.Get("Accept") != "text/event-stream" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		f.mu.Lock()
		f.asked = append(f.asked, r.URL.RawQuery)
		step := script[min(len(f.asked), len(script))-1]
		f.mu.Unlock()
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		step(wire{w, r.Context().Done()})
	}))
	t.Cleanup(s.Close)
	f.url = s.URL
	return f
}

func (f *feed) queries() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.asked...)
}

// sends is a step that sends and leaves the connection open.
func sends(texts ...string) func(wire) {
	return func(w wire) { w.send(texts...); w.wait() }
}

// account is an event of Alpaca's, as it stands on the wire.
func account(id int, status string) string { return "data: " + body(id, status) + "\n\n" }

func body(id int, status string) string {
	return fmt.Sprintf(`{"account_id":"acc-7","at":"2026-03-14T09:36:%02d.5Z","event_id":%d,"kyc_results":null,"status_to":"%s"}`, id%60, id, status)
}

// alpaca is a source that follows a feed.
func alpaca(t *testing.T, name, base string) Source {
	t.Helper()
	a, ok := provider.ByName("alpaca")
	k, err := signing.ParseKey("the-secret")
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	return Source{Name: name, Adapter: a, Base: base, Credentials: provider.Credentials{User: "the-user", Key: k}}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
