package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"

	"countersign/outbox"
	"countersign/outbox/store"
)

// How far an endpoint has been told of a subject stands behind what the index lists of that
// subject, so whether a redelivery is overtaken is a look, and not a walk through a life while
// everybody waits for the writer. What ends a delivery writes to that page anyway.
//
//	index     lane 0x00 0xff endpoint   newest sequence accepted, time of the last acceptance
//
// The endpoint is named as it was called then, as in the history. The record goes when the history
// of the last acceptance does. One that is damaged says nothing: then the history is walked, and a
// mended file gets it from there.

// indexEnd begins what stands behind all that the index lists: times begin with a zero byte.
const indexEnd = 0xff

func deliveredKey(lane, endpoint string) []byte {
	return appendDeliveredKey(make([]byte, 0, len(lane)+len(endpoint)+2), lane, endpoint)
}

func appendDeliveredKey(k []byte, lane, endpoint string) []byte {
	return append(append(append(k, lane...), 0, indexEnd), endpoint...)
}

// splitDelivered undoes deliveredKey; not ok: it is the key of something else.
func splitDelivered(k []byte) (endpoint string, ok bool) {
	_, after, ok := bytes.Cut(k, []byte{0})
	if !ok || len(after) < 2 || after[0] != indexEnd {
		return "", false
	}
	return string(after[1:]), true
}

// delivered is how far one endpoint has been told of one subject.
type delivered struct {
	sequence uint64 // the newest that it has accepted
	last     int64  // when it accepted something last, in microseconds
}

const deliveredSize = 16 // bytes

func (d delivered) appendTo(b []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, d.sequence), uint64(d.last)) //nolint:gosec // after 1970
}

func (d *delivered) decode(b []byte) error {
	if len(b) != deliveredSize || binary.BigEndian.Uint64(b) == 0 {
		return store.ErrBadRecord
	}
	d.sequence, d.last = binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[8:])) //nolint:gosec // written by appendTo
	return nil
}

// deliveredTo reads it; zero: nothing that is kept.
func deliveredTo(tx *store.Tx, lane, endpoint string) (d delivered, err error) {
	return deliveredAt(tx, deliveredKey(lane, endpoint))
}

func deliveredAt(tx *store.Tx, key []byte) (d delivered, err error) {
	b, err := tx.Bucket(store.Index).Get(key)
	if b != nil && err == nil {
		err = d.decode(b)
	}
	return d, err
}

// accepted notes that an endpoint has accepted a change. It may be said again, in any order. A
// damaged record stays, for it may have said more.
func accepted(tx *store.Tx, lane, endpoint string, seq uint64, at time.Time) error {
	return acceptedAt(tx, deliveredKey(lane, endpoint), nil, seq, at)
}

// acceptedAt is accepted with the key of its record, in room of the caller's.
func acceptedAt(tx *store.Tx, key, room []byte, seq uint64, at time.Time) error {
	d, err := deliveredAt(tx, key)
	is := delivered{max(d.sequence, seq), max(d.last, at.UnixMicro())}
	if err != nil || is == d {
		return nil //nolint:nilerr // see above
	}
	return tx.Bucket(store.Index).PutRecord(key, is.appendTo(store.AppendRecord(room)))
}

// overtaken reports whether the endpoint has accepted a later change of the lane, under one of its
// names.
func overtaken(tx *store.Tx, lane string, seq uint64, names []string) bool {
	for _, name := range names {
		d, err := deliveredTo(tx, lane, name)
		if err != nil {
			return overtakenBefore(tx, lane, seq, names)
		}
		if d.sequence > seq {
			return true
		}
	}
	return false
}

// forgetDelivered takes away how far endpoints have been told, where the last acceptance goes with
// these keys of the outcomes.
func forgetDelivered(tx *store.Tx, gone []removal) error {
	for _, g := range gone {
		if g.bucket != store.Outcomes {
			continue
		}
		o, ok := splitOutcome(g.key)
		if !ok {
			continue
		}
		if d, err := deliveredTo(tx, o.lane, o.endpoint); err != nil || d.sequence == 0 || d.last > o.at.UnixMicro() {
			continue // damaged, gone, or something that is kept says it too
		}
		if err := tx.Bucket(store.Index).Delete(deliveredKey(o.lane, o.endpoint)); err != nil {
			return err
		}
	}
	return nil
}

// redeliveredAll makes anew, from the outcomes, how far endpoints have been told.
func (r *Relay) redeliveredAll(ctx context.Context) error {
	return r.sweepBucket(ctx, store.Outcomes, func(tx *store.Tx, k, v []byte) [][]byte {
		o, ok := readOutcome(k, v)
		if !ok || o.Outcome != outbox.Done {
			return nil
		}
		if d, err := deliveredTo(tx, o.Lane, o.Endpoint); err != nil || d.sequence >= o.Sequence && d.last >= o.At.UnixMicro() {
			return nil
		}
		return [][]byte{bytes.Clone(k)}
	}, func(tx *store.Tx, ks [][]byte) error {
		for _, k := range ks {
			v, err := tx.Bucket(store.Outcomes).Get(k)
			o, ok := readOutcome(k, v)
			if err != nil || !ok {
				continue
			}
			if err := accepted(tx, o.Lane, o.Endpoint, o.Sequence, o.At); err != nil {
				return err
			}
		}
		return nil
	})
}
