package store

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
)

// Each is one transaction of 1,000 records beside 200,000 others, on a file in memory. What it
// costs is divided by the records.
func benchmarkTx(b *testing.B, fn func(tx *Tx, rnd *rand.Rand) error) {
	b.Helper()
	s, _ := start(b, Options{Dir: fastDir(b), MaxSize: 1 << 30})
	body := make([]byte, 200)
	for n := 0; n < 200_000; n += 10_000 {
		if err := s.Update(b.Context(), func(tx *Tx) error {
			for i := range 10_000 {
				if err := tx.Bucket(Index).Put(benchKey(n+i), body); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	b.ResetTimer()
	for n := 0; n < b.N; n += 1000 {
		if err := s.Update(b.Context(), func(tx *Tx) error { return fn(tx, rnd) }); err != nil {
			b.Fatal(err)
		}
	}
}

func benchKey(n int) []byte {
	return binary.BigEndian.AppendUint64([]byte(fmt.Sprintf("acme/person-%08d\x00", n*7919%1_000_003)), uint64(n))
}

func BenchmarkPut(b *testing.B) {
	body := make([]byte, 200)
	n := 200_000
	benchmarkTx(b, func(tx *Tx, _ *rand.Rand) error {
		for range 1000 {
			if err := tx.Bucket(Index).Put(benchKey(n), body); err != nil {
				return err
			}
			n++
		}
		return nil
	})
}

func BenchmarkGet(b *testing.B) {
	benchmarkTx(b, func(tx *Tx, rnd *rand.Rand) error {
		for range 1000 {
			if v, err := tx.Bucket(Index).Get(benchKey(rnd.IntN(200_000))); v == nil || err != nil {
				b.Error("it is not there")
			}
		}
		return nil
	})
}

// BenchmarkOpen is what it costs to open a file that was closed cleanly, with its examination, and
// to close it again: of the node's own part alone, and with twelve beside it, each with a few
// records in every bucket.
func BenchmarkOpen(b *testing.B) {
	for _, parts := range []int{0, 12} {
		b.Run(strconv.Itoa(parts), func(b *testing.B) {
			dir := fastDir(b)
			s := mustOpen(b, Options{Dir: dir})
			for part := range uint8(parts + 1) {
				if err := populate(s, part); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				s := mustOpen(b, Options{Dir: dir})
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDelete(b *testing.B) {
	benchmarkTx(b, func(tx *Tx, rnd *rand.Rand) error {
		for range 1000 { // few of them are there after a while: so it is with what leads to the head of a lane
			if err := tx.Bucket(Index).Delete(benchKey(rnd.IntN(200_000))); err != nil {
				return err
			}
		}
		return nil
	})
}
