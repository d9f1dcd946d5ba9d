package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// Killed at any moment while it compacts under load, a store has everything that it acknowledged,
// and nothing of the compaction is left beside it.
func TestCompactKilled(t *testing.T) {
	dir := fastDir(t)
	s, stop := start(t, Options{Dir: dir})
	preload(t, s, 20_000)
	stop()
	acked := map[string]int{}
	cut, compacted := 0, 0
	for life := range 12 {
		cmd := command("compacting", dir)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		whole := 0 // compactions of this life
		for n := 0; lines.Scan(); n++ {
			var k string
			var v int
			if lines.Text() == "compacted" {
				whole++
				compacted++
			}
			if _, err := fmt.Sscan(lines.Text(), &k, &v); err != nil {
				continue // that line, or one that was cut off
			}
			acked[k] = max(acked[k], v)
			if n >= 200+150*life && (life%3 != 0 || whole > 0) { // each third one has seen the end of one
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
		if exists(filepath.Join(dir, fileName+compactSuffix)) {
			cut++
		}
		s := mustOpen(t, Options{Dir: dir})
		if exists(s.Path() + compactSuffix) {
			t.Error("what the killed one left is still there")
		}
		for k, want := range acked {
			got := 0
			if _, err := fmt.Sscan(get(t, s, k), &got); err != nil || got < want {
				t.Errorf("life %d: %s is %d, and %d was acknowledged: %v", life, k, got, want, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of 12 were killed in the middle of a compaction, after %d that had ended; %d keys", cut, compacted, len(acked))
	if cut == 0 || compacted == 0 {
		t.Error("both are to be seen")
	}
}

// compactOn is the one that is killed: it writes versions of keys, says which are acknowledged, and
// compacts over and over.
func compactOn(dir string) error {
	s, err := Open(Options{Dir: dir})
	if err != nil {
		return err
	}
	s = s.Part(suitePart)
	ctx := context.Background()
	go s.Run(ctx)
	started := int(time.Now().UnixMilli()) // so that versions grow from life to life
	for w := range 4 {
		go func() {
			for n := 0; ; n++ {
				k, v := fmt.Sprint("w", w, "/", n%100), started<<20+n
				if err := s.Update(ctx, put(k, strconv.Itoa(v))); err != nil {
					panic(err)
				}
				fmt.Fprintln(os.Stdout, k, v)
			}
		}()
	}
	for {
		if _, err := s.Compact(ctx, nil); err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, "compacted")
	}
}

// A file that nobody has open is compacted as a whole, and one that somebody has open is not.
func TestCompactFile(t *testing.T) {
	s, stop := start(t, Options{})
	preload(t, s, 6000)
	litter(t, s, "marker-of-the-deleted")
	c := newChurner(t, s, 1)
	for range 50 {
		if err := c.once(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := CompactFile(t.Context(), s.Path(), true, nil); !errors.Is(err, ErrLocked) {
		t.Errorf("a file that is open: %v", err)
	}
	stop()
	before := digest(t, s.Path())
	plan, err := CompactFile(t.Context(), s.Path(), true, nil)
	if err != nil || plan.Free == 0 || plan.Phase != Idle || digest(t, s.Path()) != before {
		t.Errorf("a dry run: %+v, %v", plan, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := CompactFile(ctx, s.Path(), false, nil); !errors.Is(err, ErrNotCompacted) || digest(t, s.Path()) != before || exists(s.Path()+compactSuffix) {
		t.Errorf("given up: %v", err)
	}
	if err := os.WriteFile(s.Path()+compactSuffix, []byte("of one that was cut off"), 0o600); err != nil {
		t.Fatal(err)
	}
	steps := 0
	got, err := CompactFile(t.Context(), s.Path(), false, func(Compaction) { steps++ })
	fi, serr := os.Stat(s.Path())
	if err != nil || serr != nil || got.Phase != Done || got.After != fi.Size() || got.After > plan.Expected || fi.Mode().Perm() != 0o600 || steps < 4 || exists(s.Path()+compactSuffix) {
		t.Errorf("%+v, %v, %v, %d steps", got, err, serr, steps)
	}
	if b, err := os.ReadFile(s.Path()); err != nil || bytes.Contains(b, []byte("marker-of-the-deleted")) {
		t.Errorf("what was deleted is still there: %v", err)
	}
	if err := examined(s.Path()); err != nil {
		t.Error(err)
	}
	s = mustOpen(t, Options{Dir: filepath.Dir(s.Path())})
	defer s.Close()
	c.check(s)
}
