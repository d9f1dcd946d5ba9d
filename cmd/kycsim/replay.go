package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// replayCmd is `kycsim replay`: an endpoint refuses all that it is told (422, so that each delivery
// dies by itself and no breaker spares them) and is told it later, at a rate, over a kill -9 of the
// gateway in the middle. What it is owed is known from what another endpoint is told meanwhile.
//
// What others notice of a replay is held against what they notice of as many ordinary callbacks a
// second, of another partner, in the same run.
type replayCmd struct {
	Gateway string  `help:"The gateway's binary." required:"" type:"existingfile"`
	Dir     string  `help:"Directory for data; a run makes, and removes, one of its own in it." required:""`
	Dead    int     `help:"Dead deliveries, about." default:"100000"`
	Rate    float64 `help:"Deliveries a second of the replay." default:"2000"`
	Kills   int     `help:"How often the gateway is killed meanwhile." default:"1"`
	Keep    bool    `help:"Keep the directory."`
	Seed    uint64  `help:"Of all randomness." default:"1"`
	JSON    bool    `name:"json" help:"Print the rows as JSON."`

	ExpectFailure bool `help:"Exit 0 only if something is missed: for gateways that are broken on purpose."`
}

const (
	outOf        = 0                // the endpoint that is out
	besideRate   = 20               // callbacks a second of others meanwhile
	besideFor    = 10 * time.Second // how long they are measured, at least
	replayWithin = 10 * time.Minute // of all of it, whatever is asked for
	overRate     = 1.05             // times the rate, over all of it
	overBurst    = 1.5              // times the rate, in any second: a start begins with a burst
)

// endpointLog is what one endpoint accepted, in order.
type endpointLog struct {
	ids  []string
	at   []time.Time
	subj []string
	seqs []uint64
}

// replayLedger is what the endpoints of one run accepted, and what others waited for theirs.
type replayLedger struct {
	mu     sync.Mutex // guards the fields below
	logs   map[string]*endpointLog
	sent   map[string]time.Time // of the callbacks beside it, by subject
	away   bool                 // the gateway is being killed and started: who is told late then is told late because of that
	beside latencies
}

func (l *replayLedger) arrived(r *receivedLine, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.logs[r.Path]
	if e == nil {
		e = &endpointLog{}
		l.logs[r.Path] = e
	}
	e.ids, e.at, e.subj, e.seqs = append(e.ids, r.ID), append(e.at, at), append(e.subj, r.Subject), append(e.seqs, r.Seq)
	if began, ok := l.sent[r.Subject]; ok && r.Path != endpointPath(outOf) {
		l.beside.add(at.Sub(began))
	}
}

func (l *replayLedger) before(c *callback, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.away {
		l.sent[c.line.Subject] = at
	}
}

// leave says that the gateway is about to be killed, and come back that it is there again.
func (l *replayLedger) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away, l.sent = true, map[string]time.Time{}
}

func (l *replayLedger) comeBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = false
}

// take is what an endpoint has accepted so far.
func (l *replayLedger) take(path string) endpointLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.logs[path]; e != nil {
		return endpointLog{slices.Clone(e.ids), slices.Clone(e.at), slices.Clone(e.subj), slices.Clone(e.seqs)}
	}
	return endpointLog{}
}

// Run does it once.
func (c *replayCmd) Run(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, replayWithin)
	defer cancel()
	rows, err := c.run(ctx)
	if err != nil {
		return fmt.Errorf("replay: %w", err)
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

func (c *replayCmd) run(ctx context.Context) (rows []row, err error) {
	b := benchCmd{Dir: c.Dir, Keep: c.Keep, Seed: c.Seed}
	set := setup{endpoints: 3, neighbour: true, retry: "{first: 100ms, factor: 1, max: 100ms, attempts: 1}"}
	g, clean, err := b.place(ctx, "replay", c.Gateway, "", &set)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, clean()) }()
	l := &replayLedger{logs: map[string]*endpointLog{}, sent: map[string]time.Time{}}
	o := partnerOptions{Addr: set.partner, Key: set.key, Format: "standard", Arrived: l.arrived, Seed: c.Seed, Behave: []string{endpointPath(outOf) + "=422:1"}}
	if err := c.outage(ctx, &b, &set, g, o); err != nil {
		return nil, err
	}
	owed := l.take(endpointPath(outOf + 1)) // what the one that was out was owed, too
	o.Behave = nil
	p, err := startPartner(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	calm, err := c.others(ctx, &b, &set, g, l, besideFor)
	if err != nil {
		return nil, err
	}
	usual, err := c.besideOrdinary(ctx, &b, &set, g, l)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	id, err := g.replay(ctx, fmt.Sprintf(`{"kind":"dead_lettered","endpoint":%q,"rate":%g,"because":"kycsim"}`, endpointID(outOf), c.Rate))
	if err != nil {
		return nil, err
	}
	beside := make(chan error, 1)
	var busy time.Duration
	go func() {
		var err error
		busy, err = c.others(ctx, &b, &set, g, l, time.Duration(float64(len(owed.ids))/c.Rate*float64(time.Second)))
		beside <- err
	}()
	down, err := c.kills(ctx, g, l, len(owed.ids))
	if err == nil {
		err = g.replayed(ctx, id)
	}
	if err = errors.Join(err, <-beside); err != nil {
		return nil, err
	}
	if _, err := g.settled(ctx, settleWithin); err != nil {
		return nil, err
	}
	rows = judgeReplay(&owed, l.take(endpointPath(outOf)), c.Rate, began, down)
	if _, err = g.stop(); err != nil {
		return nil, err
	}
	return append(rows,
		shown("replay", "p99 of callback to webhook at others, with nothing beside it", milliseconds(calm), "ms"),
		atMost("replay", "p99 beside the replay, against that beside as many callbacks", milliseconds(busy)/milliseconds(usual), costTwice, "×",
			number(milliseconds(usual))+" ms beside callbacks, "+number(milliseconds(busy))+" ms beside the replay")), nil
}

// outage fires until so much has died at the endpoint that is out.
func (c *replayCmd) outage(ctx context.Context, b *benchCmd, set *setup, g *gateway, o partnerOptions) (err error) {
	p, err := startPartner(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := errors.Join(g.start(ctx), g.ready(ctx)); err != nil {
		return err
	}
	load, err := b.load(set, g.url)
	if err != nil {
		return err
	}
	load.Count, load.Duplicates = int64(c.Dead), 0
	if _, err := fire(ctx, load); err != nil {
		return err
	}
	_, err = g.settled(ctx, replayWithin)
	return err
}

// others fires a little at everybody, and returns the p99 from callback to webhook at the endpoints
// that were never out.
func (c *replayCmd) others(ctx context.Context, b *benchCmd, set *setup, g *gateway, l *replayLedger, d time.Duration) (time.Duration, error) {
	load, err := b.load(set, g.url)
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	l.beside = latencies{}
	l.mu.Unlock()
	load.Rate, load.Duration, load.Events, load.Duplicates, load.Before = besideRate, max(d, besideFor), 1, 0, l.before
	if _, err := fire(ctx, load); err != nil {
		return 0, err
	}
	if err := pause(ctx, time.Second); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.beside.quantile(0.99), nil
}

// besideOrdinary is what others notice of as many callbacks a second as are going to be replayed.
func (c *replayCmd) besideOrdinary(ctx context.Context, b *benchCmd, set *setup, g *gateway, l *replayLedger) (time.Duration, error) {
	load, err := b.load(set, g.url)
	if err != nil {
		return 0, err
	}
	src, err := newSource(set.spec(&neighbour), nil)
	if err != nil {
		return 0, err
	}
	load.Sources, load.Rate, load.Duration, load.Duplicates = []*source{src}, c.Rate, besideFor+2*time.Second, 0
	fired := make(chan error, 1)
	go func() {
		_, err := fire(ctx, load)
		fired <- err
	}()
	usual, err := c.others(ctx, b, set, g, l, besideFor)
	err = errors.Join(err, <-fired)
	if err == nil {
		_, err = g.settled(ctx, settleWithin)
	}
	return usual, err
}

// kills kills the gateway in the middle of the replay, and returns for how long it was away.
func (c *replayCmd) kills(ctx context.Context, g *gateway, l *replayLedger, owed int) (down time.Duration, err error) {
	for n := range c.Kills {
		for len(l.take(endpointPath(outOf)).ids) < owed*(n+1)/(c.Kills+1) {
			if err := pause(ctx, 50*time.Millisecond); err != nil {
				return down, err
			}
		}
		l.leave()
		if err := pause(ctx, time.Second); err != nil { // what was sent before is told
			return down, err
		}
		began := time.Now()
		if err := g.kill(); err != nil {
			return down, err
		}
		if err := errors.Join(g.start(ctx), g.ready(ctx)); err != nil {
			return down, err
		}
		down += time.Since(began)
		if err := pause(ctx, time.Second); err != nil {
			return down, err
		}
		l.comeBack()
	}
	return down, nil
}

// judgeReplay holds what the endpoint was told against what it was owed.
func judgeReplay(owed *endpointLog, told endpointLog, rate float64, began time.Time, down time.Duration) []row {
	due := map[string]bool{}
	for _, id := range owed.ids {
		due[id] = true
	}
	seen, last := map[string]bool{}, map[string]uint64{}
	var firsts []time.Time
	again, disorder := 0, 0
	for i, id := range told.ids {
		switch {
		case !due[id]: // of the callbacks beside it
		case seen[id]:
			again++
		default:
			seen[id] = true
			if firsts = append(firsts, told.at[i]); told.seqs[i] <= last[told.subj[i]] {
				disorder++
			}
			last[told.subj[i]] = told.seqs[i]
		}
	}
	const name = "replay"
	rows := []row{
		exactly(name, "of "+number(float64(len(due)))+" dead deliveries, never told", float64(len(due)-len(seen)), 0),
		exactly(name, "told out of a person's order", float64(disorder), 0),
		shown(name, "told again, because of the kill", float64(again), ""),
	}
	if len(firsts) == 0 {
		return rows
	}
	took := firsts[len(firsts)-1].Sub(began) - down
	return append(rows,
		atMost(name, "rate over all of it, against the one asked for", float64(len(firsts))/took.Seconds()/rate, overRate, "×", number(took.Seconds())+" s"),
		atMost(name, "most in any second, against the rate", float64(mostIn(firsts, time.Second))/rate, overBurst, "×", ""),
	)
}

// mostIn is how many instants, which are in order, lie within any span at most.
func mostIn(at []time.Time, span time.Duration) (most int) {
	for first, last := 0, 0; last < len(at); last++ {
		for at[last].Sub(at[first]) > span {
			first++
		}
		most = max(most, last-first+1)
	}
	return most
}

func exactly(part, what string, v, want float64) row {
	r := shown(part, what, v, "")
	r.Bound, r.OK = number(want), v == want
	return r
}

// replay asks for a replay, and returns its id.
func (g *gateway) replay(ctx context.Context, ask string) (id string, err error) {
	var v replayAnswer
	err = g.call(ctx, http.MethodPost, "/v1/replays", ask, &v)
	return v.ID, err
}

// replayed waits until a replay has ended well.
func (g *gateway) replayed(ctx context.Context, id string) error {
	for {
		var v replayAnswer
		if err := g.call(ctx, http.MethodGet, "/v1/replays/"+id, "", &v); err != nil {
			return err
		}
		switch {
		case v.State == "done" && v.Ordered == v.Total:
			return nil
		case v.State != "running" && v.State != "counting":
			return fmt.Errorf("the replay is %s, and has ordered %d of %d: %s", v.State, v.Ordered, v.Total, v.Error)
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// replayAnswer is what is read of a replay.
type replayAnswer struct {
	ID, State, Error string
	Total, Ordered   int64
}
