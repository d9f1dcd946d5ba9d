package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/protocol"

	"countersign/ingest/forward/group"
)

// batchOf is a batch as brokers keep it, of n records from an offset on. Compaction took those of
// taken away.
func batchOf(tb testing.TB, base int64, n int, a protocol.Attributes, taken ...int) []byte {
	tb.Helper()
	var rs []protocol.Record
	for i := range n {
		rs = append(rs, protocol.Record{Time: time.UnixMilli(int64(1000 + i)), Key: protocol.NewBytes(fmt.Append(nil, i)), Value: protocol.NewBytes(make([]byte, i)), Headers: []protocol.Header{{Key: "h", Value: []byte{1}}}})
	}
	var b bytes.Buffer
	set := protocol.RecordSet{Version: 2, Attributes: a, Records: protocol.NewRecordReader(rs...)}
	if _, err := set.WriteTo(&b); err != nil {
		tb.Fatal(err)
	}
	batch := b.Bytes()[4:]
	binary.BigEndian.PutUint64(batch, uint64(base))
	if len(taken) == 0 {
		return batch
	}
	w := wire{b: bytes.Clone(batch[batchHead:])}
	batch = batch[:batchHead]
	for i := range n {
		at := w.b
		w.take(int(w.varint()))
		if !slices.Contains(taken, i) {
			batch = append(batch, at[:len(at)-len(w.b)]...)
		}
	}
	binary.BigEndian.PutUint32(batch[8:], uint32(len(batch)-sizedFrom))
	binary.BigEndian.PutUint32(batch[57:], uint32(n-len(taken)))
	return seal(batch)
}

// seal sets the checksum.
func seal(batch []byte) []byte {
	binary.BigEndian.PutUint32(batch[17:], crc32.Checksum(batch[crcFrom:], castagnoli))
	return batch
}

// TestUnpack: what is read of batches from an offset on, and where to go on.
func TestUnpack(t *testing.T) {
	f := func(from int64, compacted bool, wantErr error, wantNext int64, want string, batches ...[]byte) {
		t.Helper()
		u := unpacked{compacted: compacted, next: from}
		err := u.batches(bytes.Join(batches, nil))
		var read []byte
		for i := range u.records {
			read = fmt.Appendf(read, "%d=%s ", u.records[i].Offset, u.records[i].Key)
		}
		got := string(read)
		if !errors.Is(err, wantErr) || u.next != wantNext || got != want {
			t.Errorf("%v, then %d, of %q; want %v, %d, %q", err, u.next, got, wantErr, wantNext, want)
		}
	}
	a, b := batchOf(t, 10, 3, 0), batchOf(t, 13, 2, 0)
	together := unpacked{next: 11}
	err := together.batches(bytes.Join([][]byte{a, b}, nil))
	if rs := together.records; err != nil || len(rs) != 4 || rs[0].Batch != 10 || rs[1].Batch != 10 || rs[2].Batch != 13 || rs[3].Batch != 13 {
		t.Errorf("%v, %v", rs, err)
	}
	f(10, false, nil, 15, "10=0 11=1 12=2 13=0 14=1 ", a, b)
	f(12, false, nil, 15, "12=2 13=0 14=1 ", a, b)
	f(13, false, nil, 15, "13=0 14=1 ", a, b)
	f(10, false, nil, 13, "10=0 11=1 12=2 ", a, b[:len(b)-1]) // as brokers cut the last
	f(10, false, nil, 13, "10=0 11=1 12=2 ", a, b[:5])
	f(10, false, nil, 10, "")
	f(10, false, group.ErrDamaged, 10, "", a[:len(a)-1])
	f(10, false, group.ErrDamaged, 13, "10=0 11=1 12=2 ", a, make([]byte, 200))
	f(10, false, group.ErrGap, 13, "10=0 11=1 12=2 ", a, batchOf(t, 14, 2, 0))
	f(10, true, nil, 16, "10=0 11=1 12=2 14=0 15=1 ", a, batchOf(t, 14, 2, 0))
	f(9, false, group.ErrGap, 9, "", a)
	f(10, true, group.ErrDamaged, 13, "10=0 11=1 12=2 ", a, batchOf(t, 13, 2, protocol.Transactional))
	f(10, true, group.ErrDamaged, 13, "10=0 11=1 12=2 ", a, batchOf(t, 13, 2, protocol.Transactional|protocol.Control))

	// Compacted: the batch keeps its bounds, whatever went. Whoever asks behind its last record is
	// given it again, and must come past it.
	f(10, true, nil, 14, "11=1 12=2 ", batchOf(t, 10, 4, 0, 0, 3))
	f(13, true, nil, 14, "", batchOf(t, 10, 4, 0, 0, 3))
	f(10, true, nil, 13, "", batchOf(t, 10, 3, 0, 0, 1, 2))
	f(10, false, group.ErrGap, 10, "", batchOf(t, 10, 3, 0, 0, 1, 2))
	f(10, false, group.ErrGap, 12, "10=0 11=1 ", batchOf(t, 10, 3, 0, 2))

	for _, codec := range []protocol.Attributes{protocol.Gzip, protocol.Snappy, protocol.Lz4, protocol.Zstd} {
		f(11, false, nil, 13, "11=1 12=2 ", batchOf(t, 10, 3, codec))
		cut := batchOf(t, 10, 3, codec)
		cut = cut[:len(cut)-4]
		binary.BigEndian.PutUint32(cut[8:], uint32(len(cut)-sizedFrom))
		f(10, false, group.ErrDamaged, 10, "", seal(cut))
	}
	f(10, false, group.ErrDamaged, 10, "", seal(append(batchOf(t, 10, 1, 0)[:21], append([]byte{0, 6}, batchOf(t, 10, 1, 0)[23:]...)...)))
	old := batchOf(t, 10, 1, 0)
	old[magicAt] = 1
	f(10, false, group.ErrDamaged, 10, "", old)
}

// TestAppendTime: where the broker's clock counts, all records of a batch have the same time.
func TestAppendTime(t *testing.T) {
	b := batchOf(t, 0, 3, protocol.Attributes(appendTime))
	binary.BigEndian.PutUint64(b[35:], 7777)
	u := unpacked{}
	if err := u.batches(seal(b)); err != nil || u.records[0].Time.UnixMilli() != 7777 || u.records[2].Time.UnixMilli() != 7777 {
		t.Errorf("%+v, %v", u.records, err)
	}
	u = unpacked{}
	if err := u.batches(batchOf(t, 0, 3, 0)); err != nil || u.records[0].Time.UnixMilli() != 1000 || u.records[2].Time.UnixMilli() != 1002 {
		t.Errorf("%+v, %v", u.records, err)
	}
}

// TestFlipped: no bit can flip in what the checksum is of, nor in the checksum or the format, without
// being noticed.
func TestFlipped(t *testing.T) {
	good := batchOf(t, 0, 5, 0)
	for i := magicAt; i < len(good); i++ {
		for bit := range 8 {
			b := bytes.Clone(good)
			b[i] ^= 1 << bit
			u := unpacked{}
			if err := u.batches(b); !errors.Is(err, group.ErrDamaged) || u.next != 0 {
				t.Errorf("byte %d, bit %d: %v, %d", i, bit, err, u.next)
			}
		}
	}
}

// FuzzFetched: whatever a broker answers, nothing before the position is returned, nothing twice, and
// nothing is passed over that is not compacted.
func FuzzFetched(f *testing.F) {
	f.Add(batchOf(f, 0, 3, 0), false, int64(0))
	f.Add(append(batchOf(f, 0, 3, protocol.Gzip), batchOf(f, 3, 3, 0, 1)...), true, int64(2))
	f.Add(batchOf(f, 0, 4, protocol.Transactional), true, int64(0))
	f.Fuzz(func(t *testing.T, b []byte, compacted bool, from int64) {
		_, _, _ = readFetched(bytes.NewReader(append([]byte{0, 0, byte(len(b) >> 8), byte(len(b))}, b...)))
		if len(b) >= batchHead && b[magicAt] == 2 {
			seal(b)
		}
		u := unpacked{compacted: compacted, next: from}
		err := u.batches(b)
		at := from
		for i := range u.records {
			if o := u.records[i].Offset; o < at || !compacted && o != at {
				t.Fatalf("offset %d comes after %d (%v)", o, at-1, err)
			}
			at = u.records[i].Offset + 1
		}
		if u.next < at || !compacted && u.next != at {
			t.Fatalf("%d comes after %d (%v)", u.next, at, err)
		}
	})
}
