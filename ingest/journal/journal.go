// Package journal is the durable log between ingest and relay: what a provider was told 2xx for
// stands here until every reader has passed it.
//
// Records of several kinds (I11) stand in one order. A reader saves its effects and its position in
// one transaction of its own (I2).
package journal

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
)

// Log is what a reader of one log needs. All its positions are of one partition, and go up; between
// two records there may be offsets of none. Implementations are safe for concurrent use.
type Log interface {
	// Tail calls fn with batches in order, each from after the position before, until ctx ends or
	// fn fails. What one callback brought is never cut in two. fn commits its effects and the last
	// position together. The zero position is before the first record there is; one of another log
	// is an error. Records that cannot be read are not handed over.
	Tail(ctx context.Context, from Position, fn func(context.Context, []Record) error) error
	// End is the position of the newest record that Tail would hand over now; zero: there is none,
	// for there never was, or all are forgotten.
	End(ctx context.Context) (Position, error)
	// Passed says that everything up to and including a position is folded, and on stable storage:
	// a journal forgets it, unless somebody else needs it, a topic does not.
	Passed(ctx context.Context, upTo Position) error
}

// Appender is what writes to a log. Implementations are safe for concurrent use.
type Appender interface {
	// Append is all or none, and nil only when the records are on stable storage (I1). Any error,
	// an expired ctx included, means unknown: answer 503 and let the provider send it again. Append
	// may go on after ctx ends and therefore keeps no bytes that the caller owns.
	Append(ctx context.Context, rs ...Record) error
	// AppendWith is Append of records that belong together with something else: also is called in
	// their transaction, perhaps more than once, and what it fails with nothing is written. It
	// returns the position of the first record; the others have the next offsets.
	AppendWith(ctx context.Context, also func(*store.Tx) error, rs ...Record) (first Position, err error)
}

// Record is one entry.
type Record struct {
	Position Position // set by the journal
	Kind     kyc.Kind
	Appended time.Time       // when the gateway took it
	Body     json.RawMessage // a kyc.Update
	Update   *kyc.Update     // what Body says, if whoever appended it handed it over; nil: decode Body. Shared, so never written to
	Batch    int64           // of a log that is written in batches: which one it is of. What one callback brought is of one
	Ask      []Question      // what the record leaves open: written with it, and no part of it

	made []byte // of Said: what the store takes, of which Body is a part
}

var (
	// ErrBacklog says that the relay, or Kafka, is too far behind: the configured number of records
	// waits.
	ErrBacklog = errors.New("journal backlog is full")
	// ErrNotFound says that there is no such item.
	ErrNotFound = errors.New("not found")
	// ErrFull says that the disk or the database has no room for new records.
	ErrFull = errors.New("no room for new records")
	// ErrNotForwarded says that Kafka, whose acknowledgement is wanted, does not give it now;
	// nothing was written.
	ErrNotForwarded = errors.New("kafka does not acknowledge now")
)

// unfinished reports whether more of what the same callback brought follows a record: they were
// written together, and are read together.
func unfinished(r *Record) bool {
	u := r.Update
	if u == nil {
		u = &kyc.Update{}
		if json.Unmarshal(r.Body, u) != nil {
			return false
		}
	}
	return u.Callback.Index+1 < u.Callback.Count
}
