package dispatch

import "countersign/outbox"

// turns are the slots of one endpoint, and whose turn they are: what is urgent goes first, and what
// has failed before never takes all of them, so that those who hang leave room for those who do
// not.
type turns struct {
	inFlight int
	failed   int  // of these, deliveries that have failed before
	again    bool // the last one begun had failed before
}

// forFailed is how many of so many slots may be taken by what has failed before: three quarters,
// and where there are two or more, not the last. A single one is taken by turns.
func forFailed(slots int) int {
	if slots <= 1 {
		return slots
	}
	return slots - max(1, slots/4)
}

// choose is which of a queue may begin now, by so many slots; -1: none.
func (t *turns) choose(queue []outbox.Delivery, slots int) int {
	if t.inFlight >= slots {
		return -1
	}
	next, failed := -1, -1
	for i := range queue {
		if d := &queue[i]; d.Failures > 0 {
			if t.failed < forFailed(slots) && (failed < 0 || d.Urgent && !queue[failed].Urgent) {
				failed = i
			}
		} else if next < 0 || d.Urgent && !queue[next].Urgent {
			next = i
		}
	}
	switch {
	case next < 0:
		return failed
	case failed < 0 || slots == 1 && t.again:
		return next
	case queue[next].Urgent != queue[failed].Urgent:
		if queue[failed].Urgent {
			return failed
		}
		return next
	}
	return min(next, failed)
}

func (t *turns) begin(d *outbox.Delivery) {
	t.inFlight++
	if t.again = d.Failures > 0; t.again {
		t.failed++
	}
}

func (t *turns) end(d *outbox.Delivery) {
	t.inFlight--
	if d.Failures > 0 {
		t.failed--
	}
}
