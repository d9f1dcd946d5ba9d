package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"countersign/outbox/store"
)

const (
	answerPrefix = "answer/"
	keepAnswers  = 24 * time.Hour // at the least
	maxAnswers   = 20_000
	dropAnswers  = 100 // that are too old, with each that is kept
)

// ErrAnswers says that so many answers are kept that there is no room for another within 24 hours.
var ErrAnswers = errors.New("too many calls came with an Idempotency-Key within 24 hours: try again later, or without one")

// Answer is what a call was answered, kept for whoever sends the same call again. It is sealed, for
// it may hold a key.
type Answer struct {
	ID   string    `json:"-"` // who called, with which Idempotency-Key: a digest
	At   time.Time `json:"at"`
	Said string    `json:"said"` // digest of the call
	Body []byte    `json:"body"` // sealed in the file, in clear here
}

// Answer returns one that is kept.
func (r *Registry) Answer(id string) (a Answer, ok bool, err error) {
	name := answerPrefix + id
	var v []byte
	err = r.o.Store.View(func(tx *store.Tx) error {
		body, err := tx.Bucket(store.Registry).GetEither([]byte(name))
		v = bytes.Clone(body)
		return err
	})
	if err == nil && v == nil {
		return a, false, nil
	}
	if err == nil {
		err = json.Unmarshal(v, &a)
	}
	if err == nil {
		a.Body, err = r.o.Sealer.Unseal(name, a.Body)
	}
	if err != nil {
		return a, false, fmt.Errorf("read a kept answer: %w", err)
	}
	a.ID = id
	return a, true, nil
}

// writeAnswer keeps one with the change that it is about, and drops some that are too old.
func (r *Registry) writeAnswer(b store.Bucket, a *Answer) error {
	if a == nil {
		return nil
	}
	r.dropping = r.oldAnswers(a.At)
	if len(r.answers)-len(r.dropping) >= maxAnswers {
		return ErrAnswers
	}
	for _, id := range r.dropping {
		if err := b.DeleteBoth([]byte(answerPrefix + id)); err != nil {
			return err
		}
	}
	name := answerPrefix + a.ID
	sealed, err := r.o.Sealer.Seal(name, a.Body)
	if err != nil {
		return err
	}
	return putTwice(b, name, Answer{At: a.At, Said: a.Said, Body: sealed})
}

// oldAnswers are some that need not be kept any more.
func (r *Registry) oldAnswers(now time.Time) (ids []string) {
	for id, at := range r.answers {
		if now.Sub(at) > keepAnswers && len(ids) < dropAnswers {
			ids = append(ids, id)
		}
	}
	return ids
}

// noteAnswer notes one that has been written, and forgets those that were dropped with it.
func (r *Registry) noteAnswer(a *Answer) {
	if a == nil {
		return
	}
	for _, id := range r.dropping {
		delete(r.answers, id)
	}
	r.answers[a.ID] = a.At
}

// readAnswers notes which are kept.
func (r *Registry) readAnswers(tx *store.Tx) error {
	r.answers = map[string]time.Time{}
	return tx.Bucket(store.Registry).EachEither([]byte(answerPrefix), func(k, v []byte) error {
		var a Answer
		if json.Unmarshal(v, &a) == nil {
			r.answers[strings.TrimPrefix(string(k), answerPrefix)] = a.At
		}
		return nil
	})
}
