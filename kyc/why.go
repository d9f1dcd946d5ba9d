package kyc

import (
	"cmp"
	"slices"
	"time"
)

// Standing is one word that still matters for a subject: a finding, or an approval, with what
// became of it. Together they say why a status stands and what would change it.
type Standing struct {
	Kind              string       `json:"kind"`         // finding | approval
	ID                string       `json:"id,omitempty"` // of the record
	Source            string       `json:"source"`
	Check             Check        `json:"check"`
	Scope             Scope        `json:"scope"`
	DocumentType      string       `json:"document_type,omitempty"`
	Status            Status       `json:"status"` // of a claim what is claimed
	Terminal          bool         `json:"terminal"`
	NeedsConfirmation bool         `json:"needs_confirmation"`
	Operator          bool         `json:"operator"` // an operator's own word
	Reasons           []ReasonPair `json:"reasons,omitempty"`
	At                time.Time    `json:"at"` // when it happened, else when it was received
	ExpiresAt         time.Time    `json:"expires_at,omitzero"`
	Stands            bool         `json:"in_effect"`    // a finding: nothing has answered it; an approval: it counts
	Decides           bool         `json:"decides"`      // the status stands on it
	By                string       `json:"by,omitempty"` // id of the record that answered, superseded, reset or ended it
	Because           string       `json:"because"`      // a sentence: what would answer it; else what became of it
}

// The kinds of Standing.
const (
	Finding  = "finding"
	Approval = "approval"
)

// Why lists every finding and approval that is kept of the subject, as they stand at the newest
// record: what stands first, then the newest first. Findings that an operator or an answer of the
// provider's has ended for good are no longer kept; the history has them.
func (s *State) Why(p Policy) []Standing {
	v := s.at(p, s.last)
	f := v.subject()
	var out []Standing
	for i := range s.checks {
		of := checkSet(1) << i
		if c := &s.checks[i]; c.overall() {
			if v.firstOverall(c.typ) != i {
				continue // weighed with the first of its type
			}
			of, _ = v.of(c.typ, true)
		}
		out = append(out, v.why(of, &f)...)
	}
	if s.beyond > 0 {
		out = append(out, Standing{
			Kind: Finding, Source: Manual, Status: InReview, At: s.last.time(), Stands: true, Decides: f.by == nil || f.by.rank < rankInReview,
			Because: "more checks are known than are kept: answered by an operator's manual release",
		})
	}
	slices.SortStableFunc(out, func(a, b Standing) int {
		return cmp.Or(-compareBool(a.Decides, b.Decides), -compareBool(a.Stands, b.Stands), b.At.Compare(a.At))
	})
	return out
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

// why lists the words of one scope.
func (v *view) why(of checkSet, f *folding) (out []Standing) {
	sc := v.scope(of)
	open, _ := sc.weigh()
	for _, w := range sc.words {
		if w.class == none && !w.approval() && !w.claimsYes() {
			continue
		}
		t := v.standing(w)
		switch t.Decides = f.by != nil && f.by.by == w; {
		case w.approval():
			sc.whyApproval(w, &t)
		case w.claimsYes():
			t.Stands, t.Because = true, "counts when the provider has answered our question, or an operator decides"
		default:
			sc.whyFinding(w, &t, open)
		}
		out = append(out, t)
	}
	return out
}

func (v *view) standing(w *word) Standing {
	c := &v.checks[w.check]
	t := Standing{
		Kind: Finding, ID: w.id.text(), Source: v.sources[c.source].name, Check: c.typ, Scope: c.scope, DocumentType: c.part, Status: w.rank.status(), Terminal: w.rank == rankTerminal || w.class == hit,
		NeedsConfirmation: w.weak, Operator: w.operator, Reasons: slices.Clone(w.reasons), At: w.when().time(),
	}
	if w.approval() {
		t.Kind = Approval
	}
	return t
}

// whyFinding says what would answer a finding, or what has.
func (sc *scope) whyFinding(w *word, t *Standing, open []*word) {
	if t.Stands = slices.Contains(open, w); t.Stands {
		t.Because = sc.remedy(w)
		return
	}
	for _, a := range sc.approvals {
		if sc.answers(a, w) {
			t.By, t.Because = a.id.text(), "answered by a newer approval"+sc.from(a)
			return
		}
	}
	switch {
	case sc.ended(w):
		t.Because = "ended by " + t.Source + " itself"
	default:
		t.Because = "moot: the try that followed it was approved"
	}
}

func (sc *scope) from(a *word) string {
	if a.operator {
		return " of an operator"
	}
	return " of " + sc.sources[a.source].name
}

// remedy is what answers an open finding.
func (sc *scope) remedy(w *word) string {
	source := sc.sources[w.source].name
	switch {
	case w.class == claim && w.serious():
		return "answered by the provider's answer to our question, by a newer approval of " + source + ", or by an operator"
	case w.class == claim:
		return "answered by the provider's answer to our question, by a newer approval, or by an operator"
	case w.class == soft:
		return "answered by the next approval, wherever given, or by an operator"
	case w.class == grave:
		return "answered by an approval of " + source + " in the same run or in one begun since, or by an operator"
	case w.class == final && w.serious():
		return "answered by an approval of " + source + " after a reset or in a run begun since, or by an operator"
	case w.class == final:
		return "answered by a later approval, or by an operator"
	case w.class == ban:
		return "answered by an approval in the same run, by the word of " + source + " that it is over, or by an operator"
	case w.class == hit:
		return "answered by an operator only"
	default:
		return "an operator's own word: answered by an operator only"
	}
}

// whyApproval says whether an approval counts and until when, or what took it away.
func (sc *scope) whyApproval(w *word, t *Standing) {
	p := sc.lasts(w)
	t.ExpiresAt = p.until.time()
	if f := sc.supersedes(w); f != nil {
		t.By, t.Because = f.id.text(), "superseded by what "+sc.voice(f)+" found"
		return
	}
	if r := sc.resetOf(w, true); r != nil {
		t.By, t.Because = r.id.text(), sc.sources[w.source].name+" has begun the run again"
		return
	}
	for _, o := range sc.approvals {
		if run(o, w) && before(w, o) && (sc.skewed || !sc.undone(o)) {
			t.By, t.Because = o.id.text(), "followed by a newer approval of the same run"
			return
		}
	}
	if p.until == 0 || p.until > sc.now {
		t.Stands, t.Because = true, "counts for ever"
		if p.until != 0 {
			t.Because = "counts until its end"
		}
		return
	}
	t.Because = "is over"
	for _, e := range sc.words {
		if e.ends() && e.source == w.source && e.when() == p.until {
			t.By, t.Because = e.id.text(), "was ended by "+sc.voice(e)
		}
	}
}

// voice names who said a word.
func (sc *scope) voice(w *word) string {
	if w.operator {
		return "an operator"
	}
	return sc.sources[w.source].name
}
