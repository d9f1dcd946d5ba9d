package main

import (
	"context"
	"strconv"
	"strings"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

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
	t := &table{head: []string{"ID", "SUBJECT", "SEQ", "TYPE", "REASON", "ATTEMPTS", "OWED SINCE", "LAST", "ANSWER"}}
	list := func(ctx context.Context, p client.Page) (api.List[api.DeadDelivery], error) {
		return cl.ListDeliveries(ctx, p, cmd.Endpoint)
	}
	return lists(c, cmd.jsonFlag, cmd.pageFlags, list, t, func(t *table, d *api.DeadDelivery) {
		last, answer := "", ""
		if n := len(d.Tries); n > 0 {
			last, answer = when(d.Tries[n-1].At), lastAnswer(&d.Tries[n-1])
		}
		t.add(d.ID, subjectText(d.Subject), sequence(d.Sequence), d.Type, d.Reason, strconv.Itoa(d.Failures), when(d.Owed), last, answer)
	})
}

// lastAnswer is what came of an attempt, in a word or two.
func lastAnswer(t *api.Try) string {
	code := ""
	if t.Code != 0 {
		code = strconv.Itoa(t.Code)
	}
	return strings.TrimSpace(strings.Join([]string{code, t.Reason, t.Detail}, " "))
}

// sequence is the number of a change as it is shown to people.
func sequence(n uint64) string { return "#" + strconv.FormatUint(n, 10) }

type redeliverCommand struct {
	gatewayFlags
	jsonFlag
	ID    string `arg:"" help:"The delivery's id, as countersign deliveries prints it."`
	Force bool   `help:"Even if a later change of the subject has been delivered since."`
}

// Run orders a redelivery.
func (cmd *redeliverCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.Redeliver(c.ctx, cmd.ID, cmd.Force)
	if err != nil {
		return err
	}
	return cmd.say(c, v, "%s is owed again\n", cmd.ID)
}
