package provider

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"countersign/kyc"
)

// Limits on what a body may put into an update.
const (
	maxID      = 255 // bytes of an identity
	maxWord    = 128 // bytes of an event type or another word of the provider's
	oldest     = 2000
	newest     = 2200 // years between which an event can have happened
	noStatus   = "event carries no kyc status"
	unknownEv  = "unknown event type"
	otherKind  = "verification is of no kind that is a kyc check"
	testEv     = "test of the endpoint, about nobody"
	namelessEv = "event" // in place of a name that is no word
	faultEv    = "provider reports a fault of the integration"
)

// unreadable names a field and says in fixed words what is wrong with it. Neither comes from the
// body.
func unreadable(field, what string) error {
	return fmt.Errorf("%w: %s %s", ErrUnreadable, field, what)
}

// decode reads body as exactly one JSON object into v: strict about what v reads and deaf to the
// rest. A key is what is spelt like it, in its case; one that v reads must not come twice, nor in
// another case as well. Text that is not UTF-8 and broken JSON are refused wherever they stand.
func decode(body []byte, v any) error { return decodeAs(body, v, shapeOf(reflect.TypeOf(v))) }

// decodeAs is decode for a type that does not tell what is read.
func decodeAs(body []byte, v any, s *shape) error {
	body = unmarked(body)
	if !utf8.Valid(body) {
		return unreadable("body", "is not utf-8")
	}
	if err := json.Unmarshal(body, v, lax); err != nil {
		if mistyped, ok := errors.AsType[*json.SemanticError](err); ok && jsontext.Value(body).IsValid(lax) {
			return unreadable(cmp.Or(s.field(mistyped.JSONPointer), "body"), "has an unexpected type")
		}
		return unreadable("body", "is not one json document")
	}
	if bytes.TrimLeft(body, " \t\r\n")[0] != '{' {
		return unreadable("body", "is not a json object")
	}
	if s.twice(body) {
		return unreadable("body", "names a key twice")
	}
	return nil
}

// unmarked takes off the mark of UTF-8 that some writers begin with.
func unmarked(body []byte) []byte { return bytes.TrimPrefix(body, []byte("\ufeff")) }

// fields reads the values of a body and keeps the first complaint.
type fields struct{ err error }

func (f *fields) fail(field, what string) {
	if f.err == nil {
		f.err = unreadable(field, what)
	}
}

// nobody reports a text that stands where somebody's id should: data that was deleted, a value that
// a program did not have, and the empty UUID. Taken for an id, it would make one person of
// everybody whom it stands for.
func nobody(id string) bool {
	switch strings.TrimSpace(id) {
	case "", "[redacted]", "null", "undefined", "[object Object]", "00000000-0000-0000-0000-000000000000":
		return true
	default:
		return false
	}
}

// id reads an identity. What stands for "nobody" is absent; what could not be printed or stored is
// refused, since a cut id would be another person's.
func (f *fields) id(field string, id ident) string {
	v := string(id)
	switch {
	case nobody(v):
		return ""
	case len(v) > maxID:
		f.fail(field, "is too long")
	case strings.ContainsFunc(v, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }):
		f.fail(field, "holds a control character")
	default:
		return v
	}
	return ""
}

// same reads one identity that a body may state in several places, which must agree.
func (f *fields) same(field string, vs ...ident) string {
	var found string
	for _, v := range vs {
		id := f.id(field, v)
		if found != "" && id != "" && id != found {
			f.fail(field, "is stated twice and differs")
		}
		if found == "" {
			found = id
		}
	}
	return found
}

// time reads a time in the first layout that fits and cuts it to unit. No zone means UTC. An absent
// one is zero.
func (f *fields) time(field, v string, unit time.Duration, layouts ...string) time.Time {
	if s := strings.TrimSpace(v); s == "" || s == "[redacted]" {
		return time.Time{}
	}
	for _, layout := range layouts {
		t, err := time.Parse(layout, v)
		if err != nil {
			continue
		}
		if t = t.UTC(); t.Year() < oldest || t.Year() >= newest {
			break
		}
		return t.Truncate(unit)
	}
	f.fail(field, "is not a time")
	return time.Time{}
}

// epoch reads a time in whole units since 1970, a number or its digits. An absent one is zero.
func (f *fields) epoch(field string, v ident, unit time.Duration) time.Time {
	if v == "" {
		return time.Time{}
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	if last := time.Date(newest, 1, 1, 0, 0, 0, 0, time.UTC).Unix() * int64(time.Second/unit); err != nil || n >= last || n < 0 {
		f.fail(field, "is not a time")
		return time.Time{}
	}
	perSecond := int64(time.Second / unit)
	at := time.Unix(n/perSecond, n%perSecond*int64(unit)).UTC()
	if at.Year() < oldest {
		f.fail(field, "is not a time")
		return time.Time{}
	}
	return at
}

// unixSeconds reads a time in seconds since 1970. Zero is none.
func (f *fields) unixSeconds(field string, v ident) time.Time {
	if v == "0" {
		return time.Time{}
	}
	return f.epoch(field, v, time.Second)
}

// clock reads a time in milliseconds that most of a provider's bodies write in words and some in
// digits: seconds or milliseconds, which of the two their number shows.
func (f *fields) clock(field string, v ident, layouts ...string) time.Time {
	switch {
	case !v.digits():
		return f.time(field, string(v), time.Millisecond, layouts...)
	case len(v) > len("9999999999"):
		return f.epoch(field, v, time.Millisecond)
	default:
		return f.epoch(field, v, time.Second)
	}
}

// count reads a number that only grows. An absent one is zero.
func (f *fields) count(field string, v ident) int64 {
	if v == "" {
		return 0
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil {
		f.fail(field, "is not a whole number")
	}
	return n
}

// word keeps a provider's word if it is one: printable ASCII without blanks. Anything else might be
// free text and is dropped.
func word(v string) string {
	if len(v) > maxWord || strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return v
}

// mode is what a word for the environment says of it, nil if it says nothing.
func mode(environment string) *bool {
	switch strings.ToLower(environment) {
	case "live", "production":
		return new(true)
	case "sandbox", "test":
		return new(false)
	default:
		return nil
	}
}

// marked is the mode of a body that may say it in several places: one mark of a test makes all of
// it a test. Nil: it does not say.
func marked(live ...*bool) (mode *bool) {
	for _, l := range live {
		if l != nil && (mode == nil || !*l) {
			mode = l
		}
	}
	return mode
}

// observe begins an update with what every adapter fills in alike.
func observe(provider string, version int, r Result, at time.Time) kyc.Update {
	u := kyc.Update{
		SchemaVersion: 1, Kind: kyc.Observation, Provider: provider, AdapterVersion: version,
		ProviderEvent: kyc.ProviderEvent{ID: r.EventID, Type: cmp.Or(r.EventType, namelessEv)},
		OccurredAt:    at, OccurredAtOrigin: kyc.OriginProvider,
	}
	if at.IsZero() {
		u.OccurredAtOrigin = kyc.OriginReceived
	}
	if r.Livemode != nil {
		u.Livemode = *r.Livemode
	}
	return u
}
