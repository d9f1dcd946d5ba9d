package brokers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"countersign/ingest/forward"
	"countersign/ingest/forward/group"
	"countersign/ingest/forward/kafka"
)

// first is what most of these read.
var first = group.Partition{Topic: name}

// send writes records to the first partition.
func send(t *testing.T, topic *kafka.Topic, ms ...*forward.Message) {
	t.Helper()
	eventually(t, "it is written", func() bool {
		leaders, err := topic.Leaders(within(t))
		return err == nil && leaders[0] >= 0 && topic.Send(within(t), leaders[0], []forward.Batch{{Records: ms}})[0] == nil
	})
}

// produce writes values to the first partition as another client does, a batch for each call.
func produce(t *testing.T, brokers, values []string, opts ...kgo.Opt) {
	t.Helper()
	produceAt(t, time.UnixMilli(1), brokers, values, opts...)
}

// produceAt does so with times from an instant on.
func produceAt(t *testing.T, at time.Time, brokers, values []string, opts ...kgo.Opt) {
	t.Helper()
	opts = append([]kgo.Opt{kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(name)}, opts...)
	writer, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	var rs []*kgo.Record
	for i, v := range values {
		rs = append(rs, &kgo.Record{Key: []byte(v), Value: []byte(v + "'s"), Timestamp: at.Add(time.Duration(i) * time.Millisecond), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte(v)}}})
	}
	if err := writer.ProduceSync(within(t), rs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// trim deletes what is before an offset.
func trim(t *testing.T, brokers []string, before int64) {
	t.Helper()
	admin, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 5000
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Offset = before
	req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: name, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{p}}}
	res, err := req.RequestWith(within(t), admin)
	if err != nil || res.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatal(err, res)
	}
}

// stands checks that a partition cannot be read on, why, and where.
func stands(t *testing.T, err, why error, at, start, end int64) {
	t.Helper()
	var got *group.LogError
	if !errors.As(err, &got) || !errors.Is(err, why) || got.At != at || got.Start != start || got.End != end || got.Partition.Topic != name {
		t.Errorf("%v, want %v at %d of %d to %d", err, why, at, start, end)
	}
}

// TestFetch: what was sent is read, whole and in order, from any offset on.
func TestFetch(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(2), kfake.SeedTopics(3, name))
	k := client(t, c.ListenAddrs(), nil)
	topic, _ := ready(t, k)
	f, err := k.Fetch(within(t), first, 0, 0)
	if err != nil || len(f.Records) != 0 || f.Next != 0 || f.Start != 0 || f.End != 0 {
		t.Fatalf("%+v, %v", f, err)
	}
	sent := append(records("a", 5), &forward.Message{Time: time.UnixMilli(1)}, &forward.Message{Key: []byte{}, Value: []byte{}, Time: time.UnixMilli(2), Headers: []forward.Header{{Name: "null"}, {Name: "empty", Value: []byte{}}}})
	send(t, topic, sent[:3]...)
	send(t, topic, sent[3:]...)
	for from := range int64(len(sent) + 1) {
		f, err := k.Fetch(within(t), first, from, 0)
		if err != nil || f.Next != 7 || f.Start != 0 || f.End != 7 || len(f.Records) != len(sent)-int(from) {
			t.Fatalf("from %d: %+v, %v", from, f, err)
		}
		for i := range f.Records {
			r, w := &f.Records[i], sent[int(from)+i]
			if r.Offset != from+int64(i) || fmt.Sprintf("%#v %#v %#v", r.Key, r.Value, r.Headers) != fmt.Sprintf("%#v %#v %#v", w.Key, w.Value, w.Headers) || !r.Time.Equal(w.Time) {
				t.Errorf("%d: %#v, want %#v", from, r, w)
			}
		}
	}
	start, end, err := k.Bounds(within(t), first)
	if start != 0 || end != 7 || err != nil {
		t.Errorf("%d, %d, %v", start, end, err)
	}
	if _, err = k.Fetch(within(t), group.Partition{Topic: name, Number: 3}, 0, 0); err == nil {
		t.Error("a partition that is not there was read")
	}
	trouble(t, err, forward.NoLeader)
	_, _, err = k.Bounds(within(t), group.Partition{Topic: "other"})
	trouble(t, err, forward.NoLeader)
}

// TestFetchWaits: a fetch behind the end waits for what comes.
func TestFetchWaits(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name))
	k := client(t, c.ListenAddrs(), nil)
	topic, _ := ready(t, k)
	asked := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Observe: true})
	got := make(chan error, 1)
	go func() {
		f, err := k.Fetch(t.Context(), first, 0, 15*time.Second)
		if err == nil && len(f.Records) != 2 {
			err = fmt.Errorf("%d records", len(f.Records))
		}
		got <- err
	}()
	if err := asked.Wait(within(t), 1); err != nil {
		t.Fatal(err)
	}
	send(t, topic, records("a", 2)...)
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// TestFetchEnds: a long fetch ends with its context, and so does its connection, long before the
// broker would answer.
func TestFetchEnds(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name))
	registry := prometheus.NewRegistry()
	k := client(t, c.ListenAddrs(), func(o *kafka.Options) { o.Metrics = registry })
	ready(t, k)
	eventually(t, "its own connection is closed", func() bool { return open(t, registry) == 1 })
	asked := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Observe: true, Count: -1})
	for n := range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := k.Fetch(ctx, first, 0, 10*time.Minute)
			ended <- err
		}()
		if err := asked.Wait(within(t), n+1); err != nil {
			t.Fatal(err)
		}
		if open(t, registry) != 2 {
			t.Errorf("%v connections, want one for metadata and one for the fetch", open(t, registry))
		}
		cancel()
		err := <-ended
		trouble(t, err, forward.OtherClass, "given up")
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		eventually(t, "its connection is closed", func() bool { return open(t, registry) == 1 })
	}
}

// TestFetchCodes: whatever a broker answers is an error that says so, of that call and of no other:
// the next one reads (trap 21).
func TestFetchCodes(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name))
	k := client(t, c.ListenAddrs(), nil)
	topic, _ := ready(t, k)
	send(t, topic, records("a", 2)...)
	f := func(e *kerr.Error, class forward.Class, words ...string) {
		t.Helper()
		for _, key := range []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets} {
			h := c.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: e})
			var err error
			if key == kmsg.Fetch {
				_, err = k.Fetch(within(t), first, 0, 0)
			} else {
				_, _, err = k.Bounds(within(t), first)
			}
			if h.Hits() != 1 {
				t.Errorf("%v was not answered", e)
			}
			trouble(t, err, class, words...)
			fetched, err := k.Fetch(within(t), first, 0, 0)
			if _, end, errB := k.Bounds(within(t), first); err != nil || errB != nil || len(fetched.Records) != 2 || end != 2 {
				t.Errorf("after %v: %v, %v", e, err, errB)
			}
		}
	}
	f(kerr.NotLeaderForPartition, forward.NoLeader, "broker 0", "127.0.0.1")
	f(kerr.LeaderNotAvailable, forward.NoLeader)
	f(kerr.ReplicaNotAvailable, forward.NoLeader)
	f(kerr.FencedLeaderEpoch, forward.NoLeader)
	f(kerr.UnknownLeaderEpoch, forward.NoLeader)
	f(kerr.KafkaStorageError, forward.NoLeader)
	f(kerr.OffsetNotAvailable, forward.NoLeader, "elected")
	f(kerr.UnknownTopicOrPartition, forward.BadTopic)
	f(kerr.UnknownTopicID, forward.BadTopic)
	f(kerr.TopicAuthorizationFailed, forward.Denied, "may not read", "ACL: Read and Describe on topic")
	f(kerr.UnknownServerError, forward.OtherClass)
	f(kerr.UnsupportedCompressionType, forward.OtherClass)
	f(kerr.OffsetOutOfRange, forward.OtherClass, "Offset Out Of Range") // and the next look finds the offset in range
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.CorruptMessage})
	_, err := k.Fetch(within(t), first, 0, 0)
	var damage *group.LogError
	if !errors.As(err, &damage) || !errors.Is(err, group.ErrDamaged) || damage.At != 0 {
		t.Errorf("%v, want damage", err)
	}
}

// TestFetchMoved: who asks the old leader is told, and the next look finds the new one.
func TestFetchMoved(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(2), kfake.SeedTopics(1, name))
	k := client(t, c.ListenAddrs(), nil)
	topic, _ := ready(t, k)
	send(t, topic, records("a", 2)...)
	for _, to := range []int32{0, 1, 0, 1} {
		if err := c.MoveTopicPartition(name, 0, to); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is read at the new leader", func() bool {
			f, err := k.Fetch(within(t), first, 0, 0)
			if err != nil {
				trouble(t, err, forward.NoLeader)
			}
			return err == nil && len(f.Records) == 2
		})
	}
}

// TestFetchWithoutLeader: a partition without a leader is an error at once, and read when it has one
// again (trap 8).
func TestFetchWithoutLeader(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name))
	k := client(t, c.ListenAddrs(), nil)
	topic, _ := ready(t, k)
	send(t, topic, records("a", 2)...)
	stop := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: name, Err: kerr.LeaderNotAvailable, Count: -1})
	eventually(t, "nobody leads", func() bool {
		_, err := k.Fetch(within(t), first, 0, 0)
		if err != nil {
			trouble(t, err, forward.NoLeader)
		}
		return err != nil
	})
	_, _, err := k.Bounds(within(t), first)
	trouble(t, err, forward.NoLeader)
	stop.Remove()
	eventually(t, "it is read again", func() bool {
		f, err := k.Fetch(within(t), first, 0, 0)
		return err == nil && len(f.Records) == 2
	})
}

// TestOvertaken: a position before the beginning of the log is an error that says so, and so is one
// behind its end: nothing is passed over (trap 17).
func TestOvertaken(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name))
	k := client(t, c.ListenAddrs(), nil)
	topic, _ := ready(t, k)
	for range 5 {
		send(t, topic, records("a", 2)...)
	}
	trim(t, c.ListenAddrs(), 5)
	for _, compacted := range []bool{false, true} {
		p := group.Partition{Topic: name, Compacted: compacted}
		for from := range int64(5) {
			_, err := k.Fetch(within(t), p, from, 0)
			stands(t, err, group.ErrOvertaken, from, 5, 10)
		}
		f, err := k.Fetch(within(t), p, 5, 0)
		if err != nil || len(f.Records) != 5 || f.Records[0].Offset != 5 || f.Start != 5 {
			t.Errorf("%+v, %v", f, err)
		}
		_, err = k.Fetch(within(t), p, 11, 0)
		stands(t, err, group.ErrAhead, 11, 5, 10)
	}
	start, end, err := k.Bounds(within(t), first)
	if start != 5 || end != 10 || err != nil {
		t.Errorf("%d, %d, %v", start, end, err)
	}
}

// TestGap: offsets that compaction took are an error in a topic that is said not to be compacted,
// and passed over in one that is, up to its end (trap 23).
func TestGap(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1))
	if err := c.CreateTopic(name, 1, map[string]string{"cleanup.policy": "compact", "retention.ms": "-1"}); err != nil {
		t.Fatal(err)
	}
	k := client(t, c.ListenAddrs(), nil)
	topic, _ := ready(t, k)
	send(t, topic, records("c", 1)...) // stays, and with it the beginning
	for range 6 {
		send(t, topic, records("a", 4)...)
	}
	send(t, topic, records("b", 2)...)
	c.Compact()
	_, err := k.Fetch(within(t), first, 0, 0)
	if !errors.Is(err, group.ErrGap) {
		t.Errorf("%v, want a gap", err)
	}
	p := group.Partition{Topic: name, Compacted: true}
	var got []int64
	next := int64(0)
	for next < 27 {
		f, err := k.Fetch(within(t), p, next, 0)
		if err != nil || f.Next <= next {
			t.Fatalf("from %d: %+v, %v", next, f, err)
		}
		for i := range f.Records {
			got = append(got, f.Records[i].Offset)
		}
		next = f.Next
	}
	if !slices.IsSorted(got) || len(got) < 7 || len(got) >= 27 || got[len(got)-1] != 26 {
		t.Errorf("%v", got)
	}
}

// TestCompressed: nobody of ours compresses; what a topic compresses by itself is read all the same.
func TestCompressed(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name))
	k := client(t, c.ListenAddrs(), nil)
	var want []string
	for n, codec := range []kgo.CompressionCodec{kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(), kgo.NoCompression()} {
		var batch []string
		for i := range 50 {
			batch = append(batch, fmt.Sprintf("value %d of codec %d, which is long enough to be worth it", i, n))
		}
		produce(t, c.ListenAddrs(), batch, kgo.ProducerBatchCompression(codec))
		want = append(want, batch...)
	}
	f, err := k.Fetch(within(t), first, 0, 0)
	if err != nil || len(f.Records) != len(want) {
		t.Fatalf("%d records, %v", len(f.Records), err)
	}
	for i := range want {
		if r := &f.Records[i]; string(r.Key) != want[i] || string(r.Value) != want[i]+"'s" || string(r.Headers[0].Value) != want[i] || r.Time.UnixMilli() != int64(i%50+1) {
			t.Errorf("%d: %+v, want %s", i, r, want[i])
		}
	}
}

// TestTransaction: what was written in a transaction is named and not read, committed or given up.
func TestTransaction(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name))
	k := client(t, c.ListenAddrs(), nil)
	topic, _ := ready(t, k)
	send(t, topic, records("a", 2)...)
	writer, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.TransactionalID("other"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(name))
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if err := writer.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := writer.ProduceSync(within(t), kgo.StringRecord("x")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := writer.EndTransaction(within(t), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	for from := int64(2); from < 4; from++ { // the record, and the mark that it does not count
		_, err = k.Fetch(within(t), first, from, 0)
		stands(t, err, group.ErrDamaged, from, 0, 4)
	}
}

// TestFetchUnanswered: a fetch that nobody answers is an error within its time, and the next one
// has another connection (trap 20).
func TestFetchUnanswered(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name))
	k := client(t, c.ListenAddrs(), nil)
	topic, _ := ready(t, k)
	send(t, topic, records("a", 2)...)
	for _, err := range []error{nil, errors.New("hang up")} {
		c.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) { return nil, err, true })
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, got := k.Fetch(ctx, first, 0, time.Minute)
		cancel()
		if err == nil {
			trouble(t, got, forward.TimedOut, "broker 0", "in time")
		} else {
			trouble(t, got, forward.Unreachable, "hangs up")
		}
		if f, err := k.Fetch(within(t), first, 0, 0); err != nil || len(f.Records) != 2 {
			t.Errorf("after that: %+v, %v", f, err)
		}
	}
	answer := func(change func(*kmsg.FetchResponse)) error {
		c.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
			res := r.ResponseKind().(*kmsg.FetchResponse)
			change(res)
			return res, nil, true
		})
		_, err := k.Fetch(within(t), first, 0, 0)
		return err
	}
	trouble(t, answer(func(*kmsg.FetchResponse) {}), forward.OtherClass, "without partition 0")
	trouble(t, answer(func(r *kmsg.FetchResponse) {
		r.Topics = []kmsg.FetchResponseTopic{{Topic: name, Partitions: []kmsg.FetchResponseTopicPartition{{Partition: 1}}}}
	}), forward.OtherClass, "without partition 0")
	trouble(t, answer(func(r *kmsg.FetchResponse) { r.ErrorCode = kerr.UnknownServerError.Code }), forward.OtherClass)
	err := answer(func(r *kmsg.FetchResponse) {
		r.Topics = []kmsg.FetchResponseTopic{{Topic: name, Partitions: []kmsg.FetchResponseTopicPartition{{HighWatermark: 9, RecordBatches: make([]byte, 70)}}}}
	})
	stands(t, err, group.ErrDamaged, 0, 0, 9)
}

// TestOldBroker: one that is too old is named, and the gateway does not guess.
func TestOldBroker(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name))
	c.ControlKey(int16(kmsg.ApiVersions), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		res := r.ResponseKind().(*kmsg.ApiVersionsResponse)
		for key, highest := range map[kmsg.Key]int16{kmsg.Fetch: 10, kmsg.Metadata: 8, kmsg.ListOffsets: 5} {
			k := kmsg.NewApiVersionsResponseApiKey()
			k.ApiKey, k.MaxVersion = int16(key), highest
			res.ApiKeys = append(res.ApiKeys, k)
		}
		return res, nil, true
	})
	k := client(t, c.ListenAddrs(), nil)
	_, err := k.Fetch(within(t), first, 0, 0)
	trouble(t, err, forward.OtherClass, "Kafka 2.4")
	if _, _, err := k.Bounds(within(t), first); err != nil {
		t.Error(err)
	}
}
