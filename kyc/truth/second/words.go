package second

import (
	"slices"
	"time"
)

// word is an update at its place in the order of arrival.
type word struct {
	Update
	n int
}

// run is a source's session, a source's words without one, or an operator's words about a source's
// checks.
type run struct {
	source, session string
	operator        bool
}

// hear numbers the words of a history and tells whether a submission is registered. A submission of
// a run that its source has spoken of before says no more than that, and is left out.
func (h History) hear() (words []word, registered bool) {
	spoken := map[run]bool{}
	for i, u := range h {
		w := word{Update: u, n: i}
		if w.Operator {
			w.Weak = false
		}
		if w.Submission {
			registered = true
			w.Status, w.At = Pending, time.Time{}
			if spoken[w.run()] {
				continue
			}
			words = slices.DeleteFunc(words, func(o word) bool { return o.Submission && o.Key == w.Key })
		} else if !w.Operator && !w.Mute {
			spoken[w.run()] = true
		}
		words = append(words, w)
	}
	return words, registered
}

func (w word) source() string { return w.Key.Source }

func (w word) run() run {
	if w.Operator {
		return run{source: w.source(), operator: true}
	}
	return run{source: w.source(), session: w.Session}
}

func (w word) timed() bool { return !w.At.IsZero() }

// when is the word's time, else its arrival.
func (w word) when() time.Time {
	if w.timed() {
		return w.At
	}
	return w.came()
}

// came is when the gateway took a word without a time.
func (w word) came() time.Time {
	if w.waited() {
		return w.Taken
	}
	return w.Received
}

func (w word) waited() bool { return !w.Taken.IsZero() }

// several tells whether the word's receipt is by the clock of one of several nodes.
func (w word) several() bool { return w.Skew != 0 }

// unplaced tells whether rules 5, 7 and 8 treat the word as one that had to wait.
func (w word) unplaced() bool { return !w.timed() && (w.waited() || w.several()) }

// span is between which instants the word was received.
func (w word) span() (from, to time.Time) { return w.came().Add(-w.Skew), w.came().Add(w.Skew) }

// list tells whether the word is for a match with a list.
func (w word) list() bool {
	return slices.Contains(w.Reasons, "sanctions_match") || slices.Contains(w.Reasons, "pep_match")
}

// serious tells whether the word has a serious reason.
func (w word) serious() bool {
	return w.list() || slices.ContainsFunc(w.Reasons, func(r string) bool {
		return r == "adverse_media_match" || r == "fraud_suspected" || r == "underage" || r == "duplicate_account"
	})
}

// newer is rule 1: b is known to be newer than a.
func newer(b, a word) bool {
	if (b.several() || a.several()) && (!b.timed() || !a.timed()) {
		return newerBySpan(b, a)
	}
	switch {
	case b.timed() && a.timed():
		return b.At.After(a.At) ||
			b.At.Equal(a.At) && b.Key == a.Key && b.run() == a.run() && b.Revision > a.Revision
	case !b.timed() && !a.timed():
		return b.n > a.n && (!b.waited() || a.came().Before(b.Taken) || a.waited() && a.Taken.Equal(b.Taken))
	}
	return b.n > a.n && b.when().After(a.when()) && !b.waited()
}

// newerBySpan is rule 1 for two words of which one is without a time and one, or both, were received
// by the clock of one of several nodes.
func newerBySpan(b, a word) bool {
	fromB, _ := b.span()
	_, toA := a.span()
	switch {
	case !b.several(): // a is, and stands before b only if it came before b
		if b.n < a.n || b.waited() {
			return false
		}
	case a.timed() && !a.several(), !toA.Before(fromB):
		return false
	}
	if b.timed() {
		fromB = b.At
	}
	if a.timed() {
		toA = a.At
	}
	return fromB.After(toA)
}

// unbeaten gives the words that no other one beats.
func unbeaten(words []word, beats func(b, a word) bool) []word {
	var out []word
	for _, a := range words {
		if !slices.ContainsFunc(words, func(b word) bool { return beats(b, a) }) {
			out = append(out, a)
		}
	}
	return out
}

// class is what a word is for the rules from 3 on.
type class uint8

const (
	nothing class = iota
	claim         // the findings begin here
	no
	hit
	ban
	final
	grave
	soft    // and end here
	claimed // a weak approval
	approval
	release // an operator's
	attempt
	lapse
	ending // a strong "expired" by validity
)

// class is rule 2.
func (w word) class() class {
	switch {
	case w.Mute:
		return nothing
	case w.Operator:
		return w.operatorClass()
	case w.Status == Pending:
		return attempt
	case w.Status == Lapsed:
		return lapse
	case w.Weak:
		return w.weakClass()
	}
	return w.strongClass()
}

// operatorClass is rule 2 for an operator's word.
func (w word) operatorClass() class {
	switch w.Status {
	case NotStarted:
		return release
	case Approved:
		return approval
	case Expired:
		return ending
	case InReview, Rejected, RejectedTerminal, Suspended:
		return no
	default:
		return nothing
	}
}

// weakClass is rule 2 for a provider's weak word that is neither an attempt nor a lapse.
func (w word) weakClass() class {
	switch w.Status {
	case NotStarted:
		return nothing
	case Approved:
		return claimed
	default:
		return claim
	}
}

// strongClass is rule 2 for a provider's strong word that is neither `pending` nor a lapse.
func (w word) strongClass() class {
	switch {
	case w.Status == NotStarted:
		return attempt
	case w.Status == Approved:
		return approval
	case w.Status == Expired:
		return ending
	case w.Status == Suspended:
		return ban
	case w.Status != InReview && w.list():
		return hit
	case w.Status == RejectedTerminal:
		return final
	case w.serious():
		return grave
	}
	return soft
}

// finding tells whether the word is one of the findings of rule 2.
func (w word) finding() bool { return w.class() >= claim && w.class() <= soft }

// reset tells whether the word is a reset of its run (rule 2).
func (w word) reset() bool { return w.class() == attempt && w.Status == NotStarted }
