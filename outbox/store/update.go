package store

import (
	"context"
	"fmt"
)

// Update runs fn in the next write transaction and waits for the commit: nil means on stable
// storage. fn may run more than once and must set its results, never add to them; it must not
// block, and no slice of the transaction may outlive it. If ctx ends first the outcome is unknown
// and fn may still run. What ctx brings along (With) is written in the same transaction.
func (s *Store) Update(ctx context.Context, fn func(*Tx) error) error {
	done := make(chan struct{})
	o := &op{fn: alongside(ctx, fn), part: s.part, done: done}
	select {
	case s.ops <- o:
	case <-s.stopped:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("wait for the disk: %w", ctx.Err())
	}
	select {
	case <-done:
		return o.err
	case <-ctx.Done():
		return fmt.Errorf("wait for the disk: %w", ctx.Err())
	case <-s.stopped:
		select {
		case <-done:
			return o.err
		default:
			return ErrClosed
		}
	}
}

// Later runs fn in a write transaction that commits soon, with other writes where there are any;
// then is called from the writer's goroutine with the outcome and must not block; when the store
// stops first, it is told ErrClosed. It reports false, and calls nothing, when the store has
// stopped.
func (s *Store) Later(fn func(*Tx) error, then func(error)) bool {
	s.later.RLock()
	defer s.later.RUnlock()
	select {
	case <-s.stopped:
		return false
	default:
	}
	select {
	case s.lazy <- &op{fn: fn, part: s.part, then: then}:
		return true
	case <-s.stopped:
		return false
	}
}

// end answers what was accepted and will not be written.
func (s *Store) end() {
	s.once.Do(func() { close(s.stopped) })
	s.later.Lock() // those on their way in are in now; whoever comes after sees that it has stopped
	var left []*op
	for len(s.lazy) > 0 {
		left = append(left, <-s.lazy)
	}
	s.later.Unlock()
	for _, o := range left {
		o.answer(ErrClosed)
	}
}

func (o *op) answer(err error) {
	if o.then != nil {
		o.then(err)
		return
	}
	if o.done == nil {
		return // answered early, by the fault build only
	}
	o.err = err
	close(o.done)
}
