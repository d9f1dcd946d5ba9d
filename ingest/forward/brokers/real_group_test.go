//go:build realkafka

package brokers

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	real "countersign/ingest/forward/brokers/cluster"
	"countersign/ingest/forward/group"
	"countersign/ingest/forward/kafka"
)

// made makes the topic on Apache Kafka, with settings that we would not choose.
func made(t *testing.T, brokers []string, partitions int32, configs map[string]string) *kafka.Topic {
	t.Helper()
	admin, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
	for k, v := range configs {
		topic.Configs = append(topic.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: k, Value: new(v)})
	}
	req.Topics = append(req.Topics, topic)
	if res, err := req.RequestWith(within(t), admin); err != nil || res.Topics[0].ErrorCode != 0 {
		t.Fatal(res, err)
	}
	prepared, _ := ready(t, client(t, brokers, nil))
	return prepared
}

// TestRealGroup: members of a group of Apache Kafka itself.
func TestRealGroup(t *testing.T) {
	properties := map[string]string{"group.min.session.timeout.ms": "500", "group.initial.rebalance.delay.ms": "1000"}
	t.Run("commits", func(t *testing.T) {
		c := realKafka(t, real.Options{Properties: properties})
		made(t, c.Addrs(), 4, nil)
		t.Run("commit", func(t *testing.T) { testCommit(t, c.Addrs()) })
		t.Run("hang", func(t *testing.T) { testHang(t, c.Addrs(), 3*time.Second) })
		t.Run("join ends", func(t *testing.T) { testJoinEnds(t, c.Addrs()) })
	})
	t.Run("churn", func(t *testing.T) {
		c := realKafka(t, real.Options{Properties: properties})
		made(t, c.Addrs(), 12, nil)
		testChurn(t, c.Addrs(), 3*time.Second)
	})
	t.Run("leaks", func(t *testing.T) {
		c := realKafka(t, real.Options{}) // the first join waits for nobody
		made(t, c.Addrs(), 3, nil)
		testGroupLeaks(t, c.Addrs())
	})
}

// TestRealFetch: what is read of a log of Apache Kafka itself: compressed, trimmed, written in
// transactions.
func TestRealFetch(t *testing.T) {
	c := realKafka(t, real.Options{})
	topic := made(t, c.Addrs(), 3, nil)
	k := client(t, c.Addrs(), nil)
	send(t, topic, records("a", 5)...)
	n := int64(5)
	for _, codec := range []kgo.CompressionCodec{kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		produce(t, c.Addrs(), []string{"one", "two", "three"}, kgo.ProducerBatchCompression(codec))
		n += 3
	}
	for from := range n {
		f, err := k.Fetch(within(t), first, from, 0)
		if err != nil || f.Next != n || f.End != n || f.Start != 0 || int64(len(f.Records)) != n-from || f.Records[0].Offset != from || f.Records[len(f.Records)-1].Offset != n-1 {
			t.Fatalf("from %d: %+v, %v", from, f, err)
		}
		if r := f.Records[len(f.Records)-1]; string(r.Key) != "three" || string(r.Value) != "three's" || string(r.Headers[0].Value) != "three" || r.Time.UnixMilli() != 3 {
			t.Errorf("%+v", r)
		}
	}
	trim(t, c.Addrs(), 4)
	_, err := k.Fetch(within(t), first, 3, 0)
	stands(t, err, group.ErrOvertaken, 3, 4, n)
	_, err = k.Fetch(within(t), first, n+1, 0)
	stands(t, err, group.ErrAhead, n+1, 4, n)
	if start, end, err := k.Bounds(within(t), first); start != 4 || end != n || err != nil {
		t.Errorf("%d, %d, %v", start, end, err)
	}
}

// TestRealCompacted: a log that Apache Kafka has compacted, with holes inside of batches and at their
// ends, and with batches that are empty, is read to its end; one that must have no holes stops there
// (trap 23).
func TestRealCompacted(t *testing.T) {
	c := realKafka(t, real.Options{Properties: map[string]string{"log.cleaner.backoff.ms": "100"}})
	made(t, c.Addrs(), 1, map[string]string{"cleanup.policy": "compact", "segment.ms": "50", "min.cleanable.dirty.ratio": "0.001", "retention.ms": "-1"})
	k := client(t, c.Addrs(), nil)
	p := group.Partition{Topic: name, Compacted: true}
	produceAt(t, time.Now(), c.Addrs(), []string{"stays", "a", "b", "stays too", "c"})
	end := int64(5)
	holes := func() bool {
		produceAt(t, time.Now(), c.Addrs(), []string{"a", fmt.Sprint("at ", end), "b", "c"}) // a segment is closed by what comes after its time
		end += 4
		produceAt(t, time.Now(), c.Addrs(), []string{"a", "b"})
		end += 2
		var got []int64
		for next, n := int64(0), 0; next < end; n++ {
			f, err := k.Fetch(within(t), p, next, 0)
			if err != nil || f.Next <= next || n > 1000 {
				t.Fatalf("from %d of %d: %+v, %v", next, end, f, err)
			}
			for i := range f.Records {
				got = append(got, f.Records[i].Offset)
			}
			next = f.Next
		}
		// 1 and 2 are gone from within the first batch, and 4 from its end.
		return len(got) > 3 && got[0] == 0 && got[1] == 3 && got[2] > 4
	}
	eventually(t, "it is compacted", holes)
	f, err := k.Fetch(within(t), p, 4, 0)
	if err != nil || f.Next <= 5 {
		t.Errorf("behind the last record of a batch: %+v, %v", f, err)
	}
	_, err = k.Fetch(within(t), first, 0, 0)
	if !errors.Is(err, group.ErrGap) {
		t.Errorf("%v, want a gap", err)
	}
}
