package main

import (
	"fmt"
	"net/http"

	"countersign/relay/dispatch"
)

type endpointsCommand struct {
	List   endpointsListCommand   `cmd:"" default:"withargs" help:"List the endpoints."`
	Show   endpointsShowCommand   `cmd:"" help:"Show one endpoint."`
	Create endpointsCreateCommand `cmd:"" help:"Make an endpoint, without a restart. Its key is shown once, on a terminal, or written to a file."`
	Update endpointsUpdateCommand `cmd:"" help:"Change an endpoint that was made here; what is not named stays."`
	Remove endpointsRemoveCommand `cmd:"" help:"Take an endpoint that was made here away; what is owed to it stays owed."`
	Resume endpointsResumeCommand `cmd:"" help:"Take a disabled endpoint up again."`
}

type endpointsListCommand struct {
	configFlag
	jsonFlag
}

// Run lists the endpoints.
func (cmd *endpointsListCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	var v struct {
		Data []dispatch.EndpointView `json:"data"`
	}
	if err := cl.call(c.ctx, http.MethodGet, "/v1/endpoints", nil, &v); err != nil {
		return err
	}
	if cmd.JSON {
		return c.show(v)
	}
	for _, e := range v.Data {
		state := "enabled"
		if e.Disabled != "" {
			state = "disabled: " + e.Disabled
		}
		if e.Orphaned {
			state = fmt.Sprintf("orphaned: not served; %d rejections or suspensions withheld", e.Withheld)
		}
		c.printf("%-20s %-12s %-12s owed %d, dead %d, %s\n", e.ID, e.Partner, e.Format, e.Owed, e.Dead, state)
	}
	return nil
}

type endpointsResumeCommand struct {
	configFlag
	ID string `arg:"" help:"The endpoint's id."`
}

// Run resumes an endpoint.
func (cmd *endpointsResumeCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	if err := cl.call(c.ctx, http.MethodPost, "/v1/endpoints/"+segment(cmd.ID)+"/resume", nil, &struct{}{}); err != nil {
		return err
	}
	c.printf("%s is enabled: what it is owed goes out now; what was answered 410 is among the dead\n", cmd.ID)
	return nil
}
