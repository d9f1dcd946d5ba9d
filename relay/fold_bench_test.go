package relay

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/registry"
)

// foldedPersons are those whose lives a benchmark of the fold goes through at the same time, as many
// as the load of kycsim bench has.
const foldedPersons = 2048

// BenchmarkFold is what one record costs from the journal to the disk, with its delivery: real
// updates of two providers, four to a person, folded in batches of so many, into a real file. What
// settles them is not measured (BenchmarkSettle does). One op is one record. Beside time and
// allocations it tells what the writer puts into the file for a record (puts/record), and what the
// process writes, which is pages (written-B/record).
//
//	go test ./relay -run xxx -bench Fold/ -benchtime 20000x -benchmem
func BenchmarkFold(b *testing.B) {
	for _, size := range []int{1, 10, 100, 500} {
		b.Run(strconv.Itoa(size), func(b *testing.B) { newFoldBench(b).run(b, size) })
	}
}

type foldBench struct {
	store  *store.Store
	outbox *outbox.Outbox
	relay  *Relay
	reg    *prometheus.Registry
	began  time.Time
	n      int // records so far
}

func newFoldBench(b *testing.B) *foldBench {
	b.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "countersign")
	if err != nil {
		dir = b.TempDir()
	}
	f := &foldBench{began: time.Now().UTC().Add(-time.Hour)}
	log, reg := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	f.reg = reg
	if f.store, err = store.Open(store.Options{Dir: dir, Logger: log, Metrics: reg}); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.store.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
		_ = f.store.Close()
		_ = os.RemoveAll(dir)
	})
	sealer, err := store.OpenSealer(dir)
	if err != nil {
		b.Fatal(err)
	}
	j, err := journal.NewBolt(journal.Options{Store: f.store, Sealer: sealer, Logger: log, Metrics: reg})
	if err != nil {
		b.Fatal(err)
	}
	e := Endpoint{ID: "acme-main", URL: "https://192.0.2.1/", Format: standard, Events: []string{"kyc.*"}}
	known, err := registry.New(registry.Options{Store: f.store, Partners: []Partner{acme(e)}, Sealer: sealer})
	if err == nil {
		err = known.RegisterPolicies(ctx)
	}
	if err != nil {
		b.Fatal(err)
	}
	if f.outbox, err = outbox.New(outbox.Options{Store: f.store, Logger: log, Metrics: reg, Settled: Settled, Decides: Decides}, []outbox.Endpoint{{ID: e.ID}}); err != nil {
		b.Fatal(err)
	}
	if f.relay, err = New(Options{Store: f.store, Log: j, Journal: j, Outbox: f.outbox, Registry: known, PersonRefs: personRefs, Logger: log, Metrics: reg, Journaled: j}); err != nil {
		b.Fatal(err)
	}
	return f
}

// next is the next record: of each person in turn the next of four.
func (f *foldBench) next() journal.Record {
	life, turn, who := f.n/(4*foldedPersons), f.n/foldedPersons%4, f.n%foldedPersons
	f.n++
	name := fmt.Sprintf("user-%08d", (life*foldedPersons+who)*7919%100_000_000)
	at := f.began.Add(time.Duration(f.n) * time.Millisecond)
	ref := fmt.Sprintf("64f1c0a5b9e77c0001%06x", life*foldedPersons+who)
	u := kyc.Update{
		SchemaVersion: 1, Kind: kyc.Observation, Source: "sumsub-eu", Provider: "sumsub", ProviderEvent: kyc.ProviderEvent{ID: strings.Repeat("0f", 8) + ref[8:], Type: "applicantReviewed"},
		Partner: "acme", Livemode: true, Subject: kyc.Subject{ID: name, ProviderRef: ref, Kind: kyc.Individual}, Verification: kyc.Verification{Ref: "65" + ref[2:], Workflow: "basic-kyc-level"},
		Scope: kyc.Overall, Check: kyc.IdentityVerification, Authenticity: kyc.Signed, OccurredAt: at, OccurredAtOrigin: kyc.OriginProvider, ReceivedAt: at.Add(1500 * time.Microsecond),
		BodySHA256: strings.Repeat("a5", 32), AdapterVersion: 3, Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}
	if who%2 == 1 {
		u.Source, u.Provider, u.ProviderEvent.Type = "persona-us", "persona", "inquiry.transitioned"
		u.Subject.ProviderRef, u.Verification = "act_"+ref[6:], kyc.Verification{Ref: "inq_" + ref[6:], Workflow: "itmpl_4Ux3sAfV"}
	}
	switch u.Status = [...]kyc.Status{kyc.Pending, kyc.InReview, kyc.Rejected, kyc.Approved}[turn]; u.Status {
	case kyc.Rejected:
		u.Reasons, u.Retryable = []kyc.ReasonPair{{Code: kyc.DocumentUnreadable, ProviderCode: "UNSATISFACTORY_PHOTOS"}}, true
	default:
	}
	u.ID = kyc.UpdateID(u.Source, []string{u.ProviderEvent.ID, strconv.Itoa(turn)}, u.Kind, u.Check, u.Scope, "", 0, at)
	return journal.Record{Position: journal.At(int64(f.n)), Kind: u.Kind, Appended: u.ReceivedAt, Body: u.AppendJSON(nil), Update: &u}
}

func (f *foldBench) records(n int) []journal.Record {
	rs := make([]journal.Record, n)
	for i := range rs {
		rs[i] = f.next()
	}
	return rs
}

// settle ends all that is owed.
func (f *foldBench) settle(b *testing.B) {
	b.Helper()
	for {
		ds, _, err := f.outbox.Claim("acme-main", outbox.Turn{Max: 4096, Failed: 4096})
		if err != nil {
			b.Fatal(err)
		}
		if len(ds) == 0 {
			return
		}
		as := make([]outbox.Attempt, len(ds))
		for i, d := range ds {
			as[i] = outbox.Attempt{Delivery: d, Outcome: outbox.Done, Reason: "http_2xx", Code: 200, At: time.Now(), Took: 3 * time.Millisecond}
		}
		f.outbox.Settle(as...)
		if err := f.outbox.Flush(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

func (f *foldBench) run(b *testing.B, size int) {
	b.Helper()
	ctx := context.Background()
	for f.n < 4*foldedPersons { // one life of everybody, so that there is a file to speak of
		f.fold(b, f.records(foldedPersons/4))
		f.settle(b)
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.StopTimer()
	var spent time.Duration
	var puts, written float64
	for n := 0; n < b.N; n += size {
		rs := f.records(size)
		put, out := f.put(b), wrote(b)
		before := cpu(b)
		b.StartTimer()
		done, err := f.relay.foldBatch(ctx, rs)
		b.StopTimer()
		spent += cpu(b) - before
		puts, written = puts+f.put(b)-put, written+wrote(b)-out
		if err != nil || done != size {
			b.Fatal(done, err)
		}
		if f.n%1000 < size {
			f.settle(b)
		}
	}
	total := float64((b.N + size - 1) / size * size)
	b.ReportMetric(float64(spent.Nanoseconds())/total, "cpu-ns/record")
	b.ReportMetric(puts/total, "puts/record")
	b.ReportMetric(written/total, "written-B/record")
}

// put is how many records have been put into the file so far.
func (f *foldBench) put(b *testing.B) (n float64) {
	b.Helper()
	families, err := f.reg.Gather()
	if err != nil {
		b.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "store_records_written_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			if m.GetLabel()[0].GetValue() == "put" {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// wrote is how many bytes the process has written so far.
func wrote(b *testing.B) (n float64) {
	b.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "wchar:"); ok {
			n, _ = strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return n
}

func (f *foldBench) fold(b *testing.B, rs []journal.Record) {
	b.Helper()
	if done, err := f.relay.foldBatch(context.Background(), rs); err != nil || done != len(rs) {
		b.Fatal(done, err)
	}
}
