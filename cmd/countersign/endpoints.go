package main

import (
	"fmt"
	"strconv"
	"strings"

	"countersign/relay/control/api"
)

type endpointsCommand struct {
	List     endpointsListCommand     `cmd:"" default:"withargs" help:"List the endpoints."`
	Show     endpointsShowCommand     `cmd:"" help:"Show one endpoint."`
	Create   endpointsCreateCommand   `cmd:"" help:"Make an endpoint, without a restart. Its key is shown once, on a terminal, or written to a file."`
	Update   endpointsUpdateCommand   `cmd:"" help:"Change an endpoint that was made here; what is not named stays."`
	Remove   endpointsRemoveCommand   `cmd:"" help:"Take an endpoint that was made here away; what is owed to it stays owed."`
	GiveUp   endpointsGiveUpCommand   `cmd:"" help:"Give up what is owed to an endpoint that is orphaned or disabled: it is kept among the dead."`
	Pause    endpointsPauseCommand    `cmd:"" help:"Send an endpoint nothing for now: what it is owed stays owed."`
	Resume   endpointsResumeCommand   `cmd:"" help:"Take a disabled or paused endpoint up again."`
	RetryNow endpointsRetryNowCommand `cmd:"" help:"Try now what an endpoint waits to try again."`
	Ping     endpointsPingCommand     `cmd:"" help:"Post a test webhook to an endpoint, and say what it answers."`
	Keys     endpointsKeysCommand     `cmd:"" help:"List the keys that sign for an endpoint, newest first, without what signs."`
	Rotate   endpointsRotateCommand   `cmd:"" help:"Make a key for an endpoint, which signs first from now on; older ones sign until the overlap has ended."`
	Revoke   endpointsRevokeCommand   `cmd:"" help:"End a key of an endpoint at once."`
}

type endpointsListCommand struct {
	gatewayFlags
	jsonFlag
	pageFlags
}

// Run lists the endpoints.
func (cmd *endpointsListCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	t := &table{head: []string{"ENDPOINT", "PARTNER", "FORMAT", "OWED", "DEAD", "STATE"}}
	return lists(c, cmd.jsonFlag, cmd.pageFlags, cl.ListEndpoints, t, func(t *table, e *api.Endpoint) {
		t.add(e.ID, e.Partner, e.Format, strconv.FormatInt(e.Owed, 10), strconv.FormatInt(e.Dead, 10), endpointState(e))
	})
}

// endpointState is how an endpoint is doing, in words.
func endpointState(e *api.Endpoint) string {
	state := "enabled"
	if !e.BreakerOpened.IsZero() {
		state = fmt.Sprintf("enabled, breaker %s since %s", strings.ReplaceAll(e.Breaker, "_", "-"), when(e.BreakerOpened))
	} else if !e.FailingSince.IsZero() {
		state = "enabled, failing since " + when(e.FailingSince)
	}
	if e.Disabled != "" {
		state = "disabled: " + e.Disabled
	}
	if e.Paused != nil {
		state = fmt.Sprintf("paused by %s since %s; %s", e.Paused.By, when(e.Paused.At), state)
	}
	if e.Orphaned {
		state = fmt.Sprintf("orphaned: not served; %d rejections or suspensions withheld", e.Withheld)
	}
	return state
}

type endpointsResumeCommand struct {
	gatewayFlags
	jsonFlag
	ID string `arg:"" help:"The endpoint's id."`
}

// Run resumes an endpoint.
func (cmd *endpointsResumeCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.Resume(c.ctx, cmd.ID)
	if err != nil {
		return err
	}
	return cmd.say(c, v, "%s is enabled: what it is owed goes out now; what was answered 410 is among the dead\n", cmd.ID)
}

type endpointsPauseCommand struct {
	gatewayFlags
	jsonFlag
	ID string `arg:"" help:"The endpoint's id."`
}

// Run pauses an endpoint.
func (cmd *endpointsPauseCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.Pause(c.ctx, cmd.ID)
	if err != nil {
		return err
	}
	return cmd.say(c, v, "%s is paused: what it is owed, and what comes for it, waits until it is resumed\n", cmd.ID)
}

type endpointsPingCommand struct {
	gatewayFlags
	jsonFlag
	ID string `arg:"" help:"The endpoint's id."`
}

// Run pings an endpoint: exit 1 if it did not answer 2xx.
func (cmd *endpointsPingCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.Ping(c.ctx, cmd.ID)
	if err != nil {
		return err
	}
	switch {
	case cmd.JSON:
		err = c.show(v)
	case v.Delivered:
		c.printf("%s answered %d in %.0f ms to webhook %s\n", cmd.ID, v.Code, v.TookMS, v.ID)
	case v.Code != 0:
		c.printf("%s answered %d (%s): not delivered\n", cmd.ID, v.Code, v.Reason)
	default:
		c.printf("%s did not answer (%s): %s\n", cmd.ID, v.Reason, v.Detail)
	}
	if err == nil && !v.Delivered {
		err = errNo
	}
	return err
}
