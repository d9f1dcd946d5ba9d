package kyc

import (
	"slices"
	"time"
)

// What a policy means where it is silent.
const (
	defaultMonths = 12
	defaultNotice = 7
	day           = 24 * time.Hour
)

// Policy says what a partner asks of a subject before it counts as approved, and how long an
// approval holds.
type Policy struct {
	Version         int           `json:"version"`
	Required        []Check       `json:"required,omitempty"`         // of individuals; empty: identity_verification
	RequiredCompany []Check       `json:"required_company,omitempty"` // of companies; empty: business_verification
	ValidityMonths  int           `json:"validity_months,omitempty"`  // of identity and business approvals without a date of the provider's: calendar months, clamped to the month's end; 0: 12
	Validity        map[Check]int `json:"validity,omitempty"`         // months of approvals of other types; a type that is not named ends only when its provider says so
	NoticeDays      int           `json:"notice_days,omitempty"`      // days of 24 h before expires_at; 0: 7
	lasts           moment        // tests only: how long every approval lasts that the provider gave no date, or never
	Open            bool          `json:"-"` // nothing is required, what has been seen decides: for tools and tests, never configured
}

const never moment = -1

// Same reports whether two policies ask for the same, whatever their versions.
func (p Policy) Same(q Policy) bool {
	if len(p.Validity) != len(q.Validity) {
		return false
	}
	for c, months := range p.Validity {
		if q.Validity[c] != months {
			return false
		}
	}
	return p.ValidityMonths == q.ValidityMonths && p.NoticeDays == q.NoticeDays && slices.Equal(p.Required, q.Required) && slices.Equal(p.RequiredCompany, q.RequiredCompany)
}

// validity is when an approval of a type ends that the provider gave no date; zero: never.
func (p Policy) validity(t Check, from moment) moment {
	if p.lasts == never {
		return 0
	} else if p.lasts != 0 {
		return from + p.lasts
	}
	months := p.Validity[t]
	if whole(t) && months <= 0 {
		if months = p.ValidityMonths; months <= 0 {
			months = defaultMonths
		}
	}
	if months <= 0 {
		return 0
	}
	return momentOf(AddMonths(from.time(), months))
}

// AddMonths adds calendar months and stays in the month it reaches: 2024-02-29 and 12 months is
// 2025-02-28.
func AddMonths(t time.Time, n int) time.Time {
	t = t.UTC()
	y, m, d := t.Date()
	last := time.Date(y, m+time.Month(n)+1, 0, 0, 0, 0, 0, time.UTC).Day()
	return time.Date(y, m+time.Month(n), min(d, last), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

func (p Policy) notice() moment {
	if p.NoticeDays <= 0 {
		return moment(defaultNotice * day)
	}
	return moment(p.NoticeDays) * moment(day)
}

// For lists the check types the policy requires of a subject of this kind: business_verification of
// companies and identity_verification of everybody else, unless it names others. An open policy
// requires none.
func (p Policy) For(subjectKind string) []Check {
	switch {
	case p.Open:
		return nil
	case subjectKind == Company && len(p.RequiredCompany) > 0:
		return p.RequiredCompany
	case subjectKind == Company:
		return []Check{BusinessVerification}
	case len(p.Required) > 0:
		return p.Required
	default:
		return []Check{IdentityVerification}
	}
}
