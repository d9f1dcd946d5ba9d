package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	bolt "go.etcd.io/bbolt"
)

// Each bucket of each part has a name of its own in the file, by which it is found; with one bit
// flipped that is no name, and nearer to the one that it was than to any other.
func TestNamesOfParts(t *testing.T) {
	owner, flipped := map[string]Name{}, map[string]Name{}
	for part := range 256 {
		for _, n := range namesOf(uint8(part)) {
			name := string(n.inFile())
			if owner[name] != 0 || bucketOf([]byte(name)) != n {
				t.Fatalf("%s is called %q, and that is %s, and was %s", n, name, bucketOf([]byte(name)), owner[name])
			}
			owner[name] = n
		}
	}
	if len(owner) != buckets+255*len(namesOf(1)) {
		t.Errorf("there are %d names", len(owner))
	}
	for _, part := range []uint8{0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 18, 19, 20, 100, 101, 110, 111, 254, 255} {
		for _, n := range namesOf(part) {
			name := n.inFile()
			for i := range 8 * len(name) {
				name[i/8] ^= 1 << (i % 8)
				if is, was := owner[string(name)], flipped[string(name)]; is != 0 || was != 0 {
					t.Errorf("%s is one bit from %q, as %s and %s are", n, name, is, was)
				}
				if flipped[string(name)] = n; i%29 == 0 && part < 12 && nearest(name) != n {
					t.Errorf("%q is taken for %s, and was %s", name, nearest(name), n)
				}
				name[i/8] ^= 1 << (i % 8)
			}
		}
	}
	for _, name := range []string{"", "/", "3/subjects", "3.3.3/journal", "0.0.0/subjects", "03.3.3/subjects", "3.3.4/subjects", "256.256.256/subjects", "3.3.3/", "subjects/"} {
		if n := bucketOf([]byte(name)); n != 0 {
			t.Errorf("%q is taken for %s", name, n)
		}
	}
}

// What the node's own part holds is what a file without parts holds, byte for byte: a record's
// checksum is what it was before there were parts.
func TestPartZeroIsAsBefore(t *testing.T) {
	want := []byte{0x2, 0x22, 0x1, 0xfd, 0xac, 0x6a, 0x80, 0x20, 0x6}
	is := whole(Subjects, "acme/user-001", []byte("body"))
	if string(is[:recordHeader]) != string(want) {
		t.Errorf("%#v", is[:recordHeader])
	}
	if other := whole(Subjects.of(3), "acme/user-001", []byte("body")); string(other) == string(is) {
		t.Error("the checksum does not cover the part")
	}
}

// A part is there once somebody has written to it, and not because somebody has read it.
func TestPartIsMadeByAWrite(t *testing.T) {
	s, stop := start(t, Options{})
	p := s.Part(7)
	nothing := func(tx *Tx) error {
		b := tx.Bucket(Subjects)
		c := b.Cursor()
		for _, at := range []func() ([]byte, []byte){c.First, c.Last, c.Next, c.Prev, func() ([]byte, []byte) { return c.Seek(nil) }, func() ([]byte, []byte) { return b.From(nil) }} {
			if k, v := at(); k != nil || v != nil {
				t.Errorf("there is %q", k)
			}
		}
		v, err := b.Get([]byte("k"))
		if v != nil || b.Has([]byte("k")) {
			t.Errorf("there is %q", v)
		}
		n, err2 := tx.Number([]byte("n"))
		if n != 0 || len(tx.Damaged(Subjects, nil, 9)) != 0 {
			t.Errorf("there is %d", n)
		}
		return errors.Join(err, err2)
	}
	no := errors.New("no")
	if err := errors.Join(p.View(nothing), p.Update(t.Context(), nothing), p.Update(t.Context(), func(tx *Tx) error { return tx.Bucket(Subjects).Delete([]byte("k")) })); err != nil {
		t.Fatal(err)
	}
	if err := p.Update(t.Context(), func(tx *Tx) error { return errors.Join(tx.Bucket(Subjects).Put([]byte("k"), nil), no) }); !errors.Is(err, no) || len(s.Parts()) != 0 {
		t.Errorf("%v: there are %v", err, s.Parts())
	}
	mustUpdate(t, p, func(tx *Tx) error {
		b := tx.Bucket(Subjects) // asked for before there is one
		c := b.Cursor()
		if err := errors.Join(nothing(tx), b.Put([]byte("k"), []byte("v"))); err != nil {
			return err
		}
		v, err := b.Get([]byte("k"))
		if k, body := c.First(); string(v) != "v" || string(k) != "k" || string(body) != "v" {
			t.Errorf("what was written is %q, and walked as %q: %q", v, k, body)
		}
		return err
	})
	if got := s.Parts(); !slices.Equal(got, []uint8{7}) {
		t.Errorf("there are %v", got)
	}
	if err := s.View(func(tx *Tx) error {
		if tx.Bucket(Subjects).Has([]byte("k")) {
			t.Error("it stands in the node's own part")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := p.Update(t.Context(), func(tx *Tx) error { return tx.Bucket(Journal).Put([]byte("k"), nil) }); err == nil || !strings.Contains(err.Error(), "no partition has a bucket part7/journal") {
		t.Errorf("a bucket that it has not: %v", err)
	}
	stop()
	if err := examined(s.Path()); err != nil || len(s.Parts()) != 0 {
		t.Errorf("%v, and a closed file has %v", err, s.Parts())
	}
}

// Twelve parts are written to at once, beside the node's own: in each is what was written to it, and
// nothing else, also after a compaction, in a backup, and after the next start.
func TestPartsApart(t *testing.T) {
	s, stop := start(t, Options{MaxSize: 256 << 20})
	var all []*churner
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	churning := func(part uint8) {
		c := newChurner(t, s.Part(part), int(part))
		c.names = namesOf(part)
		all = append(all, c)
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := c.once(context.Background()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for part := range uint8(10) {
		churning(2 * part)
	}
	litter(t, s.Part(4), "deleted")
	more := sync.OnceFunc(func() { // parts that are made while the file is copied, before its place and behind it
		churning(3)
		churning(200)
		for _, n := range []uint8{5, 201} { // and such as hold nothing
			mustUpdate(t, s.Part(n), func(tx *Tx) error {
				return errors.Join(tx.Bucket(Subjects).Put([]byte("k"), nil), tx.Bucket(Subjects).Delete([]byte("k")))
			})
		}
	})
	if _, err := s.Compact(t.Context(), func(c Compaction) {
		if c.Phase == Checking {
			more()
		}
	}); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(t.TempDir(), "backup.db")
	if _, err := s.Backup(backup); err != nil {
		t.Fatal(err)
	}
	cancel()
	wg.Wait()
	parts := []uint8{2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 200, 201}
	check := func(s *Store) {
		t.Helper()
		if got := s.Parts(); !slices.Equal(got, parts) {
			t.Errorf("there are the parts %v", got)
		}
		for _, c := range all {
			c.only(s.Part(uint8(c.id)))
		}
	}
	check(s)
	if _, err := s.Compact(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	check(s)
	if run, closed := stop(); run != nil || closed != nil {
		t.Fatal(run, closed)
	}
	if err := errors.Join(examined(s.Path()), examined(backup)); err != nil {
		t.Error(err)
	}
	again := mustOpen(t, Options{Dir: filepath.Dir(s.Path())})
	check(again)
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	if _, err := CompactFile(t.Context(), s.Path(), false, nil); err != nil {
		t.Error(err)
	}
	again = mustOpen(t, Options{Dir: filepath.Dir(s.Path())})
	defer again.Close()
	check(again)
}

// Writes of several parts share a commit, and one that fails is answered alone. What a context
// brings along stands in the node's own part.
func TestPartsShareACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewPedanticRegistry()
		s, _ := start(t, Options{Metrics: reg})
		release := hold(s)
		no := errors.New("no")
		var wg sync.WaitGroup
		ctx, _ := With(t.Context(), func(tx *Tx) error { return tx.Bucket(Audit).Put([]byte("who"), []byte("otto")) })
		for part := range uint8(9) {
			ctx := map[bool]context.Context{true: ctx, false: t.Context()}[part == 6]
			wg.Go(func() {
				err := s.Part(part).Update(ctx, func(tx *Tx) error {
					tx.Last(func() error { return tx.SetNumber([]byte("n"), int64(part)) })
					if err := tx.Bucket(Subjects).Put([]byte("k"), []byte{part}); err != nil || part != 4 {
						return err
					}
					return no
				})
				if (part == 4) != errors.Is(err, no) || part != 4 && err != nil {
					t.Errorf("part %d: %v", part, err)
				}
			})
		}
		synctest.Wait()
		before := metric(t, reg, "store_commit_seconds", "")
		release()
		wg.Wait()
		if got := metric(t, reg, "store_commit_seconds", "") - before; got != 2 {
			t.Errorf("the held write and the group took %v commits, want 2", got)
		}
		for part := range uint8(9) {
			if err := s.Part(part).View(func(tx *Tx) error {
				v, err := tx.Bucket(Subjects).Get([]byte("k"))
				n, err2 := tx.Number([]byte("n"))
				if there := part != 4; there != (string(v) == string([]byte{part})) || there && n != int64(part) || part == 0 && !tx.Bucket(Audit).Has([]byte("who")) {
					t.Errorf("part %d has %v and %d", part, v, n)
				}
				return errors.Join(err, err2)
			}); err != nil {
				t.Error(err)
			}
		}
	})
}

// twins is a file in which two parts hold records of the same keys and bodies, in pages of their own.
func twins(t *testing.T) (file []byte, ledger map[string]string) {
	t.Helper()
	s := mustOpen(t, Options{MaxSize: 4 << 20})
	ledger = map[string]string{}
	for _, part := range []uint8{5, 6} {
		if err := s.Part(part).update(func(tx *Tx) error {
			for i := range recordCount {
				k := binary.BigEndian.AppendUint64(nil, uint64(i))
				ledger[History.of(part).String()+" "+string(k)] = string(recordBody(i))
				if err := tx.Bucket(History).Put(k, recordBody(i)); err != nil {
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

// leaves are the numbers of the pages that hold records of a bucket.
func leaves(t *testing.T, file []byte, n Name) (pages []int) {
	t.Helper()
	path := filepath.Join(fastDir(t), fileName)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	at := map[int]bool{}
	if err := db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(n.inFile()).ForEach(func(k, v []byte) error {
			for page := range len(file) / 4096 {
				if b := file[page*4096 : (page+1)*4096]; binary.LittleEndian.Uint16(b[8:]) == flagLeaf && strings.Contains(string(b), string(v[recordHeader:])) {
					at[page] = true
				}
			}
			return nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(at))
}

// A page of one part that stands in another, with the same keys and the same bodies, is found: no
// part is ever read as another.
func TestPageOfAnotherPart(t *testing.T) {
	whole, ledger := twins(t)
	pages := leaves(t, whole, History.of(5))
	tried, refused := 0, 0
	for _, to := range pages {
		for _, from := range pages {
			a, b := whole[to*4096:(to+1)*4096], whole[from*4096:(from+1)*4096]
			_, key, _, _ := element(a[pageHead:])
			_, other, _, _ := element(b[pageHead:])
			if to == from || string(key) != string(other) { // the page of the same records in the other part, and older ones
				continue
			}
			bad := slices.Clone(whole)
			copy(bad[to*4096+8:(to+1)*4096], b[8:]) // with the number of the page that it takes the place of
			tried++
			if tryParts(t, fmt.Sprintf("page %d over %d", from, to), bad, ledger) == "refused" {
				refused++
			}
		}
	}
	t.Logf("of %d, %d were refused", tried, refused)
	if refused < 4 {
		t.Errorf("of %d, %d were refused", tried, refused)
	}
}

// tryParts opens a damaged file of twins, and compares what is in it.
func tryParts(t *testing.T, what string, bad []byte, ledger map[string]string) (outcome string) {
	t.Helper()
	dir := fastDir(t)
	if err := os.WriteFile(filepath.Join(dir, fileName), bad, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Dir: dir})
	if err != nil {
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
		return "refused"
	}
	defer s.Close()
	there := map[string]string{}
	aside := 0
	for _, part := range s.Parts() {
		if err := s.Part(part).View(func(tx *Tx) error {
			aside += len(tx.Damaged(History, nil, 1<<20))
			return tx.Bucket(History).ForEach(func(k, v []byte) error {
				there[History.of(part).String()+" "+string(k)] = string(v)
				return nil
			})
		}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for k, v := range there {
		if ledger[k] != v {
			t.Errorf("%s: %.40q was never written", what, k)
		}
	}
	if lost := len(ledger) - len(there); lost > aside || aside > total(s.Found().Damaged) {
		t.Errorf("%s: %d records have gone, %d are put aside of %v", what, lost, aside, s.Found().Damaged)
	}
	if s.Found().Sound() {
		return "opened"
	}
	return "mended"
}

// A damaged record is put aside in its own part, which is said to have been mended, and named where
// the damage is told. Bits that have flipped are put right.
func TestMendInAPart(t *testing.T) {
	whole, ledger := twins(t)
	last := []byte(string(recordBody(399))) // no other holds it
	bad := slices.Clone(whole)
	at := strings.LastIndex(string(bad), string(last))
	bad[at] ^= 0xff
	bad[strings.LastIndex(string(bad), string(recordBody(398)))] ^= 1
	dir := fastDir(t)
	if err := os.WriteFile(filepath.Join(dir, fileName), bad, 0o600); err != nil {
		t.Fatal(err)
	}
	s, stop := start(t, Options{Dir: dir})
	defer stop()
	hurt := ""
	for name, n := range s.Found().Damaged {
		if hurt = name; n != 1 || name != "part5/history" && name != "part6/history" {
			t.Errorf("damaged are %v", s.Found().Damaged)
		}
	}
	if len(s.Found().Damaged) != 1 || total(s.Found().Corrected) != 1 {
		t.Fatalf("%+v", s.Found())
	}
	for _, part := range []uint8{0, 5, 6} {
		p := s.Part(part)
		if yes, err := p.Unrepaired(); !yes || err != nil {
			t.Errorf("part %d is not said to have been mended: %v", part, err)
		}
		mustUpdate(t, p, func(tx *Tx) error {
			list := tx.Damaged(History, nil, 9)
			if want := History.of(part).String() == hurt; want != (len(list) == 1) {
				t.Errorf("part %d has put aside %v", part, list)
			}
			for _, d := range list {
				if err := tx.SeenTo(&d); err != nil || d.Bucket != History || len(tx.Damaged(History, nil, 9)) != 0 {
					t.Errorf("%+v, %v", d, err)
				}
			}
			return tx.Repaired()
		})
		if yes, err := p.Unrepaired(); yes || err != nil {
			t.Errorf("part %d is still to be repaired: %v", part, err)
		}
	}
	stop()
	b, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	if err := examined(s.Path()); err != nil {
		t.Error(err)
	}
	delete(ledger, hurt+" "+string(binary.BigEndian.AppendUint64(nil, 399)))
	if got := tryParts(t, "the mended file", b, ledger); got != "opened" {
		t.Error(got)
	}
}

// partAuditor says of which part it is, and what it has seen.
type partAuditor struct {
	part    uint8
	records int
}

func (a *partAuditor) Record(n Name, _, _ []byte) {
	if a.records++; n.part() != 0 {
		a.records = -1 << 30
	}
}

func (a *partAuditor) Problems() []string { return []string{fmt.Sprintf("%d: %d", a.part, a.records)} }

// Each part has auditors of its own, which see it alone, where they want to.
func TestAuditorsOfParts(t *testing.T) {
	s := mustOpen(t, Options{})
	if err := errors.Join(populate(s, 0, 3, 9), s.Close()); err != nil {
		t.Fatal(err)
	}
	rep, err := Examine(t.Context(), s.Path(), "", nil, func(part uint8) Auditor {
		if part == 3 {
			return nil
		}
		return &partAuditor{part: part}
	})
	want := []string{fmt.Sprintf("0: %d", buckets*populace+2), fmt.Sprintf("part 9: 9: %d", len(namesOf(9))*populace+1)}
	if err != nil || !slices.Equal(rep.Problems, want) {
		t.Errorf("%v, %v; want %v", rep.Problems, err, want)
	}
}

// A part of which a bucket is missing, or one that no part has, is refused, also where the file is
// too large to be examined.
func TestOtherBucketsOfParts(t *testing.T) {
	f := func(what string, change func(*bolt.Tx) error) {
		t.Helper()
		s := mustOpen(t, Options{})
		if err := errors.Join(populate(s, 3), s.Close()); err != nil {
			t.Fatal(err)
		}
		db, err := bolt.Open(s.Path(), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Update(change), db.Close()); err != nil {
			t.Fatal(err)
		}
		for _, below := range []int64{0, 1} {
			if _, err := Open(Options{Dir: filepath.Dir(s.Path()), ExamineBelow: below}); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	f("a bucket less", func(tx *bolt.Tx) error { return tx.DeleteBucket(Refs.of(3).inFile()) })
	f("no meta", func(tx *bolt.Tx) error { return tx.DeleteBucket(Meta.of(3).inFile()) })
	f("a bucket of the node's", func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("3.3.3/journal")); return err })
	f("a bucket of part 256", func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("256.256.256/refs")); return err })
	f("one bucket of a part", func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("4.4.4/refs")); return err })
}
