package stream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
)

// maxBatch is how many events are appended at once.
const maxBatch = 256

// taken is one event that has been read.
type taken struct {
	rs      []journal.Record
	behind  string // the place behind it
	verdict verdict
}

// take notes what one event says, to be saved with the place behind it. One that must be kept is
// kept at once, behind all before it.
func (c *connection) take(ctx context.Context, ev event) error {
	c.good = true
	c.f.m.last.WithLabelValues(c.s.Name).Set(float64(c.f.o.Now().Unix()))
	n := taken{verdict: appended}
	var err error
	if n.behind, err = c.s.Adapter.Stream.Cursor(ev.data); err != nil || ev.cut {
		n.behind = c.cursor // nobody knows where it stands: if nothing comes after it, it comes again
	} else if n.behind == c.cursor {
		n.verdict = duplicate
		c.took(n)
		return nil
	}
	t, err := c.read(ev)
	switch {
	case err != nil:
		return err
	case t.Keep != nil:
		if n.verdict = quarantined; ev.cut {
			n.verdict = oversized
		}
		if err := c.hold(ctx, t); err != nil {
			return err
		}
	case t.Applied():
		n.rs = t.Records
	default:
		n.verdict = ignored
	}
	c.took(n)
	return nil
}

func (c *connection) took(n taken) { c.unsaved, c.cursor = append(c.unsaved, n), n.behind }

// read translates an event and says what it comes to.
func (c *connection) read(ev event) (t journal.Intake, err error) {
	defer func() {
		if p := recover(); p != nil { // else the same event would end the process again after every start
			c.f.o.Logger.Error("stream_panic", "source", c.s.Name, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			t, err = c.f.o.Take(c.s.Name, provider.Result{}, errors.New("the adapter panicked"), ev.data)
		}
	}()
	if ev.cut {
		return c.f.o.Take(c.s.Name, provider.Result{}, fmt.Errorf("larger than max_body, %d bytes: only its beginning is kept", c.s.MaxEvent), ev.data)
	}
	res, unread := c.s.Adapter.Translate(http.Header{}, ev.data, c.s.Options)
	return c.f.o.Take(c.s.Name, res, unread, ev.data)
}

// hold keeps an event, sealed, behind what came before it. A crash before its place is saved brings
// it again, and it is then kept once.
func (c *connection) hold(ctx context.Context, t journal.Intake) error {
	if err := c.save(ctx); err != nil {
		return err
	}
	c.f.o.Logger.Warn("stream_event_quarantined", "source", c.s.Name, "item", t.Keep.ID, "reason", string(t.Keep.Reason), "error", t.Keep.Detail)
	for {
		err := c.f.o.Journal.Hold(ctx, *t.Keep, t.Records...)
		if !noRoom(err) {
			return err
		}
		if err := c.waitForRoom(ctx); err != nil {
			return err
		}
	}
}

// save appends what has been taken, and with it the place behind it.
func (c *connection) save(ctx context.Context) error {
	for n := len(c.unsaved); n > 0; {
		err := c.append(ctx, c.unsaved[:n])
		switch {
		case err == nil:
			c.unsaved = c.unsaved[n:]
			n = len(c.unsaved)
		case !noRoom(err):
			return err
		case n > 1:
			n /= 2 // where many find no room, a few may
		default:
			if err := c.waitForRoom(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *connection) append(ctx context.Context, part []taken) error {
	var rs []journal.Record
	for _, n := range part {
		rs = append(rs, n.rs...)
	}
	if behind := part[len(part)-1].behind; len(rs) > 0 || behind != c.saved {
		if err := c.f.o.Journal.AppendFrom(ctx, c.s.Name, behind, rs...); err != nil {
			return err
		}
		c.saved = behind
	}
	for _, n := range part {
		c.f.m.events.WithLabelValues(c.s.Name, string(n.verdict)).Inc()
	}
	return nil
}

// noRoom reports whether the journal is full or behind: it has room again once the relay has caught
// up.
func noRoom(err error) bool {
	return errors.Is(err, journal.ErrBacklog) || errors.Is(err, journal.ErrFull)
}

// waitForRoom fails if ctx ends first: nothing behind what found no room may be taken.
func (c *connection) waitForRoom(ctx context.Context) error {
	c.held = true
	if !pause(ctx, c.f.waits.room) {
		return ctx.Err()
	}
	return nil
}
