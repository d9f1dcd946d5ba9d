package brokers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"countersign/ingest/forward"
	"countersign/ingest/forward/kafka"
)

const (
	name   = "kyc.status-updates"
	canary = "canary-pa55word" // the password; it stands in no error
)

// cluster starts brokers.
func cluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// client is a client of some brokers.
func client(t *testing.T, brokers []string, change func(*kafka.Options)) *kafka.Client {
	t.Helper()
	o := kafka.Options{Brokers: brokers, Topics: []string{name}, Metrics: prometheus.NewRegistry()}
	if change != nil {
		change(&o)
	}
	c, err := kafka.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// as is a user.
func as(mechanism, user, password string) func(*kafka.Options) {
	return func(o *kafka.Options) {
		o.SASL = &kafka.SASL{Mechanism: mechanism, User: user, Password: func() string { return password }}
	}
}

// ready is a topic that is prepared.
func ready(t *testing.T, c *kafka.Client) (*kafka.Topic, forward.Layout) {
	t.Helper()
	topic := c.Topic(kafka.TopicOptions{Name: name})
	layout, err := topic.Prepare(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return topic, layout
}

// within is time enough for anything.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// trouble checks the class and the sentence of an error, and that it keeps the password to itself.
func trouble(t *testing.T, err error, class forward.Class, words ...string) {
	t.Helper()
	var got *forward.Trouble
	if !errors.As(err, &got) {
		t.Errorf("%v, want trouble of class %s", err, class)
		return
	}
	t.Logf("%s: %s", got.Class, got.Text)
	if got.Class != class {
		t.Errorf("%q is of class %s, want %s (%v)", got.Text, got.Class, class, got.Err)
	}
	for _, w := range words {
		if !strings.Contains(got.Text, w) {
			t.Errorf("%q does not say %q (%v)", got.Text, w, got.Err)
		}
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if strings.Contains(fmt.Sprintf("%v %+v %#v", e, e, e), canary) {
			t.Errorf("%v tells the password", e)
		}
	}
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx := within(t); !ok(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("in vain: %s", what)
		}
	}
}

// records are n of them, told apart by their keys.
func records(of string, n int) []*forward.Message {
	ms := make([]*forward.Message, n)
	for i := range ms {
		ms[i] = &forward.Message{
			Key:     fmt.Appendf(nil, "acme/%s-%d", of, i),
			Value:   fmt.Appendf(nil, `{"id":"%s-%d"}`, of, i),
			Headers: []forward.Header{{Name: "ce_id", Value: fmt.Append(nil, i)}, {Name: "ce_type", Value: []byte("kyc.update.observation")}},
			Time:    time.UnixMilli(1_790_000_000_000 + int64(i)),
		}
	}
	return ms
}

// batchesFor are batches of the partitions that a broker leads.
func batchesFor(leaders []int32, leader int32, n int) []forward.Batch {
	var bs []forward.Batch
	for p, l := range leaders {
		if l == leader {
			bs = append(bs, forward.Batch{Partition: int32(p), Records: records(fmt.Sprintf("p%d", p), n)})
		}
	}
	return bs
}

// read is what is in the topic, by partition, as another client library finds it.
func read(t *testing.T, brokers []string, n int) map[int32][]*kgo.Record {
	t.Helper()
	reader, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	found := map[int32][]*kgo.Record{}
	for ctx := within(t); n > 0; {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		for r := range fetches.RecordsAll() {
			found[r.Partition] = append(found[r.Partition], r)
			n--
		}
	}
	return found
}
