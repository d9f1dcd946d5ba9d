package relay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/store"
)

// stuff fills the file until so many bytes of room are left, or none for another record, with what
// take takes away again.
func (g *rig) stuff(left int64) (take func()) {
	g.t.Helper()
	n := 0
	update := func(fn func(store.Bucket) error) (full bool) {
		g.t.Helper()
		err := g.store.Update(context.Background(), func(tx *store.Tx) error { return fn(tx.Bucket(store.Audit)) })
		if err != nil && !isFull(err) {
			g.t.Fatal(err)
		}
		return err != nil
	}
	for full := false; !full && g.store.Account().Room > left; n++ {
		full = update(func(b store.Bucket) error {
			return b.Put(fmt.Appendf(nil, "stuff %05d", n), []byte(strings.Repeat("x", 3000)))
		})
	}
	return func() {
		for n--; n >= 0; n-- {
			update(func(b store.Bucket) error { return b.Delete(fmt.Appendf(nil, "stuff %05d", n)) })
		}
	}
}

// A batch that does not fit is folded in parts, down to what one callback brought; what does not
// fit either waits, without a loss, until there is room. Nobody is told anything twice or out of
// order by that.
func TestFoldInParts(t *testing.T) {
	p := newPartner(t, ok)
	g := &rig{t: t, dir: t.TempDir(), partners: []Partner{acme(p.endpoint("acme-all"))}, maxSize: 16 << 20}
	t.Cleanup(func() { g.close() })
	g.open()
	const people = 600
	rs := make([]journal.Record, people)
	for i := range rs {
		rs[i] = g.record(said(fmt.Sprint("user-", i), 1, kyc.Approved))
	}
	g.write(rs...)
	reserve := g.store.Account().Reserve
	take := g.stuff(reserve/2 + 900<<10)
	if a := g.store.Account(); a.Short == 0 || g.store.Admit() == nil {
		t.Fatalf("callbacks are taken into %+v", a)
	}
	g.run()
	eventually(t, "the first part is folded", func() bool { return g.position() > 0 })
	eventually(t, "the fold waits, or is through", func() bool { return g.relay.Waiting() || g.position() == people })
	if got := int64(people) - g.position(); got == 0 {
		t.Fatal("everything fitted: nothing was shown")
	}
	if room := g.store.Account().Room; room < reserve/2-100<<10 {
		t.Errorf("the fold has used what is kept for settling: %d bytes are left, of %d", room, reserve/2)
	}
	if got := g.metric("relay_evaluation_waiting"); got != 1 {
		t.Errorf("relay_evaluation_waiting %v while it waits", got)
	}
	take()
	g.settled()
	if g.relay.Waiting() || g.metric("relay_evaluation_waiting") != 0 {
		t.Error("it still waits")
	}
	seen := map[string]int{}
	for _, h := range p.seen() {
		seen[h.id]++
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s was told %d times", id, n)
		}
	}
	if len(seen) < people {
		t.Errorf("%d webhooks, want %d or more", len(seen), people)
	}
}

// The fold says how much it has written, which is what the journal expects of the records that
// wait.
func TestFoldSaysWhatItWrote(t *testing.T) {
	p := newPartner(t, ok)
	g := newRig(t, acme(p.endpoint("acme-all"), p.endpoint("acme-too")))
	var records int
	var bytes int64
	g.relay.o.Folded = func(n int, b int64) { records, bytes = records+n, bytes+b }
	g.tell(said("ann", 1, kyc.Approved), said("bob", 1, kyc.Rejected))
	if err := g.journal.Tail(t.Context(), journal.Position{}, func(ctx context.Context, rs []journal.Record) error {
		if err := g.relay.fold(ctx, rs); err != nil {
			return err
		}
		return errEnough
	}); err != errEnough { //nolint:errorlint // it is handed on as it is
		t.Fatal(err)
	}
	var stored int64
	if err := g.store.View(func(tx *store.Tx) error {
		for _, b := range []store.Name{store.Subjects, store.History, store.Index, store.Refs, store.Deliveries, store.Due, store.Withheld, store.Timers} {
			if err := tx.Bucket(b).ForEach(func(k, v []byte) error {
				stored += int64(len(k) + len(v))
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if records != 2 || bytes < stored || bytes > stored*3/2 {
		t.Errorf("it said %d bytes for %d records; in the file are %d", bytes, records, stored)
	}
}

var errEnough = errors.New("enough")

// fillDisk puts /dev/full under the database's descriptor: reads go on through the mapping, every
// write finds no space left.
func (g *rig) fillDisk() (empty func()) {
	g.t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		g.t.Fatal(err)
	}
	for _, link := range fds {
		if to, err := os.Readlink(link); err != nil || to != g.store.Path() {
			continue
		}
		fd, err := strconv.Atoi(filepath.Base(link))
		if err != nil {
			g.t.Fatal(err)
		}
		saved, err := syscall.Dup(fd)
		if err != nil {
			g.t.Fatal(err)
		}
		full, err := syscall.Open("/dev/full", syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
		if err != nil {
			g.t.Fatal(err)
		}
		if err := errors.Join(syscall.Dup3(full, fd, syscall.O_CLOEXEC), syscall.Close(full)); err != nil {
			g.t.Fatal(err)
		}
		return func() {
			if err := errors.Join(syscall.Dup3(saved, fd, syscall.O_CLOEXEC), syscall.Close(saved)); err != nil {
				g.t.Error(err)
			}
		}
	}
	g.t.Fatalf("%s is not open", g.store.Path())
	return nil
}

// What has had its time is removed in smaller steps where the usual one does not fit, and is not
// given up: to remove takes a little room, too, and makes more.
func TestRetentionInParts(t *testing.T) {
	g := newRig(t, acme())
	g.run()
	rs := make([]journal.Record, 300)
	for i := range rs {
		rs[i] = g.record(said(fmt.Sprint("user-", i), 1, kyc.Approved))
	}
	g.write(rs...)
	g.folded()
	if err := g.halt(); err != nil {
		t.Fatal(err)
	}
	g.stuff(g.store.Account().Room - 4<<20)() // leaves free pages, so that the file need not grow
	for n := range int64(3) {                 // and whoever reads meanwhile holds none of them
		if err := g.store.Update(t.Context(), func(tx *store.Tx) error { return tx.SetNumber([]byte("test/write"), n) }); err != nil {
			t.Fatal(err)
		}
	}
	g.relay.Keep(Retention{History: time.Hour})
	g.clock.advance(2 * time.Hour)
	empty := g.fillDisk()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.relay.retain(ctx) }()
	eventually(t, "steps do not fit", func() bool { return g.metric("store_commit_failures_total", "reason", "full") >= 3 })
	empty()
	eventually(t, "all history is removed", func() (gone bool) {
		if err := g.store.View(func(tx *store.Tx) error {
			k, _ := tx.Bucket(store.History).Cursor().First()
			gone = k == nil
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return gone
	})
	cancel()
	if err := <-ended; err != nil || g.relay.retained > maxRetain/2 {
		t.Errorf("%v; the next step is of %d, after three that did not fit", err, g.relay.retained)
	}
}
