//go:build realfuse

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"countersign/outbox/store/powercut/disk"
)

// shown is the program as a process, with its disk at a place.
type shown struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
	at  string
}

func begin(t *testing.T, at string) *shown {
	t.Helper()
	s := &shown{t: t, at: at, cmd: exec.Command(os.Args[0], "-test.run=^$")}
	s.cmd.Env = append(os.Environ(), asProgram+"=1")
	s.cmd.Stderr = os.Stderr
	in, err := s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.in, s.out = in, bufio.NewScanner(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := s.cmd.Wait(); err != nil {
			t.Error(err)
		}
		if mounted(at) {
			t.Errorf("%s is still mounted", at)
		}
	})
	s.do(order{Do: "mount", At: at})
	return s
}

// do gives an order and returns the answer; what happened meanwhile is passed over.
func (s *shown) do(o order) (a answer) {
	s.t.Helper()
	if err := json.NewEncoder(s.in).Encode(o); err != nil {
		s.t.Fatal(err)
	}
	for s.out.Scan() {
		if a = (answer{}); json.Unmarshal(s.out.Bytes(), &a) == nil && a.Answer != "" {
			if a.Error != "" {
				s.t.Fatal(a.Error)
			}
			return a
		}
	}
	s.t.Fatal("the program has ended")
	return a
}

// until waits for an event.
func (s *shown) until(what string) {
	s.t.Helper()
	for s.out.Scan() {
		var e disk.Event
		if json.Unmarshal(s.out.Bytes(), &e) == nil && e.What == what {
			return
		}
	}
	s.t.Fatal("the program has ended")
}

// cut takes the power away and gives it back.
func (s *shown) cut(style disk.Style, seed uint64) disk.Counts {
	s.t.Helper()
	s.do(order{Do: "cut"})
	return *s.do(order{Do: "restore", Style: style, Seed: seed}).Counts
}

func (s *shown) path(name string) string { return filepath.Join(s.at, name) }

func (s *shown) open(name string) *os.File {
	s.t.Helper()
	f, err := os.OpenFile(s.path(name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

func (s *shown) syncDir(dir string) {
	s.t.Helper()
	d, err := os.Open(dir)
	if err != nil {
		s.t.Fatal(err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		s.t.Fatal(err)
	}
}

func mounted(at string) bool {
	b, err := os.ReadFile("/proc/self/mountinfo")
	return err != nil || strings.Contains(string(b), " "+at+" ")
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func writeAt(t *testing.T, f *os.File, text string, at int64) {
	t.Helper()
	_, err := f.WriteAt([]byte(text), at)
	must(t, err)
}

func holds(t *testing.T, path, want string) {
	t.Helper()
	if b, err := os.ReadFile(path); err != nil || string(b) != want {
		t.Errorf("%s holds %.40q, %v; want %.40q", path, b, err, want)
	}
}

// Through the kernel: flushed is there after a cut, written is not, and a name needs its directory
// flushed.
func TestCuts(t *testing.T) {
	s := begin(t, t.TempDir())
	f := s.open("a")
	writeAt(t, f, "flushed", 0)
	must(t, f.Sync())
	s.syncDir(s.at)
	writeAt(t, f, "written", 0)
	holds(t, s.path("a"), "written")
	g := s.open("b")
	writeAt(t, g, "nameless", 0)
	must(t, g.Sync(), f.Close(), g.Close())
	if c := s.cut(disk.Drop, 1); c.Unflushed != 2 || c.Left != 0 {
		t.Errorf("the cut found %+v, want a sector and a name", c)
	}
	holds(t, s.path("a"), "flushed")
	if _, err := os.Stat(s.path("b")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("b: %v", err)
	}
	f = s.open("a")
	writeAt(t, f, "written", 0)
	must(t, f.Close())
	s.cut(disk.Keep, 3)
	if b, _ := os.ReadFile(s.path("a")); string(b) != "written" && string(b) != "flushed" {
		t.Errorf("a holds %q", b)
	}
	must(t, os.WriteFile(s.path("a.new"), []byte("new"), 0o600))
	f = s.open("a.new")
	must(t, f.Sync(), f.Close(), os.Rename(s.path("a.new"), s.path("a")))
	holds(t, s.path("a"), "new")
	s.syncDir(s.at)
	must(t, os.Mkdir(s.path("dir"), 0o700), os.WriteFile(s.path("dir/c"), []byte("c"), 0o600))
	f = s.open("dir/c")
	must(t, f.Sync(), f.Close())
	s.syncDir(s.path("dir"))
	s.cut(disk.Drop, 1)
	holds(t, s.path("a"), "new")
	must(t, os.Link(s.path("a"), s.path("l")), os.Remove(s.path("a")))
	holds(t, s.path("l"), "new")
	s.cut(disk.Drop, 1)
	entries, err := os.ReadDir(s.at)
	if err != nil || len(entries) != 1 {
		t.Errorf("there are %v, %v; want a alone", entries, err)
	}
}

// bbolt reads through a map what it writes by calls; one process locks others out; a cut breaks
// neither.
func TestMapAndLock(t *testing.T) {
	s := begin(t, t.TempDir())
	for range 2 {
		f := s.open("x.db")
		must(t, f.Truncate(3*4096), f.Sync())
		s.syncDir(s.at)
		m, err := syscall.Mmap(int(f.Fd()), 0, 64<<10, syscall.PROT_READ, syscall.MAP_SHARED)
		must(t, err)
		for i := range 100 {
			text := fmt.Sprintf("version %03d", i)
			writeAt(t, f, text, int64(4096*(i%3)))
			if got := string(m[4096*(i%3):][:len(text)]); got != text {
				t.Fatalf("mapped is %q, written was %q", got, text)
			}
		}
		must(t, f.Truncate(8*4096))
		writeAt(t, f, "grown", 7*4096)
		if got := string(m[7*4096:][:5]); got != "grown" {
			t.Errorf("mapped is %q", got)
		}
		must(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
		g := s.open("x.db")
		if err := syscall.Flock(int(g.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
			t.Errorf("a second lock: %v", err)
		}
		must(t, syscall.Munmap(m), f.Close(), g.Close())
		s.cut(disk.Drop, 1)
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(s.at, &st); err != nil || st.Bavail == 0 {
		t.Errorf("%+v, %v", st, err)
	}
}

// Planned errors come out of the calls they are planned for, as they are.
func TestErrors(t *testing.T) {
	s := begin(t, t.TempDir())
	f := s.open("f")
	defer f.Close()
	page := strings.Repeat("x", 4096)
	check := func(p disk.Plan, do func() error) {
		t.Helper()
		p.CutAfter = -1
		s.do(order{Do: "arm", Plan: p})
		if err := do(); !errors.Is(err, p.Errno) {
			t.Errorf("%s: %v, want %v", p.Call, err, p.Errno)
		}
		if err := do(); err != nil {
			t.Errorf("%s, the next: %v", p.Call, err)
		}
	}
	size := int64(0)
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EDQUOT} {
		check(disk.Plan{Call: disk.Write, Errno: errno}, func() error { _, err := f.WriteAt([]byte(page), 0); return err })
		check(disk.Plan{Call: disk.Write, Part: true, Errno: errno}, func() error {
			n, err := syscall.Pwrite(int(f.Fd()), []byte(page), 0)
			if n == 2048 {
				_, err = syscall.Pwrite(int(f.Fd()), []byte(page), 2048)
			} else if n != len(page) {
				t.Errorf("%d bytes of a part are written, %v", n, err)
			}
			return err
		})
		check(disk.Plan{Call: disk.Flush, Errno: errno}, func() error { return syscall.Fdatasync(int(f.Fd())) })
		check(disk.Plan{Call: disk.Flush, Errno: errno}, f.Sync)
		check(disk.Plan{Call: disk.Grow, Errno: errno}, func() error { size += 1 << 20; return f.Truncate(size) })
		check(disk.Plan{Call: disk.Grow, Errno: errno}, func() error { size += 1 << 20; return syscall.Fallocate(int(f.Fd()), 0, 0, size) })
	}
	check(disk.Plan{Call: disk.Names, Errno: syscall.EIO}, func() error { return os.Mkdir(s.path("d"), 0o700) })
}

// Who was killed leaves a mount behind; the next one takes it away, and leaves alone who lives.
func TestSweep(t *testing.T) {
	lives := begin(t, t.TempDir())
	must(t, os.WriteFile(lives.path("f"), []byte("x"), 0o600))
	dir := t.TempDir()
	killed := exec.Command(os.Args[0], "-test.run=^$")
	killed.Env = append(os.Environ(), asProgram+"=1")
	in, err := killed.StdinPipe()
	must(t, err)
	out, err := killed.StdoutPipe()
	must(t, err, killed.Start())
	fmt.Fprintf(in, `{"do":"mount","at":%q}`+"\n", dir)
	if !bufio.NewScanner(out).Scan() || !mounted(dir) {
		t.Fatal("it is not mounted")
	}
	must(t, killed.Process.Kill())
	killed.Wait()
	if !mounted(dir) {
		t.Fatal("the mount went with its process: there is nothing to show")
	}
	begin(t, t.TempDir())
	if mounted(dir) {
		t.Error("the mount of who was killed is still there")
	}
	holds(t, lives.path("f"), "x")
}
