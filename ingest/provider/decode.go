package provider

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"countersign/kyc"
)

// Limits on what a body may put into an update.
const (
	maxID      = 255 // bytes of an identity
	maxWord    = 128 // bytes of an event type or another word of the provider's
	oldest     = 2000
	newest     = 2200 // years between which an event can have happened
	fewKeys    = 48   // of one object: up to here a linear search beats a map
	noStatus   = "event carries no kyc status"
	unknownEv  = "unknown event type"
	otherKind  = "verification is of no kind that is a kyc check"
	namelessEv = "event" // in place of a name that is no word
	faultEv    = "provider reports a fault of the integration"
)

// unreadable names a field and says in fixed words what is wrong with it. Neither comes from the body.
func unreadable(field, what string) error {
	return fmt.Errorf("%w: %s %s", ErrUnreadable, field, what)
}

// decode reads body as exactly one JSON object into v. It is stricter than encoding/json, which repairs broken text, takes the last of two equal keys and
// calls keys equal that differ in case: two readers of such a body could disagree on what it says.
func decode(body []byte, v any) error {
	if !utf8.Valid(body) {
		return unreadable("body", "is not utf-8")
	}
	if err := json.Unmarshal(body, v); err != nil {
		if mistyped, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return unreadable(cmp.Or(mistyped.Field, "body"), "has an unexpected type") // our own field names, joined with dots
		}
		return unreadable("body", "is not one json document")
	}
	if text := bytes.TrimLeft(body, " \t\r\n"); text[0] != '{' {
		return unreadable("body", "is not a json object")
	}
	if namesKeyTwice(body) {
		return unreadable("body", "names a key twice")
	}
	return nil
}

// namesKeyTwice reports whether any object in body, which must be valid JSON, has two keys that encoding/json would take for the same.
func namesKeyTwice(body []byte) bool {
	s := keyStack{keys: make([][]byte, 0, fewKeys), open: make([]keyScope, 0, 16)}
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '{', '[':
			s.open = append(s.open, keyScope{start: len(s.keys)})
		case '}', ']':
			last := len(s.open) - 1
			s.keys, s.open = s.keys[:s.open[last].start], s.open[:last]
		case '"':
			start, escaped := i, false
			for i++; body[i] != '"'; i++ {
				if body[i] == '\\' {
					escaped = true
					i++
				}
			}
			if isKey(body[i+1:]) && !s.add(body[start:i+1], escaped) {
				return true
			}
		}
	}
	return false
}

// isKey reports whether the string that ends just before rest is a key.
func isKey(rest []byte) bool {
	rest = bytes.TrimLeft(rest, " \t\r\n")
	return len(rest) > 0 && rest[0] == ':'
}

// keyStack holds the keys of the objects that have begun and not ended, outermost first.
type keyStack struct {
	keys [][]byte
	open []keyScope
}

// keyScope is one of these objects, or an array, which has no keys.
type keyScope struct {
	start int                 // of its keys in the stack
	many  map[string]struct{} // instead, once it has too many for a linear search
}

// add reports false if the innermost object has the key already. The key comes in its quotes.
func (s *keyStack) add(quoted []byte, escaped bool) bool {
	key := quoted[1 : len(quoted)-1]
	if escaped {
		var text string
		if json.Unmarshal(quoted, &text) != nil {
			return false
		}
		key = []byte(text)
	}
	in := &s.open[len(s.open)-1]
	mine := s.keys[in.start:]
	if in.many == nil && len(mine) < fewKeys {
		for _, k := range mine {
			if bytes.EqualFold(k, key) {
				return false
			}
		}
		s.keys = append(s.keys, key)
		return true
	}
	if in.many == nil {
		in.many = make(map[string]struct{}, 2*fewKeys)
		for _, k := range mine {
			in.many[folded(k)] = struct{}{}
		}
	}
	n := len(in.many)
	in.many[folded(key)] = struct{}{}
	return len(in.many) > n
}

// folded maps keys that bytes.EqualFold calls equal to the same text.
func folded(key []byte) string {
	return string(bytes.Map(func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return next // the smallest rune of the orbit
			}
			r = next
		}
	}, key))
}

// fields reads the values of a body and keeps the first complaint.
type fields struct{ err error }

func (f *fields) fail(field, what string) {
	if f.err == nil {
		f.err = unreadable(field, what)
	}
}

// id reads an identity. What stands for "nobody" is absent; what could not be printed or stored is refused, since a cut id would be another person's.
func (f *fields) id(field, v string) string {
	switch s := strings.TrimSpace(v); {
	case s == "" || s == "[redacted]":
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
func (f *fields) same(field string, vs ...string) string {
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

// time reads a time in the first layout that fits and cuts it to unit. No zone means UTC. An absent one is zero.
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

// word keeps a provider's word if it is one: printable ASCII without blanks. Anything else might be free text and is dropped.
func word(v string) string {
	if len(v) > maxWord || strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return v
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
