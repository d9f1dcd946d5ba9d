package send

import (
	"context"
	"time"
)

// watch ends the posts of one context when it ends. All posts of an endpoint have the same context,
// which ends at a stop: so there is one context.AfterFunc for all of them, in place of one for each,
// or a goroutine (BenchmarkPost). Its fields are guarded by Pool.mu.
type watch struct {
	done  <-chan struct{} // tells contexts apart: any channel can be compared, not any context
	stop  func() bool
	posts int // under way
}

// begin gives a connection to a post. The caller holds mu.
func (p *Pool) begin(ctx context.Context, c *conn) {
	c.at = len(p.busy)
	p.busy = append(p.busy, c)
	done := ctx.Done()
	if done == nil {
		return
	}
	if p.watch == nil || p.watch.done != done {
		w := &watch{done: done}
		w.stop = context.AfterFunc(ctx, func() { p.cut(w) })
		p.unwatch()
		p.watch = w
	}
	c.watch = p.watch
	c.watch.posts++
}

// done takes a connection back from its post. The caller holds mu.
func (p *Pool) done(c *conn) {
	last := len(p.busy) - 1
	p.busy[c.at], p.busy[last].at = p.busy[last], c.at
	p.busy[last] = nil
	p.busy = p.busy[:last]
	if w := c.watch; w != nil {
		c.watch = nil
		if w.posts--; w.posts == 0 && w != p.watch {
			w.stop()
		}
	}
}

// unwatch forgets the watch that is kept for the next post; posts under way keep theirs. The caller
// holds mu.
func (p *Pool) unwatch() {
	if w := p.watch; w != nil && w.posts == 0 {
		w.stop()
	}
	p.watch = nil
}

var longAgo = time.Unix(1, 0)

// cut wakes every post of a context that has ended: whatever it reads or writes fails.
func (p *Pool) cut(w *watch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watch == w {
		p.watch = nil
	}
	for _, c := range p.busy {
		if c.watch == w {
			_ = c.s.SetDeadline(longAgo)
		}
	}
}

// limit gives a connection the deadline of its post. A context that ended before it would have been
// overruled, so it is asked after; one that ends later finds the connection among the busy ones.
func (c *conn) limit(ctx context.Context, deadline time.Time) error {
	if err := c.s.SetDeadline(deadline); err != nil {
		return err
	}
	return ctx.Err()
}
