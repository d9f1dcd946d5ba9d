package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

type quarantineCommand struct {
	List    quarantineListCommand    `cmd:"" default:"withargs" help:"List quarantined bodies; with --records, records that wait for their person."`
	Show    quarantineShowCommand    `cmd:"" help:"Show a body in clear; this is recorded in the audit trail."`
	Release quarantineReleaseCommand `cmd:"" help:"Translate a body again with the current adapter and config, or give a record its person."`
	Discard quarantineDiscardCommand `cmd:"" help:"Discard a body or a record permanently."`

	TakeBack quarantineTakeBackCommand `cmd:"" help:"Take back a record that was released to the wrong person; it waits again."`
}

type quarantineListCommand struct {
	gatewayFlags
	jsonFlag
	pageFlags
	Records bool `help:"List records that wait for their person."`
}

// Run lists what is in quarantine; bodies stay sealed.
func (cmd *quarantineListCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	if cmd.Records {
		return cmd.records(c, cl)
	}
	t := &table{head: []string{"ID", "AT", "SOURCE", "REASON", "DETAIL"}}
	return lists(c, cmd.jsonFlag, cmd.pageFlags, cl.ListQuarantine, t, func(t *table, i *api.QuarantinedBody) {
		t.add(i.ID, when(i.At), i.Source, i.Reason, i.Detail)
	})
}

func (cmd *quarantineListCommand) records(c *console, cl *client.Client) error {
	t := &table{head: []string{"ID", "AT", "SOURCE", "REASON", "CHECK", "STATUS", "REFS"}}
	return lists(c, cmd.jsonFlag, cmd.pageFlags, cl.ListHeld, t, func(t *table, r *api.UnroutedRecord) {
		refs := slices.DeleteFunc([]string{r.ProviderRef, r.VerificationRef, r.ParentRef}, func(s string) bool { return s == "" })
		t.add(r.ID, when(r.At), r.Source, r.Reason, r.Check, r.Status, strings.Join(refs, " "))
	})
}

type quarantineShowCommand struct {
	gatewayFlags
	jsonFlag
	ID string `arg:"" help:"The body's id, as countersign quarantine prints it."`
}

// Run shows a body.
func (cmd *quarantineShowCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.OpenBody(c.ctx, cmd.ID)
	if err != nil {
		return err
	}
	return c.show(v)
}

type quarantineReleaseCommand struct {
	gatewayFlags
	jsonFlag
	ID      string `arg:"" help:"The id, as countersign quarantine prints it."`
	Partner string `help:"For a record: the partner of the person."`
	Subject string `help:"For a record: the person's id, as the partner knows it."`
	Because string `help:"Why, for the audit trail; it must not name the person."`
}

// Run releases a body or a record.
func (cmd *quarantineReleaseCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	var ask *api.ReleaseAsk
	if cmd.Partner != "" || cmd.Subject != "" || cmd.Because != "" {
		ask = &api.ReleaseAsk{Partner: cmd.Partner, Subject: cmd.Subject, Reason: cmd.Because}
	}
	v, err := cl.Release(c.ctx, cmd.ID, ask)
	if err != nil {
		return err
	}
	switch {
	case cmd.JSON:
		return c.show(v)
	case v.Kept != "" && v.Updates != nil:
		c.printf("%s is released: %d update(s); the body is kept on as %s\n", cmd.ID, *v.Updates, v.Kept)
	case v.Updates != nil:
		c.printf("%s is released: %d update(s)\n", cmd.ID, *v.Updates)
	default:
		c.printf("%s is released\n", cmd.ID)
	}
	return nil
}

type quarantineDiscardCommand struct {
	gatewayFlags
	jsonFlag
	ID      string `arg:"" help:"The id, as countersign quarantine prints it."`
	Because string `help:"Why, for the audit trail; it must not name the person."`
}

// Run discards a body or a record.
func (cmd *quarantineDiscardCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.Discard(c.ctx, cmd.ID, cmd.Because)
	if err != nil {
		return err
	}
	return cmd.say(c, v, "%s is discarded\n", cmd.ID)
}

type quarantineTakeBackCommand struct {
	gatewayFlags
	jsonFlag
	ID      string `arg:"" help:"The record's id, as countersign quarantine --records printed it."`
	Because string `required:"" help:"The reason, for whoever must explain it later."`
}

// Run takes a record back.
func (cmd *quarantineTakeBackCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.TakeBack(c.ctx, cmd.ID, cmd.Because)
	if err != nil {
		return err
	}
	switch {
	case cmd.JSON:
		return c.show(v)
	case !v.Folded:
		c.printf("%s is taken back from %s/%s; it is stored, and not applied yet\n", cmd.ID, v.Partner, v.Subject)
		return nil
	}
	c.printf("%s/%s  %s -> %s\n", v.Partner, v.Subject, v.Before, v.After)
	c.effects(v.Changes)
	c.printf("%s is taken back: %d record(s) wait again\n", cmd.ID, v.Unrouted)
	return nil
}

type submitCommand struct {
	gatewayFlags
	jsonFlag
	modeFlag
	Partner string `arg:"" help:"The partner's id."`
	Subject string `arg:"" help:"The subject's id, as the partner knows it."`
	Source  string `arg:"" help:"The source whose callbacks will carry the ref."`
	Ref     string `arg:"" help:"The provider's id of the person or of the verification."`
	Kind    string `help:"individual or company." enum:"individual,company," default:"" placeholder:"KIND"`
}

// Run registers whose a provider's ref is.
func (cmd *submitCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	ask := api.SubmissionAsk{Partner: cmd.Partner, Subject: cmd.Subject, Source: cmd.Source, ProviderRef: cmd.Ref, Kind: cmd.Kind, Livemode: cmd.Livemode}
	v, err := cl.Submit(c.ctx, ask)
	if err != nil {
		return err
	}
	return cmd.say(c, v, "callbacks of %s about %s are %s/%s's\n", cmd.Source, cmd.Ref, cmd.Partner, cmd.Subject)
}

type policyCommand struct {
	Show  policyShowCommand  `cmd:"" help:"Show how many persons would change status under a partner's newest policy, and to what."`
	Apply policyApplyCommand `cmd:"" help:"Evaluate every person of a partner under its newest policy."`
}

type policyShowCommand struct {
	gatewayFlags
	jsonFlag
	Partner string `arg:"" help:"The partner's id."`
}

// planned is what a policy means, in words.
type planned api.Plan

// String implements fmt.Stringer.
func (p planned) String() string {
	var parts, tells, sends []string
	for _, s := range slices.Sorted(maps.Keys(p.Becomes)) {
		parts = append(parts, fmt.Sprintf("%d become %s", p.Becomes[s], escape(s, "")))
	}
	for _, t := range slices.Sorted(maps.Keys(p.Tells)) {
		tells = append(tells, fmt.Sprintf("\n  %d %s", p.Tells[t], escape(t, "")))
	}
	for _, e := range slices.Sorted(maps.Keys(p.Sends)) {
		sends = append(sends, fmt.Sprintf("\n  %d to %s", p.Sends[e], escape(e, "")))
	}
	if len(parts) == 0 {
		parts = []string{"nobody's status changes"}
	}
	text := fmt.Sprintf("version %d: %d of %d subjects are evaluated under an older one; %s", p.Version, p.Behind, p.Subjects, strings.Join(parts, ", "))
	if len(tells) > 0 {
		text += "\nchanges:" + strings.Join(tells, "")
	}
	if len(sends) > 0 {
		text += "\nwebhooks:" + strings.Join(sends, "")
	}
	return text
}

// Run shows who would move.
func (cmd *policyShowCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.Policy(c.ctx, cmd.Partner)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return c.show(v)
	}
	c.printf("%s\n", planned(v))
	return nil
}

type policyApplyCommand struct {
	gatewayFlags
	jsonFlag
	Partner string `arg:"" help:"The partner's id."`
	Yes     bool   `help:"Apply it; without this, only show who would be affected."`
}

// Run applies a policy, after it has said what that means.
func (cmd *policyApplyCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	if !cmd.Yes {
		v, err := cl.Policy(c.ctx, cmd.Partner)
		if err != nil {
			return err
		}
		return errors.Join(errNo, cmd.say(c, v, "%s\nnothing was done: add --yes\n", planned(v)))
	}
	work := c.working("apply the policy of " + cmd.Partner)
	v, err := cl.ApplyPolicy(c.ctx, cmd.Partner)
	if work.end(); err != nil {
		return err
	}
	return cmd.say(c, v, "%s\napplied\n", planned(v))
}
