package outbox

import (
	"bytes"
	"encoding/binary"
	"time"

	"countersign/outbox/store"
)

// Try is one attempt that failed, as it is listed.
type Try struct {
	At      time.Time // to the microsecond, as all durations; zero: the record is damaged, Reason says so, and nothing else is known
	Outcome Outcome   // Retry, or Died
	Reason  string
	Code    int
	Detail  string
	Took    time.Duration
	Exchange

	RefusedSince time.Time // the endpoint has refused this delivery each time since, and taken others in between
	RefusedTimes int
}

// End is when the attempt had ended, to the microsecond before.
func (t *Try) End() time.Time { return t.At.Add(t.Took) }

const (
	tryDied = 1 << iota
	tryRefused
)

// note keeps a failed try, with its text where the endpoint's are.
func (b *Outbox) note(tx *store.Tx, t *tally, a *Attempt) error {
	ref, kind, err := b.say(tx, t, a)
	if err != nil {
		return err
	}
	return tx.Bucket(store.Attempts).PutRecord(attemptKey(&a.Delivery), encodeTry(a, ref, kind))
}

func encodeTry(a *Attempt, ref reference, kind int) []byte {
	b := binary.BigEndian.AppendUint64(store.StartRecord(64+len(a.Reason)+len(a.Detail)), uint64(a.At.UnixMicro()))
	var flags byte
	if a.Outcome == Died {
		flags |= tryDied
	}
	if a.RefusedTimes > 0 {
		flags |= tryRefused
	}
	b = binary.AppendUvarint(append(b, flags), micros(a.Took))
	b = binary.AppendUvarint(b, uint64(max(0, a.Code)))
	for _, s := range []string{a.Reason, a.Detail} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	if a.RefusedTimes > 0 {
		b = binary.AppendUvarint(b, uint64(a.RefusedTimes))
		b = binary.BigEndian.AppendUint64(b, uint64(a.RefusedSince.UnixMicro()))
	}
	b = a.Exchange.append(b, kind)
	if kind == textInRing {
		b = binary.BigEndian.AppendUint64(append(b, ref.place), ref.digest)
	}
	return b
}

// decodeTry undoes encodeTry, but for the text. kind is textInRing where it stands under ref.
func decodeTry(b []byte) (t Try, ref reference, kind int, ok bool) {
	r := &reader{b: b}
	at, flags := r.take(8), r.byte()
	if r.failed {
		return t, ref, 0, false
	}
	t.At = time.UnixMicro(int64(binary.BigEndian.Uint64(at))).UTC() //nolint:gosec // written by encodeTry
	if t.Outcome = Retry; flags&tryDied != 0 {
		t.Outcome = Died
	}
	t.Took, t.Code = r.duration(), int(r.number()) //nolint:gosec // written by encodeTry
	t.Reason, t.Detail = r.text(), r.text()
	if flags&tryRefused != 0 {
		t.RefusedTimes = int(r.number()) //nolint:gosec // written by encodeTry
		if since := r.take(8); since != nil {
			t.RefusedSince = time.UnixMicro(int64(binary.BigEndian.Uint64(since))).UTC() //nolint:gosec // written by encodeTry
		}
	}
	if kind = t.read(r); kind == textInRing {
		if at := r.take(9); at != nil {
			ref = reference{at[0], binary.BigEndian.Uint64(at[1:])}
		}
	}
	return t, ref, kind, !r.failed && len(r.b) == 0 && kind != textHere
}

// TriedAt is when a try of the bucket of attempts was made.
func TriedAt(v []byte) (at time.Time, ok bool) { return instant(v) }

// instant reads the time that a record begins with.
func instant(v []byte) (at time.Time, ok bool) {
	if len(v) < 8 {
		return at, false
	}
	return time.UnixMicro(int64(binary.BigEndian.Uint64(v))).UTC(), true //nolint:gosec // times after 1970
}

// Tries lists the failed attempts of one delivery, oldest first, with what was answered but for its
// text.
func (b *Outbox) Tries(endpoint, lane string, seq uint64) (tries []Try, err error) {
	return b.tries(endpoint, lane, seq, false)
}

// TriesInFull is Tries with the texts that are kept: to show them is to show a body.
func (b *Outbox) TriesInFull(endpoint, lane string, seq uint64) (tries []Try, err error) {
	return b.tries(endpoint, lane, seq, true)
}

func (b *Outbox) tries(endpoint, lane string, seq uint64, full bool) (tries []Try, err error) {
	prefix := deliveryKey(endpoint, lane, seq)
	err = b.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Attempts).Cursor()
		for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
			t, ref, kind, ok := decodeTry(v)
			if v == nil || !ok {
				tries = append(tries, Try{Reason: Damaged})
				continue
			}
			if full && kind == textInRing {
				s, ok := ref.said(tx, endpoint)
				t.Answer.Text, t.Answer.Gone = s.text, !ok
			}
			tries = append(tries, t)
		}
		return nil
	})
	return tries, err
}

// LastTry is the attempt before the one that a claimed delivery is due for; not ok: there was none,
// or it was not written down, is damaged, or has had its time. One look-up.
func (b *Outbox) LastTry(d *Delivery) (t Try, ok bool) {
	_ = b.o.Store.View(func(tx *store.Tx) error {
		t, ok = b.lastTry(tx, d)
		return nil
	})
	return t, ok
}

func (b *Outbox) lastTry(tx *store.Tx, d *Delivery) (t Try, ok bool) {
	if d.Failures == 0 {
		return t, false
	}
	last := *d
	last.Failures--
	v, err := tx.Bucket(store.Attempts).Get(attemptKey(&last))
	t, _, _, sound := decodeTry(v)
	if err != nil || v == nil || !sound || t.At.Before(d.Owed) { // before: it is of the delivery's life before it was ordered again
		return Try{}, false
	}
	return t, true
}

// HasNext reports whether anything waits behind a delivery in its lane. One look-up.
func (b *Outbox) HasNext(d *Delivery) (yes bool) {
	prefix := laneKey(d.Endpoint, d.Lane)
	_ = b.o.Store.View(func(tx *store.Tx) error {
		k, _ := tx.Bucket(store.Deliveries).From(append(deliveryKey(d.Endpoint, d.Lane, d.Sequence), 0))
		yes = isOfLane(k, prefix)
		return nil
	})
	return yes
}
