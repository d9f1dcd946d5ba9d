package outbox

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"countersign/outbox/store"
)

// The texts of answers that were no 2xx stand apart from the tries, each once, in a ring of places
// for each endpoint: an outage makes a try of everybody who waits, and all have the same page, or
// each another one. A try says in which place its text was put, and the text's digest: if another
// text, or none, stands there by now, it is not kept any more. So whatever an endpoint answers, and
// however often, it has at most answerPlaces texts in the file.
//
//	answers   endpoint 0x00 place   number, when it was last answered, digest, text
const (
	answerPlaces = 256
	// answersAtOnce is how many texts of an endpoint one transaction may put down that were not
	// there: so many at once would push each other out, and each costs a page.
	answersAtOnce = 8
	// AnswerRefresh is how often it is written down at most that a text was answered again, so that
	// it has its time from then on.
	AnswerRefresh = 24 * time.Hour
)

// said is one text in its place.
type said struct {
	number uint64    // counts those of an endpoint: its place is what it leaves divided by answerPlaces
	at     time.Time // when it was answered, or, to AnswerRefresh, was last
	text   string
}

func (s *said) encode() []byte {
	b := store.StartRecord(len(s.text) + 26)
	b = binary.BigEndian.AppendUint64(b, uint64(s.at.UnixMicro()))
	b = binary.BigEndian.AppendUint64(b, digest(s.text))
	return append(binary.AppendUvarint(b, s.number), s.text...)
}

// decodeSaid undoes encode. d is the digest that the text was put down with: that it is the text's
// own, the checksum of the record says.
func decodeSaid(b []byte) (s said, d uint64, ok bool) {
	n, at, d, text, ok := splitSaid(b)
	if !ok {
		return said{}, 0, false
	}
	return said{n, at, string(text)}, d, true
}

// splitSaid is decodeSaid without a copy.
func splitSaid(b []byte) (number uint64, at time.Time, d uint64, text []byte, ok bool) {
	r := &reader{b: b}
	head := r.take(16)
	number = r.number()
	if r.failed {
		return 0, at, 0, nil, false
	}
	at, _ = instant(head)
	return number, at, binary.BigEndian.Uint64(head[8:]), r.b, true
}

// digest tells texts apart. It is never 0.
func digest(text string) uint64 { return max(1, xxhash.Sum64String(text)) }

func answerKey(endpoint string, place byte) []byte { return append(append([]byte(endpoint), 0), place) }

// placeOf is the place in a key; not ok: it is no answer's.
func placeOf(k []byte) (place byte, ok bool) {
	_, rest, ok := bytes.Cut(k, []byte{0})
	if !ok || len(rest) != 1 {
		return 0, false
	}
	return rest[0], true
}

// ring is what the writer remembers of the texts of one endpoint, to find those that it has. It may
// be wrong, since transactions fail and others delete: what counts stands in the file.
type ring struct {
	digests [answerPlaces]uint64 // 0: nothing that is known
	next    uint64               // number
}

func readRing(tx *store.Tx, endpoint string) *ring {
	r := &ring{}
	prefix := append([]byte(endpoint), 0)
	c := tx.Bucket(store.Answers).Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		place, ok := placeOf(k)
		if number, _, d, _, sound := splitSaid(v); ok && sound {
			r.digests[place], r.next = d, max(r.next, number+1)
		}
	}
	return r
}

// reference is where the text of a try stands.
type reference struct {
	place  byte
	digest uint64
}

// said is the text that a reference leads to; not ok: it is not kept any more.
func (ref reference) said(tx *store.Tx, endpoint string) (s said, ok bool) {
	v, err := tx.Bucket(store.Answers).Get(answerKey(endpoint, ref.place))
	if v == nil || err != nil {
		return s, false
	}
	s, d, ok := decodeSaid(v)
	if !ok || d != ref.digest {
		return said{}, false // another one
	}
	return s, true
}

// sameText is a text that a transaction has put down, or found.
type sameText struct {
	endpoint string
	digest   uint64
}

type sameRef struct {
	ref  reference
	text string
}

// say puts the text of an attempt down, if it is not there, and says how it is kept.
func (b *Outbox) say(tx *store.Tx, t *tally, a *Attempt) (ref reference, kind int, err error) {
	text, endpoint := a.Exchange.Answer.Text, a.Delivery.Endpoint
	l := b.of(endpoint)
	switch {
	case text == "" && !a.Exchange.Answer.Gone:
		return ref, textNone, nil
	case text == "" || l == nil:
		return ref, textGone, nil
	case l.said == nil:
		l.said = readRing(tx, endpoint)
	}
	same := sameText{endpoint, digest(text)}
	if is := t.same[same]; is.text == text {
		return is.ref, textInRing, nil
	}
	ref, ok, err := l.said.find(tx, t, a, same.digest)
	if err != nil {
		return ref, textGone, err
	}
	if !ok {
		if t.said[endpoint] >= answersAtOnce || !t.spare(len(text)) {
			return ref, textGone, nil
		}
		if t.said == nil {
			t.said = map[string]int{}
		}
		t.said[endpoint]++
		clear(t.same) // one of them may give its place
		if ref, err = l.said.put(tx, a, same.digest); err != nil {
			return ref, textGone, err
		}
	}
	if t.same == nil {
		t.same = map[sameText]sameRef{}
	}
	t.same[same] = sameRef{ref, text}
	return ref, textInRing, nil
}

// find looks for the text of an attempt where it may stand.
func (r *ring) find(tx *store.Tx, t *tally, a *Attempt, d uint64) (ref reference, ok bool, err error) {
	place := slices.Index(r.digests[:], d)
	if place < 0 {
		return ref, false, nil
	}
	ref = reference{byte(place), d} //nolint:gosec // one of answerPlaces
	k := answerKey(a.Delivery.Endpoint, ref.place)
	v, _ := tx.Bucket(store.Answers).Get(k) // a damaged one is none
	number, at, is, text, ok := splitSaid(v)
	if !ok || is != d || string(text) != a.Exchange.Answer.Text {
		return ref, false, nil
	}
	if a.At.Sub(at) > AnswerRefresh && t.spare(len(text)) {
		s := said{number, a.At, a.Exchange.Answer.Text}
		err = tx.Bucket(store.Answers).PutRecord(k, s.encode())
	}
	return ref, true, err
}

// put puts the text of an attempt down in the place of the oldest.
func (r *ring) put(tx *store.Tx, a *Attempt, d uint64) (reference, error) {
	s := said{number: r.next, at: a.At, text: a.Exchange.Answer.Text}
	ref := reference{byte(s.number % answerPlaces), d}
	if old := slices.Index(r.digests[:], d); old >= 0 { // another one by now, or none
		r.digests[old] = 0
	}
	r.digests[ref.place], r.next = d, s.number+1
	return ref, tx.Bucket(store.Answers).PutRecord(answerKey(a.Delivery.Endpoint, ref.place), s.encode())
}

// spare takes room for a text; not: there is too little, for what is owed and for callbacks need
// it.
func (t *tally) spare(bytes int) bool {
	t.texts += int64(bytes)
	return t.b.o.Store.Spare(t.texts)
}

// SaidAt is when a text of the bucket of answers was answered, or, to AnswerRefresh, was last.
func SaidAt(v []byte) (at time.Time, ok bool) { return instant(v) }
