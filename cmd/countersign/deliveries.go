package main

import "time"

type deliveriesCommand struct {
	gatewayFlags
	jsonFlag
	pageFlags
	Dead     bool   `required:"" help:"List the dead ones (what is owed is in the metrics)."`
	Endpoint string `help:"Of this endpoint only."`
}

// Run lists dead deliveries.
func (cmd *deliveriesCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.ListDeliveries(c.ctx, cmd.page(), cmd.Endpoint)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return c.show(v)
	}
	for _, d := range v.Data {
		c.printf("%s  %-10s %-24s %d attempt(s), since %s\n", d.ID, d.Reason, d.Type, d.Failures, d.Owed.Format(time.RFC3339))
		if n := len(d.Tries); n > 0 {
			last := d.Tries[n-1]
			c.printf("    last: %s %s, answer %d %s\n", last.At.Format(time.RFC3339), last.Reason, last.Code, last.Detail)
		}
	}
	c.more(v.Next)
	return nil
}

type redeliverCommand struct {
	gatewayFlags
	ID    string `arg:"" help:"The delivery's id, as countersign deliveries prints it."`
	Force bool   `help:"Even if a later change of the subject has been delivered since."`
}

// Run orders a redelivery.
func (cmd *redeliverCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	if _, err := cl.Redeliver(c.ctx, cmd.ID, cmd.Force); err != nil {
		return err
	}
	c.printf("%s is owed again\n", cmd.ID)
	return nil
}
