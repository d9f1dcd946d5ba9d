package registry

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/relay/send"
)

// The rules about the values of a partner and an endpoint, for those that stand in the config and
// those that are made through the API.

// ValueError is what is wrong with a value, and what to do about it. It never holds the value: that
// may be a secret.
type ValueError struct{ Field, What, Remedy string }

// Error implements error.
func (m *ValueError) Error() string {
	if m.Field == "" {
		return m.What + "; " + m.Remedy
	}
	return m.Field + " " + m.What + "; " + m.Remedy
}

// The bounds of an endpoint's values.
const (
	MaxConcurrency = 1000
	MinRate        = 0.001 // per second
	MaxRate        = 1e6
	MinTimeout     = 100 * time.Millisecond
	MaxTimeout     = 2 * time.Minute
	MostOwed       = 1e9
	MinWait        = 10 * time.Millisecond // of a retry
	MaxWait        = 7 * 24 * time.Hour
	MaxFactor      = 100
	MaxJitter      = 0.9
	MaxAttempts    = 100
	MinRetryAfter  = time.Second
	MaxRetryAfter  = 24 * time.Hour

	MinDisableAfter = time.Hour
	MaxDisableAfter = year
	DisableAfter    = 5 * day // where nothing is said
	NeverDisabled   = -1      // however long it fails
)

// The bounds of a partner's values.
const (
	MaxOpenRefs = 1e9
	MaxValidity = 1200 // months
	MaxNotice   = 365  // days
)

// EventTypes are the types of changes that an endpoint can be told.
var EventTypes = []string{
	"kyc.document.processing", "kyc.document.approved", "kyc.document.rejected",
	"kyc.check.pending", "kyc.check.clear", "kyc.check.failed", "kyc.check.review_required", "kyc.check.error", "kyc.check.expired", "kyc.check.suspended",
	"kyc.status.not_started", "kyc.status.pending", "kyc.status.in_review", "kyc.status.approved", "kyc.status.rejected", "kyc.status.expired",
	"kyc.status.suspended", "kyc.status.expiring",
}

// NoticeTypes are the types of operational webhooks, which tell of nobody: see relay/notice.
var NoticeTypes = []string{"endpoint.disabled", "endpoint.recovered", "delivery.exhausted", "key.expiring"}

// IsNotice reports whether an event, or a pattern, is of operational webhooks.
func IsNotice(s string) bool { return among(NoticeTypes, s) }

// among reports whether an event is one of some types, or a pattern that any of them matches.
func among(types []string, s string) bool {
	prefix, isPattern := strings.CutSuffix(s, ".*")
	return slices.ContainsFunc(types, func(t string) bool { return t == s || isPattern && prefix != "" && strings.HasPrefix(t, prefix+".") })
}

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// CheckName holds the id of a partner or an endpoint to its form.
func CheckName(s string) *ValueError {
	if nameForm.MatchString(s) {
		return nil
	}
	return &ValueError{What: "is not a usable name", Remedy: "use 1 to 64 of a-z, 0-9, dot, dash and underscore, beginning with a letter or digit"}
}

// CheckEvent holds one of an endpoint's events to what there is: an exact type, a pattern that ends
// in ".*", or "*" for all.
func CheckEvent(s string) *ValueError {
	if s == "*" || among(EventTypes, s) || IsNotice(s) {
		return nil
	}
	return &ValueError{What: "matches no event", Remedy: "use a type like kyc.status.approved, or a pattern: *, kyc.*, kyc.status.*, kyc.check.*, kyc.document.*; or of operational webhooks, such as endpoint.*"}
}

// Check finds what is wrong with a schedule that is complete.
func (r *Retry) Check() *ValueError {
	if r.Max < r.First {
		return &ValueError{"max", "is shorter than first", "raise max, or lower first"}
	}
	return nil
}

// within reports what is wrong with a number that has bounds.
func within[T int | int64 | float64](field string, v, low, high T) *ValueError {
	if v >= low && v <= high {
		return nil
	}
	return &ValueError{field, fmt.Sprintf("is not between %v and %v", low, high), "choose one within these bounds"}
}

// lasts reports what is wrong with a duration that has bounds.
func lasts(field string, v, low, high time.Duration) *ValueError {
	if v >= low && v <= high {
		return nil
	}
	return &ValueError{field, "is not between " + FormatDuration(low) + " and " + FormatDuration(high), "choose a duration within these bounds"}
}

// checkDisableAfter holds how long an endpoint may fail to its bounds; 0 is the default.
func checkDisableAfter(d time.Duration) *ValueError {
	if d == 0 || d == NeverDisabled {
		return nil
	}
	m := lasts("disable_after", d, MinDisableAfter, MaxDisableAfter)
	if m != nil {
		m.Remedy += ", or never"
	}
	return m
}

// ParseDisableAfter reads how long an endpoint may fail: a duration, or never. Its bounds are not
// looked at.
func ParseDisableAfter(s string) (time.Duration, error) {
	if s == "never" {
		return NeverDisabled, nil
	}
	d, err := ParseDuration(s)
	if err == nil && d <= 0 {
		err = strconv.ErrRange
	}
	return d, err
}

// FormatDisableAfter spells it so that ParseDisableAfter reads it again.
func FormatDisableAfter(d time.Duration) string {
	switch {
	case d < 0:
		return "never"
	case d == 0:
		d = DisableAfter
	}
	return FormatDuration(d)
}

// first is the first mistake there is; nil: there is none.
func first(all ...*ValueError) error {
	for _, m := range all {
		if m != nil {
			return m
		}
	}
	return nil
}

// at is a mistake of a field.
func (m *ValueError) at(field string) *ValueError {
	if m == nil {
		return nil
	}
	return &ValueError{field, m.What, m.Remedy}
}

// checkEvents holds a list of events to the rules.
func checkEvents(events []string) *ValueError {
	switch {
	case len(events) == 0:
		return &ValueError{"events", "is an empty list", "name at least one, or leave it out to have the default"}
	case len(events) > len(EventTypes)+len(NoticeTypes):
		return &ValueError{"events", "names more than there are", "use patterns: *, kyc.*, kyc.status.*"}
	}
	for i, e := range events {
		if m := CheckEvent(e); m != nil {
			return m.at("events[" + strconv.Itoa(i) + "]")
		}
	}
	return nil
}

// CheckHeaders holds what every request to an endpoint carries to the rules: reserved are the
// headers that formats set, by their canonical names.
func CheckHeaders(hs map[string]string, reserved map[string]bool) *ValueError {
	size, seen := 0, map[string]bool{}
	for name, value := range hs {
		canonical, field := http.CanonicalHeaderKey(name), "headers."+name
		var he *send.HeaderError
		switch {
		case errors.As(send.CheckHeader(name, value), &he):
			return &ValueError{"headers", "have one that " + he.Problem, he.Remedy}
		case reserved[canonical]:
			return &ValueError{field, "is a header of the signature, of this format or of another", "remove it"}
		case seen[canonical]:
			return &ValueError{field, "is duplicated (only the case differs)", "keep one of them"}
		}
		seen[canonical] = true
		size += send.NewHeader(canonical, value).Size()
	}
	if len(hs) > send.MaxHeaders || size > send.MaxHeaderBytes {
		return &ValueError{"headers", "are too many, or too long together", "keep at most " + strconv.Itoa(send.MaxHeaders) + ", of 16 KiB together"}
	}
	return nil
}

const day = 24 * time.Hour

const year = 365 * day

var longForm = regexp.MustCompile(`^([0-9]{1,4})([dy])$`)

// ParseDuration reads Go's spellings, days (90d) and years of 365 days (5y).
func ParseDuration(s string) (time.Duration, error) {
	if m := longForm.FindStringSubmatch(s); m != nil {
		n, _ := strconv.Atoi(m[1]) // four digits at most
		if m[2] == "y" {
			n = min(n, 290) // 292 years are all a Duration holds
			return time.Duration(n) * year, nil
		}
		return time.Duration(n) * day, nil
	}
	return time.ParseDuration(s)
}

// FormatDuration spells a duration as short as it goes, so that ParseDuration reads it again.
func FormatDuration(d time.Duration) string {
	switch {
	case d >= year && d%year == 0:
		return strconv.Itoa(int(d/year)) + "y"
	case d >= day && d%day == 0:
		return strconv.Itoa(int(d/day)) + "d"
	}
	s := strings.TrimSuffix(d.String(), "0s")
	if strings.HasSuffix(s, "h0m") {
		return strings.TrimSuffix(s, "0m")
	}
	if s == "" || s[len(s)-1] >= '0' && s[len(s)-1] <= '9' {
		return d.String()
	}
	return s
}
