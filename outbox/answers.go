package outbox

import (
	"bytes"
	"encoding/binary"
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
	b = binary.BigEndian.AppendUint64(b, uint64(s.at.UnixMicro())) //nolint:gosec // times after 1970
	b = binary.BigEndian.AppendUint64(b, digest(s.text))
	return append(binary.AppendUvarint(b, s.number), s.text...)
}

// decodeSaid undoes encode; d is the digest of the text.
func decodeSaid(b []byte) (s said, d uint64, ok bool) {
	r := &reader{b: b}
	head := r.take(16)
	s.number = r.number()
	if r.failed {
		return said{}, 0, false
	}
	s.at = time.UnixMicro(int64(binary.BigEndian.Uint64(head))).UTC() //nolint:gosec // written by encode
	s.text = string(r.b)
	d = binary.BigEndian.Uint64(head[8:])
	return s, d, d == digest(s.text)
}

// digest tells texts apart. It is never 0.
func digest(text string) uint64 { return max(1, xxhash.Sum64String(text)) }

func answerKey(endpoint string, place byte) []byte { return append(append([]byte(endpoint), 0), place) }

// splitAnswer undoes answerKey.
func splitAnswer(k []byte) (endpoint string, place byte, ok bool) {
	name, rest, ok := bytes.Cut(k, []byte{0})
	if !ok || len(rest) != 1 {
		return "", 0, false
	}
	return string(name), rest[0], true
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
		_, place, ok := splitAnswer(k)
		if s, d, sound := decodeSaid(v); ok && v != nil && sound {
			r.digests[place], r.next = d, max(r.next, s.number+1)
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
	ref.digest = digest(text)
	for place, d := range l.said.digests {
		if d != ref.digest {
			continue
		}
		ref.place = byte(place)
		s, ok := ref.said(tx, endpoint)
		if !ok || s.text != text {
			break
		}
		if a.At.Sub(s.at) > AnswerRefresh && t.spare(len(text)) {
			s.at = a.At
			err = tx.Bucket(store.Answers).PutRecord(answerKey(endpoint, ref.place), s.encode())
		}
		return ref, textInRing, err
	}
	if t.said[endpoint] >= answersAtOnce || !t.spare(len(text)) {
		return ref, textGone, nil
	}
	t.said[endpoint]++
	s := said{number: l.said.next, at: a.At, text: text}
	ref.place = byte(s.number % answerPlaces)
	l.said.digests[ref.place], l.said.next = ref.digest, s.number+1
	return ref, textInRing, tx.Bucket(store.Answers).PutRecord(answerKey(endpoint, ref.place), s.encode())
}

// spare takes room for a text; not: there is too little, for what is owed and for callbacks need
// it.
func (t *tally) spare(bytes int) bool {
	t.texts += int64(bytes)
	return t.b.o.Store.Spare(t.texts)
}

// SaidAt is when a text of the bucket of answers was answered, or, to AnswerRefresh, was last.
func SaidAt(v []byte) (at time.Time, ok bool) { return instant(v) }
