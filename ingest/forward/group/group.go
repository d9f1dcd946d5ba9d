// Package group is how several relays share the partitions of a topic: what one of them reads of a
// partition, up to where it is done, who of them owns which, and for how long an owner may act
// without asking anybody. It knows no client of Kafka: ingest/forward/kafka does what is said here.
package group

import (
	"errors"
	"fmt"

	"countersign/ingest/forward"
)

// Partition is one log.
type Partition struct {
	Topic     string
	Number    int32
	Compacted bool // the topic is compacted: offsets may be missing. In any other they must not
}

// String is how sentences call it.
func (p Partition) String() string {
	return fmt.Sprintf("partition %d of topic %s", p.Number, p.Topic)
}

// Record is a record as it stands in a partition. It belongs to whoever fetched it.
type Record struct {
	Offset          int64
	Batch           int64 // offset of the first record that was produced together with it
	forward.Message       // Time is in milliseconds
}

// Fetched is what stands at and after an offset.
type Fetched struct {
	Records []Record // in order, none before the offset that was asked for
	Next    int64    // where to go on: behind the last record, and behind what compaction took from there on
	Start   int64    // offset of the first record that retention has left; -1: not told
	End     int64    // offset of the next record that will be written, once all in-sync replicas have those before it
}

// Why a partition cannot be read on: trying again does not help. They come in a *LogError.
var (
	ErrOvertaken = errors.New("retention has overtaken the position: records are gone that nobody here has read")
	ErrAhead     = errors.New("the log ends before the position: it has lost its end, or is another one")
	ErrGap       = errors.New("offsets are missing in a topic that is not compacted")
	ErrDamaged   = errors.New("a batch cannot be read")
)

// LogError is why a partition stands still. Nothing was passed over.
type LogError struct {
	Partition  Partition
	At         int64 // the offset from which on it cannot be read
	Start, End int64 // of the log; -1: not known
	Err        error // ErrOvertaken, ErrAhead, ErrGap, or wraps ErrDamaged
}

// Error implements error.
func (e *LogError) Error() string {
	return fmt.Sprintf("%s at offset %d: %v (the log has %d to %d)", e.Partition, e.At, e.Err, e.Start, e.End)
}

// Unwrap returns which of the reasons it is.
func (e *LogError) Unwrap() error { return e.Err }

// Assignment is what a member was given: the partitions that it owns for as long as the group does
// not share them out again, and its fence is open.
type Assignment struct {
	Member     string // what the group calls us
	Generation int32  // of the group: how often it has shared out. It begins again when the group is made anew
	Partitions []int32
	Of         int // partitions that the topic has
}

// What a heartbeat, or a commit, may be answered.
var (
	// ErrRebalancing: the group is sharing out again. What we own is ours until we join, or until the
	// fence passes.
	ErrRebalancing = errors.New("the group is sharing its partitions out again")
	// ErrRevoked: what we were given is somebody else's, or soon will be. The fence is shut.
	ErrRevoked = errors.New("the group has given our partitions to others")
)

// What an error of a commit is: one of the two.
var (
	// ErrRefused: it was not committed, and will not be.
	ErrRefused = errors.New("the commit was refused")
	// ErrUnknown: it may have been committed, or may be yet.
	ErrUnknown = errors.New("whether it was committed is not known")
)
