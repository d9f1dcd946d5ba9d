package journal

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"countersign/outbox/store"
)

// ErrQuestions says that as many questions of callbacks that proved nothing are open as the source
// may have: another would only wait behind them.
var ErrQuestions = errors.New("too many open questions of unproved callbacks")

// The order in which a source's questions are asked: those that proved callbacks raised, the oldest
// due first; then the others, those that were asked already when they are due again, and those that
// were not by their places. Each list is one prefix of the index.
const (
	dueProved   = "d" // by the instant it is due
	dueUnproved = "u"
	newUnproved = "U" // by its place
	listPrefix  = 2   // a list's name and a zero byte
	instantSize = 8
)

// list is where the question stands in the index, and at which instant.
func (q *Question) list() (name string, at time.Time) {
	switch {
	case !q.Weak:
		return dueProved, q.Due
	case q.Place.IsZero():
		return dueUnproved, q.Due
	default:
		return newUnproved, q.Place
	}
}

func listOf(name, source string) []byte { return []byte(name + "\x00" + source + "\x00") }

func (q *Question) dueKey() []byte {
	name, at := q.list()
	return append(appendInstant(listOf(name, q.Source), at), q.key()...)
}

// replaces lets a question take the place of the one that is open about the same ref. What was
// proved, or known, once stays so, and nobody who repeats himself gets a later place.
func (q *Question) replaces(old *Question) {
	q.Since = old.Since
	q.Weak = q.Weak && old.Weak
	q.Known = q.Known || old.Known
	if q.Weak && !old.Place.IsZero() && old.Place.Before(q.Place) {
		q.Place = old.Place
	}
}

// walker goes through one list of a source.
type walker struct {
	prefix []byte
	c      *store.Cursor
	k      []byte
	at     time.Time
	any    bool // whatever its instant, each entry may be asked
}

func newWalker(tx *store.Tx, name, source string, any bool) *walker {
	w := &walker{prefix: listOf(name, source), c: tx.Bucket(store.Questions).Cursor(), any: any}
	k, v := w.c.Seek(w.prefix)
	w.settle(k, v)
	return w
}

func (w *walker) next() {
	k, v := w.c.Next()
	w.settle(k, v)
}

// settle stops at the next sound entry, or behind the list.
func (w *walker) settle(k, v []byte) {
	for ; bytes.HasPrefix(k, w.prefix); k, v = w.c.Next() {
		if v != nil && len(k) > len(w.prefix)+instantSize { // else damaged
			w.k, w.at = k, instantOf(k[len(w.prefix):])
			return
		}
	}
	w.k = nil
}

func (w *walker) ready(now time.Time) bool { return w.k != nil && (w.any || !w.at.After(now)) }

// Due lists up to n questions of a source that may be asked at now, in the order in which they
// should be, and when the next one after them may; zero: none will.
func (j *Bolt) Due(source string, now time.Time, n int) (qs []Question, next time.Time, err error) {
	err = j.o.Store.View(func(tx *store.Tx) error {
		for _, ws := range [][]*walker{
			{newWalker(tx, dueProved, source, false)},
			{newWalker(tx, dueUnproved, source, false), newWalker(tx, newUnproved, source, true)},
		} {
			for {
				w := first(ws, now)
				if w == nil {
					break
				}
				if len(qs) == n {
					next = w.at
					return nil
				}
				q, err := question(tx, w.k[len(w.prefix)+instantSize:])
				w.next()
				if err != nil || q == nil {
					j.m.damaged.Inc()
					j.o.Logger.Error("question_damaged", "error", err)
					continue
				}
				qs = append(qs, *q)
			}
			for _, w := range ws {
				if w.k != nil && (next.IsZero() || w.at.Before(next)) {
					next = w.at
				}
			}
		}
		return nil
	})
	return qs, next, err
}

// first is the one of these that stands at the earliest instant and may be asked.
func first(ws []*walker, now time.Time) (found *walker) {
	for _, w := range ws {
		if w.ready(now) && (found == nil || w.at.Before(found.at)) {
			found = w
		}
	}
	return found
}

// unproved counts the open questions of callbacks that proved nothing, by source.
type unproved struct {
	most map[string]int // that a source may have; a source that is not in it: any number
	open map[string]*atomic.Int64
}

// countOn goes on counting those that were counted before.
func countOn(most map[string]int, was *unproved) *unproved {
	u := &unproved{most: most, open: map[string]*atomic.Int64{}}
	for source := range most {
		if u.open[source] = was.counts(source); u.open[source] == nil {
			u.open[source] = &atomic.Int64{}
		}
	}
	return u
}

// counts is where the questions of a source are counted; nil: nowhere.
func (u *unproved) counts(source string) *atomic.Int64 {
	if u == nil {
		return nil
	}
	return u.open[source]
}

// add counts some more, or fewer, and returns how many there are now; false: of this source nobody
// counts them.
func (u *unproved) add(source string, n int64) (open int64, bounded bool) {
	if o := u.open[source]; o != nil {
		return o.Add(n), true
	}
	return 0, false
}

// roomToAsk refuses records with a question of an unproved callback for which there is no room. It
// looks before the transaction, since one that fails there costs those that it was to be committed
// with; so a source may have a few more than it may, as many as callbacks come at once.
func (j *Bolt) roomToAsk(rs []Record) error {
	u := j.unproved.Load()
	for i := range rs {
		for k := range rs[i].Ask {
			q := &rs[i].Ask[k]
			most, bounded := u.most[q.Source]
			if !q.Weak || !bounded || u.open[q.Source].Load() < int64(most) {
				continue
			}
			open := false
			err := j.o.Store.View(func(tx *store.Tx) error {
				open = tx.Bucket(store.Questions).Has(questionKey(q.key()))
				return nil
			})
			if err != nil {
				return fmt.Errorf("append: %w", err)
			}
			if !open {
				return fmt.Errorf("append: %w", ErrQuestions)
			}
		}
	}
	return nil
}
