package store

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func drop(ks ...string) func(*Tx) error {
	return func(tx *Tx) error {
		for _, k := range ks {
			if err := tx.Bucket(here(Journal)).Delete([]byte(k)); err != nil {
				return err
			}
		}
		return nil
	}
}

// fill writes records of one size, ten to a commit, as long as they are admitted, and returns how
// many there are.
func fill(t *testing.T, s *Store, body string) (n int) {
	t.Helper()
	for s.Admit() == nil {
		if err := s.Update(t.Context(), func(tx *Tx) error {
			for i := range 10 {
				if err := put(fmt.Sprint("k", n+i), body)(tx); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatalf("record %d was admitted and refused: %v", n, err)
		}
		n += 10
	}
	if !errors.Is(s.Admit(), ErrFull) {
		t.Errorf("Admit = %v, want ErrFull", s.Admit())
	}
	return n
}

func readable(t *testing.T, s *Store, n int, body string) {
	t.Helper()
	for i := range n {
		if get(t, s, fmt.Sprint("k", i)) != body {
			t.Fatalf("record %d of %d cannot be read", i, n)
		}
	}
}

// Whoever asks Admit first never sees a full file, and what the reserve is for still commits then:
// settling, small writes, deleting.
func TestMaxSizeWithAdmit(t *testing.T) {
	f := func(maxSize int64, record int) {
		t.Helper()
		s, _ := start(t, Options{Dir: fastDir(t), MaxSize: maxSize})
		body := strings.Repeat("x", record)
		n := fill(t, s, body)
		if stored := int64(n * record); stored < maxSize*6/10 {
			t.Errorf("full with %d bytes of %d", stored, maxSize)
		}
		for i := range 300 { // a success must not open the door again
			if err := s.Update(t.Context(), put(fmt.Sprint("settled", i), "outcome")); err != nil {
				t.Fatalf("settling %d: %v", i, err)
			}
			if s.Admit() == nil {
				t.Fatalf("after settling %d the file is no longer full", i)
			}
		}
		readable(t, s, n, body)
		for i := range n / 3 {
			mustUpdate(t, s, drop(fmt.Sprint("k", i)))
		}
		mustUpdate(t, s, put("settled", "last")) // the pages freed by the last one can be used from here on
		if err := s.Admit(); err != nil {
			t.Errorf("a third is free again: Admit = %v", err)
		}
		mustUpdate(t, s, put("new", body))
		s.measure()
		if fi := s.Size(); fi > maxSize {
			t.Errorf("the file has %d bytes, more than %d", fi, maxSize)
		}
	}
	f(8<<20, 1_500)
	f(20<<20, 5_000) // larger than what bbolt grows by at once, and no multiple of it
	f(64<<20, 20_000)
}

// A write that does not fit gets ErrFull, and only that: nothing stops, nothing is lost, and what
// fits still commits.
func TestMaxSizeReached(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	s, stop := start(t, Options{Dir: fastDir(t), MaxSize: 8 << 20, Metrics: reg})
	body := strings.Repeat("x", 3_000)
	n := fill(t, s, body)
	large := strings.Repeat("x", 4<<20)
	if err := s.Update(t.Context(), put("large", large)); !errors.Is(err, ErrFull) || errors.Is(err, ErrUnknown) {
		t.Fatalf("Update = %v, want ErrFull", err)
	}
	told := make(chan error, 1)
	s.Later(put("large", large), func(err error) { told <- err })
	if err := <-told; !errors.Is(err, ErrFull) {
		t.Errorf("Later was told %v, want ErrFull", err)
	}
	if !errors.Is(s.Admit(), ErrFull) || get(t, s, "large") != "" {
		t.Errorf("Admit = %v, and of what was refused %d bytes are there", s.Admit(), len(get(t, s, "large")))
	}
	if got := metric(t, reg, "store_commit_failures_total", "full"); got != 2 || metric(t, reg, "store_full", "") != 1 {
		t.Errorf("%v failures for a full file, want 2; and store_full 1", got)
	}
	readable(t, s, n, body)
	for i := range n / 2 {
		mustUpdate(t, s, drop(fmt.Sprint("k", i)))
	}
	mustUpdate(t, s, put("small", "v"))
	if s.Admit() != nil || metric(t, reg, "store_full", "") != 0 {
		t.Errorf("half is free again: Admit = %v", s.Admit())
	}
	mustUpdate(t, s, put("new", body))
	if run, closed := stop(); run != nil || closed != nil {
		t.Errorf("Run = %v, Close = %v; a full file is no reason to stop", run, closed)
	}
	if err := examined(s.Path()); err != nil {
		t.Error(err)
	}
}

// Even one who never asks, until nothing fits any more, breaks nothing: all is readable, now and
// after a restart.
func TestMaxSizeExhausted(t *testing.T) {
	s, stop := start(t, Options{Dir: fastDir(t), MaxSize: 8 << 20})
	body := strings.Repeat("x", 3_000)
	var err error
	n := 0
	for ; err == nil; n++ {
		err = s.Update(t.Context(), put(fmt.Sprint("k", n), body))
	}
	n--
	if !errors.Is(err, ErrFull) || !errors.Is(s.Admit(), ErrFull) || get(t, s, fmt.Sprint("k", n)) != "" {
		t.Fatalf("Update = %v, Admit = %v, want ErrFull and nothing written", err, s.Admit())
	}
	readable(t, s, n, body)
	if run, closed := stop(); run != nil || closed != nil {
		t.Errorf("Run = %v, Close = %v", run, closed)
	}
	s, _ = start(t, s.o)
	readable(t, s, n, body)
	if !errors.Is(s.Admit(), ErrFull) {
		t.Errorf("after a restart Admit = %v, want ErrFull from the start", s.Admit())
	}
}

// A file for which the config has become too small opens, serves and refuses, and what frees its
// pages goes on.
func TestMaxSizeLowered(t *testing.T) {
	s, stop := start(t, Options{Dir: fastDir(t), MaxSize: 16 << 20})
	body := strings.Repeat("x", 2_000)
	const n, group = 4000, 20
	each := func(from int, do func(k string) func(*Tx) error) {
		t.Helper()
		for ; from < n; from += group {
			mustUpdate(t, s, func(tx *Tx) (err error) {
				for i := range group {
					err = errors.Join(err, do(fmt.Sprintf("k%05d", from+i))(tx))
				}
				return err
			})
		}
	}
	each(0, func(k string) func(*Tx) error { return put(k, body) })
	for i := range 400 { // some room has always been left by what was settled
		mustUpdate(t, s, drop(fmt.Sprintf("k%05d", i)))
	}
	stop()
	s, _ = start(t, Options{Dir: s.o.Dir, MaxSize: 4 << 20})
	if s.Admit() == nil {
		t.Error("more is admitted into a file of twice its size")
	}
	if get(t, s, "k03999") != body {
		t.Error("what is there cannot be read")
	}
	each(400, func(k string) func(*Tx) error { return drop(k) })
	mustUpdate(t, s, put("k", "v"))
}

func TestRoom(t *testing.T) {
	s := mustOpen(t, Options{MaxSize: 1 << 30})
	defer s.Close()
	s.ahead.Store(0)
	const reserve, alloc = 64 << 20, 16 << 20
	f := func(used, free, owed, wantRoom int64, want Shortage) {
		t.Helper()
		pages := s.page * int64(s.db.Stats().FreePageN+s.db.Stats().PendingPageN) / 2
		if room, short := s.left(used, free, owed); room != wantRoom+pages || short != want {
			t.Errorf("left(used %d, free %d, owed %d) = %d, %v; want %d, %v", used, free, owed, room-pages, short, wantRoom, want)
		}
	}
	f(0, reserve, 0, reserve, 0)
	f(0, reserve-1, 0, reserve-1, ShortDisk)
	f(1<<30-reserve-alloc, 1<<40, 0, reserve, 0)
	f(1<<30-reserve-alloc+1<<20, 1<<40, 0, reserve-1<<20, ShortSize)
	f(1<<30, 0, 0, -alloc, ShortSize|ShortDisk)
	f(0, 3*reserve, reserve, 3*reserve, 0)
	f(0, 3*reserve, 3*reserve, 3*reserve, ShortOwed)
	f(0, 1<<40, 1<<30, 1<<30-alloc, ShortOwed)
	s.ahead.Store(40 << 20) // what is allocated already is no part of what the disk has left
	f(8<<20, reserve-32<<20, 0, reserve, 0)
	f(8<<20, reserve-32<<20-1, 0, reserve-1, ShortDisk)
	if o := (Options{MaxSize: 16 << 20}); o.reserve() != 1<<20 || o.settling() != 1<<19 {
		t.Errorf("reserve of 16 MiB = %d and %d, want a sixteenth and half of that", o.reserve(), o.settling())
	}
	if got := (ShortDisk | ShortOwed).String(); got != "disk, pending" {
		t.Errorf("they are called %q", got)
	}
}

// Each class leaves its part to the next: what callbacks may not use the fold may, and what that
// may not use settling may.
func TestClasses(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	s, _ := start(t, Options{Dir: fastDir(t), MaxSize: 32 << 20, Metrics: reg})
	var owed atomic.Int64
	s.Owe(owed.Load)
	a := s.Account()
	if a.Short != 0 || a.Owed != 0 || a.Reserve != 2<<20 || a.Room < 24<<20 || s.Admit() != nil || s.AdmitFor(20<<20) != nil {
		t.Fatalf("an empty file: %+v, Admit = %v, AdmitFor = %v", a, s.Admit(), s.AdmitFor(20<<20))
	}
	left := 4*a.Reserve + 1<<20 // what callers leave who may be anybody's programs, and some for the clock's tick
	if s.AdmitGuest(1) != nil || s.AdmitGuest(a.Room-left) != nil {
		t.Errorf("an empty file: AdmitGuest = %v, %v", s.AdmitGuest(1), s.AdmitGuest(a.Room-left))
	}
	if err := s.AdmitGuest(a.Room - left + 2<<20); !errors.Is(err, ErrFull) || s.AdmitFor(a.Room-left+2<<20) != nil {
		t.Errorf("what is left for callbacks: AdmitGuest = %v, AdmitFor = %v", err, s.AdmitFor(a.Room-left+2<<20))
	}
	if err := s.AdmitFor(a.Room - a.Reserve + 1); !errors.Is(err, ErrFull) {
		t.Errorf("more than there is: %v", err)
	}
	if s.Account().Short != ShortOwed || s.Admit() == nil {
		t.Errorf("what was refused is not said: %+v", s.Account())
	}
	s.measure()
	owed.Store(a.Room - a.Reserve + 1)
	s.measure()
	if err := s.Admit(); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "pending") || s.Account().Short != ShortOwed {
		t.Errorf("when all that is left is owed: %v, %+v", err, s.Account())
	}
	if metric(t, reg, "store_short", "pending") != 1 || metric(t, reg, "store_short", "disk") != 0 || metric(t, reg, "store_full", "") != 1 {
		t.Error("the metrics do not say what is short")
	}
	if err := errors.Join(s.AdmitOwn(0), s.AdmitOwn(a.Reserve/4-1)); err != nil {
		t.Errorf("records that nobody sends again: %v", err)
	}
	if err := s.AdmitOwn(a.Reserve / 4); !errors.Is(err, ErrFull) {
		t.Errorf("more of those than there is room for: %v", err)
	}
	if err := s.AdmitFold(1<<20, 10); err != nil {
		t.Errorf("the fold, for whom that is kept: %v", err)
	}
	if err := s.AdmitFold((a.Room-a.Reserve/2)/2+1, 0); !errors.Is(err, ErrFull) {
		t.Errorf("more than the fold may use: %v", err)
	}
	if err := s.AdmitFold(0, int(a.Room/s.page)); !errors.Is(err, ErrFull) {
		t.Errorf("more pages than the fold may use: %v", err)
	}
	owed.Store(0)
	s.measure()
	if err := s.Admit(); err != nil {
		t.Errorf("when nothing is owed any more: %v", err)
	}
}

// What settling alone may use is allocated on the disk, and no part of the file's size; it stays
// ahead as the file grows.
func TestReserveIsAllocated(t *testing.T) {
	s := mustOpen(t, Options{Dir: fastDir(t), MaxSize: 64 << 20}) // does not run: the test is its writer
	defer s.Close()
	f := func() {
		t.Helper()
		var st syscall.Stat_t
		if err := syscall.Stat(s.Path(), &st); err != nil {
			t.Fatal(err)
		}
		var used int64
		if err := s.View(func(tx *Tx) error { used = tx.bolt.Size(); return nil }); err != nil {
			t.Fatal(err)
		}
		if got, want := st.Blocks*512, used+s.o.settling(); s.ahead.Load() < want-s.o.settling()/8 || got < want-s.o.settling()/4 { // less is topped up; and bbolt leaves holes
			t.Errorf("%d bytes are allocated, %d said to be, of %d in use and %d ahead", got, s.ahead.Load(), used, s.o.settling())
		}
	}
	s.allocate(true)
	f()
	body := strings.Repeat("x", 100_000)
	for i := range 60 {
		if _, _, err := s.try([]*op{{fn: put(fmt.Sprint("k", i), body)}}); err != nil {
			t.Fatal(err)
		}
	}
	s.allocate(true)
	f()
}
