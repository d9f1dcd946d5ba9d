package main

import (
	"cmp"

	"countersign/relay/control/api"
)

// why prints what a status stands on: each finding and approval that still matters, the deciding
// one first, and what became or would become of it.
func (c *console) why(standing []api.Standing) {
	if len(standing) == 0 {
		return
	}
	c.printf("\nwhy this status\n")
	for i := range standing {
		s := &standing[i]
		mark := "-"
		switch {
		case s.Decides:
			mark = "*"
		case s.Stands:
			mark = "+"
		}
		said := s.Status
		if s.Terminal {
			said += " terminal"
		}
		if s.NeedsConfirmation {
			said += " (claimed, not proved)"
		}
		who := cmp.Or(s.Source, "-")
		if s.Operator {
			who = "operator about " + who
		}
		until := ""
		if !s.ExpiresAt.IsZero() {
			until = " until " + when(s.ExpiresAt)
		}
		c.printf("  %s %-22s %s: %s%s %sof %s (%s)\n      %s%s\n", mark, s.Check, who, said, until, spaced(reasons(s.Reasons)), when(s.At), cmp.Or(s.ID, "no record"), s.Because, by(s.By))
	}
}

func spaced(text string) string {
	if text == "" {
		return ""
	}
	return text + " "
}

func by(id string) string {
	if id == "" {
		return ""
	}
	return " (" + id + ")"
}
