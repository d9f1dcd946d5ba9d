package main

import (
	"context"
	"strings"

	"countersign/relay/control/api"
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
	t := &table{head: []string{"ID", "AT", "ACTOR", "CALL", "PATH", "OUTCOME"}}
	list := func(ctx context.Context, p client.Page) (api.List[api.AuditEntry], error) {
		return cl.ListAudit(ctx, p, span)
	}
	return lists(c, cmd.jsonFlag, cmd.pageFlags, list, t, func(t *table, e *api.AuditEntry) {
		outcome := "ok"
		if !e.OK {
			outcome = e.Error
		}
		if e.Key != "" {
			outcome += ", made " + e.Key
		}
		method, _, _ := strings.Cut(e.Call, " ")
		t.add(e.ID, when(e.At), e.Actor, method, e.Path, outcome)
	})
}
