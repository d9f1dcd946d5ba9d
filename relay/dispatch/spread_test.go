package dispatch

import (
	"context"
	"errors"
	"hash/fnv"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/outbox"
	"countersign/outbox/store"
)

// inFour runs tests a second time, with what is owed in the outboxes of four partitions.
const inFour = "TestFourOutboxes/"

// partsOf is how many partitions a test's rig has.
func partsOf(tb testing.TB) int {
	tb.Helper()
	if strings.HasPrefix(tb.Name(), inFour) {
		return 4
	}
	return 1
}

// TestFourOutboxes: whoever sends what four partitions owe sends it as if one owed it.
func TestFourOutboxes(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"Concurrency": TestConcurrency, "Rate": TestRate, "RetryAfterOfOnePerson": TestRetryAfterOfOnePerson, "NoAnswer": TestNoAnswer, "Rotation": TestRotation, "HangingEndpointAtASharedHost": TestHangingEndpointAtASharedHost,
		"NothingIsLeftWaiting": TestNothingIsLeftWaiting, "SlotsComeBack": TestSlotsComeBack, "HangingPersons": TestHangingPersons, "RejectionAfterAPause": TestRejectionAfterAPause, "QueueLetsRejectionsPass": TestQueueLetsRejectionsPass,
		"EightyHours": TestEightyHours, "BrownOut": TestBrownOut, "RefusalsAreProved": TestRefusalsAreProved, "RefusedRejection": TestRefusedRejection, "RetryAfterOfARejection": TestRetryAfterOfARejection,
		"Outages": TestOutages, "Flapping": TestFlapping, "NeverBack": TestNeverBack, "HangingForDays": TestHangingForDays, "OneOfManyFails": TestOneOfManyFails,
		"Follow": TestFollow, "EndAndBegin": TestEndAndBegin, "Pause": TestPause, "ResumeWins": TestResumeWins, "DisableAfter": TestDisableAfter, "NoticeAndResume": TestNoticeAndResume,
		"KeysOfTheInstant": TestKeysOfTheInstant, "LogOfDeliveries": TestLogOfDeliveries, "TriesSayWhatWentOverTheWire": TestTriesSayWhatWentOverTheWire, "SlowDown": TestSlowDown, "ProxyIsNotThePartner": TestProxyIsNotThePartner, "PublicOnly": TestPublicOnly,
	} {
		t.Run(name, test)
	}
}

// spread is what is owed in a test: in one outbox or, by person, in those of several partitions, each
// in a file of its own.
type spread struct {
	tb     testing.TB
	parts  []*outbox.Outbox
	stores []*store.Store
	close  []func()
}

// newSpread makes the outboxes, the first in a file that there is.
func newSpread(tb testing.TB, first *store.Store, o outbox.Options, dirs ...string) *spread {
	tb.Helper()
	s := &spread{tb: tb}
	o.Among = outbox.NewMetrics(o.Metrics)
	for i := range len(dirs) + 1 {
		if o.Store = first; i > 0 {
			o.Store = s.open(dirs[i-1])
		}
		b, err := outbox.New(o, []outbox.Endpoint{{ID: "a"}})
		if err != nil {
			tb.Fatal(err)
		}
		s.parts, s.stores = append(s.parts, b), append(s.stores, o.Store)
	}
	return s
}

func (s *spread) open(dir string) *store.Store {
	s.tb.Helper()
	f, err := store.Open(store.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Linger: 200 * time.Microsecond})
	if err != nil {
		s.tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	s.close = append(s.close, func() {
		cancel()
		if err := errors.Join(<-done, f.Close()); err != nil {
			s.tb.Error(err)
		}
	})
	return f
}

// end closes the files but for the first.
func (s *spread) end() {
	for _, end := range s.close {
		end()
	}
	s.close = nil
}

// one is the outbox of the only partition; nil: there are several.
func (s *spread) one() *outbox.Outbox {
	if len(s.parts) == 1 {
		return s.parts[0]
	}
	return nil
}

// begin begins several.
func (s *spread) begin(d *Dispatcher) {
	s.tb.Helper()
	for i, b := range s.parts {
		if len(s.parts) == 1 {
			return
		}
		if err := d.Begin(int32(i), b); err != nil {
			s.tb.Fatal(err)
		}
	}
}

func (s *spread) of(lane string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(lane))
	return int(h.Sum32() % uint32(len(s.parts)))
}

// Put is in tx for the first partition, and on its own for the others.
func (s *spread) Put(tx *store.Tx, d outbox.Delivery) error {
	i := s.of(d.Lane)
	if i == 0 {
		return s.parts[0].Put(tx, d)
	}
	return s.stores[i].Update(context.Background(), func(tx *store.Tx) error { return s.parts[i].Put(tx, d) })
}

func (s *spread) Claim(endpoint string, t outbox.Turn) (ds []outbox.Delivery, next time.Time, err error) {
	for _, b := range s.parts {
		some, at, wrong := b.Claim(endpoint, t)
		ds, next, err = append(ds, some...), first(next, at), errors.Join(err, wrong)
	}
	return ds, next, err
}

func (s *spread) Owed(endpoint string) (n int64) {
	for _, b := range s.parts {
		n += b.Owed(endpoint)
	}
	return n
}

func (s *spread) Dead(endpoint string) (n int64) {
	for _, b := range s.parts {
		n += b.Dead(endpoint)
	}
	return n
}

func (s *spread) ListDead(of func(string) bool, from string, n int) (list []outbox.DeadDelivery, more bool, err error) {
	for _, b := range s.parts {
		some, rest, wrong := b.ListDead(of, from, n)
		list, more, err = append(list, some...), more || rest, errors.Join(err, wrong)
	}
	return list, more, err
}

func (s *spread) Flush(ctx context.Context) (err error) {
	for _, b := range s.parts {
		err = errors.Join(err, b.Flush(ctx))
	}
	return err
}

func (s *spread) Behind() (yes bool) {
	for _, b := range s.parts {
		yes = b.Behind() || yes
	}
	return yes
}

// Release and Settle go to where a delivery was claimed, and to all if it was not.
func (s *spread) Release(ds ...outbox.Delivery) {
	for _, d := range ds {
		for _, b := range s.parts {
			if d.From() == nil || d.From() == b {
				b.Release(d)
			}
		}
	}
}

func (s *spread) Settle(as ...outbox.Attempt) {
	for _, a := range as {
		for _, b := range s.parts {
			if a.Delivery.From() == nil || a.Delivery.From() == b {
				b.Settle(a)
			}
		}
	}
}

func (s *spread) Tries(endpoint, lane string, seq uint64) ([]outbox.Try, error) {
	return s.parts[s.of(lane)].Tries(endpoint, lane, seq)
}

func (s *spread) TriesInFull(endpoint, lane string, seq uint64) ([]outbox.Try, error) {
	return s.parts[s.of(lane)].TriesInFull(endpoint, lane, seq)
}

// dirsOf are directories in memory, where there is one, for all partitions but the first.
func dirsOf(tb testing.TB, n int) (dirs []string) {
	tb.Helper()
	for range n - 1 {
		dir, err := os.MkdirTemp("/dev/shm", "countersign")
		if err != nil {
			dir = tb.TempDir()
		}
		tb.Cleanup(func() { os.RemoveAll(dir) })
		dirs = append(dirs, dir)
	}
	return dirs
}
