package main

import (
	"math/rand/v2"
	"time"

	"github.com/valyala/fasthttp"
)

// The waits of a provider between two tries of the same event.
const (
	firstBackoff = 10 * time.Millisecond
	maxBackoff   = 500 * time.Millisecond
)

// worker sends one event at a time.
type worker struct {
	f        *firer
	rng      *rand.Rand
	resp     *fasthttp.Response
	requests map[*source]*fasthttp.Request
	spare    callback // its memory is used again
}

// event sends the person's next event until it is acknowledged. It reports whether the person has
// more to come; who was given up has not.
func (w *worker) event(p *person) (alive bool, err error) {
	c := &w.spare
	n := p.order[p.next]
	if err := p.source.make(c, p, n); err != nil {
		return false, err
	}
	if w.f.o.Ledger != nil {
		c.line.SHA = digest(c.body)
	}
	if w.f.o.Before != nil {
		w.f.o.Before(c, time.Now())
	}
	w.f.sent.Add(1)
	if !w.deliver(p.source, c, &w.f.acks) {
		w.f.givenUp.Add(1)
		return false, nil
	}
	w.f.acked.Add(1)
	p.next++
	w.repeat(p, c)
	return p.next < len(p.order), nil
}

// repeat sends some acknowledged events again: half of them at once, half of them after the
// person's next event, when they are old news.
func (w *worker) repeat(p *person, c *callback) {
	if p.later != nil {
		w.f.duplicates.Add(1)
		w.deliver(p.source, p.later, nil)
		p.later = nil
	}
	if w.f.o.Duplicates <= 0 || w.rng.Float64() >= w.f.o.Duplicates {
		return
	}
	if p.next < len(p.order) && w.rng.IntN(2) == 0 {
		p.later, w.spare = new(*c), callback{} // the person keeps it
		return
	}
	w.f.duplicates.Add(1)
	w.deliver(p.source, c, nil)
}

// deliver sends c again and again with the same body, until it is answered 200 or time is up.
func (w *worker) deliver(s *source, c *callback, took *latencies) bool {
	deadline := time.Now().Add(w.f.o.GiveUp)
	wait := firstBackoff
	for {
		started := time.Now()
		w.note(c, evSent, started, 0)
		code := w.post(s, c)
		ended := time.Now()
		if w.f.o.Answered != nil {
			w.f.o.Answered(c, code, ended)
		}
		if code == fasthttp.StatusOK {
			if took != nil {
				took.add(ended.Sub(started))
			}
			w.note(c, evAcked, ended, code)
			return true
		}
		w.f.refuse(code)
		w.note(c, evRefused, ended, code)
		pause := wait/2 + time.Duration(w.rng.Int64N(int64(wait)))
		if ended.Add(pause).After(deadline) {
			return false
		}
		select {
		case <-w.f.o.Over:
			return false
		default:
			time.Sleep(pause)
		}
		wait = min(2*wait, maxBackoff)
	}
}

func (w *worker) note(c *callback, ev string, at time.Time, code int) {
	if w.f.o.Ledger == nil {
		return
	}
	c.line.Ev, c.line.T, c.line.Code = ev, at.UnixNano(), code
	w.f.o.Ledger.fired(&c.line)
}

// post is one try; 0: there was no answer.
func (w *worker) post(s *source, c *callback) int {
	req := w.requests[s]
	if req == nil {
		req = &fasthttp.Request{}
		req.Header.SetMethod(fasthttp.MethodPost)
		req.SetRequestURI(w.f.o.URL + s.name)
		req.Header.SetContentType("application/json")
		w.requests[s] = req
	}
	for _, kv := range c.headers {
		req.Header.Set(kv[0], kv[1])
	}
	req.SetBodyRaw(c.body)
	if err := w.f.client.Do(req, w.resp); err != nil {
		return 0
	}
	code := w.resp.StatusCode()
	if (code == fasthttp.StatusServiceUnavailable || code == fasthttp.StatusTooManyRequests) && len(w.resp.Header.Peek("Retry-After")) == 0 {
		w.f.noRetryAfter.Add(1)
	}
	return code
}
