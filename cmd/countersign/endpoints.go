package main

import (
	"fmt"
	"net/http"

	"countersign/relay/dispatch"
)

type endpointsCommand struct {
	List   endpointsListCommand   `cmd:"" default:"withargs" help:"List the endpoints."`
	Resume endpointsResumeCommand `cmd:"" help:"Take a disabled endpoint up again."`
	GiveUp endpointsGiveUpCommand `cmd:"" help:"Give up what is owed to an endpoint that is orphaned or disabled: it is kept among the dead."`
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
			state = fmt.Sprintf("orphaned: not in the config; %d rejections or suspensions withheld", e.Withheld)
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
