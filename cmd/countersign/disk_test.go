package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"countersign/outbox/store"
)

// swapDisk waits for a line, and then puts another file under the database's descriptor in this
// process: one opened for reading only refuses to be written (EBADF), and /dev/null takes
// everything and cannot flush it (EINVAL).
func swapDisk(with string) {
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return
	}
	fds, _ := filepath.Glob("/proc/self/fd/*")
	for _, link := range fds {
		to, err := os.Readlink(link)
		if err != nil || filepath.Base(to) != "countersign.db" {
			continue
		}
		flag := syscall.O_WRONLY
		if with == "itself" {
			with, flag = to, syscall.O_RDONLY
		}
		fd, err := strconv.Atoi(filepath.Base(link))
		if err != nil {
			panic(err)
		}
		other, err := syscall.Open(with, flag|syscall.O_CLOEXEC, 0)
		if err != nil {
			panic(err)
		}
		if err := syscall.Dup3(other, fd, syscall.O_CLOEXEC); err != nil {
			panic(err)
		}
		fmt.Fprintln(os.Stdout, "swapped")
		return
	}
	panic("the database is not open")
}

// TestIOError: after an I/O error the process is gone within a second, whatever partners do, and
// its last line names the file, the call and what that answered. The next start says that it
// follows an unclean stop.
func TestIOError(t *testing.T) {
	f := func(with, call, errno string) {
		t.Helper()
		release := make(chan struct{})
		hangs := newHook(t, func() int { <-release; return http.StatusOK }) // a stop in good order gives it 10 s
		dir, config := house(t, hangs.url)
		spare(t, filepath.Join(dir, "data"))
		cmd := exec.Command(os.Args[0], "serve", "--config", config)
		cmd.Env = append(os.Environ(), "COUNTERSIGN_BE_MAIN=1", "COUNTERSIGN_SWAP_DISK="+with)
		var log bytes.Buffer
		cmd.Stderr = &log
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
		defer cmd.Process.Kill()
		trigger := func(subject string) (code int) {
			code, _, _ = cli(t, nil, "trigger", "--config", config, "sumsub-eu", "approved", "--subject", subject, "--wait", "0s")
			return code
		}
		eventually(t, "a callback is taken", func() bool { return trigger("user-001") == exitYes })
		eventually(t, "a delivery hangs", func() bool { return hangs.told("user-001", "approved") })
		fmt.Fprintln(in)
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if code := trigger("user-002"); code == exitYes {
			t.Errorf("%s: acknowledged on a disk that fails", with)
		}
		err = cmd.Wait()
		took := time.Since(began)
		t.Logf("%s of %s: the process was gone after %v", errno, call, took.Round(time.Millisecond))
		if err == nil || cmd.ProcessState.ExitCode() != exitNo || took > time.Second {
			t.Errorf("%s: it ended after %v with %v, want exit 1 within a second", with, took, err)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		var last struct{ Level, Msg, Path, Call, Errno string }
		err = json.Unmarshal([]byte(lines[len(lines)-1]), &last)
		if err != nil || last.Level != "ERROR" || last.Msg != "store_failed" ||
			last.Path != filepath.Join(dir, "data", "countersign.db") || last.Call != call || last.Errno != errno {
			t.Errorf("%s: the last line is %s (%v), want one of %s and %s", with, lines[len(lines)-1], err, call, errno)
		}
		close(release)
		if got := gauge(t, start(t, config), "countersign_store_unclean_start"); got != 1 {
			t.Errorf("%s: the next start says countersign_store_unclean_start %v", with, got)
		}
	}
	f("itself", "pwrite64", "EBADF")
	f("/dev/null", "fdatasync", "EINVAL")
}

// spare makes a database with 8 MiB of free pages: a commit that finds room does not ask for the size
// of the file, which /dev/null would answer before the call that the test is about.
func spare(t *testing.T, dir string) {
	t.Helper()
	s, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(filepath.Join(dir, "countersign.db"), 0o600, &bolt.Options{NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	name := []byte("spare")
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket(name)
		for i := 0; i < 2048 && err == nil; i++ {
			err = b.Put(fmt.Appendf(nil, "%04d", i), make([]byte, 4000))
		}
		return err
	})
	if err == nil {
		err = db.Update(func(tx *bolt.Tx) error { return tx.DeleteBucket(name) })
	}
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestDiskHangs: while a commit does not end the gateway is not ready and says why, the metric
// grows, and callbacks are refused in time. When it ends, so does all that.
func TestDiskHangs(t *testing.T) {
	partner := newHook(t, func() int { return http.StatusOK })
	_, config := house(t, partner.url)
	g := start(t, config)
	if got := gauge(t, g, "countersign_store_unclean_start"); got != 0 {
		t.Errorf("the first start says countersign_store_unclean_start %v", got)
	}
	if code, text := readyz(t, g); code != http.StatusOK {
		t.Fatalf("/readyz: %d %s", code, text)
	}
	hung, release := make(chan struct{}), make(chan struct{})
	go g.store.Update(context.Background(), func(*store.Tx) error {
		close(hung)
		<-release
		return nil
	})
	<-hung
	if code, _, errs := cli(t, nil, "trigger", "--config", config, "sumsub-eu", "approved"); code == exitYes {
		t.Errorf("acknowledged while the disk hangs: %s", errs)
	}
	eventually(t, "the disk hangs", func() bool {
		code, text := readyz(t, g)
		return code == http.StatusServiceUnavailable && strings.Contains(text, "the disk does not answer: a commit has been running for ")
	})
	if got := gauge(t, g, "countersign_store_commit_running_seconds"); got < store.Stall.Seconds() {
		t.Errorf("countersign_store_commit_running_seconds %v while it hangs", got)
	}
	close(release)
	eventually(t, "the disk answers", func() bool { code, _ := readyz(t, g); return code == http.StatusOK })
	eventually(t, "no commit is running", func() bool { return gauge(t, g, "countersign_store_commit_running_seconds") == 0 })
	eventually(t, "callbacks are taken", func() bool {
		code, _, _ := cli(t, nil, "trigger", "--config", config, "sumsub-eu", "approved", "--subject", "user-002")
		return code == exitYes
	})
}

// TestReadySaysWhatIsShort: /readyz names what there is too little room of, and the metric says so
// too.
func TestReadySaysWhatIsShort(t *testing.T) {
	_, config := house(t, "http://127.0.0.1:9/")
	g := start(t, config)
	var owed atomic.Int64
	g.store.Owe(owed.Load)
	f := func(bytes int64, want string) {
		t.Helper()
		owed.Store(bytes)
		eventually(t, fmt.Sprintf("/readyz with %d bytes owed says %q", bytes, want), func() bool {
			code, text := readyz(t, g)
			if want == "" {
				return code == http.StatusOK
			}
			return code == http.StatusServiceUnavailable && strings.Contains(text, want)
		})
	}
	f(0, "")
	f(1<<50, "storage is full (pending): ")
	if code, _, _ := cli(t, nil, "trigger", "--config", config, "sumsub-eu", "approved"); code == exitYes {
		t.Error("a callback was taken for which there is no room")
	}
	if got := gauge(t, g, "countersign_store_pending_bytes"); got < 1<<50 {
		t.Errorf("countersign_store_pending_bytes %v", got)
	}
	f(0, "")
	if code, out, errs := cli(t, nil, "trigger", "--config", config, "sumsub-eu", "approved"); code != exitYes {
		t.Errorf("when there is room: %s%s", out, errs)
	}
}

// gauge reads one series without labels as Prometheus would.
func gauge(t *testing.T, g *gateway, name string) float64 {
	t.Helper()
	resp, err := http.Get("http://" + g.control.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindSubmatch(b)
	if m == nil {
		t.Fatalf("no metric %s", name)
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
