package store

import (
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

var errPanicked = errors.New("panic in the commit")

// finished commits. bbolt panics where the tree that it writes is not what it thinks: then nothing
// is known, as after any other error of a commit.
func finished(tx *bolt.Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %w: %v", ErrUnknown, errPanicked, p)
		}
	}()
	return tx.Commit()
}

// protect turns a panic of one caller's function into its error, so that it cannot take the others
// down.
func protect(fn func(*Tx) error, tx *Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a storage transaction: %v", p)
		}
	}()
	return fn(tx)
}
