package main

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"time"

	"countersign/signing"
)

// soakCmd is `kycsim soak`.
type soakCmd struct {
	Gateway         string        `help:"The gateway's binary." required:"" type:"existingfile"`
	Kills           int           `help:"How often it is killed." default:"100"`
	Rate            float64       `help:"Callbacks a second, throughout." default:"500"`
	Dir             string        `help:"An empty directory, for the config, the data and the ledgers." required:""`
	Endpoints       int           `help:"Endpoints of the partner." default:"2"`
	Persons         int           `help:"Persons at a time." default:"500"`
	EventsPerPerson int           `help:"Events of each person." default:"6"`
	Settle          time.Duration `help:"How long everything may take to arrive in the end." default:"60s"`
	Seed            uint64        `help:"Of all randomness." default:"1"`
	Compact         bool          `help:"Have the gateway compact its database over and over."`
	ExpectFailure   bool          `help:"For a gateway that is broken on purpose: exit 0 only if events were lost."`
	JSON            bool          `name:"json" help:"Print the report as JSON."`
}

// soakReport is what came of a soak.
type soakReport struct {
	Fired     fireSummary   `json:"fired"`
	Found     findings      `json:"found"`
	Kills     int           `json:"kills"`
	ReadyP50  float64       `json:"ready_p50_ms"` // from exec to /readyz
	ReadyMax  float64       `json:"ready_max_ms"`
	SettledIn float64       `json:"settled_s"`
	StoppedIn float64       `json:"stopped_s"`
	Problems  []string      `json:"problems,omitempty"` // that the ledgers do not show
	OK        bool          `json:"ok"`
	Compacted *compactions  `json:"compacted,omitempty"`
	ready     *latencies    // of every start
	readyMax  time.Duration // of these
}

// Run soaks.
func (c *soakCmd) Run(ctx context.Context, out io.Writer) error {
	if c.Endpoints < 1 || c.Kills < 0 || c.Rate <= 0 {
		return errors.New("soak: at least one endpoint and a rate are needed")
	}
	r := soakReport{ready: new(latencies)}
	if err := c.soak(ctx, &r); err != nil {
		return err
	}
	r.judge(c.ExpectFailure)
	var err error
	if c.JSON {
		err = printJSON(out, &r)
	} else {
		err = printFigures(out, r.figures(), append(r.Problems, r.Found.Examples...))
	}
	if err == nil && !r.OK {
		return errNo
	}
	return err
}

// judge decides. Of a gateway that is broken on purpose only the loss is asked for: a test that
// cannot fail proves nothing.
func (r *soakReport) judge(expectFailure bool) {
	f := &r.Found
	r.Problems = append(r.Problems, f.problems()...)
	if r.Fired.GivenUp > 0 {
		r.Problems = append(r.Problems, fmt.Sprintf("%d callbacks were never acknowledged", r.Fired.GivenUp))
	}
	if c := r.Compacted; c != nil && (c.Done == 0 || c.Failed > 0) {
		r.Problems = append(r.Problems, fmt.Sprintf("of %d compactions %d were done and %d failed: %s", c.Begun, c.Done, c.Failed, c.Why))
	}
	r.OK = f.faults() == 0 && len(r.Problems) == 0
	if expectFailure {
		r.OK = f.Lost > 0
	}
}

// problems are what no crash excuses in a run that was left to settle, though nothing is wrong with
// any record.
func (f *findings) problems() (problems []string) {
	if f.Duplicated > f.AllowedRepeats {
		problems = append(problems, fmt.Sprintf("%d repeats are more than the %d that the kills excuse", f.Duplicated, f.AllowedRepeats))
	}
	if f.RepeatedAfter2xx > 0 {
		problems = append(problems, fmt.Sprintf("%d repeats are explained by no kill", f.RepeatedAfter2xx))
	}
	if f.Gaps > 0 {
		problems = append(problems, fmt.Sprintf("%d sequence gaps, though no delivery can have died", f.Gaps))
	}
	if f.Acked == 0 {
		problems = append(problems, "nothing was acknowledged: there was nothing to lose")
	}
	return problems
}

// soak runs the whole course and reads the ledgers.
func (c *soakCmd) soak(ctx context.Context, r *soakReport) (err error) {
	key, _, err := signing.GenerateKey(crand.Reader)
	if err != nil {
		return fmt.Errorf("soak: %w", err)
	}
	s := setup{dir: c.Dir, endpoints: c.Endpoints, concurrency: 32, key: key, sources: testSources()}
	s.partner, err = freeAddr(ctx)
	if err != nil {
		return err
	}
	g, err := s.write(ctx, c.Gateway, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.end()) }()
	fired, received := filepath.Join(c.Dir, "fired.jsonl"), filepath.Join(c.Dir, "received.jsonl")
	sent, err := openLedger(fired)
	if err != nil {
		return err
	}
	got, err := openLedger(received)
	if err != nil {
		return errors.Join(err, sent.Close())
	}
	err = c.course(ctx, r, g, &s, sent, got)
	if err := errors.Join(err, sent.Close(), got.Close()); err != nil {
		return err
	}
	var paths []string
	for i := range c.Endpoints {
		paths = append(paths, endpointPath(i))
	}
	r.Found, err = judge(judgeOptions{Fired: []string{fired}, Received: []string{received}, Paths: paths, Kills: c.Kills})
	return err
}

// course fires throughout, kills and restarts, and lets everything arrive in the end.
func (c *soakCmd) course(ctx context.Context, r *soakReport, g *gateway, s *setup, sent, got *ledger) error {
	p, err := startPartner(ctx, partnerOptions{Addr: s.partner, Key: s.key, Format: "standard", Seed: c.Seed, Ledger: got})
	if err != nil {
		return err
	}
	defer p.close() //nolint:errcheck // the ledger tells what it received
	if err := r.start(ctx, g); err != nil {
		return err
	}
	sources := make([]*source, len(s.sources))
	for i, spec := range s.specs() {
		if sources[i], err = newSource(spec, nil); err != nil {
			return err
		}
	}
	firing, enough := context.WithCancel(ctx)
	defer enough()
	done := make(chan error, 1)
	go func() {
		var err error
		r.Fired, err = fire(firing, fireOptions{
			URL: g.url, Sources: sources, Rate: c.Rate, Connections: 64, Persons: c.Persons, Events: c.EventsPerPerson,
			Duplicates: 0.02, GiveUp: time.Minute, Seed: c.Seed, Run: freshRun(), Ledger: sent,
		})
		done <- err
	}()
	compacted := make(chan struct{})
	if c.Compact {
		r.Compacted = &compactions{}
		go func() {
			defer close(compacted)
			r.Compacted.compact(firing, g)
		}()
	} else {
		close(compacted)
	}
	err = c.kill(ctx, r, g, sent)
	enough()
	<-compacted
	if err := errors.Join(err, <-done); err != nil {
		return err
	}
	return c.finish(ctx, r, g)
}

// kill kills the gateway at random moments and starts it again.
func (c *soakCmd) kill(ctx context.Context, r *soakReport, g *gateway, sent *ledger) error {
	rng := rand.New(rand.NewPCG(c.Seed, 7)) //nolint:gosec // to be repeatable
	for ; r.Kills < c.Kills; r.Kills++ {
		if err := pause(ctx, 200*time.Millisecond+time.Duration(rng.Int64N(int64(1300*time.Millisecond)))); err != nil {
			return err
		}
		sent.fired(&firedLine{T: time.Now().UnixNano(), Ev: evKilled})
		if err := g.kill(); err != nil {
			return err
		}
		if err := r.start(ctx, g); err != nil {
			return err
		}
	}
	return pause(ctx, 500*time.Millisecond)
}

// start starts the gateway and notes how long it took to be ready.
func (r *soakReport) start(ctx context.Context, g *gateway) error {
	began := time.Now()
	if err := g.start(ctx); err != nil {
		return err
	}
	if err := g.ready(ctx); err != nil {
		return err
	}
	took := time.Since(began)
	r.ready.add(took)
	r.readyMax = max(r.readyMax, took)
	return nil
}

// finish waits until everything has arrived and ends the gateway in good order. What goes wrong
// here is a finding, for the ledgers are whole.
func (c *soakCmd) finish(ctx context.Context, r *soakReport, g *gateway) error {
	settled, err := g.settled(ctx, c.Settle)
	if err != nil {
		r.Problems = append(r.Problems, err.Error())
	}
	stopped, err := g.stop()
	if err != nil {
		r.Problems = append(r.Problems, err.Error())
	}
	r.SettledIn, r.StoppedIn = settled.Seconds(), stopped.Seconds()
	r.ReadyP50, r.ReadyMax = milliseconds(r.ready.quantile(0.5)), milliseconds(r.readyMax)
	return ctx.Err()
}

func (r *soakReport) figures() []figure {
	verdict := "no"
	switch {
	case r.OK && r.Found.faults() > 0:
		verdict = "no, as expected"
	case r.OK:
		verdict = "yes"
	}
	figures := []figure{
		{"all in order", verdict},
		count("kills", r.Kills),
		count("callbacks sent", r.Fired.Sent),
		count("callbacks acknowledged", r.Fired.Acked),
		count("sent again", r.Fired.Duplicates),
		count("given up", r.Fired.GivenUp),
		count("turns skipped", r.Fired.Skipped),
		{"acknowledged a second", fmt.Sprintf("%.1f", r.Fired.Rate)},
		{"acknowledgement p50, p99", fmt.Sprintf("%.2f ms, %.2f ms", r.Fired.P50, r.Fired.P99)},
		{"start to ready p50, max", fmt.Sprintf("%.0f ms, %.0f ms", r.ReadyP50, r.ReadyMax)},
		{"settled in, stopped in", fmt.Sprintf("%.1f s, %.1f s", r.SettledIn, r.StoppedIn)},
	}
	if r.Compacted != nil {
		figures = append(figures, r.Compacted.figures()...)
	}
	return append(figures, r.Found.figures()...)
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
