package brokers

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"countersign/ingest/forward"
)

// TestSend: what is sent is what another client reads, in its order; partitions of one leader share
// a request, and every request wants all replicas.
func TestSend(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(3), kfake.SeedTopics(12, name))
	var requests, acks atomic.Int64
	c.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		requests.Add(1)
		if p := r.(*kmsg.ProduceRequest); p.Acks == -1 && p.TimeoutMillis == 5000 {
			acks.Add(1)
		}
		return nil, nil, false
	})
	topic, layout := ready(t, client(t, c.ListenAddrs(), nil))
	leaders, err := topic.Leaders(within(t))
	if err != nil || layout.Partitions != 12 || len(leaders) != 12 {
		t.Fatalf("%v, %v, %v", layout, leaders, err)
	}
	sent := map[int32][]*forward.Message{}
	calls := int64(0)
	for _, leader := range slices.Compact(slices.Sorted(slices.Values(leaders))) {
		for range 2 {
			calls++
			batches := batchesFor(leaders, leader, 50)
			batches = append(batches, forward.Batch{Partition: 11}) // nothing: not sent
			for i, err := range topic.Send(within(t), leader, batches) {
				if err != nil {
					t.Error(err)
				}
				sent[batches[i].Partition] = append(sent[batches[i].Partition], batches[i].Records...)
			}
		}
	}
	if requests.Load() != calls || acks.Load() != calls {
		t.Errorf("%d requests, %d of them with acks=all, want %d", requests.Load(), acks.Load(), calls)
	}
	found := read(t, c.ListenAddrs(), 1200)
	for p, want := range sent {
		got := found[p]
		if len(got) != len(want) {
			t.Errorf("partition %d has %d records, want %d", p, len(got), len(want))
			continue
		}
		for i, r := range got {
			w := want[i]
			if string(r.Key) != string(w.Key) || string(r.Value) != string(w.Value) || !r.Timestamp.Equal(w.Time) || len(r.Headers) != 2 ||
				r.Headers[0].Key != "ce_id" || string(r.Headers[0].Value) != string(w.Headers[0].Value) || r.Headers[1].Key != "ce_type" || string(r.Headers[1].Value) != "kyc.update.observation" {
				t.Errorf("partition %d, record %d: %s %s %v %v, want %s", p, i, r.Key, r.Value, r.Headers, r.Timestamp, w.Key)
			}
		}
	}
}

// TestBare: a record without key, value, headers or time is one all the same.
func TestBare(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name))
	topic, _ := ready(t, client(t, c.ListenAddrs(), nil))
	if errs := topic.Send(within(t), 0, []forward.Batch{{Records: []*forward.Message{{}, {Key: []byte{}, Value: []byte{}}}}}); errs[0] != nil {
		t.Fatal(errs)
	}
	rs := read(t, c.ListenAddrs(), 2)[0]
	if rs[0].Key != nil || rs[0].Value != nil || rs[1].Key == nil || rs[1].Value == nil || time.Since(rs[0].Timestamp) > time.Minute {
		t.Errorf("%+v %+v", rs[0], rs[1])
	}
}

// TestRejected: a write that a broker rejects is an error of that batch and of no other, whatever
// the reason.
func TestRejected(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(3, name))
	topic, _ := ready(t, client(t, c.ListenAddrs(), nil))
	f := func(e *kerr.Error, class forward.Class, words ...string) {
		t.Helper()
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Partitions: []int32{1}, Err: e})
		errs := topic.Send(within(t), 0, []forward.Batch{{Partition: 2, Records: records("a", 3)}, {Partition: 1, Records: records("b", 3)}, {Partition: 0, Records: records("c", 3)}})
		if errs[0] != nil || errs[2] != nil {
			t.Errorf("%v: %v, %v", e, errs[0], errs[2])
		}
		trouble(t, errs[1], class, append(words, name)...)
		if errors.Is(errs[1], forward.ErrTooLarge) != (class == forward.TooLarge) {
			t.Errorf("%v is ErrTooLarge: %v", e, errors.Is(errs[1], forward.ErrTooLarge))
		}
	}
	f(kerr.NotEnoughReplicas, forward.Replicas, "min.insync.replicas")
	f(kerr.NotEnoughReplicasAfterAppend, forward.Replicas, "min.insync.replicas")
	f(kerr.RequestTimedOut, forward.TimedOut, "replicas", "127.0.0.1")
	f(kerr.NotLeaderForPartition, forward.NoLeader, "broker 0")
	f(kerr.LeaderNotAvailable, forward.NoLeader)
	f(kerr.KafkaStorageError, forward.NoLeader)
	f(kerr.UnknownTopicOrPartition, forward.BadTopic)
	f(kerr.InvalidTopicException, forward.BadTopic)
	f(kerr.TopicAuthorizationFailed, forward.Denied, "ACL: Write and Describe on topic")
	f(kerr.ClusterAuthorizationFailed, forward.Denied)
	f(kerr.MessageTooLarge, forward.TooLarge, "max.message.bytes")
	f(kerr.RecordListTooLarge, forward.TooLarge)
	f(kerr.InvalidTimestamp, forward.OtherClass, "clocks")
	f(kerr.InvalidRecord, forward.OtherClass)
	f(kerr.PolicyViolation, forward.OtherClass)
	f(kerr.UnknownServerError, forward.OtherClass)
}

// TestTooLarge: a broker's own limit, told by Prepare and held by the broker.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1))
	if err := c.CreateTopic(name, 2, map[string]string{"max.message.bytes": "2000"}); err != nil {
		t.Fatal(err)
	}
	topic, layout := ready(t, client(t, c.ListenAddrs(), nil))
	if layout.MaxBytes != 2000 || layout.Partitions != 2 {
		t.Errorf("%+v", layout)
	}
	large := []*forward.Message{{Key: []byte("k"), Value: make([]byte, 3000)}}
	errs := topic.Send(within(t), 0, []forward.Batch{{Partition: 0, Records: large}, {Partition: 1, Records: records("a", 1)}})
	trouble(t, errs[0], forward.TooLarge, "max.message.bytes")
	if !errors.Is(errs[0], forward.ErrTooLarge) || errs[1] != nil {
		t.Errorf("%v", errs)
	}
}

// TestNoAnswer: an answer that is missing, for all or for one, and one that is late, are errors,
// and within the caller's time.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(2, name))
	topic, _ := ready(t, client(t, c.ListenAddrs(), nil))
	both := []forward.Batch{{Partition: 0, Records: records("a", 1)}, {Partition: 1, Records: records("b", 1)}}
	answer := func(f func(*kmsg.ProduceResponse) (kmsg.Response, error)) {
		c.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
			res, err := f(r.ResponseKind().(*kmsg.ProduceResponse))
			return res, err, true
		})
	}
	answer(func(r *kmsg.ProduceResponse) (kmsg.Response, error) {
		r.Topics = []kmsg.ProduceResponseTopic{{Topic: name, Partitions: []kmsg.ProduceResponseTopicPartition{{Partition: 1}}}}
		return r, nil
	})
	errs := topic.Send(within(t), 0, both)
	trouble(t, errs[0], forward.OtherClass, "without partition 0")
	if errs[1] != nil {
		t.Error(errs[1])
	}
	answer(func(r *kmsg.ProduceResponse) (kmsg.Response, error) { return r, nil })
	for _, err := range topic.Send(within(t), 0, both) {
		trouble(t, err, forward.OtherClass, "without partition")
	}
	answer(func(*kmsg.ProduceResponse) (kmsg.Response, error) { return nil, errors.New("hang up") })
	for _, err := range topic.Send(within(t), 0, both) {
		trouble(t, err, forward.Unreachable, "hangs up", "broker 0 (127.0.0.1:")
	}
	answer(func(*kmsg.ProduceResponse) (kmsg.Response, error) { return nil, nil })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	started := time.Now()
	for _, err := range topic.Send(ctx, 0, both) {
		trouble(t, err, forward.TimedOut, "in time")
	}
	if took := time.Since(started); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	if errs := topic.Send(within(t), 0, both); errs[0] != nil || errs[1] != nil {
		t.Errorf("after that: %v", errs)
	}
	again := append(both, both[0])
	for _, err := range topic.Send(within(t), 0, again) {
		trouble(t, err, forward.OtherClass, "two batches for partition 0")
	}
}

// TestLeaders: a leader that moves is seen, one that is not there is told, and partitions of two
// leaders are not one request.
func TestLeaders(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(3), kfake.SeedTopics(3, name))
	topic, _ := ready(t, client(t, c.ListenAddrs(), nil))
	for p := range int32(3) {
		if err := c.MoveTopicPartition(name, p, p); err != nil {
			t.Fatal(err)
		}
	}
	is := func(want ...int32) func() bool {
		return func() bool {
			got, err := topic.Leaders(within(t))
			return err == nil && slices.Equal(got, want)
		}
	}
	eventually(t, "the leaders are seen", is(0, 1, 2))
	errs := topic.Send(within(t), 0, []forward.Batch{{Partition: 0, Records: records("a", 1)}, {Partition: 1, Records: records("b", 1)}})
	trouble(t, errs[0], forward.NoLeader)
	trouble(t, errs[1], forward.NoLeader)
	c.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		m := r.ResponseKind().(*kmsg.MetadataResponse)
		m.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 0, Host: "127.0.0.1", Port: port(t, c.ListenAddrs()[0])}}
		at := func(p, leader int32, code int16) kmsg.MetadataResponseTopicPartition {
			return kmsg.MetadataResponseTopicPartition{Partition: p, Leader: leader, ErrorCode: code, Replicas: []int32{0}}
		}
		m.Topics = []kmsg.MetadataResponseTopic{{Topic: new(name), Partitions: []kmsg.MetadataResponseTopicPartition{at(2, 2, 0), at(1, -1, kerr.LeaderNotAvailable.Code), at(0, 0, 0)}}}
		return m, nil, true
	})
	eventually(t, "two partitions have no leader", is(0, -1, -1))
	errs = topic.Send(within(t), 0, []forward.Batch{{Partition: 1, Records: records("b", 1)}})
	trouble(t, errs[0], forward.NoLeader)
}

// TestMoved: a leader that moved since it was looked up rejects the records, and the next look
// finds the new one.
func TestMoved(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(2), kfake.SeedTopics(1, name))
	topic, _ := ready(t, client(t, c.ListenAddrs(), nil))
	for n, to := range []int32{0, 1, 0, 1} {
		if err := c.MoveTopicPartition(name, 0, to); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is written at the new leader", func() bool {
			err := topic.Send(within(t), to, []forward.Batch{{Records: records("a", 1)}})[0]
			if err != nil {
				trouble(t, err, forward.NoLeader)
			}
			return err == nil
		})
		if got := len(read(t, c.ListenAddrs(), n+1)[0]); got != n+1 {
			t.Errorf("%d records, want %d", got, n+1)
		}
	}
}
