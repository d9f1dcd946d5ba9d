package control

import (
	"sync"
	"time"
)

const (
	// A partner's token may make so many calls that write at once, and then one every so often.
	guestBurst = 1000
	guestEvery = 20 * time.Millisecond
	// Outcomes that it drives in the sandbox come less often, for they cost more.
	drivenEvery = 500 * time.Millisecond

	maxNames = 10_000 // whose allowance is remembered
)

// allowance is how often something may be done under one name: so many times at once, and then once
// every so often. It is forgotten at a restart.
type allowance struct {
	burst float64
	every time.Duration

	mu   sync.Mutex // guards left
	left map[string]rest
}

// rest is what was left of an allowance at an instant.
type rest struct {
	n  float64
	at time.Time
}

// take uses the allowance once, or reports false.
func (a *allowance) take(name string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left == nil || len(a.left) >= maxNames {
		a.left = map[string]rest{}
	}
	l, known := a.left[name]
	if !known {
		l = rest{a.burst, now}
	}
	l.n = min(a.burst, l.n+max(0, now.Sub(l.at).Seconds())/a.every.Seconds())
	l.at = now
	ok := l.n >= 1
	if ok {
		l.n--
	}
	a.left[name] = l
	return ok
}
