package store

import (
	"context"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// turn is something that is done by the writer, between two transactions.
type turn struct {
	fn   func() error
	done chan error
}

// turn has the writer run fn between two transactions, and returns its error. One that wraps
// ErrUnknown ends the store. Where nobody runs the store, there is nobody to wait for.
func (s *Store) turn(ctx context.Context, fn func() error) error {
	if !s.running.Load() {
		return fn()
	}
	t := &turn{fn, make(chan error, 1)}
	select {
	case s.turns <- t:
		return <-t.done
	case <-s.stopped:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take runs it.
func (t *turn) take() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in the writer's turn: %v", p)
		}
		t.done <- err
	}()
	return t.fn()
}

// file is the database that counts now: a compaction puts another in its place.
func (s *Store) file() *bolt.DB {
	s.handle.RLock()
	defer s.handle.RUnlock()
	return s.db
}

// begin begins a read transaction on it. One that has begun stays on its file to its end.
func (s *Store) begin() (*bolt.Tx, error) {
	s.handle.RLock()
	defer s.handle.RUnlock()
	return s.db.Begin(false)
}

// View runs fn in a read transaction. Keep it short: a long one pins pages. Slices must be copied
// before fn returns.
func (s *Store) View(fn func(*Tx) error) error {
	return s.read(func(bare *bolt.Tx) error {
		tx := &Tx{bolt: bare, part: s.part}
		if tx.presence() == dropping {
			return errDropping
		}
		defer func() { s.tellLooked(tx.looked) }()
		return fn(tx)
	})
}

// tellLooked says how many records a transaction has looked at, to whoever holds others to that.
func (s *Store) tellLooked(looked int) {
	if s.o.Looked != nil {
		s.o.Looked(looked)
	}
}

// read runs fn in a read transaction.
func (s *Store) read(fn func(*bolt.Tx) error) (err error) {
	tx, err := s.begin()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	return fn(tx)
}

// used is how much of the file its pages take, in bytes; what it is longer is ahead of its use.
func (s *Store) used() (bytes int64, err error) {
	err = s.read(func(tx *bolt.Tx) error {
		bytes = tx.Size()
		return nil
	})
	return bytes, err
}
