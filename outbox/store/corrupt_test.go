package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// sample is a database with some hundred records and holes where others were.
func sample(t *testing.T) []byte {
	t.Helper()
	s := mustOpen(t, Options{MaxSize: 1 << 20})
	for round := range 4 {
		if err := s.update(func(tx *Tx) error {
			for i := round * 100; i < (round+1)*100; i++ {
				k := binary.BigEndian.AppendUint64(nil, uint64(i))
				if err := errors.Join(tx.Bucket(Deliveries).Put(k, recordBody(i)), tx.Bucket(Due).Put(k, k)); err != nil {
					return err
				}
				if i >= 100 && i%3 == 0 {
					if err := tx.Bucket(Due).Delete(binary.BigEndian.AppendUint64(nil, uint64(i-100))); err != nil {
						return err
					}
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(altered(s), s.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// spoil damages a copy of b in one of the ways disks and people do.
func spoil(r *rand.Rand, b []byte) (bad []byte, how string) {
	bad = append([]byte(nil), b...)
	page := func() int { return r.IntN(len(bad)/4096) * 4096 }
	switch r.IntN(6) {
	case 0:
		n := 1 + r.IntN(64)
		for range n {
			bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
		}
		return bad, fmt.Sprint(n, " flipped bits")
	case 1:
		at := page()
		for i := range 4096 {
			bad[at+i] = byte(r.Uint32())
		}
		return bad, fmt.Sprint("a random page at ", at)
	case 2:
		at := page()
		clear(bad[at : at+4096])
		return bad, fmt.Sprint("a zeroed page at ", at)
	case 3:
		n := r.IntN(len(bad))
		return bad[:n], fmt.Sprint("truncated to ", n)
	case 4:
		to, from := page(), page()
		copy(bad[to:to+4096], bad[from:from+4096])
		return bad, fmt.Sprint("page ", from, " written over ", to)
	default:
		at := page()
		for i := range 8 + r.IntN(24) { // a page's header: its id, kind, count and overflow
			bad[at+i] = byte(r.Uint32())
		}
		return bad, fmt.Sprint("a random page header at ", at)
	}
}

// A damaged file is refused with its name, or it is found sound. It is never changed, and no altered record passes for a good one.
func TestCorruptFiles(t *testing.T) {
	whole := sample(t)
	var mu sync.Mutex // guards seen
	seen := map[string]int{}
	seeds := make(chan uint64)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for seed := range seeds {
				bad, how := spoil(rand.New(rand.NewPCG(seed, 1)), whole)
				outcome := tryCorrupt(t, fmt.Sprintf("seed %d, %s", seed, how), bad, seed%3)
				mu.Lock()
				seen[outcome]++
				mu.Unlock()
			}
		})
	}
	for seed := range uint64(100) {
		seeds <- seed
	}
	close(seeds)
	wg.Wait()
	t.Log(seen)
	if seen["refused"] < 20 || seen["opened"] < 5 {
		t.Errorf("%v: the damage is too mild or too wild to show anything", seen)
	}
}

// tryCorrupt opens a damaged file: after an unclean stop with a check apart, or with the check inside, or as if it had been closed cleanly.
func tryCorrupt(t *testing.T, what string, bad []byte, way uint64) (outcome string) {
	t.Helper()
	dir, err := os.MkdirTemp(fastDir(t), "")
	if err != nil {
		t.Error(err)
		return "failed"
	}
	path := filepath.Join(dir, fileName)
	if err := os.WriteFile(path, bad, 0o600); err != nil {
		t.Error(err)
		return "failed"
	}
	tag := filepath.Join(dir, uncleanTag)
	if way != 2 {
		if err := os.WriteFile(tag, []byte("1\n"), 0o600); err != nil {
			t.Error(err)
			return "failed"
		}
	}
	sound := verifyApart(path) == nil
	before := digest(t, path)
	outcome = open3(t, what, dir, way, sound)
	if digest(t, path) != before {
		t.Errorf("%s: the file has been changed", what)
	}
	return outcome
}

func open3(t *testing.T, what, dir string, way uint64, sound bool) string {
	t.Helper()
	path := filepath.Join(dir, fileName)
	if way == 0 {
		s, err := Open(Options{Dir: dir, Verify: verifyApart})
		if err != nil {
			if sound || !strings.Contains(err.Error(), path) || !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: sound %v, refused with %v", what, sound, err)
			}
			return "refused"
		}
		if err := errors.Join(altered(s), s.Close()); err != nil || !sound {
			t.Errorf("%s: sound %v, opened: %v", what, sound, err)
		}
		return "opened"
	}
	said, code := runChild(t, "open", dir)
	switch {
	case code == 0:
		if !sound && way == 1 {
			t.Errorf("%s: opened although the check fails", what)
		}
		return "opened"
	case code == 3:
		if sound || !strings.Contains(said, path) {
			t.Errorf("%s: sound %v, refused with %s", what, sound, said)
		}
		return "refused"
	case strings.Contains(said, "passes its check"):
		t.Errorf("%s: %s", what, said)
	}
	// It crashed, as bbolt does. The next start must say which file it is.
	if _, err := Open(Options{Dir: dir, Verify: verifyApart}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%s: crashed, and the start after it says %v", what, err)
	}
	return "crashed, then refused"
}

// One bit of a value's length lets it reach beyond the end of the file, where reading it faults. bbolt's own check does not look.
func TestValueBeyondTheFile(t *testing.T) {
	whole := sample(t)
	seen := map[string]int{}
	leaves := 0
	for at := 2 * 4096; at < len(whole); at += 4096 {
		if page := whole[at:]; page[8] != 2 || binary.LittleEndian.Uint16(page[10:]) == 0 { // no leaf, or empty
			continue
		}
		if leaves++; leaves%6 == 0 {
			bad := append([]byte(nil), whole...)
			bad[at+16+12+2] ^= 1 << 5 // bit 21 of the first element's value size
			seen[tryCorrupt(t, fmt.Sprint("page ", at/4096), bad, uint64(leaves/6%2)*2)]++
		}
	}
	t.Log(seen)
	if seen["refused"]+seen["crashed, then refused"] < 3 {
		t.Errorf("%v: most should be refused", seen)
	}
}

// The ordinary ways to be no database, with nothing in between.
func TestNoDatabase(t *testing.T) {
	f := func(what string, contents []byte) {
		t.Helper()
		for way := range uint64(3) {
			if got := tryCorrupt(t, what, contents, way); got == "opened" {
				t.Errorf("%s: opened", what)
			}
		}
	}
	whole := sample(t)
	f("an empty file", nil)
	f("one byte", []byte{1})
	f("text", []byte(strings.Repeat("not a database ", 5000)))
	f("zeroes", make([]byte, 1<<16))
	f("cut after its meta pages", whole[:4*4096])
	f("cut in the middle", whole[:len(whole)/2])
	f("both meta pages gone", append(make([]byte, 2*4096), whole[2*4096:]...))

	dir := t.TempDir()
	path := filepath.Join(dir, fileName)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), path) {
		t.Errorf("a directory in its place: %v", err)
	}
	if fi, err := os.Stat(path); err != nil || !fi.IsDir() {
		t.Error("the directory has gone")
	}
}

// A bbolt file of somebody else's.
func TestForeignDatabase(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, fileName)
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	before := digest(t, path)
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), path) {
		t.Errorf("Open = %v, want ErrCorrupt and the name", err)
	}
	if digest(t, path) != before {
		t.Error("the file has been changed")
	}
}
