package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"countersign/signing"
)

// env is all that an expression can see. It is made for one callback.
type env struct {
	Body   any                                     `expr:"body"`
	Header func(string) (string, error)            `expr:"header"`
	Text   func(...any) (string, error)            `expr:"text"`
	Lower  func(any) (string, error)               `expr:"lower"`
	Upper  func(any) (string, error)               `expr:"upper"`
	Int    func(any) (int, error)                  `expr:"int"`
	Time   func(any, ...string) (time.Time, error) `expr:"time"`
	List   func(any) ([]any, error)                `expr:"list"`
	First  func(any) (any, error)                  `expr:"first"`
	Last   func(any) (any, error)                  `expr:"last"`
	Has    func(any) (bool, error)                 `expr:"has"`
	Step   func() (bool, error)                    `expr:"(step)"`
}

// because is why an expression has no value, in the fixed words of an error.
type because string

// Error implements error.
func (b because) Error() string { return string(b) }

const (
	errLarge    because = "is too large"
	errMistyped because = "has an unexpected type"
	errNoTime   because = "is not a time"
	errEndless  because = "takes too many steps"
)

// The values of a body that JSON has and expressions do not.
type (
	large  byte   // stands for what is beyond the bounds: whoever uses it fails
	number string // beyond the whole numbers of this machine, digit by digit
)

// document is a body as expressions see it: whole numbers stay whole, for an id that lost its last
// digits would be another person's.
type document struct{ root any }

// UnmarshalJSON implements json.Unmarshaler.
func (d *document) UnmarshalJSON(text []byte) error {
	in := json.NewDecoder(bytes.NewReader(text))
	in.UseNumber()
	if err := in.Decode(&d.root); err != nil {
		return err //nolint:wrapcheck // decode has its own words for it
	}
	d.root = bounded(d.root)
	return nil
}

func bounded(v any) any {
	switch v := v.(type) {
	case string:
		if len(v) > maxText {
			return large(0)
		}
	case json.Number:
		return numeral(string(v))
	case []any:
		if len(v) > maxItems {
			return large(0)
		}
		for i := range v {
			v[i] = bounded(v[i])
		}
	case map[string]any:
		if len(v) > maxItems {
			return large(0)
		}
		for k := range v {
			v[k] = bounded(v[k])
		}
	}
	return v
}

func numeral(s string) any {
	if n, err := strconv.Atoi(s); err == nil {
		return n
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !strings.ContainsAny(s, ".eE") {
		if len(s) > maxText {
			return large(0)
		}
		return number(s)
	}
	return f
}

// newEnv shows a callback to expressions.
func (g *generic) newEnv(h signing.Header, body any) *env {
	steps := 0
	return &env{
		Body: body, Text: joined, Int: whole, Time: instant, List: listed,
		Header: func(name string) (string, error) { return g.header(h, name) },
		Lower:  func(v any) (string, error) { return cased(v, strings.ToLower) },
		Upper:  func(v any) (string, error) { return cased(v, strings.ToUpper) },
		First:  func(v any) (any, error) { return item(v, func(int) int { return 0 }) },
		Last:   func(v any) (any, error) { return item(v, func(n int) int { return n - 1 }) },
		Has:    func(v any) (bool, error) { return v != nil && v != "", nil },
		Step: func() (bool, error) {
			if steps++; steps > maxSteps {
				return false, errEndless
			}
			return true, nil
		},
	}
}

// header returns the one value of a header, "" if it is absent. Of two values nobody can tell which
// counts.
func (g *generic) header(h signing.Header, name string) (string, error) {
	if twin, ok := svixHeader(name); ok && g.svix && len(h.Values(svixSignature)) == 0 {
		name = twin // of the family that was verified, not one that an attacker has added
	}
	switch v := h.Values(name); {
	case len(v) == 0:
		return "", nil
	case len(v) > 1:
		return "", because("is duplicated in a header")
	case len(v[0]) > maxText:
		return "", errLarge
	default:
		return v[0], nil
	}
}

const svixSignature = "Svix-Signature"

// svixHeader returns the other name that a header of Svix may have.
func svixHeader(name string) (twin string, ok bool) {
	rest, ok := strings.CutPrefix(strings.ToLower(name), "svix-")
	return http.CanonicalHeaderKey("webhook-" + rest), ok
}

// joined writes values one after the other; what is missing is empty.
func joined(vs ...any) (string, error) {
	var out strings.Builder
	for _, v := range vs {
		s, err := plain(v)
		if err != nil {
			return "", err
		}
		if out.WriteString(s); out.Len() > maxText {
			return "", errLarge
		}
	}
	return out.String(), nil
}

// plain is the text of a value that is no list and no object.
func plain(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case int:
		return strconv.Itoa(v), nil
	case number:
		return string(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case bool:
		return strconv.FormatBool(v), nil
	case large:
		return "", errLarge
	default:
		return "", errMistyped
	}
}

// whole reads a whole number. A missing one is none: 0 could decide something.
func whole(v any) (int, error) {
	switch v := v.(type) {
	case int:
		return v, nil
	case float64:
		if v == math.Trunc(v) && math.Abs(v) <= 1<<53 {
			return int(v), nil
		}
	case string:
		if n, err := strconv.Atoi(v); err == nil {
			return n, nil
		}
	}
	return 0, because("is not a whole number")
}

// instant reads a time: RFC 3339, or in the first layout that fits, where unix and unix_ms are
// seconds and milliseconds. A missing one is none.
func instant(v any, layouts ...string) (time.Time, error) {
	s, err := plain(v)
	if err != nil {
		return time.Time{}, err
	}
	if t := strings.TrimSpace(s); t == "" || t == "[redacted]" {
		return time.Time{}, nil
	}
	if _, text := v.(string); len(layouts) == 0 && text {
		layouts = []string{time.RFC3339}
	}
	for _, layout := range layouts {
		n, nerr := strconv.ParseInt(s, 10, 64)
		switch {
		case layout == "unix" && nerr == nil:
			return time.Unix(n, 0), nil
		case layout == "unix_ms" && nerr == nil:
			return time.UnixMilli(n), nil
		case layout == "unix" || layout == "unix_ms":
			continue
		}
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errNoTime
}

// listed is a list where there may be a single value, or none.
func listed(v any) ([]any, error) {
	switch v := v.(type) {
	case nil:
		return []any{}, nil
	case []any:
		return v, nil
	case large:
		return nil, errLarge
	default:
		return []any{v}, nil
	}
}

// item picks one of a list; an empty one has none.
func item(v any, which func(n int) int) (any, error) {
	list, ok := v.([]any)
	switch {
	case v == nil:
		return nil, nil //nolint:nilnil // nil is a value of the language
	case !ok:
		return nil, errMistyped
	case len(list) == 0:
		return nil, nil //nolint:nilnil // nil is a value of the language
	default:
		return list[which(len(list))], nil
	}
}

// cased writes a text in another case; some letters grow.
func cased(v any, to func(string) string) (string, error) {
	s, err := joined(v)
	if err != nil {
		return "", err
	}
	return joined(to(s))
}

// whyNot is why an expression has no value.
func whyNot(err error) string {
	if b, ok := errors.AsType[because](err); ok {
		return string(b)
	}
	return "cannot be evaluated"
}
