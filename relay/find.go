package relay

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
)

const (
	sameMost   = 16   // entries of the history under one id that are handed over
	sameMillis = 5000 // entries of one millisecond that are looked at
)

// byID calls fn with the entries of the history under an id, until fn says no; first with those
// that no segment has. times are all instants at which there is one, or was one while it was kept.
// Not whole: the finder is being made, and has not all.
func (r *Relay) byID(tx *store.Tx, id string, fn func(key []byte, lane string, body []byte) bool) (times []int64, whole bool) {
	whole, going := true, true
	n := 0
	hand := func(key, value []byte) {
		lane, body, ok := entry(value)
		if !ok || !bytes.Equal(entryID(key, body), []byte(id)) {
			return
		}
		n++
		going = fn(key, lane, body) && n < sameMost
	}
	end, err := tx.Bucket(store.Meta).Get(finderAt)
	if err != nil {
		return nil, false
	}
	end = bytes.Clone(end)
	c := tx.Bucket(store.History).Cursor()
	looked := 0
	for k, v := c.Last(); k != nil && bytes.Compare(k, end) >= 0 && going; k, v = c.Prev() {
		if looked++; looked > finderLook {
			whole = false
			break
		}
		if v != nil {
			hand(k, v)
		}
	}
	if !going {
		return nil, true
	}
	times = instants(tx, digestOfID([]byte(id)))
	for _, at := range times {
		c := tx.Bucket(store.History).Cursor()
		k, v := c.Seek(binary.BigEndian.AppendUint64(nil, uint64(at*1000))) //nolint:gosec // after 1970
		for seen := 0; len(k) >= historyHead && millis(k) == at && going && seen < sameMillis; k, v = c.Next() {
			if seen++; v != nil && bytes.Compare(k, end) < 0 {
				hand(k, v)
			}
		}
		if !going {
			break
		}
	}
	return times, whole
}

// instants are when entries with ids of this digest stand in the history, in milliseconds, by the
// finder: two looks for each segment.
func instants(tx *store.Tx, d [digestSize]byte) (times []int64) {
	c := tx.Bucket(store.Finder).Cursor()
	late := append([]byte{finderLate}, d[:]...)
	for k, _ := c.Seek(late); bytes.HasPrefix(k, late) && len(k) == len(late)+8 && len(times) < sameMost; k, _ = c.Next() {
		times = append(times, int64(binary.BigEndian.Uint64(k[len(late):]))) //nolint:gosec // written by lateKey
	}
	last := lastSegment(tx.Bucket(store.Finder))
	first, _ := c.Seek([]byte{finderParts})
	if last == nil || len(first) < 10 {
		return times
	}
	from, to := binary.BigEndian.Uint64(first[1:]), binary.BigEndian.Uint64(last[1:])
	for n := to; n >= from && n > 0 && len(times) < sameMost; n-- {
		part := append(binary.BigEndian.AppendUint64([]byte{finderParts}, n), 1)
		at := append(bytes.Clone(part), d[:]...)
		k, v := c.Seek(at)
		if bytes.Equal(k, at) {
			times = appendInstants(times, v, d)
		}
		if k == nil {
			k, v = c.Last()
		} else {
			k, v = c.Prev()
		}
		if bytes.HasPrefix(k, part) {
			times = appendInstants(times, v, d)
		}
	}
	return times
}

// appendInstants adds what a record of the finder has of a digest. A damaged one has nothing.
func appendInstants(times []int64, v []byte, d [digestSize]byte) []int64 {
	if len(v) < 8 {
		return times
	}
	first := int64(binary.BigEndian.Uint64(v)) //nolint:gosec // written by write
	rows := v[8:]
	low, high := 0, len(rows)/finderEntry
	for low < high {
		if mid := (low + high) / 2; bytes.Compare(rows[mid*finderEntry:][:digestSize], d[:]) < 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	for ; low < len(rows)/finderEntry && bytes.Equal(rows[low*finderEntry:][:digestSize], d[:]); low++ {
		var since [8]byte
		copy(since[3:], rows[low*finderEntry+digestSize:][:finderEntry-digestSize])
		times = append(times, first+int64(binary.BigEndian.Uint64(since[:]))) //nolint:gosec // five bytes
	}
	return times
}

// spot is where a change is: of whom, its number, and when its record was appended.
type spot struct {
	lane string
	seq  uint64
	at   time.Time
}

// spotsOf are where the change with a webhook-id may be. While it is kept, that is one place; of
// one that has had its time, the changes of the records of its millisecond: whoever asks compares
// the id with what is kept of deliveries.
func (r *Relay) spotsOf(tx *store.Tx, webhookID string) (spots []spot, whole bool) {
	times, whole := r.byID(tx, webhookID, func(key []byte, lane string, body []byte) bool {
		if key[historyHead-1] != kindChange || len(key) < historyHead+8 {
			return true
		}
		spots = append(spots, spot{lane, binary.BigEndian.Uint64(key[historyHead:]), time.UnixMicro(int64(binary.BigEndian.Uint64(key)))}) //nolint:gosec // written by changeKey
		return false
	})
	if len(spots) > 0 {
		return spots, true
	}
	for _, at := range times {
		c := tx.Bucket(store.History).Cursor()
		k, v := c.Seek(binary.BigEndian.AppendUint64(nil, uint64(at*1000))) //nolint:gosec // after 1970
		for seen := 0; len(k) >= historyHead && millis(k) == at && seen < sameMillis; k, v = c.Next() {
			seen++
			lane, body, ok := entry(v)
			var h RecordView
			if !ok || k[historyHead-1] != kindRecord || json.Unmarshal(body, &h) != nil {
				continue
			}
			for _, seq := range h.Changes {
				spots = append(spots, spot{lane, seq, h.At})
			}
		}
	}
	return spots, whole
}

// recordsOf are the records under an id, the one that counted first.
func (r *Relay) recordsOf(tx *store.Tx, id string) (lane string, h RecordView, ok, whole bool) {
	_, whole = r.byID(tx, id, func(key []byte, of string, body []byte) bool {
		var is RecordView
		if key[historyHead-1] != kindRecord || json.Unmarshal(body, &is) != nil {
			return true
		}
		if !ok || h.Verdict == kyc.Duplicate {
			lane, h, ok = of, is, true
		}
		return h.Verdict == kyc.Duplicate
	})
	return lane, h, ok, whole
}
