package dispatch

import (
	"math"
	"time"

	"github.com/cenkalti/backoff/v4"

	"countersign/relay/registry"
)

// Schedule says how long to wait before each retry: a pure function of the number of failures, so
// it survives restarts. What is zero, but for Jitter, is as in DefaultSchedule.
type Schedule registry.Retry

// DefaultSchedule makes 15 attempts over about 74 hours.
var DefaultSchedule = Schedule{First: 5 * time.Second, Factor: 3, Max: 12 * time.Hour, Jitter: 0.2, Attempts: 15, MaxRetryAfter: time.Hour}

// complete leaves nothing that would make a wait zero or endless: a partner that fails must never
// be asked in a loop.
func (s Schedule) complete() Schedule {
	d := DefaultSchedule
	if s.First > 0 {
		d.First = s.First
	}
	if s.Factor >= 1 {
		d.Factor = s.Factor
	}
	if s.Max > 0 {
		d.Max = s.Max
	}
	if s.Attempts > 0 {
		d.Attempts = s.Attempts
	}
	if s.MaxRetryAfter > 0 {
		d.MaxRetryAfter = s.MaxRetryAfter
	}
	d.Jitter = min(max(s.Jitter, 0), 0.9)
	return d
}

// Wait is how long after the n-th failure the next try comes; false: there is none, the delivery is
// dead.
func (s Schedule) Wait(failures int) (time.Duration, bool) {
	s = s.complete()
	if failures < 1 || failures >= s.Attempts {
		return 0, false
	}
	interval := min(float64(s.Max), float64(s.First)*math.Pow(s.Factor, float64(failures-1)))
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(time.Duration(interval)),
		backoff.WithRandomizationFactor(s.Jitter),
		backoff.WithMultiplier(1),
		backoff.WithMaxInterval(max(s.Max, time.Duration(interval))),
		backoff.WithMaxElapsedTime(0), // its default gives up after 15 minutes
	)
	return b.NextBackOff(), true
}

// left is how long a delivery that has failed so often is tried for from then on, but for the
// jitter.
func (s Schedule) left(failures int) (d time.Duration) {
	s.Jitter = 0
	for n := failures + 1; ; n++ {
		wait, ok := s.Wait(n)
		if !ok {
			return d
		}
		d += wait
	}
}

// maxPause bounds what a Retry-After may cost those it is not about: the whole endpoint, and a
// rejection or suspension, which must not wait unseen.
const maxPause = 5 * time.Minute

// Obey is for how long a delivery heeds a Retry-After. urgent: it tells of a rejection or
// suspension.
func (s Schedule) Obey(asked time.Duration, urgent bool) time.Duration {
	asked = min(asked, s.complete().MaxRetryAfter)
	if urgent {
		return min(asked, maxPause)
	}
	return asked
}
