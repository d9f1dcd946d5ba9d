package outbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"countersign/outbox/store"
)

// fillDisk puts /dev/full under the database's descriptor: reads go on through the mapping, every
// write finds no space left.
func fillDisk(t *testing.T, path string) (empty func()) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range fds {
		if to, err := os.Readlink(link); err != nil || to != path {
			continue
		}
		var fd int
		fmt.Sscan(filepath.Base(link), &fd)
		saved, err := syscall.Dup(fd)
		if err != nil {
			t.Fatal(err)
		}
		full, err := syscall.Open("/dev/full", syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Dup3(full, fd, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		syscall.Close(full)
		return func() {
			if err := syscall.Dup3(saved, fd, syscall.O_CLOEXEC); err != nil {
				t.Error(err)
			}
			syscall.Close(saved)
		}
	}
	t.Fatalf("%s is not open", path)
	return nil
}

// What was delivered while the disk was full is not forgotten: it is written when there is room,
// and its lane waits until then.
func TestSettleOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t, store.Options{}, Options{}, Endpoint{ID: "a"})
		for _, v := range []string{strings.Repeat("x", 1<<20), "", "y"} { // leave free pages, so that the file need not grow
			r.update(t, func(tx *store.Tx) error { return tx.Bucket(store.Refs).Put([]byte("room"), []byte(v)) })
		}
		r.put(t, change("a", "x", 1), change("a", "x", 2), change("a", "y", 1), change("a", "z", 1))
		ds := r.claim(t, "a", 9)
		empty := fillDisk(t, r.s.Path())
		r.Settle(Attempt{Delivery: ds[0], Outcome: Done})
		<-time.After(3500 * time.Millisecond)
		r.Settle(Attempt{Delivery: ds[1], Outcome: Died, Reason: "refused"}) // comes while the first waits
		<-time.After(2 * time.Second)
		if got := r.metric(t, "outbox_settle_retries_total", ""); got < 3 || got > 7 {
			t.Errorf("%v tries in 5.5 seconds, want about one a second", got)
		}
		if r.Owed("a") != 4 || r.Dead("a") != 0 || len(r.claim(t, "a", 9)) != 0 {
			t.Errorf("%d owed, %d dead; want 4, 0, and nothing to claim", r.Owed("a"), r.Dead("a"))
		}
		empty()
		r.flush(t)
		r.audit(t)
		if r.Owed("a") != 2 || r.Dead("a") != 1 {
			t.Errorf("when there is room: %d owed, %d dead; want 2, 1", r.Owed("a"), r.Dead("a"))
		}
		r = r.again(t, Endpoint{ID: "a"})
		if got := r.claim(t, "a", 9); len(got) != 2 || got[0].Lane+got[1].Lane != "zx" && got[0].Lane+got[1].Lane != "xz" {
			t.Errorf("after a restart %+v can be claimed, want x's second and z's first", got)
		}
	})
}
