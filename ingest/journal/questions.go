package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"countersign/outbox/store"
)

// Question is what has still to be asked of a provider's API, because a callback said too little or
// proved too little. It is on stable storage with the record that raised it, and stays until an
// answer is. One ref has one question: a later callback about it takes the place of an earlier one.
type Question struct {
	Source string    `json:"source"`
	What   string    `json:"what"` // which resource, in the adapter's words
	Ref    string    `json:"ref"`  // the provider's id of it
	Claim  string    `json:"claim"`
	Since  time.Time `json:"since"`           // when the first callback that is still unanswered came
	Due    time.Time `json:"due"`             // when to ask next
	Tries  int       `json:"tries,omitempty"` // that have failed
	Error  string    `json:"error,omitempty"` // of the last of them, in fixed words

	Unknown int `json:"unknown,omitempty"` // how often the provider has said that it knows nothing of the ref

	Weak  bool      `json:"weak,omitempty"`  // the callback proved nothing of who sent it
	Known bool      `json:"known,omitempty"` // of a weak one: its ref was known here before
	Place time.Time `json:"place,omitzero"`  // of a weak one that was never asked: where it stands among its like
}

func (q *Question) key() []byte { return []byte(q.Source + "\x00" + q.What + "\x00" + q.Ref) }

// The questions bucket: each question by its key, and beside it one index entry by source and in
// the order of asking, and one by source, by whether the callback proved anything, and by
// since when it is open.
func questionKey(key []byte) []byte { return append([]byte("q\x00"), key...) }

func (q *Question) sinceKey() []byte {
	return append(appendInstant(sincePrefix(q.Source, q.Weak), q.Since), q.key()...)
}

// sincePrefix begins the index by since when questions are open, of one source and of callbacks that
// proved as much.
func sincePrefix(source string, weak bool) []byte {
	proved := byte('p')
	if weak {
		proved = 'w'
	}
	return append([]byte("s\x00"+source+"\x00"), proved)
}

func appendInstant(b []byte, at time.Time) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(max(0, at.UnixMicro())))
}

// ask writes questions in the transaction of the record that raises them.
func (j *Bolt) ask(tx *store.Tx, rs []Record) error {
	for i := range rs {
		for _, q := range rs[i].Ask {
			old, err := question(tx, q.key())
			if err != nil { // a damaged one is asked anew
				old = nil
			}
			if old != nil {
				q.replaces(old)
			}
			if err := j.write(tx, old, &q); err != nil {
				return err
			}
			tx.OnCommit(j.asked.broadcast)
		}
	}
	return nil
}

// Asked returns a channel that is closed when the next question has been written.
func (j *Bolt) Asked() <-chan struct{} { return j.asked.next() }

func question(tx *store.Tx, key []byte) (*Question, error) {
	v, err := tx.Bucket(store.Questions).Get(questionKey(key))
	if v == nil && err == nil {
		return nil, nil
	}
	var q Question
	if err == nil {
		err = json.Unmarshal(v, &q)
	}
	if err != nil {
		return nil, fmt.Errorf("question %q: %w", key, err)
	}
	return &q, nil
}

// write puts q in the place of old; either may be nil.
func (j *Bolt) write(tx *store.Tx, old, q *Question) error {
	b := tx.Bucket(store.Questions)
	source, delta := "", 0
	if old != nil {
		source, delta = old.Source, delta-1
		if err := errors.Join(b.Delete(old.dueKey()), b.Delete(old.sinceKey())); err != nil {
			return err
		}
		if q == nil {
			if err := b.Delete(questionKey(old.key())); err != nil {
				return err
			}
		}
	}
	if q != nil {
		source, delta = q.Source, delta+1
		v, err := json.Marshal(q)
		if err != nil {
			return err
		}
		err = errors.Join(
			b.Put(questionKey(q.key()), v),
			b.Put(q.dueKey()), b.Put(q.sinceKey()),
		)
		if err != nil {
			return err
		}
	}
	if weak := weight(q) - weight(old); weak != 0 {
		tx.OnCommit(func() {
			if open, bounded := j.unproved.Load().add(source, weak); bounded {
				j.m.unproved.WithLabelValues(source).Set(float64(open))
			}
		})
	}
	if delta != 0 {
		tx.OnCommit(func() { j.m.open.WithLabelValues(source).Add(float64(delta)) })
	}
	return nil
}

func instantOf(k []byte) time.Time {
	return time.UnixMicro(int64(binary.BigEndian.Uint64(k))).UTC() //nolint:gosec // written by appendInstant
}

// weight is how many of the bounded questions one is.
func weight(q *Question) int64 {
	if q != nil && q.Weak {
		return 1
	}
	return 0
}

// OldestQuestion is since when the longest open question waits; zero: none is open.
func (j *Bolt) OldestQuestion() (since time.Time) {
	err := j.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Questions).Cursor()
		all := []byte("s\x00")
		for k, v := c.Seek(all); bytes.HasPrefix(k, all); {
			source, rest, ok := bytes.Cut(k[len(all):], []byte{0})
			if v == nil || !ok || len(rest) <= 1+instantSize { // damaged: not to be believed
				k, v = c.Next()
				continue
			}
			if at := instantOf(rest[1:]); since.IsZero() || at.Before(since) {
				since = at
			}
			k, v = c.Seek(append(sincePrefix(string(source), rest[0] == 'w'), 0xff)) // the first of the next
		}
		return nil
	})
	if err != nil {
		return time.Time{}
	}
	return since
}

// Questions lists up to n open questions after the one given by its id, in order of source, what
// and ref.
func (j *Bolt) Questions(after string, n int) (qs []Question, more bool, err error) {
	err = j.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Questions).Cursor()
		from := questionKey([]byte(after))
		k, _ := c.Seek(from)
		if after != "" && bytes.Equal(k, from) {
			k, _ = c.Next()
		}
		for ; bytes.HasPrefix(k, []byte("q\x00")); k, _ = c.Next() {
			if len(qs) == n {
				more = true
				return nil
			}
			if q, err := question(tx, k[2:]); err == nil && q != nil {
				qs = append(qs, *q)
			}
		}
		return nil
	})
	return qs, more, err
}

// ID names a question in lists.
func (q *Question) ID() string { return string(q.key()) }

// Answer writes what the answer to a question comes to and closes it, all or none; nil means on
// stable storage. What was kept of answers nobody understood goes with it: the provider has said it
// anew. If a later callback has raised the question again meanwhile, it stays open.
func (j *Bolt) Answer(ctx context.Context, q Question, t Intake) error {
	keep, err := j.keeping(t.Keep)
	if err != nil {
		return err
	}
	return j.append(ctx, t.Records, nil, func(tx *store.Tx) error {
		old, err := question(tx, q.key())
		if err != nil {
			return err
		}
		if old == nil || old.Claim != q.Claim {
			return keep(tx)
		}
		if _, err := j.takeOut(tx, q.ItemID()); err != nil {
			return err
		}
		return errors.Join(keep(tx), j.write(tx, old, nil))
	})
}

// dropBatch is how many questions are closed in one transaction.
const dropBatch = 500

// CountMost is how many questions a dry run counts at most.
const CountMost = 2000

// DropQuestions closes a source's questions that are open since before an instant: those of
// callbacks that proved nothing, or all. It returns how many there are; dry: nothing is closed, and
// no more than CountMost are counted. Nil means on stable storage; with an error, what was closed before it stays closed.
func (j *Bolt) DropQuestions(ctx context.Context, source string, before time.Time, all, dry bool) (n int, err error) {
	for _, weak := range []bool{true, false} {
		if !weak && !all {
			break
		}
		some, err := j.dropQuestions(ctx, sincePrefix(source, weak), before, n, dry)
		if n += some; err != nil {
			return n, err
		}
	}
	return n, nil
}

// dropQuestions is DropQuestions for a part of the index, when so many have been counted before.
func (j *Bolt) dropQuestions(ctx context.Context, part []byte, before time.Time, counted int, dry bool) (n int, err error) {
	for from := part; from != nil && (!dry || counted+n < CountMost); {
		var qs []Question
		if qs, from, err = j.openBefore(part, from, before); err != nil {
			return n, err
		}
		n += len(qs)
		if dry || len(qs) == 0 {
			continue
		}
		err = j.free(ctx, func(tx *store.Tx) error {
			for i := range qs {
				old, err := question(tx, qs[i].key())
				if err != nil || old == nil || old.Claim != qs[i].Claim {
					continue // gone, or raised again meanwhile
				}
				if err := j.write(tx, old, nil); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return n - len(qs), err
		}
	}
	return n, nil
}

// openBefore reads a batch of them, and where to go on; nil: it was the last.
func (j *Bolt) openBefore(part, from []byte, before time.Time) (qs []Question, next []byte, err error) {
	end := appendInstant(bytes.Clone(part), before)
	err = j.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Questions).Cursor()
		for k, v := c.Seek(from); k != nil && bytes.Compare(k, end) < 0; k, v = c.Next() {
			if v == nil || len(k) <= len(part)+instantSize {
				continue
			}
			if len(qs) == dropBatch {
				next = bytes.Clone(k)
				return nil
			}
			if q, err := question(tx, k[len(part)+instantSize:]); err == nil && q != nil {
				qs = append(qs, *q)
			}
		}
		return nil
	})
	return qs, next, err
}

// DropQuestion closes a question that nobody will answer, by the id it has in lists: nil means on
// stable storage.
func (j *Bolt) DropQuestion(ctx context.Context, id string) error {
	return j.free(ctx, func(tx *store.Tx) error {
		old, err := question(tx, []byte(id))
		if err != nil {
			return err
		}
		if old == nil {
			return fmt.Errorf("question: %w", ErrNotFound)
		}
		return j.write(tx, old, nil)
	})
}

// Postpone writes down when a question is due again and why it was not answered, unless a later
// callback has raised it again. What came of asking all the same is written with it.
func (j *Bolt) Postpone(ctx context.Context, q Question, t Intake) error {
	keep, err := j.keeping(t.Keep)
	if err != nil {
		return err
	}
	return j.append(ctx, t.Records, nil, func(tx *store.Tx) error {
		if err := keep(tx); err != nil {
			return err
		}
		old, err := question(tx, q.key())
		if err != nil || old == nil || old.Claim != q.Claim {
			return err
		}
		q.Since, q.Place = old.Since, time.Time{}
		return j.write(tx, old, &q)
	})
}

// countQuestions sets the gauges of open questions once, at the start.
func (j *Bolt) countQuestions(tx *store.Tx) map[string]int {
	open := map[string]int{}
	eachQuestion(tx, func(source string, q *Question) {
		open[source]++
		if q != nil {
			j.unproved.Load().add(source, weight(q))
		}
	})
	return open
}
