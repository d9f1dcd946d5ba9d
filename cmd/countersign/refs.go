package main

import "countersign/relay/control/api"

type refsCommand struct {
	List   refsListCommand   `cmd:"" default:"withargs" help:"List refs that more than one person claims; what arrives for them is held."`
	Settle refsSettleCommand `cmd:"" help:"Decide which person a ref belongs to; what was held for it is applied."`
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
	t := &table{head: []string{"SOURCE", "REF", "MODE", "SINCE", "CLAIMED FOR", "HOW", "AT"}}
	return lists(c, cmd.jsonFlag, cmd.pageFlags, cl.ListConflicts, t, func(t *table, r *api.ContestedRef) {
		mode := "test"
		if r.Livemode {
			mode = "live"
		}
		for _, s := range r.Claims {
			how := "said by the provider"
			if s.Registered {
				how = "registered"
			}
			t.add(r.Source, r.ProviderRef, mode, when(r.Since), s.Partner+"/"+s.Subject, how, when(s.At))
		}
	})
}

type refsSettleCommand struct {
	gatewayFlags
	jsonFlag
	modeFlag
	Source  string `arg:"" help:"The source of the ref."`
	Ref     string `arg:"" help:"The provider's id of the person or of the verification."`
	Partner string `required:"" help:"The partner of the person."`
	Subject string `required:"" help:"The subject's id, as the partner knows it."`
	Because string `required:"" help:"The reason; recorded in the person's history."`
}

// Run settles whose a ref is.
func (cmd *refsSettleCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	ask := api.SettleAsk{Source: cmd.Source, ProviderRef: cmd.Ref, Partner: cmd.Partner, Subject: cmd.Subject, Livemode: cmd.Livemode, Reason: cmd.Because}
	v, err := cl.Settle(c.ctx, ask)
	if err != nil {
		return err
	}
	return cmd.say(c, v, "%s of %s is %s/%s's from now on; what was held for it is applied\n", cmd.Ref, cmd.Source, cmd.Partner, cmd.Subject)
}
