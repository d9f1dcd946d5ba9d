package journal

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/kyc"
	"countersign/outbox/store"
)

const (
	keepRecent = 2048 // records kept in memory for a reader that keeps up
	maxBatch   = 1000 // records handed to a reader at once: 1,000 is where larger groups stop paying
	trimChunk  = 4000 // records forgotten in one transaction
	reserved   = 16   // one in so many: see room
	bodyOffset = 9    // in a stored record: kind (1), appended (8)
)

// The kinds as they stand on disk. Never renumber.
var kindCodes = map[kyc.Kind]byte{
	kyc.Observation: 1, kyc.Confirmation: 2, kyc.FetchRequest: 3, kyc.Decision: 4, kyc.Timer: 5,
	kyc.PolicyChange: 6, kyc.Submission: 7, kyc.Redelivery: 8, kyc.Erasure: 9,
}

var kindNames = func() (names [16]kyc.Kind) {
	for k, c := range kindCodes {
		names[c] = k
	}
	return names
}()

// Options of the embedded journal.
type Options struct {
	Store   *store.Store
	Sealer  *store.Sealer
	Backlog int64    // records that may wait for the relay, or for who follows the journal; 0: 1,000,000
	Asking  []string // sources that may leave questions open, for their metrics
	// Questions of callbacks that proved nothing that a source may have open; a source that is not
	// in it: any number. Beyond it Append fails with ErrQuestions.
	Questions map[string]int

	Endpoints int // the most that one partner has, for what a record will need; 0: 1

	Logger  *slog.Logger
	Metrics prometheus.Registerer
	Now     func() time.Time
}

// Bolt is the embedded journal: one bucket of the store, in order of arrival.
type Bolt struct {
	o       Options
	log     int32        // the partition that its positions are of, as the file says
	next    atomic.Int64 // offset of the next record, as committed
	trimmed atomic.Int64 // last offset forgotten
	passed  atomic.Int64 // last offset that whoever calls Passed needs no more
	taking  atomic.Int64 // records that are being written at this moment
	cost    cost
	m       *metrics

	unproved atomic.Pointer[unproved] // put in its place by the store's writer

	quarantined atomic.Int64
	more        signal // there are new records
	asked       signal // there are new questions

	writing writing // owned by the store's writer

	followers []func() Position // up to where each needs nothing any more; set before the journal is used

	recentMu sync.Mutex // guards recent
	recent   []Record   // the newest records by offset modulo its length, so that a reader that keeps up decodes nothing twice
}

// NewBolt reads where the log stands.
func NewBolt(o Options) (*Bolt, error) {
	if o.Backlog == 0 {
		o.Backlog = 1_000_000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	j := &Bolt{o: o, recent: make([]Record, keepRecent)}
	j.writing.committed = j.committed
	j.unproved.Store(countOn(o.Questions, nil))
	j.cost.of(o.Endpoints)
	var open map[string]int
	j.next.Store(1)
	err := o.Store.View(func(tx *store.Tx) error {
		trimmed, err := ReadPosition(tx, trimmedKey)
		if err != nil {
			return err
		}
		j.trimmed.Store(trimmed.Offset)
		next, err := ReadPosition(tx, nextKey)
		if err != nil {
			return err
		}
		j.log = Later(next, trimmed).Partition
		j.next.Store(max(next.Offset, j.trimmed.Load()+1)) // never from the last record: it may be damaged, and its offset must not come again
		j.passed.Store(j.trimmed.Load())
		kept, err := tx.Number(countKey)
		if err != nil {
			return err
		}
		j.quarantined.Store(kept)
		open = j.countQuestions(tx)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	j.m = newMetrics(o.Metrics, j)
	o.Store.Owe(j.owed)
	for _, source := range o.Asking {
		j.m.asking[source] = true
		j.m.open.WithLabelValues(source)
	}
	for source, n := range open {
		j.m.open.WithLabelValues(source).Set(float64(n))
	}
	return j, nil
}

var (
	trimmedKey = []byte("journal/trimmed") // up to where it has forgotten
	nextKey    = []byte("journal/next")    // where the next record goes
)

// at is a place in this log.
func (j *Bolt) at(offset int64) Position { return Position{j.log, offset} }

// ofThis fails if a position is of another log. The zero position is of each.
func (j *Bolt) ofThis(p Position) error {
	if p != (Position{}) && p.Partition != j.log {
		return fmt.Errorf("read the journal: it is log %d, and offset %d of log %d was asked for", j.log, p.Offset, p.Partition)
	}
	return nil
}

// Append implements Appender. Errors wrap ErrBacklog or ErrFull where the cause is known before
// anything was written.
func (j *Bolt) Append(ctx context.Context, rs ...Record) error { return j.append(ctx, rs, nil, nil) }

// append writes records, and whatever else belongs into their transaction, all or none. The position
// of the first goes to first, where that is asked for.
func (j *Bolt) append(ctx context.Context, rs []Record, first *Position, also func(tx *store.Tx) error) error {
	if j.Backlog()+int64(len(rs)) > j.room(rs) {
		return fmt.Errorf("append: %w", ErrBacklog)
	}
	if err := j.roomToAsk(rs); err != nil {
		return err
	}
	taking := j.taking.Add(int64(len(rs)))
	defer j.taking.Add(-int64(len(rs)))
	if err := j.admit(rs, taking*j.cost.ofRecord()); err != nil {
		return fmt.Errorf("append: %w: %w", ErrFull, err)
	}
	w, err := j.newAppending(rs, first, also)
	if err != nil {
		return err
	}
	if skipDisk {
		return nil
	}
	err = j.o.Store.Update(ctx, w.write)
	if errors.Is(err, store.ErrFull) {
		return fmt.Errorf("append: %w: %w", ErrFull, err)
	}
	if err != nil {
		return fmt.Errorf("append: %w", err)
	}
	return nil
}

func (j *Bolt) advance(next int64) {
	if next <= j.next.Load() {
		return
	}
	j.next.Store(next)
	j.more.broadcast()
}

// signal wakes everybody who waits for something. Its zero value is ready.
type signal struct {
	mu sync.Mutex // guards ch
	ch chan struct{}
}

// next returns a channel that the next broadcast closes.
func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) broadcast() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// Tail implements Log.
func (j *Bolt) Tail(ctx context.Context, from Position, fn func(context.Context, []Record) error) error {
	if err := j.ofThis(from); err != nil {
		return err
	}
	at := from.Offset
	for {
		more := j.more.next()
		batch, last, err := j.read(at)
		if err != nil {
			return err
		}
		if last == at {
			select {
			case <-more:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // asked to stop: what is not folded stays in the journal
		}
		if len(batch) > 0 {
			if err := fn(ctx, batch); err != nil {
				return err
			}
		}
		at = last
	}
}

// read returns maxBatch records after at, or as many as there are, and what their callbacks brought
// with them, and the last offset it looked at.
func (j *Bolt) read(at int64) (batch []Record, last int64, err error) {
	last = at
	if at+1 >= j.next.Load() {
		return nil, at, nil
	}
	if batch = j.known(at); len(batch) > 0 {
		return batch, at + int64(len(batch)), nil
	}
	err = j.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Journal).Cursor()
		for k, v := c.Seek(key(j.at(at + 1))); k != nil && (len(batch) < maxBatch || unfinished(&batch[len(batch)-1])); k, v = c.Next() {
			if v == nil {
				j.m.damaged.Inc()
				j.o.Logger.Error("journal_record_damaged", "key", hex.EncodeToString(k))
				continue
			}
			last = offset(k)
			r, err := decode(v)
			if err != nil { // one bad record is kept where it is, named, and passed over (I8)
				j.m.damaged.Inc()
				j.o.Logger.Error("journal_record_damaged", "offset", last)
				continue
			}
			r.Position = j.at(last)
			batch = append(batch, r)
		}
		return nil
	})
	return batch, last, err
}

// End implements Log.
func (j *Bolt) End(context.Context) (end Position, err error) {
	err = j.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Journal).Cursor()
		for k, v := c.Last(); k != nil; k, v = c.Prev() {
			if v != nil && legible(v) {
				end = j.at(offset(k))
				break
			}
		}
		return nil
	})
	if err != nil {
		return Position{}, fmt.Errorf("read the end of the journal: %w", err)
	}
	return end, nil
}

// Passed implements Log: it forgets. What a follower still needs stays.
func (j *Bolt) Passed(ctx context.Context, upTo Position) error {
	if err := j.ofThis(upTo); err != nil {
		return err
	}
	end := min(upTo.Offset, j.next.Load()-1) // what is not there yet cannot be forgotten
	j.passed.Store(end)
	for _, passed := range j.followers {
		end = min(end, passed().Offset)
	}
	for chunk := trimChunk; j.trimmed.Load() < end; {
		err := j.o.Store.Update(ctx, func(tx *store.Tx) error { return j.forget(tx, end, chunk) })
		if errors.Is(err, store.ErrFull) && chunk > 1 { // to forget takes a little room, too
			chunk /= 2
			continue
		}
		if err != nil {
			return fmt.Errorf("trim the journal: %w", err)
		}
	}
	return nil
}

func (j *Bolt) forget(tx *store.Tx, upTo int64, chunk int) error {
	b := tx.Bucket(store.Journal)
	done := j.trimmed.Load()
	old := make([]int64, 0, min(int64(chunk), max(0, upTo-done)))
	c := b.Cursor()
	for k, v := c.First(); k != nil && (v == nil || offset(k) <= upTo) && len(old) < chunk; k, v = c.Next() {
		if v == nil {
			continue // a damaged record stays (I8)
		}
		done = offset(k)
		if legible(v) { // and so does one of a later program
			old = append(old, done)
		}
	}
	if len(old) < chunk {
		done = max(upTo, j.trimmed.Load())
	}
	for _, at := range old {
		if err := b.Delete(j.writing.at(j.at(at))); err != nil {
			return err
		}
	}
	tx.OnCommit(func() { j.trimmed.Store(done) })
	return WritePosition(tx, trimmedKey, j.at(done))
}

// Backlog is how many records wait for their readers.
func (j *Bolt) Backlog() int64 { return j.next.Load() - 1 - j.trimmed.Load() }
