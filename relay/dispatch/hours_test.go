package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/format"
	"countersign/relay/registry"
	"countersign/relay/send"
	"countersign/signing"
)

// hours is one endpoint that is delivered to by a clock that leaps from one due time to the next:
// the real outbox file, schedule and answers, and no waiting.
type hours struct {
	t           *testing.T
	dir         string
	retry       registry.Retry
	format      string // of the endpoint
	keys        []registry.Key
	clock       atomic.Pointer[time.Time]
	restrictive bool   // what is tried tells of a rejection
	n           uint64 // sequence of whoever else the endpoint is told of

	store  *store.Store
	stop   func()
	outbox *spread
	dirs   []string // of the partitions but the first
	sender *sender
}

// fastDir is a directory in memory where there is one: these tests commit often and are not about
// the disk.
func fastDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "countersign")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func newHours(t *testing.T) *hours {
	t.Helper()
	key, err := signing.StandardKey("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	if err != nil {
		t.Fatal(err)
	}
	h := &hours{t: t, dir: fastDir(t), retry: registry.Retry(DefaultSchedule), format: "standard", keys: []registry.Key{{Key: key}}}
	h.dirs = dirsOf(t, partsOf(t))
	h.leap(at(0))
	h.open()
	t.Cleanup(func() { h.close() })
	return h
}

func (h *hours) now() time.Time { return *h.clock.Load() }

func (h *hours) leap(to time.Time) { h.clock.Store(&to) }

func (h *hours) open() {
	h.t.Helper()
	log := slog.New(slog.DiscardHandler)
	var err error
	if h.store, err = store.Open(store.Options{Dir: h.dir, Logger: log, Metrics: prometheus.NewRegistry(), Linger: 200 * time.Microsecond}); err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func(s *store.Store) { done <- s.Run(ctx) }(h.store)
	h.stop = func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Error(err)
		}
	}
	h.outbox = newSpread(h.t, h.store, outbox.Options{Logger: log, Now: h.now}, h.dirs...)
	f, _ := format.ByName(h.format)
	e := registry.Endpoint{ID: "a", URL: "http://127.0.0.1:9/", Format: f, Keys: h.keys, Concurrency: 8, Retry: h.retry}
	partners := []registry.Partner{{ID: "acme", Endpoints: []registry.Endpoint{e}}}
	known, err := registry.New(registry.Options{Store: h.store, Partners: partners})
	if err != nil {
		h.t.Fatal(err)
	}
	client := send.New(send.Options{})
	h.t.Cleanup(client.Close)
	d := New(Options{Registry: known, Outbox: h.outbox.one(), Client: client, Logger: log, Now: h.now})
	h.outbox.begin(d)
	h.sender = d.senders["a"]
}

func (h *hours) close() {
	h.t.Helper()
	h.outbox.end()
	h.stop()
	if err := h.store.Close(); err != nil {
		h.t.Error(err)
	}
}

// owe makes one delivery owed to the endpoint.
func (h *hours) owe(lane string, seq uint64, restrictive bool) {
	h.t.Helper()
	err := h.store.Update(h.t.Context(), func(tx *store.Tx) error {
		return h.outbox.Put(tx, outbox.Delivery{
			Endpoint: "a", Lane: "acme/" + lane, Sequence: seq, PreviousSequence: seq - 1, WebhookID: fmt.Sprintf("evt_%s-%d", lane, seq), Type: "kyc.status.rejected",
			Format: "standard", Restrictive: restrictive, Owed: h.now(), Received: h.now(), Body: []byte("{}"),
		})
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// try concludes everything that is due, by what answer says, and returns how many that were and
// when the next is due.
func (h *hours) try(answer func(d outbox.Delivery) (send.Answer, error)) (n int, next time.Time) {
	h.t.Helper()
	ds, next, err := h.outbox.Claim("a", outbox.Turn{Max: 100, Failed: 100})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, d := range ds {
		a, err := answer(d)
		h.sender.conclude(h.t.Context(), &job{d: d}, &a, err, h.now().Add(-time.Millisecond)) // a failure without an answer has taken time
	}
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	if err := h.outbox.Flush(ctx); err != nil {
		h.t.Fatal(err)
	}
	if len(ds) > 0 {
		_, next = h.try(answer)
	}
	return len(ds), next
}

// others has the endpoint accept what somebody else is told.
func (h *hours) others() {
	h.t.Helper()
	h.n++
	h.owe("else", h.n, false)
}

// dead lists what is dead.
func (h *hours) dead() []outbox.DeadDelivery {
	h.t.Helper()
	ds, _, err := h.outbox.ListDead(func(e string) bool { return e == "a" }, "", 1000)
	if err != nil {
		h.t.Fatal(err)
	}
	return ds
}
