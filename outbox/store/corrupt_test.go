package store

import (
	"bytes"
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

// sample is a database with some hundred records and holes where others were, and what is in it by
// bucket and key.
func sample(t *testing.T) (file []byte, ledger map[string]string) {
	t.Helper()
	s := mustOpen(t, Options{MaxSize: 4 << 20})
	ledger = map[string]string{}
	for round := range 4 {
		if err := s.update(func(tx *Tx) error {
			put := func(n Name, k, v []byte) error {
				n = here(n)
				ledger[n.String()+" "+string(k)] = string(v)
				return tx.Bucket(n).Put(k, v)
			}
			for i := round * 100; i < (round+1)*100; i++ {
				k := binary.BigEndian.AppendUint64(nil, uint64(i))
				err := errors.Join(put(Deliveries, k, recordBody(i)), put(Due, k, k), put(Index, fmt.Appendf(nil, "acme/user-%03d", i), nil))
				if i%50 == 0 {
					err = errors.Join(err, put(Quarantine, k, bytes.Repeat(recordBody(i), 10)))
				}
				if gone := binary.BigEndian.AppendUint64(nil, uint64(i-100)); i >= 100 && i%3 == 0 {
					delete(ledger, "due "+string(gone))
					err = errors.Join(err, tx.Bucket(Due).Delete(gone))
				}
				if err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	return file, ledger
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

// A damaged file is refused with its name and left as it is; or it is mended, and kept beside under
// another name. Then every record is what was written, or is counted as damaged.
func TestCorruptFiles(t *testing.T) {
	whole, ledger := sample(t)
	var mu sync.Mutex // guards seen
	seen := map[string]int{}
	seeds := make(chan uint64)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for seed := range seeds {
				bad, how := spoil(rand.New(rand.NewPCG(seed, 1)), whole)
				outcome := tryCorrupt(t, fmt.Sprintf("seed %d, %s", seed, how), bad, ledger)
				mu.Lock()
				seen[outcome]++
				mu.Unlock()
			}
		})
	}
	for seed := range uint64(300) {
		seeds <- seed
	}
	close(seeds)
	wg.Wait()
	t.Log(seen)
	if seen["refused"] < 20 || seen["mended"] < 20 || seen["opened"] < 5 {
		t.Errorf("%v: the damage is too mild or too wild to show anything", seen)
	}
}

// tryCorrupt opens a damaged file and compares what is in it with what was written.
func tryCorrupt(t *testing.T, what string, bad []byte, ledger map[string]string) (outcome string) {
	t.Helper()
	dir, err := os.MkdirTemp(fastDir(t), "")
	if err != nil {
		t.Error(err)
		return "failed"
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, fileName)
	if err := os.WriteFile(path, bad, 0o600); err != nil {
		t.Error(err)
		return "failed"
	}
	before := digest(t, path)
	s, err := Open(Options{Dir: dir})
	if err != nil {
		if !strings.Contains(err.Error(), path) || !errors.Is(err, ErrCorrupt) && !strings.Contains(err.Error(), "schema version") {
			t.Errorf("%s: refused with %v", what, err)
		}
		if digest(t, path) != before {
			t.Errorf("%s: refused, and the file has been changed", what)
		}
		return "refused"
	}
	defer s.Close()
	s = s.Part(suitePart)
	outcome = "opened"
	kept, err := filepath.Glob(path + ".damaged-*")
	if err != nil {
		t.Error(err)
	}
	if len(kept) > 0 {
		outcome = "mended"
		if digest(t, kept[0]) != before {
			t.Errorf("%s: the damaged file is not kept as it was", what)
		}
	}
	lost := compare(t, what, s, ledger)
	if damaged := total(s.Found().Damaged); lost > damaged {
		t.Errorf("%s: %s: %d records have gone, %d are said to be damaged", what, outcome, lost, damaged)
	}
	mustPut(t, what, s)
	return outcome
}

// compare returns how many records are not there any more. One that was never written is an error.
func compare(t *testing.T, what string, s *Store, ledger map[string]string) (lost int) {
	t.Helper()
	there := map[string]string{}
	if err := s.View(func(tx *Tx) error {
		for _, n := range namesOf(suitePart) {
			if n = n.bare(); n == Meta || n == Damaged {
				continue
			}
			if err := tx.Bucket(n).ForEach(func(k, v []byte) error {
				if v == nil {
					return fmt.Errorf("%s %x is damaged after the examination", n, k)
				}
				there[n.String()+" "+string(k)] = string(v)
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	for k, v := range there {
		if want, ok := ledger[k]; !ok || want != v {
			t.Errorf("%s: %.40q was never written", what, k)
		}
	}
	for k := range ledger {
		if _, ok := there[k]; !ok {
			lost++
		}
	}
	return lost
}

// mustPut proves that the file takes more.
func mustPut(t *testing.T, what string, s *Store) {
	t.Helper()
	if err := s.update(func(tx *Tx) error { return tx.Bucket(here(Journal)).Put([]byte("more"), []byte("v")) }); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// A file in which nothing is damaged is found to be just that, whatever was written and deleted, or
// the walk knows less of bbolt than it thinks.
func TestSoundIsSound(t *testing.T) {
	dir := fastDir(t)
	r := rand.New(rand.NewPCG(3, 3))
	s := mustOpen(t, Options{Dir: dir})
	for round := range 60 {
		if err := s.update(func(tx *Tx) error {
			for range 1 + r.IntN(400) {
				n, k := namesOf(suitePart)[1+r.IntN(4)], fmt.Appendf(nil, "%0*d", 1+r.IntN(60), r.IntN(3000))
				err := tx.Bucket(n).Delete(k)
				if r.IntN(5) > round%5 {
					err = errors.Join(err, tx.Bucket(n).Put(k, make([]byte, r.IntN(900))))
				}
				if err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if rep, err := Examine(t.Context(), s.Path(), "", nil); err != nil || !rep.Sound() {
			t.Fatalf("round %d: %+v, %v", round, rep, err)
		}
		s = mustOpen(t, Options{Dir: dir})
	}
	s.Close()
}

// One bit, anywhere: in nearly every place it costs nobody anything, and nowhere is a record
// altered or lost without a word.
func TestEveryBit(t *testing.T) {
	whole, ledger := sample(t)
	r := rand.New(rand.NewPCG(7, 7))
	seen := map[string]int{}
	for range 400 {
		bad := append([]byte(nil), whole...)
		at, bit := r.IntN(len(bad)), r.IntN(8)
		bad[at] ^= 1 << bit
		what := fmt.Sprintf("bit %d of byte %d of page %d", bit, at%4096, at/4096)
		outcome := tryCorrupt(t, what, bad, ledger)
		seen[outcome]++
	}
	t.Log(seen)
	if seen["refused"] > 8 {
		t.Errorf("%v: one bit costs the whole file too often", seen)
	}
}

// TestEveryBitOfTheRoot flips each bit of the heads of buckets that stand in the root, for those are
// few, and what they say bbolt believes.
func TestEveryBitOfTheRoot(t *testing.T) {
	whole, ledger := sample(t)
	name := Aside.of(suitePart).inFile()
	at := bytes.LastIndex(whole, name) + len(name)
	if binary.LittleEndian.Uint64(whole[at:]) != 0 {
		t.Fatal("the bucket does not stand in the root")
	}
	for i := range 8 * (16 + pageHead) {
		bad := append([]byte(nil), whole...)
		bad[at+i/8] ^= 1 << (i % 8)
		if what := fmt.Sprintf("bit %d of byte %d of a bucket in the root", i%8, i/8); tryCorrupt(t, what, bad, ledger) == "refused" && i >= 8*16 {
			t.Errorf("%s costs the whole file", what)
		}
	}
}

// A bucket's name with one bit flipped is known for what it is: what is in it is all there.
func TestBucketNames(t *testing.T) {
	whole, ledger := sample(t)
	for _, n := range []Name{Deliveries, Due, Index, here(Quarantine), Meta, Subjects} {
		at := bytes.LastIndex(whole, n.of(suitePart).inFile()) // the root is among the pages that are written last
		for _, bit := range []int{0, 6} {
			bad := append([]byte(nil), whole...)
			bad[at+1] ^= 1 << bit
			if got := tryCorrupt(t, fmt.Sprintf("bit %d of the name of %s", bit, n), bad, ledger); got == "refused" {
				t.Errorf("%s, bit %d: %s", n, bit, got)
			}
		}
	}
	for _, a := range names[1:] {
		for _, b := range names[1:] {
			if oneBit(a, []byte(b)) {
				t.Errorf("%s and %s are too near each other", a, b)
			}
		}
	}
}

// seenAll is an auditor that says how much it has seen.
type seenAll struct{ records int }

func (s *seenAll) Record(Name, []byte, []byte) { s.records++ }
func (s *seenAll) Problems() []string          { return []string{fmt.Sprint("seen ", s.records)} }

// An auditor is asked only if it has seen the whole file: of one whose page headers had to be put
// right first, it knows a part.
func TestAuditorsSeeAll(t *testing.T) {
	whole, _ := sample(t)
	path := filepath.Join(fastDir(t), fileName)
	f := func(what string, b []byte, asked bool) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		rep, err := Examine(t.Context(), path, "", nil, func(uint8) Auditor { return &seenAll{} })
		if err != nil || len(rep.Problems) != map[bool]int{true: 1}[asked] || asked && rep.Problems[0] != fmt.Sprint("seen ", rep.Records) {
			t.Errorf("%s: %+v, %v", what, rep, err)
		}
	}
	f("nothing damaged", whole, true)
	for at := len(whole) - 4096; at >= 2*4096; at -= 4096 { // the last leaf that was written, and is in use
		bad := append([]byte(nil), whole...)
		bad[at+8] ^= 0x10
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if rep, err := Examine(t.Context(), path, "", nil); err == nil && rep.Bent {
			f("a page's header", bad, false)
			return
		}
	}
	t.Error("no header of a page in use was found")
}

// Where the damaged file cannot be kept beside the new one, it stays where it is: it is never lost.
func TestMendKeepsTheDamagedFile(t *testing.T) {
	whole, _ := sample(t)
	bad := append([]byte(nil), whole...)
	at := bytes.LastIndex(bad, recordBody(399)) // a record that nobody can put right
	bad[at] ^= 0xff
	dir := fastDir(t)
	for len(dir) < 4060 { // so long that a name beside the file's is too long for the system
		dir = filepath.Join(dir, strings.Repeat("d", min(200, 4068-len(dir))))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fileName)
	if err := os.WriteFile(path, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	before := digest(t, path)
	_, err := Open(Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "name too long") {
		t.Errorf("Open = %.100v", err)
	}
	if digest(t, path) != before || exists(path+".mended") {
		t.Error("the damaged file is not what it was, or half of a new one is beside it")
	}
}

// The ordinary ways to be no database, with nothing in between.
func TestNoDatabase(t *testing.T) {
	whole, ledger := sample(t)
	f := func(what string, contents []byte) {
		t.Helper()
		if got := tryCorrupt(t, what, contents, ledger); got != "refused" {
			t.Errorf("%s: %s", what, got)
		}
	}
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

// A page that was written and never reached the disk leaves the older one in its place, whose
// records are all sound.
func TestStalePages(t *testing.T) {
	dir := fastDir(t)
	s := mustOpen(t, Options{Dir: dir})
	path := s.Path()
	ledger := map[string]string{}
	write := func(round int) {
		if err := s.update(func(tx *Tx) error {
			for i := range recordCount {
				k := binary.BigEndian.AppendUint64(nil, uint64(i))
				v := fmt.Appendf(nil, "round %d of record %d", round, i)
				ledger[Subjects.String()+" "+string(k)] = string(v)
				if err := tx.Bucket(Subjects).Put(k, v); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	write(1)
	write(2)
	older, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(3)
	write(4)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for at := 0; at < len(older); at += 4096 {
		if bytes.Equal(whole[at:at+4096], older[at:at+4096]) {
			continue
		}
		bad := append([]byte(nil), whole...)
		copy(bad[at:at+4096], older[at:at+4096])
		seen[tryCorrupt(t, fmt.Sprintf("page %d as it once was", at/4096), bad, ledger)]++
	}
	t.Log(seen)
	if seen["refused"] < 3 {
		t.Errorf("%v: no page that was in use has been tried", seen)
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
