package provider

import (
	"errors"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// lax are the options of every value that is read: keys are for shape to judge, and text for
// utf8.Valid, since half a surrogate in a name that somebody cut short is no reason to refuse the
// rest.
var lax = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// errForm says that a value has a form in which it is not read.
var errForm = errors.New("has an unexpected form")

// ident is what identifies somebody or something: a text as it is, a number as its digits. What has
// a fraction or an exponent is no number of anything, and who wrote it may have lost some of its
// digits.
type ident string

// digits reports a whole number.
func (i ident) digits() bool { return i != "" && strings.Trim(string(i), "0123456789") == "" }

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (i *ident) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	if err != nil {
		return err //nolint:wrapcheck // decode has its own words for it
	}
	switch v.Kind() {
	case 'n':
		*i = ""
	case '"':
		if text := v[1 : len(v)-1]; strings.IndexByte(string(text), '\\') < 0 {
			*i = ident(text)
			return nil
		}
		text, _ := jsontext.AppendUnquote(nil, v) // half a surrogate becomes U+FFFD, which is no part of an id
		*i = ident(text)
	case '0':
		if strings.ContainsAny(string(v), ".eE") {
			return errForm
		}
		*i = ident(v)
	default:
		return errForm
	}
	return nil
}

// raw is a value that is kept as it came, since its form is not known before other parts of the
// body are. It is read as T, if at all.
type raw[T any] struct{ jsontext.Value }

// readsAs implements asRead.
func (raw[T]) readsAs() reflect.Type { return reflect.TypeFor[T]() }

// read returns the value, if it has the form of T. An absent one has.
func (r raw[T]) read() (v T, ok bool) {
	if len(r.Value) == 0 {
		return v, true
	}
	if err := json.Unmarshal(r.Value, &v, lax); err != nil {
		var none T
		return none, false
	}
	return v, true
}

// object is whatever a customer has put beside a person, of which a source may choose one member.
// It may be absent or, when it is empty, a list.
type object struct{ jsontext.Value }

// readsAs implements asRead: which member is read, only the source's options say.
func (object) readsAs() reflect.Type { return reflect.TypeFor[jsontext.Value]() }

// member returns one value of an object; nil if there is none, or no object. It reports a name that
// comes twice.
func (o object) member(name string) (value object, twice bool) {
	if len(o.Value) == 0 || o.Kind() != '{' {
		return object{}, false
	}
	only := shape{keys: []shapeKey{{name: []byte(name), alike: 1}}}
	var members map[string]jsontext.Value
	if only.twice(o.Value) || json.Unmarshal(o.Value, &members, lax) != nil {
		return object{}, true
	}
	return object{members[name]}, false
}

// chosen reads our own id, which stands where the source says, under the last of these names. A
// value that is neither a text nor a number is refused: it would name somebody else.
func (f *fields) chosen(field string, o object, names ...string) string {
	for _, name := range names {
		value, twice := o.member(name)
		if twice {
			f.fail(field, "names a key twice")
		}
		o = value
	}
	id, ok := raw[ident](o).read()
	if !ok {
		f.fail(field, "has an unexpected type")
	}
	return f.id(field, id)
}

// scalar reads a number, a truth or a text as a text.
func scalar(v jsontext.Value) string {
	switch v.Kind() {
	case '"':
		text, _ := raw[string]{v}.read()
		return text
	case '0', 't', 'f':
		return string(v)
	default:
		return ""
	}
}
