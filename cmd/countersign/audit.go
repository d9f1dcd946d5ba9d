package main

import (
	"strings"
	"time"

	"countersign/relay/control/client"
)

type auditCommand struct {
	gatewayFlags
	jsonFlag
	pageFlags
	Since  string `help:"From this instant or day on, such as 2026-11-30 or 2026-11-30T08:00:00Z."`
	Until  string `help:"Before this instant or day."`
	Actor  string `help:"Of the token with this name only."`
	NDJSON bool   `name:"ndjson" help:"Print all of it, the oldest first, one JSON object a line."`
}

// Run lists the audit trail, the newest first.
func (cmd *auditCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	span := client.Span{Since: cmd.Since, Until: cmd.Until, Actor: cmd.Actor}
	if cmd.NDJSON {
		return cl.StreamAudit(c.ctx, c.out, span)
	}
	v, err := cl.ListAudit(c.ctx, cmd.page(), span)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return c.show(v)
	}
	for _, e := range v.Data {
		outcome := "ok"
		if !e.OK {
			outcome = e.Error
		}
		if e.Key != "" {
			outcome += ", made " + e.Key
		}
		method, _, _ := strings.Cut(e.Call, " ")
		c.printf("%s  %s  %-16s %-5s %s  %s\n", e.ID, e.At.Format(time.RFC3339), e.Actor, method, e.Path, outcome)
	}
	c.more(v.Next)
	return nil
}
