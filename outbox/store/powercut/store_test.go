//go:build realfuse

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"

	"countersign/outbox/store"
	"countersign/outbox/store/powercut/disk"
)

// opened is a store that runs upon the disk.
type opened struct {
	*store.Store
	t    *testing.T
	stop func() error // what Run and Close returned
}

func openStore(s *shown) *opened {
	s.t.Helper()
	st, err := tryStore(s, s.at)
	must(s.t, err)
	return st
}

func tryStore(s *shown, dir string) (*opened, error) {
	st, err := store.Open(store.Options{Dir: dir, MaxSize: 128 << 20}) // it grows by a 64th of it at a time
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- st.Run(ctx) }()
	return &opened{Store: st, t: s.t, stop: func() error {
		cancel()
		return errors.Join(<-ended, st.Close())
	}}, nil
}

// put writes some of the keys anew.
func (o *opened) put(rng *rand.Rand, version int, acked map[string]int) error {
	keys := make([]string, 20)
	for i := range keys {
		keys[i] = fmt.Sprintf("key%03d", rng.IntN(300))
	}
	err := o.Update(o.t.Context(), func(tx *store.Tx) error {
		for _, k := range keys {
			if err := tx.Bucket(store.Journal).Put([]byte(k), fmt.Appendf(nil, "%08d%s", version, strings.Repeat("x", 400))); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		for _, k := range keys {
			acked[k] = version
		}
	}
	return err
}

// check looks for what was acknowledged; what is newer may be there too.
func (o *opened) check(acked map[string]int) {
	o.t.Helper()
	err := o.View(func(tx *store.Tx) error {
		for k, want := range acked {
			got := 0
			b, err := tx.Bucket(store.Journal).Get([]byte(k))
			if _, serr := fmt.Sscanf(string(b), "%08d", &got); err != nil || serr != nil || got < want {
				o.t.Errorf("%s is version %d, and %d was acknowledged (%v)", k, got, want, err)
			}
		}
		return nil
	})
	must(o.t, err)
}

// A flush of the meta page fails, the process ends because of it and is started again upon the same
// disk, where the kernel still shows what is not on it; then the power goes in the middle of its
// first commit. Without rewriteMeta that commit writes over what the newest meta page on the disk
// refers to.
func TestStartAfterFailedFlush(t *testing.T) {
	s := begin(t, t.TempDir())
	rng := rand.New(rand.NewPCG(1, 2))
	acked := map[string]int{}
	for round := range 30 {
		st := openStore(s)
		st.check(acked)
		for i := range 10 {
			must(t, st.put(rng, round*100+i, acked))
		}
		s.do(order{Do: "arm", Plan: disk.Plan{Call: disk.Flush, Below: 8192, Errno: []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO}[round%3], CutAfter: -1, Seed: uint64(round)}})
		if err := st.put(rng, round*100+10, acked); !errors.Is(err, store.ErrUnknown) || errors.Is(err, store.ErrFull) {
			t.Fatalf("after a failed flush: %v", err)
		}
		if err := st.stop(); !errors.Is(err, store.ErrUnknown) {
			t.Fatalf("Run = %v", err)
		}
		st = openStore(s)
		st.check(acked)
		s.do(order{Do: "arm", Plan: disk.Plan{Call: disk.Flush, Below: 8192, Hang: true, CutAfter: -1}})
		answer := make(chan error, 1)
		go func() { answer <- st.put(rng, round*100+11, acked) }()
		s.until("fault")
		s.do(order{Do: "cut"})
		s.do(order{Do: "release"})
		if err := <-answer; !errors.Is(err, store.ErrUnknown) {
			t.Fatalf("after the cut: %v", err)
		}
		_ = st.stop()
		s.cut(disk.Styles[round%len(disk.Styles)], uint64(round))
	}
}

// Of forty databases whose meta flush fails once, and whose power goes within the next writes, none
// is destroyed: who is told of a failed flush ends, and is started again.
//
//	go test -tags realfuse,fault_flushon -run TestFlushFailsOnce .
//
// does it to one that goes on.
func TestFlushFailsOnce(t *testing.T) {
	s := begin(t, t.TempDir())
	rng := rand.New(rand.NewPCG(3, 4))
	const databases = 40
	destroyed := 0
	for n := range databases {
		dir := s.path(fmt.Sprintf("db%02d", n))
		must(t, os.Mkdir(dir, 0o700))
		s.syncDir(s.at)
		if err := flushFailsOnce(s, rng, dir, uint64(n)); err != nil {
			destroyed++
			t.Log(err)
		}
	}
	if destroyed > 0 {
		t.Errorf("%d of %d databases are destroyed", destroyed, databases)
	}
}

// flushFailsOnce returns why the database cannot be opened any more.
func flushFailsOnce(s *shown, rng *rand.Rand, dir string, n uint64) error {
	acked := map[string]int{}
	st, err := tryStore(s, dir)
	must(s.t, err)
	for i := range 30 {
		must(s.t, st.put(rng, i, acked))
	}
	s.do(order{Do: "arm", Plan: disk.Plan{Call: disk.Flush, Below: 8192, Errno: []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT}[n%2], CutAfter: -1, Seed: n}})
	switch err := st.put(rng, 30, acked); {
	case err == nil:
		s.t.Fatal("a flush failed and nobody was told")
	case errors.Is(err, store.ErrUnknown):
		_ = st.stop()
		if st, err = tryStore(s, dir); err != nil {
			return err
		}
	}
	s.do(order{Do: "arm", Plan: disk.Plan{CutAfter: 3 + rng.IntN(22)}})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for st.put(rng, 31, acked) == nil { // a commit makes some twenty calls here
		}
	}()
	s.until("cut")
	s.do(order{Do: "release"})
	<-ended
	_ = st.stop()
	s.cut(disk.Styles[n%4], n)
	if st, err = tryStore(s, dir); err != nil {
		return err
	}
	st.check(acked)
	return st.stop()
}

// A first start that the power ends at any of its calls is no obstacle to the next, and what was
// acknowledged after it is there: the name of the data directory too.
func TestFirstStart(t *testing.T) {
	s := begin(t, t.TempDir())
	rng := rand.New(rand.NewPCG(5, 6))
	acknowledged := 0
	for n := range 100 {
		dir := s.path(fmt.Sprintf("data%02d", n))
		s.do(order{Do: "arm", Plan: disk.Plan{CutAfter: n / 2}})
		acked := map[string]int{}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, err := store.OpenSealer(dir)
			if err != nil {
				return
			}
			st, err := tryStore(s, dir)
			if err != nil {
				return
			}
			for st.put(rng, n, acked) == nil {
			}
			_ = st.stop()
		}()
		s.until("cut")
		s.do(order{Do: "release"})
		<-ended
		s.cut(disk.Styles[n%len(disk.Styles)], uint64(n))
		if len(acked) > 0 {
			acknowledged++
		}
		if _, err := store.OpenSealer(dir); err != nil {
			t.Errorf("cut %d: %v", n, err)
		}
		st, err := tryStore(s, dir)
		must(t, err)
		st.check(acked)
		must(t, st.stop())
	}
	if acknowledged == 0 || acknowledged == 100 {
		t.Errorf("%d of 100 came to acknowledge something: both are to be seen", acknowledged)
	}
}

// A full disk refuses and passes, if it was a page that could not be written; with the meta page,
// of which half may be there, nobody knows.
func TestWriteFailsOnStore(t *testing.T) {
	s := begin(t, t.TempDir())
	rng := rand.New(rand.NewPCG(1, 2))
	acked := map[string]int{}
	st := openStore(s)
	for i := range 20 {
		must(t, st.put(rng, i, acked))
	}
	full := 0
	for after := range 60 { // a commit writes some dozen pages: the meta page is among them
		version := 100 + 3*after
		s.do(order{Do: "arm", Plan: disk.Plan{Call: disk.Write, After: after % 20, Part: after%2 == 0, Errno: syscall.ENOSPC, CutAfter: -1}})
		var err error
		for i := range 3 {
			if err = st.put(rng, version+i, acked); err != nil {
				break
			}
		}
		if errors.Is(err, store.ErrFull) {
			full++
			st.check(acked)
			must(t, st.put(rng, version, acked))
			continue
		}
		if !errors.Is(err, store.ErrUnknown) {
			t.Fatalf("a write fails after %d: %v", after%20, err)
		}
		_ = st.stop()
		s.cut(disk.Styles[after%len(disk.Styles)], uint64(after))
		st = openStore(s)
		st.check(acked)
	}
	if full == 0 || full == 60 {
		t.Errorf("full %d times of 60: both are to be seen", full)
	}
	must(t, st.stop())
}

// Growing that fails for want of room is a full disk; any other failure of it ends the store.
func TestGrowingFailsOnStore(t *testing.T) {
	s := begin(t, t.TempDir())
	rng := rand.New(rand.NewPCG(1, 2))
	acked := map[string]int{}
	st := openStore(s)
	large := func() error {
		return st.Update(t.Context(), func(tx *store.Tx) error { return tx.Bucket(store.Journal).Put([]byte("large"), make([]byte, 10<<20)) })
	}
	must(t, st.put(rng, 1, acked))
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		s.do(order{Do: "arm", Plan: disk.Plan{Call: disk.Grow, Errno: errno, CutAfter: -1}})
		if err := large(); !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), errno.Error()) {
			t.Errorf("%v while growing: %v, want ErrFull", errno, err)
		}
		must(t, st.put(rng, 2, acked))
	}
	s.do(order{Do: "arm", Plan: disk.Plan{Call: disk.Flush, Errno: syscall.ENOSPC, CutAfter: -1}}) // of what was made larger
	if err := large(); !errors.Is(err, store.ErrUnknown) || !strings.Contains(err.Error(), "file sync error") {
		t.Errorf("ENOSPC when what was made larger is flushed: %v, want ErrUnknown", err)
	}
	_ = st.stop()
	st = openStore(s)
	st.check(acked)
	s.do(order{Do: "arm", Plan: disk.Plan{Call: disk.Grow, Errno: syscall.EIO, CutAfter: -1}})
	if err := st.Update(t.Context(), func(tx *store.Tx) error { return tx.Bucket(store.Journal).Put([]byte("larger"), make([]byte, 30<<20)) }); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("EIO while growing: %v, want ErrUnknown", err)
	}
	_ = st.stop()
}
