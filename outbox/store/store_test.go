package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	bolt "go.etcd.io/bbolt"
)

// missing makes rounds of concurrent Updates and, right after the last nil of a round, looks for
// each in a copy of the file.
func missing(t *testing.T, s *Store, rounds, writers int) (n int) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "copy.db")
	for round := range rounds {
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				if err := s.Update(t.Context(), put(fmt.Sprint(round, "/", w), "v")); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		copyFile(t, name, s.Path())
		db, err := bolt.Open(name, 0o600, &bolt.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		db.View(func(bare *bolt.Tx) error {
			tx := &Tx{bolt: bare, part: s.part}
			for w := range writers {
				if !tx.Bucket(here(Journal)).Has([]byte(fmt.Sprint(round, "/", w))) {
					n++
				}
			}
			return nil
		})
		db.Close()
	}
	return n
}

// I1: nil means that it is in the file. Run with -tags fault_ackearly this must fail.
func TestNilMeansWritten(t *testing.T) {
	s, _ := start(t, Options{Dir: t.TempDir(), MaxSize: 4 << 20})
	if n := missing(t, s, 20, 50); n > 0 {
		t.Errorf("%d of 1000 updates were answered nil and are not in the file", n)
	}
}

func TestConcurrentUpdatesShareCommits(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	s, _ := start(t, Options{Metrics: reg})
	const writers, each = 64, 20
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := s.Update(t.Context(), put(fmt.Sprint(w, "/", i), "v")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	commits := metric(t, reg, "store_commit_seconds", "")
	if commits > writers*each/4 {
		t.Errorf("%v commits for %d updates; they do not share", commits, writers*each)
	}
	for w := range writers {
		for i := range each {
			if get(t, s, fmt.Sprint(w, "/", i)) == "" {
				t.Fatalf("update %d/%d is lost", w, i)
			}
		}
	}
}

// One bad caller of a group is answered alone; the others are run again without it and commit
// together.
func TestFailureIsAnsweredAlone(t *testing.T) {
	errMine := errors.New("mine")
	f := func(bad func(*Tx) error, check func(error) bool) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			reg := prometheus.NewPedanticRegistry()
			s, _ := start(t, Options{Metrics: reg})
			release := hold(s)
			const n = 9
			var errs [n]error
			var runs [n]atomic.Int32
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() {
					errs[i] = s.Update(t.Context(), func(tx *Tx) error {
						runs[i].Add(1)
						if err := put(strconv.Itoa(i), "v")(tx); err != nil {
							return err
						}
						if i == 4 {
							return bad(tx)
						}
						return nil
					})
				})
			}
			synctest.Wait()
			before := metric(t, reg, "store_commit_seconds", "")
			release()
			wg.Wait()
			if got := metric(t, reg, "store_commit_seconds", "") - before; got != 2 {
				t.Errorf("the held write and the group took %v commits, want 2", got)
			}
			for i := range n {
				if i == 4 {
					if !check(errs[i]) || get(t, s, "4") != "" || runs[i].Load() != 1 {
						t.Errorf("the bad one: %v, left %q, ran %d times", errs[i], get(t, s, "4"), runs[i].Load())
					}
					continue
				}
				if errs[i] != nil || get(t, s, strconv.Itoa(i)) != "v" {
					t.Errorf("update %d: %v, stored %q", i, errs[i], get(t, s, strconv.Itoa(i)))
				}
			}
		})
	}
	f(func(*Tx) error { return errMine }, func(err error) bool { return errors.Is(err, errMine) })
	f(func(*Tx) error { panic("boom") }, func(err error) bool { return err != nil && err.Error() == "panic in a storage transaction: boom" })
	f(func(tx *Tx) error { return tx.Bucket(Name(99)).Put(nil, nil) }, func(err error) bool { return err != nil })
}

// A function is run again when another of its group fails after it, from a clean transaction.
func TestFunctionsMayRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := start(t, Options{})
		release := hold(s)
		runs := 0
		var leftover string
		go s.Update(t.Context(), func(tx *Tx) error {
			runs++
			b, err := tx.Bucket(here(Journal)).Get([]byte("k"))
			if leftover = string(b); err != nil {
				return err
			}
			return put("k", strconv.Itoa(runs))(tx)
		})
		synctest.Wait()
		go s.Update(t.Context(), func(*Tx) error { return errors.New("no") })
		synctest.Wait()
		release()
		synctest.Wait()
		if runs != 2 || leftover != "" || get(t, s, "k") != "2" {
			t.Errorf("ran %d times, found %q of the first run, stored %q; want 2, nothing, 2", runs, leftover, get(t, s, "k"))
		}
	})
}

func TestLaterLingersAndShares(t *testing.T) {
	f := func(linger, want time.Duration, company bool, wantCommits float64) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			reg := prometheus.NewPedanticRegistry()
			s, _ := start(t, Options{Linger: linger, Metrics: reg})
			started := time.Now()
			done := make(chan error, 2)
			for i := range 2 {
				if !s.Later(put(fmt.Sprint("later", i), "v"), func(err error) {
					if get(t, s, fmt.Sprint("later", i)) != "v" {
						err = errors.New("told before it was committed")
					}
					done <- err
				}) {
					t.Error("Later was refused")
				}
			}
			if company {
				mustUpdate(t, s, put("now", "v"))
			}
			if err := errors.Join(<-done, <-done); err != nil {
				t.Error(err)
			}
			if got := time.Since(started); got != want {
				t.Errorf("committed after %v, want %v", got, want)
			}
			if got := metric(t, reg, "store_commit_seconds", ""); got != wantCommits {
				t.Errorf("%v commits, want %v", got, wantCommits)
			}
		})
	}
	f(0, 2*time.Millisecond, false, 1)
	f(50*time.Millisecond, 50*time.Millisecond, false, 1)
	f(50*time.Millisecond, 0, true, 1) // the one that somebody waits for takes them along
}

func TestLaterHearsOfItsFailure(t *testing.T) {
	s, _ := start(t, Options{})
	want := errors.New("no")
	got := make(chan error, 1)
	s.Later(func(*Tx) error { return want }, func(err error) { got <- err })
	if err := <-got; !errors.Is(err, want) {
		t.Errorf("then was told %v, want %v", err, want)
	}
}

// When ctx ends first, the write may still happen.
func TestContextEndsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := start(t, Options{})
		release := hold(s)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := s.Update(ctx, put("k", "v"))
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrClosed) {
			t.Errorf("Update = %v, want the deadline", err)
		}
		release()
		synctest.Wait()
		if get(t, s, "k") != "v" {
			t.Error("the function was queued and has not run")
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s := mustOpen(t, Options{}) // never run: nothing else can end the wait
	defer s.Close()
	if err := s.Update(ctx, put("k", "v")); !errors.Is(err, context.Canceled) {
		t.Errorf("Update with a dead context = %v", err)
	}
}

// What was queued when Run is told to stop is committed and answered; then nothing is taken any
// more.
func TestRunDrainsThenCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		release := hold(s)
		errs := make(chan error, 20)
		for i := range 10 {
			go func() { errs <- s.Update(t.Context(), put(fmt.Sprint("u", i), "v")) }()
			s.Later(put(fmt.Sprint("l", i), "v"), func(err error) { errs <- err })
		}
		synctest.Wait()
		cancel()
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		synctest.Wait()
		select {
		case <-closed:
			t.Fatal("Close did not wait for Run")
		default:
		}
		release()
		for range 20 {
			if err := <-errs; err != nil {
				t.Errorf("queued before the end: %v", err)
			}
		}
		if err := errors.Join(<-ended, <-closed); err != nil {
			t.Error(err)
		}
		refuses(t, s)
		again := mustOpen(t, s.o)
		defer again.Close()
		for i := range 10 {
			if get(t, again, fmt.Sprint("u", i)) != "v" || get(t, again, fmt.Sprint("l", i)) != "v" {
				t.Errorf("write %d of before the end is lost", i)
			}
		}
	})
}

// refuses asks often, for a queue with room must not win against the end by chance.
func refuses(t *testing.T, s *Store) {
	t.Helper()
	for range 50 {
		if err := s.Update(context.Background(), put("late", "v")); !errors.Is(err, ErrClosed) {
			t.Fatalf("Update after the end = %v, want ErrClosed", err)
		}
		if s.Later(put("late", "v"), func(error) { t.Error("then was called after the end") }) {
			t.Fatal("Later after the end was accepted")
		}
	}
}

// A Later that was accepted hears how it ended, even when that is the end of the store.
func TestAcceptedLaterIsAlwaysAnswered(t *testing.T) {
	s := mustOpen(t, Options{})
	told := make(chan error, 1)
	if !s.Later(put("k", "v"), func(err error) { told <- err }) {
		t.Fatal("Later was refused")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-told:
		if !errors.Is(err, ErrClosed) {
			t.Errorf("told %v, want ErrClosed", err)
		}
	default:
		t.Error("an accepted write was never answered")
	}
}

func TestCloseWithoutRun(t *testing.T) {
	s := mustOpen(t, Options{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	refuses(t, s)
	if err := s.View(func(*Tx) error { return nil }); err == nil {
		t.Error("View works on a closed store")
	}
}

// A scrape that comes during the shutdown must not take the process down.
func TestScrapeAfterClose(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	s := mustOpen(t, Options{Metrics: reg})
	s.Close()
	if _, err := reg.Gather(); err != nil {
		t.Error(err)
	}
}

// B13, B14: the options that durability and speed rest on.
func TestOptions(t *testing.T) {
	s := mustOpen(t, Options{})
	defer s.Close()
	if s.db.NoSync || s.db.NoGrowSync || !s.db.NoFreelistSync || s.db.FreelistType != bolt.FreelistMapType || s.db.IsReadOnly() {
		t.Errorf("NoSync %v, NoGrowSync %v, NoFreelistSync %v, FreelistType %v, read only %v",
			s.db.NoSync, s.db.NoGrowSync, s.db.NoFreelistSync, s.db.FreelistType, s.db.IsReadOnly())
	}
	if s.o.MaxSize != 64<<30 || int64(s.db.MaxSize) != s.o.MaxSize || s.o.Linger != 2*time.Millisecond {
		t.Errorf("MaxSize %d (bbolt: %d), Linger %v", s.o.MaxSize, s.db.MaxSize, s.o.Linger)
	}
	f := func(path string, want os.FileMode) {
		t.Helper()
		fi, err := os.Stat(path)
		if err != nil || fi.Mode().Perm()&^want != 0 {
			t.Errorf("%s has mode %v, %v; want at most %v", path, fi.Mode(), err, want)
		}
	}
	f(s.Path(), 0o600)
	f(filepath.Join(s.o.Dir, uncleanTag), 0o600)
	made := mustOpen(t, Options{Dir: filepath.Join(t.TempDir(), "a", "b")})
	defer made.Close()
	f(made.o.Dir, 0o700)
}
