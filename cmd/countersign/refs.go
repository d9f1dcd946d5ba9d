package main

import (
	"time"

	"countersign/relay/control/api"
)

type refsCommand struct {
	List   refsListCommand   `cmd:"" default:"withargs" help:"List refs that were registered, or said to be, more than one person's; what comes for them is held."`
	Settle refsSettleCommand `cmd:"" help:"Say whose a ref is, whoever else has registered it; what was held for it is applied."`
}

type refsListCommand struct {
	gatewayFlags
	jsonFlag
	pageFlags
}

// Run lists contested refs and who claims them.
func (cmd *refsListCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.ListConflicts(c.ctx, cmd.page())
	if err != nil {
		return err
	}
	if cmd.JSON {
		return c.show(v)
	}
	for _, r := range v.Data {
		mode := "test"
		if r.Livemode {
			mode = "live"
		}
		c.printf("%s  %s  %s  since %s\n", r.Source, r.ProviderRef, mode, r.Since.Format(time.RFC3339))
		for _, s := range r.Claims {
			by := "said by the provider"
			if s.Registered {
				by = "registered"
			}
			if !s.At.IsZero() {
				by += " " + s.At.Format(time.RFC3339)
			}
			c.printf("    %s/%s  %s\n", s.Partner, s.Subject, by)
		}
	}
	c.more(v.Next)
	return nil
}

type refsSettleCommand struct {
	gatewayFlags
	modeFlag
	Source  string `arg:"" help:"The source whose ref it is."`
	Ref     string `arg:"" help:"The provider's id of the person or of the verification."`
	Partner string `required:"" help:"The partner whose subject has it."`
	Subject string `required:"" help:"The subject's id, as the partner knows it."`
	Because string `required:"" help:"Why; stays in the subject's history."`
}

// Run settles whose a ref is.
func (cmd *refsSettleCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	ask := api.SettleAsk{Source: cmd.Source, ProviderRef: cmd.Ref, Partner: cmd.Partner, Subject: cmd.Subject, Livemode: cmd.Livemode, Reason: cmd.Because}
	if _, err := cl.Settle(c.ctx, ask); err != nil {
		return err
	}
	c.printf("%s of %s is %s/%s's from now on; what was held for it is applied\n", cmd.Ref, cmd.Source, cmd.Partner, cmd.Subject)
	return nil
}
