package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

type replayCommand struct {
	List         replayListCommand    `cmd:"" default:"withargs" help:"List replays, newest first."`
	Show         replayShowCommand    `cmd:"" help:"Show the progress of a replay."`
	DeadLettered replayDeadCommand    `cmd:"" help:"Replay an endpoint's dead-lettered deliveries, to it or to another endpoint of its partner."`
	Range        replayRangeCommand   `cmd:"" help:"Send again what an endpoint received in a time range, and what followed for the same persons."`
	Current      replayCurrentCommand `cmd:"" help:"Send an endpoint the current status of each person it has not received: for a new endpoint."`
	Pause        replayPauseCommand   `cmd:"" help:"Pause a replay."`
	Resume       replayResumeCommand  `cmd:"" help:"Resume a paused replay."`
	Cancel       replayCancelCommand  `cmd:"" help:"Stop a replay. What it has already queued is still sent."`
}

// replayFlags are those of every replay that is asked for.
type replayFlags struct {
	gatewayFlags
	jsonFlag
	Rate    float64 `help:"Maximum deliveries per second." default:"100"`
	DryRun  bool    `help:"Count what would be sent, and send nothing."`
	Because string  `help:"The reason, for whoever must explain it later."`
	Wait    bool    `help:"Wait until it ends, and show its progress. An interrupt leaves it running."`
}

// create asks for a replay, and follows it where that is wanted.
func (f *replayFlags) create(c *console, ask api.ReplayAsk) error {
	cl, err := f.client(c)
	if err != nil {
		return err
	}
	ask.Rate, ask.DryRun, ask.Because = f.Rate, f.DryRun, f.Because
	r, err := cl.CreateReplay(c.ctx, rand.Text(), ask)
	if err == nil && (f.Wait || f.DryRun) {
		r, err = c.follow(cl, r)
	}
	if err != nil {
		return err
	}
	if f.JSON {
		return c.show(r)
	}
	c.replay(&r)
	if r.State == "failed" {
		return errNo
	}
	return nil
}

// follow waits until a replay has ended, or nobody goes on with it.
func (c *console) follow(cl *client.Client, r api.Replay) (api.Replay, error) {
	for r.Ended.IsZero() && r.State != "paused" {
		if c.watched {
			fmt.Fprintf(c.bar, "\r%s  %-9s %d of %d ordered ", r.ID, r.State, r.Ordered, r.Total) //nolint:errcheck // a line of progress
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-c.ctx.Done():
			return r, nil
		}
		next, err := cl.Replay(c.ctx, r.ID)
		if err != nil {
			return r, err
		}
		r = next
	}
	if c.watched {
		fmt.Fprint(c.bar, "\r\x1b[K") //nolint:errcheck // as above
	}
	return r, nil
}

// replay prints one.
func (c *console) replay(r *api.Replay) {
	what := r.Kind + " of " + r.Endpoint
	switch r.Kind {
	case "current":
		what = "where persons stand"
	case "range":
		what += " from " + when(r.Since) + " until " + when(r.Until)
	}
	c.printf("%s  %s, to %s, at most %g a second\n", r.ID, what, r.To, r.Rate)
	counted := fmt.Sprintf("%d deliveries of %d persons", r.Total, r.Persons)
	switch {
	case r.Counted.IsZero():
		c.printf("  %s\n", r.State)
	case r.DryRun:
		c.printf("  would send %s; nothing was sent\n", counted)
	default:
		c.printf("  %s: %d ordered of %s\n", r.State, r.Ordered, counted)
	}
	var skipped []string
	for _, why := range slices.Sorted(maps.Keys(r.Skipped)) {
		skipped = append(skipped, fmt.Sprintf("%d %s", r.Skipped[why], why))
	}
	if len(skipped) > 0 {
		c.printf("  skipped: %s\n", strings.Join(skipped, ", "))
	}
	if r.Error != "" {
		c.printf("  %s\n", r.Error)
	}
}

type replayDeadCommand struct {
	Endpoint string `arg:"" help:"The endpoint's id."`
	To       string `help:"Send to this endpoint of the same partner instead."`
	Force    bool   `help:"Also replay persons for whom the endpoint has accepted a later change since."`
	replayFlags
}

// Run asks for a replay of what is dead.
func (cmd *replayDeadCommand) Run(c *console) error {
	return cmd.create(c, api.ReplayAsk{Kind: "dead_lettered", Endpoint: cmd.Endpoint, To: cmd.To, Force: cmd.Force})
}

type replayRangeCommand struct {
	Endpoint string    `arg:"" help:"The endpoint's id."`
	To       string    `help:"Send to this endpoint of the same partner instead."`
	Since    time.Time `required:"" help:"Only from this time on, such as 2026-11-30T08:00:00Z."`
	Until    time.Time `required:"" help:"Only before this time."`
	replayFlags
}

// Run asks for a replay of a span of time.
func (cmd *replayRangeCommand) Run(c *console) error {
	return cmd.create(c, api.ReplayAsk{Kind: "range", Endpoint: cmd.Endpoint, To: cmd.To, Since: cmd.Since, Until: cmd.Until})
}

type replayCurrentCommand struct {
	To string `arg:"" name:"endpoint" help:"The endpoint's id."`
	replayFlags
}

// Run asks for where everybody stands.
func (cmd *replayCurrentCommand) Run(c *console) error {
	return cmd.create(c, api.ReplayAsk{Kind: "current", To: cmd.To})
}

type replayListCommand struct {
	gatewayFlags
	jsonFlag
	pageFlags
}

// Run lists the replays.
func (cmd *replayListCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	t := &table{head: []string{"ID", "KIND", "OF", "TO", "STATE", "ORDERED", "TOTAL", "RATE", "CREATED", "ENDED"}}
	return lists(c, cmd.jsonFlag, cmd.pageFlags, cl.ListReplays, t, func(t *table, r *api.Replay) {
		t.add(r.ID, r.Kind, r.Endpoint, r.To, r.State, strconv.FormatInt(r.Ordered, 10), strconv.FormatInt(r.Total, 10), strconv.FormatFloat(r.Rate, 'g', -1, 64), when(r.Created), when(r.Ended))
	})
}

// oneReplay is what each command about one replay takes.
type oneReplay struct {
	gatewayFlags
	jsonFlag
	ID string `arg:"" help:"The replay's id."`
}

func (o *oneReplay) do(c *console, call func(*client.Client, context.Context, string) (api.Replay, error)) error {
	cl, err := o.client(c)
	if err != nil {
		return err
	}
	r, err := call(cl, c.ctx, o.ID)
	if err != nil {
		return err
	}
	if o.JSON {
		return c.show(r)
	}
	c.replay(&r)
	return nil
}

type (
	replayShowCommand   struct{ oneReplay }
	replayPauseCommand  struct{ oneReplay }
	replayResumeCommand struct{ oneReplay }
	replayCancelCommand struct{ oneReplay }
)

// Run shows a replay.
func (cmd *replayShowCommand) Run(c *console) error { return cmd.do(c, (*client.Client).Replay) }

// Run pauses a replay.
func (cmd *replayPauseCommand) Run(c *console) error { return cmd.do(c, (*client.Client).PauseReplay) }

// Run goes on with a replay.
func (cmd *replayResumeCommand) Run(c *console) error {
	return cmd.do(c, (*client.Client).ResumeReplay)
}

// Run ends a replay.
func (cmd *replayCancelCommand) Run(c *console) error {
	return cmd.do(c, (*client.Client).CancelReplay)
}
