package outbox

import (
	"bytes"
	"encoding/binary"
	"strings"
	"time"

	"countersign/outbox/store"
)

// Keys. Ids hold no control characters, so a zero byte ends them.

func laneKey(endpoint, lane string) []byte {
	return append(append(append(append(make([]byte, 0, len(endpoint)+len(lane)+10), endpoint...), 0), lane...), 0)
}

func deliveryKey(endpoint, lane string, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(laneKey(endpoint, lane), seq)
}

// dueKey is where a head stands: heads of a class follow each other as they become due.
func dueKey(endpoint string, c class, due int64, lane string) []byte {
	k := append(append(make([]byte, 0, len(endpoint)+len(lane)+10), endpoint...), 0, byte(c))
	return append(binary.BigEndian.AppendUint64(k, uint64(due)), lane...) //nolint:gosec // times after 1970
}

// splitDue undoes dueKey. Not ok: it is no head's key.
func splitDue(k []byte) (endpoint string, c class, due int64, lane string, ok bool) {
	id, rest, ok := bytes.Cut(k, []byte{0})
	if !ok || len(rest) < 10 || class(rest[0]) >= classes {
		return "", 0, 0, "", false
	}
	return string(id), class(rest[0]), int64(binary.BigEndian.Uint64(rest[1:])), string(rest[9:]), true //nolint:gosec // written by dueKey
}

func withheldAgeKey(d *Delivery) []byte {
	k := append(append(make([]byte, 0, len(d.Endpoint)+len(d.Lane)+17), d.Endpoint...), 0)
	k = binary.BigEndian.AppendUint64(k, uint64(d.Owed.UnixMilli()))
	return binary.BigEndian.AppendUint64(append(k, d.Lane...), d.Sequence)
}

func attemptKey(d *Delivery) []byte {
	return binary.BigEndian.AppendUint16(deliveryKey(d.Endpoint, d.Lane, d.Sequence), uint16(d.Failures)) //nolint:gosec // bounded by the schedule
}

func deadItemKey(webhookID, endpoint string) []byte { return []byte(webhookID + "\x00" + endpoint) }

// head is the value in the due index: what changes while a delivery is tried, so that its body is
// written once.
type head struct {
	seq      uint64
	failures int
	first    int64 // unix milliseconds of the first failure; 0: none
}

func (h head) encode() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 18), h.seq)
	b = binary.BigEndian.AppendUint16(b, uint16(h.failures)) //nolint:gosec // bounded by the schedule
	return binary.BigEndian.AppendUint64(b, uint64(h.first)) //nolint:gosec // times after 1970
}

func decodeHead(b []byte) (h head, ok bool) {
	if len(b) != 18 {
		return h, false
	}
	return head{
		seq: binary.BigEndian.Uint64(b), failures: int(binary.BigEndian.Uint16(b[8:])), first: int64(binary.BigEndian.Uint64(b[10:])), //nolint:gosec // written by encode
	}, true
}

const (
	flagRestrictive = 1 << iota
	flagForce
	flagAnew
	flagReplayed
)

// orderAt is where the order stands in the record of a delivery, and bareAt where its texts begin.
const (
	orderAt = 25
	bareAt  = orderAt + 8
)

// encodeDelivery makes the record of what stays the same over every attempt.
func encodeDelivery(d *Delivery) []byte {
	var flags byte
	if d.Restrictive {
		flags |= flagRestrictive
	}
	if d.Force {
		flags |= flagForce
	}
	if d.Anew {
		flags |= flagAnew
	}
	if d.Replayed {
		flags |= flagReplayed
	}
	b := append(store.StartRecord(bareAt+4+len(d.WebhookID)+len(d.Type)+len(d.Format)+len(d.Traceparent)+len(d.Body)), flags)
	b = binary.BigEndian.AppendUint64(b, d.PreviousSequence)
	b = binary.BigEndian.AppendUint64(b, uint64(d.Owed.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, uint64(d.Received.UnixMicro()))
	b = binary.BigEndian.AppendUint64(b, uint64(d.Order)) //nolint:gosec // an offset
	for _, s := range []string{d.WebhookID, d.Type, d.Format, d.Traceparent} {
		b = append(append(b, byte(len(s))), s...) //nolint:gosec // words and ids of our own, far below 255 bytes
	}
	return append(b, d.Body...)
}

// orderIn is the order in the record of a delivery, which has one.
func orderIn(b []byte) int64 { return int64(binary.BigEndian.Uint64(b[orderAt:])) } //nolint:gosec // written by encodeDelivery

// readDelivery fills in the rest of a delivery whose key is known.
func readDelivery(waiting store.Bucket, d *Delivery) error {
	v, err := waiting.Get(deliveryKey(d.Endpoint, d.Lane, d.Sequence))
	if err != nil {
		return err
	}
	return decodeDelivery(v, d)
}

// decodeDelivery fills d from the body of its record, of which nothing is kept. A body that is not
// there is as damaged as any.
func decodeDelivery(b []byte, d *Delivery) error {
	body, err := decodeBare(b, d)
	if err == nil {
		d.Body = append([]byte(nil), body...)
	}
	return err
}

// decodeBare is decodeDelivery without the delivery's own body, which it returns as a part of b.
func decodeBare(b []byte, d *Delivery) (body []byte, err error) {
	if len(b) < bareAt {
		return nil, store.ErrBadRecord
	}
	d.Restrictive, d.Force, d.Anew, d.Replayed = b[0]&flagRestrictive != 0, b[0]&flagForce != 0, b[0]&flagAnew != 0, b[0]&flagReplayed != 0
	d.PreviousSequence = binary.BigEndian.Uint64(b[1:])
	d.Owed = time.UnixMilli(int64(binary.BigEndian.Uint64(b[9:]))).UTC()      //nolint:gosec // written by encodeDelivery
	d.Received = time.UnixMicro(int64(binary.BigEndian.Uint64(b[17:]))).UTC() //nolint:gosec // written by encodeDelivery
	d.Order = orderIn(b)
	b = b[bareAt:]
	for _, s := range []*string{&d.WebhookID, &d.Type, &d.Format, &d.Traceparent} {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return nil, store.ErrBadRecord
		}
		*s, b = strings.Clone(string(b[1:1+int(b[0])])), b[1+int(b[0]):]
	}
	return b, nil
}
