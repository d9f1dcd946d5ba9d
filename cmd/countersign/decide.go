package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

type decideCommand struct {
	gatewayFlags
	jsonFlag
	modeFlag
	Partner   string   `arg:"" help:"The partner's id."`
	Subject   string   `arg:"" help:"The subject's id, as the partner knows it."`
	Source    string   `help:"The source of the check." xor:"whose"`
	Manual    bool     `help:"The document belongs to no source: somebody here has looked at it, and no provider has reported it." xor:"whose"`
	Check     string   `required:"" help:"The check type, such as identity_verification."`
	Status    string   `help:"approved, in_review, rejected, expired or suspended." xor:"what"`
	Release   bool     `help:"Release every open finding of this check. Of the statuses, only approved releases sanctions and PEP matches." xor:"what"`
	Scope     string   `help:"overall, check or document." default:"overall" enum:"overall,check,document"`
	Document  string   `help:"The document type, of a step or a document."`
	Reasons   []string `help:"Reason codes, from Countersign's vocabulary."`
	Retryable bool     `help:"For a rejection: another attempt may help. Without it, the rejection is terminal."`
	Because   string   `required:"" help:"The reason, for whoever must explain it later."`
	Key       string   `help:"Idempotency key: the same key is the same decision."`
	Yes       bool     `help:"Do not ask for confirmation." xor:"sure"`
	DryRun    bool     `help:"Show the effect, and change nothing." xor:"sure"`
}

// Run makes a decision, after it has shown what would come of it and somebody has said yes.
func (cmd *decideCommand) Run(c *console) error {
	switch {
	case cmd.Source == "" && !cmd.Manual:
		return usageError("decide needs --source, whose check it is; or --manual, for a decision that is no source's")
	case !cmd.Yes && !cmd.DryRun && !c.terminal:
		return usageError("decide asks before it does anything, and there is no terminal to ask on: add --yes, or --dry-run to see what would come of it")
	}
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	if !cmd.Yes {
		v, err := cmd.post(c, cl, true)
		if err != nil {
			return err
		}
		if cmd.DryRun && cmd.JSON {
			return c.show(v)
		}
		cmd.tell(c.err, v)
		if cmd.DryRun {
			return nil
		}
		if !c.sure() {
			fmt.Fprintln(c.err, "nothing was done") //nolint:errcheck // a terminal that is gone is no error of ours
			return errNo
		}
	}
	v, err := cmd.post(c, cl, false)
	if err != nil {
		return err
	}
	return cmd.report(c, v)
}

func (cmd *decideCommand) post(c *console, cl *client.Client, dry bool) (api.Decision, error) {
	return cl.Decide(c.ctx, cmd.Partner, cmd.Subject, cmd.Livemode, cmd.Key, api.DecisionAsk{
		Source: cmd.Source, Manual: cmd.Manual, Check: cmd.Check, Scope: cmd.Scope, DocumentType: cmd.Document, Status: cmd.Status, Release: cmd.Release,
		Reasons: cmd.Reasons, Retryable: cmd.Retryable, Reason: cmd.Because, DryRun: dry,
	})
}

// tell says before and after, and who is told.
func (cmd *decideCommand) tell(w io.Writer, v api.Decision) {
	out := &console{out: w}
	out.printf("%s/%s  %s -> %s\n", cmd.Partner, cmd.Subject, v.Before, v.After)
	out.effects(v.Changes)
	switch {
	case cmd.Release && v.Nothing():
		out.printf("  there is nothing to release: no finding of this check is open\n")
	case len(v.Changes) == 0:
		out.printf("  no endpoint is notified\n")
	}
}

// effects lists changes, and who is told of each.
func (c *console) effects(es []api.Effect) {
	for _, e := range es {
		to := "nobody"
		if len(e.Endpoints) > 0 {
			to = strings.Join(e.Endpoints, ", ")
		}
		c.printf("  #%-3d %-26s to %s\n", e.Sequence, e.Type, to)
	}
}

// report says what came of it. A release of nothing is a no.
func (cmd *decideCommand) report(c *console, v api.Decision) error {
	nothing := v.Released != nil && !*v.Released
	switch {
	case cmd.JSON:
		if err := c.show(v); err != nil {
			return err
		}
	case !v.Folded:
		c.printf("decided: %s\nit is stored, and not applied yet: see countersign subject\n", v.ID)
	default:
		cmd.tell(c.out, v)
		c.printf("decided: %s\n", v.ID)
	}
	if nothing {
		return errNo
	}
	return nil
}

// sure asks, and takes only a yes for one.
func (c *console) sure() bool {
	fmt.Fprint(c.err, "Do it? [y/N] ") //nolint:errcheck // a terminal that is gone says no
	line, err := bufio.NewReader(c.in).ReadString('\n')
	answer := strings.ToLower(strings.TrimSpace(line))
	return (err == nil || errors.Is(err, io.EOF)) && (answer == "y" || answer == "yes")
}
