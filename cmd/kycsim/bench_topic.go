package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"countersign/ingest/forward/brokers/cluster"
)

const (
	topicRate     = 5000
	topicFor      = 10 * time.Second
	topicRounds   = 4
	maxKafkaCPU   = 25 // µs an event, two records
	maxReadable   = 10 // milliseconds, p50
	readableRate  = 100
	readableFor   = 20 * time.Second
	bareTopic     = "bare"
	bareRecords   = 50_000
	bareValue     = 900
	bareBatch     = 100
	bareInFlight  = 4
	readTopicsFor = time.Minute
)

// topics is part e: what forwarding to real Kafka costs the gateway, and how soon after a callback
// was answered its update can be read.
func (c *benchCmd) topics(ctx context.Context) (rows []row, err error) {
	if !c.Kafka {
		return nil, errors.New("--kafka is needed")
	}
	dir := filepath.Join(c.Dir, "kafka")
	if _, err := os.Stat(dir); err == nil {
		return nil, fmt.Errorf("%s exists; name another directory, or remove it", dir)
	}
	k, err := cluster.Start(ctx, cluster.Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, k.Stop())
		if !c.Keep {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	limit, err := bareProducing(ctx, k.Addrs())
	if err != nil {
		return nil, err
	}
	var without, with float64
	for i := range topicRounds { // in turn, so that what the machine does meanwhile hits both
		for _, forwards := range []bool{false, true} {
			used, err := c.cpuPerEvent(ctx, fmt.Sprintf("topics-%d-%t", i, forwards), k, forwards)
			if err != nil {
				return nil, err
			}
			if forwards {
				with += used / topicRounds
			} else {
				without += used / topicRounds
			}
		}
	}
	readable, err := c.readable(ctx, k)
	if err != nil {
		return nil, err
	}
	saturated, err := c.saturated(ctx, k)
	if err != nil {
		return nil, err
	}
	return append(append([]row{
		shown("e", "CPU of the gateway, without Kafka", without, "µs/event"),
		shown("e", "CPU of the gateway, both topics", with, "µs/event"),
		atMost("e", "CPU that Kafka adds", with-without, maxKafkaCPU, "µs/event", number(limit)+" µs/record of a bare client, two a event"),
	}, readable...), saturated...), nil
}

// wipe makes the topics anew, so that no part finds what another has left.
func wipe(ctx context.Context, k *cluster.Cluster) error {
	r, err := startReader(readerOptions{Brokers: k.Addrs()})
	if err != nil {
		return err
	}
	defer r.close()
	ctx, cancel := context.WithTimeout(ctx, readTopicsFor)
	defer cancel()
	if _, err := r.admin.DeleteTopics(ctx, topicNames...); err != nil { // of those that are not there, the answers tell
		return fmt.Errorf("delete the topics: %w", err)
	}
	for {
		there, err := r.admin.ListTopics(ctx)
		if err == nil && !there.Has(topicUpdates) && !there.Has(topicChanges) {
			return nil
		}
		if err := errors.Join(err, pause(ctx, 50*time.Millisecond)); err != nil {
			return fmt.Errorf("delete the topics: %w", err)
		}
	}
}

// forwarding prepares a gateway that forwards, or one that does not, with a partner that takes
// everything.
func (c *benchCmd) forwarding(ctx context.Context, name string, k *cluster.Cluster, forwards bool) (g *gateway, o fireOptions, clean func() error, err error) {
	s := setup{endpoints: 1, concurrency: benchConcurrent}
	if forwards {
		if err := wipe(ctx, k); err != nil {
			return nil, o, nil, err
		}
		s.kafka = &kafkaSetup{brokers: k.Addrs(), ack: "disk", create: true, partitions: partitions, replication: 1}
	}
	g, remove, err := c.place(ctx, name, c.Gateway, "", &s)
	if err != nil {
		return nil, o, nil, err
	}
	p, err := startPartner(ctx, partnerOptions{Addr: s.partner, Key: s.key, Format: "standard"})
	if err != nil {
		return nil, o, nil, errors.Join(err, remove())
	}
	clean = func() error { return errors.Join(p.close(), remove()) }
	if err = g.start(ctx); err == nil {
		err = g.ready(ctx)
	}
	if err == nil {
		o, err = c.load(&s, g.url)
	}
	if err != nil {
		return nil, o, nil, errors.Join(err, clean())
	}
	return g, o, clean, nil
}

// cpuPerEvent is what the gateway uses for one event at a rate that it can keep up with, in µs,
// until it has told everybody.
func (c *benchCmd) cpuPerEvent(ctx context.Context, name string, k *cluster.Cluster, forwards bool) (used float64, err error) {
	g, o, clean, err := c.forwarding(ctx, name, k, forwards)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, clean()) }()
	o.Rate, o.Duration = topicRate, topicFor
	before, err := cpuTime(g.pid())
	if err != nil {
		return 0, err
	}
	stop := func() error { return nil }
	if !forwards {
		stop = inItsPlace(ctx, k.Addrs())
	}
	fired, err := fire(ctx, o)
	if err := errors.Join(err, stop()); err != nil {
		return 0, err
	}
	if _, err := g.settled(ctx, settleWithin); err != nil {
		return 0, err
	}
	after, err := cpuTime(g.pid())
	if err != nil {
		return 0, err
	}
	if _, err := g.stop(); err != nil {
		return 0, err
	}
	if fired.Acked == 0 || fired.GivenUp > 0 || len(fired.Refused) > 0 {
		return 0, fmt.Errorf("of %d callbacks %d were acknowledged, and refused were %v", fired.Sent, fired.Acked, fired.Refused)
	}
	if forwards {
		if err := standing(ctx, k, fired.Acked); err != nil {
			return 0, err
		}
	}
	return float64((after - before).Microseconds()) / float64(fired.Acked), nil
}

// standing holds that each topic has as many records as events were acknowledged, at least: figures
// of a gateway that forwards half of them are worth nothing.
func standing(ctx context.Context, k *cluster.Cluster, events int64) error {
	r, err := startReader(readerOptions{Brokers: k.Addrs()})
	if err != nil {
		return err
	}
	defer r.close()
	ends, err := r.ends(ctx)
	if err != nil {
		return err
	}
	records := map[string]int64{}
	for p, end := range ends {
		records[p.topic] += end
	}
	for _, topic := range topicNames {
		if records[topic] < events {
			return fmt.Errorf("%d events were acknowledged, but on %s are %d records", events, topic, records[topic])
		}
	}
	return nil
}

// gauge measures from the answer of a person's one callback until its update is read, whichever we
// hear of first.
type gauge struct {
	mu       sync.Mutex // guards the fields below
	answered map[string]time.Time
	read     map[string]time.Time
	took     latencies
}

func (g *gauge) answer(c *callback, code int, at time.Time) {
	if code == 200 {
		g.note(c.line.Subject, at, g.answered, g.read)
	}
}

func (g *gauge) record(l *topicLine, at time.Time) {
	if l.Topic == topicUpdates && l.Body != "" {
		g.note(l.Subject, at, g.read, g.answered)
	}
}

// note keeps one of the two times, and adds the difference if the other is there.
func (g *gauge) note(subject string, at time.Time, mine, others map[string]time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, again := mine[subject]; again {
		return
	}
	mine[subject] = at
	if _, both := others[subject]; both {
		g.took.add(g.read[subject].Sub(g.answered[subject])) // who reads before the answer has waited for nothing
	}
}

// readable measures how soon an update can be read, by one clock.
func (c *benchCmd) readable(ctx context.Context, k *cluster.Cluster) (rows []row, err error) {
	g, o, clean, err := c.forwarding(ctx, "topics-readable", k, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, clean()) }()
	w := &gauge{answered: map[string]time.Time{}, read: map[string]time.Time{}}
	r, err := startReader(readerOptions{Brokers: k.Addrs(), Read: w.record})
	if err != nil {
		return nil, err
	}
	defer r.close()
	if err := r.caughtUp(ctx, readTopicsFor); err != nil { // it has found the topics
		return nil, err
	}
	o.Rate, o.Duration, o.Events, o.Answered = readableRate, readableFor, 1, w.answer
	fired, err := fire(ctx, o)
	if err != nil {
		return nil, err
	}
	if _, err := g.settled(ctx, settleWithin); err != nil {
		return nil, err
	}
	if err := r.caughtUp(ctx, readTopicsFor); err != nil {
		return nil, err
	}
	if _, err := g.stop(); err != nil {
		return nil, err
	}
	if n := w.took.n.Load(); n != fired.Acked || n == 0 {
		return nil, fmt.Errorf("%d events were acknowledged, but the updates of %d were read", fired.Acked, n)
	}
	return []row{
		atMost("e", "readable on the topic after the 200, p50", milliseconds(w.took.quantile(0.5)), maxReadable, "ms", ""),
		shown("e", "readable on the topic after the 200, p99", milliseconds(w.took.quantile(0.99)), "ms"),
	}, nil
}

// bareProducing is what a bare client uses for one record, in µs: nothing that forwards can cost
// less.
func bareProducing(ctx context.Context, brokers []string) (used float64, err error) {
	if err := makeTopics(ctx, brokers, bareTopic); err != nil {
		return 0, err
	}
	client, err := bareClient(brokers)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, bareInFlight)
	before := ownCPU()
	for w := range bareInFlight {
		wg.Go(func() {
			for n := 0; n < bareRecords/bareInFlight && errs[w] == nil; n += bareBatch {
				errs[w] = client.ProduceSync(ctx, bareRecordsFrom(n)...).FirstErr()
			}
		})
	}
	wg.Wait()
	return float64((ownCPU() - before).Microseconds()) / bareRecords, errors.Join(errs...)
}

func bareClient(brokers []string) (*kgo.Client, error) {
	client, err := kgo.NewClient(append(clientOptions(brokers), kgo.DefaultProduceTopic(bareTopic), kgo.ProducerBatchCompression(kgo.NoCompression()))...)
	if err != nil {
		return nil, fmt.Errorf("produce: %w", err)
	}
	return client, nil
}

// bareRecordsFrom is one batch of a bare client.
func bareRecordsFrom(n int) []*kgo.Record {
	batch := make([]*kgo.Record, bareBatch)
	for i := range batch {
		batch[i] = &kgo.Record{Key: fmt.Appendf(nil, "acme/person-%d", (n+i)%5000), Value: make([]byte, bareValue)}
	}
	return batch
}

// inItsPlace gives the brokers as much to do as a gateway that forwards would, until stop is
// called. Without that the gateway which does not forward had more of the machine to itself, and
// would be woken more often for less: what is measured is not that.
func inItsPlace(ctx context.Context, brokers []string) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		client, err := bareClient(brokers)
		if err != nil {
			done <- err
			return
		}
		defer client.Close()
		tick := time.NewTicker(time.Second * bareBatch / (2 * topicRate))
		defer tick.Stop()
		for n := 0; ; n += bareBatch {
			select {
			case <-tick.C:
				for _, r := range bareRecordsFrom(n) {
					client.Produce(ctx, r, nil)
				}
			case <-ctx.Done():
				done <- nil
				return
			}
		}
	}()
	return func() error {
		cancel()
		return <-done
	}
}

// ownCPU is what this process has used, user and system.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
