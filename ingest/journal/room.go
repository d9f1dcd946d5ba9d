package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"countersign/kyc"
	"countersign/outbox/store"
)

// What a record will still cost in the file when it is taken: its own place here, and what folding
// it writes, and what settling the deliveries that follow from it writes. The relay says what it
// has written (Folded); as long as it has not, or where no relay runs, a record is taken for one
// that comes to this.
const (
	recordCost   = 4 << 10 // bytes of a record, its state, its history and what is left of them when pages are half full
	endpointCost = 3 << 10 // bytes of a delivery to each endpoint, and of how it ends
)

// cost learns what records come to.
type cost struct {
	floor   atomic.Int64 // bytes
	average atomic.Int64 // bytes that folding one record wrote, over some thousand; 0: unknown
}

// ofRecord is what one that has not been folded is expected to need, in bytes: twice what such
// records have written, for pages are not full.
func (c *cost) ofRecord() int64 { return max(c.floor.Load(), 2*c.average.Load()) }

// of is told the most endpoints that one partner has.
func (c *cost) of(endpoints int) {
	c.floor.Store(recordCost + endpointCost*int64(max(1, endpoints)))
}

// Folded says that so many records have been folded, and how many bytes that wrote. The relay calls
// it, from one goroutine.
func (j *Bolt) Folded(records int, bytes int64) {
	const memory = 4096 // records after which half of what was known is forgotten, or so
	if records <= 0 {
		return
	}
	now, was := bytes/int64(records), j.cost.average.Load()
	if was > 0 {
		weight := int64(min(records, memory))
		now = (was*(memory-weight) + now*weight) / memory
	}
	j.cost.average.Store(now)
}

// unfolded is how many records the relay has not passed.
func (j *Bolt) unfolded() int64 { return max(0, j.next.Load()-1-j.passed.Load()) }

// owed is what the records that wait for the relay will come to.
func (j *Bolt) owed() int64 { return j.unfolded() * j.cost.ofRecord() }

// repeated reports whether these are sent again if they are refused: callbacks are. What time,
// operators and confirmations do to people is not, and so finds some room when callbacks do not any
// more: neither an outage of Kafka nor a full disk must keep an approval from running out.
func repeated(rs []Record) bool {
	return slices.ContainsFunc(rs, func(r Record) bool { return r.Kind == kyc.Observation || r.Kind == kyc.FetchRequest })
}

// room is how many records may wait for these to be taken.
func (j *Bolt) room(rs []Record) int64 {
	if repeated(rs) {
		return j.o.Backlog
	}
	return j.o.Backlog + j.o.Backlog/reserved
}

// admit asks for room for these, and for all that is being written at this moment.
func (j *Bolt) admit(rs []Record, bytes int64) error {
	if len(rs) == 0 || repeated(rs) {
		return j.o.Store.AdmitFor(bytes)
	}
	return j.o.Store.AdmitOwn(bytes)
}

// free takes something away, for which nobody has to ask: a disk that is nearly full is no reason
// to refuse what makes room.
func (j *Bolt) free(ctx context.Context, fn func(*store.Tx) error) error {
	err := j.o.Store.Update(ctx, fn)
	if errors.Is(err, store.ErrFull) {
		return fmt.Errorf("discard: %w: %w", ErrFull, err)
	}
	if err != nil {
		return fmt.Errorf("discard: %w", err)
	}
	return nil
}
