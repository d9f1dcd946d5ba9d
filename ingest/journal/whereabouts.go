package journal

import (
	"bytes"
	"errors"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
)

// What the journal's buckets keep of one person is found by whoever knows the person: these read
// what stands there, key by key.

// BodyItemID names what is kept of a callback's body, by its digest: the same callback gives the
// same id, so a record says by its body_sha256 which body it came from.
func BodyItemID(source, sha256 string) string {
	return kyc.UpdateID(source, []string{sha256}, "quarantine", "", "", "", 0, time.Time{})
}

// TooLargeIDs name what is kept of a record or a change that was larger than Kafka takes.
func TooLargeIDs(id string) []string { return []string{"kafka_updates_" + id, "kafka_changes_" + id} }

// ReadRecord reads a record of the journal's bucket; not ok: it is damaged.
func ReadRecord(k, v []byte) (r Record, ok bool) {
	at, ok := PositionOf(k)
	if !ok || v == nil {
		return r, false
	}
	r, err := decode(v)
	r.Position = at
	return r, err == nil
}

// ReadItem reads what is shown of an item of the quarantine; not ok: it is damaged.
func ReadItem(v []byte) (ItemView, bool) {
	view, _, err := split(v)
	return view, err == nil
}

// ReadQuestion says what a key of the questions' bucket is about, be it the question's own or one
// that leads to it; not ok: it is damaged.
func ReadQuestion(k []byte) (q Question, own, ok bool) {
	name, rest, ok := bytes.Cut(k, []byte{0})
	switch {
	case !ok:
		return q, false, false
	case string(name) == "q":
		own = true
	case string(name) == "s":
		_, rest, ok = bytes.Cut(rest, []byte{0})
		if !ok || len(rest) < 1+instantSize {
			return q, false, false
		}
		rest = rest[1+instantSize:]
	default:
		_, rest, ok = bytes.Cut(rest, []byte{0})
		if !ok || len(rest) < 8 {
			return q, false, false
		}
		rest = rest[8:]
	}
	parts := bytes.SplitN(rest, []byte{0}, 3)
	if len(parts) != 3 {
		return q, false, false
	}
	q.Source, q.What, q.Ref = string(parts[0]), string(parts[1]), string(parts[2])
	return q, own, true
}

// QuestionAt is the question of a source, about this, as it stands; nil: there is none.
func QuestionAt(tx *store.Tx, q *Question) (*Question, error) { return question(tx, q.key()) }

// TakeAway takes a record of one of the journal's buckets away for good, in a transaction, with all
// that counts it. One that is damaged goes too, and it is no error if there is none.
func (j *Bolt) TakeAway(tx *store.Tx, n store.Name, key []byte) error {
	switch n {
	case store.Quarantine:
		_, err := j.takeOut(tx, string(key))
		return err
	case store.Questions:
		q, own, ok := ReadQuestion(key)
		if !ok || !own {
			return tx.Bucket(n).Delete(key)
		}
		old, err := question(tx, q.key())
		if err != nil || old == nil {
			return tx.Bucket(n).Delete(key)
		}
		return j.write(tx, old, nil)
	case store.Journal:
		if at, ok := PositionOf(key); ok {
			tx.OnCommit(func() { j.unremember(at) })
		}
		return tx.Bucket(n).Delete(key)
	default:
		return errors.New("the journal has no bucket " + n.String())
	}
}

// unremember forgets what memory has of a record.
func (j *Bolt) unremember(at Position) {
	j.recentMu.Lock()
	defer j.recentMu.Unlock()
	if r := &j.recent[at.Offset%keepRecent]; r.Position == at {
		*r = Record{}
	}
}
