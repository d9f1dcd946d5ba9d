package main

import (
	"fmt"

	"countersign/relay/control/api"
)

type endpointsGiveUpCommand struct {
	gatewayFlags
	jsonFlag
	ID     string `arg:"" help:"The endpoint's id, or one that it had before it was renamed."`
	Yes    bool   `help:"Do not ask for confirmation." xor:"sure"`
	DryRun bool   `help:"Show how many there are, and which rejections, and change nothing." xor:"sure"`
}

// Run says what would be given up, and gives it up when somebody says yes, some at a time.
func (cmd *endpointsGiveUpCommand) Run(c *console) error {
	if !cmd.Yes && !cmd.DryRun && !c.terminal {
		return usageError("endpoints give-up asks before it does anything, and there is no terminal to ask on: add --yes, or --dry-run to see what it would give up")
	}
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	if !cmd.Yes {
		v, err := cl.GiveUp(c.ctx, cmd.ID, true)
		if err != nil {
			return err
		}
		if cmd.DryRun && cmd.JSON {
			return c.show(v)
		}
		say := c
		if cmd.JSON {
			say = &console{out: c.err}
		}
		cmd.tell(say, &v)
		if cmd.DryRun {
			return nil
		}
		if v.Owed == 0 || !c.sure() {
			fmt.Fprintln(c.err, "nothing was done") //nolint:errcheck // a terminal that is gone is no error of ours
			return errNo
		}
	}
	work := c.working("give up what " + cmd.ID + " is pending")
	defer work.end()
	all, still := int64(0), ""
	for {
		v, err := cl.GiveUp(c.ctx, cmd.ID, false)
		if err != nil {
			return err
		}
		all += v.GivenUp
		work.tell("%d given up", all)
		if v.Owed > 0 && v.GivenUp > 0 {
			continue
		}
		if v.Owed > 0 {
			still = fmt.Sprintf(", and %d came since: say it again", v.Owed)
		}
		work.end()
		v.GivenUp = all
		return cmd.say(c, v, "dead-lettered for %s: %d%s; they are kept, and rejections stay alerted until they are acknowledged\n", v.Endpoint, all, still)
	}
}

// tell says what would be given up.
func (cmd *endpointsGiveUpCommand) tell(c *console, v *api.GaveUp) {
	c.printf("pending for %s: %d, of which rejections or suspensions: %d\n", v.Endpoint, v.Owed, v.Rejections)
	for i := range v.Withheld {
		w := &v.Withheld[i]
		c.printf("%s  %s  #%d  %s  since %s\n", w.ID, subjectText(w.Subject), w.Sequence, w.Type, when(w.Since))
	}
	if n := v.Rejections - int64(len(v.Withheld)); n > 0 {
		c.printf("and %d more\n", n)
	}
}
