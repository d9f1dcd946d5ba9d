package main

import "countersign/relay/control/api"

type subjectCommand struct {
	Show    subjectShowCommand    `cmd:"" default:"withargs" help:"Show who told us what of a person, what we made of it, and whom we told."`
	Export  subjectExportCommand  `cmd:"" help:"Write everything that is kept of a person, as JSON."`
	Erase   subjectEraseCommand   `cmd:"" help:"Take away everything that is kept of a person, for good."`
	Aside   subjectAsideCommand   `cmd:"" help:"List those of whom something is damaged, so that nothing new is told of them."`
	Rebuild subjectRebuildCommand `cmd:"" help:"Make the state of one that is set aside anew, from the history; where that is not whole, from what is left and your word."`
}

type subjectAsideCommand struct {
	gatewayFlags
	jsonFlag
	pageFlags
}

// Run lists who is set aside.
func (cmd *subjectAsideCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	t := &table{head: []string{"SUBJECT", "SINCE", "DAMAGED BUCKET"}}
	return lists(c, cmd.jsonFlag, cmd.pageFlags, cl.ListSetAside, t, func(t *table, a *api.SetAside) {
		t.add(a.Partner+"/"+a.ID, when(a.Since), a.Bucket)
	})
}

type subjectRebuildCommand struct {
	gatewayFlags
	jsonFlag
	modeFlag
	Partner   string   `arg:"" help:"The partner's id."`
	ID        string   `arg:"" help:"The subject's id, as the partner knows it."`
	Because   string   `required:"" help:"Why, for whoever must explain it later."`
	Status    string   `help:"Where the history is not whole: what holds from now on (approved, in_review, rejected, expired or suspended)."`
	Check     string   `help:"With --status: the check type, such as identity_verification."`
	Reasons   []string `help:"With --status: reasons, in our words."`
	Retryable bool     `help:"With --status rejected: another try may help."`
}

// Run makes a subject anew.
func (cmd *subjectRebuildCommand) Run(c *console) error {
	if (cmd.Status == "") != (cmd.Check == "") {
		return usageError("--status and --check come together: the word that holds, and which check it is about")
	}
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	ask := api.RebuildAsk{Check: cmd.Check, Status: cmd.Status, Reasons: cmd.Reasons, Retryable: cmd.Retryable, Reason: cmd.Because}
	v, err := cl.Rebuild(c.ctx, cmd.Partner, cmd.ID, cmd.Livemode, ask)
	if err != nil {
		return err
	}
	switch {
	case cmd.JSON:
		return c.show(v)
	case !v.Folded:
		c.printf("ordered: %s\nit is kept, and not carried out yet: see countersign subject\n", v.ID)
	default:
		c.printf("%s/%s is rebuilt  %s -> %s\n", cmd.Partner, cmd.ID, v.Before, v.After)
		c.effects(v.Changes)
	}
	return nil
}
