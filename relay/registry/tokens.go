package registry

import (
	"context"
	"errors"
	"strings"

	"countersign/outbox/store"
)

const (
	madePrefix = "token/"      // of what is made at run time
	usedPrefix = "token-used/" // of when each token was last used: apart, so that noting a use can never undo a revocation
)

// Tokens calls fn with each token that was made at run time, as the control listener wrote it, once
// or twice: it stands here twice.
func (r *Registry) Tokens(fn func(name string, v []byte) error) error {
	return r.o.Store.View(func(tx *store.Tx) error {
		return tx.Bucket(store.Registry).EachEither([]byte(madePrefix), func(k, v []byte) error { return fn(strings.TrimPrefix(string(k), madePrefix), v) })
	})
}

// TokenUse calls fn with what was noted of the last use of a token; nil: it was never used, or the
// note is damaged.
func (r *Registry) TokenUse(name string, fn func(v []byte)) error {
	return r.o.Store.View(func(tx *store.Tx) error {
		if v, err := tx.Bucket(store.Registry).Get([]byte(usedPrefix + name)); err == nil {
			fn(v)
		}
		return nil
	})
}

// KeepToken keeps one, in the place of another if that has a name, and with what the call that made
// it was answered if that is to be kept: nil once it is on stable storage.
func (r *Registry) KeepToken(ctx context.Context, name string, v []byte, instead string, answer *Answer) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	err := r.o.Store.Update(ctx, func(tx *store.Tx) error {
		b := tx.Bucket(store.Registry)
		if instead != "" {
			if err := errors.Join(b.DeleteBoth([]byte(madePrefix+instead)), b.Delete([]byte(usedPrefix+instead))); err != nil {
				return err
			}
		}
		return errors.Join(b.PutTwice([]byte(madePrefix+name), v), r.writeAnswer(b, answer))
	})
	if err == nil {
		r.noteAnswer(answer)
	}
	return err
}

// Low reports whether the disk has no room for what nobody waits for.
func (r *Registry) Low() bool { return r.o.Store.Low() }

// NoteTokenUse keeps when a token was used last, with a commit that others wait for or one soon
// after. Nobody waits for it.
func (r *Registry) NoteTokenUse(name string, v []byte) {
	r.o.Store.Later(func(tx *store.Tx) error { return tx.Bucket(store.Registry).Put([]byte(usedPrefix+name), v) }, func(error) {}) // the next use is noted again
}
