package main

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"countersign/signing"
)

// benchCmd is `kycsim bench`.
type benchCmd struct {
	Gateway      string   `help:"The gateway's binary." required:"" type:"existingfile"`
	LimitGateway string   `help:"The same, built with -tags fault_nojournal: it acknowledges without the disk. Needed by part a." type:"existingfile"`
	Dir          string   `help:"Directory for data; parts make, and remove, directories of their own in it." required:""`
	Only         []string `help:"Parts: a (durable acknowledgements), b (end to end), c (latency), d (a million owed), e (topics), f (5,000 a second), g (ten endpoints), h (a file full of persons)." default:"a,b,c,d,f,g" enum:"a,b,c,d,e,f,g,h"`
	Kafka        bool     `help:"Start a node of real Apache Kafka for part e, and measure that too."`
	Owed         int      `help:"Deliveries owed in part d." default:"1000000"`
	Persons      int      `help:"Persons that are there already in part h, with five records each." default:"1000000"`
	Keep         bool     `help:"Keep the directories."`
	Profile      string   `help:"File for a profile of the gateway's CPU under the load of part b, f or g; for go tool pprof."`
	Seed         uint64   `help:"Of all randomness." default:"1"`
	JSON         bool     `name:"json" help:"Print the rows as JSON."`
}

// row is one measurement, what it must not miss, and what the machine could do at best.
type row struct {
	Part  string  `json:"part"`
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Bound string  `json:"bound,omitempty"`
	Limit string  `json:"limit,omitempty"`
	OK    bool    `json:"ok"`
}

func atLeast(part, name string, value, bound float64, unit, limit string) row {
	return row{Part: part, Name: name, Value: value, Unit: unit, Bound: "≥ " + number(bound), Limit: limit, OK: value >= bound}
}

func atMost(part, name string, value, bound float64, unit, limit string) row {
	return row{Part: part, Name: name, Value: value, Unit: unit, Bound: "≤ " + number(bound), Limit: limit, OK: value <= bound}
}

// shown is a value without a bound.
func shown(part, name string, value float64, unit string) row {
	return row{Part: part, Name: name, Value: value, Unit: unit, OK: true}
}

// Run measures.
func (c *benchCmd) Run(ctx context.Context, out io.Writer) error {
	parts := []struct {
		name    string
		measure func(context.Context) ([]row, error)
	}{{"a", c.acknowledgements}, {"b", c.endToEnd}, {"c", c.latency}, {"d", c.owed}, {"e", c.topics}, {"f", c.steady}, {"g", c.fanOut}, {"h", c.grown}}
	var rows []row
	var failures error
	for _, p := range parts {
		if !slices.Contains(c.Only, p.name) && (p.name != "e" || !c.Kafka) {
			continue
		}
		measured, err := p.measure(ctx)
		rows = append(rows, measured...)
		if err != nil { // what the other parts measured is worth printing all the same
			failures = errors.Join(failures, fmt.Errorf("bench %s: %w", p.name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	var err error
	if c.JSON {
		err = printJSON(out, rows)
	} else {
		err = printRows(out, rows)
	}
	if err = errors.Join(err, failures); err == nil && slices.ContainsFunc(rows, func(r row) bool { return !r.OK }) {
		return errNo
	}
	return err
}

func printRows(out io.Writer, rows []row) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, err := fmt.Fprintln(w, "part\twhat\tmeasured\tunit\tbound\tlimit\t")
	for _, r := range rows {
		verdict := "ok"
		switch {
		case !r.OK:
			verdict = "MISSED"
		case r.Bound == "":
			verdict = ""
		}
		_, werr := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Part, r.Name, number(r.Value), r.Unit, dash(r.Bound), dash(r.Limit), verdict)
		err = errors.Join(err, werr)
	}
	return errors.Join(err, w.Flush())
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// number writes three significant digits at least, and no more decimals than that takes.
func number(v float64) string {
	decimals := 0
	for limit := 100.0; v < limit && decimals < 3; limit /= 10 {
		decimals++
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// place prepares a gateway in a directory of its own below Dir; clean removes that again, and
// nothing else.
func (c *benchCmd) place(ctx context.Context, name, binary, role string, s *setup) (g *gateway, clean func() error, err error) {
	s.dir = filepath.Join(c.Dir, name)
	if _, err := os.Stat(s.dir); err == nil {
		return nil, nil, fmt.Errorf("%s exists; name another directory, or remove it", s.dir)
	}
	if s.key, _, err = signing.GenerateKey(crand.Reader); err != nil {
		return nil, nil, err
	}
	s.sources = testSources()
	if s.partner == "" {
		if s.partner, err = freeAddr(ctx); err != nil {
			return nil, nil, err
		}
	}
	if g, err = s.write(ctx, binary, role); err != nil {
		return nil, nil, err
	}
	return g, func() error {
		err := g.end()
		if !c.Keep {
			err = errors.Join(err, os.RemoveAll(s.dir))
		}
		return err
	}, nil
}

// load is what the parts fire, made of the sources of a setup.
func (c *benchCmd) load(s *setup, url string) (o fireOptions, err error) {
	o = fireOptions{URL: url, Connections: 64, Persons: 2048, Events: 4, GiveUp: 10 * time.Second, Seed: c.Seed, Run: freshRun()}
	for _, spec := range s.specs() {
		src, err := newSource(spec, nil)
		if err != nil {
			return o, err
		}
		o.Sources = append(o.Sources, src)
	}
	return o, nil
}
