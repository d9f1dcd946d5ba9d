package main

import (
	"fmt"
	"strconv"
	"time"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

type questionsCommand struct {
	List    questionsListCommand    `cmd:"" default:"withargs" help:"List open questions to providers."`
	Discard questionsDiscardCommand `cmd:"" help:"Close a question that nobody will answer, or all old ones of a source; the unconfirmed claim stays as it is."`
}

type questionsDiscardCommand struct {
	gatewayFlags
	jsonFlag
	ID     string        `arg:"" optional:"" help:"The question's id, as countersign questions prints it."`
	Source string        `help:"Instead of an id: close the questions of this source that unsigned callbacks raised."`
	Older  time.Duration `help:"With --source: only questions older than this, such as 1h."`
	All    bool          `help:"With --source: also questions raised by signed callbacks."`
	Yes    bool          `help:"With --source: do not ask for confirmation." xor:"sure"`
	DryRun bool          `help:"With --source: show how many there are, and change nothing." xor:"sure"`
}

// Run closes a question, or many, of which it says how many there are before somebody says yes.
func (cmd *questionsDiscardCommand) Run(c *console) error {
	many := cmd.Source != ""
	switch {
	case many == (cmd.ID != ""):
		return usageError("questions discard needs the id of one question, or --source with --older for all old ones of a source")
	case many && cmd.Older <= 0:
		return usageError("questions discard --source needs --older, such as --older 1h")
	case !many && (cmd.Older != 0 || cmd.All || cmd.Yes || cmd.DryRun):
		return usageError("--older, --all, --yes and --dry-run go with --source")
	case many && !cmd.Yes && !cmd.DryRun && !c.terminal:
		return usageError("questions discard --source asks before it does anything, and there is no terminal to ask on: add --yes, or --dry-run to see how many there are")
	}
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	if many {
		return cmd.old(c, cl)
	}
	v, err := cl.DiscardQuestion(c.ctx, cmd.ID)
	if err != nil {
		return err
	}
	return cmd.say(c, v, "%s is closed; what was claimed stays as it is\n", cmd.ID)
}

// old closes all that are open for longer.
func (cmd *questionsDiscardCommand) old(c *console, cl *client.Client) error {
	ask := api.OldAsk{Source: cmd.Source, Older: cmd.Older.String(), All: cmd.All}
	if !cmd.Yes {
		v, err := cl.CountOldQuestions(c.ctx, ask)
		if err != nil {
			return err
		}
		many := strconv.Itoa(v.Count)
		if v.More {
			many += " or more"
		}
		fmt.Fprintf(c.err, "%s question(s) of %s are open for longer than %s\n", many, cmd.Source, cmd.Older) //nolint:errcheck // a terminal that is gone is no error of ours
		if cmd.DryRun {
			return cmd.say(c, v, "nothing was done\n")
		}
		if v.Count == 0 || !c.sure() {
			fmt.Fprintln(c.err, "nothing was done") //nolint:errcheck // the same
			return errNo
		}
	}
	v, err := cl.DiscardOldQuestions(c.ctx, ask)
	if err != nil {
		return err
	}
	return cmd.say(c, v, "%d question(s) of %s are closed; what was claimed stays as it is\n", v.Count, cmd.Source)
}

type questionsListCommand struct {
	gatewayFlags
	jsonFlag
	pageFlags
}

// Run lists what providers have still to be asked.
func (cmd *questionsListCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	t := &table{head: []string{"ID", "SINCE", "TRIES", "NEXT", "ERROR"}}
	return lists(c, cmd.jsonFlag, cmd.pageFlags, cl.ListQuestions, t, func(t *table, q *api.Question) {
		t.add(q.ID, when(q.Since), strconv.Itoa(q.Tries), when(q.Due), q.Error)
	})
}
