package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/relay/control/api"
)

type subjectShowCommand struct {
	gatewayFlags
	jsonFlag
	modeFlag
	pageFlags
	At      string `help:"Show what was known and told at this time, such as 2026-11-30T08:00:00Z, or at the end of a day, such as 2026-11-30."`
	Partner string `arg:"" help:"The partner's id."`
	ID      string `arg:"" help:"The subject's id, as the partner knows it."`
}

// modeFlag chooses between live and test subjects, which never share anything.
type modeFlag struct {
	Livemode *bool `help:"Whether the person is in live mode; default: the gateway's mode." negatable:""`
}

// Run prints where the subject stands, and its history.
func (cmd *subjectShowCommand) Run(c *console) error {
	then, err := instantOf(cmd.At)
	if err != nil {
		return err
	}
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	page := cmd.page()
	if cmd.All {
		page.Limit = 1000
	}
	var all api.Subject
	for first := true; ; first = false {
		v, err := cl.Subject(c.ctx, cmd.Partner, cmd.ID, cmd.Livemode, then, page)
		if err != nil {
			return err
		}
		if !cmd.JSON {
			if first {
				c.standing(&v)
			}
			c.history(&v)
		}
		v.Records, v.Changes, v.Deliveries = append(all.Records, v.Records...), append(all.Changes, v.Changes...), append(all.Deliveries, v.Deliveries...)
		if all, page.Cursor = v, v.Next; !cmd.All || v.Next == "" {
			break
		}
		if !cmd.JSON {
			all.Records, all.Changes, all.Deliveries = nil, nil, nil
		}
	}
	if cmd.JSON {
		return c.show(all)
	}
	c.more(all.Next)
	return nil
}

// instantOf reads an instant, or the end of a day.
func instantOf(text string) (at time.Time, err error) {
	if text == "" {
		return at, nil
	}
	if at, err = time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if at, err = time.Parse(time.DateOnly, text); err == nil {
		return at.Add(24*time.Hour - time.Microsecond), nil
	}
	return at, usageError("--at takes an instant such as 2026-11-30T08:00:00Z, or a day such as 2026-11-30")
}

// standing prints where a subject stands, why, and what is owed of it.
func (c *console) standing(v *api.Subject) {
	if v.SetAside {
		c.printf("%s/%s  has a damaged record: its status is unknown, and no new changes are sent (countersign subject rebuild)\n", v.Partner, v.ID)
	} else {
		c.printf("%s/%s  %s\n", v.Partner, v.ID, cmp.Or(v.Status.Status, "unknown"))
	}
	if a := v.At; a != nil {
		c.printf("as of %s, %s\n", a.At.Format(time.RFC3339Nano), knownBy(a))
		if len(a.Unproved) > 0 {
			c.printf("decided, and perhaps not yet on stable storage then: %s\n", sequences(a.Unproved))
		}
	}
	if len(v.Checks) > 0 {
		c.printf("\nchecks\n")
	}
	for _, ch := range v.Checks {
		c.printf("  %-22s %-10s %-10s %s\n", ch.Type, ch.Source, ch.Status, reasons(ch.Reasons))
	}
	c.why(v.Why)
	if len(v.Endpoints) > 0 {
		c.printf("\nlast sequence sent to each endpoint\n")
	}
	for i := range v.Endpoints {
		c.told(&v.Endpoints[i])
	}
	c.printf("\ntimeline, newest first\n")
}

// knownBy says how it is known where somebody stood.
func knownBy(a *api.At) string {
	switch a.By {
	case "evaluation":
		return "from everything that had been processed by then"
	case "change":
		return "from the status changes that are kept (everything since " + a.KnownFrom.Format(time.RFC3339) + "); the state of the checks is not known"
	default:
		return "of which nothing is kept any more (everything since " + a.KnownFrom.Format(time.RFC3339) + " is)"
	}
}

// told prints how far one endpoint has been told, what it is owed, and what is dead.
func (c *console) told(t *api.Told) {
	state := ""
	switch {
	case t.Orphaned:
		state = ", not in the config any more"
	case t.Disabled != "":
		state = ", disabled: " + t.Disabled
	case t.Paused != nil:
		state = ", paused by " + t.Paused.By
	case t.Breaker == "open":
		state = ", it does not answer"
	}
	upTo := "nothing yet"
	if t.Accepted > 0 {
		upTo = fmt.Sprintf("#%d, at %s", t.Accepted, t.AcceptedAt.Format(time.RFC3339))
	}
	c.printf("  %-16s %s%s\n", t.Endpoint, upTo, state)
	for i := range t.Owed {
		o := &t.Owed[i]
		c.printf("    #%-3d %-13s %s  %-24s %s  %s\n", o.Sequence, "pending", since(o.OwedAt), o.Type, waits(o), o.ID)
	}
	for _, d := range t.Dead {
		c.printf("    #%-3d %-13s %s  %-24s %s  %s\n", d.Sequence, "dead-lettered", d.At.Format(time.RFC3339), d.Type, d.Reason, d.ID)
	}
	if t.More {
		c.printf("    and more\n")
	}
}

func since(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return at.Format(time.RFC3339)
}

// waits says what a delivery waits for.
func waits(o *api.Owed) (s string) {
	switch o.WaitsFor {
	case "try":
		s = "pending"
		if !o.NextTry.IsZero() {
			s = "next try " + o.NextTry.Format(time.RFC3339)
		}
	case "turn":
		s = "due"
	case "answer":
		s = "being tried"
	case "behind":
		s = fmt.Sprintf("behind #%d", o.Behind)
	case api.WaitsForBreaker:
		s = "until its endpoint answers"
	case "paused", "disabled":
		s = "until its endpoint is resumed"
	default:
		s = "its endpoint is not in the config"
	}
	if o.Failures > 0 {
		s += fmt.Sprintf(" (%d failed)", o.Failures)
	}
	return s
}

// history prints a page of it: each record with what it changed, and each end of a delivery.
func (c *console) history(v *api.Subject) {
	changes := map[uint64]*api.Change{}
	for i := range v.Changes {
		changes[v.Changes[i].Sequence] = &v.Changes[i]
	}
	records, ends := v.Records, v.Deliveries
	for len(records)+len(ends) > 0 {
		if len(records) == 0 || len(ends) > 0 && ends[0].At.After(records[0].At) {
			c.end(&ends[0])
			ends = ends[1:]
			continue
		}
		c.record(&records[0])
		for _, n := range slices.Backward(records[0].Changes) {
			if ch := changes[n]; ch != nil {
				c.printf("    #%-3d %s  %-26s %s -> %s %s\n", ch.Sequence, ch.ID, ch.Type, ch.PreviousStatus, ch.Status, reasons(ch.Reasons))
			}
		}
		records = records[1:]
	}
}

// record prints who told us what, and what we made of it.
func (c *console) record(r *api.Record) {
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

// end prints how a delivery ended.
func (c *console) end(d *api.Outcome) {
	anew := ""
	if d.Anew {
		anew = ", rendered again in " + d.Format
	}
	if d.Replayed {
		anew += ", replayed"
	}
	c.printf("  %s  %-10s #%-3d %-5s %s after %d attempt(s)%s\n", d.At.Format(time.RFC3339), d.Endpoint, d.Sequence, d.Outcome, d.Reason, d.Attempts, anew)
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
		return " (happened " + when(u.OccurredAt) + ", before an operator's approval)"
	case v == kyc.Overruled:
		return " (an operator's approval answers it)"
	case v != kyc.Stale && v != kyc.Superseded || u.OccurredAt.IsZero():
		return ""
	}
	return " (happened " + when(u.OccurredAt) + ")"
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
