//go:build realfuse

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"countersign/outbox/store"
	"countersign/outbox/store/powercut/disk"
)

// compactCuts is how many power cuts meet a compaction: those of CI, or as many as
// POWERCUT_COMPACTIONS says.
func compactCuts(t *testing.T) int {
	t.Helper()
	text := os.Getenv("POWERCUT_COMPACTIONS")
	if text == "" {
		return 60
	}
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}

// quietCalls is about how many calls the disk sees from the beginning of a compaction here to soon
// after its end: cuts are spread over them.
const quietCalls = 120

// meeting is what a power cut meets.
type meeting int

const (
	alone    meeting = iota // a compaction that nobody writes beside, so that each call of it is met
	loaded                  // one under load
	exchange                // the exchange of the files, under load
)

// The power goes at any call of a compaction, or soon after it: everything that was acknowledged is
// in the file that is left, whichever that is, and nothing else is left beside it.
func TestCompactCuts(t *testing.T) {
	s := begin(t, t.TempDir())
	rng := rand.New(rand.NewPCG(11, 12))
	cuts, ended, after := compactCuts(t), 0, 0
	for n := range cuts {
		dir := s.path(fmt.Sprintf("cut%04d", n))
		must(t, os.Mkdir(dir, 0o700))
		s.syncDir(s.at)
		acked := map[string]int{}
		st, err := tryStore(s, dir)
		must(t, err)
		for i := range 20 {
			must(t, st.put(rng, i, acked))
		}
		kind := meeting(n % 3)
		at := map[meeting]int{alone: n * quietCalls / cuts, loaded: rng.IntN(6 * quietCalls), exchange: rng.IntN(50)}[kind]
		done, commits := st.meet(s, rng, kind, at, acked)
		if after += commits; done {
			ended++
		}
		_ = st.stop()
		s.cut(disk.Styles[n%len(disk.Styles)], uint64(n))
		if st, err = tryStore(s, dir); err != nil {
			t.Errorf("cut %d, at call %d: %v", n, at, err)
			continue
		}
		st.check(acked)
		if names, err := os.ReadDir(dir); err != nil || len(names) != 2 { // the database and its mark
			t.Errorf("cut %d, at call %d: there are %v, %v", n, at, names, err)
		}
		must(t, st.stop())
	}
	t.Logf("of %d, %d had ended before the cut, with %d commits acknowledged after them", cuts, ended, after)
	if ended == 0 || ended == cuts || after == 0 {
		t.Errorf("of %d, %d had ended before the cut, with %d commits acknowledged after them: both are to be seen", cuts, ended, after)
	}
}

// meet has a store compact, and the power go after so many calls. It reports whether the compaction
// had ended before, and how many commits were acknowledged after one that was alone.
func (o *opened) meet(s *shown, rng *rand.Rand, kind meeting, at int, acked map[string]int) (done bool, after int) {
	arm := func() { s.do(order{Do: "arm", Plan: disk.Plan{CutAfter: at}}) }
	switching, armed := make(chan struct{}), make(chan struct{})
	if kind != exchange {
		arm()
		close(armed)
	}
	compacted, written := make(chan error, 1), make(chan int, 1)
	go func() {
		_, err := o.Compact(o.t.Context(), func(c store.Compaction) {
			if c.Phase == store.Switching {
				close(switching)
				<-armed
			}
		})
		compacted <- err
	}()
	go func() {
		commits := 0
		defer func() { written <- commits }()
		if kind == alone {
			err := <-compacted
			if compacted <- err; err != nil {
				return
			}
		}
		for i := 100; o.put(rng, i, acked) == nil; i++ {
			commits++
		}
	}()
	if kind == exchange {
		select {
		case <-switching:
		case err := <-compacted: // it was refused
			compacted <- err
		}
		arm()
		close(armed)
	}
	s.until("cut")
	s.do(order{Do: "release"})
	commits := <-written
	if done = <-compacted == nil; done && kind == alone {
		after = commits
	}
	return done, after
}

// Any call of a compaction may fail, for want of room or for good: the old file stays as it is, and
// goes on, or, once the new one has its name and may lose it, the process ends and both are whole.
func TestCompactErrors(t *testing.T) {
	s := begin(t, t.TempDir())
	rng := rand.New(rand.NewPCG(13, 14))
	refused, ended := 0, 0
	for call, calls := range map[disk.Call]int{disk.Write: 4, disk.Flush: 12, disk.Grow: 2, disk.Names: 4} {
		for after := range calls {
			dir := s.path(fmt.Sprintf("%s%02d", call, after))
			must(t, os.Mkdir(dir, 0o700))
			s.syncDir(s.at)
			acked := map[string]int{}
			st, err := tryStore(s, dir)
			must(t, err)
			for i := range 20 {
				must(t, st.put(rng, i, acked))
			}
			s.do(order{Do: "arm", Plan: disk.Plan{Call: call, After: after, Errno: []syscall.Errno{syscall.EIO, syscall.ENOSPC}[after%2], CutAfter: -1, Seed: uint64(after)}})
			_, err = st.Compact(t.Context(), nil)
			s.do(order{Do: "arm", Plan: disk.Plan{CutAfter: -1}})
			switch {
			case errors.Is(err, store.ErrNotCompacted):
				refused++
				must(t, st.put(rng, 100, acked))
				_, err = st.Compact(t.Context(), nil)
				must(t, err)
				must(t, st.put(rng, 200, acked))
				must(t, st.stop())
			case errors.Is(err, store.ErrUnknown):
				ended++
				if st.put(rng, 100, acked) == nil {
					t.Errorf("%s after %d: a write is acknowledged after %v", call, after, err)
				}
				_ = st.stop()
			default:
				must(t, err, st.put(rng, 100, acked), st.stop())
			}
			s.cut(disk.Styles[after%len(disk.Styles)], uint64(after))
			st, err = tryStore(s, dir)
			must(t, err)
			st.check(acked)
			names, err := filepath.Glob(filepath.Join(dir, "*compact*"))
			must(t, err)
			if len(names) > 0 {
				t.Errorf("%s after %d: there are %v", call, after, names)
			}
			must(t, st.stop())
		}
	}
	t.Logf("%d were given up, %d ended the process", refused, ended)
	if refused == 0 || ended == 0 {
		t.Errorf("%d were given up, %d ended the process: both are to be seen", refused, ended)
	}
}
