package main

import (
	"context"
	"strings"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

type withheldCommand struct {
	List        withheldListCommand        `cmd:"" default:"withargs" help:"List rejections and suspensions that an endpoint has not received."`
	Acknowledge withheldAcknowledgeCommand `cmd:"" help:"Acknowledge one: its partner knows, so it needs no alert. This sends nothing."`
}

type withheldListCommand struct {
	gatewayFlags
	jsonFlag
	pageFlags
	Endpoint     string `help:"Only this endpoint (it need not be in the config any more)."`
	Acknowledged bool   `help:"List acknowledged ones instead."`
}

// Run lists what is withheld.
func (cmd *withheldListCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	t := &table{head: []string{"ID", "SUBJECT", "SEQ", "TYPE", "SINCE", "STATE"}}
	if cmd.Acknowledged {
		t.head = append(t.head, "ACKNOWLEDGED", "BY", "REASON")
	}
	list := func(ctx context.Context, p client.Page) (api.List[api.Withheld], error) {
		return cl.ListWithheld(ctx, p, cmd.Endpoint, cmd.Acknowledged)
	}
	return lists(c, cmd.jsonFlag, cmd.pageFlags, list, t, func(t *table, w *api.Withheld) {
		state := "pending"
		if w.Dead != "" {
			state = "dead-lettered: " + w.Dead
		}
		cells := []string{w.ID, subjectText(w.Subject), sequence(w.Sequence), w.Type, when(w.Since), state}
		if a := w.Acknowledged; a != nil {
			cells = append(cells, when(a.At), a.By, a.Reason)
		}
		t.add(cells...)
	})
}

// subjectText names a subject as it is kept to people.
func subjectText(lane string) string {
	who, _, test := strings.Cut(lane, "\x01") // the mark of test mode
	if test {
		who += " (test)"
	}
	return who
}

type withheldAcknowledgeCommand struct {
	gatewayFlags
	jsonFlag
	ID     string `arg:"" help:"The delivery's id, as countersign withheld prints it."`
	Reason string `required:"" help:"The reason, for whoever must explain it later: for example whom at the partner you told, and how."`
}

// Run acknowledges one.
func (cmd *withheldAcknowledgeCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	w, err := cl.Acknowledge(c.ctx, cmd.ID, cmd.Reason)
	if err != nil {
		return err
	}
	what := "it stays pending, and is tried again"
	if w.Dead != "" {
		what = "it stays dead-lettered (" + w.Dead + ") unless it is redelivered"
	}
	return cmd.say(c, w, "%s is acknowledged; %s\n", w.ID, what)
}
