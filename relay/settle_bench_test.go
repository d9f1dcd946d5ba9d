package relay

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/outbox"
	"countersign/outbox/store"
)

// BenchmarkSettle is what an attempt costs from its settling to its effect on the disk, in time of
// the processor and in bytes of the file, of a delivery that was accepted and of one that failed. It
// is noisy: compare figures of one run.
//
//	go test ./relay -run xxx -bench Settle -benchtime 20000x
func BenchmarkSettle(b *testing.B) {
	said := outbox.Exchange{FirstByte: 3217 * time.Microsecond, Reused: true, Address: netip.MustParseAddrPort("192.0.2.7:443")}
	with := func(text, contentType string) outbox.Exchange {
		x := said
		x.Answer = outbox.Answer{Text: text, Type: contentType, Bytes: int64(len(text))}
		return x
	}
	page := strings.Repeat("<p>the upstream is gone</p>", 200)[:outbox.MaxText]
	for _, c := range []struct {
		name    string
		outcome outbox.Outcome
		of      func(n int) outbox.Exchange
	}{
		{"accepted", outbox.Done, func(int) outbox.Exchange { return said }},
		{"accepted, {ok:true}", outbox.Done, func(int) outbox.Exchange { return with(`{"ok":true}`, "application/json") }},
		{"failed", outbox.Retry, func(int) outbox.Exchange { return said }},
		{"failed, one page", outbox.Retry, func(int) outbox.Exchange { return with(page, "text/html") }},
		{"failed, a page each", outbox.Retry, func(n int) outbox.Exchange { return with(strconv.Itoa(n)+page[20:], "text/html") }},
	} {
		b.Run(c.name, func(b *testing.B) { benchSettle(b, c.outcome, c.of) })
	}
}

func benchSettle(b *testing.B, outcome outbox.Outcome, of func(n int) outbox.Exchange) {
	b.Helper()
	const together = 500
	dir, err := os.MkdirTemp("/dev/shm", "countersign")
	if err != nil {
		dir = b.TempDir()
	}
	defer os.RemoveAll(dir)
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(store.Options{Dir: dir, Logger: log, Metrics: prometheus.NewRegistry()})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	o, err := outbox.New(outbox.Options{Store: s, Logger: log, Metrics: prometheus.NewRegistry(), Settled: Settled}, []outbox.Endpoint{{ID: "acme-main"}})
	if err != nil {
		b.Fatal(err)
	}
	var spent time.Duration
	for n := 0; n < b.N; {
		var ds []outbox.Delivery
		now := time.Now()
		for ; len(ds) < together; n++ {
			ds = append(ds, outbox.Delivery{
				Endpoint: "acme-main", Lane: fmt.Sprintf("acme/user-%08d", n*7919%100_000_000), Sequence: 2, PreviousSequence: 1, WebhookID: fmt.Sprintf("evt_01KM2VSGN1Q0KF3ZB6H8%06d", n), Type: "kyc.status.approved", Format: "standard",
				Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Owed: now, Received: now, Body: []byte(strings.Repeat("b", 700)),
			})
		}
		if err := s.Update(ctx, func(tx *store.Tx) error { return o.Put(tx, ds...) }); err != nil {
			b.Fatal(err)
		}
		claimed, _, err := o.Claim("acme-main", outbox.Turn{Max: together})
		if err != nil || len(claimed) != together {
			b.Fatal(len(claimed), err)
		}
		as := make([]outbox.Attempt, together)
		for i, d := range claimed {
			as[i] = outbox.Attempt{Delivery: d, Outcome: outcome, Reason: "http_2xx", Code: 200, At: now, Took: 3412 * time.Microsecond, Retry: now.Add(time.Hour), Exchange: of(n + i)}
			if outcome != outbox.Done {
				as[i].Reason, as[i].Code = "http_5xx", 503
			}
		}
		before := cpu(b)
		o.Settle(as...)
		if err := o.Flush(ctx); err != nil {
			b.Fatal(err)
		}
		spent += cpu(b) - before
	}
	total := float64((b.N + together - 1) / together * together)
	b.ReportMetric(float64(spent.Nanoseconds())/total, "cpu-ns/attempt")
	var kept int
	if err := s.View(func(tx *store.Tx) error {
		for _, n := range []store.Name{store.Outcomes, store.Index, store.Attempts, store.Answers} {
			bucket := tx.Bucket(n)
			if err := bucket.ForEach(func(k, _ []byte) error {
				kept += len(k) + len(bucket.Raw(k))
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(kept)/total, "file-B/attempt")
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// cpu is the time of the processor that this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
