package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"countersign/outbox/store"
	"countersign/relay/audit"
	"countersign/relay/control"
	"countersign/relay/control/api"
)

type auditVerifyCommand struct {
	gatewayFlags
	jsonFlag
	File string `help:"Verify the trail in this database file, data directory or backup (no gateway has it open) instead of a running gateway's." type:"path"`
	Head string `help:"A head that you noted earlier, as NUMBER:HASH: verify that it is still part of the chain."`
}

// Run verifies the chain. It fails (exit 1) where anything is not as it was written, or the head is
// no part of it.
func (cmd *auditVerifyCommand) Run(c *console) error {
	var noted *audit.Head
	if cmd.Head != "" {
		h, err := audit.ParseHead(cmd.Head)
		if err != nil {
			return usageError("--head: " + err.Error())
		}
		noted = &h
	}
	var v api.AuditVerification
	var err error
	if cmd.File != "" {
		v, err = cmd.ofFile(c, noted)
	} else {
		v, err = cmd.ofGateway(c)
	}
	if err != nil {
		return err
	}
	v.OK = v.OK && (cmd.Head == "" || v.Noted == "proved")
	if cmd.JSON {
		err = c.show(v)
	} else {
		cmd.tell(c, &v)
	}
	if err == nil && !v.OK {
		err = errNo
	}
	return err
}

// ofFile verifies the trail in a file, which is examined first: what cannot be read by its pages is
// no question of who changed it.
func (cmd *auditVerifyCommand) ofFile(c *console, noted *audit.Head) (v api.AuditVerification, err error) {
	path := cmd.File
	if fi, err := os.Stat(path); err == nil && fi.IsDir() {
		path = store.Files(path)[0]
	}
	switch _, err = examineApart(c.ctx, path, "", nil); {
	case errors.Is(err, store.ErrLocked):
		return v, fmt.Errorf("%w: a gateway is running upon it: verify without --file asks it, or make a copy with countersign backup", err)
	case err != nil:
		return v, err
	}
	return control.VerifyFile(path, noted)
}

// ofGateway has a running gateway verify its own, step by step.
func (cmd *auditVerifyCommand) ofGateway(c *console) (all api.AuditVerification, err error) {
	cl, err := cmd.client(c)
	if err != nil {
		return all, err
	}
	for cursor, ok, first := "", true, true; ; first = false {
		v, err := cl.VerifyAudit(c.ctx, cursor, cmd.Head)
		if err != nil {
			return all, err
		}
		ok = ok && v.OK
		looked := v.Entries
		v.Entries, v.Reduced, v.Damaged, v.Faults, v.Found = all.Entries+v.Entries, all.Reduced+v.Reduced, all.Damaged+v.Damaged, all.Faults+v.Faults, append(all.Found, v.Found...)
		if !first {
			v.First = all.First
		}
		if v.Noted == "" {
			v.Noted = all.Noted
		}
		v.OK = ok
		if all = v; !v.HasMore || v.Next == "" || looked == 0 {
			return all, nil
		}
		if cursor = v.Next; c.terminal {
			fmt.Fprintf(c.bar, "\r%d entries", v.Entries) //nolint:errcheck // a terminal that is gone is no error of ours
		}
	}
}

func (cmd *auditVerifyCommand) tell(c *console, v *api.AuditVerification) {
	if c.terminal {
		fmt.Fprintf(c.bar, "\r%32s\r", "") //nolint:errcheck // as above
	}
	for _, f := range v.Found {
		c.printf("%s: %s\n", f.Fault, f.Text)
	}
	if int64(len(v.Found)) < v.Faults {
		c.printf("and %d more\n", v.Faults-int64(len(v.Found)))
	}
	if v.Left != nil {
		c.printf("up to entry %d of %s all have had their time, and left at %s\n", v.Left.Number, v.Left.At.Format(time.RFC3339), v.Left.LeftAt.Format(time.RFC3339))
	}
	if v.Entries == 0 {
		c.printf("the trail is empty\n")
	} else {
		c.printf("%d entries, from %d of %s on; of %d only the hash is kept, %d are damaged\n", v.Entries, v.First.Number, v.First.At.Format(time.RFC3339), v.Reduced, v.Damaged)
	}
	switch v.Noted {
	case "proved":
		c.printf("%s is a part of this chain\n", cmd.Head)
	case "not_in_it":
		c.printf("%s is NOT part of this chain: the chain was cut off or rewritten since, or a backup was restored\n", cmd.Head)
	case "too_early":
		c.printf("%s has had its time and left: nothing can be said; note a newer head\n", cmd.Head)
	default:
		if cmd.Head != "" {
			c.printf("%s was not met: its entry is not there\n", cmd.Head)
		}
	}
	if v.OK {
		c.printf("verified: nothing was changed, removed, inserted or moved\n")
	}
	c.printf("head: %s\n", v.Head.Head)
}
