package dispatch

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/send"
)

// TestBehind: while the disk takes nothing, no more than a fixed number of attempts is made ahead
// of it, and all the others once it does again.
func TestBehind(t *testing.T) {
	const owed = 12_000
	g := newRig(t, 64)
	var made atomic.Int64
	s := g.answered(func(context.Context) send.Answer {
		made.Add(1)
		return send.Answer{Code: 200, Reused: true}
	})
	g.oweBatch(0, owed)
	letGo := g.held()
	g.run()
	eventually(t, "the outbox is behind, and nothing is under way", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return g.outbox.Behind() && s.turns.inFlight == 0
	})
	if n := owed - int(g.outbox.Owed("a")); n != 0 {
		t.Errorf("%d are settled while the disk takes nothing", n)
	}
	if n := made.Load(); n > 8192+64 {
		t.Errorf("%d attempts are made while the disk takes nothing", n)
	}
	letGo()
	eventually(t, "everything is told", func() bool { return g.outbox.Owed("a") == 0 })
}

// TestBehindIsNotBusy: whoever waits for the disk does not look again and again.
func TestBehindIsNotBusy(t *testing.T) {
	g := newRig(t, 1)
	s := g.dispatcher.senders["a"]
	g.oweBatch(0, 3)
	l := &line{s: s}
	defer l.release()
	if j, ok := l.take(t.Context()); !ok {
		t.Fatal("nothing to do")
	} else {
		s.give(&j)
	}
	l.next = g.clock.now().Add(-time.Hour) // something has been due for long
	if at, _ := l.until(); at.After(g.clock.now()) {
		t.Fatalf("looks again at %v", at)
	}
	letGo := g.held()
	defer letGo()
	g.outbox.Settle(make([]outbox.Attempt, 8192)...)
	if j, ok := l.take(t.Context()); ok {
		t.Errorf("%+v is begun", j)
	}
	if at, deaf := l.until(); deaf || at.Before(g.clock.now().Add(30*time.Second)) {
		t.Errorf("looks again at %v, deaf %v", at, deaf)
	}
}

// held stops the writer until it is let go.
func (g *rig) held() (letGo func()) {
	in, out, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- g.store.Update(g.t.Context(), func(*store.Tx) error {
			close(in)
			<-out
			return nil
		})
	}()
	<-in
	return func() {
		close(out)
		if err := <-ended; err != nil {
			g.t.Error(err)
		}
	}
}
