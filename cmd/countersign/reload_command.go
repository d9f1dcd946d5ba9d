package main

import (
	"errors"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

type reloadCommand struct {
	gatewayFlags
	jsonFlag
	DryRun bool `help:"Only show what would change, and what would happen to pending deliveries."`
}

// Run has the running gateway read its config again: the file it was started with, whichever may be
// named here to say where it is.
func (cmd *reloadCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if bad, ok := errors.AsType[*configError](err); ok {
		return cmd.refused(c, faults(bad.problems))
	}
	if err != nil {
		return err
	}
	r, err := cl.Reload(c.ctx, cmd.DryRun)
	if refused, ok := errors.AsType[*client.Error](err); ok && len(refused.Problems) > 0 {
		return cmd.refused(c, refused.Problems)
	}
	if err != nil {
		return err
	}
	if cmd.JSON {
		return c.show(r)
	}
	for _, d := range r.Differences {
		c.difference(&d)
	}
	for _, text := range r.Owed {
		c.printf("affected: %s\n", text)
	}
	for _, w := range r.Warnings {
		c.printf("warning: %s\n", w.String())
	}
	switch {
	case !r.DryRun:
		c.printf("%s counts: %d difference(s)\n", r.Config, len(r.Differences))
	case len(r.Differences) == 0:
		c.printf("%s is in use already; a reload would read its references again, and change nothing\n", r.Config)
	default:
		c.printf("%s would be applied: %d difference(s); nothing was changed\n", r.Config, len(r.Differences))
	}
	return nil
}

func (c *console) difference(d *api.Difference) {
	switch {
	case d.Is == "new":
		c.printf("+ %s\n", d.Key)
	case d.Was == "gone":
		c.printf("- %s\n", d.Key)
	case d.Was == "":
		c.printf("~ %s: %s (was not set)\n", d.Key, d.Is)
	case d.Is == "":
		c.printf("~ %s: not set any more (was %s)\n", d.Key, d.Was)
	default:
		c.printf("~ %s: %s -> %s\n", d.Key, d.Was, d.Is)
	}
}

// refused prints what is wrong with the file.
func (cmd *reloadCommand) refused(c *console, problems []api.ConfigProblem) error {
	if cmd.JSON {
		return errors.Join(c.show(map[string]any{"object": "reload", "applied": false, "problems": problems}), errNo)
	}
	for _, p := range problems {
		c.printf("%s\n", p.String())
	}
	c.printf("%d problem(s); nothing was changed\n", len(problems))
	return errNo
}
