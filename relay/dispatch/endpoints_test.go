package dispatch

import (
	"testing"

	"countersign/outbox/store"
	"countersign/relay/registry"
)

// TestResumeWins: an endpoint that is resumed while its mark is still being written stays resumed.
func TestResumeWins(t *testing.T) {
	g := newRig(t, 8)
	g.run()
	busy, writer := make(chan struct{}), make(chan struct{})
	go g.store.Update(t.Context(), func(*store.Tx) error {
		close(busy)
		<-writer
		return nil
	})
	<-busy // nothing is written from here on
	g.dispatcher.disable(t.Context(), g.dispatcher.senders["a"], "for a test")
	resumed := make(chan error, 1)
	go func() { resumed <- g.dispatcher.Resume(t.Context(), "a") }()
	eventually(t, "the mark is off in memory", func() bool { return g.dispatcher.Endpoints()[0].Disabled == "" })
	close(writer)
	if err := <-resumed; err != nil {
		t.Fatal(err)
	}
	g.owe("ann")
	eventually(t, "nothing is owed", func() bool { return g.outbox.Owed("a") == 0 })
	var marked bool
	g.update(func(tx *store.Tx) error { marked = registry.IsDisabled(tx, "a"); return nil })
	if marked || g.took.Load() != 1 || g.dispatcher.Endpoints()[0].Disabled != "" {
		t.Errorf("marked: %v on disk and %q in memory; %d delivered", marked, g.dispatcher.Endpoints()[0].Disabled, g.took.Load())
	}
}
