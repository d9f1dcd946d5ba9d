package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	bolt "go.etcd.io/bbolt"
)

// churner writes and deletes at random, in all buckets that have sums, and remembers what was
// acknowledged.
type churner struct {
	t     *testing.T
	s     *Store
	id    int
	rng   *rand.Rand
	keys  int    // that it uses; 0: 500
	names []Name // of the buckets; nil: all of the suite's part

	is map[string]string // by bucket and key; "": it was deleted
	n  int
}

func newChurner(t *testing.T, s *Store, id int) *churner {
	t.Helper()
	return &churner{t: t, s: s, id: id, rng: rand.New(rand.NewPCG(uint64(id), 7)), is: map[string]string{}}
}

func (c *churner) once(ctx context.Context) error {
	change := map[string]string{}
	keys := c.keys
	if keys == 0 {
		keys = 500
	}
	for range 1 + c.rng.IntN(20) {
		names := c.names
		if names == nil {
			names = namesOf(suitePart)
		}
		n := names[c.rng.IntN(len(names))].bare()
		k := fmt.Sprintf("%c%d/%04d", byte(n), c.id, c.rng.IntN(keys))
		if change[k] = ""; c.rng.IntN(3) > 0 {
			change[k] = strings.Repeat(fmt.Sprintf("%s=%d;", k, c.n), 1+c.rng.IntN(40))
		}
	}
	c.n++
	err := c.s.Update(ctx, func(tx *Tx) error {
		for k, v := range change {
			b := tx.Bucket(Name(k[0]))
			if v == "" {
				if err := b.Delete([]byte(k[1:])); err != nil {
					return err
				}
			} else if err := b.Put([]byte(k[1:]), []byte(v)); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		maps.Copy(c.is, change)
	}
	return err
}

// check reads it all.
func (c *churner) check(s *Store) {
	c.t.Helper()
	if err := s.View(func(tx *Tx) error {
		for k, want := range c.is {
			if got, err := tx.Bucket(Name(k[0])).Get([]byte(k[1:])); err != nil || string(got) != want {
				c.t.Errorf("%q is %.40q, %v; acknowledged was %.40q", k, got, err, want)
			}
		}
		return nil
	}); err != nil {
		c.t.Error(err)
	}
}

// only is check, and that there is nothing else.
func (c *churner) only(s *Store) {
	c.t.Helper()
	c.check(s)
	if err := s.View(func(tx *Tx) error {
		for _, n := range c.names {
			if err := tx.Bucket(n).ForEach(func(k, _ []byte) error {
				if c.is[string(byte(n.bare()))+string(k)] == "" && string(k) != string(sumsKey) && string(k) != string(schemaKey) {
					c.t.Errorf("%s has %q", n.of(s.part), k)
				}
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		c.t.Error(err)
	}
}

// churn runs some until stop, which waits for them.
func churn(t *testing.T, s *Store, workers int) (all []*churner, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for id := range workers {
		c := newChurner(t, s, id)
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
	return all, func() { cancel(); wg.Wait() }
}

// preload writes n records in all buckets.
func preload(t *testing.T, s *Store, n int) {
	t.Helper()
	for i := 0; i < n; i += 1000 {
		mustUpdate(t, s, func(tx *Tx) error {
			for j := i; j < i+1000; j++ {
				if err := tx.Bucket(some(s, j)).Put(fmt.Appendf(nil, "preloaded/%06d", j), fmt.Appendf(nil, "%0200d", j)); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// litter fills a file with what is deleted again.
func litter(t *testing.T, s *Store, marker string) {
	t.Helper()
	for _, del := range []bool{false, true} {
		for i := range 120 {
			mustUpdate(t, s, func(tx *Tx) error {
				for j := range 20 {
					k, b := fmt.Appendf(nil, "%s/%03d/%03d", marker, i, j), tx.Bucket(some(s, i+j))
					if del {
						if err := b.Delete(k); err != nil {
							return err
						}
					} else if err := b.Put(k, []byte(strings.Repeat(marker, 400))); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
}

// Under load, nothing that was acknowledged is lost by a compaction, before it, meanwhile or after
// it; the file is smaller, sound, and still the one that a next start opens; a reader that has
// begun before keeps what it sees.
func TestCompactUnderLoad(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	s, stop := start(t, Options{MaxSize: 256 << 20, Metrics: reg})
	preload(t, s, 20_000)
	litter(t, s, "deleted")
	all, quiet := churn(t, s, 3)
	mustUpdate(t, s, put("reader", "before"))
	before := s.Size()
	for round := range 3 {
		seen, end, closed := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go func() {
			closed <- s.View(func(tx *Tx) error {
				close(seen)
				<-end
				b, err := tx.Bucket(here(Journal)).Get([]byte("reader"))
				if string(b) != "before" {
					t.Errorf("a reader of the old file sees %q", b)
				}
				return err
			})
		}()
		<-seen
		phases := map[Phase]int{}
		done := make(chan Compaction, 1)
		var switched sync.Once
		go func() {
			c, err := s.Compact(t.Context(), func(c Compaction) {
				phases[c.Phase]++
				if c.Phase == Done || c.Phase == Failed {
					switched.Do(func() { close(end) })
				}
			})
			if err != nil {
				t.Errorf("round %d: %v", round, err)
				switched.Do(func() { close(end) })
			}
			done <- c
		}()
		c := <-done
		if err := <-closed; err != nil {
			t.Error(err)
		}
		for _, p := range []Phase{Copying, Checking, CatchingUp, Switching, Done} {
			if phases[p] == 0 {
				t.Errorf("phase %s was not told", p)
			}
		}
		if phases[Copying] < 8 {
			t.Errorf("it was copied in %d steps: the writer hardly had a chance", phases[Copying])
		}
		t.Logf("%d bytes became %d, the writer waited %s, all took %s", before, c.After, c.Pause, c.Ended.Sub(c.Began))
	}
	mustUpdate(t, s, put("reader", "after"))
	if got := get(t, s, "reader"); got != "after" {
		t.Errorf("after it, %q is read", got)
	}
	if got := metric(t, reg, "store_compactions_total", "done"); got != 3 {
		t.Errorf("%v compactions counted", got)
	}
	quiet()
	for _, c := range all {
		c.check(s)
	}
	if c, err := s.Compact(t.Context(), nil); err != nil || c.After >= before {
		t.Errorf("%d bytes became %+v, %v", before, c, err)
	}
	if run, closed := stop(); run != nil || closed != nil {
		t.Fatal(run, closed)
	}
	if exists(s.Path() + compactSuffix) {
		t.Error("it left its new file behind")
	}
	if err := examined(s.Path()); err != nil {
		t.Error(err)
	}
	again := mustOpen(t, Options{Dir: filepath.Dir(s.Path())})
	defer again.Close()
	for _, c := range all {
		c.check(again)
	}
	if mapped, err := os.ReadFile("/proc/self/maps"); err != nil || strings.Contains(string(mapped), filepath.Dir(s.Path())+"/countersign.db (deleted)") {
		t.Errorf("the old file is still mapped: %v", err)
	}
}

// No byte of what was deleted before is in the file after a compaction, nor in a backup.
func TestCompactLeavesNothingDeleted(t *testing.T) {
	s, _ := start(t, Options{MaxSize: 256 << 20})
	all, quiet := churn(t, s, 1)
	litter(t, s, "marker-of-the-deleted")
	mustUpdate(t, s, put("gone", "short-marker"))
	mustUpdate(t, s, put("gone", "another"))
	mustUpdate(t, s, put("stays", "stays-marker"))
	quiet()
	count := func(path, marker string) int {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Count(b, []byte(marker))
	}
	if count(s.Path(), "marker-of-the-deleted") == 0 {
		t.Fatal("bbolt leaves nothing behind: there is nothing to show")
	}
	backup := filepath.Join(t.TempDir(), "backup.db")
	if _, err := s.Backup(backup); err != nil {
		t.Fatal(err)
	}
	c, err := s.Compact(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{backup, s.Path()} {
		for _, marker := range []string{"marker-of-the-deleted", "short-marker"} {
			if n := count(path, marker); n != 0 {
				t.Errorf("%q appears %d times in %s", marker, n, path)
			}
		}
		if count(path, "stays-marker") != 1 {
			t.Errorf("what is there is not in %s", path)
		}
	}
	if c.After >= c.Expected+64<<20 || c.Free >= 1<<20 {
		t.Errorf("after it, %+v", c)
	}
	all[0].check(s)
}

// Why not: one at a time, none beside a backup, no room, a stop; and the old file stays.
func TestCompactRefused(t *testing.T) {
	s, stop := start(t, Options{})
	litter(t, s, "deleted")
	if c := s.Compaction(); c.Phase != Idle || c.Refused != "" || c.Free == 0 || c.File == 0 || c.Expected+c.Free > c.File || c.Needed <= c.Expected || c.DiskFree == 0 {
		t.Errorf("before: %+v", c)
	}
	var second, beside error
	var once sync.Once
	_, err := s.Compact(t.Context(), func(Compaction) {
		once.Do(func() {
			if c := s.Compaction(); !c.Phase.Running() {
				t.Errorf("meanwhile: %+v", c)
			}
			_, second = s.Compact(t.Context(), nil)
			_, beside = s.Backup(filepath.Join(t.TempDir(), "b.db"))
		})
	})
	if err != nil || beside != nil || !errors.Is(second, ErrNotCompacted) || !strings.Contains(second.Error(), "under way") {
		t.Errorf("%v; a second: %v; a backup meanwhile: %v", err, second, beside)
	}
	s.backup(1)
	if _, err := s.Compact(t.Context(), nil); !errors.Is(err, ErrNotCompacted) || !strings.Contains(err.Error(), "a backup is being made") {
		t.Errorf("beside a backup: %v", err)
	}
	s.backup(-1)
	if c := planOf(s.file(), s.Path(), 1<<60); !strings.Contains(c.Refused, "bytes on the disk") {
		t.Errorf("without room: %+v", c)
	}
	for _, phase := range []Phase{Copying, CatchingUp, Switching} {
		before := digest(t, s.Path())
		ctx, cancel := context.WithCancel(t.Context())
		c, err := s.Compact(ctx, func(c Compaction) {
			if c.Phase == phase {
				cancel()
			}
		})
		if phase != Switching && (!errors.Is(err, context.Canceled) || c.Phase != Failed || c.Err == nil || digest(t, s.Path()) != before) || exists(s.Path()+compactSuffix) {
			t.Errorf("given up while %s: %v, %+v", phase, err, c)
		}
		cancel()
	}
	s.short.Store(uint32(ShortDisk))
	if _, err := s.Compact(t.Context(), func(Compaction) { s.short.Store(uint32(ShortDisk)) }); !errors.Is(err, ErrNotCompacted) || !strings.Contains(err.Error(), "nearly full") {
		t.Errorf("when the disk fills up: %v", err)
	}
	s.measure()
	_, err = s.Compact(t.Context(), func(c Compaction) {
		if c.Phase == CatchingUp {
			go stop()
			<-s.stopped
		}
	})
	if !errors.Is(err, ErrNotCompacted) || !errors.Is(err, ErrClosed) {
		t.Errorf("at a stop: %v", err)
	}
	if run, closed := stop(); run != nil || closed != nil || exists(s.Path()+compactSuffix) {
		t.Error(run, closed)
	}
	if _, err := s.Compact(t.Context(), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after it: %v", err)
	}
}

// A copy that cannot keep up says so; and what it would have missed, it does not miss.
func TestCompactTooManyChanges(t *testing.T) {
	n := &notes{}
	n.add([]string{"a", "b", "a"})
	if got, err := n.take(); err != nil || strings.Join(got, "") != "ab" || n.len() != 0 {
		t.Errorf("%q, %v", got, err)
	}
	long := strings.Repeat("x", 32<<10)
	for i := range maxNoted / len(long) {
		n.add([]string{fmt.Sprint(i, long)})
	}
	if _, err := n.take(); !errors.Is(err, errManyChanges) || n.len() != 0 {
		t.Errorf("too many: %v, %d left", err, n.len())
	}
	n.add([]string{"a"})
	if _, err := n.take(); !errors.Is(err, errManyChanges) {
		t.Errorf("after it: %v", err)
	}
}

// A damaged record is never given up by a compaction: it refuses, and every byte stays.
func TestCompactDamaged(t *testing.T) {
	s, _ := start(t, Options{})
	litter(t, s, "deleted")
	for i := range 50 {
		mustUpdate(t, s, put(fmt.Sprint("k", i), "sound"))
	}
	if err := s.db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket(here(Journal).of(suitePart).inFile()).Put([]byte("k7"), []byte("not a record of ours"))
	}); err != nil {
		t.Fatal(err)
	}
	before := digest(t, s.Path())
	if _, err := s.Compact(t.Context(), nil); !errors.Is(err, ErrNotCompacted) || !errors.Is(err, ErrBadRecord) || !strings.Contains(err.Error(), here(Journal).of(suitePart).String()) {
		t.Errorf("with a damaged record: %v", err)
	}
	if digest(t, s.Path()) != before || exists(s.Path()+compactSuffix) {
		t.Error("it has changed something")
	}
	path := filepath.Join(t.TempDir(), "b.db")
	if _, err := s.Backup(path); !errors.Is(err, ErrBadRecord) || exists(path) || exists(path+".new") {
		t.Errorf("a backup: %v", err)
	}
}
