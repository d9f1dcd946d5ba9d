package dispatch

import (
	"testing"
	"time"

	"countersign/outbox"
)

// TestNothingBefore: what is owed is not claimed before whoever repairs the outbox says so, and a
// dispatcher that waits for it can be stopped.
func TestNothingBefore(t *testing.T) {
	repaired := make(chan struct{})
	after := func(o *Options) { o.After = repaired }
	waiting := newRig(t, 8, after)
	waiting.background(waiting.dispatcher.Run)() // it is stopped before anything has been said
	g := newRig(t, 8, after)
	g.owe("ann")
	g.run()
	<-time.After(50 * time.Millisecond) // long enough for one that does not wait
	if ds, _, err := g.outbox.Claim("a", outbox.Turn{Max: 1, Failed: 1}); err != nil || len(ds) != 1 || g.took.Load() != 0 {
		t.Errorf("%d can be claimed, %v; %d delivered", len(ds), err, g.took.Load())
	} else {
		g.outbox.Release(ds...)
	}
	close(repaired)
	eventually(t, "it is delivered", func() bool { return g.took.Load() == 1 && g.outbox.Owed("a") == 0 })
}
