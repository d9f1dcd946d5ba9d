package outbox

import (
	"fmt"
	"testing"
	"time"

	"countersign/outbox/store"
)

// BenchmarkLife is what one delivery costs from being owed to being settled, in groups of 64, while
// 50,000 others wait for their next try: on a file in memory, so that it is about the work and not
// about the disk. ops are records put or deleted.
func BenchmarkLife(b *testing.B) {
	clock := newClock()
	r := startRig(b, store.Options{Linger: time.Nanosecond}, Options{Now: clock.now}, Endpoint{ID: "acme-01"}, Endpoint{ID: "acme-02"})
	body := make([]byte, 700)
	owe := func(endpoint string, n, seq int) Delivery {
		id := fmt.Sprintf("evt_01M8P0W63PDF7YJ0M2Q%d", n)
		return Delivery{
			Endpoint: endpoint, Lane: fmt.Sprintf("acme/person-%08d", n*7919%1_000_003), Sequence: uint64(seq), WebhookID: id, Type: "kyc.status.approved", Format: "standard", Owed: r.o.Now(), Received: r.o.Now(),
			Body: body,
		}
	}
	const waiting, group = 50_000, 64
	for n := 0; n < waiting; n += 1000 {
		ds := make([]Delivery, 1000)
		for i := range ds {
			ds[i] = owe("acme-02", n+i, 1)
		}
		r.put(b, ds...)
	}
	ds, as := make([]Delivery, group), make([]Attempt, group)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += group {
		for i := range ds {
			ds[i] = owe("acme-01", n+i, n/group+1)
		}
		r.put(b, ds...)
		claimed := r.claim(b, "acme-01", group)
		if len(claimed) != group {
			b.Fatalf("claimed %d of %d", len(claimed), group)
		}
		for i, d := range claimed {
			as[i] = Attempt{Delivery: d, Outcome: Done, Code: 200, At: r.o.Now(), Took: time.Millisecond}
		}
		r.settle(b, as...)
	}
}
