package store

import (
	"context"
	"sync/atomic"
)

// Alongside is written in the transaction of the first change that is made with its context, so
// that there is no moment at which the one is on stable storage without the other. A transaction
// that changes no record but in Meta is not taken for a change. It is written in the node's own part,
// whichever the change is of. It is safe for concurrent use.
type Alongside struct {
	write func(*Tx) error
	done  atomic.Bool
}

type alongsideKey struct{}

// With returns a context whose first change carries what write writes. write runs as the function
// of an Update does, and more than once where two changes are made at the same time.
func With(ctx context.Context, write func(*Tx) error) (context.Context, *Alongside) {
	a := &Alongside{write: write}
	return context.WithValue(ctx, alongsideKey{}, a), a
}

// Without is a context that brings nothing along.
func Without(ctx context.Context) context.Context {
	return context.WithValue(ctx, alongsideKey{}, nil)
}

// Now writes it by itself, for what has its effect elsewhere than in the file: nil once it is on
// stable storage.
func (a *Alongside) Now(ctx context.Context, s *Store) error {
	if a.done.Load() {
		return nil
	}
	return s.Part(0).Update(ctx, a.into)
}

func (a *Alongside) into(tx *Tx) error {
	if a.done.Load() {
		return nil
	}
	tx.OnCommit(func() { a.done.Store(true) })
	return a.write(tx)
}

// alongside is fn, and what its context wants written with it.
func alongside(ctx context.Context, fn func(*Tx) error) func(*Tx) error {
	a, ok := ctx.Value(alongsideKey{}).(*Alongside)
	if !ok || apart {
		return fn
	}
	return func(tx *Tx) error {
		before := tx.sums.of
		if err := fn(tx); err != nil {
			return err
		}
		if tx.sums.of == before {
			return nil
		}
		return a.into(tx.node())
	}
}
