// Package replay tells partners again what they were told, or should have been: what is dead at an
// endpoint, what it was told in a span of time, or where each person stands, to it or to another
// endpoint of its partner.
//
// Its promises: a replay is a job that is kept in the file, and goes on where it was after a
// restart; what it orders stands in the journal in the transaction that notes it as ordered, so
// that a crash neither leaves out nor repeats anything; each person is told in the order of their
// changes, and the last word is never older than the one before; the rate holds, and other
// endpoints lose nothing by it.
package replay

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay"
	"countersign/relay/registry"
)

// The states of a job.
const (
	Counting  = "counting" // it finds out how much there is to do
	Running   = "running"
	Paused    = "paused"
	Cancelled = "cancelled"
	Done      = "done"
	Failed    = "failed"
)

// Bounds of what is asked for.
const (
	DefaultRate = 100    // deliveries a second
	MaxRate     = 10_000 // the same
	maxOpen     = 100    // jobs that have not ended
	keepEnded   = 1000   // jobs that have
	maxBecause  = 500    // bytes
)

// Job is one replay. Times are UTC.
type Job struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind"`     // relay.ReplayDead, ReplayRange or ReplayCurrent
	Endpoint string    `json:"endpoint"` // whose
	To       string    `json:"to"`       // who is told
	Since    time.Time `json:"since,omitzero"`
	Until    time.Time `json:"until,omitzero"`
	Force    bool      `json:"force,omitempty"` // dead ones also if a later change has been accepted since
	Rate     float64   `json:"rate"`            // deliveries a second at most
	DryRun   bool      `json:"dry_run,omitempty"`
	Because  string    `json:"because,omitempty"`
	By       string    `json:"by,omitempty"` // whose token asked for it

	State   string           `json:"state"`
	Created time.Time        `json:"created_at"`
	Counted time.Time        `json:"counted_at,omitzero"` // when Total and Persons were known
	Ended   time.Time        `json:"ended_at,omitzero"`
	Total   int64            `json:"total"`             // deliveries there were to order, when it was counted
	Persons int64            `json:"persons"`           // of so many
	Ordered int64            `json:"ordered"`           // deliveries that are in the journal, to be sent
	Skipped map[string]int64 `json:"skipped,omitempty"` // deliveries passed over, by why
	Error   string           `json:"error,omitempty"`   // why it failed, or what it waits for
	Cursor  []byte           `json:"cursor,omitempty"`  // where it goes on
	Key     string           `json:"key,omitempty"`     // digest of the Idempotency-Key that it was asked for under
}

// ended reports whether nothing more comes of it.
func (j *Job) ended() bool { return j.State == Done || j.State == Cancelled || j.State == Failed }

func (j *Job) repeat() *relay.Repeat {
	return &relay.Repeat{ID: j.ID, Kind: j.Kind, Endpoint: j.Endpoint, To: j.To, Since: j.Since, Until: j.Until, Before: j.Created, Force: j.Force, Actor: j.By}
}

var (
	// ErrNotFound says that there is no such job.
	ErrNotFound = errors.New("there is no such replay")
	// ErrTooMany says that there are as many jobs as may be.
	ErrTooMany = fmt.Errorf("%d replays have not ended: wait for one, or cancel it", maxOpen)
	// ErrEnded says that nothing can be changed of a job any more.
	ErrEnded = errors.New("the replay has ended")

	errMoved = errors.New("somebody has paused or cancelled it meanwhile")
)

// InvalidError is a request that cannot be carried out; Param names what is wrong with it.
type InvalidError struct{ Param, Message string }

// Error implements error.
func (e *InvalidError) Error() string { return e.Message }

// Options of Replays. All but Metrics and Now are required.
type Options struct {
	Store    *store.Store
	Outbox   *outbox.Outbox
	Relay    *relay.Relay
	Registry *registry.Registry
	Logger   *slog.Logger
	Metrics  prometheus.Registerer
	Now      func() time.Time
}

// Replays keeps and runs the jobs. Make it with New, run it with Run.
type Replays struct {
	o       Options
	m       *metrics
	wake    chan struct{} // one token
	mu      sync.Mutex    // guards the field below
	running map[string]bool
}

// New makes them. It starts nothing.
func New(o Options) *Replays {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Replays{o: o, m: newMetrics(o.Metrics), wake: make(chan struct{}, 1), running: map[string]bool{}}
}

// Create begins a job: nil once it is on stable storage. The caller gives what is asked for; the
// rest is filled in. What was asked for before under the same Key is that job, if it is the same,
// else relay.ErrKeyUsed.
func (r *Replays) Create(ctx context.Context, ask Job) (j Job, err error) {
	j = Job{
		Kind: ask.Kind, Endpoint: ask.Endpoint, To: ask.To, Since: ask.Since.UTC(), Until: ask.Until.UTC(), Force: ask.Force, Rate: ask.Rate, DryRun: ask.DryRun, Because: ask.Because,
		By: ask.By, Key: ask.Key, State: Counting, Created: r.o.Now().UTC(),
	}
	if err := r.check(&j); err != nil {
		return j, err
	}
	j.ID = newID(j.Created)
	is := j
	err = r.o.Store.Update(ctx, func(tx *store.Tx) error {
		was, ok, err := under(tx, &j)
		if is = was; ok || err != nil {
			return err
		}
		if err := prune(tx); err != nil {
			return err
		}
		is = j
		return put(tx, &j)
	})
	if err != nil {
		return j, fmt.Errorf("create a replay: %w", err)
	}
	if is.ID != j.ID {
		return is, nil
	}
	r.o.Logger.Info("replay_created", "replay", j.ID, "kind", j.Kind, "endpoint", j.Endpoint, "to", j.To, "rate", j.Rate, "dry_run", j.DryRun, "actor", j.By)
	r.nudge()
	return j, nil
}

// check completes what is asked for, and refuses what cannot be done.
func (r *Replays) check(j *Job) error {
	now := r.o.Registry.Read()
	if j.Kind == relay.ReplayCurrent && j.Endpoint == "" {
		j.Endpoint = j.To
	}
	j.Endpoint = now.Current(j.Endpoint)
	if j.To == "" {
		j.To = j.Endpoint
	}
	j.To = now.Current(j.To)
	switch {
	case j.Kind != relay.ReplayDead && j.Kind != relay.ReplayRange && j.Kind != relay.ReplayCurrent:
		return &InvalidError{"kind", "kind is dead_lettered, range or current"}
	case now.Owner(j.Endpoint) == "":
		return &InvalidError{"endpoint", "there is no such endpoint"}
	case now.Endpoint(j.To) == nil:
		return &InvalidError{"to", "there is no such endpoint, or it is not served any more"}
	case now.Owner(j.Endpoint) != now.Owner(j.To):
		return &InvalidError{"to", "it is another partner's endpoint: a partner is never told of another's persons"}
	case j.Kind == relay.ReplayCurrent && j.Endpoint != j.To:
		return &InvalidError{"endpoint", "the current status goes to one endpoint: leave endpoint out, and give to"}
	case j.Kind == relay.ReplayRange && (j.Since.IsZero() || j.Until.IsZero() || !j.Since.Before(j.Until)):
		return &InvalidError{"since", "a range has since and until, in this order"}
	case j.Kind != relay.ReplayRange && (!j.Since.IsZero() || !j.Until.IsZero()):
		return &InvalidError{"since", "only a range has since and until"}
	case j.Force && j.Kind != relay.ReplayDead:
		return &InvalidError{"force", "only dead-lettered deliveries can be overtaken: force is for kind dead_lettered"}
	case j.Rate < 0 || j.Rate > MaxRate:
		return &InvalidError{"rate", fmt.Sprintf("rate is a number of deliveries a second, up to %d", MaxRate)}
	case len(j.Because) > maxBecause:
		return &InvalidError{"because", fmt.Sprintf("because has at most %d bytes", maxBecause)}
	}
	if j.Rate == 0 {
		j.Rate = DefaultRate
	}
	return nil
}

// newID is a ULID: ids are in the order of their times.
func newID(at time.Time) string {
	b := make([]byte, 16)
	rand.Read(b) // it never fails
	ms := uint64(at.UnixMilli())
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i)) //nolint:gosec // one byte of it
	}
	return "rpl_" + crockford(b)
}

// crockford writes 16 bytes as the 26 characters of a ULID.
func crockford(b []byte) string {
	const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	out := make([]byte, 26)
	bits, have, at := uint(0), 2, 0 // 130 bits: two zeros before
	for _, c := range b {
		bits, have = bits<<8|uint(c), have+8
		for have >= 5 {
			out[at] = alphabet[bits>>(have-5)&31]
			at, have = at+1, have-5
		}
		bits &= 1<<have - 1
	}
	return string(out)
}

func put(tx *store.Tx, j *Job) error {
	v, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return tx.Bucket(store.Jobs).Put([]byte(j.ID), v)
}

func read(tx *store.Tx, id string) (j Job, err error) {
	v, err := tx.Bucket(store.Jobs).Get([]byte(id))
	switch {
	case err != nil:
		return j, fmt.Errorf("replay %s: %w", id, err)
	case v == nil:
		return j, fmt.Errorf("replay %s: %w", id, ErrNotFound)
	}
	if err := json.Unmarshal(v, &j); err != nil {
		return j, fmt.Errorf("replay %s: %w", id, store.ErrBadRecord)
	}
	return j, nil
}

// under finds the job that was asked for under the same key; not ok: there is none.
func under(tx *store.Tx, j *Job) (is Job, ok bool, err error) {
	if j.Key == "" {
		return is, false, nil
	}
	c := tx.Bucket(store.Jobs).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		var was Job
		if v == nil || json.Unmarshal(v, &was) != nil || was.Key != j.Key {
			continue
		}
		if was.asked() != j.asked() {
			return was, true, relay.ErrKeyUsed
		}
		return was, true, nil
	}
	return is, false, nil
}

// asked is what was asked for.
func (j *Job) asked() string {
	return fmt.Sprintf("%q", []any{j.Kind, j.Endpoint, j.To, j.Since.UnixNano(), j.Until.UnixNano(), j.Force, j.Rate, j.DryRun, j.Because})
}

// prune refuses one more where there are too many, and forgets the oldest that have ended.
func prune(tx *store.Tx) error {
	var ended []string
	open := 0
	c := tx.Bucket(store.Jobs).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		var j Job
		switch {
		case v == nil || json.Unmarshal(v, &j) != nil: // damaged: it stays
		case j.ended():
			ended = append(ended, j.ID)
		default:
			open++
		}
	}
	if open >= maxOpen {
		return ErrTooMany
	}
	for len(ended) > keepEnded {
		if err := tx.Bucket(store.Jobs).Delete([]byte(ended[0])); err != nil {
			return err
		}
		ended = ended[1:]
	}
	return nil
}

// Read is one job; ErrNotFound.
func (r *Replays) Read(id string) (j Job, err error) {
	err = r.o.Store.View(func(tx *store.Tx) error {
		j, err = read(tx, id)
		return err
	})
	return j, err
}

// List lists up to n jobs, the newest first, that came before the one given; "": from the newest.
func (r *Replays) List(before string, n int) (jobs []Job, more bool, err error) {
	err = r.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Jobs).Cursor()
		k, v := c.Last()
		if before != "" {
			if k, _ = c.Seek([]byte(before)); k == nil {
				c.Last()
			}
			k, v = c.Prev()
		}
		for ; k != nil; k, v = c.Prev() {
			var j Job
			if v == nil || json.Unmarshal(v, &j) != nil {
				continue
			}
			if more = len(jobs) == n; more {
				return nil
			}
			jobs = append(jobs, j)
		}
		return nil
	})
	return jobs, more, err
}

// Pause has a job order nothing more until it is resumed: nil once that is on stable storage. It,
// Resume and Cancel leave what is so already as it is; ErrEnded, ErrNotFound.
func (r *Replays) Pause(ctx context.Context, id string) (Job, error) {
	return r.turn(ctx, id, Paused)
}

// Resume goes on with a job that is paused.
func (r *Replays) Resume(ctx context.Context, id string) (Job, error) {
	return r.turn(ctx, id, Running)
}

// Cancel ends a job. What it has ordered is sent.
func (r *Replays) Cancel(ctx context.Context, id string) (Job, error) {
	return r.turn(ctx, id, Cancelled)
}

func (r *Replays) turn(ctx context.Context, id, to string) (j Job, err error) {
	var is Job
	err = r.o.Store.Update(ctx, func(tx *store.Tx) error {
		got, err := read(tx, id) // its own err: it may still run when ctx has ended
		if err != nil {
			return err
		}
		is = got
		switch {
		case is.State == to, to == Running && is.State == Counting:
			return nil
		case is.ended():
			return fmt.Errorf("replay %s: %w: it is %s", id, ErrEnded, is.State)
		case to == Running && is.Counted.IsZero():
			is.State = Counting
		default:
			is.State = to
		}
		if is.Error = ""; to == Cancelled {
			is.Ended = r.o.Now().UTC()
		}
		return put(tx, &is)
	})
	if err != nil {
		return j, err
	}
	r.nudge()
	r.o.Logger.Info("replay_state_changed", "replay", id, "state", is.State, "ordered", is.Ordered)
	return is, nil
}

func (r *Replays) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
