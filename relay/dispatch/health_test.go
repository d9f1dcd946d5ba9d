package dispatch

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"countersign/relay/registry"
)

// TestDisableAfter: only failures for as long as the endpoint says, without a day of quiet, disable
// it. What is kept of it is written rarely.
func TestDisableAfter(t *testing.T) {
	f := func(what string, after time.Duration, story []time.Duration, okAt int, want bool, writes int) {
		t.Helper()
		e := &registry.Endpoint{DisableAfter: after, Retry: registry.Retry(DefaultSchedule)}
		var h health
		disable, wrote := false, 0
		for i, since := range story {
			now := at(0).Add(since)
			if i == okAt {
				h.succeeded()
			} else {
				disable = h.failed(e, now)
			}
			if h.stale() {
				h.kept = h.is
				wrote++
			}
		}
		if disable != want || wrote != writes {
			t.Errorf("%s: disabled %v and %d times written, want %v and %d", what, disable, wrote, want, writes)
		}
	}
	every := func(step, until time.Duration) (story []time.Duration) {
		for at := time.Duration(0); at <= until; at += step {
			story = append(story, at)
		}
		return story
	}
	const hour, day = time.Hour, 24 * time.Hour
	f("five days", 0, every(hour, 5*day), -1, true, 120)
	f("not yet five days", 0, every(hour, 5*day-hour), -1, false, 119)
	f("each minute for a day", 0, every(time.Minute, day), -1, false, 24)
	f("a success", 0, every(hour, 5*day), 100, false, 119)
	f("never", -1, every(hour, 50*day), -1, false, 1200)
	f("two hours", 2*hour, every(10*time.Minute, 2*hour), -1, true, 2)
	f("twice", 2*hour, []time.Duration{0, 2 * hour}, -1, false, 1)
	f("quiet for a day", 0, append(every(hour, 4*day), 6*day), -1, false, 97)
	f("by the schedule", 0, every(12*hour, 5*day), -1, true, 10)
	f("a blink", 0, every(time.Second, time.Minute), -1, false, 0)
}

// TestNoticeAndResume: whoever listens is told that an endpoint is disabled, when that is on disk;
// who resumes it has its failures forgotten.
func TestNoticeAndResume(t *testing.T) {
	told := make(chan Notice, 10)
	g := newRigOf(t, func(_ *rig, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }, func(e *registry.Endpoint) { e.Concurrency = 1 },
		func(o *Options) { o.Notice = func(n Notice) { told <- n } })
	g.owe("ann")
	g.run()
	if n := <-told; n.Kind != Disabled || n.Endpoint != "a" || n.Reason == "" || g.registry.Read().Disabled("a") != n.Reason {
		t.Errorf("%+v", n)
	}
	s := g.dispatcher.senders["a"]
	s.mu.Lock()
	s.breaker = breaker{state: open, changed: g.clock.now(), opened: g.clock.now()}
	s.health.is.Since = g.clock.now()
	s.mu.Unlock()
	if v := g.dispatcher.Endpoints()[0]; v.Breaker != "open" || v.BreakerOpened.IsZero() || v.FailingSince.IsZero() || v.Disabled == "" {
		t.Errorf("shown as %+v", v)
	}
	p := g.registry.Read().Partners()[0]
	p.Endpoints = slices.Clone(p.Endpoints)
	p.Endpoints[0].URL += "/new"
	if err := g.registry.Configure([]registry.Partner{p}); err != nil {
		t.Fatal(err)
	}
	if v := g.dispatcher.Endpoints()[0]; v.Breaker != "closed" || v.Disabled == "" {
		t.Errorf("with another URL, shown as %+v", v)
	}
	if err := g.dispatcher.Resume(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if v := g.dispatcher.Endpoints()[0]; v.Breaker != "closed" || !v.BreakerOpened.IsZero() || !v.FailingSince.IsZero() || v.Disabled != "" {
		t.Errorf("when it is resumed, shown as %+v", v)
	}
}
