package dispatch

import (
	"fmt"
	"time"

	"countersign/outbox"
)

// For how long a delivery has to be refused, and how often, before the next of the person may pass
// it.
const (
	refusedAfter = time.Hour
	refusedTimes = 3
)

// refusals is what is proved of the refusals of one delivery, which end with this attempt. They are
// unbroken: each was answered in a way that may be about the delivery itself, and between each and
// the next the endpoint took another delivery. Anything else in between, or nothing, begins them
// anew.
//
// When they began is kept with each failed attempt, where it is listed too; when the endpoint last
// took anything, in memory. So after a restart they go on if the endpoint takes something before
// the next attempt, and begin anew if it does not, or if the attempt before was not written down:
// in doubt a delivery is tried for longer.
type refusals struct {
	since time.Time // when the first of them was tried; zero: this attempt is none
	times int       // how many they are
	stays bool      // whatever is proved, the delivery keeps its whole schedule
}

// proved reports whether an attempt made then shows that it is the delivery that is refused.
func (r refusals) proved(at time.Time) bool {
	return !r.stays && r.times >= refusedTimes && at.Sub(r.since) >= refusedAfter
}

// String tells an operator what is proved.
func (r refusals) String() string {
	return fmt.Sprintf("refused %d times since %s, each time while the endpoint took others", r.times, r.since.UTC().Format(time.RFC3339))
}

// refusals finds what is proved of a delivery that has been refused now, in an attempt made then.
// lastSuccess is when the endpoint last took any delivery.
func (s *sender) refusals(d *outbox.Delivery, at, lastSuccess time.Time) refusals {
	r := refusals{since: at, times: 1}
	before, ok := d.From().LastTry(d)
	if ok && before.RefusedTimes > 0 && lastSuccess.After(before.End()) {
		r.since, r.times = before.RefusedSince, before.RefusedTimes+1
	}
	// A rejection or suspension that is the newest there is to tell gives way to nothing: nobody
	// waits for it to be given up.
	r.stays = d.Restrictive && r.proved(at) && !d.From().HasNext(d)
	return r
}
