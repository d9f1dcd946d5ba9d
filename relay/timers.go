package relay

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"

	"countersign/kyc"
	"countersign/outbox/store"
	"countersign/relay/registry"
)

// The timers bucket holds, for each subject that time itself will change, the first instant at
// which it does: microseconds, then the lane. The fold moves the entry in the transaction that
// moves the subject (I2); one goroutine waits for the earliest and appends what is due then as
// records (I11). It writes no subject itself, so a timer that fires twice, or too late, finds in
// the fold that nothing is left of it.
const (
	timerStep  = 500              // subjects whose timers are appended together
	maxFiring  = 4000             // subjects whose timers are on their way to the fold
	clockDoubt = 10 * time.Second // a wait is at most this long before the clock is looked at again: it may have been set, or the machine suspended
)

// timers is what the keeper of time knows beside the file.
type timers struct {
	moved chan struct{} // one token: the fold has moved a timer
	next  atomic.Int64  // unix microseconds of the earliest that is not on its way; 0: none

	mu     sync.Mutex      // guards firing
	firing map[string]bool // entries whose records are on their way to the fold: not to be fired again by this process
}

// firedTogether is what is fired together.
type firedTogether struct {
	keys   []string
	timers []kyc.TimerDue
	hurt   []string // subjects that are damaged
	stray  []string // entries that are due, though nothing of their subject is
}

// instant is when a timer stands in the bucket: never before it is due.
func instant(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(1, t.Add(time.Microsecond-1).UnixMicro())
}

func timerKey(at int64, lane string) []byte {
	return appendTimerKey(make([]byte, 0, 8+len(lane)), at, lane)
}

func appendTimerKey(k []byte, at int64, lane string) []byte {
	return append(binary.BigEndian.AppendUint64(k, uint64(at)), lane...) //nolint:gosec // instants are positive
}

func splitTimer(k []byte) (at int64, lane string) {
	return int64(binary.BigEndian.Uint64(k)), string(k[8:]) //nolint:gosec // written by timerKey
}

// setTimer moves the subject's entry to where its state asks for it.
func (b *batch) setTimer(s *subject) {
	next := b.next(s)
	if next == s.Timer {
		return
	}
	if s.Timer != 0 {
		old := b.timerKey(s)
		b.put(store.Timers, old, nil)
		b.moved = append(b.moved, string(old))
	}
	if s.Timer = next; next != 0 {
		b.put(store.Timers, b.timerKey(s), b.room.bare())
		b.timed = true
	}
}

// timerKey is where the subject's entry stands.
func (b *batch) timerKey(s *subject) []byte {
	return b.room.end(appendTimerKey(b.room.begin(8+len(s.lane)), s.Timer, s.lane))
}

// next is Relay.next within the batch.
func (b *batch) next(s *subject) int64 {
	partner, _, _ := strings.Cut(s.lane, "/")
	return nextOf(s, b.partner(partner).policies[s.Policy])
}

// next is where a subject's timer stands in the bucket; 0: nothing will change by time.
func (r *Relay) next(s *subject) int64 { return nextOf(s, r.policyOf(s)) }

func nextOf(s *subject, p kyc.Policy) int64 {
	due, ok := s.State.Next(p)
	if !ok {
		return 0
	}
	return instant(due.At)
}

func (r *Relay) policyOf(s *subject) kyc.Policy { return policyIn(r.o.Registry.Read(), s) }

func policyIn(now *registry.Snapshot, s *subject) kyc.Policy {
	partner, _, _ := strings.Cut(s.lane, "/")
	return now.Policy(partner, s.Policy)
}

// forget lets entries be fired again: what they stood for has been folded, or has not been
// appended.
func (t *timers) forget(keys ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range keys {
		delete(t.firing, k)
	}
}

// full reports whether no more may be on their way.
func (t *timers) full() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.firing) >= maxFiring
}

func (t *timers) wake() {
	select {
	case t.moved <- struct{}{}:
	default:
	}
}

// keepTime fires timers until ctx ends. A journal that refuses is asked again, later each time.
func (r *Relay) keepTime(ctx context.Context) error {
	patience := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMaxInterval(clockDoubt), backoff.WithMaxElapsedTime(0))
	var idle time.Time // when nothing was left to fire
	for ctx.Err() == nil {
		now := r.o.Now()
		keys, next, err := r.overdue(now)
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			if !r.timers.full() {
				idle = now
			}
			r.await(ctx, next, r.timers.moved)
			continue
		}
		fired, err := r.fireOverdue(ctx, keys, now, idle)
		if err != nil {
			return err
		}
		if fired {
			patience.Reset()
		} else {
			r.await(ctx, r.o.Now().Add(patience.NextBackOff()), nil)
		}
	}
	return nil
}

// FireDue appends the timers that are due, some of them, for whoever keeps time in place of Run. It
// reports whether all that were due are on stable storage; those that are not stay due.
func (r *Relay) FireDue(ctx context.Context) (bool, error) {
	now := r.o.Now()
	keys, _, err := r.overdue(now)
	if err != nil {
		return false, err
	}
	return r.fireOverdue(ctx, keys, now, now)
}

// fireOverdue fires entries that are due, and puts right those that are none. It reports whether what
// they stand for is on stable storage.
func (r *Relay) fireOverdue(ctx context.Context, keys []string, now, idle time.Time) (fired bool, err error) {
	v, err := r.aim(keys, now)
	if err == nil && len(v.hurt) > 0 {
		err = r.besideFold(ctx, func(tx *store.Tx) error {
			for _, lane := range v.hurt {
				if err := r.putAside(tx, lane, store.Subjects); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err == nil && len(v.stray) > 0 {
		err = r.reindex(ctx, v.stray)
	}
	return err == nil && r.fire(ctx, v, idle), err
}

// await returns when the clock has reached at (zero: never), when something has moved, or when ctx
// has ended.
func (r *Relay) await(ctx context.Context, at time.Time, moved <-chan struct{}) {
	var alarm <-chan time.Time
	if !at.IsZero() {
		c, stop := r.o.Alarm(at)
		defer stop()
		alarm = c
	}
	select {
	case <-alarm:
	case <-moved:
	case <-ctx.Done():
	}
}

// alarm is Options.Alarm for a clock that runs by itself.
func alarm(now func() time.Time) func(time.Time) (<-chan time.Time, func()) {
	return func(at time.Time) (<-chan time.Time, func()) {
		t := time.NewTimer(min(at.Sub(now()), clockDoubt))
		return t.C, func() { t.Stop() }
	}
}

// overdue marks the entries that are due and on nobody's way, the earliest first and a bounded
// number of them. Without any, next is when the first will be; zero: not before the fold has moved
// something.
func (r *Relay) overdue(now time.Time) (keys []string, next time.Time, err error) {
	t := &r.timers
	t.mu.Lock()
	defer t.mu.Unlock()
	var first int64
	err = r.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Timers).Cursor()
		for k, v := c.First(); k != nil && len(keys) < timerStep && len(t.firing)+len(keys) < maxFiring; k, v = c.Next() {
			if v == nil || len(k) <= 8 || t.firing[string(k)] || r.aside.has(string(k[8:])) {
				continue
			}
			at, _ := splitTimer(k)
			if first == 0 {
				first = at
			}
			if at > now.UnixMicro() {
				next = time.UnixMicro(at)
				return nil
			}
			keys = append(keys, string(k))
		}
		return nil
	})
	for _, k := range keys {
		t.firing[k] = true
	}
	if first != 0 || len(t.firing) < maxFiring {
		t.next.Store(first)
	}
	return keys, next, err
}

// aim works out what entries stand for. They have been marked before: were one folded in between,
// it would no longer be there.
func (r *Relay) aim(keys []string, now time.Time) (v firedTogether, err error) {
	err = r.o.Store.View(func(tx *store.Tx) error {
		for _, k := range keys {
			if !tx.Bucket(store.Timers).Has([]byte(k)) {
				r.timers.forget(k)
				continue
			}
			at, lane := splitTimer([]byte(k))
			s, err := r.load(tx, lane)
			if err != nil { // time waits for it too; the others' timers go on
				v.hurt = append(v.hurt, lane)
				r.timers.forget(k)
				continue
			}
			due, ok := s.State.Next(r.policyOf(s))
			if s.Timer != at || !ok || due.At.After(now) {
				v.stray = append(v.stray, k)
				continue
			}
			v.keys, v.timers = append(v.keys, k), append(v.timers, due)
		}
		return nil
	})
	return v, err
}

// fire appends what is fired together and reports whether it is on stable storage. If not, it is as
// if nothing had been tried: should it be there after all, the fold knows it.
func (r *Relay) fire(ctx context.Context, v firedTogether, idle time.Time) bool {
	if len(v.timers) == 0 {
		return true
	}
	now := r.o.Now().Round(0).UTC()
	us := make([]kyc.Update, len(v.timers))
	for i := range v.timers {
		us[i] = v.timers[i].Update()
		us[i].ReceivedAt = now
	}
	if err := r.append(ctx, us...); err != nil {
		if r.timers.forget(v.keys...); ctx.Err() == nil {
			r.m.timersRefused.Inc()
			r.o.Logger.Warn("timers_refused", "timers", len(v.timers), "error", err)
		}
		return false
	}
	for i := range v.timers {
		d := &v.timers[i]
		r.m.fired.WithLabelValues(timerKind(d)).Inc()
		if !d.At.Before(idle) { // else it was overdue when it came, as a notice of an approval for a few days is
			r.m.lateness.Observe(now.Sub(d.At).Seconds())
		}
	}
	return true
}

// The kinds of timers, as they are counted.
var timerKinds = []string{"notice", "expiry", "attempt"}

func timerKind(d *kyc.TimerDue) string {
	switch {
	case d.Notice:
		return "notice"
	case d.Attempt:
		return "attempt"
	default:
		return "expiry"
	}
}

// reindex puts entries right whose subject has nothing due at their instant: a program with other
// rules wrote them.
func (r *Relay) reindex(ctx context.Context, keys []string) error {
	err := r.besideFold(ctx, func(tx *store.Tx) error {
		for _, k := range keys {
			at, lane := splitTimer([]byte(k))
			s, err := r.load(tx, lane)
			if errors.Is(err, ErrAside) {
				continue
			}
			if err != nil {
				return err
			}
			if err := tx.Bucket(store.Timers).Delete([]byte(k)); err != nil {
				return err
			}
			if s.Timer == at {
				if err := r.retime(tx, s); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if isFull(err) {
		return nil // they are left alone until the next start
	}
	r.timers.forget(keys...)
	return err
}

// retime writes the entry of a subject that has none, and the subject that says so.
func (r *Relay) retime(tx *store.Tx, s *subject) error {
	if s.Timer = r.next(s); s.Timer != 0 {
		if err := tx.Bucket(store.Timers).Put(timerKey(s.Timer, s.lane)); err != nil {
			return err
		}
	}
	return tx.Bucket(store.Subjects).PutRecord([]byte(s.lane), s.encode())
}

// besideFold writes to subjects while the fold waits. It is not left behind when ctx ends: a commit
// that came later would undo what the fold has read.
func (r *Relay) besideFold(ctx context.Context, fn func(*store.Tx) error) error {
	r.folding.Lock()
	defer r.folding.Unlock()
	err := r.o.Store.Update(context.WithoutCancel(ctx), fn)
	if err != nil && ctx.Err() != nil {
		return nil // stopping
	}
	return err
}
