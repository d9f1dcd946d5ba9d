package provider

import (
	"slices"

	"countersign/kyc"
)

// maxReasons bounds what one update carries; what is cut is the least grave.
const maxReasons = 32

// hint says whether another try can mend a rejection.
type hint byte

// The hints. Where they come from ranks: what the payload says, then what a code is by nature, then
// the provider's default.
const (
	undecided hint = iota
	retryable
	terminal
)

// mapped is what one provider code means to us.
type mapped struct {
	reason kyc.Reason
	hint   hint
}

// reasonTable is a provider's codes.
type reasonTable map[string]mapped

// meaning is a row of a reasonTable as its author writes it: one reason and hint, and the codes
// that mean it.
type meaning struct {
	reason kyc.Reason
	hint   hint
	codes  []string
}

func means(r kyc.Reason, h hint, codes ...string) meaning { return meaning{r, h, codes} }

func newReasons(rows ...meaning) reasonTable {
	t := reasonTable{}
	for _, row := range rows {
		for _, code := range row.codes {
			t[code] = mapped{row.reason, row.hint}
		}
	}
	return t
}

// look returns what a code means; an unknown one is "other", undecided.
func (t reasonTable) look(code string) mapped {
	if m, ok := t[code]; ok {
		return m
	}
	return mapped{kyc.OtherReason, undecided}
}

// pairs maps codes to reasons beside the provider's own words, gravest first, in the body's order
// where equally grave. A code that is not in the table keeps its word only if it is one: what looks
// like free text could hold a name.
func (t reasonTable) pairs(codes []string) []kyc.ReasonPair {
	var out []kyc.ReasonPair
	var seen map[kyc.ReasonPair]bool // only for a list longer than any that is meant to be read
	if len(codes) > maxReasons {
		seen = make(map[kyc.ReasonPair]bool, len(codes))
	}
	for _, code := range codes {
		p := kyc.ReasonPair{Code: t.look(code).reason, ProviderCode: code}
		if _, known := t[code]; !known {
			p.ProviderCode = word(code)
		}
		if seen != nil {
			if !seen[p] {
				out = append(out, p)
			}
			seen[p] = true
		} else if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return ranked(out)
}

// hint returns what the codes together are by nature: one that no try can mend decides.
func (t reasonTable) hint(codes []string) hint {
	h := undecided
	for _, code := range codes {
		h = max(h, t.look(code).hint)
	}
	return h
}

// rows is pairs and hint for codes that the table knows by another name: row returns the key that
// speaks of a code, for rows that stand for several.
func (t reasonTable) rows(codes []string, row func(code string) string) (pairs []kyc.ReasonPair, h hint) {
	seen := make(map[kyc.ReasonPair]bool, len(codes))
	for _, code := range codes {
		m := t.look(row(code))
		h = max(h, m.hint)
		if p := (kyc.ReasonPair{Code: m.reason, ProviderCode: word(code)}); !seen[p] {
			pairs, seen[p] = append(pairs, p), true
		}
	}
	return ranked(pairs), h
}

// ranked sorts reasons by kyc.Priority and bounds their number.
func ranked(pairs []kyc.ReasonPair) []kyc.ReasonPair {
	slices.SortStableFunc(pairs, func(a, b kyc.ReasonPair) int {
		return slices.Index(kyc.Priority, a.Code) - slices.Index(kyc.Priority, b.Code)
	})
	return pairs[:min(len(pairs), maxReasons):min(len(pairs), maxReasons)]
}

// grave reports whether another try is the wrong answer to any of these reasons, whatever the
// provider leaves open.
func grave(pairs []kyc.ReasonPair) bool {
	return slices.ContainsFunc(pairs, func(p kyc.ReasonPair) bool {
		switch p.Code {
		case kyc.SanctionsMatch, kyc.PEPMatch, kyc.AdverseMediaMatch, kyc.FraudSuspected, kyc.Underage:
			return true
		default:
			return false
		}
	})
}

// mendable reports whether another try can mend all of these reasons by their nature, so that a
// rejection for them is not final unless the provider says so.
func mendable(pairs []kyc.ReasonPair) bool {
	return len(pairs) > 0 && !slices.ContainsFunc(pairs, func(p kyc.ReasonPair) bool {
		switch p.Code {
		case kyc.LivenessFailed, kyc.DataMismatch, kyc.NameMismatch, kyc.DocumentExpired, kyc.DocumentTypeNotAccepted, kyc.DocumentMissing, kyc.DocumentUnreadable,
			kyc.TechnicalFailure:
			return false
		default:
			return true
		}
	})
}

// reject makes u a rejection for these reasons ("other" if there are none). The first hint that
// decides counts: payload, codes, the provider's default. A rejection is retryable or terminal,
// never both and never neither.
func reject(u *kyc.Update, pairs []kyc.ReasonPair, hints ...hint) {
	if len(pairs) == 0 {
		pairs = []kyc.ReasonPair{{Code: kyc.OtherReason}}
	}
	u.Status, u.Reasons = kyc.Rejected, pairs
	for _, h := range hints {
		if h != undecided {
			u.Retryable, u.Terminal = h == retryable, h == terminal
			return
		}
	}
	u.Terminal = true
}
