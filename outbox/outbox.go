// Package outbox keeps the deliveries that are owed, on disk, until each has ended: in order per
// lane, bounded per endpoint, and never more than one of a lane in flight (I3).
//
// A lane is the queue of one endpoint and one subject. Its head, and only its head, stands in the
// due index; so a claim looks at what is due at one endpoint and at nothing else (I6), and a
// million deliveries owed cost no memory (I9). A claim is a lease in memory: a crash gives it back.
package outbox

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/outbox/store"
)

// Delivery is one change owed to one endpoint. (Endpoint, Lane, Sequence) is its key; WebhookID is
// the change's, the same at every endpoint.
type Delivery struct {
	Endpoint         string
	Lane             string // the subject's id under the endpoint's partner
	Sequence         uint64
	PreviousSequence uint64
	Order            int64 // offset of the record that owed it, or owed it again; 0: no record did. The outbox knows no journal, so it is a number
	WebhookID        string
	Type             string    // of the change
	Format           string    // the body was rendered in it (I5)
	Traceparent      string    // W3C trace context of the callback, "" if it had none
	Restrictive      bool      // tells of a rejection or suspension: must not wait unseen
	Anew             bool      // rendered again since it was made, for it could not be signed any more: Format and Body are of then
	Force            bool      // ordered again by an operator, even if the lane has moved on
	Replayed         bool      // owed by a replay, perhaps once more
	Owed             time.Time // from when on it is owed: when the record or the order that caused it was taken
	Received         time.Time // when the record that caused it was received, for end-to-end latency
	Body             []byte

	Failures     int       // tries so far that ended without a 2xx, and are counted
	FirstFailure time.Time // of these
	Urgent       bool      // of a claimed one: a rejection or suspension is owed in its lane, perhaps behind it
	Early        bool      // of a claimed one: tried for its endpoint's sake, perhaps before it is due, so that a failure is not counted
	from         *Outbox   // of a claimed one: whose lease it is
	class        class     // where the head stands in the due index
	due          int64     // and there: unix milliseconds
	head         uint64    // the sequence that stands there; another one, if that has been given up
}

// Outcome is how one attempt, or the wait for it, ended.
type Outcome string

// The outcomes.
const (
	Done      Outcome = "done"          // the partner answered 2xx
	Retry     Outcome = "retry"         // again at Attempt.Retry
	Died      Outcome = "dead_lettered" // kept, listed, can be ordered again
	Cancelled Outcome = "cancelled"     // an operator has decided that it is never sent; only its history stays
)

// Attempt is one HTTP try of a delivery and what follows from it.
type Attempt struct {
	Delivery Delivery
	Outcome  Outcome
	Reason   string // closed set, see the relay's answers table
	Code     int    // of the answer; 0: none came
	Detail   string // what went wrong, in words of our own; nothing of the URL or the answer
	At       time.Time
	Took     time.Duration
	Exchange Exchange  // what went over the wire; zero: nothing did
	Retry    time.Time // for Outcome Retry
	Sooner   time.Time // for Outcome Retry: instead, if a rejection is owed in the lane by then; zero: no matter

	By      string // for Outcome Cancelled: who
	Because string // and why

	RefusedSince time.Time // when the unbroken refusals that it ends began; zero: it is none. Kept with the try, as is
	RefusedTimes int       // how many they are

	Remade    bool   // for Outcome Retry: its delivery, with another format and body, takes the place of the one in the file
	Uncounted bool   // for Outcome Retry: it does not count, and the delivery is due when it was
	Settled   func() // called once its effect is on stable storage, by whoever writes: it must return at once. Nil: nobody waits
}

// Why a delivery is dead without a last attempt of its own.
const (
	Overflow  = "overflow"  // given up for want of room: the endpoint owed max_owed; id only, no body
	Overtaken = "overtaken" // ordered again, but its lane has delivered a later change since
	Removed   = "removed"   // ordered again while its endpoint is not in the config
	Damaged   = "damaged"   // its record fails the checksum; kept as it is

	ReasonGivenUp = "given_up" // an operator gave it up: its endpoint was not in the config any more, or disabled
	ReasonSkipped = "skipped"  // an operator put it down: it held its person's lane up

	ReasonCancelled = "cancelled" // an operator cancelled it: it is not dead, it is no more
)

// Options of an Outbox. Store is required.
type Options struct {
	Store   *store.Store
	Logger  *slog.Logger
	Metrics prometheus.Registerer
	Among   *Metrics // that it is counted in with other outboxes; nil: alone, in Metrics
	Now     func() time.Time
	// Settled is called in the transaction that ends a delivery (done or dead), to write its
	// history. It may be called again if the transaction is.
	Settled func(*store.Tx, Attempt) error
	// Current is the id that an endpoint has now, given one that it may have had before. Nil: none
	// was renamed.
	Current func(endpoint string) string
	// Decides reports whether changes of a type say where a person stands, so that a later one
	// makes an earlier one needless. Nil: all do.
	Decides func(changeType string) bool
}

// Endpoint is what the outbox knows of one endpoint.
type Endpoint struct {
	ID      string
	MaxOwed int64
}

// Outbox is safe for concurrent use.
type Outbox struct {
	o     Options
	lanes atomic.Pointer[map[string]*lanes] // by endpoint; nobody changes a map that is there, see Serve
	m     *Metrics
	lost  sync.Once
	gone  chan struct{} // closed when the store takes nothing any more

	astray atomic.Bool // a claim has met a head that is damaged

	serving sync.Mutex // held by whoever puts another map of lanes in the place of the last

	unsettled atomic.Int64 // attempts that are pending or running; changed under mu

	mu        sync.Mutex // guards the fields below
	pending   []Attempt  // settled by the dispatcher, not yet handed to the store
	running   []Attempt  // in the store's hands
	spare     []Attempt  // room for those that are settled next
	scheduled bool
	claimed   int           // what is with whoever claimed it: neither settled nor released yet
	returned  chan struct{} // closed when nothing is claimed; nil: nobody waits for that
	refused   bool          // somebody was told that we are behind, and nobody yet that this is over
	idle      chan struct{} // closed when nothing is pending
}

// lanes is what is in memory of one endpoint: leases and counts, nothing that grows with what is
// owed.
type lanes struct {
	id      string
	maxOwed atomic.Int64
	served  atomic.Bool   // not once it has left: then what comes is owed all the same, and nobody claims it
	wake    chan struct{} // one token: something may be due
	rush    atomic.Bool   // something urgent has come to stand in the index since it was last asked for

	mu     sync.Mutex        // guards the fields below; a claim holds it across its read transaction
	leased map[string]uint64 // by lane: the sequence of what is in flight
	undone map[string]uint64 // by lane: the sequence of what is in flight and was cancelled since
	owed   int64
	dead   int64

	search []byte // owned by the writer: where it looks next for what gives way to a rejection
	said   *ring  // owned by the writer; nil: it has not been needed yet

	pending pending // what has waited for longest, as far as anybody has asked
}

// ErrNotFound says that there is no such delivery or endpoint.
var ErrNotFound = errors.New("not found")

// New reads the counts of the endpoints given; deliveries of others stay where they are. Serve and
// Leave say which they are from then on.
func New(o Options, endpoints []Endpoint) (*Outbox, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Settled == nil {
		o.Settled = func(*store.Tx, Attempt) error { return nil }
	}
	if o.Current == nil {
		o.Current = func(endpoint string) string { return endpoint }
	}
	if o.Decides == nil {
		o.Decides = func(string) bool { return true }
	}
	b := &Outbox{o: o, idle: make(chan struct{}), gone: make(chan struct{})}
	close(b.idle)
	b.lanes.Store(&map[string]*lanes{})
	if err := b.Serve(endpoints...); err != nil {
		return nil, err
	}
	if b.m = o.Among; b.m == nil {
		b.m = NewMetrics(o.Metrics)
	}
	b.m.join(b)
	o.Store.Owe(b.needs)
	return b, nil
}

// settleCost is what ending one delivery is expected to write, in bytes: how it ended, where its
// subject finds that, and a try or two that failed. What it frees is not counted, and neither are
// the texts of answers: they are written only into room that is to spare (store.Spare).
const settleCost = 1 << 10

// needs is what ending all that is owed will write.
func (b *Outbox) needs() (bytes int64) {
	for id := range *b.lanes.Load() {
		bytes += b.Owed(id) * settleCost
	}
	return bytes
}

func (l *lanes) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Wake receives a token whenever something of the endpoint may have become due. Nil, and so never
// ready, for one that Serve was never given.
func (b *Outbox) Wake(endpoint string) <-chan struct{} {
	if l := b.of(endpoint); l != nil {
		return l.wake
	}
	return nil
}

// Owed and Dead are how many deliveries of the endpoint are owed, or ended without a 2xx. Kept,
// never counted by walking.
func (b *Outbox) Owed(endpoint string) int64 {
	owed, _ := b.counts(endpoint)
	return owed
}

// Dead is how many deliveries of the endpoint are dead.
func (b *Outbox) Dead(endpoint string) int64 {
	_, dead := b.counts(endpoint)
	return dead
}

func (b *Outbox) counts(endpoint string) (owed, dead int64) {
	l := b.of(endpoint)
	if l == nil {
		return 0, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.owed, l.dead
}

func owedKey(endpoint string) []byte { return []byte("outbox/owed/" + endpoint) }
func deadKey(endpoint string) []byte { return []byte("outbox/dead/" + endpoint) }

// tally collects how counts move within one transaction, writes them once at its end and shows them
// after the commit.
type tally struct {
	b     *Outbox
	owed  map[string]int64
	dead  map[string]int64
	known map[string]standing  // of endpoints, as the transaction began
	said  map[string]int       // new texts of endpoints; nil: none
	same  map[sameText]sameRef // texts that it has found, or put down; nil: none
	texts int64                // bytes of texts that were put down, or were to be
}

// standing is what putting a delivery has to know of its endpoint.
type standing struct {
	owed int64
}

func (b *Outbox) tally() *tally {
	return &tally{b: b, owed: map[string]int64{}, dead: map[string]int64{}, known: map[string]standing{}}
}

func (t *tally) standing(tx *store.Tx, endpoint string) (s standing, err error) {
	s, ok := t.known[endpoint]
	if ok {
		return s, nil
	}
	if s.owed, err = tx.Number(owedKey(endpoint)); err != nil {
		return s, err
	}
	t.known[endpoint] = s
	return s, nil
}

func (t *tally) write(tx *store.Tx) error {
	put := func(key []byte, add int64) (int64, error) {
		n, err := tx.Number(key)
		if err != nil {
			return 0, err
		}
		return n + add, tx.SetNumber(key, n+add)
	}
	for e, add := range t.owed {
		n, err := put(owedKey(e), add)
		if err != nil {
			return err
		}
		tx.OnCommit(func() { t.b.show(e, func(l *lanes) { l.owed = n }) })
	}
	for e, add := range t.dead {
		n, err := put(deadKey(e), add)
		if err != nil {
			return err
		}
		tx.OnCommit(func() { t.b.show(e, func(l *lanes) { l.dead = n }) })
	}
	return nil
}

func (b *Outbox) show(endpoint string, set func(*lanes)) {
	if l := b.of(endpoint); l != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		set(l)
	}
}

// Due is since when a claimed delivery has been due, or when it would be.
func (d *Delivery) Due() time.Time { return time.UnixMilli(d.due) }

// From is the outbox that a claimed delivery is settled in, or released to; nil: it was not claimed.
func (d *Delivery) From() *Outbox { return d.from }

// ID is how a delivery is named to people: webhook-id and endpoint.
func (d *Delivery) ID() string { return d.WebhookID + "@" + d.Endpoint }

// SplitID undoes ID. The id of a damaged delivery holds its subject's, and so perhaps an @; an
// endpoint's never does.
func SplitID(id string) (webhookID, endpoint string, ok bool) {
	at := strings.LastIndexByte(id, '@')
	if at < 0 {
		return id, "", false
	}
	return id[:at], id[at+1:], true
}
