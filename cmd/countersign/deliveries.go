package main

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"countersign/outbox"
)

type deliveriesCommand struct {
	configFlag
	jsonFlag
	Dead     bool   `required:"" help:"List the dead ones (what is owed is in the metrics)."`
	Endpoint string `help:"Of this endpoint only."`
	Cursor   string `help:"Go on where a page ended: what it printed behind more."`
	Limit    int    `help:"At most so many, up to 1000." default:"100"`
}

// Run lists dead deliveries.
func (cmd *deliveriesCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	var v struct {
		Data    []outbox.DeadDelivery `json:"data"`
		HasMore bool                  `json:"has_more"`
		Next    string                `json:"next,omitempty"`
	}
	q := url.Values{"status": {"dead"}, "endpoint": {cmd.Endpoint}, "cursor": {cmd.Cursor}, "limit": {strconv.Itoa(cmd.Limit)}}
	if err := cl.call(c.ctx, http.MethodGet, "/v1/deliveries?"+q.Encode(), nil, &v); err != nil {
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
	if v.HasMore {
		c.printf("more: --cursor %s\n", v.Next)
	}
	return nil
}

type redeliverCommand struct {
	configFlag
	ID    string `arg:"" help:"The delivery's id, as countersign deliveries prints it."`
	Force bool   `help:"Even if a later change of the subject has been delivered since."`
}

// Run orders a redelivery.
func (cmd *redeliverCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	path := "/v1/deliveries/" + segment(cmd.ID) + "/redeliver?force=" + strconv.FormatBool(cmd.Force)
	if err := cl.call(c.ctx, http.MethodPost, path, nil, &struct{}{}); err != nil {
		return err
	}
	c.printf("%s is owed again\n", cmd.ID)
	return nil
}
