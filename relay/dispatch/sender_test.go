package dispatch

import (
	"fmt"
	"testing"
	"time"

	"countersign/relay/send"
)

// TestSlowDown: an endpoint that asks for less gets half as much at a time, and more again with
// each success.
func TestSlowDown(t *testing.T) {
	g := newRig(t, 8)
	s := g.dispatcher.senders["a"]
	f := func(v answer, a send.Answer, allowed int, closedFor time.Duration) {
		t.Helper()
		s.note(v, &a, "acme/ann", g.clock.now())
		if s.allowed != allowed {
			t.Errorf("after %+v %d are allowed, want %d", v, s.allowed, allowed)
		}
		left := s.pausedUntil.Sub(g.clock.now())
		if s.closed() != (closedFor > 0) || closedFor > 0 && (left < closedFor-5*time.Second || left > closedFor) {
			t.Errorf("after %+v paused for %v, want %v", a, left, closedFor)
		}
	}
	slow, fine, failed := answer{slow: true}, answer{ok: true}, answer{reason: reasonServer}
	f(failed, send.Answer{RetryAfter: time.Minute}, 8, 0) // about the delivery, not the endpoint
	f(slow, send.Answer{}, 4, 0)
	f(slow, send.Answer{}, 2, 0)
	f(slow, send.Answer{}, 1, 0)
	f(slow, send.Answer{}, 1, 0)
	f(fine, send.Answer{}, 2, 0)
	f(slow, send.Answer{RetryAfter: time.Minute}, 1, time.Minute)
	f(slow, send.Answer{RetryAfter: time.Second}, 1, time.Minute) // another one in flight: the longer pause stands
	for want := 2; want <= 8; want++ {
		f(fine, send.Answer{}, want, time.Minute)
	}
	f(fine, send.Answer{}, 8, time.Minute)
	f(slow, send.Answer{RetryAfter: 24 * time.Hour}, 4, 5*time.Minute)
	for i := range 10 {
		g.owe(fmt.Sprint("p", i))
	}
	l := &line{s: s}
	defer l.release()
	for range 3 {
		if j, ok := l.take(t.Context()); ok {
			t.Errorf("%+v is sent to a paused endpoint", j)
		}
	}
	g.clock.advance(6 * time.Minute)
	taken := 0
	for _, ok := l.take(t.Context()); ok; _, ok = l.take(t.Context()) {
		taken++
	}
	if taken != 4 {
		t.Errorf("%d slots after the pause, want 4", taken)
	}
}

// TestOnePersonsLimit: a 429 halves what is at the endpoint at once, and pauses it only where
// several people in a row are answered so.
func TestOnePersonsLimit(t *testing.T) {
	g := newRig(t, 16)
	s := g.dispatcher.senders["a"]
	throttled := read(&send.Answer{Code: 429}, nil)
	f := func(v answer, lane string, allowed int, closed bool) {
		t.Helper()
		s.note(v, &send.Answer{RetryAfter: time.Minute}, lane, g.clock.now())
		if s.allowed != allowed || s.closed() != closed {
			t.Errorf("after %+v of %s %d are allowed, paused %v; want %d, %v", v, lane, s.allowed, s.closed(), allowed, closed)
		}
	}
	fine := answer{ok: true}
	f(throttled, "ann", 8, false)
	f(throttled, "ann", 4, false)
	f(throttled, "ann", 2, false)
	f(throttled, "bob", 1, false)
	f(fine, "cid", 2, false)
	f(throttled, "ann", 1, false)
	f(throttled, "bob", 1, false)
	f(throttled, "cid", 1, true) // nobody is accepted any more
	g.clock.advance(2 * time.Minute)
	f(fine, "ann", 2, false)
	f(throttled, "cid", 1, false)
}
