package dispatch

import (
	"time"

	"countersign/outbox"
)

// NoticeKind is what an operator may want to be told about an endpoint.
type NoticeKind string

// The kinds.
const (
	Disabled  NoticeKind = "disabled"  // nothing is sent any more until an operator resumes it
	Opened    NoticeKind = "opened"    // its breaker has opened: it fails for everybody, and is probed
	Recovered NoticeKind = "recovered" // its breaker has closed
	Exhausted NoticeKind = "exhausted" // a delivery died by its schedule
)

// Notice says what has become of an endpoint, or of one of its deliveries. It is given once that is
// on stable storage, by whoever writes there: who takes it must return at once.
type Notice struct {
	Kind     NoticeKind
	Endpoint string
	At       time.Time
	Reason   string          // of Disabled and Exhausted, in words of our own
	Since    time.Time       // of Opened and Recovered: when the breaker opened
	Delivery outbox.Delivery // of Exhausted, without its body
}

func (d *Dispatcher) notice(n Notice) {
	if d.o.Notice != nil {
		d.o.Notice(n)
	}
}

// died is the notice of a delivery that died by its schedule.
func (d *Dispatcher) died(out *outbox.Attempt) {
	if out.Outcome != outbox.Died || out.Reason != reasonExhausted || d.o.Notice == nil {
		return
	}
	n := Notice{Kind: Exhausted, Endpoint: out.Delivery.Endpoint, At: out.At, Reason: out.Detail, Delivery: out.Delivery}
	n.Delivery.Body = nil
	out.Settled = func() { d.notice(n) }
}
