package store

import (
	"bytes"
	"errors"
)

// Few records are needed by everybody: the versions of a policy, the key of an endpoint, that it is
// disabled. They are written twice, so that a damaged one costs nobody anything.
var second = []byte("\x00second/")

func secondKey(key []byte) []byte { return append(bytes.Clone(second), key...) }

// PutTwice writes a record and its second copy.
func (b Bucket) PutTwice(key, body []byte) error {
	return errors.Join(b.Put(key, body), b.Put(secondKey(key), body))
}

// GetEither returns the body of a record or of its second copy; nil: there is none. ErrBadRecord:
// both are damaged, or one is and the other has gone.
func (b Bucket) GetEither(key []byte) ([]byte, error) {
	body, err := b.Get(key)
	if body != nil {
		return body, nil
	}
	other, err2 := b.Get(secondKey(key))
	if other != nil {
		return other, nil
	}
	return nil, errors.Join(err, err2)
}

// HasEither reports whether there is a record or its second copy, damaged or not.
func (b Bucket) HasEither(key []byte) bool { return b.Has(key) || b.Has(secondKey(key)) }

// DeleteBoth takes a record and its second copy away.
func (b Bucket) DeleteBoth(key []byte) error {
	return errors.Join(b.Delete(key), b.Delete(secondKey(key)))
}

// EachEither calls fn with each key under a prefix of which there is a sound record or a sound
// second copy, in no order that matters, and once or twice.
func (b Bucket) EachEither(prefix []byte, fn func(key, body []byte) error) error {
	for _, from := range [][]byte{prefix, secondKey(prefix)} {
		c := b.Cursor()
		for k, v := c.Seek(from); bytes.HasPrefix(k, from); k, v = c.Next() {
			if v == nil {
				continue
			}
			if err := fn(bytes.TrimPrefix(k, second), v); err != nil {
				return err
			}
		}
	}
	return nil
}
