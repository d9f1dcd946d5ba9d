package dispatch

import (
	"context"
	"time"

	"countersign/outbox"
)

// What an endpoint waits for before it is sent what is due.
const (
	WaitsOrphaned = "orphaned" // until it is in the config again
	WaitsDisabled = "disabled" // until somebody resumes it
	WaitsPaused   = "paused"   // until an operator resumes it
	WaitsBreaker  = "breaker"  // until it answers a probe
	WaitsRest     = "rest"     // until the time that it has asked for is over
)

// Waits says what an endpoint waits for, and until when if that is known; "": for nothing.
func (d *Dispatcher) Waits(endpoint string) (why string, until time.Time) {
	now := d.o.Registry.Read()
	s := d.sender(endpoint)
	switch {
	case now.Endpoint(endpoint) == nil || s == nil:
		return WaitsOrphaned, until
	case now.Disabled(endpoint) != "":
		return WaitsDisabled, until
	case now.Paused(endpoint) != nil:
		return WaitsPaused, until
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.breaker.state == open:
		return WaitsBreaker, until
	case d.o.Now().Before(s.pausedUntil):
		return WaitsRest, s.pausedUntil.UTC()
	}
	return "", until
}

// hurryMost is how many deliveries one call makes due: few enough that it is answered in time.
const hurryMost = 10_000

// RetryAll makes what an endpoint waits to try again due now, the earliest 10,000 of it, and reports
// whether there may be more. Its slots and its rate hold as ever.
func (d *Dispatcher) RetryAll(ctx context.Context, endpoint string) (n int, more bool, err error) {
	if d.o.Registry.Read().Endpoint(endpoint) == nil {
		return 0, false, outbox.ErrNotFound
	}
	n, more, err = d.owed.retryAll(ctx, endpoint, hurryMost)
	if n > 0 {
		d.o.Logger.InfoContext(ctx, "deliveries_made_due", "endpoint", endpoint, "deliveries", n, "more", more)
	}
	return n, more, err
}
