package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"countersign/kyc"
	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

// target is a check that an operator may decide about.
type target struct {
	Value string // as a form has it
	Text  string
}

// what is a decision that may be taken.
type what struct {
	Value, Button, Title, Do string // Title goes before the person's id; Do stands on the button that does it
}

var whats = []what{
	{"approved", "Approve…", "Approve", "Approve"},
	{"in_review", "Put in review…", "Put in review", "Put in review"},
	{"rejected", "Reject…", "Reject", "Reject"},
	{"suspended", "Suspend…", "Suspend", "Suspend"},
	{"release", "Release findings…", "Release the findings of", "Release the findings"},
}

// targets are the checks of a person, the one that decides first, and decisions of no source.
func targets(s *api.Subject) (list []target) {
	checks := slices.Clone(s.Checks)
	slices.SortStableFunc(checks, func(a, b api.CheckState) int {
		return rank(&b, s) - rank(&a, s)
	})
	for i := range checks {
		c := &checks[i]
		t := target{Value: query("source", c.Source, "check", c.Type, "scope", c.Scope, "document", c.DocumentType), Text: word(c.Type) + " of " + c.Source}
		if c.Source == "" {
			t = target{Value: query("manual", "true", "check", c.Type, "scope", c.Scope, "document", c.DocumentType), Text: word(c.Type) + ", by hand"}
		}
		if c.Scope != "" && c.Scope != "overall" {
			t.Text += ", " + strings.TrimSpace(word(c.Scope)+" "+c.DocumentType)
		}
		list = append(list, t)
	}
	for _, check := range kyc.Checks {
		c := string(check)
		t := target{Value: query("manual", "true", "check", c, "scope", "overall"), Text: word(c) + ", by hand"}
		if !slices.Contains(list, t) {
			list = append(list, t)
		}
	}
	return list
}

// rank is how much a check has to do with where a person stands.
func rank(c *api.CheckState, s *api.Subject) int {
	switch {
	case len(c.HeldBy) > 0:
		return 2
	case c.Source == s.Status.Check.Source && c.Type == s.Status.Check.Type:
		return 1
	default:
		return 0
	}
}

// decideView is a decision before it is taken: what would come of it.
type decideView struct {
	Partner, ID string
	Livemode    string
	Target      string
	Check       string // in words
	What        what
	Reason      string
	Reasons     []string
	Retryable   bool
	Takes       bool // a reason, and whether another try may help
	Foreseen    *api.Decision
	Told        told
	Note, Key   string
	Wrong       string
	Back        string
}

// reasonCodes are the codes that a decision may give, the gravest first.
func reasonCodes() (codes []string) {
	for _, r := range kyc.Priority {
		codes = append(codes, string(r))
	}
	return codes
}

// asked reads which decision it is about.
func asked(v *visit) (view decideView, ask api.DecisionAsk, ok bool) {
	view = decideView{
		Partner: v.FormValue("partner"), ID: v.FormValue("subject"), Livemode: v.FormValue("livemode"), Target: v.FormValue("target"), Reason: v.FormValue("reason"), Reasons: reasonCodes(),
		Retryable: v.FormValue("retryable") == "true", Note: strings.TrimSpace(v.FormValue("note")),
	}
	q, err := url.ParseQuery(view.Target)
	i := slices.IndexFunc(whats, func(w what) bool { return w.Value == v.FormValue("what") })
	if err != nil || i < 0 || q.Get("check") == "" {
		return view, ask, false
	}
	view.What, view.Takes = whats[i], slices.Contains([]string{"in_review", "rejected", "suspended"}, whats[i].Value)
	view.Check = word(q.Get("check"))
	if s := q.Get("source"); s != "" {
		view.Check += " of " + s
	}
	view.Back = "/console/person?" + query("partner", view.Partner, "subject", view.ID, "livemode", view.Livemode)
	ask = api.DecisionAsk{Source: q.Get("source"), Manual: q.Get("manual") == "true", Check: q.Get("check"), Scope: q.Get("scope"), DocumentType: q.Get("document"), Retryable: view.Takes && view.Retryable}
	if ask.Release = view.What.Value == "release"; !ask.Release {
		ask.Status = view.What.Value
	}
	if view.Takes && view.Reason != "" {
		ask.Reasons = []string{view.Reason}
	}
	return view, ask, true
}

// foresee shows what would come of a decision, and asks whether to take it.
func foresee(v *visit) (answer, error) {
	view, ask, ok := asked(v)
	if !ok {
		return answer{}, errForm
	}
	var err error
	if view.Key, err = v.newKey(); err != nil {
		return answer{}, err
	}
	return v.foreseen(view, ask, nil)
}

// foreseen is the page with the effect. refused is why the decision was not taken; nil: nobody has
// tried.
func (v *visit) foreseen(view decideView, ask api.DecisionAsk, refused error) (answer, error) {
	ask.DryRun = true
	if ask.Reason == "" {
		ask.Reason = "foreseen in the console"
	}
	d, err := v.api.Decide(v.Context(), view.Partner, view.ID, v.livemode(), "", ask)
	if err == nil {
		view.Foreseen, view.Told = &d, told{"", d.Before, d.After, d.Changes}
	} else if status := statusOf(err); status == http.StatusUnauthorized || status == http.StatusNotFound || status >= http.StatusInternalServerError {
		return answer{}, err
	}
	if refused == nil {
		refused = err
	}
	title := view.What.Title + " " + view.ID
	if refused == nil {
		return show("decide", title, view)
	}
	view.Wrong = said(refused)
	return showRefused(refused, "decide", title, view)
}

// decide takes a decision that was shown before. Under its key it is taken once.
func decide(v *visit) (answer, error) {
	view, ask, ok := asked(v)
	if !ok {
		return answer{}, errForm
	}
	view.Key, ask.Reason = v.FormValue("key"), view.Note
	d, err := v.api.Decide(v.Context(), view.Partner, view.ID, v.livemode(), view.Key, ask)
	if err != nil {
		if statusOf(err) == http.StatusUnauthorized {
			return answer{}, err
		}
		if client.Is(err, "idempotency_key_used") { // the form was changed after it was sent
			var kerr error
			if view.Key, kerr = v.newKey(); kerr != nil {
				return answer{}, kerr
			}
		}
		return v.foreseen(view, ask, err)
	}
	return v.done(decided(&d), view.Back)
}

// decided says what came of a decision.
func decided(d *api.Decision) string {
	switch {
	case !d.Folded:
		return "The decision is kept. It counts in a moment: reload the page."
	case d.Released != nil && !*d.Released:
		return "There was nothing to release: no finding of this check stands."
	case d.Before == d.After:
		return "The decision is taken. The status stays " + word(d.After) + "."
	default:
		return "The decision is taken: " + word(d.Before) + " → " + word(d.After) + "."
	}
}
