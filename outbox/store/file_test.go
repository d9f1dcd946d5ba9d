package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Whatever a first start leaves behind when it is cut, the next one starts.
func TestCreateAfterACut(t *testing.T) {
	whole := mustOpen(t, Options{})
	whole.Close()
	b, err := os.ReadFile(whole.Path())
	if err != nil {
		t.Fatal(err)
	}
	f := func(what string, leftover []byte) {
		t.Helper()
		dir := t.TempDir()
		tmp := filepath.Join(dir, fileName+".new")
		if leftover != nil {
			if err := os.WriteFile(tmp, leftover, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, err := Open(Options{Dir: dir})
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		defer s.Close()
		if exists(tmp) {
			t.Errorf("%s: %s is still there", what, tmp)
		}
		if err := s.View(func(tx *Tx) error {
			return known(tx.bolt)
		}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	f("an empty directory", nil)
	f("an empty file", []byte{})
	f("noise", []byte(strings.Repeat("noise", 9000)))
	for cut := 4096; cut < len(b); cut += 4096 {
		f(fmt.Sprintf("the first %d bytes", cut), b[:cut])
	}
	f("a whole file, not yet renamed", b)
}

// A bucket that is not there, or that has another name, is no older file: what was in it has gone.
func TestOtherBuckets(t *testing.T) {
	f := func(what string, change func(tx *bolt.Tx) error) {
		t.Helper()
		s := mustOpen(t, Options{})
		if err := errors.Join(s.db.Update(change), s.Close()); err != nil {
			t.Fatal(err)
		}
		before := digest(t, s.Path())
		if _, err := Open(s.o); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), s.Path()) {
			t.Errorf("%s: Open = %v, want ErrCorrupt and the name", what, err)
		}
		if digest(t, s.Path()) != before {
			t.Errorf("%s: the file has been changed", what)
		}
	}
	f("one is missing", func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("questions")) })
	f("one has another name", func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket([]byte("questionz"))
		return errors.Join(err, tx.DeleteBucket([]byte("questions")))
	})
	f("there is one more", func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket([]byte("later"))
		return err
	})
	f("a record stands among them", func(tx *bolt.Tx) error {
		return errors.Join(tx.DeleteBucket([]byte("questions")), tx.Cursor().Bucket().Put([]byte("questions"), []byte("v")))
	})
}

// The same with a process that is really killed, anywhere in its first start, again and again.
func TestFirstStartKilled(t *testing.T) {
	for i := range 10 {
		dir := filepath.Join(fastDir(t), "data")
		cmd := command("firststart", dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Duration(30+7*i)*time.Millisecond, func() { cmd.Process.Kill() })
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("the child ended by itself: %v", err)
		}
		s, err := Open(Options{Dir: dir})
		if err != nil {
			t.Fatalf("kill %d: %v", i, err)
		}
		mustSealer(t, dir)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A link to a volume that is not mounted is no reason to begin anew in its place.
func TestDanglingLinkIsKept(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, fileName)
	if err := os.Symlink(filepath.Join(dir, "unmounted", fileName), path); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Open = %v, want an error that names %s", err, path)
	}
	if _, err := os.Readlink(path); err != nil {
		t.Errorf("the link has been replaced: %v", err)
	}
}

func TestLockedByAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	cmd := command("hold", dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "holding\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	path, tag := filepath.Join(dir, fileName), filepath.Join(dir, uncleanTag)
	before, mark := digest(t, path), digest(t, tag)
	f := func(err error, words ...string) {
		t.Helper()
		if !errors.Is(err, ErrLocked) {
			t.Fatalf("%v, want ErrLocked", err)
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q does not say %s", err, w)
			}
		}
	}
	_, err = Open(Options{Dir: dir, Examine: func(context.Context, string, string, func(Progress)) (Report, error) {
		t.Error("a file in use was checked")
		return Report{}, nil
	}})
	f(err, path, strconv.Itoa(cmd.Process.Pid))
	f(examined(path), path)
	if digest(t, path) != before || digest(t, tag) != mark {
		t.Error("the file of the other process, or its mark, has been changed")
	}
	in.Close() // the child writes once more and closes
	if err := cmd.Wait(); err != nil {
		t.Errorf("the child: %v", err)
	}
	s := mustOpen(t, Options{Dir: dir})
	defer s.Close()
	if err := s.View(func(tx *Tx) error {
		b, err := tx.Bucket(Meta).Get([]byte("k"))
		if string(b) != "by the child" {
			return errors.New("what the child wrote is not there")
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

func TestUncleanStop(t *testing.T) {
	dir := t.TempDir()
	tag := filepath.Join(dir, uncleanTag)
	var checked []string
	verdict := error(nil)
	o := Options{Dir: dir, ExamineBelow: 1, Examine: func(_ context.Context, path, _ string, _ func(Progress)) (Report, error) {
		checked = append(checked, path)
		return Report{}, verdict
	}}
	s := mustOpen(t, o)
	if b, err := os.ReadFile(tag); string(b) != fmt.Sprintln(os.Getpid()) {
		t.Errorf("the mark says %q, %v; want this process", b, err)
	}
	s.Close()
	if exists(tag) || len(checked) != 0 {
		t.Errorf("after a clean stop: marked %v, checked %v", exists(tag), checked)
	}
	if err := os.WriteFile(tag, []byte("123\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	verdict = errors.New("page 7 is odd")
	before := digest(t, s.Path())
	_, err := Open(o)
	if !errors.Is(err, verdict) || !strings.Contains(err.Error(), s.Path()) {
		t.Errorf("Open = %v, want the verdict and the name of the file", err)
	}
	if !exists(tag) || digest(t, s.Path()) != before {
		t.Error("a file that failed its check has been touched, or its mark has gone")
	}
	verdict = nil
	s = mustOpen(t, o)
	if len(checked) != 2 || checked[0] != s.Path() || checked[1] != s.Path() {
		t.Errorf("checked %v, want %s twice", checked, s.Path())
	}
	s.Close()
	if exists(tag) {
		t.Error("still marked")
	}
}

// The mark goes while the lock is still held: whoever gets the lock next puts its own there.
func TestMarkGoesBeforeTheLock(t *testing.T) {
	for range 100 {
		s := mustOpen(t, Options{})
		closed := make(chan struct{})
		go func() { defer close(closed); s.Close() }()
		for locked(s.Path()) {
		}
		if exists(filepath.Join(s.o.Dir, uncleanTag)) {
			t.Error("the lock is free and the old mark is still there: it would take away the next process's")
		}
		<-closed
	}
}

func TestOtherSchemaVersion(t *testing.T) {
	t.Run("later", func(t *testing.T) {
		otherVersion(t, SchemaVersion+1, func(tx *bolt.Tx) error {
			return (&Tx{bolt: tx, sums: &sums{}}).Bucket(Meta).Put(schemaKey, []byte{SchemaVersion + 1})
		})
	})
	t.Run("as it was written before records had checksums", func(t *testing.T) {
		otherVersion(t, 2, func(tx *bolt.Tx) error { return tx.Bucket([]byte("meta")).Put(schemaKey, []byte{2}) })
	})
}

func otherVersion(t *testing.T, version int, write func(tx *bolt.Tx) error) {
	t.Helper()
	s := mustOpen(t, Options{})
	if err := s.db.Update(func(tx *bolt.Tx) error { return write(tx) }); err != nil {
		t.Fatal(err)
	}
	s.Close()
	before := digest(t, s.Path())
	for range 2 { // the second time must not say anything else
		_, err := Open(s.o)
		if err == nil || errors.Is(err, ErrCorrupt) || strings.Contains(err.Error(), "cleanly") || !strings.Contains(err.Error(), s.Path()) || !strings.Contains(err.Error(), fmt.Sprintf("schema version [%d]", version)) {
			t.Errorf("Open = %v, want an error about version %d of %s", err, version, s.Path())
		}
	}
	if digest(t, s.Path()) != before {
		t.Error("a file of another version has been changed")
	}
}

// A backup taken while writers go on holds everything that was acknowledged before it began.
func TestBackup(t *testing.T) {
	s, _ := start(t, Options{MaxSize: 32 << 20, Logger: slog.New(slog.DiscardHandler)})
	var mu sync.Mutex // guards acked
	acked := map[string]bool{}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				k := fmt.Sprint(w, "/", i)
				if s.Update(ctx, put(k, strings.Repeat(k, 20))) != nil {
					continue
				}
				mu.Lock()
				acked[k] = true
				mu.Unlock()
			}
		})
	}
	dirs := map[string]map[string]bool{}
	for range 5 {
		dir := t.TempDir()
		mine := fmt.Sprint("before backup ", len(dirs))
		mustUpdate(t, s, put(mine, strings.Repeat(mine, 20)))
		mu.Lock()
		dirs[dir] = maps.Clone(acked)
		mu.Unlock()
		dirs[dir][mine] = true
		size, err := s.Backup(filepath.Join(dir, fileName))
		if fi, serr := os.Stat(filepath.Join(dir, fileName)); err != nil || serr != nil || fi.Size() != size || fi.Mode().Perm()&^0o600 != 0 {
			t.Fatalf("Backup = %d, %v; the file: %v, %v", size, err, fi, serr)
		}
	}
	cancel()
	wg.Wait()
	for dir, want := range dirs {
		if err := examined(filepath.Join(dir, fileName)); err != nil {
			t.Error(err)
		}
		again := mustOpen(t, Options{Dir: dir})
		for k := range want {
			if get(t, again, k) != strings.Repeat(k, 20) {
				t.Fatalf("%s was acknowledged before the backup began and is not in it", k)
			}
		}
		again.Close()
	}
	if len(acked) == 0 {
		t.Error("nothing was written meanwhile")
	}
}

func TestRemoteFileSystemsAreNamed(t *testing.T) {
	if err := onLocalDisk(t.TempDir()); err != nil {
		t.Error(err)
	}
	if err := onLocalDisk(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a directory that is not there was found local")
	}
}

// TestStopEndsBackup: a backup that is far from done holds up no stop, and there is nothing of it
// afterwards that could be taken for one.
func TestStopEndsBackup(t *testing.T) {
	s, stop := start(t, Options{MaxSize: 64 << 20, Logger: slog.New(slog.DiscardHandler)})
	for i := range 16 {
		if err := s.Update(t.Context(), put(fmt.Sprint("k", i), strings.Repeat("v", 1<<20))); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "copy.db")
	release := hold(s) // it comes to wait for the writer
	ended := make(chan error, 1)
	go func() {
		_, err := s.Backup(path)
		ended <- err
	}()
	eventually(t, func() bool { return exists(path + ".new") })
	closed := make(chan error, 1)
	go func() { closed <- errors.Join(stop()) }() // it waits for who reads the file
	release()
	if err := <-ended; err != nil && !errors.Is(err, ErrClosed) || exists(path+".new") || exists(path) != (err == nil) {
		t.Errorf("a backup at a stop: %v; there is %v", err, exists(path))
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}
