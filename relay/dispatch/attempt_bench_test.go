package dispatch

import (
	"io"
	"log/slog"
	"net/http"
	"testing"

	"countersign/outbox"
	"countersign/relay/registry"
)

// BenchmarkAttempt is what an attempt that is accepted costs in memory: its signature, what is noted
// and counted of it, and its line in the log, if it has one. Neither the client nor the disk.
func BenchmarkAttempt(b *testing.B) {
	f := func(name string, logAll bool) {
		b.Run(name, func(b *testing.B) {
			g := newRigOf(b, func(*rig, http.ResponseWriter, *http.Request) {}, func(e *registry.Endpoint) { e.Concurrency = 64 }, func(o *Options) {
				o.Logger, o.LogAll = slog.New(slog.NewJSONHandler(io.MultiWriter(), nil)), logAll
			})
			s := g.fromMemory()
			g.oweBatch(0, 1)
			ds, _, err := g.outbox.Claim("a", outbox.Turn{Max: 1})
			if err != nil || len(ds) != 1 {
				b.Fatal(ds, err)
			}
			b.ReportAllocs()
			for b.Loop() {
				j := job{d: ds[0]}
				s.mu.Lock()
				s.turns.begin(&j.d)
				s.mu.Unlock()
				started, by := g.clock.now(), s.setup.Load()
				h, err := sign(by.Endpoint, s.keys(), &j.d, started)
				if err != nil {
					b.Fatal(err)
				}
				s.trace(&j, h, started)
				a, err := by.post(b.Context(), by.URL, h, j.d.Body, by.Timeout)
				now := g.clock.now()
				out := s.outcome(b.Context(), &j, &a, err, started, now)
				s.endTrace(&j, &a, &out, now)
				s.r.logSettled(b.Context(), &out, s.count(&out, j.span, now))
				s.r.died(&out)
				s.give(&j)
			}
		})
	}
	f("failures", false)
	f("all", true)
}
