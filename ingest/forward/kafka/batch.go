package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/segmentio/kafka-go/protocol"

	"countersign/ingest/forward"
	"countersign/ingest/forward/group"
)

// The client library reads batches too, but passes over what it cannot read, and does not tell where
// a batch ends whose last records compaction took: whoever asks behind the last record it was given
// is given the same batch again, for ever.

const (
	batchHead   = 61       // bytes before the first record
	sizedFrom   = 12       // a batch's size counts from here
	magicAt     = 16       // of the format's number, in each format
	crcFrom     = 21       // the checksum is of all that follows
	appendTime  = 1 << 3   // the broker's clock, not the writer's
	maxInflated = 32 << 20 // bytes of one batch, when it is no longer compressed
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// fetched is the answer to a fetch of one partition.
type fetched struct {
	topic      string
	partition  int32
	code       int16
	start, end int64
	batches    []byte
}

// ApiKey implements protocol.Message.
func (f *fetched) ApiKey() protocol.ApiKey { return protocol.Fetch }

// readFetched is an answerReader of fetchVersion.
func readFetched(r io.Reader) (int32, protocol.Message, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxAnswer {
		return 0, nil, fmt.Errorf("an answer of %d bytes is too large", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return 0, nil, err
	}
	w := wire{b: b}
	id := w.int32()
	f := &fetched{}
	w.int32() // how long we are held back
	f.code = w.int16()
	w.int32() // session
	for range w.count() {
		f.topic = w.string()
		for range w.count() {
			w.fetchedPartition(f)
		}
	}
	if w.short {
		return 0, nil, errors.New("an answer to a fetch is cut off")
	}
	return id, f, nil
}

func (w *wire) fetchedPartition(f *fetched) {
	f.partition = w.int32()
	if code := w.int16(); code != 0 {
		f.code = code
	}
	f.end = w.int64()
	w.int64() // end of what is in no open transaction
	f.start = w.int64()
	for range w.count() { // transactions that were given up
		w.int64()
		w.int64()
	}
	w.int32() // a replica that would be nearer
	f.batches = w.take(int(w.int32()))
}

// unpacked is what batches hold from an offset on.
type unpacked struct {
	compacted bool
	records   []group.Record
	next      int64 // the offset from which on nothing was read yet
}

// batches unpacks them, but for a last one that is cut off, as brokers do. After an error, which is
// group.ErrGap or wraps group.ErrDamaged, next is where it stands.
func (u *unpacked) batches(b []byte) error {
	for first := true; len(b) > 0; first = false {
		whole := len(b) >= batchHead
		size := 0
		if whole {
			size = sizedFrom + int(binary.BigEndian.Uint32(b[8:]))
			if b[magicAt] != 2 {
				return damaged("its format is %d, of Kafka before 0.11", b[magicAt])
			}
			if size < batchHead {
				return damaged("it claims to have %d bytes", size)
			}
			whole = len(b) >= size
		}
		if !whole && !first {
			return nil
		}
		if !whole { // the first comes whole, however large
			return damaged("it is cut off after %d bytes", len(b))
		}
		if err := u.batch(b[:size:size]); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{group.ErrDamaged}, args...)...)
}

// batch unpacks a whole one.
func (u *unpacked) batch(b []byte) error {
	if crc32.Checksum(b[crcFrom:], castagnoli) != binary.BigEndian.Uint32(b[17:]) {
		return damaged("its checksum is wrong")
	}
	head := wire{b: b[:batchHead]}
	base := head.int64()
	head.take(crcFrom - 8)
	attributes := protocol.Attributes(head.int16())
	last := base + int64(head.int32())
	firstTime, maxTime := head.int64(), head.int64()
	head.take(14) // who wrote it
	count := head.int32()
	if last < base || base < 0 {
		return damaged("it claims to have offsets %d to %d", base, last)
	}
	if last < u.next {
		return nil
	}
	if attributes.Control() || attributes.Transactional() {
		return damaged("it was written in a transaction, which nobody of ours does")
	}
	body, err := inflate(attributes, b[batchHead:])
	if err != nil {
		return err
	}
	w := wire{b: body}
	before := base - 1
	for range count {
		r, err := w.record(base, firstTime)
		if err != nil {
			return err
		}
		if r.Offset <= before || r.Offset > last {
			return damaged("offset %d comes after %d, in a batch of %d to %d", r.Offset, before, base, last)
		}
		before = r.Offset
		if r.Offset < u.next {
			continue
		}
		if r.Offset != u.next && !u.compacted {
			return group.ErrGap
		}
		if attributes&appendTime != 0 {
			r.Time = time.UnixMilli(maxTime)
		}
		u.records, u.next = append(u.records, r), r.Offset+1
	}
	if len(w.b) != 0 {
		return damaged("%d bytes stand behind its %d records", len(w.b), count)
	}
	if u.next != last+1 && !u.compacted {
		return group.ErrGap
	}
	u.next = last + 1
	return nil
}

// inflate returns the records of a batch, which are not compressed any more.
func inflate(a protocol.Attributes, b []byte) ([]byte, error) {
	if a.Compression() == 0 {
		return b, nil
	}
	codec := a.Compression().Codec()
	if codec == nil {
		return nil, damaged("it is compressed in an unknown way (%d)", a.Compression())
	}
	r := codec.NewReader(bytes.NewReader(b))
	defer r.Close() //nolint:errcheck // it was read, or there is an error already
	body, err := io.ReadAll(io.LimitReader(r, maxInflated+1))
	switch {
	case err != nil:
		return nil, damaged("it cannot be uncompressed (%s): %w", codec.Name(), err)
	case len(body) > maxInflated:
		return nil, damaged("it has more than %d bytes when it is uncompressed", maxInflated)
	}
	return body, nil
}

// record reads one. Its bytes are the batch's.
func (w *wire) record(base, firstTime int64) (group.Record, error) {
	r := wire{b: w.take(int(w.varint()))}
	r.take(1) // attributes: there are none yet
	at := firstTime + r.varint()
	record := group.Record{Offset: base + r.varint(), Batch: base}
	record.Time = time.UnixMilli(at)
	record.Key, record.Value = r.bytes(), r.bytes()
	n := r.varint()
	if n < 0 || n > int64(len(r.b)) { // each takes two bytes at least
		r.short = true
	}
	if n > 0 && !r.short {
		record.Headers = make([]forward.Header, 0, n)
		for range n {
			record.Headers = append(record.Headers, forward.Header{Name: string(r.bytes()), Value: r.bytes()})
		}
	}
	if w.short || r.short || len(r.b) != 0 {
		return group.Record{}, damaged("its record of offset %d is not whole", record.Offset)
	}
	return record, nil
}

// wire reads what brokers write. Once short, everything is zero.
type wire struct {
	b     []byte
	short bool
}

// take returns the next n bytes, which stay the message's; none if n is negative.
func (w *wire) take(n int) []byte {
	if n <= 0 {
		return nil
	}
	if n > len(w.b) {
		w.short, w.b = true, nil
		return nil
	}
	taken := w.b[:n:n]
	w.b = w.b[n:]
	return taken
}

func (w *wire) int16() int16 {
	if b := w.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b)) //nolint:gosec // as it was written
	}
	return 0
}

func (w *wire) int32() int32 {
	if b := w.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b)) //nolint:gosec // as it was written
	}
	return 0
}

func (w *wire) int64() int64 {
	if b := w.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b)) //nolint:gosec // as it was written
	}
	return 0
}

// count is the length of a list, of which each takes a byte at least.
func (w *wire) count() int32 {
	n := w.int32()
	if int(n) > len(w.b) {
		w.short, n = true, 0
	}
	return max(n, 0)
}

func (w *wire) string() string { return string(w.take(int(w.int16()))) }

func (w *wire) varint() int64 {
	v, n := binary.Varint(w.b)
	if n <= 0 {
		w.short, w.b = true, nil
		return 0
	}
	w.b = w.b[n:]
	return v
}

// bytes are a key or a value; nil: Kafka's null.
func (w *wire) bytes() []byte {
	n := w.varint()
	if n < 0 || w.short {
		return nil
	}
	if n == 0 {
		return []byte{}
	}
	if n > int64(len(w.b)) {
		w.short, w.b = true, nil
		return nil
	}
	return w.take(int(n))
}
