package journal

import (
	"context"
	"fmt"

	"countersign/outbox/store"
)

func cursorKey(source string) []byte { return []byte("cursor/" + source) }

// Cursor is how far a source's stream has been taken, in its provider's words; "": nothing has
// been. A damaged one is an error: to begin again is for an operator to decide.
func (j *Bolt) Cursor(source string) (cursor string, err error) {
	err = j.o.Store.View(func(tx *store.Tx) error {
		v, err := tx.Bucket(store.Meta).Get(cursorKey(source))
		cursor = string(v)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the cursor of %s: %w", source, err)
	}
	return cursor, nil
}

// AppendFrom appends what a stream said up to this cursor, and keeps the cursor with it, all or
// none (I2): nil means on stable storage. There may be no records, where nothing of what was passed
// carries a status. Errors are those of Append.
func (j *Bolt) AppendFrom(ctx context.Context, source, cursor string, rs ...Record) error {
	return j.append(ctx, rs, nil, func(tx *store.Tx) error { return tx.Bucket(store.Meta).Put(cursorKey(source), []byte(cursor)) })
}
