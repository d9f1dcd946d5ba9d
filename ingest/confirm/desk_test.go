package confirm

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
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

// desk is a confirmer on a real journal and store; what it appends is read back from the journal.
type desk struct {
	t       *testing.T
	dir     string
	store   *store.Store
	journal *journal.Bolt
	reg     *prometheus.Registry // of the store and the journal
	asking  *prometheus.Registry // of the confirmer
	ahead   atomic.Int64         // of real time
	first   time.Duration        // before the first retry
	stop    func()
	asks    *Confirmer // the one that was run last
}

func (d *desk) now() time.Time { return time.Now().Add(time.Duration(d.ahead.Load())) }

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, dir: t.TempDir(), first: time.Millisecond}
	d.open()
	t.Cleanup(func() { d.stop() })
	return d
}

// open opens the file; restart closes and opens it again.
func (d *desk) open() {
	d.t.Helper()
	d.reg = prometheus.NewRegistry()
	log := slog.New(slog.DiscardHandler)
	var err error
	if d.store, err = store.Open(store.Options{Dir: d.dir, MaxSize: 1 << 30, Logger: log, Metrics: d.reg}); err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func(s *store.Store) { done <- s.Run(ctx) }(d.store)
	sealer, err := store.OpenSealer(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	if d.journal, err = journal.NewBolt(journal.Options{Store: d.store, Sealer: sealer, Logger: log, Metrics: d.reg}); err != nil {
		d.t.Fatal(err)
	}
	d.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, d.store.Close()); err != nil {
			d.t.Error(err)
		}
	})
}

// raise appends a record that leaves a question open.
func (d *desk) raise(source string, f provider.Fetch, claim string) {
	d.t.Helper()
	u := kyc.Update{SchemaVersion: 1, ID: claim, Kind: kyc.FetchRequest, Source: source}
	q := journal.Question{Source: source, What: f.What, Ref: f.Ref, Claim: claim, Since: d.now(), Due: d.now()}
	if err := d.journal.Append(context.Background(), journal.Record{Kind: u.Kind, Appended: d.now(), Body: u.AppendJSON(nil), Ask: []journal.Question{q}}); err != nil {
		d.t.Fatal(err)
	}
}

// run starts a confirmer over the desk; the function it returns stops it.
func (d *desk) run(sources ...Source) (stop func()) {
	d.t.Helper()
	d.asking = prometheus.NewRegistry()
	c, err := New(Options{
		Journal: d.journal, Asked: d.journal.Asked, Oldest: d.journal.OldestQuestion, Sources: sources, Logger: slog.New(slog.DiscardHandler), Metrics: d.asking, Now: d.now,
		First: d.first,
		Take:  d.ingress(sources).Confirmed,
	})
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	d.asks = c
	go func() { done <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				d.t.Error(err)
			}
		case <-time.After(patience):
			d.t.Error("the confirmer does not stop")
		}
	})
	d.t.Cleanup(stop)
	return stop
}

// ingress knows the same sources, all of one partner but for "prefixed".
func (d *desk) ingress(sources []Source) *ingest.Ingress {
	d.t.Helper()
	o := ingest.Options{Journal: d.journal, Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Now: d.now, Partners: func(id string) bool { return id == "acme" }}
	for _, s := range sources {
		is := ingest.Source{Name: s.Name, Options: s.Options, Partner: "acme", Livemode: s.Live, Evidence: kyc.Signed}
		if s.Name == "prefixed" {
			is.Partner, is.PartnerFrom = "", "subject_prefix"
		}
		is.Adapter = provider.Adapter{Name: "thin", Version: 1, API: s.API, Scheme: func(provider.Options) (signing.Scheme, error) { return signing.Unsigned{}, nil }}
		o.Sources = append(o.Sources, is)
	}
	in, err := ingest.New(o)
	if err != nil {
		d.t.Fatal(err)
	}
	return in
}

// open questions of all sources.
func (d *desk) questions() []journal.Question {
	d.t.Helper()
	qs, _, err := d.journal.Questions("", 1000)
	if err != nil {
		d.t.Fatal(err)
	}
	return qs
}

func (d *desk) eventually(what string, ok func() bool) {
	d.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			d.t.Fatalf("waited in vain until %s; open: %+v", what, d.questions())
		}
	}
}

// confirmations reads back what was appended.
func (d *desk) confirmations() (us []kyc.Update) {
	d.t.Helper()
	tail, end := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer end()
	err := d.journal.Tail(tail, journal.Position{}, func(_ context.Context, rs []journal.Record) error {
		for _, r := range rs {
			var u kyc.Update
			if err := json.Unmarshal(r.Body, &u); err != nil {
				return err
			}
			if r.Kind == kyc.Confirmation {
				us = append(us, u)
			}
		}
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return us
}

func (d *desk) count(source string, o outcome) float64 {
	d.t.Helper()
	families, err := d.asking.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "confirm_questions_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if label(m, "source") == source && label(m, "outcome") == string(o) {
				return m.GetCounter().GetValue()
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

func credentials(t *testing.T) provider.Credentials {
	t.Helper()
	k, err := signing.ParseKey("the-secret")
	if err != nil {
		t.Fatal(err)
	}
	return provider.Credentials{User: "the-user", Key: k}
}

// thin is a made-up API: one call, whose answer is a status, or "busy", or nonsense.
func thin() *provider.API {
	return &provider.API{
		Authorize: func(c *provider.Call, k provider.Credentials, now time.Time) error {
			return provider.BasicAuth(c, k, now)
		},
		Next: func(q provider.Fetch, answers [][]byte, _ provider.Options) (provider.Call, bool, error) {
			return provider.Call{Method: http.MethodGet, Path: "/things/" + q.Ref}, len(answers) == 0, nil
		},
		Read: func(_ provider.Fetch, answers [][]byte, _ provider.Options) (provider.Result, error) {
			person := kyc.Update{Subject: kyc.Subject{ID: "user-7"}, Scope: kyc.Overall, Check: kyc.IdentityVerification, Status: kyc.InReview}
			said, ours := strings.CutPrefix(string(answers[0]), "acme:")
			if ours {
				person.Subject.ID = "acme:user-7"
			}
			switch s := kyc.Status(said); {
			case s == "busy":
				return provider.Result{Unsettled: true}, nil
			case s == "busy, with a word nobody knows":
				return provider.Result{Unsettled: true, KeepBody: true, Updates: []kyc.Update{person}}, nil
			case s == "a word nobody knows":
				return provider.Result{KeepBody: true, Updates: []kyc.Update{person}}, nil
			case s == "of a live person":
				live := true
				return provider.Result{Livemode: &live, Updates: []kyc.Update{person}}, nil
			case s == "nothing":
				return provider.Result{}, nil
			case s == "panic":
				panic("Anna")
			case slices.Contains(kyc.Statuses, s):
				person.Status = s
				return provider.Result{Updates: []kyc.Update{person}}, nil
			default:
				return provider.Result{}, provider.ErrUnreadable
			}
		},
	}
}

// server is a provider's API that answers as its script says, call by call; the last answer stays.
func server(t *testing.T, script ...func(w http.ResponseWriter, r *http.Request)) (base string, calls *atomic.Int64) {
	t.Helper()
	calls = &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, key, ok := r.BasicAuth(); !ok || user != "the-user" || key != "the-secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		script[min(int(calls.Add(1)), len(script))-1](w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, calls
}

func says(status int, text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, text)
	}
}
