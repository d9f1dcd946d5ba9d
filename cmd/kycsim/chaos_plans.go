package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// partitions of each topic.
const partitions = 12

// scenario is one kind of trouble.
type scenario struct {
	name    string
	nodes   int           // of Kafka, at least
	usual   time.Duration // for how long it makes trouble
	backlog int64         // the gateway's bound; 0: none that is ever met
	spread  bool          // every partition stands on one node only
	refuses func(code string) bool
	course  func(ctx context.Context, r *chaosRun, d time.Duration) error
}

func nothing(string) bool        { return false }
func anything(string) bool       { return true }
func only503(code string) bool   { return code == "503" }
func (p *plan) replication() int { return map[bool]int{true: 3, false: 1}[p.nodes >= 3 && !p.spread] }

// scenarios are all there are. What may be refused is what the gateway cannot help: its own death,
// and a bound that is met.
var scenarios = []scenario{
	{name: "leader", nodes: 3, usual: time.Minute, refuses: nothing, course: killLeaders},
	{name: "outage", nodes: 1, usual: 2 * time.Minute, refuses: nothing, course: outage},
	{name: "kills", nodes: 1, usual: 30 * time.Second, refuses: anything, course: killGateway},
	{name: "slow", nodes: 1, usual: 30 * time.Second, refuses: nothing, course: hang},
	{name: "zombie", nodes: 3, usual: 45 * time.Second, refuses: nothing, course: hangLeader},
	{name: "leaderless", nodes: 3, usual: 30 * time.Second, spread: true, refuses: nothing, course: leaderless},
	{name: "bound", nodes: 1, usual: 10 * time.Second, backlog: 20_000, refuses: only503, course: fillUp},
}

func (s *scenario) lasts(wanted time.Duration) time.Duration {
	if wanted > 0 {
		return wanted
	}
	return s.usual
}

// plan is what happens to one gateway.
type plan struct {
	name    string
	parts   []*scenario
	nodes   int
	backlog int64
	spread  bool
	acked   bool // a 200 waits for Kafka
}

// planOf reads names joined by '+'.
func planOf(text string) (plan, error) {
	p := plan{name: text}
	for name := range strings.SplitSeq(text, "+") {
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
		if i < 0 {
			return p, fmt.Errorf("chaos: there is no scenario %q", name)
		}
		s := &scenarios[i]
		p.parts = append(p.parts, s)
		p.nodes, p.backlog, p.spread = max(p.nodes, s.nodes), max(p.backlog, s.backlog), p.spread || s.spread
	}
	return p, nil
}

// lasts is for how long the longest part makes trouble.
func (p *plan) lasts(wanted time.Duration) (d time.Duration) {
	for _, s := range p.parts {
		d = max(d, s.lasts(wanted))
	}
	return d
}

// refuses reports whether an answer may be given. Where a 200 waits for Kafka, what Kafka cannot
// acknowledge may be refused too.
func (p *plan) refuses(code string) bool {
	return p.acked && only503(code) || slices.ContainsFunc(p.parts, func(s *scenario) bool { return s.refuses(code) })
}

// killLeaders kills whoever leads the first partition, once in every half minute, and starts it
// again a quarter of a minute later.
func killLeaders(ctx context.Context, r *chaosRun, d time.Duration) error {
	const turn = 30 * time.Second
	for n := max(1, int(d/turn)); n > 0; n-- {
		i, err := r.leaderOf(ctx, 0)
		if err != nil {
			return err
		}
		began := time.Now()
		if err := r.killBrokers(i); err != nil {
			return err
		}
		r.report.elected(r.electedAfter(ctx, began, i))
		if err := pause(ctx, time.Until(began.Add(turn/2))); err != nil {
			return err
		}
		if err := r.startBrokers(ctx, i); err != nil {
			return err
		}
		if err := pause(ctx, time.Until(began.Add(turn))); err != nil {
			return err
		}
	}
	return nil
}

// outage takes every broker away.
func outage(ctx context.Context, r *chaosRun, d time.Duration) error {
	if err := r.killBrokers(r.everyBroker()...); err != nil {
		return err
	}
	if err := pause(ctx, d); err != nil {
		return err
	}
	return r.startBrokers(ctx, r.everyBroker()...)
}

// killGateway kills the gateway again and again, as a soak does, spread over the time.
func killGateway(ctx context.Context, r *chaosRun, d time.Duration) error {
	for ; r.report.Kills < r.c.Kills; r.report.Kills++ {
		if err := pause(ctx, d/time.Duration(r.c.Kills)); err != nil {
			return err
		}
		r.mark(evKilled)
		if err := r.g.kill(); err != nil {
			return err
		}
		if err := r.report.start(context.WithoutCancel(ctx), r.g); err != nil { // it outlives the trouble; its end is ours
			return err
		}
	}
	return nil
}

// hang has a broker stand still for 3 s, again and again.
func hang(ctx context.Context, r *chaosRun, d time.Duration) error {
	const still = 3 * time.Second
	for began := time.Now(); time.Since(began) < d; {
		r.mark(evBroker)
		if err := r.kafka.Pause(0); err != nil {
			return err
		}
		err := pause(ctx, still)
		r.mark(evBroker)
		if err := errors.Join(err, r.kafka.Resume(0)); err != nil {
			return err
		}
		if err := pause(ctx, still); err != nil {
			return err
		}
	}
	return nil
}

// hangLeader has whoever leads the first partition stand still for so long that another is made
// leader, and come back with requests that it has not answered.
func hangLeader(ctx context.Context, r *chaosRun, d time.Duration) error {
	const still, between = 15 * time.Second, 7 * time.Second
	for began := time.Now(); time.Since(began)+still < d; {
		i, err := r.leaderOf(ctx, 0)
		if err != nil {
			return err
		}
		r.mark(evBroker)
		if err := r.kafka.Pause(i); err != nil {
			return err
		}
		err = pause(ctx, still)
		r.mark(evBroker)
		if err := errors.Join(err, r.kafka.Resume(i), pause(ctx, between)); err != nil {
			return err
		}
	}
	return nil
}

// leaderless kills a node that alone has some of the partitions. The others have to go on.
func leaderless(ctx context.Context, r *chaosRun, d time.Duration) error {
	led, err := r.reader.leaders(ctx)
	if err != nil {
		return err
	}
	last := r.everyBroker()[len(r.everyBroker())-1]
	if err := r.killBrokers(last); err != nil {
		return err
	}
	if err := pause(ctx, d/2); err != nil { // whoever fell has been noticed by then
		return err
	}
	before := r.reader.position()
	if err := pause(ctx, d/2); err != nil {
		return err
	}
	after := r.reader.position()
	for p, leader := range led {
		at := place{topicUpdates, p}
		switch grew := after[at] > before[at]; {
		case leader == r.kafka.NodeID(last):
			r.report.Leaderless++
		case !grew:
			r.problem("partition %d had a leader, but nothing was written to it while another had none", p)
		default:
			r.report.WentOn++
		}
	}
	if r.report.Leaderless == 0 {
		r.problem("no partition was without a leader: nothing was shown")
	}
	return r.startBrokers(ctx, last)
}

// fillUp takes every broker away until the gateway's bound is met and it refuses callbacks, and
// then for a while more. With the brokers back, it has to take callbacks again by itself.
func fillUp(ctx context.Context, r *chaosRun, d time.Duration) error {
	if err := r.killBrokers(r.everyBroker()...); err != nil {
		return err
	}
	expected := time.Duration(float64(r.p.backlog) / r.c.Rate * float64(time.Second))
	began := time.Now()
	if err := r.until(ctx, 3*expected+time.Minute, "the bound is met", func() bool { return r.unavailable.Load() > 0 }); err != nil {
		return err
	}
	r.report.FullAfter = time.Since(began).Seconds()
	if err := pause(ctx, d); err != nil {
		return err
	}
	if err := r.startBrokers(ctx, r.everyBroker()...); err != nil {
		return err
	}
	began = time.Now()
	acked := r.acked.Load()
	if err := r.until(ctx, time.Minute, "callbacks are taken again", func() bool { return r.acked.Load() > acked+int64(r.c.Rate) }); err != nil {
		return err
	}
	r.report.OpenAfter = time.Since(began).Seconds()
	return nil
}

// until waits for something to be so. That it does not become so is a finding.
func (r *chaosRun) until(ctx context.Context, limit time.Duration, what string, so func() bool) error {
	deadline := time.Now().Add(limit)
	for !so() {
		if time.Now().After(deadline) {
			r.problem("%s was not reached within %s", what, limit)
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func (r *chaosRun) everyBroker() []int {
	all := make([]int, r.p.nodes)
	for i := range all {
		all[i] = i
	}
	return all
}

func (r *chaosRun) killBrokers(nodes ...int) error {
	for _, i := range nodes {
		r.mark(evBroker)
		if err := r.kafka.Kill(i); err != nil {
			return err
		}
	}
	return nil
}

// startBrokers starts brokers that were killed, and marks when they listen again.
func (r *chaosRun) startBrokers(ctx context.Context, nodes ...int) error {
	if err := r.kafka.Restart(ctx, nodes...); err != nil {
		return err
	}
	r.mark(evBroker)
	return nil
}

// leaderOf finds which of our nodes leads a partition of the updates.
func (r *chaosRun) leaderOf(ctx context.Context, partition int32) (int, error) {
	for range 300 {
		if led, err := r.reader.leaders(ctx); err == nil {
			for _, i := range r.everyBroker() {
				if r.kafka.NodeID(i) == led[partition] {
					return i, nil
				}
			}
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("partition %d has no leader", partition)
}

// electedAfter is how long it took until another than node i led the first partition; 0: too long.
func (r *chaosRun) electedAfter(ctx context.Context, began time.Time, i int) time.Duration {
	for ctx.Err() == nil && time.Since(began) < 14*time.Second {
		if led, err := r.reader.leaders(ctx); err == nil && led[0] >= 0 && led[0] != r.kafka.NodeID(i) {
			return time.Since(began)
		}
		if pause(ctx, 100*time.Millisecond) != nil {
			break
		}
	}
	return 0
}

// makeTopics makes topics with one replica of each partition, spread over all nodes.
func makeTopics(ctx context.Context, brokers []string, names ...string) error {
	client, err := kgo.NewClient(clientOptions(brokers)...)
	if err != nil {
		return fmt.Errorf("make the topics: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	one := "1"
	made, err := kadm.NewClient(client).CreateTopics(ctx, partitions, 1, map[string]*string{"min.insync.replicas": &one}, names...)
	if err == nil {
		err = made.Error()
	}
	if err != nil {
		return fmt.Errorf("make the topics: %w", err)
	}
	return nil
}

// position is how far each partition has been read.
func (r *reader) position() map[place]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.next)
}
