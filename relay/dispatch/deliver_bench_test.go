package dispatch

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/registry"
	"countersign/relay/send"
)

// answered has an endpoint's partner answer without any network.
func (g *rig) answered(by func(context.Context) send.Answer) *sender {
	s := g.dispatcher.senders["a"]
	is := *s.setup.Load()
	is.post = func(ctx context.Context, _ string, _ send.Fields, _ []byte, _ time.Duration) (send.Answer, error) {
		return by(ctx), nil
	}
	s.setup.Store(&is)
	return s
}

// fromMemory has it answer 200, at once.
func (g *rig) fromMemory() *sender {
	return g.answered(func(context.Context) send.Answer { return send.Answer{Code: 200, Reused: true} })
}

// oweBatch puts deliveries to as many people into the outbox, in one commit.
func (g *rig) oweBatch(from, n int) {
	body := make([]byte, 600)
	g.update(func(tx *store.Tx) error {
		for i := from; i < from+n; i++ {
			d := outbox.Delivery{
				Endpoint: "a", Lane: fmt.Sprintf("acme/user-%08d", i), Sequence: 1, WebhookID: fmt.Sprintf("evt_%026d", i),
				Type: "kyc.status.approved", Format: "standard", Owed: g.clock.now(), Received: g.clock.now(), Body: body,
			}
			if err := g.outbox.Put(tx, d); err != nil {
				return err
			}
		}
		return nil
	})
}

// BenchmarkDeliver is what a delivery costs from its claim until it is settled on a real file, by a
// partner who answers from memory: the sender and the outbox, and neither the network nor the fold.
func BenchmarkDeliver(b *testing.B) {
	const batch = 4000
	g := newRigOf(b, func(*rig, http.ResponseWriter, *http.Request) {}, func(e *registry.Endpoint) { e.Concurrency = 64 })
	g.fromMemory()
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += batch {
		b.StopTimer()
		g.oweBatch(done, min(batch, b.N-done))
		b.StartTimer()
		stop := g.background(g.dispatcher.Run)
		eventually(b, "all is settled", func() bool { return g.outbox.Owed("a") == 0 })
		stop()
	}
}
