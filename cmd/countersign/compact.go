package main

import (
	"fmt"
	"strings"
	"time"

	"countersign/outbox/store"
	"countersign/relay/control"
	"countersign/relay/control/api"
)

type compactCommand struct {
	gatewayFlags
	jsonFlag
	File   string `help:"Compact a database file that no gateway has open, in place of that of a running gateway." type:"path"`
	DryRun bool   `help:"Only print the file's size, how much of it is free, and the size after compaction."`
}

// compactLook is how often a compaction is asked how far it is.
const compactLook = 200 * time.Millisecond

// Run compacts the database of a running gateway, or a file.
func (cmd *compactCommand) Run(c *console) error {
	if cmd.File != "" {
		return cmd.file(c)
	}
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.Compact(c.ctx, cmd.DryRun)
	if err != nil {
		return err
	}
	for v.Running() {
		cmd.progress(c, v.State, v.DoneBytes, v.TotalBytes)
		select {
		case <-time.After(compactLook):
		case <-c.ctx.Done():
			cmd.progress(c, "", 0, 0)
			return fmt.Errorf("the gateway goes on with it: GET /v1/compact says how far it is: %w", c.ctx.Err())
		}
		if v, err = cl.Compaction(c.ctx); err != nil {
			return err
		}
	}
	cmd.progress(c, "", 0, 0)
	return cmd.tell(c, &v, "the database")
}

// file compacts a file that nobody has open. It is examined first: of a damaged one nothing may be
// lost.
func (cmd *compactCommand) file(c *console) error {
	rep, err := examineApart(c.ctx, cmd.File, "", nil)
	if err != nil {
		return err
	}
	if !rep.Sound() {
		return fmt.Errorf("%s is damaged, and was left as it is: countersign check --file %s says what; a start of the gateway puts damaged records aside, and then it can be compacted", cmd.File, cmd.File)
	}
	c.orderly.Store(true)
	done, err := store.CompactFile(c.ctx, cmd.File, cmd.DryRun, func(p store.Compaction) { cmd.progress(c, string(p.Phase), p.Done, p.Total) })
	cmd.progress(c, "", 0, 0)
	if err != nil {
		return err
	}
	v := control.ViewCompaction(&done)
	v.DryRun = cmd.DryRun
	return cmd.tell(c, v, cmd.File)
}

// progress shows one line, for people, that is written over itself; no state clears it.
func (cmd *compactCommand) progress(c *console, state string, done, total int64) {
	if !c.terminal {
		return
	}
	line := strings.Repeat(" ", 60)
	if state != "" {
		line = fmt.Sprintf("%-20s %3d %%", strings.ReplaceAll(escape(state, ""), "_", " "), min(done*100/max(total, 1), 100))
	}
	fmt.Fprintf(c.bar, "\r%s\r", line) //nolint:errcheck // a terminal that is gone is no error of ours
}

func (cmd *compactCommand) tell(c *console, v *api.Compaction, what string) error {
	if cmd.JSON {
		if err := c.show(v); err != nil {
			return err
		}
	}
	switch {
	case v.State == string(store.Idle) && !v.DryRun:
		return fmt.Errorf("%s: the gateway was restarted meanwhile, and the file is as it was", what)
	case v.State == string(store.Failed):
		if cmd.JSON {
			return errNo
		}
		return fmt.Errorf("%s: %s", what, v.Error)
	case cmd.JSON:
	case v.DryRun:
		c.printf("%s has %d bytes, of which %d are free pages; compacted it would have %d at most\n", what, v.FileBytes, v.FreeBytes, v.ExpectedBytes)
		if v.Refused != "" {
			c.printf("not now: %s\n", v.Refused)
			return errNo
		}
		c.printf("that needs %d bytes on the disk, and %d are free; nothing was changed\n", v.NeededBytes, v.DiskFreeBytes)
	default:
		c.printf("%s had %d bytes and has %d; the writer waited %.0f ms\n", what, v.BeforeBytes, v.AfterBytes, v.PauseMS)
	}
	if v.DryRun && v.Refused != "" {
		return errNo
	}
	return nil
}
