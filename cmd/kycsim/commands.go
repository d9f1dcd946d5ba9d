package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// fireCmd is `kycsim fire`.
type fireCmd struct {
	URL             string            `help:"Where callbacks go, up to the slash before the source." default:"http://127.0.0.1:8480/v1/callbacks/"`
	Source          []string          `help:"NAME:PROVIDER:KEYREF; the key reference is env:NAME or file:/path. Samples are test events: the source must not be in live mode." required:"" sep:"none"`
	Script          map[string]string `help:"PROVIDER=sample=status,…: events for a provider without a script of its own." sep:"none"`
	Rate            float64           `help:"Events a second; 0: as fast as the connections allow." default:"0"`
	Count           int64             `help:"Events in all; 0: until --duration is over." default:"0"`
	Duration        time.Duration     `help:"For how long; 0: until --count is reached." default:"0"`
	Connections     int               `help:"How many at a time." default:"64"`
	Persons         int               `help:"Persons at a time; one who has had all events makes room for a new one." default:"1000"`
	EventsPerPerson int               `help:"Events of each person, if the script is long enough." default:"6"`
	Duplicates      float64           `help:"Part of the acknowledged events that is sent again." default:"0.02"`
	Reorder         float64           `help:"Part of the pairs of neighbouring events that is swapped." default:"0"`
	GiveUp          time.Duration     `help:"For how long an event is sent again." default:"60s"`
	Ledger          string            `help:"File to write down what was sent."`
	Seed            uint64            `help:"Of all randomness." default:"1"`
	JSON            bool              `name:"json" help:"Print the summary as JSON."`
}

// Run fires.
func (c *fireCmd) Run(ctx context.Context, out io.Writer) (err error) {
	if c.Count == 0 && c.Duration == 0 {
		return errors.New("fire: give --count or --duration")
	}
	sources := make([]*source, len(c.Source))
	for i, spec := range c.Source {
		if sources[i], err = newSource(spec, c.Script); err != nil {
			return err
		}
	}
	l, err := openLedger(c.Ledger)
	if err != nil {
		return err
	}
	s, err := fire(ctx, fireOptions{
		URL: c.URL, Sources: sources, Rate: c.Rate, Count: c.Count, Duration: c.Duration, Connections: c.Connections, Persons: c.Persons,
		Events: c.EventsPerPerson, Duplicates: c.Duplicates, Reorder: c.Reorder, GiveUp: c.GiveUp, Seed: c.Seed, Run: freshRun(), Ledger: l,
	})
	if err := errors.Join(err, l.Close()); err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(out, s)
	} else {
		err = s.print(out)
	}
	if err == nil && s.GivenUp > 0 {
		return errNo
	}
	return err
}

func (s *fireSummary) print(out io.Writer) error {
	refused := make([]string, 0, len(s.Refused))
	for _, code := range slices.Sorted(maps.Keys(s.Refused)) {
		refused = append(refused, fmt.Sprintf("%s×%d", code, s.Refused[code]))
	}
	_, err := fmt.Fprintf(out, "sent %d, acked %d, given up %d, sent again %d, refused %s\n%.1f acked/s over %.1f s, ack p50 %.3f ms, p99 %.3f ms\n",
		s.Sent, s.Acked, s.GivenUp, s.Duplicates, cmp.Or(strings.Join(refused, " "), "none"), s.Rate, s.Seconds, s.P50, s.P99)
	return err
}

// partnerCmd is `kycsim partner`.
type partnerCmd struct {
	Addr   string        `help:"Address to listen on." default:"127.0.0.1:9100"`
	Key    string        `help:"Key reference: env:NAME or file:/path." required:""`
	Format string        `help:"Format of the deliveries; only those of standard can be judged." default:"standard"`
	Ledger string        `help:"File to write down what was received."`
	Behave []string      `help:"Clauses separated by ';': ok, CODE:P[,retry-after=N], hang:P, reset:P, redirect:P, slow=DUR:P, fail-first=N. /path=… is for one path only." sep:"none"`
	Hang   time.Duration `help:"For how long an answer that never comes is withheld." default:"30s"`
	Seed   uint64        `help:"Of all randomness." default:"1"`
}

// Run serves until a signal.
func (c *partnerCmd) Run(ctx context.Context, out io.Writer) error {
	key, err := readKey(c.Key)
	if err != nil {
		return err
	}
	l, err := openLedger(c.Ledger)
	if err != nil {
		return err
	}
	p, err := startPartner(ctx, partnerOptions{Addr: c.Addr, Key: key, Format: c.Format, Behave: c.Behave, Seed: c.Seed, Hang: c.Hang, Ledger: l})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	_, err = fmt.Fprintf(out, "listening on http://%s\n", p.addr())
	<-ctx.Done()
	err = errors.Join(err, p.close(), l.Close())
	_, werr := fmt.Fprintf(out, "received %d, answered 2xx %d, badly signed %d\n", p.received.Load(), p.accepted.Load(), p.badlySigned.Load())
	return errors.Join(err, werr)
}

// judgeCmd is `kycsim judge`.
type judgeCmd struct {
	Fired    []string `help:"Ledgers of kycsim fire." required:"" sep:"none"`
	Received []string `help:"Ledgers of kycsim partner." sep:"none"`
	Topics   []string `help:"Ledgers of kycsim topics." sep:"none"`
	Path     []string `help:"Paths that must have been told everything; default: those that stand in the ledgers." sep:"none"`
	Kills    int      `help:"How often the gateway was killed. A soak's ledgers tell when; without times, repeats within 10 s are excused." default:"0"`
	JSON     bool     `name:"json" help:"Print the findings as JSON."`
}

// Run judges.
func (c *judgeCmd) Run(out io.Writer) error {
	if len(c.Received) == 0 && len(c.Topics) == 0 {
		return errors.New("judge: give --received, --topics or both")
	}
	o := judgeOptions{Fired: c.Fired, Received: c.Received, Topics: c.Topics, Paths: c.Path, Kills: c.Kills}
	var found struct {
		*findings
		Topics *topicFindings `json:"topics,omitempty"`
	}
	var figures []figure
	var remarks []string
	acked, bad := 0, 0
	if len(c.Received) > 0 {
		f, err := judge(o)
		if err != nil {
			return err
		}
		found.findings, acked, bad = &f, f.Acked, f.faults()
		figures, remarks = f.figures(), f.Examples
	}
	if len(c.Topics) > 0 {
		f, err := judgeTopics(o)
		if err != nil {
			return err
		}
		found.Topics, acked, bad = &f, f.Acked, bad+f.faults()+len(f.problems())
		figures, remarks = append(figures, f.figures()...), append(append(remarks, f.problems()...), f.Examples...)
	}
	var err error
	if c.JSON {
		err = printJSON(out, &found)
	} else {
		err = printFigures(out, figures, remarks)
	}
	if err == nil && acked == 0 {
		err = errors.New("judge: nothing was acknowledged, so nothing could be lost")
	}
	if err == nil && bad > 0 {
		return errNo
	}
	return err
}
