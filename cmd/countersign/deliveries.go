package main

import (
	"context"
	"strconv"
	"strings"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

type deliveriesCommand struct {
	List     deliveriesListCommand   `cmd:"" default:"withargs" help:"List deliveries: pending ones in the order of their next attempt, ended ones newest first."`
	Show     deliveriesShowCommand   `cmd:"" help:"Show one delivery in full, with its body; this is recorded in the audit trail."`
	RetryNow deliveriesRetryCommand  `cmd:"" help:"Retry a delivery now, whatever its schedule says, or the one before it."`
	Skip     deliveriesSkipCommand   `cmd:"" help:"Dead-letter the delivery that blocks its person, so that the next one is sent."`
	Cancel   deliveriesCancelCommand `cmd:"" help:"Cancel a pending or failed delivery: it is never sent."`
}

type deliveriesListCommand struct {
	gatewayFlags
	jsonFlag
	pageFlags
	modeFlag
	Status       string `help:"Only this status: pending, retrying, delivered, dead_lettered or cancelled. Without it, all." enum:",pending,retrying,delivered,dead_lettered,cancelled" default:""`
	DeadLettered bool   `help:"Short for --status dead_lettered."`
	Endpoint     string `help:"Only this endpoint (it need not be in the config any more)."`
	Partner      string `help:"Only this partner."`
	Subject      string `help:"Only this person of the partner."`
	Type         string `help:"Only these change types: a name such as kyc.status.rejected, or a prefix and *."`
	Since        string `help:"Only from this time or day on: when the delivery ended or, if it is pending, when it was created." placeholder:"TIME"`
	Until        string `help:"Only before this time or day." placeholder:"TIME"`
}

// Run lists deliveries.
func (cmd *deliveriesListCommand) Run(c *console) error {
	if cmd.Subject != "" && cmd.Partner == "" {
		return usageError("--subject needs --partner: two partners may call two people alike")
	}
	if cmd.DeadLettered && cmd.Status != "" && cmd.Status != "dead_lettered" {
		return usageError("--dead-lettered is --status dead_lettered, and not " + cmd.Status)
	}
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	d := client.Deliveries{
		Status: cmd.Status, Endpoint: cmd.Endpoint, Partner: cmd.Partner, Subject: cmd.Subject, Livemode: cmd.Livemode, Type: cmd.Type, Since: cmd.Since, Until: cmd.Until,
	}
	if cmd.DeadLettered {
		d.Status = "dead_lettered"
	}
	t := &table{head: []string{"ID", "STATUS", "SUBJECT", "SEQ", "TYPE", "CREATED", "ATTEMPTS", "NEXT", "ENDED", "LAST"}}
	list := func(ctx context.Context, p client.Page) (api.List[api.Delivery], error) {
		return cl.ListDeliveries(ctx, p, d)
	}
	return lists(c, cmd.jsonFlag, cmd.pageFlags, list, t, addDelivery)
}

// addDelivery is a delivery as a row.
func addDelivery(t *table, d *api.Delivery) {
	t.add(d.ID, d.Status, deliverySubject(d), sequence(d.Sequence), d.Type, when(d.Owed), strconv.Itoa(d.Attempts), deliveryNext(d), when(d.Ended), deliveryLast(d))
}

// deliverySubject is whom a delivery tells of.
func deliverySubject(d *api.Delivery) string {
	switch {
	case d.Partner == "":
		return ""
	case d.Livemode:
		return d.Partner + "/" + d.Subject
	}
	return d.Partner + "/" + d.Subject + " (test)"
}

// deliveryNext is when a delivery is tried next, or what it waits for.
func deliveryNext(d *api.Delivery) string {
	switch d.WaitsFor {
	case "try":
		return when(d.NextAttempt)
	case "turn":
		return "now"
	case "answer":
		return "under way"
	case "behind":
		return "after " + d.Behind
	case "breaker":
		return "endpoint is down"
	case "rest":
		return "rests until " + when(d.WaitsUntil)
	case "":
		return ""
	}
	return "endpoint is " + d.WaitsFor
}

// deliveryLast is what came of the last attempt, in a word or two.
func deliveryLast(d *api.Delivery) string {
	code := ""
	if d.Code != 0 {
		code = strconv.Itoa(d.Code)
	}
	return strings.TrimSpace(strings.Join([]string{code, d.Reason, d.Error}, " "))
}

// lastAnswer is what came of an attempt, in a word or two.
func lastAnswer(t *api.Try) string {
	return deliveryLast(&api.Delivery{Code: t.Code, Reason: t.Reason, Error: t.Detail})
}

// sequence is the number of a change as it is shown to people.
func sequence(n uint64) string { return "#" + strconv.FormatUint(n, 10) }

type deliveriesShowCommand struct {
	gatewayFlags
	jsonFlag
	ID string `arg:"" help:"The delivery's id, as countersign deliveries prints it."`
}

// Run shows one delivery.
func (cmd *deliveriesShowCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.Delivery(c.ctx, cmd.ID)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return c.show(v)
	}
	t := &table{head: []string{"ID", "STATUS", "SUBJECT", "SEQ", "TYPE", "CREATED", "ATTEMPTS", "NEXT", "ENDED", "LAST"}}
	addDelivery(t, &v.Delivery)
	c.print(t)
	if v.Because != "" {
		c.printf("\ncancelled by %s: %s\n", v.By, v.Because)
	}
	if w := v.Withheld; w != nil {
		c.printf("\nits endpoint has not received this rejection or suspension since %s", when(w.Since))
		if a := w.Acknowledged; a != nil {
			c.printf("; acknowledged by %s at %s: %s", a.By, when(a.At), a.Reason)
		}
		c.printf("\n")
	}
	c.triesOf(&v)
	switch {
	case v.Body != "" && v.Rendered:
		c.printf("\nits body, rendered again from its change\n%s\n", v.Body)
	case v.Body != "":
		c.printf("\nits body\n%s\n", v.Body)
	}
	return nil
}

// triesOf prints what went wrong each time, and each time that it ended.
func (c *console) triesOf(v *api.DeliveryDetail) {
	if len(v.Tries) > 0 {
		c.printf("\nwhat went wrong\n")
		t := &table{head: []string{"AT", "TOOK", "ANSWER"}}
		for i := range v.Tries {
			try := &v.Tries[i]
			t.add(when(try.At), strconv.FormatFloat(float64(try.TookMS), 'f', -1, 64)+" ms", lastAnswer(try))
		}
		c.print(t)
	}
	if len(v.Endings) > 0 {
		c.printf("\nhow it ended\n")
		t := &table{head: []string{"AT", "OUTCOME", "ATTEMPTS", "ANSWER"}}
		for i := range v.Endings {
			o := &v.Endings[i]
			t.add(when(o.At), o.Outcome, strconv.Itoa(o.Attempts), deliveryLast(&api.Delivery{Code: o.Code, Reason: o.Reason}))
		}
		c.print(t)
	}
}

type redeliverCommand struct {
	gatewayFlags
	jsonFlag
	ID    string `arg:"" help:"The delivery's id, as countersign deliveries prints it."`
	To    string `help:"Send it to this endpoint of the same partner." placeholder:"ENDPOINT"`
	Force bool   `help:"Even if a later change of this person has been delivered since."`
}

// Run orders a redelivery.
func (cmd *redeliverCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.Redeliver(c.ctx, cmd.ID, cmd.To, cmd.Force)
	if err != nil {
		return err
	}
	return cmd.say(c, v, "%s is pending again\n", cmd.ID)
}
