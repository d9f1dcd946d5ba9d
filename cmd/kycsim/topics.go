package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The topics of a gateway.
const (
	topicUpdates = "kyc.status-updates"
	topicChanges = "kyc.status-changes"
)

var topicNames = []string{topicUpdates, topicChanges}

// readerOptions of a reader. Brokers is required.
type readerOptions struct {
	Brokers []string
	Ledger  *ledger
	Read    func(l *topicLine, at time.Time) // called for each record after it was written down
}

// reader reads every partition of both topics from the beginning, without a group, and writes down
// what it reads before anything else is done with it. Its client is another than the gateway's, so
// that the gateway's is not judged by itself. It goes on through the death of brokers and the
// change of leaders.
type reader struct {
	o      readerOptions
	client *kgo.Client
	admin  *kadm.Client
	stop   context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex // guards the fields below
	next     map[place]int64
	problems map[string]bool // what a reader that is made to go on would not tell otherwise
}

// place is one partition.
type place struct {
	topic     string
	partition int32
}

// startReader reads until close.
func startReader(o readerOptions) (*reader, error) {
	client, err := kgo.NewClient(append(clientOptions(o.Brokers),
		kgo.ConsumeTopics(topicNames...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(500*time.Millisecond), kgo.FetchMinBytes(1))...)
	if err != nil {
		return nil, fmt.Errorf("read the topics: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &reader{o: o, client: client, admin: kadm.NewClient(client), stop: stop, done: make(chan struct{}), next: map[place]int64{}, problems: map[string]bool{}}
	go r.run(ctx)
	return r, nil
}

// clientOptions are for brokers that are killed on purpose: whatever failed is tried again soon.
func clientOptions(brokers []string) []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(250 * time.Millisecond), kgo.MetadataMaxAge(2 * time.Second), kgo.DialTimeout(2 * time.Second),
		kgo.RequestTimeoutOverhead(5 * time.Second), kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }), kgo.UnknownTopicRetries(-1),
	}
}

func (r *reader) run(ctx context.Context) {
	defer close(r.done)
	var l topicLine
	for ctx.Err() == nil {
		fetches := r.client.PollFetches(ctx)
		now := time.Now()
		fetches.EachError(func(topic string, partition int32, err error) { r.failed(ctx, place{topic, partition}, err) })
		fetches.EachRecord(func(rec *kgo.Record) {
			l.read(rec, now)
			r.o.Ledger.topic(&l)
			r.mu.Lock()
			r.next[place{rec.Topic, rec.Partition}] = rec.Offset + 1
			r.mu.Unlock()
			if r.o.Read != nil {
				r.o.Read(&l, now)
			}
		})
	}
}

// failed keeps what must not happen even when brokers die. Everything else the client tries again.
func (r *reader) failed(ctx context.Context, p place, err error) {
	var lost *kgo.ErrDataLoss
	if ctx.Err() != nil || !errors.As(err, &lost) {
		return
	}
	r.mu.Lock()
	r.problems[fmt.Sprintf("records that had been read are gone from %s/%d: %v", p.topic, p.partition, err)] = true
	r.mu.Unlock()
}

// ends are the end offsets now.
func (r *reader) ends(ctx context.Context) (map[place]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	listed, err := r.admin.ListEndOffsets(ctx, topicNames...)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("ask for the ends of the topics: %w", err)
	}
	ends := map[place]int64{}
	listed.Each(func(o kadm.ListedOffset) { ends[place{o.Topic, o.Partition}] = o.Offset })
	if len(ends) == 0 {
		return nil, errors.New("ask for the ends of the topics: there are none")
	}
	return ends, nil
}

// caughtUp waits until everything has been read that stands on the topics when it is called.
func (r *reader) caughtUp(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var ends map[place]int64
	err := errors.New("nothing was asked")
	for {
		if ends == nil {
			ends, err = r.ends(ctx)
		}
		if ends != nil && r.behind(ends) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("after %s %d records of the topics have not been read: %w", limit, r.behind(ends), errors.Join(err, ctx.Err()))
		}
	}
}

func (r *reader) behind(ends map[place]int64) (n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p, end := range ends {
		n += max(0, end-r.next[p])
	}
	return n
}

// leaders tells who leads each partition of the updates; negative: nobody.
func (r *reader) leaders(ctx context.Context) (map[int32]int32, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	topics, err := r.admin.ListTopics(ctx, topicUpdates)
	if err == nil {
		err = topics.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("ask for the leaders: %w", err)
	}
	led := map[int32]int32{}
	for _, p := range topics[topicUpdates].Partitions {
		led[p.Partition] = p.Leader
	}
	return led, nil
}

// close ends the reading and returns what it noticed.
func (r *reader) close() []string {
	r.stop()
	<-r.done
	r.client.Close()
	var problems []string
	for p := range maps.Keys(r.problems) {
		problems = append(problems, p)
	}
	return problems
}
