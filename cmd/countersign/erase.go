package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"countersign/relay/control/api"
)

type subjectEraseCommand struct {
	gatewayFlags
	jsonFlag
	modeFlag
	Because string        `required:"" help:"The reason, without naming the person; recorded in the audit trail."`
	Yes     bool          `help:"Do not ask for confirmation." xor:"sure"`
	DryRun  bool          `help:"Show what would be deleted, and delete nothing." xor:"sure"`
	Wait    time.Duration `help:"How long to wait for the file to be compacted." default:"1m"`
	Partner string        `arg:"" help:"The partner's id."`
	ID      string        `arg:"" help:"The subject's id, as the partner knows it."`
}

// Run erases somebody, after it has said what would go and somebody has said yes.
func (cmd *subjectEraseCommand) Run(c *console) error {
	if !cmd.Yes && !cmd.DryRun && !c.terminal {
		return usageError("subject erase asks before it does anything, and there is no terminal to ask on: add --yes, or --dry-run to see what would go")
	}
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	if !cmd.Yes {
		v, err := cl.EraseSubject(c.ctx, cmd.Partner, cmd.ID, cmd.Livemode, api.EraseAsk{Because: cmd.Because, DryRun: true})
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
		say.printf("would be erased permanently: %s\n", recordsOf(v.Records))
		if cmd.DryRun {
			return nil
		}
		if !c.sure() {
			fmt.Fprintln(c.err, "nothing was done") //nolint:errcheck // a terminal that is gone is no error of ours
			return errNo
		}
	}
	v, err := cl.EraseSubject(c.ctx, cmd.Partner, cmd.ID, cmd.Livemode, api.EraseAsk{Because: cmd.Because})
	if err != nil {
		return err
	}
	for until := time.Now().Add(cmd.Wait); v.File == "waiting" && time.Now().Before(until); {
		select {
		case <-time.After(compactLook):
		case <-c.ctx.Done():
			return fmt.Errorf("they are erased, and the gateway goes on with the file: %w", c.ctx.Err())
		}
		now, err := cl.Erasure(c.ctx, cmd.Partner, cmd.ID, cmd.Livemode)
		if err != nil {
			return err
		}
		v.File, v.ScrubbedAt = now.File, now.ScrubbedAt
	}
	if cmd.JSON {
		return c.show(v)
	}
	cmd.tell(c, &v)
	return nil
}

// tell says what was erased, and what is left to do.
func (cmd *subjectEraseCommand) tell(c *console, v *api.Erasure) {
	if v.Repeated {
		c.printf("%s was erased at %s; nothing is left\n", v.Digest, v.ErasedAt.Format(time.RFC3339))
	} else {
		c.printf("erased: %s, all that is left is %s\n", recordsOf(v.Records), v.Digest)
	}
	if v.File == "scrubbed" {
		c.printf("the file contains nothing of it any more, and neither do new backups\n")
	} else {
		c.printf("the file still has to be compacted: countersign compact shows the state\n")
	}
	for _, path := range v.Copies {
		c.printf("%s is as it was: destroy it, or keep it where nobody restores it\n", path)
	}
}

// recordsOf lists records by bucket.
func recordsOf(counts map[string]int) string {
	var each []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[name]; n > 0 {
			each = append(each, fmt.Sprintf("%d %s", n, name))
		}
	}
	return cmp.Or(strings.Join(each, ", "), "nothing")
}
