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
	Create   endpointsCreateCommand   `cmd:"" help:"Create an endpoint, without a restart. Its key is shown once, on a terminal, or written to a file."`
	Update   endpointsUpdateCommand   `cmd:"" help:"Update an endpoint that was created through the API; what you do not name stays as it is."`
	Remove   endpointsRemoveCommand   `cmd:"" help:"Remove an endpoint that was created through the API; its pending deliveries are kept."`
	GiveUp   endpointsGiveUpCommand   `cmd:"" help:"Dead-letter all pending deliveries of an endpoint that is orphaned or disabled."`
	Pause    endpointsPauseCommand    `cmd:"" help:"Pause an endpoint: its deliveries stay pending."`
	Resume   endpointsResumeCommand   `cmd:"" help:"Re-enable a disabled or paused endpoint."`
	RetryNow endpointsRetryNowCommand `cmd:"" help:"Retry an endpoint's failed deliveries now."`
	Ping     endpointsPingCommand     `cmd:"" help:"Send a test webhook to an endpoint, and show the response."`
	Keys     endpointsKeysCommand     `cmd:"" help:"List the keys that sign for an endpoint, newest first, without their secrets."`
	Rotate   endpointsRotateCommand   `cmd:"" help:"Create a new signing key for an endpoint; older keys keep signing until the overlap ends."`
	Revoke   endpointsRevokeCommand   `cmd:"" help:"Revoke a key of an endpoint immediately."`
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
		state = fmt.Sprintf("orphaned: not served; %d rejections or suspensions not delivered", e.Withheld)
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
	return cmd.say(c, v, "%s is enabled: its pending deliveries are sent now; those answered 410 are dead-lettered\n", cmd.ID)
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
	return cmd.say(c, v, "%s is paused: its deliveries stay pending until it is resumed\n", cmd.ID)
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
