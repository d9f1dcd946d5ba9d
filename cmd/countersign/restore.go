package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"countersign/outbox/store"
	"countersign/relay"
	"countersign/relay/audit"
)

type restoreCommand struct {
	configFlag
	jsonFlag
	File string `arg:"" help:"A backup made by countersign backup." type:"path"`
	Yes  bool   `help:"Do not ask for confirmation."`
}

// restored is what restoring a backup comes to.
type restored struct {
	File   string       `json:"file"`
	Kept   string       `json:"kept,omitempty"` // the database that was there before, under its new name
	Report store.Report `json:"report"`
	relay.Standing
}

// Run puts a backup in the place of the database of a gateway that does not run.
func (cmd *restoreCommand) Run(c *console) error {
	if !cmd.Yes && !c.terminal {
		return usageError("restore asks before it does anything, and there is no terminal to ask on: add --yes")
	}
	cfg, err := whereabouts(c, cmd.Config) // its data directory is all that is needed: whoever restores need not have a secret
	if err != nil {
		return err
	}
	work := c.working("check " + cmd.File)
	rep, err := examineApart(c.ctx, cmd.File, "", work.examined)
	work.end()
	if err != nil {
		return err
	}
	if !rep.Sound() {
		return fmt.Errorf("%s is damaged itself: countersign check --file %s says what, and with --repair makes a file of what can be read", cmd.File, cmd.File)
	}
	v := restored{File: cmd.File, Report: rep}
	if v.Standing, err = standing(cmd.File); err != nil {
		return err
	}
	if !cmd.Yes {
		cmd.warn(c, &v)
		if !c.sure() {
			fmt.Fprintln(c.err, "nothing was done") //nolint:errcheck // a terminal that is gone is no error of ours
			return errNo
		}
	}
	c.orderly.Store(true)
	work = c.working("restore " + cmd.File)
	v.Kept, err = store.Restore(c.ctx, cmd.File, cfg.Data, func(tx *store.Tx) error { return errors.Join(relay.RaiseFloor(tx), noteRestore(tx, cmd.File)) })
	if work.end(); err != nil {
		return err
	}
	if cmd.JSON {
		return c.show(v)
	}
	if cmd.Yes {
		cmd.warn(c, &v)
	}
	if v.Kept != "" {
		c.printf("the database that was there is kept as %s\n", v.Kept)
	}
	if _, err := os.Stat(filepath.Join(cfg.Data, store.KeyFile)); errors.Is(err, os.ErrNotExist) {
		c.printf("there is no key file %s: put the one that belongs to the backup there, or what is sealed in it stays closed\n", filepath.Join(cfg.Data, store.KeyFile))
	}
	c.printf("restored: start the gateway\n")
	return nil
}

// noteRestore writes into the trail of the copy that it was put in place: heads that were noted
// after the backup are no part of its chain, and this says why.
func noteRestore(tx *store.Tx, file string) error {
	path := []rune(file)
	_, err := audit.Append(tx, &audit.Entry{
		Kind: audit.Done, At: time.Now().UTC().Truncate(time.Microsecond), Actor: "restore", Call: "restore", Path: string(path[max(0, len(path)-200):]),
	})
	return err
}

// warn says what the backup does not know, and what will be repeated.
func (cmd *restoreCommand) warn(c *console, v *restored) {
	out := &console{out: c.err}
	if v.Newest.IsZero() {
		out.printf("%s holds no record\n", cmd.File)
	} else {
		out.printf("%s knows what was accepted up to %s. What was accepted later is not in it: ask the providers for it again.\n", cmd.File, when(v.Newest))
	}
	out.printf("  %d record(s) will be applied again: partners receive their changes again, with the same ids\n", v.Unfolded)
	out.printf("  %d deliver(ies) were pending when it was made: those that have been accepted since are sent again, with the same ids\n", v.Owed)
	out.printf("  tokens revoked since then are valid again, and tokens created since then are not: see countersign token list\n")
	out.printf("  the next change of every person has a sequence above %d, so no sequence sent since is used for another change\n", v.Floor)
}

// standing reads where a database stands.
func standing(path string) (s relay.Standing, err error) {
	err = store.Look(path, func(tx *store.Tx) (err error) {
		s, err = relay.StandingOf(tx)
		return err
	})
	return s, err
}
