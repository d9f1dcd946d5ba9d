package brokers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"countersign/ingest/forward"
	"countersign/ingest/forward/kafka"
	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/store"
)

// gateway is what of one stands between a callback and Kafka: the real file, the real journal, the
// real client.
type gateway struct {
	t       *testing.T
	store   *store.Store
	journal *journal.Bolt
	topic   kafka.TopicOptions
	dial    func() *kafka.Client
	wrap    func(forward.Topic) forward.Topic
	f       *forward.Forwarder
	stop    func()
}

func startGateway(t *testing.T, brokers []string) *gateway {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(store.Options{Dir: t.TempDir(), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, s.Close()); err != nil {
			t.Error(err)
		}
	})
	g := &gateway{t: t, store: s, topic: kafka.TopicOptions{Name: name}, stop: func() {}, wrap: func(t forward.Topic) forward.Topic { return t }, dial: func() *kafka.Client {
		c, err := kafka.New(kafka.Options{Brokers: brokers, Topics: []string{name}})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}}
	if g.journal, err = journal.NewBolt(journal.Options{Store: s, Logger: log, Metrics: prometheus.NewRegistry()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.stop() })
	return g
}

// forward runs a forwarder until stop, as a process does between its start and its end.
func (g *gateway) forward() {
	g.t.Helper()
	client := g.dial()
	var err error
	g.f, err = forward.New(forward.Options{
		Name: name, Topic: g.wrap(client.Topic(g.topic)), Feed: forward.Updates(g.journal, forward.Keys{}), Store: g.store, Logger: slog.New(slog.DiscardHandler), Metrics: forward.NewMetrics(nil),
		TooLarge: func(context.Context, *forward.Message) error { return errors.New("nothing here is too large") },
	})
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.f.Run(ctx) }()
	g.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			g.t.Error(err)
		}
		client.Close()
	})
}

func (g *gateway) append(person, n int) {
	g.t.Helper()
	u := kyc.Update{
		SchemaVersion: 1, ID: fmt.Sprintf("u%d-%d", person, n), Kind: kyc.Observation, Source: "sumsub-eu", Partner: "acme",
		Subject: kyc.Subject{ID: fmt.Sprint("user-", person)}, Status: kyc.Pending, ReceivedAt: time.Now().UTC(),
	}
	if err := g.journal.Append(within(g.t), journal.Record{Kind: u.Kind, Appended: u.ReceivedAt, Body: u.AppendJSON(nil), Update: &u}); err != nil {
		g.t.Fatal(err)
	}
}

// written is how many records there are, by the end of each partition.
func written(t *testing.T, brokers []string) (n int) {
	t.Helper()
	asker, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer asker.Close()
	meta := kmsg.NewPtrMetadataRequest()
	of := kmsg.NewMetadataRequestTopic()
	of.Topic = new(name)
	meta.Topics = append(meta.Topics, of)
	layout, err := meta.RequestWith(within(t), asker)
	if err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrListOffsetsRequest()
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = name
	for _, p := range layout.Topics[0].Partitions {
		end := kmsg.NewListOffsetsRequestTopicPartition()
		end.Partition, end.Timestamp = p.Partition, -1
		topic.Partitions = append(topic.Partitions, end)
	}
	req.Topics = append(req.Topics, topic)
	ends, err := req.RequestWith(within(t), asker)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range ends.Topics[0].Partitions {
		if p.ErrorCode != 0 {
			t.Fatalf("partition %d: error %d", p.Partition, p.ErrorCode)
		}
		n += int(p.Offset)
	}
	return n
}

// judge holds the topic against persons × each records: everything is there, each key in order once
// repeats are dropped, in one partition. It returns how many were repeated.
func judge(t *testing.T, brokers []string, persons, each int) (repeated int) {
	t.Helper()
	next, seen := map[string]int{}, map[string]bool{}
	at := map[string]int32{}
	for p, rs := range read(t, brokers, written(t, brokers)) {
		for _, r := range rs {
			id, key := "", string(r.Key)
			for _, h := range r.Headers {
				if h.Key == "ce_id" {
					id = string(h.Value)
				}
			}
			if was, ok := at[key]; ok && was != p {
				t.Fatalf("%s is in partitions %d and %d", key, was, p)
			}
			at[key] = p
			if seen[id] {
				repeated++
				continue
			}
			seen[id] = true
			var person, n int
			if _, err := fmt.Sscanf(id, "u%d-%d", &person, &n); err != nil || key != fmt.Sprint("acme/user-", person) || n != next[key] {
				t.Fatalf("out of order: %s under %s, where %d is next", id, key, next[key])
			}
			next[key]++
		}
	}
	for person := range persons {
		if n := next[fmt.Sprint("acme/user-", person)]; n != each {
			t.Errorf("person %d has %d records, want %d", person, n, each)
		}
	}
	return repeated
}

// answer is what a broker says that writes nothing.
func answer(req *kmsg.ProduceRequest, code int16) *kmsg.ProduceResponse {
	res, _ := req.ResponseKind().(*kmsg.ProduceResponse)
	for i := range req.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = req.Topics[i].Topic, req.Topics[i].TopicID
		for j := range req.Topics[i].Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode = req.Topics[i].Partitions[j].Partition, code
			rt.Partitions = append(rt.Partitions, rp)
		}
		res.Topics = append(res.Topics, rt)
	}
	return res
}

// Leaders that move, refused writes, connections that are cut, a forwarder that is stopped: nothing
// is lost and each key is in order.
func TestForwardThroughFaults(t *testing.T) {
	const persons, each = 30, 40
	c := cluster(t, kfake.NumBrokers(3), kfake.SeedTopics(6, name))
	rng := rand.New(rand.NewPCG(7, 7))
	var mu sync.Mutex // guards rng and off
	off := false
	codes := []int16{kerr.NotLeaderForPartition.Code, kerr.NotEnoughReplicas.Code, kerr.RequestTimedOut.Code, kerr.NotEnoughReplicasAfterAppend.Code, kerr.UnknownServerError.Code}
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		p, ok := req.(*kmsg.ProduceRequest)
		switch n := rng.IntN(10); {
		case off || !ok || n > 3:
			return nil, nil, false
		case n == 0:
			return nil, errors.New("the connection is cut"), true
		default:
			return answer(p, codes[rng.IntN(len(codes))]), nil, true
		}
	})
	g := startGateway(t, c.ListenAddrs())
	g.forward()
	for n := range each {
		for person := range persons {
			g.append(person, n)
		}
		switch {
		case n%7 == 3:
			c.ShufflePartitionLeaders()
		case n%10 == 9:
			g.stop()
			g.forward()
		}
	}
	mu.Lock()
	off = true
	mu.Unlock()
	eventually(t, "everything is with Kafka", func() bool { return g.f.Kept().Offset == persons*each })
	t.Logf("%d repeated of %d", judge(t, c.ListenAddrs(), persons, each), persons*each)
}

// lossy is a topic whose acknowledgements are lost now and then: what was written is not known to
// be.
type lossy struct {
	forward.Topic
	rng *rand.Rand
	mu  sync.Mutex // guards rng and lost

	lost int // records
}

func (l *lossy) Send(ctx context.Context, leader int32, batches []forward.Batch) []error {
	errs := l.Topic.Send(ctx, leader, batches)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range errs {
		if errs[i] == nil && l.rng.IntN(4) == 0 {
			l.lost += len(batches[i].Records)
			errs[i] = &forward.Trouble{Class: forward.TimedOut, Text: "no answer in time"}
		}
	}
	return errs
}

// An acknowledgement that never comes for what was written: just those records are repeated, with
// their ids, and each key stays in order.
func TestForwardAmbiguous(t *testing.T) {
	const persons, each = 20, 30
	c := cluster(t, kfake.NumBrokers(3), kfake.SeedTopics(6, name))
	g := startGateway(t, c.ListenAddrs())
	l := &lossy{rng: rand.New(rand.NewPCG(1, 2))}
	g.wrap = func(topic forward.Topic) forward.Topic {
		l.Topic = topic
		return l
	}
	g.forward()
	for n := range each {
		for person := range persons {
			g.append(person, n)
		}
	}
	eventually(t, "everything is with Kafka", func() bool { return g.f.Kept().Offset == persons*each })
	if repeated := judge(t, c.ListenAddrs(), persons, each); repeated != l.lost || repeated == 0 {
		t.Errorf("%d repeated, %d acknowledgements were lost", repeated, l.lost)
	}
}
