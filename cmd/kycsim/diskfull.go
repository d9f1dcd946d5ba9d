package main

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"countersign/signing"
)

// diskfullCmd is `kycsim diskfull`.
type diskfullCmd struct {
	Gateway       string        `help:"The gateway's binary." required:"" type:"existingfile"`
	Dir           string        `help:"An empty directory: each scenario gets one in it, for the config, a mounted data directory and the ledgers." required:""`
	Scenario      []string      `help:"What fills the disk, one after the other: backlog (no relay runs), history (everything is delivered), deliveries (the partner is down), ballast (somebody else's file, while deliveries are owed)." default:"backlog,history,deliveries,ballast"`
	Size          int64         `help:"MiB of the disk." default:"96"`
	MaxSize       int64         `help:"MiB of storage.max_size; less than the disk: it is the database that is full. 0: four times the disk."`
	Settle        time.Duration `help:"How long everything may take to arrive." default:"30s"`
	Seed          uint64        `help:"Of all randomness." default:"1"`
	ExpectFailure bool          `help:"For a gateway that is broken on purpose: exit 0 only if what it acknowledged did not arrive."`
	JSON          bool          `name:"json" help:"Print the reports as JSON."`
}

// diskfullReport is what came of one scenario.
type diskfullReport struct {
	Scenario  string      `json:"scenario"`
	Filled    fireSummary `json:"filled"`     // until nothing was taken any more
	Again     fireSummary `json:"again"`      // after there was room
	FullSaid  string      `json:"full_said"`  // by /readyz while it was full
	FilledIn  float64     `json:"filled_s"`   // until nothing was taken any more
	ToldIn    float64     `json:"told_s"`     // until everything taken had been told, without or with more room, as the scenario has it
	TakenIn   float64     `json:"taken_s"`    // from when there was room until callbacks were taken
	UsedFull  int64       `json:"used_full"`  // bytes of the disk, when it was full
	UsedAfter int64       `json:"used_after"` // when everything had been told
	Found     findings    `json:"found"`
	Problems  []string    `json:"problems,omitempty"`
	OK        bool        `json:"ok"`
}

// Run fills, makes room, and judges.
func (c *diskfullCmd) Run(ctx context.Context, out io.Writer) error {
	var reports []*diskfullReport
	for _, name := range c.Scenario {
		if !slices.Contains([]string{"backlog", "history", "deliveries", "ballast"}, name) {
			return fmt.Errorf("diskfull: no scenario %q: backlog, history, deliveries, ballast", name)
		}
		r, err := c.run(ctx, name)
		if err != nil {
			return fmt.Errorf("diskfull %s: %w", name, err)
		}
		r.judge(c.ExpectFailure)
		reports = append(reports, r)
		if !c.JSON {
			if err := printFigures(out, r.figures(), append(r.Problems, r.Found.Examples...)); err != nil {
				return err
			}
		}
	}
	if c.JSON {
		if err := printJSON(out, reports); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(reports, func(r *diskfullReport) bool { return !r.OK }) {
		return errNo
	}
	return nil
}

// judge decides. Of a gateway that is broken on purpose only the loss is asked for: a test that
// cannot fail proves nothing.
func (r *diskfullReport) judge(expectFailure bool) {
	r.Problems = append(r.Problems, r.Found.problems()...)
	for _, f := range []*fireSummary{&r.Filled, &r.Again} {
		for code, n := range f.Refused {
			if code != "503" {
				r.Problems = append(r.Problems, fmt.Sprintf("%d callbacks were refused with %s; a full disk is answered 503", n, code))
			}
		}
		if f.NoRetryAfter > 0 {
			r.Problems = append(r.Problems, fmt.Sprintf("%d callbacks were refused without Retry-After", f.NoRetryAfter))
		}
	}
	if !strings.Contains(r.FullSaid, "storage is full (") {
		r.Problems = append(r.Problems, "while nothing was taken, /readyz said only: "+r.FullSaid)
	}
	if r.Again.Acked == 0 && !expectFailure {
		r.Problems = append(r.Problems, "nothing was taken again")
	}
	r.OK = r.Found.faults() == 0 && len(r.Problems) == 0
	if expectFailure {
		r.OK = r.Found.Lost > 0
	}
}

// diskRun is one scenario under way.
type diskRun struct {
	c         *diskfullCmd
	name      string
	disk      *disk
	g         *gateway
	s         setup
	p         *partner // nil: nobody answers there
	sources   []*source
	sent, got *ledger
	r         diskfullReport
}

// run carries one scenario out in a directory of its own and reads the ledgers.
func (c *diskfullCmd) run(ctx context.Context, name string) (_ *diskfullReport, err error) {
	d := &diskRun{c: c, name: name, r: diskfullReport{Scenario: name}}
	dir := filepath.Join(c.Dir, name)
	d.s = setup{dir: dir, endpoints: 2, concurrency: 32, sources: testSources(), maxSize: fmt.Sprintf("%dMiB", cmp.Or(c.MaxSize, 4*c.Size))}
	if d.s.key, _, err = signing.GenerateKey(crand.Reader); err != nil {
		return nil, err
	}
	if d.s.partner, err = freeAddr(ctx); err != nil {
		return nil, err
	}
	role := ""
	if name == "backlog" {
		role = "ingest"
	}
	if d.g, err = d.s.write(ctx, c.Gateway, role); err != nil {
		return nil, err
	}
	if d.disk, err = mountDisk(filepath.Join(dir, "data"), c.Size<<20); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.g.end(), d.disk.unmount()) }() // in this order: nobody may have a file open there
	fired, received := filepath.Join(dir, "fired.jsonl"), filepath.Join(dir, "received.jsonl")
	if d.sent, err = openLedger(fired); err != nil {
		return nil, err
	}
	if d.got, err = openLedger(received); err != nil {
		return nil, errors.Join(err, d.sent.Close())
	}
	err = d.course(ctx)
	if err := errors.Join(err, d.sent.Close(), d.got.Close()); err != nil {
		return nil, err
	}
	d.r.Found, err = judge(judgeOptions{Fired: []string{fired}, Received: []string{received}, Paths: []string{endpointPath(0), endpointPath(1)}})
	return &d.r, err
}

// course fills the disk as the scenario has it, lets what has been taken arrive, makes room where
// that alone makes none, and fires again.
func (d *diskRun) course(ctx context.Context) (err error) {
	for _, spec := range d.s.specs() {
		s, err := newSource(spec, nil)
		if err != nil {
			return err
		}
		d.sources = append(d.sources, s)
	}
	if d.name == "history" {
		if err := d.answer(ctx); err != nil {
			return err
		}
	}
	defer func() {
		if d.p != nil {
			err = errors.Join(err, d.p.close())
		}
	}()
	if err := d.g.start(ctx); err != nil {
		return err
	}
	if err := d.g.ready(ctx); err != nil {
		return err
	}
	began := time.Now()
	if err := d.fill(ctx); err != nil {
		return err
	}
	d.r.FilledIn = time.Since(began).Seconds()
	if d.r.UsedFull, err = d.disk.used(); err != nil {
		return err
	}
	if err := d.release(ctx); err != nil {
		return err
	}
	return d.finish(ctx)
}

// fill fires until nothing is taken any more. Where somebody else's file fills the disk, that is
// put there meanwhile.
func (d *diskRun) fill(ctx context.Context) (err error) {
	taken := int64(0)
	if d.name == "ballast" {
		first, err := d.fire(ctx, 3000)
		if err != nil {
			return err
		}
		if taken = first.Acked; taken == 0 {
			return errors.New("nothing was taken before the disk was full")
		}
		if err := d.disk.fill(); err != nil {
			return err
		}
	}
	d.r.Filled, err = d.fire(ctx, 0)
	d.r.Filled.Acked += taken
	return err
}

// release takes away what kept the disk full, but for its size: the relay runs, the partner
// answers. What has been taken must arrive then, on the disk as it is.
func (d *diskRun) release(ctx context.Context) error {
	switch d.name {
	case "backlog":
		if _, err := d.g.stop(); err != nil {
			return err
		}
		d.g.role = ""
		if err := errors.Join(d.answer(ctx), d.g.start(ctx)); err != nil {
			return err
		}
		if err := d.opened(ctx); err != nil {
			return err
		}
	case "ballast":
		if err := d.restart(ctx); err != nil {
			return err
		}
		fallthrough
	case "deliveries":
		if err := pause(ctx, 5*time.Second); err != nil { // what fails is tried again meanwhile, and noted
			return err
		}
		if err := d.answer(ctx); err != nil {
			return err
		}
	}
	told, err := d.g.settled(ctx, d.c.Settle)
	if err != nil {
		d.r.Problems = append(d.r.Problems, err.Error())
	}
	d.r.ToldIn = told.Seconds()
	d.r.UsedAfter, err = d.disk.used()
	return err
}

// restart kills the gateway on the full disk and starts it again: a disk that is full must not keep
// it from that.
func (d *diskRun) restart(ctx context.Context) error {
	d.sent.fired(&firedLine{T: time.Now().UnixNano(), Ev: evKilled})
	if err := d.g.kill(); err != nil {
		return err
	}
	if err := d.g.start(ctx); err != nil {
		return err
	}
	return d.opened(ctx)
}

// opened waits until the gateway has opened its database, however full the disk is.
func (d *diskRun) opened(ctx context.Context) error {
	for until := time.Now().Add(readyWithin); ; {
		_, err := d.g.rest(ctx)
		if err == nil {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("the gateway does not start on a full disk: %w", err)
		}
		select {
		case <-d.g.exited:
			return fmt.Errorf("the gateway does not start on a full disk (%s); see %s", d.g.cmd.ProcessState, d.g.log.Name())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// finish makes the disk larger, as an operator would, without a restart, and fires again.
func (d *diskRun) finish(ctx context.Context) error {
	if d.c.ExpectFailure && len(d.r.Problems) > 0 {
		return nil // it is wedged
	}
	var err error
	switch d.name { // elsewhere what has been told has made room
	case "history":
		err = d.disk.resize(2 * d.c.Size << 20)
	case "ballast":
		err = d.disk.empty()
	}
	if err != nil {
		return err
	}
	began := time.Now()
	if err := d.g.ready(ctx); err != nil {
		d.r.Problems = append(d.r.Problems, "there is room again: "+err.Error())
	}
	d.r.TakenIn = time.Since(began).Seconds()
	if d.r.Again, err = d.fire(ctx, 500); err != nil {
		return err
	}
	if _, err := d.g.settled(ctx, d.c.Settle); err != nil {
		d.r.Problems = append(d.r.Problems, err.Error())
	}
	if _, err := d.g.stop(); err != nil {
		d.r.Problems = append(d.r.Problems, err.Error())
	}
	return ctx.Err()
}

// answer lets the partner answer from now on.
func (d *diskRun) answer(ctx context.Context) (err error) {
	d.p, err = startPartner(ctx, partnerOptions{Addr: d.s.partner, Key: d.s.key, Format: "standard", Seed: d.c.Seed, Ledger: d.got})
	return err
}

// fire sends so many events, as fast as it can; 0: until nothing has been taken for two seconds.
func (d *diskRun) fire(ctx context.Context, events int64) (fireSummary, error) {
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	var taken atomic.Int64 // unix nanoseconds
	taken.Store(time.Now().UnixNano())
	o := fireOptions{
		Count: events, URL: d.g.url, Sources: d.sources, Connections: 64, Persons: 2000, Events: 6, Duplicates: 0.02, GiveUp: 3 * time.Second, Seed: d.c.Seed, Run: freshRun(), Ledger: d.sent,
		Answered: func(_ *callback, code int, at time.Time) {
			if code == http.StatusOK {
				taken.Store(at.UnixNano())
			}
		},
	}
	if events > 0 {
		return fire(ctx, o)
	}
	asked := make(chan error, 1)
	go func() {
		defer enough()
		for pause(ctx, 50*time.Millisecond) == nil {
			if time.Now().UnixNano()-taken.Load() > int64(2*time.Second) {
				_, said, err := get(ctx, d.g.control+"/readyz") // while callbacks are being refused
				d.r.FullSaid = strings.TrimSpace(string(said))
				asked <- err
				return
			}
		}
		asked <- ctx.Err()
	}()
	f, err := fire(ctx, o)
	enough()
	return f, errors.Join(err, <-asked)
}

func (r *diskfullReport) figures() []figure {
	verdict := "no"
	switch {
	case r.OK && r.Found.faults() > 0:
		verdict = "no, as expected"
	case r.OK:
		verdict = "yes"
	}
	mib := func(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
	return append(under(r.Scenario, []figure{
		{"all in order", verdict},
		count("callbacks taken until it was full", r.Filled.Acked),
		count("refused with 503", r.Filled.Refused["503"]),
		{"full after", fmt.Sprintf("%.1f s", r.FilledIn)},
		{"/readyz then", r.FullSaid},
		{"everything taken was told after", fmt.Sprintf("%.1f s", r.ToldIn)},
		{"of the disk in use, then and after", mib(r.UsedFull) + ", " + mib(r.UsedAfter)},
		{"callbacks taken again after", fmt.Sprintf("%.1f s", r.TakenIn)},
		count("callbacks taken again", r.Again.Acked),
	}), r.Found.figures()...)
}
