package console

import (
	"fmt"
	"strconv"
	"strings"

	"countersign/kyc"
	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

// rebuildStep makes the state of a damaged person again.
var rebuildStep = action{"/console/person/rebuild", api.Operator, false, rebuildOf, rebuild}

// rebuildAsk reads what is to hold from now on, where the history is not complete.
func (v *visit) rebuildAsk() api.RebuildAsk {
	ask := api.RebuildAsk{Reason: strings.TrimSpace(v.FormValue("reason")), Status: v.FormValue("status"), Check: v.FormValue("check")}
	if code := v.FormValue("code"); code != "" {
		ask.Reasons = []string{code}
	}
	return ask
}

// rebuildOf says what a rebuild comes to: of the history, or, where that is not complete, of a
// status that somebody chooses.
func rebuildOf(v *visit) (s step, err error) {
	partner, id := v.FormValue("partner"), v.FormValue("subject")
	s = step{
		Title: "Rebuild " + id, Back: to("/console/person", "partner", partner, "subject", id, "livemode", v.FormValue("livemode")),
		Hidden: []pair{{"partner", partner}, {"subject", id}, {"livemode", v.FormValue("livemode")}}, Facts: []fact{{"Person", id}, {"Partner", partner}},
	}
	ask := v.rebuildAsk()
	ask.DryRun, ask.Reason = true, "foreseen in the console"
	plan, err := v.api.Rebuild(v.Context(), partner, id, v.livemode(), ask)
	switch {
	case client.Is(err, "not_set_aside"):
		s.Effect = []string{"Nothing of this person is damaged any more. There is nothing to rebuild."}
		return s, nil
	case err != nil && statusOf(err) == 404, err != nil && !denied(err):
		return s, err
	}
	whole := err == nil && ask.Status == ""
	if whole {
		s.Effect = []string{"The state is made again from the history, which is complete: the same changes come out under the same numbers."}
	} else {
		s.Again = "Show the effect"
		s.Effect = []string{"The history is not complete, so nobody can work out where this person stands. Choose what holds from now on. Partners are told that, whatever they were told before."}
		s.Fields = rebuildFields(&ask)
	}
	if err != nil {
		if ask.Status != "" {
			s.Wrong = said(err)
		}
		return s, nil // what is missing, or wrong, is asked for on the page
	}
	s.Told, s.Button = []told{{"", plan.Before, plan.After, plan.Changes}}, "Rebuild"
	if n := plan.Waiting; n != nil && *n > 0 {
		s.Effect = append(s.Effect, records(*n)+" came in since the damage was found. They are applied too, in order.")
	}
	s.Fields = append(s.Fields, v.why(inHistory))
	return s, nil
}

func records(n int) string {
	if n == 1 {
		return "1 record"
	}
	return fmt.Sprintf("%d records", n)
}

// rebuildFields choose what holds.
func rebuildFields(ask *api.RebuildAsk) []field {
	status := field{Name: "status", Label: "Status from now on", Value: ask.Status}
	for _, s := range []kyc.Status{kyc.InReview, kyc.Approved, kyc.Rejected, kyc.Expired, kyc.Suspended} {
		status.Options = append(status.Options, pair{string(s), word(string(s))})
	}
	check := field{Name: "check", Label: "Check", Value: ask.Check}
	for _, c := range kyc.Checks {
		check.Options = append(check.Options, pair{string(c), word(string(c))})
	}
	code := field{Name: "code", Label: "Reason that partners are told", Help: "Of a review, a rejection or a suspension only.", Options: []pair{{"", "none"}}}
	if len(ask.Reasons) > 0 {
		code.Value = ask.Reasons[0]
	}
	for _, c := range reasonCodes() {
		code.Options = append(code.Options, pair{c, word(c)})
	}
	return []field{status, check, code}
}

func rebuild(v *visit) (answer, error) {
	if _, err := v.reasoned(); err != nil {
		return answer{}, err
	}
	r, err := v.api.Rebuild(v.Context(), v.FormValue("partner"), v.FormValue("subject"), v.livemode(), v.rebuildAsk())
	if err != nil {
		return answer{}, err
	}
	text := "The person is rebuilt: " + word(r.Before) + " → " + word(r.After) + "."
	if !r.Folded {
		text = "The rebuild is ordered. It is carried out in a moment: reload the page."
	} else if r.Before == r.After {
		text = "The person is rebuilt. The status is " + word(r.After) + "."
	}
	return v.done(text, to("/console/person", "partner", r.Partner, "subject", r.Subject, "livemode", strconv.FormatBool(r.Livemode)))
}
