package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"countersign/ingest/journal"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay"
)

const (
	maxRunning = 8               // jobs at once; others wait for their turn
	countStep  = 2000            // deliveries counted in one step
	maxStep    = 500             // ordered in one step
	look       = 2 * time.Second // between two looks for jobs
	rest       = time.Second     // where there is no room
	foldRest   = 5 * time.Millisecond
)

// Run runs the jobs that there are, and those that come, until ctx ends or the store fails. It
// begins when begun is closed.
func (r *Replays) Run(ctx context.Context, begun <-chan struct{}) error {
	select {
	case <-begun:
	case <-ctx.Done():
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	defer wg.Wait()
	for ctx.Err() == nil {
		ids, err := r.begin()
		if err != nil {
			return fmt.Errorf("replays: %w", err)
		}
		for _, id := range ids {
			wg.Go(func() {
				defer r.end(id)
				if err := r.do(ctx, id); err != nil && ctx.Err() == nil {
					cancel(fmt.Errorf("replay %s: %w", id, err))
				}
			})
		}
		r.wait(ctx, look)
	}
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// wait waits for a while, or until it is woken.
func (r *Replays) wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.wake:
	case <-ctx.Done():
	}
}

// begin finds the jobs whose turn it is, the oldest first.
func (r *Replays) begin() (ids []string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := map[string]int{}
	err = r.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Jobs).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			var j Job
			if v == nil || json.Unmarshal(v, &j) != nil {
				continue
			}
			counts[j.State]++
			if (j.State == Counting || j.State == Running) && !r.running[j.ID] && len(r.running)+len(ids) < maxRunning {
				ids = append(ids, j.ID)
			}
		}
		return nil
	})
	for _, id := range ids {
		r.running[id] = true
	}
	r.m.show(counts)
	return ids, err
}

func (r *Replays) end(id string) {
	r.mu.Lock()
	delete(r.running, id)
	r.mu.Unlock()
	r.nudge()
}

// do brings a job on until it has ended, or somebody pauses or cancels it.
func (r *Replays) do(ctx context.Context, id string) error {
	w := &worker{r: r}
	for ctx.Err() == nil {
		j, err := r.Read(id)
		if err != nil {
			return err
		}
		switch j.State {
		case Counting:
			err = w.count(ctx, &j)
		case Running:
			err = w.step(ctx, &j)
		default:
			return nil
		}
		switch {
		case err == nil, errors.Is(err, errMoved):
		case ctx.Err() != nil:
			return nil //nolint:nilerr // stopping
		case errors.Is(err, journal.ErrBacklog), errors.Is(err, journal.ErrFull), errors.Is(err, store.ErrFull):
			pause(ctx, rest) // it passes
		case errors.Is(err, outbox.ErrNotFound):
			err = r.update(ctx, &j, func(j *Job) {
				j.State, j.Error, j.Ended = Failed, "the endpoint is not served any more", r.o.Now().UTC()
			})
			if err != nil && !errors.Is(err, errMoved) {
				return err
			}
		default:
			return err
		}
	}
	return nil
}

// pause reports false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// worker brings one job on.
type worker struct {
	r     *Replays
	limit *rate.Limiter
	at    float64 // the rate it goes by
}

// count finds out how much there is to do. It is done again after a restart. It rests as long as it
// has worked, so that nobody is disturbed.
func (w *worker) count(ctx context.Context, j *Job) error {
	var total, persons int64
	skipped := map[string]int64{}
	for cursor := []byte(nil); ; {
		began := time.Now()
		s, err := w.r.o.Relay.Repeats(j.repeat(), cursor, countStep)
		if err != nil {
			return err
		}
		total, persons = total+int64(len(s.Orders)), persons+s.Persons
		add(skipped, s.Skipped)
		if cursor = s.Cursor; cursor == nil {
			break
		}
		now, err := w.r.Read(j.ID)
		if err != nil || now.State != Counting {
			return errors.Join(err, errMoved)
		}
		if !pause(ctx, time.Since(began)) {
			return ctx.Err()
		}
	}
	return w.r.update(ctx, j, func(j *Job) {
		j.Total, j.Persons, j.Counted = total, persons, w.r.o.Now().UTC()
		j.State = Running
		if j.DryRun {
			j.State, j.Skipped, j.Ended = Done, skipped, j.Counted
		}
	})
}

func add(to, from map[string]int64) {
	for why, n := range from {
		to[why] += n
	}
}

// update changes a job that is still in the state that it was read in, else errMoved.
func (r *Replays) update(ctx context.Context, j *Job, change func(*Job)) error {
	err := r.o.Store.Update(ctx, func(tx *store.Tx) error { return changed(tx, j, change) })
	if err == nil {
		r.say(j.ID)
	}
	return err
}

// changed is one change of a job, in a transaction.
func changed(tx *store.Tx, j *Job, change func(*Job)) error {
	is, err := read(tx, j.ID)
	if err != nil {
		return err
	}
	if is.State != j.State {
		return errMoved
	}
	change(&is)
	return put(tx, &is)
}

// say logs that a job has ended.
func (r *Replays) say(id string) {
	j, err := r.Read(id)
	if err != nil || !j.ended() {
		return
	}
	r.o.Logger.Info("replay_ended", "replay", id, "state", j.State, "total", j.Total, "ordered", j.Ordered, "skipped", sum(j.Skipped), "error", j.Error)
}

func sum(m map[string]int64) (n int64) {
	for _, v := range m {
		n += v
	}
	return n
}

// step orders the next deliveries, as many as the rate and the endpoint's room let it, and waits
// until they are owed.
func (w *worker) step(ctx context.Context, j *Job) error {
	if w.at != j.Rate {
		w.at, w.limit = j.Rate, rate.NewLimiter(rate.Limit(j.Rate), int(math.Max(1, j.Rate/10)))
	}
	n := min(int64(w.limit.Burst()), maxStep, w.r.o.Outbox.Room(j.To))
	if n == 0 {
		return w.wait(ctx, j, "the endpoint has max_owed pending deliveries: it goes on when there is room")
	}
	s, err := w.r.o.Relay.Repeats(j.repeat(), j.Cursor, int(n))
	if err != nil {
		return err
	}
	for left := len(s.Orders); left > 0; left -= w.limit.Burst() { // a person may have more than the burst
		if err := w.limit.WaitN(ctx, min(left, w.limit.Burst())); err != nil {
			return err
		}
	}
	also := func(tx *store.Tx) error {
		if !w.r.o.Relay.Fresh(&s) {
			return errMoved // somebody has been erased since: it is worked out again
		}
		return changed(tx, j, func(is *Job) {
			is.Cursor, is.Error = s.Cursor, ""
			is.Ordered += int64(len(s.Orders))
			if is.Skipped == nil {
				is.Skipped = map[string]int64{}
			}
			add(is.Skipped, s.Skipped)
			if s.Cursor == nil {
				is.State, is.Ended = Done, w.r.o.Now().UTC()
			}
		})
	}
	if len(s.Orders) == 0 {
		err = w.r.o.Store.Update(ctx, also)
	} else {
		err = w.order(ctx, &s, also)
	}
	if err == nil && s.Cursor == nil {
		w.r.say(j.ID)
	}
	return err
}

// order writes the orders, and waits until they are folded: then what is owed says how much there
// is room for.
func (w *worker) order(ctx context.Context, s *relay.Step, also func(*store.Tx) error) error {
	last, err := w.r.o.Relay.Order(ctx, s.Orders, also)
	if err != nil {
		return err
	}
	w.r.m.ordered.Add(float64(len(s.Orders)))
	for !w.r.o.Relay.Folded(last) {
		if !pause(ctx, foldRest) {
			return ctx.Err()
		}
	}
	return nil
}

// wait notes what a job waits for, and waits a while.
func (w *worker) wait(ctx context.Context, j *Job, why string) error {
	if j.Error != why {
		if err := w.r.update(ctx, j, func(j *Job) { j.Error = why }); err != nil {
			return err
		}
	}
	pause(ctx, rest)
	return nil
}
