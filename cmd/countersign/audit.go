package main

import (
	"context"
	"strings"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

type auditCommand struct {
	List   auditListCommand   `cmd:"" default:"withargs" help:"List who changed what, or read sealed data."`
	Verify auditVerifyCommand `cmd:"" help:"Verify that no entry of the trail was changed, removed, inserted or moved."`
}

type auditListCommand struct {
	gatewayFlags
	jsonFlag
	pageFlags
	Since    string `help:"Only from this time or day on, such as 2026-11-30 or 2026-11-30T08:00:00Z."`
	Until    string `help:"Only before this time or day."`
	Actor    string `help:"Only the token with this name."`
	Subject  string `help:"Only this person: PARTNER/ID." xor:"about"`
	Endpoint string `help:"Only this endpoint: who changed it, its keys or its config." xor:"about"`
	Call     string `help:"Only calls whose pattern contains this, such as decisions or \"POST /v1/tokens\"."`
	OK       bool   `name:"ok" help:"Only successful calls." xor:"outcome"`
	Refused  bool   `help:"Only refused or failed calls." xor:"outcome"`
	Begun    bool   `help:"Also show that a change began, where its result is shown too."`
	NDJSON   bool   `name:"ndjson" help:"Print the whole trail, oldest first, one JSON object per line; the last line is the head."`
}

func (cmd *auditListCommand) span() client.Span {
	s := client.Span{Since: cmd.Since, Until: cmd.Until, Actor: cmd.Actor, Subject: cmd.Subject, Endpoint: cmd.Endpoint, Call: cmd.Call, All: cmd.Begun}
	switch {
	case cmd.OK:
		s.Outcome = "true"
	case cmd.Refused:
		s.Outcome = "false"
	}
	return s
}

// Run lists the audit trail, the newest first.
func (cmd *auditListCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	if cmd.NDJSON {
		return cl.StreamAudit(c.ctx, c.out, cmd.span())
	}
	if cmd.JSON && !cmd.All {
		v, err := cmd.fetch(c.ctx, cl, cmd.page())
		if err != nil {
			return err
		}
		return c.show(v)
	}
	head := ""
	list := func(ctx context.Context, p client.Page) (api.List[api.AuditEntry], error) {
		v, err := cmd.fetch(ctx, cl, p)
		head = v.Head.Head
		return api.List[api.AuditEntry]{Object: v.Object, Data: v.Data, HasMore: v.HasMore, Next: v.Next}, err
	}
	t := &table{head: []string{"ID", "AT", "ACTOR", "CALL", "PATH", "OUTCOME"}}
	err = lists(c, cmd.jsonFlag, cmd.pageFlags, list, t, func(t *table, e *api.AuditEntry) {
		method, _, _ := strings.Cut(e.Call, " ")
		t.add(e.ID, when(e.At), e.Actor, method, e.Path, outcomeOf(e))
	})
	if err == nil && !cmd.JSON {
		c.printf("head: %s\n", head)
	}
	return err
}

// emptyPages is after how many pages without an entry a list is shown as far as it has come.
const emptyPages = 100

// fetch is a page. One that is short because few entries are what is asked for is filled from the
// next ones.
func (cmd *auditListCommand) fetch(ctx context.Context, cl *client.Client, p client.Page) (v api.AuditList, err error) {
	most := p.Limit
	for range emptyPages {
		next, err := cl.ListAudit(ctx, p, cmd.span())
		if err != nil {
			return v, err
		}
		next.Data = append(v.Data, next.Data...)
		v, p.Cursor = next, next.Next
		if p.Limit = most - len(v.Data); !v.HasMore || v.Next == "" || p.Limit <= 0 {
			break
		}
	}
	return v, nil
}

// outcomeOf is what came of a call, in words.
func outcomeOf(e *api.AuditEntry) string {
	text := "ok"
	switch {
	case e.Damaged:
		return "this entry is damaged"
	case e.Reduced:
		return "refused, and has had its time"
	case e.Completed:
		return "begun"
	case e.Kind == "begun":
		return "begun: nothing says what came of it"
	case !e.OK:
		text = e.Error
	}
	if e.Key != "" {
		text += ", made " + e.Key
	}
	return text
}
