package ingest

import (
	"context"
	"sync/atomic"
	"time"
)

// waits are for how long callbacks wait for the disk, in contexts that they share: those that begin
// within a sixteenth of the limit wait in the same one. So each waits for the limit at least, and a
// sixteenth more at most, and none has a timer of its own (BenchmarkHandled: two allocations and
// 270 bytes, and an entry in the runtime's heap of timers).
type waits struct {
	limit time.Duration
	last  atomic.Pointer[wait]
}

// wait is shared by callbacks that begin before an instant, as elapsed tells time. Its timer ends
// it.
type wait struct {
	context.Context //nolint:containedctx // it is what is shared
	before          int64
	cancel          context.CancelFunc
}

// begin returns what a callback waits in that begins now.
func (w *waits) begin() context.Context {
	const parts = 16
	now := elapsed()
	last := w.last.Load()
	if last != nil && now < last.before {
		return last
	}
	next := &wait{before: now + int64(w.limit/parts)}
	next.Context, next.cancel = context.WithTimeout(context.Background(), w.limit+w.limit/parts)
	if !w.last.CompareAndSwap(last, next) {
		next.cancel() // somebody else was first; what he made has just begun
		return w.last.Load()
	}
	return next
}
