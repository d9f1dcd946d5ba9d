package second

import "slices"

// alike is rule 3: the two count as one. Claimed approvals are alike as claims are.
func alike(a, b word) bool {
	same := a.Status == b.Status
	if a.class() == claim || a.class() == claimed {
		same = a.Ref == b.Ref
	}
	return same && a.Key == b.Key && a.run() == b.run() && a.class() == b.class() &&
		a.serious() == b.serious() && a.timed() == b.timed() && a.unplaced() == b.unplaced() && a.several() == b.several() && a.exhausted() == b.exhausted()
}

// exhausted tells whether a final rejection is for its attempts alone (rules 3 and 9).
func (w word) exhausted() bool {
	return w.class() == final && len(w.Reasons) > 0 && !slices.ContainsFunc(w.Reasons, func(r string) bool { return r != "attempts_exceeded" })
}

// merge is rule 3: of words that are alike one is left, with the greatest time, its revision and
// the last arrival.
func merge(words []word) []word {
	var out []word
	for _, w := range words {
		i := slices.IndexFunc(out, func(o word) bool { return alike(o, w) })
		if i < 0 {
			out = append(out, w)
			continue
		}
		o := &out[i]
		if w.At.After(o.At) || w.At.Equal(o.At) && w.Revision > o.Revision {
			o.At, o.Revision = w.At, w.Revision
		}
		o.n = w.n
		if w.Received.After(o.Received) {
			o.Received = w.Received
		}
		o.Skew = max(o.Skew, w.Skew)
		if w.Taken.After(o.Taken) {
			o.Taken = w.Taken
		}
	}
	return out
}

// answeredForGood is rule 4, word by word: by an operator, or by the provider's answer to our
// question.
func answeredForGood(f word, words []word) bool {
	return slices.ContainsFunc(words, func(w word) bool {
		if w.Key != f.Key || w.n <= f.n {
			return false
		}
		return w.Operator && (w.class() == approval || w.class() == release) || confirms(w, f, words)
	})
}

// confirms is rule 4: the provider's answer w answers the claim or claimed approval f, which
// arrived before it.
func confirms(w, f word, words []word) bool {
	if !w.Confirms || w.Operator || w.Weak || w.run() != f.run() || w.Ref != f.Ref ||
		f.class() != claim && f.class() != claimed {
		return false
	}
	asked, _ := w.span()
	if !w.AskedAt.IsZero() {
		asked = w.AskedAt.Add(-w.Skew)
	}
	return !slices.ContainsFunc(words, func(c word) bool {
		return alike(c, f) && c.n < w.n && c.Received.Add(c.Skew).After(asked)
	})
}

// lifted is rule 4, of findings alike as one: the provider has ended the suspension.
func lifted(f word, words []word) bool {
	return f.class() == ban && slices.ContainsFunc(words, func(w word) bool {
		return w.Lifts && !w.Weak && !w.Operator && w.Key == f.Key && w.run() == f.run() && newer(w, f)
	})
}

// begun tells with which words the runs have begun (rule 5): of each run the first of those that
// have a place, and of those that have none.
type begun struct{ prompt, late map[run]word }

func begin(words []word) begun {
	first := begun{map[run]word{}, map[run]word{}}
	for _, w := range words {
		if w.Weak || w.Submission || w.Mute {
			continue
		}
		if w.unplaced() {
			o, ok := first.late[w.run()]
			skew := max(o.Skew, w.Skew)
			if !ok || w.came().Before(o.came()) {
				o = w
			}
			o.Skew = skew
			first.late[w.run()] = o
		} else if o, ok := first.prompt[w.run()]; !ok || newer(o, w) {
			first.prompt[w.run()] = w
		}
	}
	return first
}

// after tells whether a run has begun after a word.
func (b begun) after(r run, w word) bool {
	prompt, p := b.prompt[r]
	late, l := b.late[r]
	return (p || l) && (!p || newer(prompt, w)) && (!l || newer(late, w))
}

// afterRun tells whether a run has begun after another had.
func (b begun) afterRun(r, other run) bool {
	prompt, p := b.prompt[other]
	late, l := b.late[other]
	return (p || l) && (!p || b.after(r, prompt)) && (!l || b.after(r, late))
}

// answers is rule 5: the approval answers the finding.
func (s *scope) answers(a, f word) bool {
	switch {
	case !newer(a, f):
		return false
	case a.Operator:
		return operatorAnswers(a, f)
	}
	return s.providerAnswers(a, f)
}

// operatorAnswers is the first half of rule 5, for an approval that is newer than the finding.
func operatorAnswers(a, f word) bool {
	if f.serious() {
		return false
	}
	switch f.class() {
	case claim, soft:
		return true
	case final:
		return f.n < a.n
	default:
		return false
	}
}

// providerAnswers is the second half of rule 5, for an approval that is newer than the finding.
func (s *scope) providerAnswers(a, f word) bool {
	sameRun := a.run() == f.run()
	begunAfter := a.source() == f.source() && s.first.after(a.run(), f)
	switch f.class() {
	case claim:
		return !f.serious() || a.source() == f.source()
	case soft:
		return true
	case grave:
		return sameRun || begunAfter
	case final:
		if sameRun && f.serious() {
			return s.resetBetween(f, a)
		}
		return !f.serious() || begunAfter
	case ban:
		return sameRun
	default: // a hit, a no
		return false
	}
}

// resetBetween tells whether the run of the finding was reset after it and before the approval
// (rule 5).
func (s *scope) resetBetween(f, a word) bool {
	return slices.ContainsFunc(s.resets, func(r word) bool {
		return r.run() == f.run() && newer(r, f) && newer(a, r)
	})
}
