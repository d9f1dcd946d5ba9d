package dispatch

import (
	"context"
	"fmt"
	"time"

	"countersign/outbox"
	"countersign/relay/registry"
)

const (
	disableTimes = 5                // failures in that time, at least
	keptEvery    = time.Hour        // how often what fails is written down, at most
	keptFrom     = 10 * time.Minute // for how long it has failed before it is
)

// health is for how long an endpoint has done nothing but fail. A quiet time of a fifth of what
// disables it, or twice its longest wait, begins it anew: nobody knows how it did then.
type health struct {
	is, kept registry.Health
}

// failed notes a failure, and reports whether it is time to disable the endpoint.
func (h *health) failed(e *registry.Endpoint, now time.Time) (disable bool) {
	after := e.DisableAfter
	if after == 0 {
		after = registry.DisableAfter
	}
	quiet := max(after/5, 2*Schedule(e.Retry).complete().Max)
	if h.is.Since.IsZero() || now.Sub(h.is.Last) > quiet {
		h.is.Since, h.is.Failures = now, 0
	}
	h.is.Last = now
	h.is.Failures++
	return after > 0 && now.Sub(h.is.Since) >= after && h.is.Failures >= disableTimes
}

func (h *health) succeeded() { h.is.Since, h.is.Last, h.is.Failures = time.Time{}, time.Time{}, 0 }

// stale reports whether what is kept says something else than what is: that the breaker turned, at
// once; since when the endpoint fails, now and then.
func (h *health) stale() bool {
	switch {
	case !h.is.Opened.Equal(h.kept.Opened):
		return true
	case h.is.Since.IsZero():
		return !h.kept.Since.IsZero()
	case h.kept.Since.IsZero():
		return h.is.Last.Sub(h.is.Since) >= keptFrom
	}
	return !h.is.Since.Equal(h.kept.Since) || h.is.Last.Sub(h.kept.Last) >= keptEvery
}

// recall takes up what was kept of the endpoint when the gateway stopped.
func (s *sender) recall() {
	kept, err := s.r.o.Registry.Health(s.id)
	if err != nil {
		s.r.o.Logger.Error("endpoint_health_not_read", "endpoint", s.id, "error", err)
	}
	s.mu.Lock()
	s.health = health{is: kept, kept: kept}
	s.breaker = resumed(kept.Opened, s.r.o.Now())
	s.missed = misses{times: kept.Failures, since: kept.Since}
	s.mu.Unlock()
}

// turned is the state of the breaker.
func (s *sender) turned() breakerState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.breaker.state
}

// judge tells the breaker, and the clock of the endpoint's failures, what came of an attempt. s.mu is
// held, and given back.
func (s *sender) judge(ctx context.Context, j *job, v answer, started, now time.Time) {
	e := s.endpoint()
	var t turned
	speaks := v.ok || v.about || v.disable // the endpoint answered as one that works
	switch {
	case v.ok || speaks && s.breaker.state == open:
		t = s.breaker.succeeded(now, e.Concurrency)
	case speaks:
	default:
		t = s.breaker.failed(started, now, j.d.Lane, j.probe)
	}
	disable := false
	if v.ok {
		s.health.succeeded()
	} else {
		disable = s.health.failed(e, now)
	}
	since := s.health.is.Since
	if t == hasHalfOpened {
		s.recovering = true
	}
	s.keep(t, now)
	if disable {
		s.r.disable(ctx, s, "nothing but failures since "+since.UTC().Format(time.RFC3339))
	}
}

// keep shows and writes down that the breaker has turned, and now and then since when the endpoint
// fails. s.mu is held, and given back.
func (s *sender) keep(t turned, now time.Time) {
	since := s.health.is.Opened
	switch s.health.is.Opened = s.breaker.opened; t {
	case hasOpened:
		since = now
	case hasClosed, hasReopened, hasHalfOpened, unturned:
	}
	is, stale := s.health.is, s.health.stale()
	if stale {
		s.health.kept = is
	}
	if t != unturned && !s.over {
		s.r.m.breaker.WithLabelValues(s.id).Set(float64(s.breaker.state))
	}
	s.mu.Unlock()
	if t == hasOpened || t == hasClosed {
		s.r.o.Logger.Warn("endpoint_breaker", "endpoint", s.id, "state", map[turned]string{hasOpened: "open", hasClosed: "closed"}[t], "opened_at", since)
	}
	if !stale {
		return
	}
	s.r.o.Registry.SetHealth(s.id, is, func(err error) {
		switch {
		case err != nil:
			s.r.o.Logger.Error("endpoint_health_not_written", "endpoint", s.id, "error", err)
		case t == hasOpened:
			s.r.notice(Notice{Kind: Opened, Endpoint: s.id, At: now, Since: since})
		case t == hasClosed:
			s.r.notice(Notice{Kind: Recovered, Endpoint: s.id, At: now, Since: since})
		}
	})
}

// forgive forgets that the endpoint has failed: an operator takes it up again.
func (s *sender) forgive() {
	s.mu.Lock()
	s.breaker, s.recovering = breaker{}, false
	s.health.succeeded()
	if !s.over {
		s.r.m.breaker.WithLabelValues(s.id).Set(0)
	}
	s.keep(unturned, s.r.o.Now())
}

// ends is when the time of a delivery is over that became due then, has failed so often, and waits
// for the endpoint's breaker since it opened, or since the gateway started: when its schedule would
// have ended if it had been tried in vain each time. At least an hour is given, so that a short
// outage costs no last try.
func (s *sender) ends(opened time.Time) func(due time.Time, failures int) time.Time {
	schedule := Schedule(s.endpoint().Retry)
	left := map[int]time.Duration{}
	return func(due time.Time, failures int) time.Time {
		rest, ok := left[failures]
		if !ok {
			rest = max(schedule.left(failures), time.Hour)
			left[failures] = rest
		}
		if due.Before(opened) {
			due = opened
		}
		return due.Add(rest)
	}
}

const overdueAtOnce = 500

// expire puts down as dead what has waited in an outbox for the breaker for longer than its schedule
// has it. It returns when to look again.
func (s *sender) expire(ctx context.Context, o *outbox.Outbox, opened time.Time) time.Time {
	now := s.r.o.Now()
	ds, next, err := o.Overdue(s.id, overdueAtOnce, s.ends(opened))
	if err != nil {
		s.r.o.Logger.Error("claim_failed", "endpoint", s.id, "error", err)
	}
	for _, d := range ds {
		out := outbox.Attempt{Delivery: d, Outcome: outbox.Died, Reason: reasonExhausted, At: now}
		out.Detail = fmt.Sprintf("tried %d times, and then its endpoint was down until its schedule had ended", d.Failures)
		s.settle(ctx, &out, nil, now)
	}
	if len(ds) == overdueAtOnce {
		return now
	}
	if most := now.Add(10 * time.Minute); next.IsZero() || next.Before(most) {
		return most
	}
	return next
}
