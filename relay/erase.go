package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

var (
	// ErrNamed says that a reason names the person who is to be forgotten.
	ErrNamed = errors.New("because names the person, by the id or a ref: it stays in the audit trail, so say why without naming them")
	// ErrBehind says that what was accepted before has not been folded in time.
	ErrBehind = errors.New("earlier records are not evaluated yet: nothing was erased; try again")
	// ErrNoDigest says that nobody can be erased, for there is no key to make digests with.
	ErrNoDigest = errors.New("nobody can be erased here: there is no key file")
)

// Erasure is what an erasure takes away, or has taken, and how far it is.
type Erasure struct {
	Digest   string // all that is left of the person's name
	Counts   map[string]int
	Last     *LastDecided // nil: nothing was ever decided of them, or nobody can tell
	At       time.Time    // when it was done; zero: it was not
	Scrubbed time.Time    // when the file was rid of what was deleted; zero: it waits for that
}

// LastDecided is what was decided last of somebody.
type LastDecided struct {
	Status   kyc.Status
	At       time.Time
	Sequence uint64
}

// ForeseeErasure says what Erase would take away now, and does nothing. outbox.ErrNotFound: nothing
// is kept of them.
func (r *Relay) ForeseeErasure(ctx context.Context, partner, id string, livemode bool, because string) (e Erasure, err error) {
	w, err := r.toErase(ctx, partner, id, livemode, because)
	if err != nil {
		return e, err
	}
	e = w.foresee()
	e.Counts = map[string]int{}
	for _, k := range w.erasers() {
		err := w.each(ctx, &k, func(_, _ []byte) error { e.Counts[k.name()]++; return nil }, nil)
		if err != nil {
			return e, err
		}
	}
	return e, nil
}

// toErase locates somebody, and refuses a reason that names them.
func (r *Relay) toErase(ctx context.Context, partner, id string, livemode bool, because string) (*whereabouts, error) {
	w, err := r.locate(ctx, partner, id, livemode)
	if err != nil {
		return nil, err
	}
	if r.o.Journaled == nil || r.tombKey(w.lane) == "" {
		return nil, ErrNoDigest
	}
	if err := w.keepOwn(); err != nil {
		return nil, err
	}
	for _, word := range append(w.words(), w.id) {
		if says(because, word) {
			return nil, ErrNamed
		}
	}
	return w, nil
}

// says reports whether a text has a word: a short one only as a word of its own.
func says(text, word string) bool {
	text, word = strings.ToLower(text), strings.ToLower(word)
	if len(word) > 3 {
		return strings.Contains(text, word)
	}
	return slices.Contains(strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '_' }), word)
}

// foresee is what is known before anything is taken away.
func (w *whereabouts) foresee() (e Erasure) {
	partner, id, _ := splitLane(w.lane)
	e.Digest = w.r.o.Registry.PersonDigest(partner, id)
	s := w.subject
	if s == nil || s.Told.Sequence == 0 {
		return e
	}
	e.Last = &LastDecided{Status: s.State.Status(), At: time.UnixMicro(s.Told.At).UTC(), Sequence: s.Told.Sequence}
	return e
}

// ErasureOf says how far the erasure of somebody is; outbox.ErrNotFound: they were never erased.
func (r *Relay) ErasureOf(partner, id string, livemode bool) (e Erasure, err error) {
	lane := r.laneOf(partner, id, livemode)
	err = r.o.Store.View(func(tx *store.Tx) error {
		t, err := r.tombOf(tx, lane)
		if err != nil {
			return err
		}
		if t == nil {
			return fmt.Errorf("erasure: %w", outbox.ErrNotFound)
		}
		e.At, e.Scrubbed = t.At, t.Scrubbed
		return nil
	})
	e.Digest = r.o.Registry.PersonDigest(partner, id)
	return e, err
}

// foldWait is how long an erasure waits for what was accepted before it.
const foldWait = 15 * time.Second

// Erase takes away everything that is kept of one person: nil once all of it is on stable storage.
// before is told what is known of them, ahead of the first change; an error of it ends the call.
// The fold rests meanwhile, and callbacks are taken in. A process that ends in the middle goes on
// at its next start. outbox.ErrNotFound: nothing is kept of them.
func (r *Relay) Erase(ctx context.Context, partner, id string, livemode bool, because string, before func(Erasure) error) (e Erasure, err error) {
	r.erased.one.Lock()
	defer r.erased.one.Unlock()
	if _, err := r.toErase(ctx, partner, id, livemode, because); err != nil {
		return e, err
	}
	r.erased.epoch.Add(1) // no replay orders any more what it worked out before
	defer r.erased.epoch.Add(1)
	if err := r.foldAll(ctx); err != nil {
		return e, err
	}
	r.folding.Lock()
	defer r.folding.Unlock()
	w, err := r.toErase(ctx, partner, id, livemode, because)
	if err != nil {
		return e, err
	}
	e = w.foresee()
	if err := before(e); err != nil {
		return e, err
	}
	m := &mark{Lane: w.lane}
	for ref := range w.refs {
		m.Refs = append(m.Refs, ref)
	}
	t := tombstone{At: r.o.Now().UTC()}
	if t.Floor, err = w.upTo(ctx); err != nil {
		return e, err
	}
	key := r.tombKey(w.lane)
	err = r.o.Store.Update(ctx, func(tx *store.Tx) error {
		return errors.Join(putErased(tx, tombPrefix+key, &t), putErased(tx, markPrefix+key, m))
	})
	if err != nil {
		return e, err
	}
	r.erased.stood.Store(1)
	e.Counts, err = r.carryOut(context.WithoutCancel(ctx), m) // it has begun
	e.At = t.At
	return e, err
}

// foldAll waits until everything that is in the log now has been folded.
func (r *Relay) foldAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, foldWait)
	defer cancel()
	end, err := r.o.Log.End(ctx)
	if err != nil {
		return err
	}
	for end.Offset > 0 && !r.Folded(end) {
		if !pause(ctx, 5*time.Millisecond) {
			return ErrBehind
		}
	}
	return nil
}
