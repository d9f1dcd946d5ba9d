package forward

import (
	"context"
	"errors"
	"strconv"
	"time"

	"countersign/ingest/journal"
	"countersign/outbox/store"
)

const (
	leadersFor  = 250 * time.Millisecond // how long it is believed who leads what
	lookEvery   = time.Second            // how often the topic is looked at while nothing is sent
	askAgain    = 50 * time.Millisecond  // the same, after something went wrong
	keepEvery   = 20 * time.Millisecond  // how often positions are written, at most
	restLonger  = 200 * time.Microsecond // by each record that the last request carried, the next one waits for company
	restAtMost  = 25 * time.Millisecond
	goodCompany = 2000 // records that need not wait for more
	stopWithin  = 2 * time.Second
)

// run is one stretch of forwarding, over which the topic stays as it is. Its fields belong to its
// one goroutine.
type run struct {
	f       *Forwarder
	layout  Layout
	w       *window
	chunks  chan chunk
	sent    chan sent
	busy    map[int32]bool // by broker: a request is under way
	last    map[int32]int  // by broker: records of the last request
	ready   map[int32]time.Time
	leaders []int32
	asked   time.Time // when the leaders were
	again   bool      // the topic has to be looked at again

	keeping bool // positions are being written
	keptAt  time.Time
	dirty   bool
	kept    chan error
}

type chunk struct {
	entries []Entry
	last    journal.Position
	err     error
}

type sent struct {
	leader  int32
	batches []Batch
	errs    []error
	started time.Time
	took    time.Duration
}

func newRun(f *Forwarder, l Layout, from []journal.Position) *run {
	return &run{
		f: f, layout: l, w: newWindow(from), chunks: make(chan chunk), sent: make(chan sent), kept: make(chan error, 1),
		busy: map[int32]bool{}, last: map[int32]int{}, ready: map[int32]time.Time{}, dirty: true,
	}
}

// run forwards until ctx ends, the store fails (an error), or the topic has to be prepared again.
// When it returns nothing is under way.
func (r *run) run(ctx context.Context) (err error) {
	reading, stopReading := context.WithCancel(ctx)
	sending, stopSending := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSending()
	read := make(chan struct{})
	go func() {
		defer close(read)
		r.read(reading)
	}()
	defer func() {
		stopReading()
		<-read
		giveUp := time.AfterFunc(stopWithin, stopSending)
		defer giveUp.Stop()
		for len(r.busy) > 0 {
			r.settle(<-r.sent)
		}
		if r.keeping {
			err = errors.Join(err, r.passed(<-r.kept))
		}
		err = errors.Join(err, r.keepLast(ctx))
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		next := r.dispatch(ctx, sending)
		if r.again {
			return nil
		}
		timer.Reset(min(next, r.keep()))
		var in <-chan chunk
		if r.w.full() {
			r.w.shorten()
		}
		if !r.w.full() {
			in = r.chunks
		}
		select {
		case c := <-in:
			if c.err != nil {
				return c.err
			}
			r.w.add(c.entries, c.last)
			r.dirty = r.dirty || passEarly
			r.publish()
		case s := <-r.sent:
			r.settle(s)
		case err := <-r.kept:
			if err := r.passed(err); err != nil {
				return err
			}
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// read hands over the feed, a chunk at a time.
func (r *run) read(ctx context.Context) {
	at := r.w.read
	for ctx.Err() == nil {
		es, last, err := r.f.o.Feed.Next(ctx, at)
		if err == nil && last == at {
			continue
		}
		select {
		case r.chunks <- chunk{es, last, err}:
		case <-ctx.Done():
		}
		if err != nil {
			return
		}
		at = last
	}
}

// dispatch sends what can be sent, one request for each broker, and returns when to look again.
// Requests outlive ctx, until sending ends.
func (r *run) dispatch(ctx, sending context.Context) (next time.Duration) {
	now := r.f.o.Now()
	if r.w.count == 0 && now.Sub(r.asked) < lookEvery {
		return lookEvery
	}
	if !r.know(ctx, now) || r.w.count == 0 {
		return leadersFor
	}
	next = lookEvery
	waiting := map[int32][]int{}
	records := map[int32]int{}
	for p := range r.w.parts {
		q := &r.w.parts[p]
		if len(q.queue) == 0 || q.under > 0 {
			continue
		}
		if wait := q.retry.Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		leader := r.leaders[p]
		if leader < 0 {
			r.fail(p, now, &Trouble{Class: NoLeader, Text: "partition " + strconv.Itoa(p) + " of " + r.f.o.Name + " has no leader: its brokers are down"})
			next = min(next, q.retry.Sub(now))
			continue
		}
		if !r.busy[leader] {
			waiting[leader] = append(waiting[leader], p)
			records[leader] += len(q.queue)
		}
	}
	for leader, parts := range waiting {
		if rest := r.rest(leader, records[leader], now); rest > 0 {
			next = min(next, rest)
			continue
		}
		r.send(sending, leader, parts)
	}
	return next
}

// rest is how much longer a broker's next request waits for company: the more the last one carried,
// the longer, since each request costs the same. When few come it does not wait.
func (r *run) rest(leader int32, records int, now time.Time) time.Duration {
	if records >= goodCompany {
		return 0
	}
	since := r.ready[leader]
	if since.IsZero() {
		since, r.ready[leader] = now, now
	}
	return min(restAtMost, time.Duration(r.last[leader]-1)*restLonger) - now.Sub(since)
}

// know makes sure that it is known who leads what.
func (r *run) know(ctx context.Context, now time.Time) bool {
	if r.leaders != nil && now.Sub(r.asked) < leadersFor {
		return true
	}
	leaders, err := r.f.o.Topic.Leaders(ctx)
	r.asked = now
	if err != nil {
		t := troubleOf(err)
		r.trouble(t)
		return r.leaders != nil && !r.again
	}
	if len(leaders) != r.layout.Partitions {
		r.again = true
		return false
	}
	r.leaders = leaders
	return true
}

func (r *run) send(ctx context.Context, leader int32, parts []int) {
	batches := make([]Batch, 0, len(parts))
	n := 0
	for _, p := range parts {
		b := r.w.take(p, r.layout.MaxBytes)
		n += len(b.Records)
		batches = append(batches, b)
	}
	r.busy[leader], r.last[leader] = true, n
	delete(r.ready, leader)
	go func() {
		started := time.Now()
		errs := r.f.o.Topic.Send(ctx, leader, batches)
		r.sent <- sent{leader, batches, errs, started, time.Since(started)}
	}()
}

// settle takes what came of a request.
func (r *run) settle(s sent) {
	delete(r.busy, s.leader)
	now := r.f.o.Now()
	good, n := true, 0
	for i := range s.batches {
		r.trace(&s, i)
		p := int(s.batches[i].Partition)
		switch err := s.errs[i]; {
		case err == nil:
			n += r.w.acked(p, now)
		case errors.Is(err, ErrTooLarge):
			r.oversized(p, now)
		default:
			good = false
			r.fail(p, now, troubleOf(err))
		}
	}
	if n > 0 {
		r.dirty = true
		r.f.m.records.WithLabelValues(r.f.o.Name).Add(float64(n))
		r.f.m.produce.WithLabelValues(r.f.o.Name).Observe(s.took.Seconds())
	}
	if good && r.w.stuck().IsZero() {
		r.f.report(nil, false)
	}
	r.again = r.again || r.w.reread()
	r.publish()
}

// fail puts a batch back and notes why. Who leads is asked again soon.
func (r *run) fail(p int, now time.Time, t *Trouble) {
	r.w.refused(p, now, waitAfter)
	if soon := now.Add(askAgain - leadersFor); r.asked.After(soon) {
		r.asked = soon
	}
	r.trouble(t)
}

// trouble notes what went wrong. That the topic is not as it must be is for prepare to find: a
// broker that has just started may not know it yet.
func (r *run) trouble(t *Trouble) {
	r.f.m.errors.WithLabelValues(r.f.o.Name, string(t.Class)).Inc()
	r.again = r.again || t.Class == BadTopic
	r.f.report(t, t.Class.Permanent() && t.Class != BadTopic)
}

// oversized sends a batch in halves; a single record goes to the quarantine, and the stream goes
// on.
func (r *run) oversized(p int, now time.Time) {
	if r.w.shrink(p) {
		return
	}
	m := r.w.parts[p].queue[0].Message
	r.f.m.errors.WithLabelValues(r.f.o.Name, string(TooLarge)).Inc()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := r.f.o.TooLarge(ctx, m); err != nil { // no room: it stays first in its partition
		r.w.refused(p, now, waitAfter)
		r.f.o.Logger.Error("record_too_large_not_quarantined", "topic", r.f.o.Name, "error", err)
		return
	}
	r.f.m.quarantined.WithLabelValues(r.f.o.Name).Inc()
	r.f.o.Logger.Warn("record_too_large", "topic", r.f.o.Name, "id", m.header("ce_id"), "bytes", len(m.Value))
	r.w.acked(p, now)
	r.dirty = true
}

// keep writes down how far each partition is, after the acknowledgements and never before, and
// returns when to come again. Nobody waits for it.
func (r *run) keep() (next time.Duration) {
	if !r.dirty || r.keeping {
		return lookEvery
	}
	now := r.f.o.Now()
	if wait := keepEvery - now.Sub(r.keptAt); wait > 0 {
		return wait
	}
	at := r.w.places()
	r.dirty, r.keeping, r.keptAt = false, true, now
	ok := r.f.o.Store.Later(r.f.save(at), func(err error) {
		if err == nil {
			r.f.setKept(at)
		}
		r.kept <- err
	})
	if !ok {
		r.kept <- store.ErrClosed
	}
	return lookEvery
}

// passed takes the outcome of keep.
func (r *run) passed(err error) error {
	r.keeping = false
	if errors.Is(err, store.ErrFull) { // room comes back
		r.dirty, r.keptAt = true, r.f.o.Now().Add(lookEvery)
		return nil
	}
	return err
}

// keepLast writes the last positions on the way out. What cannot be written is repeated later.
func (r *run) keepLast(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	at := r.w.places()
	if err := r.f.o.Store.Update(ctx, r.f.save(at)); err == nil {
		r.f.setKept(at)
	} else if errors.Is(err, store.ErrUnknown) {
		return err
	}
	return nil
}
