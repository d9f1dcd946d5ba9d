// Package cluster owns partitions: one log of updates each, of which this node is the only one that
// folds and delivers, until the group gives it to another. What an owner knows is a function of that
// log alone. So whoever comes after it, with its file or without, goes on from what stands in topics:
//
//	subjects   checkpoints: each strand as it stood after some record, under the owner's generation
//	receipts   how deliveries ended
//	watermark  what all checkpoints together cover: an offset that only the group's member can commit
//
// docs/CLUSTER.md says why each step is as it is, and relay/manynodes is the model of it.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"countersign/ingest/forward"
	"countersign/ingest/forward/group"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay"
)

// Topic is one of those of which each partition has one.
type Topic int

// The topics.
const (
	Updates  Topic = iota // kyc.status-updates
	Receipts              // kyc.delivery-receipts
	Subjects              // countersign.subjects, compacted
)

// Topics is what an owner asks of Kafka about its partition. Everything is safe to say again.
type Topics interface {
	// Bounds are the offset of the first record that is there, and of the next that will be written.
	Bounds(ctx context.Context, t Topic) (start, end int64, err error)
	// Fetch is what stands at and after an offset, in whole batches, as they were produced: so what one
	// callback brought is not cut in two. Nothing, where nothing stands there yet. An error that is a
	// *group.LogError does not go away by itself.
	Fetch(ctx context.Context, t Topic, from int64) (group.Fetched, error)
	// Produce is nil once all in-sync replicas have all of these, in order. Any error means unknown.
	Produce(ctx context.Context, t Topic, ms ...*forward.Message) error
	// Watermark is what was committed last; not ok: nothing ever was.
	Watermark(ctx context.Context) (w group.Watermark, ok bool, err error)
	// Commit commits, as the member that owns the partition: group.ErrRefused or group.ErrUnknown.
	Commit(ctx context.Context, w group.Watermark) error
}

// Options of a Partition. All are required but Open, Node, Logger and Now.
type Options struct {
	Number int32
	Node   string // this one's name, for people
	Store  *store.Store
	Relay  *relay.Relay
	Outbox *outbox.Outbox
	Topics Topics
	Open   func() bool // whether we may still act as the owner: group.Fence. Nil: always
	Logger *slog.Logger
	Now    func() time.Time
}

// Partition is one that this node owns, from Take on. Its methods are steps, called one at a time by
// whoever runs it; but for Wrote, which the store calls.
type Partition struct {
	o          Options
	generation uint64
	mark       group.Watermark // committed last, or what that may be
	behind     int64           // what was the end of the log when it was taken: nothing is delivered before that is folded
	receipts   int64           // the next receipt to read
	caughtUp   bool
	marked     bool // a round of ours has been committed
	round      round
	dirty      dirty
	published  *published
	partSize   int // bytes of a body in one record

	mistakes
}

// ErrFenced says that the group may have given the partition to somebody else: nothing was done, and
// nothing will be.
var ErrFenced = errors.New("the partition may have another owner by now")

// New makes a partition that is not taken yet. Wrote watches the store from here on.
func New(o Options) *Partition {
	if o.Open == nil {
		o.Open = func() bool { return true }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Partition{o: o, partSize: partSize}
}

// Generation is which owner of the partition this is, of all that there ever were.
func (p *Partition) Generation() uint64 { return p.generation }

// CaughtUp reports whether all that the log and the receipts had when it was taken is known: only
// then may anything be delivered, fired or said of its persons.
func (p *Partition) CaughtUp() bool { return p.caughtUp }

// open is nil as long as we may act.
func (p *Partition) open() error {
	if !p.o.Open() {
		return ErrFenced
	}
	return nil
}

// wrap says of which partition an error is.
func (p *Partition) wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("partition %d: %s: %w", p.o.Number, doing, err)
}
