package relay

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"sync"
	"time"

	"countersign/ingest/forward"
	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/store"
)

// What was decided goes to Kafka too, if Options.Forward says so. The fold writes what a batch of
// records owed as one entry of the forward bucket, in its own transaction (I2); the forwarder takes
// it out after the acknowledgement:
//
//	forward   position of the batch's last record, number of changes   each change: length, JSON
//
// Since a place is a position of the log, the log can keep what has not been decided and forwarded,
// and one bound holds for both topics.

const recentChanges = 4096 // kept in memory for a forwarder that keeps up

// decided is one change of a batch, and its JSON.
type decided struct {
	change kyc.Change
	json   []byte
	taken  time.Time
}

// forwardKey stands in the order of the log.
func forwardKey(last journal.Position, changes int) []byte {
	return binary.BigEndian.AppendUint32(last.AppendTo(make([]byte, 0, journal.PositionSize+4)), uint32(changes)) //nolint:gosec // positive and small
}

func splitForwardKey(k []byte) (last journal.Position, changes int64, ok bool) {
	last, ok = journal.PositionOf(k)
	if !ok || len(k) != journal.PositionSize+4 {
		return journal.Position{}, 0, false
	}
	return last, int64(binary.BigEndian.Uint32(k[journal.PositionSize:])), true
}

// encodeDecided is the value of a batch.
func encodeDecided(ts []decided) []byte {
	size := 0
	for i := range ts {
		size += len(ts[i].json) + binary.MaxVarintLen32
	}
	v := store.StartRecord(size)
	for i := range ts {
		v = append(binary.AppendUvarint(v, uint64(len(ts[i].json))), ts[i].json...)
	}
	return v
}

// message is the Kafka record of a change: its id is the webhook-id, its key the person's.
func (t *decided) message(keys forward.Keys) *forward.Message {
	c := &t.change
	e := forward.Event{
		ID: c.ID, Type: c.Type, Source: c.Check.Source, Subject: forward.SubjectKey(c.Partner, c.Subject.ID), At: c.OccurredAt, Taken: t.taken, Traceparent: c.Traceparent,
	}
	e.Key = cmp.Or(keys.Subject(c.Partner, c.Subject.ID), c.ID)
	if e.At.IsZero() {
		e.At = c.ReceivedAt
	}
	return e.Message(t.json)
}

// feed is forward.Feed of what was decided.
type feed struct {
	r *Relay

	mu      sync.Mutex    // guards the fields below
	moved   chan struct{} // closed when the fold has added something
	recent  []forward.Entry
	from    journal.Position // recent holds everything after this place
	last    journal.Position // place of the newest batch
	waiting int64            // changes in the bucket

	gap int64 // records whose changes were never queued
}

// Changes is what was decided, as it goes to forward.ChangesTopic; nil without Options.Forward.
func (r *Relay) Changes() forward.Feed {
	if !r.o.Forward {
		return nil
	}
	return r.feed
}

// openFeed reads what waits. Only keys are read.
func (r *Relay) openFeed(tx *store.Tx) error {
	f := &feed{r: r, moved: make(chan struct{})}
	c := tx.Bucket(store.Forward).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if last, n, ok := splitForwardKey(k); ok && v != nil {
			f.last, f.waiting = last, f.waiting+n
		}
	}
	f.from = f.last
	r.feed = f
	at, err := journal.ReadPosition(tx, queuedTo)
	if err != nil {
		return err
	}
	if r.o.Forward && at.Offset != 0 {
		if gone := r.Position().Offset - at.Offset; gone > 0 {
			r.o.Logger.Error("changes_not_forwarded", "records", gone, "reason", "they were evaluated while kafka was not in the config")
			f.gap = gone
		}
	}
	if !r.o.Forward && f.waiting > 0 {
		r.o.Logger.Warn("changes_wait_for_kafka", "changes", f.waiting, "reason", "kafka is not in the config any more: they stay until it is")
	}
	return nil
}

// queued is what a batch owed, made ready for its transaction.
type queued struct {
	entries []forward.Entry
	value   []byte
}

func (r *Relay) queueOf(ts []decided, last journal.Position) (q queued) {
	if len(ts) == 0 {
		return q
	}
	q.value = encodeDecided(ts)
	q.entries = make([]forward.Entry, len(ts))
	keys := r.keys()
	for i := range ts {
		q.entries[i] = forward.Entry{Place: last, Message: ts[i].message(keys)}
	}
	return q
}

// keys are a person's for good, whatever the partner is called by now.
func (r *Relay) keys() forward.Keys { return forward.Keys{Kept: r.o.Registry.Read().Kept} }

// queuedTo is up to which record changes were queued: those of later ones, folded while Kafka was
// not configured, are a gap.
var queuedTo = []byte("relay/forwarded")

// queue writes what a batch owed, in its transaction. It may run more than once.
func (f *feed) queue(tx *store.Tx, last journal.Position, q queued) error {
	if err := journal.WritePosition(tx, queuedTo, last); err != nil || len(q.entries) == 0 {
		return err
	}
	if err := tx.Bucket(store.Forward).PutRecord(forwardKey(last, len(q.entries)), q.value); err != nil {
		return err
	}
	tx.OnCommit(func() { f.add(last, q.entries) })
	return nil
}

func (f *feed) add(last journal.Position, es []forward.Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last, f.waiting = last, f.waiting+int64(len(es))
	f.recent = append(f.recent, es...)
	for len(f.recent) > recentChanges { // whole batches: what is left is complete
		f.drop(f.recent[0].Place)
	}
	close(f.moved)
	f.moved = make(chan struct{})
}

// drop forgets what is in memory up to a place.
func (f *feed) drop(upTo journal.Position) {
	n := 0
	for n < len(f.recent) && f.recent[n].Place.Compare(upTo) <= 0 {
		f.from = f.recent[n].Place
		n++
	}
	if f.recent = f.recent[n:]; len(f.recent) == 0 {
		f.recent = nil
	}
}

// known returns what is in memory after a place; nil: it has to be read, or waited for.
func (f *feed) known(after journal.Position) (es []forward.Entry, last journal.Position, moved <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if after.Compare(f.from) >= 0 {
		for i := range f.recent {
			if f.recent[i].Place.Compare(after) > 0 {
				es = append(es, f.recent[i:]...)
				break
			}
		}
	}
	return es, f.last, f.moved
}

// Next implements forward.Feed.
func (f *feed) Next(ctx context.Context, after journal.Position) ([]forward.Entry, journal.Position, error) {
	for {
		es, last, moved := f.known(after)
		switch {
		case len(es) > 0:
			return es, es[len(es)-1].Place, nil
		case last.Compare(after) > 0:
			return f.read(after)
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, after, nil
		}
	}
}

const readChanges = 1000 // at once, of those that are no longer in memory; the last batch whole

// read returns what stands in the file after a place. A damaged batch is passed over and stays
// (I8).
func (f *feed) read(after journal.Position) (es []forward.Entry, at journal.Position, err error) {
	at = after
	err = f.r.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Forward).Cursor()
		for k, v := c.Seek(forwardKey(after.Plus(1), 0)); k != nil && len(es) < readChanges; k, v = c.Next() {
			last, _, ok := splitForwardKey(k)
			if !ok || v == nil {
				f.r.m.damaged.Inc()
				f.r.o.Logger.Error("changes_damaged")
				continue
			}
			ts, ok := decodeDecided(v)
			if !ok {
				f.r.m.damaged.Inc()
				f.r.o.Logger.Error("changes_damaged", "offset", last.Offset)
			}
			for i := range ts {
				es = append(es, forward.Entry{Place: last, Message: ts[i].message(f.r.keys())})
			}
			at = last
		}
		return nil
	})
	return es, at, err
}

// decodeDecided returns changes that own their bytes.
func decodeDecided(b []byte) (ts []decided, ok bool) {
	for b = bytes.Clone(b); len(b) > 0; {
		t, rest, ok := nextDecided(b)
		if !ok {
			return ts, false
		}
		ts, b = append(ts, t), rest
	}
	return ts, true
}

// nextDecided reads the first change of a batch; its JSON is a part of b.
func nextDecided(b []byte) (t decided, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) { //nolint:gosec // size is at most len(b)
		return t, nil, false
	}
	t.json, rest = b[size:size+int(n)], b[size+int(n):] //nolint:gosec // n is at most len(b)
	if json.Unmarshal(t.json, &t.change) != nil {
		return t, nil, false
	}
	t.taken = t.change.ReceivedAt
	return t, rest, true
}

// Pass implements forward.Feed: what is acknowledged leaves the file.
func (f *feed) Pass(tx *store.Tx, upTo journal.Position) error {
	b := tx.Bucket(store.Forward)
	var gone [][]byte
	changes := int64(0)
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		last, n, ok := splitForwardKey(k)
		if !ok || v == nil {
			continue // damaged: it stays (I8)
		}
		if last.Compare(upTo) > 0 {
			break
		}
		gone, changes = append(gone, bytes.Clone(k)), changes+n
	}
	for _, k := range gone {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	tx.OnCommit(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.waiting -= changes
		f.drop(upTo)
	})
	return nil
}

// Waiting implements forward.Feed.
func (f *feed) Waiting(after journal.Position) (n int64, since time.Time) {
	f.mu.Lock()
	n, last := f.waiting, f.last
	f.mu.Unlock()
	if last.Compare(after) <= 0 {
		return 0, time.Time{}
	}
	err := f.r.o.Store.View(func(tx *store.Tx) error {
		_, v := tx.Bucket(store.Forward).Cursor().Seek(forwardKey(after.Plus(1), 0))
		if t, _, ok := nextDecided(v); ok {
			since = t.taken
		}
		return nil
	})
	if err != nil {
		return n, time.Time{}
	}
	return n, since
}

// Needs is up to where the journal may forget, once everything up to passed is with Kafka: all of
// it when nothing waits.
func (f *feed) needs(passed journal.Position) journal.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last.Compare(passed) <= 0 {
		return journal.Unneeded
	}
	return passed
}

// Unqueued is how many records were folded while Kafka was not configured, so that their changes
// will never be on its topic.
func (r *Relay) Unqueued() int64 { return r.feed.gap }

// Undecided is up to where the journal may forget, as far as the forwarder of Changes is concerned,
// once Kafka has everything up to passed.
func (r *Relay) Undecided(passed journal.Position) journal.Position { return r.feed.needs(passed) }
