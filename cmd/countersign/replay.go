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
	List    replayListCommand    `cmd:"" default:"withargs" help:"List the replays, the newest first."`
	Show    replayShowCommand    `cmd:"" help:"Show how far a replay is."`
	Dead    replayDeadCommand    `cmd:"" help:"Tell an endpoint what is dead there, or tell it to another of its partner."`
	Range   replayRangeCommand   `cmd:"" help:"Tell again what an endpoint was told in a span of time, and what of the same persons followed."`
	Current replayCurrentCommand `cmd:"" help:"Tell an endpoint where each person of its partner stands, if it was not told: for a new endpoint."`
	Pause   replayPauseCommand   `cmd:"" help:"Order nothing more for now."`
	Resume  replayResumeCommand  `cmd:"" help:"Go on with a replay that is paused."`
	Cancel  replayCancelCommand  `cmd:"" help:"End a replay. What it has ordered is sent."`
}

// replayFlags are those of every replay that is asked for.
type replayFlags struct {
	gatewayFlags
	jsonFlag
	Rate    float64 `help:"Deliveries a second at most." default:"100"`
	DryRun  bool    `help:"Count what would be told, and order nothing."`
	Because string  `help:"Why, for whoever must explain it later."`
	Wait    bool    `help:"Stay until it has ended, and show how far it is. An interrupt leaves it running."`
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
	switch {
	case r.Kind == "current":
		what = "where persons stand"
	case r.Kind == "range":
		what += " from " + when(r.Since) + " until " + when(r.Until)
	}
	c.printf("%s  %s, to %s, at most %g a second\n", r.ID, what, r.To, r.Rate)
	counted := fmt.Sprintf("%d deliveries of %d persons", r.Total, r.Persons)
	switch {
	case r.Counted.IsZero():
		c.printf("  %s\n", r.State)
	case r.DryRun:
		c.printf("  would order %s; nothing was ordered\n", counted)
	default:
		c.printf("  %s: %d ordered of %s\n", r.State, r.Ordered, counted)
	}
	var skipped []string
	for _, why := range slices.Sorted(maps.Keys(r.Skipped)) {
		skipped = append(skipped, fmt.Sprintf("%d %s", r.Skipped[why], why))
	}
	if len(skipped) > 0 {
		c.printf("  passed over: %s\n", strings.Join(skipped, ", "))
	}
	if r.Error != "" {
		c.printf("  %s\n", r.Error)
	}
}

type replayDeadCommand struct {
	Endpoint string `arg:"" help:"The endpoint's id."`
	To       string `help:"Tell this endpoint of the same partner instead."`
	Force    bool   `help:"Also those of persons of whom a later change has been accepted since."`
	replayFlags
}

// Run asks for a replay of what is dead.
func (cmd *replayDeadCommand) Run(c *console) error {
	return cmd.create(c, api.ReplayAsk{Kind: "dead", Endpoint: cmd.Endpoint, To: cmd.To, Force: cmd.Force})
}

type replayRangeCommand struct {
	Endpoint string    `arg:"" help:"The endpoint's id."`
	To       string    `help:"Tell this endpoint of the same partner instead."`
	Since    time.Time `required:"" help:"From this instant on, such as 2026-11-30T08:00:00Z."`
	Until    time.Time `required:"" help:"Before this instant."`
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
