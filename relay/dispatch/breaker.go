package dispatch

import (
	"slices"
	"time"
)

// The breaker of an endpoint spares an endpoint that is down, and what it is owed: while it is open
// nothing is sent but a probe now and then, and what waits is not tried in vain. It knows no clock
// and no I/O: it is told what came of attempts, and says how many may be under way.
//
//	closed     ── breakAfter failures in a row, over breakOver, of manyPeople ──► open
//	open       ── an answer of the endpoint that is no failure of it ──► half-open, one slot
//	half-open  ── as many successes as slots ──► twice the slots; at all of them, or with nothing left: closed
//	half-open  ── two failures in a row ──► open
//
// What speaks of one delivery (a refusal of a body) is neither a failure of the endpoint nor a
// success.
type breaker struct {
	state    breakerState
	changed  time.Time // when it opened, or half opened
	opened   time.Time // when it opened since it was closed last; zero: it is closed
	failures int       // in a row; of an open one, probes that failed in a row
	failing  time.Time // since when, of a closed one; zero: nothing failed
	people   []string  // lanes that failed since then, up to manyPeople
	probing  bool      // a probe is under way
	probed   time.Time // when the last one ended
	width    int       // slots of a half-open one
	told     int       // successes at this width
}

type breakerState byte

const (
	closed breakerState = iota
	halfOpen
	open
)

// String is how it is shown and labelled.
func (s breakerState) String() string { return [...]string{"closed", "half_open", "open"}[s] }

const (
	breakAfter = 10               // failures in a row that open it
	breakOver  = 20 * time.Second // and for how long they have to last
	reopen     = 2                // failures in a row that open a half-open one again

	probeFirst  = 5 * time.Second // from the opening, or a failed probe, to the next; doubled with each
	probeUrgent = time.Minute     // at most, while a rejection or suspension is owed
	probeMost   = 4 * time.Minute // at most; alerts look at what fails over five
	probeFresh  = time.Second     // where a rejection waits that has never been tried
)

// turned is what became of a breaker.
type turned byte

const (
	unturned      turned = iota
	hasOpened            // it was closed
	hasReopened          // it was half-open
	hasHalfOpened        // the endpoint answers again
	hasClosed
)

// slots is how many attempts may be under way, of an endpoint that takes so many.
func (b *breaker) slots(concurrency int) int {
	switch b.state {
	case open:
		return 0
	case halfOpen:
		return min(b.width, concurrency)
	case closed:
	}
	return concurrency
}

// probeAt is when the next probe is due, of an open one with none under way. urgent: a rejection or
// suspension is owed; fresh: one that has never been tried.
func (b *breaker) probeAt(urgent, fresh bool) time.Time {
	from := b.probed
	if from.Before(b.changed) {
		from = b.changed
	}
	most := probeMost
	if urgent {
		most = probeUrgent
	}
	wait := min(most, probeFirst<<min(b.failures, 10))
	if fresh {
		wait = min(wait, probeFresh)
	}
	return from.Add(wait)
}

// probe notes that a probe is under way. It ends with failed, succeeded or spared.
func (b *breaker) probe() { b.probing = true }

// spared ends a probe that said nothing.
func (b *breaker) spared(now time.Time) { b.probing, b.probed = false, now }

// failed notes that an attempt about somebody, begun then, failed for the endpoint's sake.
func (b *breaker) failed(started, now time.Time, lane string, probe bool) turned {
	switch b.state {
	case open:
		if probe {
			b.spared(now)
			b.failures++
		}
		return unturned
	case halfOpen:
		if started.Before(b.changed) { // it was under way before the endpoint came back
			return unturned
		}
		b.failures, b.told = b.failures+1, 0
		if b.failures < reopen {
			return unturned
		}
		b.state, b.changed, b.failures = open, now, 0
		return hasReopened
	case closed:
	}
	b.failures++
	if b.failing.IsZero() {
		b.failing = now
	}
	if len(b.people) < manyPeople && !slices.Contains(b.people, lane) {
		b.people = append(b.people, lane)
	}
	if b.failures < breakAfter || now.Sub(b.failing) < breakOver || len(b.people) < manyPeople {
		return unturned
	}
	*b = breaker{state: open, changed: now, opened: now}
	return hasOpened
}

// succeeded notes that an attempt was answered as by an endpoint that works. Of an open one any
// will do, also of those that were under way when it opened.
func (b *breaker) succeeded(now time.Time, concurrency int) turned {
	switch b.state {
	case open:
		*b = breaker{state: halfOpen, changed: now, opened: b.opened, width: 1}
		return hasHalfOpened
	case halfOpen:
		if b.failures, b.told = 0, b.told+1; b.told < b.width {
			return unturned
		}
		b.width, b.told = 2*b.width, 0
		if b.width < concurrency {
			return unturned
		}
		*b = breaker{}
		return hasClosed
	case closed:
		*b = breaker{}
	}
	return unturned
}

// rested notes that nothing is due and nothing is under way: a half-open one has been through it
// all.
func (b *breaker) rested() turned {
	if b.state != halfOpen || b.failures > 0 {
		return unturned
	}
	*b = breaker{}
	return hasClosed
}

// resumed is the breaker of an endpoint that was open when the gateway stopped.
func resumed(opened, now time.Time) breaker {
	if opened.IsZero() {
		return breaker{}
	}
	return breaker{state: open, changed: now.Add(-probeFirst), opened: opened} // it is asked at once
}
