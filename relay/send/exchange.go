package send

import (
	"context"
	"time"
)

// exchange is what a post needs beside its connection. Posts that are over leave it to those that
// come: so a post costs no memory but for its answer's body, and a connection at rest none at all
// (BenchmarkPost).
type exchange struct {
	input
	h     head
	t     *trace
	lent  bool // t may still be written to when the post is over, by a dial or by net/http
	began bool // a byte of the answer has come
	anew  bool // the request is written once more

	out  []byte // the request, as far as it is written at once
	rest []byte // and what of its body goes after it; nil: nothing
	made bool   // out is the whole of it
}

// oneWrite is how long a request may be that is copied to one place and written with one system
// call; a longer one costs more by its length than by the call. It fits what a socket takes at once.
const oneWrite = 16 << 10

func (c *Client) exchange() *exchange {
	if x, ok := c.exchanges.Get().(*exchange); ok {
		return x
	}
	x := &exchange{}
	x.buf = make([]byte, 4<<10)
	x.came = x.first
	return x
}

// recycle gives an exchange to the next post, without what is large or may be in use by others.
func (c *Client) recycle(x *exchange) {
	x.src, x.rest, x.made = nil, nil, false
	if x.lent {
		x.t, x.lent = nil, false
	} else {
		x.t.conn.Store(nil)
	}
	if len(x.buf) <= oneWrite && cap(x.out) <= 2*oneWrite && cap(x.h.kept) <= oneWrite {
		c.exchanges.Put(x)
	}
}

// begin makes it ready for a request, or for the same once more.
func (x *exchange) begin(now func() time.Time, start time.Time, anew bool) {
	if x.t == nil || x.lent {
		x.t, x.lent = &trace{}, false
	}
	*x.t = trace{now: now, start: start}
	x.r, x.w, x.began, x.anew = 0, 0, false, anew
}

// first is called when bytes have come.
func (x *exchange) first() {
	if !x.began {
		x.began = true
		x.t.mark(&x.t.first)
	}
}

// run writes the request and reads the answer. again: the connection can be used again.
func (x *exchange) run(ctx context.Context, c *conn) (a Answer, again bool, err error) {
	t := x.t
	t.conn.Store(c.s)
	t.reused.Store(c.used)
	t.mark(&t.got)
	c.used = true
	x.src = c
	if x.rest != nil {
		return x.runAside(ctx, c)
	}
	_, unwritten := c.Write(x.out)
	if unwritten == nil {
		t.mark(&t.wrote)
	}
	// What could not be written may have been answered all the same; and what has ended is known by
	// reading at once.
	a, again, err = x.read(ctx, c)
	if unwritten != nil {
		again = false
		if err != nil && !x.began && !isTLS(err) {
			err = unwritten
		}
	}
	return a, again, err
}

// writeWait is how long an answer may be ahead of the end of its request, in our own eyes, and the
// connection be used again.
const writeWait = 50 * time.Millisecond

// runAside has a long request written by another goroutine: the other side may answer before it has
// read it all, and read no further.
func (x *exchange) runAside(ctx context.Context, c *conn) (a Answer, again bool, err error) {
	written := make(chan bool, 1)
	go func() {
		_, err := c.Write(x.out)
		if err == nil {
			_, err = c.Write(x.rest)
		}
		if err == nil {
			x.t.mark(&x.t.wrote)
		}
		written <- err == nil
	}()
	a, again, err = x.read(ctx, c)
	if again {
		late := time.NewTimer(writeWait)
		defer late.Stop()
		select {
		case all := <-written:
			return a, all, nil
		case <-late.C:
		}
	}
	c.end(false) // so that the other goroutine is done with the exchange
	<-written
	return a, false, err
}

// read reads the answer.
func (x *exchange) read(ctx context.Context, c *conn) (a Answer, again bool, err error) {
	h := &x.h
	if err = x.answer(h); err != nil {
		return Answer{}, false, err
	}
	a.Code = h.code
	if v := h.text(h.retryAfter); len(v) > 0 {
		a.RetryAfter = retryAfter(string(v), string(h.text(h.date)), x.t.now())
	}
	var whole bool
	if a.Body, a.Size, whole, err = x.body(h); err != nil {
		a.Cut = reason(ctx, err)
	}
	if a.Size > 0 {
		if kind := h.text(h.kind); string(kind) != c.kind {
			c.kind = string(kind)
		}
		a.Type = c.kind
	}
	return a, whole && !h.last && x.r == x.w, nil // what follows an answer is one that nobody asked for
}
