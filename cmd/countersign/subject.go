package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/relay/control/api"
)

type subjectShowCommand struct {
	configFlag
	jsonFlag
	modeFlag
	Partner string `arg:"" help:"The partner's id."`
	ID      string `arg:"" help:"The subject's id, as the partner knows it."`
}

// modeFlag chooses between live and test subjects, which never share anything.
type modeFlag struct {
	Livemode *bool `help:"Whether the subject is a live one; without it, as the gateway's mode." negatable:""`
}

// Run prints the subject's history.
func (cmd *subjectShowCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.Subject(c.ctx, cmd.Partner, cmd.ID, cmd.Livemode)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return c.show(v)
	}
	c.subject(v)
	return nil
}

func (c *console) subject(v api.Subject) {
	if v.SetAside {
		c.printf("%s/%s  is set aside: a record of it is damaged, so nobody knows where it stands, and nothing new is told of it (countersign subject rebuild)\n", v.Partner, v.ID)
	} else {
		c.printf("%s/%s  %s\n", v.Partner, v.ID, v.Status.Status)
	}
	c.printf("\nwhat each check says\n")
	for _, ch := range v.Checks {
		c.printf("  %-22s %-10s %-10s %s\n", ch.Type, ch.Source, ch.Status, reasons(ch.Reasons))
	}
	c.why(v.Why)
	c.printf("\nwho told us what, and what we made of it\n")
	for _, r := range v.Records {
		u := r.Update
		said := u.Status
		if u.ClaimedStatus != "" {
			said += " (claimed " + u.ClaimedStatus + ")"
		}
		verdict := r.Verdict
		if r.TakenBack != "" {
			verdict = "taken_back"
		}
		c.printf("  %s  %-10s %-24s %-20s %-10s %s\n", r.At.Format(time.RFC3339), u.Source, cmp.Or(u.ProviderEvent.Type, recordName(&u)), said, verdict,
			strings.TrimSpace(sequences(r.Changes)+ordered(&u)+happened(&u, r.Verdict)))
	}
	c.printf("\nwhat changed\n")
	for _, ch := range v.Changes {
		c.printf("  #%-3d %s  %-26s %s -> %s %s\n", ch.Sequence, ch.ID, ch.Type, ch.PreviousStatus, ch.Status, reasons(ch.Reasons))
	}
	c.printf("\nwhom we told\n")
	for _, d := range v.Deliveries {
		anew := ""
		if d.Anew {
			anew = ", rendered anew in " + d.Format
		}
		c.printf("  #%-3d %s  %-16s %-5s %s after %d attempt(s)%s\n", d.Sequence, d.At.Format(time.RFC3339), d.Endpoint, d.Outcome, d.Reason, d.Attempts, anew)
	}
	if v.Truncated {
		c.printf("\nthere is more than is shown here\n")
	}
}

// recordName says what a record is that no provider has named.
func recordName(u *api.Update) string {
	switch {
	case u.Kind == string(kyc.Decision) && u.Rebuild != "":
		return "decision: rebuild"
	case u.Kind == string(kyc.Decision) && u.TakenBack != "":
		return "decision: take back"
	case u.Kind == string(kyc.Decision) && u.Release:
		return "decision: release"
	case u.Kind == string(kyc.Submission) && u.Release:
		return "submission: settled"
	case u.Kind == string(kyc.Timer) && u.Expiring:
		return "timer: notice"
	case u.Kind == string(kyc.Timer):
		return "timer: " + u.ExpiryKind
	case u.Kind == string(kyc.PolicyChange):
		return fmt.Sprintf("policy: version %d", u.PolicyVersion)
	default:
		return u.Kind
	}
}

// ordered says who wanted it, and why.
func ordered(u *api.Update) (s string) {
	if u.Actor != "" {
		s = " by " + u.Actor
	}
	if u.Note != "" {
		s += fmt.Sprintf(": %q", u.Note)
	}
	return s
}

// happened says when an event took place that came too late to count, or out of its order.
func happened(u *api.Update, v string) string {
	switch v := kyc.Verdict(v); {
	case v == kyc.Overruled && !u.OccurredAt.IsZero():
		return " (happened " + u.OccurredAt.Format(time.RFC3339) + ", before an operator's approval)"
	case v == kyc.Overruled:
		return " (an operator's approval answers it)"
	case v != kyc.Stale && v != kyc.Superseded || u.OccurredAt.IsZero():
		return ""
	}
	return " (happened " + u.OccurredAt.Format(time.RFC3339) + ")"
}

func sequences(ns []uint64) string {
	var b strings.Builder
	for _, n := range ns {
		fmt.Fprintf(&b, "#%d ", n)
	}
	return strings.TrimSpace(b.String())
}

func reasons(rs []api.Reason) string {
	var b strings.Builder
	for _, r := range rs {
		fmt.Fprintf(&b, "%s(%s) ", r.Code, r.ProviderCode)
	}
	return strings.TrimSpace(b.String())
}
