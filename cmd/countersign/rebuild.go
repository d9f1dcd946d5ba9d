package main

import "countersign/relay/control/api"

type subjectCommand struct {
	Show    subjectShowCommand    `cmd:"" default:"withargs" help:"Show what providers said about a person, what Countersign concluded, and who was told."`
	Export  subjectExportCommand  `cmd:"" help:"Export everything that is kept about a person, as JSON."`
	Erase   subjectEraseCommand   `cmd:"" help:"Erase everything that is kept about a person, permanently."`
	Aside   subjectAsideCommand   `cmd:"" help:"List persons with damaged records; nothing new is sent about them until they are rebuilt."`
	Rebuild subjectRebuildCommand `cmd:"" help:"Rebuild a person with damaged records from the history; where that is incomplete, from what is left and your decision."`
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
	Because   string   `required:"" help:"The reason, for whoever must explain it later."`
	Status    string   `help:"Where the history is incomplete: the status from now on (approved, in_review, rejected, expired or suspended)."`
	Check     string   `help:"With --status: the check type, such as identity_verification."`
	Reasons   []string `help:"With --status: reason codes, from Countersign's vocabulary."`
	Retryable bool     `help:"With --status rejected: another attempt may help."`
	DryRun    bool     `help:"Only show where the person would stand, and who would be told what."`
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
	ask := api.RebuildAsk{Check: cmd.Check, Status: cmd.Status, Reasons: cmd.Reasons, Retryable: cmd.Retryable, Reason: cmd.Because, DryRun: cmd.DryRun}
	v, err := cl.Rebuild(c.ctx, cmd.Partner, cmd.ID, cmd.Livemode, ask)
	if err != nil {
		return err
	}
	switch {
	case cmd.JSON:
		return c.show(v)
	case v.DryRun:
		c.printf("%s/%s would be rebuilt  %s -> %s\n", cmd.Partner, cmd.ID, v.Before, v.After)
		if v.Waiting != nil && *v.Waiting > 0 {
			c.printf("records that came in meanwhile, and would be applied: %d\n", *v.Waiting)
		}
		c.effects(v.Changes)
		c.printf("dry run: nothing was done\n")
	case !v.Folded:
		c.printf("ordered: %s\nit is stored, and not carried out yet: see countersign subject\n", v.ID)
	default:
		c.printf("%s/%s is rebuilt  %s -> %s\n", cmd.Partner, cmd.ID, v.Before, v.After)
		c.effects(v.Changes)
	}
	return nil
}
