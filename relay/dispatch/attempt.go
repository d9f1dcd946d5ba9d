package dispatch

import (
	"context"
	"errors"
	"time"

	"countersign/outbox"
	"countersign/outbox/trace"
	"countersign/relay/registry"
	"countersign/relay/send"
	"countersign/signing"
)

// deliver makes one attempt and settles it. Its slot is the caller's to give back.
func (s *sender) deliver(ctx context.Context, j *job) {
	d := &j.d
	if !s.there() || j.from.over() { // its endpoint or its partition went before the attempt began
		d.From().Release(*d)
		return
	}
	started, by := s.r.o.Now(), s.setup.Load()
	h, err := sign(by.Endpoint, s.keys(), d, started)
	if err != nil && s.remake(ctx, d, err, started) {
		return
	}
	s.trace(j, h, started)
	var a send.Answer
	if err == nil {
		leave := queueUp()
		a, err = by.post(ctx, by.URL, h, d.Body, by.Timeout)
		leave()
	}
	if err != nil && ctx.Err() != nil { // stopping: whether it arrived is unknown, so it is owed still
		j.span.End(s.r.o.Now(), "stopped")
		d.From().Release(*d)
		return
	}
	if a.Repeated {
		s.r.m.repeated.Inc()
		s.detail.repeated.Add(1)
	}
	s.conclude(ctx, j, &a, err, started)
}

// conclude settles an attempt that was started then and had this answer, or none.
func (s *sender) conclude(ctx context.Context, j *job, a *send.Answer, err error, started time.Time) {
	now := s.r.o.Now() // one look at the clock for all that is noted of the attempt
	out := s.outcome(ctx, j, a, err, started, now)
	s.endTrace(j, a, &out, now)
	s.settle(ctx, &out, j.span, now)
}

// outcome is what follows from an attempt for its delivery; what follows for its endpoint is noted.
func (s *sender) outcome(ctx context.Context, j *job, a *send.Answer, err error, started, now time.Time) outbox.Attempt {
	d, v := &j.d, read(a, err)
	if v.disable {
		s.r.disable(ctx, s, "the partner answered 410 Gone")
	}
	s.mu.Lock()
	lastSuccess := s.note(v, a, d.Lane, now)
	s.judge(ctx, j, v, started, now)
	r := refusals{}
	if v.about && !d.Early {
		r = s.refusals(d, started, lastSuccess)
	}
	out := settle(d, v, a, Schedule(s.setup.Load().Retry), started, now.Sub(started), r)
	out.Exchange = exchange(a, v.ok)
	if err != nil {
		out.Detail = err.Error()
	}
	return out
}

// settle counts, logs and writes how an attempt ended. Its span, if it is traced, has ended too.
func (s *sender) settle(ctx context.Context, out *outbox.Attempt, span *trace.Span, now time.Time) {
	s.r.logSettled(ctx, out, s.count(out, span, now))
	s.r.died(out)
	out.Delivery.From().Settle(*out)
}

// count counts an attempt, and returns how many had failed before one that did not.
func (s *sender) count(out *outbox.Attempt, span *trace.Span, now time.Time) (before misses) {
	s.detail.settled(out)
	s.mu.Lock()
	before = s.missed.settled(out)
	over := s.over
	s.mu.Unlock()
	if !over {
		s.r.m.settled(&s.setup.Load().series, out, span, now)
	}
	return before
}

// sign makes the headers of one attempt: the same webhook-id as every other, a fresh timestamp, a
// signature for each of the endpoint's keys that signs then (I5).
func sign(e *registry.Endpoint, keys []registry.Key, d *outbox.Delivery, now time.Time) (send.Fields, error) {
	f, ok := e.FormatOf(d.Format)
	if !ok {
		return nil, errors.New("format " + d.Format + " is not in this program")
	}
	h := &headers{}
	h.Fields = h.room[:0]
	h.Add("Content-Type", f.ContentType)
	if d.Traceparent != "" {
		h.Add("Traceparent", d.Traceparent)
	}
	ring := signing.Keyring(h.keys[:0])
	for _, k := range keys {
		if k.Signs(now) {
			ring = append(ring, k.Key)
		}
	}
	err := f.Scheme.Sign(h, signing.Message{ID: d.WebhookID, Time: now, Body: d.Body}, ring)
	clear(h.keys[:]) // what is under way leads to no key
	if err != nil {
		return nil, err
	}
	return h.Fields, nil
}

// headers are those of one attempt, and room for the keys that sign: one allocation for all of them
// (BenchmarkAttempt).
type headers struct {
	send.Fields
	room [8]send.Field  // more cost an allocation
	keys [2]signing.Key // the same, while keys rotate
}
