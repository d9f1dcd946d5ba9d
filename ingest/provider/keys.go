package provider

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// shape is what of a value is read: the rule that a key must not come twice goes as far as this and
// no further, for the rest of a body is the provider's business. Nil: the value as a whole, so
// nothing inside it has a name that counts. Lists have the shape of what is in them.
type shape struct {
	keys  []shapeKey
	every bool   // the object's other keys are read as well, whatever they are called
	rest  *shape // what of their values
}

// shapeKey is a key that is read by its name.
type shapeKey struct {
	name  []byte
	value *shape
	alike uint64 // the bits of the keys that are spelt like it in another case, and its own
}

// maxShapeKeys is how many keys a bit set has room for.
const maxShapeKeys = 64

// asRead is a type that reads its value in its own way, and tells the type whose keys it reads.
type asRead interface{ readsAs() reflect.Type }

// shapes holds the shape of each type that was ever decoded into.
var shapes sync.Map // reflect.Type → *shape

// shapeOf returns what is read of a value that is decoded into this type.
func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape) //nolint:forcetypeassert // nothing else is in it
	}
	s, _ := shapes.LoadOrStore(t, newShape(t, map[reflect.Type]*shape{}))
	return s.(*shape) //nolint:forcetypeassert // nothing else is in it
}

// newShape makes the shape of a type; open holds those begun, since a type may hold itself.
func newShape(t reflect.Type, open map[reflect.Type]*shape) *shape {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if s, ok := open[t]; ok {
		return s
	}
	if own, ok := reflect.TypeAssert[asRead](reflect.Zero(t)); ok {
		return newShape(own.readsAs(), open)
	}
	s := &shape{}
	open[t] = s
	switch t.Kind() {
	case reflect.Struct:
		s.fields(t, open)
	case reflect.Map:
		s.every, s.rest = true, newShape(t.Elem(), open)
	default:
		open[t] = nil
		return nil
	}
	if len(s.keys) > maxShapeKeys {
		panic(fmt.Sprintf("%v reads more than %d keys", t, maxShapeKeys))
	}
	return s
}

// fields adds the keys of a struct. A struct embedded in it has its keys in the same object.
func (s *shape) fields(t reflect.Type, open map[reflect.Type]*shape) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			s.fields(f.Type, open)
		case f.Type.Kind() == reflect.Map && name == "": // with the option embed: whatever has no field of its own
			s.every, s.rest = true, newShape(f.Type.Elem(), open)
		case f.IsExported() && name != "-":
			s.keys = append(s.keys, shapeKey{name: []byte(name), value: newShape(f.Type, open)})
		}
	}
	s.compare()
}

// compare finds the keys whose names differ in case only: of those, a body may have one.
func (s *shape) compare() {
	for i := range s.keys {
		s.keys[i].alike = 0
		for j := range s.keys {
			if bytes.EqualFold(s.keys[i].name, s.keys[j].name) {
				s.keys[i].alike |= 1 << j
			}
		}
	}
}

// key finds a key that is read by its name.
func (s *shape) key(name []byte) (i int, ok bool) {
	for i := range s.keys {
		if bytes.Equal(s.keys[i].name, name) {
			return i, true
		}
	}
	return 0, false
}

// variant finds a key that is read and whose name differs from this one in case only.
func (s *shape) variant(name []byte) (i int, ok bool) {
	ascii := true
	for _, c := range name {
		ascii = ascii && c < utf8.RuneSelf
	}
	for i := range s.keys {
		if own := s.keys[i].name; (!ascii || len(own) == len(name)) && bytes.EqualFold(own, name) {
			return i, true
		}
	}
	return 0, false
}

// field writes the place that a JSON pointer leads to in our own names, with dots between. What is
// not one of them comes from the body and ends it.
func (s *shape) field(pointer jsontext.Pointer) string {
	var path []string
	for token := range pointer.Tokens() {
		if s == nil {
			break
		}
		if i, ok := s.key([]byte(token)); ok {
			path, s = append(path, token), s.keys[i].value
		} else if strings.Trim(token, "0123456789") != "" { // else a place in a list, which has the same shape
			break
		}
	}
	return strings.Join(path, ".")
}

// twice reports whether any object that is read in text, which must be valid JSON, has a key that
// is read twice, or once in its spelling and once in another that differs in case: two readers of
// such a body could disagree on what it says.
func (s *shape) twice(text []byte) bool {
	r := keyReader{text: text}
	return r.value(s)
}

// keyReader goes through valid JSON. Its methods leave it behind what they have read, or report a
// key that comes twice.
type keyReader struct {
	text []byte
	at   int
}

// next passes blanks, and commas and colons with them, and returns the byte that is there.
func (r *keyReader) next() byte {
	for ; r.at < len(r.text); r.at++ {
		switch r.text[r.at] {
		case ' ', '\t', '\r', '\n', ',', ':':
		default:
			return r.text[r.at]
		}
	}
	return 0
}

// value reads one value.
func (r *keyReader) value(s *shape) (twice bool) {
	switch r.next() {
	case '{':
		if s != nil {
			return r.object(s)
		}
		r.skip()
	case '[':
		if s == nil {
			r.skip()
			return false
		}
		for r.at++; r.next() != ']'; {
			if r.value(s) {
				return true
			}
		}
		r.at++
	case '"':
		r.quoted()
	default:
		for r.at < len(r.text) && strings.IndexByte(" \t\r\n,]}", r.text[r.at]) < 0 {
			r.at++
		}
	}
	return false
}

// object reads an object of which something is read.
func (r *keyReader) object(s *shape) (twice bool) {
	var seen keySet
	for r.at++; r.next() != '}'; {
		value, again := seen.add(s, r.name())
		if again || r.value(value) {
			return true
		}
	}
	r.at++
	return false
}

// keySet is what an object has named so far.
type keySet struct {
	exact, variants uint64          // the keys that are read by name: in their spelling, and in another
	others          map[string]bool // the other keys that are read, all in one case
}

// add returns what is read of the key's value, and whether the object has named it before.
func (k *keySet) add(s *shape, name []byte) (value *shape, twice bool) {
	if i, ok := s.key(name); ok {
		twice = (k.exact|k.variants)&s.keys[i].alike != 0
		k.exact |= 1 << i
		return s.keys[i].value, twice
	}
	if i, ok := s.variant(name); ok {
		twice = k.exact&s.keys[i].alike != 0
		k.variants |= s.keys[i].alike
	}
	if !s.every || twice {
		return s.rest, twice
	}
	if k.others == nil {
		k.others = map[string]bool{}
	}
	n := len(k.others)
	k.others[folded(name)] = true
	return s.rest, len(k.others) == n
}

// name reads a key.
func (r *keyReader) name() []byte {
	quoted := r.quoted()
	name := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(name, '\\') < 0 {
		return name
	}
	name, _ = jsontext.AppendUnquote(nil, quoted) // half a surrogate is a character like any other here
	return name
}

// quoted reads a string with its quotes.
func (r *keyReader) quoted() []byte {
	start := r.at
	for r.at++; r.text[r.at] != '"'; r.at++ {
		if r.text[r.at] == '\\' {
			r.at++
		}
	}
	r.at++
	return r.text[start:r.at]
}

// skip passes an object or a list, however deep.
func (r *keyReader) skip() {
	for depth := 0; ; {
		switch r.text[r.at] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			r.quoted()
			continue
		}
		if r.at++; depth == 0 {
			return
		}
	}
}

// folded maps names that bytes.EqualFold calls equal to the same text.
func folded(name []byte) string {
	return string(bytes.Map(func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return next // the smallest rune of the orbit
			}
			r = next
		}
	}, name))
}
