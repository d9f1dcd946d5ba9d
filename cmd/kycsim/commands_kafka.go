package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"

	"countersign/ingest/forward/brokers/cluster"
)

// topicsCmd is `kycsim topics`.
type topicsCmd struct {
	Brokers []string      `help:"Addresses of Kafka brokers." required:""`
	Ledger  string        `help:"File to write down what was read." required:""`
	Once    bool          `help:"End when everything has been read that stands there now; else go on until a signal."`
	Within  time.Duration `help:"How long that may take." default:"5m"`
}

// Run reads.
func (c *topicsCmd) Run(ctx context.Context, out io.Writer) (err error) {
	l, err := openLedger(c.Ledger)
	if err != nil {
		return err
	}
	r, err := startReader(readerOptions{Brokers: c.Brokers, Ledger: l})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	if c.Once {
		err = r.caughtUp(ctx, c.Within)
	} else {
		<-ctx.Done()
	}
	problems := r.close()
	n := int64(0)
	for _, next := range r.position() {
		n += next
	}
	_, werr := fmt.Fprintf(out, "read up to offsets that add up to %d\n%s", n, strings.Join(append(problems, ""), "\n"))
	if err := errors.Join(err, werr, l.Close()); err != nil {
		return err
	}
	if len(problems) > 0 {
		return errNo
	}
	return nil
}

// kafkaCmd is `kycsim kafka`.
type kafkaCmd struct {
	Nodes int    `help:"How many." default:"1"`
	Dir   string `help:"Directory for their data, kept for another time." required:""`
	Demo  string `help:"A gateway's binary: show its demo's records arriving at a reader, then end." type:"existingfile"`
}

// Run runs real Apache Kafka until a signal.
func (c *kafkaCmd) Run(ctx context.Context, out io.Writer) error {
	k, err := cluster.Start(ctx, cluster.Options{Nodes: c.Nodes, Dir: c.Dir})
	if err != nil {
		return err
	}
	if c.Demo != "" {
		return errors.Join(showDemo(ctx, out, c.Demo, k.Addrs()), k.Stop())
	}
	_, err = fmt.Fprintln(out, strings.Join(k.Addrs(), ","))
	<-ctx.Done()
	return errors.Join(err, k.Stop())
}

// What the story of the demo has to put on the topics: one update for each callback, and what was
// decided of each person.
const (
	demoUpdates = 7
	demoWithin  = 30 * time.Second
)

var demoStatuses = []string{"ada approved", "barbara approved", "edsger in_review", "grace approved", "linus rejected"}

// showDemo runs a gateway's demo against these brokers, prints what another client reads there, and
// holds it against the story.
func showDemo(ctx context.Context, out io.Writer, gateway string, brokers []string) error {
	ctx, cancel := context.WithTimeout(ctx, demoWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, gateway, "demo", "--kafka", strings.Join(brokers, ",")) //nolint:gosec // the program the caller wants shown
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the demo: %w", err)
	}
	lines := make(chan topicLine, 1000)
	r, err := startReader(readerOptions{Brokers: brokers, Read: func(l *topicLine, _ time.Time) { lines <- *l }})
	if err != nil {
		return err
	}
	err = r.caughtUp(ctx, demoWithin)
	problems := r.close()
	close(lines)
	if err != nil || len(problems) > 0 {
		return errors.Join(err, errors.New(strings.Join(problems, "; ")))
	}
	updates := 0
	var statuses []string
	for l := range lines {
		if l.Bad != "" {
			return fmt.Errorf("%s %s: %s", l.Topic, l.ID, l.Bad)
		}
		if l.Topic == topicUpdates {
			updates++
		} else if status, ok := statusOf(l.Type); ok {
			statuses = append(statuses, l.Subject+" "+string(status))
		}
		if _, err := fmt.Fprintf(out, "%-19s partition %d  %-14s %-26s %s\n", l.Topic, l.Partition, l.Key, l.Type, l.ID); err != nil {
			return err
		}
	}
	if slices.Sort(statuses); updates != demoUpdates || !slices.Equal(statuses, demoStatuses) {
		return fmt.Errorf("a reader found %d updates and %q, where %d and %q belong", updates, statuses, demoUpdates, demoStatuses)
	}
	_, err = fmt.Fprintln(out, "\nThat is what another client than the gateway's read: claims on one topic, decisions on the other, each person in one partition.")
	return err
}
