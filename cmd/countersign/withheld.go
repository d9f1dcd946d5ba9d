package main

import (
	"strings"
	"time"
)

type withheldCommand struct {
	List        withheldListCommand        `cmd:"" default:"withargs" help:"List rejections and suspensions that an endpoint has not been told of."`
	Acknowledge withheldAcknowledgeCommand `cmd:"" help:"Say that nobody need be alarmed about one any more, for its partner knows. Nothing is sent by that."`
}

type withheldListCommand struct {
	gatewayFlags
	jsonFlag
	pageFlags
	Endpoint     string `help:"Only of this endpoint, which need not be in the config any more."`
	Acknowledged bool   `help:"Those that somebody has acknowledged, in place of those that nobody has."`
}

// Run lists what is withheld.
func (cmd *withheldListCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.ListWithheld(c.ctx, cmd.page(), cmd.Endpoint, cmd.Acknowledged)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return c.show(v)
	}
	for _, w := range v.Data {
		state := "owed"
		if w.Dead != "" {
			state = "dead: " + w.Dead
		}
		who := subjectText(w.Subject)
		c.printf("%s  %s  #%d  %s  since %s  %s\n", w.ID, who, w.Sequence, w.Type, w.Since.Format(time.RFC3339), state)
		if a := w.Acknowledged; a != nil {
			c.printf("  acknowledged by %s at %s: %s\n", a.By, a.At.Format(time.RFC3339), a.Reason)
		}
	}
	c.more(v.Next)
	return nil
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
	ID     string `arg:"" help:"The delivery's id, as countersign withheld prints it."`
	Reason string `required:"" help:"Why, for whoever must explain it later; such as whom of the partner you have told, and how."`
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
	what := "it is owed still, and tried again"
	if w.Dead != "" {
		what = "it stays dead (" + w.Dead + ") unless it is redelivered"
	}
	c.printf("%s is acknowledged; %s\n", w.ID, what)
	return nil
}
