package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestNewest: however many prefixes are asked for, and however small the pages, each record comes
// once, and in the order that sorting all of them gives.
func TestNewest(t *testing.T) {
	s, _ := start(t, Options{})
	var all [][]byte
	random := rand.New(rand.NewPCG(1, 2))
	if err := s.Update(t.Context(), func(tx *Tx) error {
		for i := range 400 {
			k := append([]byte(fmt.Sprint("e", random.IntN(9))), 0)
			k = binary.BigEndian.AppendUint64(k, uint64(random.IntN(40)))
			all = append(all, fmt.Append(k, i))
			if err := tx.Bucket(Dead).Put(all[i], []byte{byte(i)}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	at := func(k []byte) []byte { return k[3:11] }
	for asked := range 10 {
		var prefixes, want [][]byte
		for e := range asked {
			prefixes = append(prefixes, append([]byte(fmt.Sprint("e", e)), 0))
		}
		for _, k := range all {
			if int(k[1]-'0') < asked {
				want = append(want, k)
			}
		}
		slices.SortFunc(want, func(a, b []byte) int { return cmp.Or(bytes.Compare(at(b), at(a)), bytes.Compare(b, a)) })
		for _, page := range []int{1, 7, 1000} {
			if got := pagesOf(t, s, prefixes, page); !slices.EqualFunc(got, want, bytes.Equal) {
				t.Fatalf("%d prefixes in pages of %d: %d keys, want %d, or another order", asked, page, len(got), len(want))
			}
		}
	}
}

func pagesOf(t *testing.T, s *Store, prefixes [][]byte, page int) (got [][]byte) {
	t.Helper()
	for more := true; more; {
		var before []byte
		if len(got) > 0 {
			before = got[len(got)-1]
		}
		more = false
		if err := s.View(func(tx *Tx) error {
			n := 0
			Newest(tx, Dead, prefixes, before, func(k, _ []byte) bool {
				if more = n == page; more {
					return false
				}
				n++
				got = append(got, bytes.Clone(k))
				return true
			})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return got
}
