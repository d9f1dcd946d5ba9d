package forward

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
)

// Nothing is lost and each key is in order, whatever Kafka answers and however often the forwarder
// is stopped; what is repeated was under way.
func TestForwardThroughFaults(t *testing.T) {
	const persons, each, stops = 40, 60, 8
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := startRig(t, "", journal.Options{})
			topic := newFakeTopic(5)
			rng := rand.New(rand.NewPCG(seed, 1))
			topic.fault = random(rng, 6)
			_, stop := forwarding(t, r, topic, nil)
			for n := range each {
				var rs []journal.Record
				for person := range persons {
					rs = append(rs, update(person, n))
				}
				mustAppend(t, r, rs...)
				if n%(each/stops) == 3 { // what is under way is cut off
					stop()
					_, stop = forwarding(t, r, topic, nil)
				}
			}
			all := func() bool { return topic.count() >= persons*each }
			until(t, "everything is there", all)
			until(t, "everything is there once", func() bool {
				got, _ := topic.ids(t)
				n := 0
				for _, ids := range got {
					n += len(ids)
				}
				return n == persons*each
			})
			got, repeated := topic.ids(t)
			wantInOrder(t, got, persons, each)
			topic.mu.Lock() // what is sent again may be under way still
			requests := topic.requests
			topic.mu.Unlock()
			t.Logf("%d repeated of %d, %d requests", repeated, persons*each, requests)
		})
	}
}

// (I2) What is kept is behind what was acknowledged: a forwarder that starts again sends nothing
// twice that was kept, and skips nothing that was not.
func TestForwardGoesOnWhereItWas(t *testing.T) {
	r := startRig(t, "", journal.Options{})
	topic := newFakeTopic(3)
	f, stop := forwarding(t, r, topic, nil)
	for n := range 50 {
		mustAppend(t, r, update(n%7, n/7))
	}
	until(t, "all is kept", func() bool { return f.Kept() == journal.At(50) })
	stop()
	r = r.again(t)
	f, _ = forwarding(t, r, topic, nil)
	mustAppend(t, r, update(0, 99))
	until(t, "the next is kept", func() bool { return f.Kept() == journal.At(51) })
	if topic.count() != 51 {
		t.Errorf("%d records for 51", topic.count())
	}
	if s := f.Status(); s.Waiting != 0 || s.Trouble != nil || !s.Since.IsZero() {
		t.Errorf("%+v", s)
	}
}

// One partition without a leader holds up nobody else; a restart repeats nothing of the others.
func TestForwardWithoutLeader(t *testing.T) {
	r := startRig(t, "", journal.Options{})
	topic := newFakeTopic(4)
	topic.headless[PartitionOf([]byte("acme/user-0"), 4)] = true
	f, stop := forwarding(t, r, topic, nil)
	others := 0
	for n := range 30 {
		for person := range 8 {
			mustAppend(t, r, update(person, n))
			if PartitionOf(fmt.Appendf(nil, "acme/user-%d", person), 4) != PartitionOf([]byte("acme/user-0"), 4) {
				others++
			}
		}
	}
	until(t, "the others are there", func() bool { return topic.count() == others })
	s := f.Status()
	if s.Trouble == nil || s.Trouble.Class != NoLeader || s.Stopped || s.Waiting == 0 || s.Since.IsZero() {
		t.Errorf("%+v", s)
	}
	stop()
	_, stop = forwarding(t, r, topic, nil)
	defer stop()
	topic.mu.Lock()
	clear(topic.headless)
	topic.mu.Unlock()
	until(t, "all is there", func() bool { return topic.count() >= 240 })
	got, repeated := topic.ids(t)
	wantInOrder(t, got, 8, 30)
	if repeated != 0 {
		t.Errorf("%d were repeated by a restart though they had been kept", repeated)
	}
}

// A record that is too large goes to the quarantine, alone, and can be released when the broker
// takes more.
func TestForwardTooLarge(t *testing.T) {
	r := startRig(t, "", journal.Options{})
	topic := newFakeTopic(1)
	topic.maxBytes = 3000
	big := update(1, 1)
	u := *big.Update
	for range 200 {
		u.Reasons = append(u.Reasons, kyc.ReasonPair{Code: kyc.OtherReason, ProviderCode: "SOME_LONG_PROVIDER_CODE"})
	}
	big.Body, big.Update = u.AppendJSON(nil), &u
	var rs []journal.Record
	for n := range 20 {
		rs = append(rs, update(0, n))
	}
	mustAppend(t, r, append(append(rs[:10:10], big), rs[10:]...)...)
	f, _ := forwarding(t, r, topic, nil)
	until(t, "all is kept", func() bool { return f.Kept() == journal.At(21) })
	got, _ := topic.ids(t)
	wantInOrder(t, got, 1, 20)
	if len(got["acme/user-1"]) != 0 || r.Quarantined() != 1 {
		t.Errorf("%d in quarantine, %v forwarded", r.Quarantined(), got["acme/user-1"])
	}
	item, err := r.Unseal("kafka_updates_" + u.ID)
	if err != nil || item.Reason != journal.Oversized || item.Source != "sumsub-eu" || string(item.Body) != string(big.Body) || item.Headers["Topic"][0] != UpdatesTopic {
		t.Errorf("%+v, %v", item, err)
	}
}

// A changed number of partitions is refused with what to do about it, unless the operator states
// it.
func TestForwardRepartitioned(t *testing.T) {
	r := startRig(t, "", journal.Options{})
	topic := newFakeTopic(3)
	f, stop := forwarding(t, r, topic, nil)
	mustAppend(t, r, update(0, 0))
	until(t, "it is kept", func() bool { return f.Kept() == journal.At(1) })
	topic.mu.Lock()
	topic.partitions = 6 // while it runs
	topic.mu.Unlock()
	until(t, "it is refused", func() bool { return f.Status().Stopped })
	mustAppend(t, r, update(1, 0))
	if text := f.Status().Trouble.Text; !strings.Contains(text, "6 partitions, and had 3") || !strings.Contains(text, "kafka.partitions to 6") {
		t.Error(text)
	}
	if topic.count() != 1 {
		t.Errorf("%d records", topic.count())
	}
	stop()
	f, stop = forwarding(t, r, topic, nil)
	until(t, "it is refused again", func() bool { return f.Status().Stopped })
	stop()
	f, _ = forwarding(t, r, topic, func(o *Options) { o.Repartition = 6 })
	until(t, "it is accepted", func() bool { return f.Kept() == journal.At(2) })
}

// Trouble at the start is told, and ends by itself.
func TestForwardPrepares(t *testing.T) {
	r := startRig(t, "", journal.Options{})
	topic := newFakeTopic(2)
	f := func(err error, class Class, stopped bool) {
		t.Helper()
		topic.mu.Lock()
		topic.prepare = func() (Layout, error) { return Layout{}, err }
		topic.mu.Unlock()
		fw, stop := forwarding(t, r, topic, nil)
		defer stop()
		mustAppend(t, r, update(0, 0))
		until(t, "trouble is told", func() bool { return fw.Status().Trouble != nil })
		if s := fw.Status(); s.Trouble.Class != class || s.Stopped != stopped || s.Waiting == 0 {
			t.Errorf("%+v", s)
		}
		topic.mu.Lock()
		topic.prepare = nil
		topic.mu.Unlock()
		until(t, "it ends", func() bool { s := fw.Status(); return s.Trouble == nil && s.Waiting == 0 })
	}
	f(&Trouble{Class: BadAuth, Text: "user cs or its password is wrong"}, BadAuth, true)
	f(&Trouble{Class: Unreachable, Text: "no broker answers"}, Unreachable, false)
	f(errBroken, OtherClass, false)
}

// A follower that lags keeps the journal: the bound holds for it as for the relay, and what it
// needs is not trimmed.
func TestForwardHoldsTheJournal(t *testing.T) {
	r := startRig(t, "", journal.Options{Backlog: 10})
	topic := newFakeTopic(2)
	topic.fault = func(Batch) (error, bool) { return errNoAnswer, false }
	f, _ := forwarding(t, r, topic, nil)
	r.Follow(f.Kept)
	trimAll := func() {
		t.Helper()
		if err := r.Passed(t.Context(), journal.Position{Offset: 1 << 40}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 10 {
		mustAppend(t, r, update(n, 0))
		trimAll()
	}
	if err := r.Append(t.Context(), update(10, 0)); !errors.Is(err, journal.ErrBacklog) || r.Backlog() != 10 {
		t.Fatalf("%v, backlog %d", err, r.Backlog())
	}
	if waiting, unread := r.metric(t, "journal_backlog_records"), r.metric(t, "journal_unread_records"); waiting != 10 || unread != 0 {
		t.Errorf("the metrics say that %v wait, %v of them for the relay", waiting, unread)
	}
	topic.mu.Lock()
	topic.fault = nil
	topic.mu.Unlock()
	until(t, "it is through", func() bool { return f.Kept() == journal.At(10) })
	trimAll()
	mustAppend(t, r, update(10, 0))
	until(t, "the last is there", func() bool { return topic.count() == 11 })
}

// What left the journal while nobody forwarded is counted, not hidden.
func TestForwardGap(t *testing.T) {
	r := startRig(t, "", journal.Options{})
	topic := newFakeTopic(2)
	f, stop := forwarding(t, r, topic, nil)
	mustAppend(t, r, update(0, 0))
	until(t, "it is kept", func() bool { return f.Kept() == journal.At(1) })
	stop()
	for n := range 5 {
		mustAppend(t, r, update(0, 1+n))
	}
	if err := r.Passed(t.Context(), journal.Position{Offset: 4}); err != nil {
		t.Fatal(err)
	}
	f, _ = forwarding(t, r, topic, nil)
	until(t, "the rest is there", func() bool { return f.Kept() == journal.At(6) })
	if n := counter(t, f.m.skipped.WithLabelValues(UpdatesTopic)); n != 3 || topic.count() != 3 {
		t.Errorf("%v skipped, %d there", n, topic.count())
	}
}

// ack: kafka waits for the acknowledgement; where none can be expected nothing is written.
func TestAcked(t *testing.T) {
	r := startRig(t, "", journal.Options{})
	topic := newFakeTopic(2)
	f, _ := forwarding(t, r, topic, nil)
	a := Acked{Journal: r.Bolt, To: f}
	until(t, "the topic is known", func() bool { return f.admits([]byte("x")) })
	if err := a.Append(t.Context(), update(0, 0), update(1, 0), update(2, 0)); err != nil || topic.count() != 3 {
		t.Fatalf("%v, %d there", err, topic.count())
	}
	topic.mu.Lock()
	topic.fault = func(Batch) (error, bool) { return errNoAnswer, false }
	topic.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := a.Append(ctx, update(0, 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Append: %v", err)
	}
	until(t, "it is refused at once", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		return errors.Is(a.Append(ctx, update(0, 1)), journal.ErrNotForwarded)
	})
	before := r.newest()
	if err := a.Hold(t.Context(), journal.Item{ID: "x", Reason: journal.UnknownWord, At: someTime, Body: []byte("{}")}, update(0, 2)); !errors.Is(err, journal.ErrNotForwarded) || r.newest() != before {
		t.Errorf("Hold: %v", err)
	}
	topic.mu.Lock()
	topic.fault = nil
	topic.mu.Unlock()
	until(t, "it recovers", func() bool { return f.admits([]byte("acme/user-0")) })
	if err := a.Hold(t.Context(), journal.Item{ID: "x", Reason: journal.UnknownWord, At: someTime, Body: []byte("{}")}, update(0, 3)); err != nil || r.Quarantined() != 1 {
		t.Errorf("Hold: %v", err)
	}
	got, _ := topic.ids(t)
	if ids := got["acme/user-0"]; ids[0] != "u0-0000" || ids[len(ids)-1] != "u0-0003" {
		t.Errorf("%v", ids)
	}
}

// blocked is a topic whose broker has taken a request and says nothing.
type blocked struct {
	*fakeTopic
	asked chan struct{}
}

func (b *blocked) Send(ctx context.Context, _ int32, batches []Batch) []error {
	close(b.asked)
	<-ctx.Done()
	return slices.Repeat([]error{&Trouble{Class: TimedOut, Text: "no answer", Err: ctx.Err()}}, len(batches))
}

// A stop does not wait for a broker that hangs, and nothing of what was under way counts as
// acknowledged.
func TestForwardStopsWhileABrokerHangs(t *testing.T) {
	r := startRig(t, "", journal.Options{})
	topic := &blocked{newFakeTopic(1), make(chan struct{})}
	f, stop := forwarding(t, r, topic, nil)
	mustAppend(t, r, update(0, 0))
	<-topic.asked
	stop()
	if f.Kept().Offset != 0 {
		t.Errorf("kept up to %d", f.Kept())
	}
	again, _ := forwarding(t, r, topic.fakeTopic, nil)
	until(t, "it is sent again", func() bool { return again.Kept() == journal.At(1) })
}

// Where there is no relay the forwarder forgets behind itself, and never what it has not passed.
func TestForwardTrims(t *testing.T) {
	r := startRig(t, "", journal.Options{})
	topic := newFakeTopic(2)
	var down atomic.Bool
	topic.fault = func(Batch) (error, bool) {
		if down.Load() {
			return errNoAnswer, false
		}
		return nil, true
	}
	f, _ := forwarding(t, r, topic, func(o *Options) {
		o.Trim = r.Passed
	})
	for n := range 20 {
		mustAppend(t, r, update(n, 0))
	}
	until(t, "all is forgotten", func() bool { return r.Backlog() == 0 })
	down.Store(true)
	mustAppend(t, r, update(0, 1))
	until(t, "it fails", func() bool { return f.Status().Trouble != nil })
	if r.Backlog() != 1 {
		t.Errorf("backlog %d", r.Backlog())
	}
	down.Store(false)
	until(t, "that is forgotten too", func() bool { return r.Backlog() == 0 })
}

// A broker that does not know the topic for a moment, as after its start, stops nothing.
func TestForwardTopicUnknownForAMoment(t *testing.T) {
	r := startRig(t, "", journal.Options{})
	topic := newFakeTopic(2)
	var times, stopped atomic.Int64
	topic.fault = func(Batch) (error, bool) {
		if times.Add(1) < 4 {
			return &Trouble{Class: BadTopic, Text: "it is not known here"}, false
		}
		return nil, true
	}
	f, _ := forwarding(t, r, topic, nil)
	mustAppend(t, r, update(0, 0))
	until(t, "it is through", func() bool {
		if f.Status().Stopped {
			stopped.Add(1)
		}
		return f.Kept() == journal.At(1)
	})
	if stopped.Load() != 0 || times.Load() != 4 {
		t.Errorf("%d tries, seen stopped %d times", times.Load(), stopped.Load())
	}
}

// An hour without Kafka: the journal fills to its bound, then callbacks are refused; when Kafka is
// back everything that was taken is there, in order, and callbacks are taken again. Time is
// compressed.
func TestForwardOutageOfAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound, persons = 600, 7
		r := startRig(t, "", journal.Options{Backlog: bound})
		topic := newFakeTopic(4)
		f, stop := forwarding(t, r, topic, nil)
		defer stop()
		r.Follow(f.Kept)
		topic.mu.Lock()
		topic.fault = func(Batch) (error, bool) { return errNoAnswer, false }
		topic.mu.Unlock()
		taken, refused := [persons]int{}, 0
		callback := func(n int) {
			t.Helper()
			switch err := r.Append(t.Context(), update(n%persons, taken[n%persons])); {
			case err == nil:
				taken[n%persons]++
			case errors.Is(err, journal.ErrBacklog):
				refused++
			default:
				t.Fatal(err)
			}
			if err := r.Passed(t.Context(), journal.Position{Offset: 1 << 40}); err != nil { // the relay has passed it
				t.Fatal(err)
			}
		}
		began := time.Now()
		for n := 0; time.Since(began) < time.Hour; n++ {
			callback(n)
			time.Sleep(4 * time.Second)
		}
		total := 0
		for _, n := range taken {
			total += n
		}
		if total != bound || refused != 300 || r.Backlog() != bound {
			t.Fatalf("%d taken, %d refused, backlog %d", total, refused, r.Backlog())
		}
		topic.mu.Lock()
		topic.fault = nil
		topic.mu.Unlock()
		time.Sleep(5 * time.Second) // the longest wait between tries is two
		if f.Kept().Offset != bound {
			t.Fatalf("%d of %d are kept: %+v", f.Kept().Offset, bound, f.Status())
		}
		for n := range persons {
			if err := r.Passed(t.Context(), journal.Position{Offset: 1 << 40}); err != nil {
				t.Fatal(err)
			}
			callback(n)
		}
		time.Sleep(time.Second)
		got, repeated := topic.ids(t)
		for person, n := range taken {
			if ids := got[fmt.Sprint("acme/user-", person)]; len(ids) != n || !slices.IsSorted(ids) {
				t.Errorf("person %d: %d of %d, %v", person, len(ids), n, ids)
			}
		}
		if repeated != 0 || refused != 300 {
			t.Errorf("%d repeated, %d refused", repeated, refused)
		}
	})
}

// countingFeed counts what is read of it.
type countingFeed struct {
	Feed
	read atomic.Int64
}

func (c *countingFeed) Next(ctx context.Context, after journal.Position) ([]Entry, journal.Position, error) {
	es, last, err := c.Feed.Next(ctx, after)
	c.read.Add(int64(len(es)))
	return es, last, err
}

// (I9) However much waits for Kafka, a bounded part of it is in memory; the rest is read when there
// is room, once.
func TestForwardMemoryIsBounded(t *testing.T) {
	const total, hand = 12_000, 1000 // a chunk may be on its way when the window is full
	r := startRig(t, "", journal.Options{})
	topic := newFakeTopic(3)
	topic.fault = func(Batch) (error, bool) { return errNoAnswer, false }
	for from := 0; from < total; from += 200 {
		rs := make([]journal.Record, 200)
		for i := range rs {
			rs[i] = update(from+i, 0)
		}
		mustAppend(t, r, rs...)
	}
	feed := &countingFeed{Feed: Updates(r.Bolt, Keys{})}
	f, _ := forwarding(t, r, topic, func(o *Options) { o.Feed = feed })
	until(t, "the window is full", func() bool { return feed.read.Load() >= windowEntries })
	until(t, "it fails", func() bool { return f.Status().Trouble != nil })
	if n := feed.read.Load(); n > windowEntries+2*hand {
		t.Errorf("%d of %d are in memory", n, total)
	}
	topic.mu.Lock()
	topic.fault = nil
	topic.mu.Unlock()
	until(t, "all is through", func() bool { return f.Kept() == journal.At(total) })
	if n := feed.read.Load(); n != total || topic.count() != total {
		t.Errorf("%d were read and %d written, of %d", n, topic.count(), total)
	}
}

// A partition that stays without a leader while far more comes in than is kept in memory: the
// others go on, and when it has a leader again everything of it is there, in order.
func TestForwardPassesAFailingPartitionOver(t *testing.T) {
	const many, rounds = 30, 400 // of each person of the failing partition, and of each other
	r := startRig(t, "", journal.Options{})
	topic := newFakeTopic(4)
	bad := PartitionOf([]byte("acme/user-0"), 4)
	topic.headless[bad] = true
	f, _ := forwarding(t, r, topic, nil)
	const persons = 12
	sent := [persons]int{}
	others := 0
	for range rounds {
		var rs []journal.Record
		for person := range persons {
			n := 1
			if PartitionOf(fmt.Appendf(nil, "acme/user-%d", person), 4) == bad {
				n = many
			} else {
				others++
			}
			for range n {
				rs = append(rs, update(person, sent[person]))
				sent[person]++
			}
		}
		mustAppend(t, r, rs...)
	}
	if waiting := r.newest() - int64(others); waiting < 2*windowEntries {
		t.Fatalf("only %d wait: the test is too small", waiting)
	}
	until(t, "the others are there", func() bool { return topic.count() == others })
	if s := f.Status(); s.Trouble == nil || s.Trouble.Class != NoLeader {
		t.Errorf("%+v", s)
	}
	topic.mu.Lock()
	clear(topic.headless)
	topic.mu.Unlock()
	until(t, "all is kept", func() bool { return f.Kept().Offset == r.newest() })
	got, repeated := topic.ids(t)
	for person, n := range sent {
		want := make([]string, n)
		for i := range want {
			want[i] = fmt.Sprintf("u%d-%04d", person, i)
		}
		if ids := got[fmt.Sprint("acme/user-", person)]; !slices.Equal(ids, want) {
			t.Errorf("person %d: %d ids, want %d in order", person, len(ids), n)
		}
	}
	if repeated != 0 {
		t.Errorf("%d repeated", repeated)
	}
}
