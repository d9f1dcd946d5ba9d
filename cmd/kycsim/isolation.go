package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// isolationCmd is `kycsim isolation`: what sick endpoints cost the healthy ones (I6). Each scene
// runs with everybody healthy and with the sick ones sick, in turns, and the medians are compared.
type isolationCmd struct {
	Gateway string        `help:"The gateway's binary." required:"" type:"existingfile"`
	Dir     string        `help:"Directory for data; runs make, and remove, directories of their own in it." required:""`
	Pairs   int           `help:"Runs of each kind and scene." default:"3"`
	For     time.Duration `help:"How long each run fires." default:"12s"`
	Rate    float64       `help:"Callbacks a second, each told to every endpoint." default:"15"`
	Owed    int           `help:"Deliveries owed to one endpoint as the gateway starts." default:"100000"`
	Only    []string      `help:"Scenes." default:"crowd,host,many" enum:"crowd,host,many"`
	Keep    bool          `help:"Keep the directories."`
	Seed    uint64        `help:"Of all randomness." default:"1"`
	JSON    bool          `name:"json" help:"Print the rows as JSON."`

	ExpectFailure bool `help:"Exit 0 only if something is missed: for gateways that are broken on purpose."`
}

// scene is some sick endpoints among healthy ones.
type scene struct {
	only      string
	name      string
	endpoints int
	sick      map[int]string // by number of the endpoint: how it answers
	owed      int            // endpoint that owes much as the gateway starts; -1: none
}

const (
	keepRate  = 0.95 // of what the healthy are told without the sick
	costTwice = 2    // times the p99 without the sick

	warmUp = 3 * time.Second // while connections are made, of which a sick endpoint needs as many as it has slots: not in the p99
)

func (c *isolationCmd) scenes() []scene {
	crowd := scene{only: "crowd", name: "100 endpoints: 1 hangs, 10 fail, 1 owes much", endpoints: 100, sick: map[int]string{0: "hang:1"}, owed: 11}
	for i := 1; i <= 10; i++ {
		crowd.sick[i] = "500:1"
	}
	crowd.sick[11] = "slow=100ms:1"
	host := scene{only: "host", name: "34 endpoints at one host: 33 hang", endpoints: 34, sick: map[int]string{}, owed: -1}
	for i := range 33 {
		host.sick[i] = "hang:1"
	}
	return []scene{crowd, host}
}

// healthyRun is what the healthy endpoints of one run were told.
type healthyRun struct {
	rate float64 // of what they were owed, told while it fired
	p99  time.Duration
}

// Run measures.
func (c *isolationCmd) Run(ctx context.Context, out io.Writer) error {
	var rows []row
	for _, s := range c.scenes() {
		if !slices.Contains(c.Only, s.only) {
			continue
		}
		var runs [2][]healthyRun // without and with the sick
		for n := range c.Pairs {
			for sick := range runs {
				r, err := c.run(ctx, &s, sick == 1, fmt.Sprintf("%s-%d-%d", s.only, n, sick))
				if err != nil {
					return fmt.Errorf("isolation, %s: %w", s.name, err)
				}
				runs[sick] = append(runs[sick], r)
			}
		}
		rows = append(rows, compare(s.name, runs[0], runs[1])...)
	}
	var err error
	if slices.Contains(c.Only, "many") {
		many, err := c.many(ctx)
		if err != nil {
			return fmt.Errorf("isolation, many endpoints: %w", err)
		}
		rows = append(rows, many...)
	}
	if c.JSON {
		err = printJSON(out, rows)
	} else {
		err = printRows(out, rows)
	}
	if missed := slices.ContainsFunc(rows, func(r row) bool { return !r.OK }); err == nil && missed != c.ExpectFailure {
		return errNo
	}
	return err
}

func compare(name string, well, ill []healthyRun) []row {
	rate := func(rs []healthyRun) float64 {
		return median(rs, func(r healthyRun) float64 { return r.rate })
	}
	p99 := func(rs []healthyRun) float64 {
		return median(rs, func(r healthyRun) float64 { return milliseconds(r.p99) })
	}
	slower := atMost(name, "p99 of callback to webhook, against that without the sick", p99(ill)/p99(well), costTwice, "×", number(p99(well))+" ms without, "+number(p99(ill))+" ms with")
	slower.OK = slower.OK && p99(ill) > 0 // of whom nothing was told, nothing was told soon
	return []row{
		atLeast(name, "told in time, of what they were told without the sick", rate(ill)/rate(well), keepRate, "", number(100*rate(well))+" % without"),
		slower,
	}
}

func median(rs []healthyRun, of func(healthyRun) float64) float64 {
	var vs []float64
	for _, r := range rs {
		vs = append(vs, of(r))
	}
	slices.Sort(vs)
	return vs[len(vs)/2]
}

// run is one run of a scene.
func (c *isolationCmd) run(ctx context.Context, s *scene, sick bool, name string) (r healthyRun, err error) {
	b := benchCmd{Dir: c.Dir, Keep: c.Keep, Seed: c.Seed}
	set := setup{endpoints: s.endpoints, retry: "-"}
	g, clean, err := b.place(ctx, name, c.Gateway, "", &set)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, clean()) }()
	watch := &watchers{began: time.Now(), sent: map[string]time.Time{}, sick: map[string]bool{}}
	o := partnerOptions{Addr: set.partner, Key: set.key, Format: "standard", Arrived: watch.arrived, Hang: time.Minute, Seed: c.Seed}
	for i, how := range s.sick {
		watch.sick[endpointPath(i)] = true
		if sick {
			o.Behave = append(o.Behave, endpointPath(i)+"="+how)
		}
	}
	if sick && s.owed >= 0 {
		if err := fill(ctx, set.data(), filling{n: c.Owed, endpoints: []string{endpointID(s.owed)}}, time.Now()); err != nil {
			return r, err
		}
	}
	p, err := startPartner(ctx, o)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := g.start(ctx); err != nil {
		return r, err
	}
	if err := g.ready(ctx); err != nil {
		return r, err
	}
	load, err := b.load(&set, g.url)
	if err != nil {
		return r, err
	}
	load.Rate, load.Duration, load.Events, load.Duplicates, load.Before = c.Rate, c.For, 1, 0, watch.before
	watch.began = time.Now()
	fired, err := fire(ctx, load)
	if err != nil {
		return r, err
	}
	if err := pause(ctx, 2*time.Second); err != nil { // what was fired last has arrived, or is late
		return r, err
	}
	healthy := s.endpoints - len(s.sick)
	r = healthyRun{rate: float64(watch.told.Load()) / float64(fired.Acked*int64(healthy)), p99: watch.took.quantile(0.99)}
	_, err = g.stop()
	return r, err
}

// watchers know when each person's one event was sent, and how long it took to each healthy
// endpoint.
type watchers struct {
	sick  map[string]bool // paths; fixed
	began time.Time       // when the first was sent; set before
	told  atomic.Int64

	mu   sync.Mutex // guards the field below
	sent map[string]time.Time
	took latencies
}

func (w *watchers) before(c *callback, at time.Time) {
	w.mu.Lock()
	w.sent[c.line.Subject] = at
	w.mu.Unlock()
}

func (w *watchers) arrived(r *receivedLine, at time.Time) {
	if w.sick[r.Path] {
		return
	}
	w.mu.Lock()
	began, ok := w.sent[r.Subject]
	w.mu.Unlock()
	if !ok {
		return
	}
	w.told.Add(1)
	if began.Sub(w.began) > warmUp {
		w.took.add(at.Sub(began))
	}
}
