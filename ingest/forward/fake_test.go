package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"countersign/ingest/journal"
	"countersign/kyc"
)

// fakeTopic is the far side of the network: the log of a topic, and what goes wrong on the way to
// it.
type fakeTopic struct {
	mu         sync.Mutex // guards the fields below
	partitions int
	logs       map[int32][]*Message
	brokers    int32
	headless   map[int32]bool                       // partitions without a leader
	fault      func(b Batch) (err error, kept bool) // what becomes of a batch; nil: it is taken
	prepare    func() (Layout, error)
	maxBytes   int
	requests   int
	moved      chan struct{} // something was taken
}

func newFakeTopic(partitions int) *fakeTopic {
	return &fakeTopic{partitions: partitions, brokers: 3, logs: map[int32][]*Message{}, headless: map[int32]bool{}, maxBytes: 1 << 20, moved: make(chan struct{}, 1)}
}

func (f *fakeTopic) Prepare(context.Context) (Layout, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.prepare != nil {
		return f.prepare()
	}
	return Layout{Partitions: f.partitions, MaxBytes: f.maxBytes}, nil
}

func (f *fakeTopic) Leaders(context.Context) ([]int32, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ls := make([]int32, f.partitions)
	for p := range ls {
		if ls[p] = int32(p) % f.brokers; f.headless[int32(p)] {
			ls[p] = -1
		}
	}
	return ls, nil
}

func (f *fakeTopic) Send(ctx context.Context, leader int32, bs []Batch) []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	errs := make([]error, len(bs))
	for i, b := range bs {
		size := 0
		for _, m := range b.Records {
			size += m.size()
		}
		keep := true
		switch {
		case ctx.Err() != nil:
			errs[i], keep = ctx.Err(), false
		case b.Partition%f.brokers != leader:
			errs[i], keep = &Trouble{Class: NoLeader, Text: "another broker leads"}, false
		case size > f.maxBytes:
			errs[i], keep = &Trouble{Class: TooLarge, Text: "too large", Err: ErrTooLarge}, false
		case f.fault != nil:
			errs[i], keep = f.fault(b)
		}
		if keep {
			f.logs[b.Partition] = append(f.logs[b.Partition], b.Records...)
		}
	}
	select {
	case f.moved <- struct{}{}:
	default:
	}
	return errs
}

func (f *fakeTopic) count() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.logs {
		n += len(l)
	}
	return n
}

// ids are the ids of each key in the order of their first occurrence, and how many were repeated.
func (f *fakeTopic) ids(t *testing.T) (byKey map[string][]string, repeated int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	byKey = map[string][]string{}
	seen := map[string]bool{}
	at := map[string]int32{}
	for p, l := range f.logs {
		for _, m := range l {
			key, id := string(m.Key), m.header("ce_id")
			if was, ok := at[key]; ok && was != p {
				t.Errorf("%s is in partitions %d and %d", key, was, p)
			}
			at[key] = p
			if seen[id] {
				repeated++
				continue
			}
			seen[id] = true
			byKey[key] = append(byKey[key], id)
		}
	}
	return byKey, repeated
}

// update makes the n-th record of a person.
func update(person, n int) journal.Record {
	u := kyc.Update{
		SchemaVersion: 1, ID: fmt.Sprintf("u%d-%04d", person, n), Kind: kyc.Observation, Source: "sumsub-eu", Partner: "acme",
		Subject: kyc.Subject{ID: fmt.Sprintf("user-%d", person)}, Status: kyc.Pending, ReceivedAt: someTime,
	}
	return journal.Record{Kind: u.Kind, Appended: someTime, Body: u.AppendJSON(nil), Update: &u}
}

// forwarding runs a forwarder of the rig's updates; stop ends it and waits.
func forwarding(t *testing.T, r *rig, topic Topic, change func(*Options)) (f *Forwarder, stop func()) {
	t.Helper()
	o := Options{
		Name: UpdatesTopic, Topic: topic, Feed: Updates(r.Bolt, Keys{}), Store: r.s, Forgotten: r.Forgotten(), Logger: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewPedanticRegistry()),
		TooLarge: func(ctx context.Context, m *Message) error {
			return r.Hold(ctx, TooLargeItem(UpdatesTopic, m, time.Now()))
		},
	}
	if change != nil {
		change(&o)
	}
	f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return f, stop
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	late := time.After(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

var errNoAnswer = &Trouble{Class: TimedOut, Text: "no answer in time"}

// random is a fault of one batch in n, half of which are taken although no acknowledgement comes.
func random(rng *rand.Rand, n int) func(Batch) (error, bool) {
	return func(Batch) (error, bool) {
		switch rng.IntN(2 * n) {
		case 0:
			return errNoAnswer, true
		case 1:
			return errNoAnswer, false
		default:
			return nil, true
		}
	}
}

func wantInOrder(t *testing.T, got map[string][]string, persons, each int) {
	t.Helper()
	for person := range persons {
		var want []string
		for n := range each {
			want = append(want, fmt.Sprintf("u%d-%04d", person, n))
		}
		if ids := got[fmt.Sprintf("acme/user-%d", person)]; !slices.Equal(ids, want) {
			t.Fatalf("person %d: %d ids, want %d in order: %v", person, len(ids), len(want), ids)
		}
	}
}

func counter(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

var errBroken = errors.New("broken on purpose")
