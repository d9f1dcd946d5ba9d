package journal

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
)

// BenchmarkAppend is what a record costs from the update to the disk, where many share a flush, and
// what it costs to forget it again: trim is everything, a thousand at a time, without a flush of
// its own for each.
func BenchmarkAppend(b *testing.B) {
	r := startRig(b, store.Options{}, Options{})
	var n atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(128)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := r.Append(b.Context(), Said(update(n.Add(1)))); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	if err := r.Passed(b.Context(), Position{Offset: 1 << 40}); err != nil || r.Backlog() != 0 {
		b.Fatal(err, r.Backlog())
	}
}

// BenchmarkTrim is what it costs to forget a record.
func BenchmarkTrim(b *testing.B) {
	r := startRig(b, store.Options{}, Options{})
	rs := make([]Record, 1000)
	b.ReportAllocs()
	for left := b.N; left > 0; left -= len(rs) {
		b.StopTimer()
		for i := range rs {
			rs[i] = Said(update(int64(i)))
		}
		if err := r.Append(b.Context(), rs...); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := r.Passed(b.Context(), Position{Offset: 1 << 40}); err != nil || r.Backlog() != 0 {
			b.Fatal(err, r.Backlog())
		}
	}
}

// update is one as a callback brings it.
func update(n int64) *kyc.Update {
	at := time.Date(2026, 5, 1, 12, 30, 15, 0, time.UTC)
	return &kyc.Update{
		SchemaVersion: 1, ID: fmt.Sprintf("01J%023d", n), Kind: kyc.Observation, Source: "sumsub-eu", Provider: "sumsub",
		ProviderEvent: kyc.ProviderEvent{ID: "req-ec508a2a-fa33-4dd2-b93d-fcade2967e03", Type: "applicantReviewed"}, Partner: "acme", Livemode: true,
		Subject:      kyc.Subject{ID: fmt.Sprintf("user-%09d", n), ProviderRef: "5cb56e8e0a975a35f333cb83", Kind: kyc.Individual},
		Verification: kyc.Verification{Ref: "5cb56e8e0a975a35f333cb84", Workflow: "basic-kyc-level"}, Scope: kyc.Overall, Check: kyc.IdentityVerification,
		Status: kyc.Approved, Authenticity: kyc.Signed, OccurredAt: at, OccurredAtOrigin: kyc.OriginProvider, ReceivedAt: at.Add(time.Second),
		BodySHA256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", AdapterVersion: 3,
	}
}
