package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// childMode is the variable that makes this test binary do one thing to one data directory, in a
// process of its own, because bbolt panics, and a truncated file faults, where nothing can recover.
const childMode = "COUNTERSIGN_STORE_CHILD"

func TestMain(m *testing.M) {
	suite()
	mode, dir, ok := strings.Cut(os.Getenv(childMode), ":")
	if !ok {
		os.Exit(m.Run())
	}
	if err := child(mode, dir); err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(3)
	}
	os.Exit(0)
}

// child exits 3 when it refuses properly; anything else but 0 is a crash.
func child(mode, dir string) error {
	switch mode {
	case "check":
		return examined(filepath.Join(dir, fileName))
	case "open":
		s, err := Open(Options{Dir: dir})
		if err != nil {
			return err
		}
		return s.Close()
	case "hold":
		return holdOpen(dir)
	case "dropping":
		return dropOn(dir)
	case "compacting":
		return compactOn(dir)
	case "firststart":
		for {
			s, err := Open(Options{Dir: dir})
			if err == nil {
				_, err = OpenSealer(dir)
			}
			if err != nil {
				return err
			}
			if err := s.Close(); err != nil {
				return err
			}
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
		}
	default:
		return childOnLinux(mode, dir)
	}
}

// holdOpen keeps the database until its input ends, then proves that nobody took it away.
func holdOpen(dir string) error {
	s, err := Open(Options{Dir: dir})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go s.Run(ctx)
	fmt.Fprintln(os.Stdout, "holding")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	err = s.Update(ctx, func(tx *Tx) error { return tx.Bucket(Meta).Put([]byte("k"), []byte("by the child")) })
	cancel()
	return errors.Join(err, s.Close())
}

func command(mode, dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childMode+"="+mode+":"+dir, "GORACE=atexit_sleep_ms=0") // else each child of a race build sleeps a second
	return cmd
}

// runChild returns what a child said and its exit code; -1: a signal killed it.
func runChild(t *testing.T, mode, dir string) (said string, code int) {
	t.Helper()
	out, err := command(mode, dir).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil {
		code = exit.ExitCode()
	}
	return string(out), code
}

// examined reports what is wrong with a file.
func examined(path string) error {
	rep, err := Examine(context.Background(), path, "", nil)
	if err == nil && !rep.Sound() {
		err = fmt.Errorf("%w: %+v", ErrCorrupt, rep)
	}
	return err
}

func mustOpen(tb testing.TB, o Options) *Store {
	tb.Helper()
	if o.Dir == "" {
		o.Dir = fastDir(tb)
	}
	s, err := Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	return suiteOf(tb, s)
}

// start opens a store and runs it until the test ends or stop is called, which returns what Run and
// Close say.
func start(tb testing.TB, o Options) (s *Store, stop func() (run, closed error)) {
	tb.Helper()
	s = mustOpen(tb, o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceValues(func() (run, closed error) {
		cancel()
		run = <-ended
		return run, s.Close()
	})
	tb.Cleanup(func() { stop() })
	return s, stop
}

// fastDir is a directory in memory where there is one: for tests that commit often and are not
// about the disk.
func fastDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "countersign")
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func mustUpdate(t *testing.T, s *Store, fn func(*Tx) error) {
	t.Helper()
	if err := s.Update(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

// put is a function for Update that writes one key of the journal's bucket.
func put(k, v string) func(*Tx) error {
	return func(tx *Tx) error { return tx.Bucket(here(Journal)).Put([]byte(k), []byte(v)) }
}

func get(t *testing.T, s *Store, k string) (v string) {
	t.Helper()
	if err := s.View(func(tx *Tx) error {
		b, err := tx.Bucket(here(Journal)).Get([]byte(k))
		v = string(b)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return v
}

// hold keeps the writer inside a transaction, so that what is brought meanwhile forms one group,
// until release.
func hold(s *Store) (release func()) {
	in, out := make(chan struct{}), make(chan struct{})
	var once sync.Once
	go s.Update(context.Background(), func(*Tx) error {
		once.Do(func() { close(in) })
		<-out
		return nil
	})
	<-in
	return func() { close(out) }
}

func digest(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func copyFile(t *testing.T, to, from string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// metric returns the value (of a histogram: the count) of one series.
func metric(t *testing.T, r prometheus.Gatherer, name, label string) float64 {
	t.Helper()
	fams, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fams {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount()) // only one of them is there
			}
		}
	}
	t.Fatalf("no metric %s %s", name, label)
	return 0
}

// records are what the corruption tests write and what nothing else may come out as.
func recordBody(i int) []byte { return bytes.Repeat(fmt.Appendf(nil, "record %04d;", i), 1+i%40) }

const recordCount = 400

// update is Update without the writer's goroutine, for a store that nobody runs.
func (s *Store) update(fn func(*Tx) error) error {
	o := &op{fn: fn, part: s.part, done: make(chan struct{})}
	return errors.Join(s.commit([]*op{o}), o.err)
}

// eventually waits for a condition that a busy machine may take long to meet.
func eventually(t *testing.T, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not happen")
		}
	}
}
