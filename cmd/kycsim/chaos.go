package main

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"countersign/ingest/forward/brokers/cluster"
	"countersign/signing"
)

// chaosCmd is `kycsim chaos`.
type chaosCmd struct {
	Gateway         string        `help:"The gateway's binary." required:"" type:"existingfile"`
	Dir             string        `help:"An empty directory: each scenario gets one in it, for config, data, brokers and ledgers." required:""`
	Scenario        []string      `help:"Scenarios, one after the other: leader, outage, kills, slow, zombie, leaderless, bound. Those joined by '+' happen to the same gateway at the same time." default:"leader,outage,kills,slow,zombie,leaderless,bound"`
	Rate            float64       `help:"Callbacks a second, throughout." default:"1000"`
	Duration        time.Duration `help:"For how long a scenario makes trouble; 0: as long as it is made for."`
	Kills           int           `help:"How often the gateway is killed in scenario kills." default:"10"`
	Ack             string        `help:"What a 200 waits for: disk or kafka." enum:"disk,kafka" default:"disk"`
	Endpoints       int           `help:"Endpoints of the partner." default:"1"`
	Persons         int           `help:"Persons at a time." default:"1000"`
	EventsPerPerson int           `help:"Events of each person." default:"6"`
	Settle          time.Duration `help:"How long everything may take to arrive in the end." default:"2m"`
	Seed            uint64        `help:"Of all randomness." default:"1"`
	ExpectFailure   bool          `help:"For a gateway that is broken on purpose: exit 0 only if updates were lost to the topic."`
	JSON            bool          `name:"json" help:"Print the reports as JSON."`
}

// Run makes trouble, and judges.
func (c *chaosCmd) Run(ctx context.Context, out io.Writer) error {
	if c.Endpoints < 1 || c.Rate <= 0 || c.Kills < 0 {
		return errors.New("chaos: at least one endpoint and a rate are needed")
	}
	plans := make([]plan, len(c.Scenario))
	for i, name := range c.Scenario {
		var err error
		if plans[i], err = planOf(name); err != nil {
			return err
		}
		plans[i].acked = c.Ack == "kafka"
	}
	libs, err := cluster.Libs(ctx)
	if err != nil {
		return err
	}
	var reports []*chaosReport
	for i := range plans {
		r, err := c.run(ctx, &plans[i], libs)
		if err != nil {
			return fmt.Errorf("chaos %s: %w", plans[i].name, err)
		}
		r.judge(&plans[i])
		reports = append(reports, r)
		if !c.JSON {
			if err := printFigures(out, r.figures(), r.remarks()); err != nil {
				return err
			}
		}
	}
	if c.JSON {
		if err := printJSON(out, reports); err != nil {
			return err
		}
	}
	return c.verdict(reports)
}

// verdict of all. Of a gateway that is broken on purpose only the loss is asked for: a test that
// cannot fail proves nothing.
func (c *chaosCmd) verdict(reports []*chaosReport) error {
	if c.ExpectFailure {
		if slices.ContainsFunc(reports, func(r *chaosReport) bool { return r.Topics.Updates.Lost > 0 }) {
			return nil
		}
		return errNo
	}
	if slices.ContainsFunc(reports, func(r *chaosReport) bool { return !r.OK }) {
		return errNo
	}
	return nil
}

// chaosRun is one plan under way.
type chaosRun struct {
	c      *chaosCmd
	p      *plan
	kafka  *cluster.Cluster
	g      *gateway
	s      setup
	reader *reader
	report chaosReport

	sent, got, read *ledger

	acked, refused, unavailable atomic.Int64 // answers until now; unavailable: of the refused, those with 503

	mu    sync.Mutex // guards the field below, and the report's problems
	fault time.Time  // when the last was made
}

// run carries one plan out in a directory of its own and reads the ledgers.
func (c *chaosCmd) run(ctx context.Context, p *plan, libs string) (_ *chaosReport, err error) {
	r := &chaosRun{c: c, p: p, report: chaosReport{Scenario: p.name, soakReport: soakReport{ready: new(latencies)}}}
	dir := filepath.Join(c.Dir, strings.ReplaceAll(p.name, "+", "-"))
	r.s = setup{dir: dir, endpoints: c.Endpoints, concurrency: 32, sources: testSources(), backlog: p.backlog}
	if r.s.key, _, err = signing.GenerateKey(crand.Reader); err != nil {
		return nil, err
	}
	if r.s.partner, err = freeAddr(ctx); err != nil {
		return nil, err
	}
	if r.kafka, err = cluster.Start(ctx, cluster.Options{Nodes: p.nodes, Dir: filepath.Join(dir, "kafka"), Libs: libs}); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.kafka.Stop()) }()
	r.s.kafka = &kafkaSetup{brokers: r.kafka.Addrs(), ack: c.Ack, create: true, partitions: partitions, replication: p.replication()}
	if p.spread {
		if err := makeTopics(ctx, r.kafka.Addrs(), topicNames...); err != nil {
			return nil, err
		}
	}
	if r.g, err = r.s.write(ctx, c.Gateway, ""); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.g.end()) }()
	files := []string{filepath.Join(dir, "fired.jsonl"), filepath.Join(dir, "received.jsonl"), filepath.Join(dir, "topics.jsonl")}
	for i, l := range []**ledger{&r.sent, &r.got, &r.read} {
		if *l, err = openLedger(files[i]); err != nil {
			return nil, errors.Join(err, r.sent.Close(), r.got.Close())
		}
	}
	err = r.course(ctx)
	if err := errors.Join(err, r.sent.Close(), r.got.Close(), r.read.Close()); err != nil {
		return nil, err
	}
	return &r.report, r.hold(files)
}

// hold holds the ledgers against each other.
func (r *chaosRun) hold(files []string) (err error) {
	o := judgeOptions{Fired: files[:1], Received: files[1:2], Topics: files[2:], Around: beforeFault}
	for i := range r.c.Endpoints {
		o.Paths = append(o.Paths, endpointPath(i))
	}
	if r.report.Found, err = judge(o); err != nil {
		return err
	}
	r.report.Topics, err = judgeTopics(o)
	return err
}

// course fires throughout, has the trouble made, and lets everything arrive in the end.
func (r *chaosRun) course(ctx context.Context) error {
	p, err := startPartner(ctx, partnerOptions{Addr: r.s.partner, Key: r.s.key, Format: "standard", Seed: r.c.Seed, Ledger: r.got})
	if err != nil {
		return err
	}
	defer p.close() //nolint:errcheck // the ledger tells what it received
	if err := r.report.start(ctx, r.g); err != nil {
		return err
	}
	if r.reader, err = startReader(readerOptions{Brokers: r.kafka.Addrs(), Ledger: r.read}); err != nil {
		return err
	}
	defer func() { r.report.Problems = append(r.report.Problems, r.reader.close()...) }()
	o, err := r.load()
	if err != nil {
		return err
	}
	firing, enough := context.WithCancel(ctx)
	defer enough()
	done := make(chan error, 1)
	go func() {
		var err error
		r.report.Fired, err = fire(firing, o)
		done <- err
	}()
	err = r.trouble(ctx)
	enough()
	if err := errors.Join(err, <-done); err != nil {
		return err
	}
	return r.finish(ctx)
}

// load is what is fired. Nothing is given up before the longest outage is over.
func (r *chaosRun) load() (o fireOptions, err error) {
	o = fireOptions{
		URL: r.g.url, Rate: r.c.Rate, Connections: 64, Persons: r.c.Persons, Events: r.c.EventsPerPerson, Duplicates: 0.02, GiveUp: r.p.lasts(r.c.Duration) + r.c.Settle,
		Seed: r.c.Seed, Run: freshRun(), Ledger: r.sent,
		Answered: func(_ *callback, code int, _ time.Time) {
			switch code {
			case 200:
				r.acked.Add(1)
			case 503:
				r.unavailable.Add(1)
				fallthrough
			default:
				r.refused.Add(1)
			}
		},
	}
	for _, spec := range r.s.specs() {
		src, err := newSource(spec, nil)
		if err != nil {
			return o, err
		}
		o.Sources = append(o.Sources, src)
	}
	return o, nil
}

// trouble has every scenario of the plan happen, at the same time, between a quiet start and a
// quiet end.
func (r *chaosRun) trouble(ctx context.Context) error {
	if err := pause(ctx, calm); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make(chan error, len(r.p.parts))
	for _, s := range r.p.parts {
		go func() { errs <- s.course(ctx, r, s.lasts(r.c.Duration)) }()
	}
	var err error
	for range r.p.parts {
		if e := <-errs; e != nil {
			err = errors.Join(err, e)
			cancel()
		}
	}
	return errors.Join(err, pause(ctx, calm))
}

// calm is for how long nothing is done before and after.
const calm = 3 * time.Second

// finish waits until everything has arrived everywhere and ends the gateway in good order. What
// goes wrong here is a finding, for the ledgers are whole.
func (r *chaosRun) finish(ctx context.Context) error {
	problem := func(err error) {
		if err != nil {
			r.problem("%v", err)
		}
	}
	settled, err := r.g.settled(ctx, r.c.Settle)
	problem(err)
	r.mu.Lock()
	r.report.LagOver = time.Since(r.fault).Seconds()
	r.mu.Unlock()
	problem(r.reader.caughtUp(ctx, r.c.Settle))
	stopped, err := r.g.stop()
	problem(err)
	r.report.SettledIn, r.report.StoppedIn = settled.Seconds(), stopped.Seconds()
	r.report.ReadyP50, r.report.ReadyMax = milliseconds(r.report.ready.quantile(0.5)), milliseconds(r.report.readyMax)
	return ctx.Err()
}

// mark writes a fault down, just before or after it is made.
func (r *chaosRun) mark(ev string) {
	now := time.Now()
	r.sent.fired(&firedLine{T: now.UnixNano(), Ev: ev})
	r.mu.Lock()
	r.fault = now
	r.mu.Unlock()
}

// problem keeps what the ledgers do not show.
func (r *chaosRun) problem(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Problems = append(r.report.Problems, fmt.Sprintf(format, args...))
}
