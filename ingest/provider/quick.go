package provider

import (
	"bytes"
	"encoding"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// plan is how values of a type are read at once, by what nearly every body is: sound, with every
// key that is read once, in its spelling, and with a value of its type. A body is gone over once
// then, in place of once by the JSON package, which looks for its keys in other spellings too, and
// once for keys that come twice (BenchmarkDecode). Whatever is otherwise is not judged here: the
// body is read again by decodeAs, which alone refuses, and says why.
type plan struct {
	form  planForm
	typ   reflect.Type
	keys  []planKey // of a structure
	names *shape    // of a structure, and of what is read in its own way
	elem  *plan     // of a list, and of what is behind a pointer
}

type planKey struct {
	name string
	path []int // of the field
	plan *plan
}

// planForm is what sort of value a type is read from.
type planForm byte

const (
	ownForm    planForm = iota // in its own way, by the JSON package
	textForm                   // a text
	identForm                  // a text, or a whole number
	veriffForm                 // a text, a number, or an object that is read in its own way
	truthForm                  // true or false
	anyForm                    // kept as it came
	structForm                 // an object
	listForm                   // a list
	thereForm                  // anything else behind a pointer
)

// plans holds the plan of each type that was ever decoded into.
var plans sync.Map // reflect.Type → *plan

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan) //nolint:forcetypeassert // nothing else is in it
	}
	p, _ := plans.LoadOrStore(t, newPlan(t, map[reflect.Type]*plan{}))
	return p.(*plan) //nolint:forcetypeassert // nothing else is in it
}

var (
	identType = reflect.TypeFor[ident]()
	wordType  = reflect.TypeFor[veriffText]()
	valueType = reflect.TypeFor[jsontext.Value]()
	ownReader = []reflect.Type{reflect.TypeFor[json.UnmarshalerFrom](), reflect.TypeFor[json.Unmarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]()}
)

// newPlan makes the plan of a type; open holds those begun, since a type may hold itself.
func newPlan(t reflect.Type, open map[reflect.Type]*plan) *plan {
	if p, ok := open[t]; ok {
		return p
	}
	p := &plan{typ: t}
	open[t] = p
	switch reads := func(by reflect.Type) bool { return reflect.PointerTo(t).Implements(by) }; {
	case t == identType:
		p.form = identForm
	case t == wordType:
		p.form = veriffForm
	case t == valueType:
		p.form = anyForm
	case slices.ContainsFunc(ownReader, reads):
	case t.Kind() == reflect.String:
		p.form = textForm
	case t.Kind() == reflect.Bool:
		p.form = truthForm
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		p.form, p.elem = listForm, newPlan(t.Elem(), open)
	case t.Kind() == reflect.Pointer:
		p.form, p.elem = thereForm, newPlan(t.Elem(), open)
	case t.Kind() == reflect.Struct && p.fields(t, nil, open) && !p.ambiguous():
		p.form = structForm
	}
	if p.form == ownForm || p.form == structForm || p.form == veriffForm {
		p.names = shapeOf(t)
	}
	return p
}

// fields adds the keys of a struct, with those of what is embedded in it; false: it has some that
// are read in a way that is not known here.
func (p *plan) fields(t reflect.Type, path []int, open map[reflect.Type]*plan) bool {
	for i := range t.NumField() {
		f, to := t.Field(i), append(slices.Clone(path), i)
		tag, named := f.Tag.Lookup("json")
		switch {
		case f.Anonymous && !named && f.Type.Kind() == reflect.Struct:
			if !p.fields(f.Type, to, open) {
				return false
			}
		case f.Anonymous, !f.IsExported(), !named, tag == "", tag == "-", strings.Contains(tag, ","):
			return false
		default:
			p.keys = append(p.keys, planKey{tag, to, newPlan(f.Type, open)})
		}
	}
	return len(p.keys) <= maxShapeKeys
}

// ambiguous reports whether two fields have keys that differ in case at most: of those, a body may
// have one.
func (p *plan) ambiguous() bool {
	for i := range p.keys {
		for j := range i {
			if strings.EqualFold(p.keys[i].name, p.keys[j].name) {
				return true
			}
		}
	}
	return false
}

// key is the place of a key; -1: it is not read by this name.
func (p *plan) key(name []byte) int {
	for i := range p.keys {
		if string(name) == p.keys[i].name {
			return i
		}
	}
	return -1
}

// quickly reads a body into v, which is zero; false: v has to be cleared, and the body read by
// decodeAs.
func quickly(body []byte, v reflect.Value) bool {
	p := planOf(v.Type())
	if p.form != structForm || !utf8.Valid(body) {
		return false
	}
	r := quickReaders.Get().(*quickReader) //nolint:forcetypeassert // the pool holds nothing else
	defer r.free()
	r.text = unmarked(body)
	if r.next() != '{' || !r.object(p, v, 0) || r.next() != 0 || r.at != len(r.text) {
		return false
	}
	r.settle()
	return true
}

// quickReader goes through a body. Its methods leave it behind what they have read, or report false.
//
// The texts of a body share one piece of memory, for they are short and many: they are gathered, and
// put into their fields at the end.
type quickReader struct {
	text  []byte
	at    int
	lists int // in how many it is: what is in one may be moved before the end, so its texts are put there at once

	gathered []byte
	texts    []quickText
}

// quickText is where a text goes, and where it ends in what is gathered.
type quickText struct {
	field reflect.Value
	end   int
}

var quickReaders = sync.Pool{New: func() any { return new(quickReader) }}

// set puts a text into its field, or has it put there at the end.
func (r *quickReader) set(field reflect.Value, text []byte) {
	if r.lists > 0 {
		field.SetString(string(text))
		return
	}
	r.gathered = append(r.gathered, text...)
	r.texts = append(r.texts, quickText{field, len(r.gathered)})
}

// settle puts the texts that are gathered into their fields.
func (r *quickReader) settle() {
	all, from := string(r.gathered), 0
	for i := range r.texts {
		t := &r.texts[i]
		t.field.SetString(all[from:t.end])
		from = t.end
	}
}

// free keeps the memory for another body, and nothing of this one, unless it was a large one.
func (r *quickReader) free() {
	const most = 16 << 10
	if cap(r.gathered) > most {
		return
	}
	clear(r.gathered)
	clear(r.texts)
	*r = quickReader{gathered: r.gathered[:0], texts: r.texts[:0]}
	quickReaders.Put(r)
}

// object reads an object into a struct.
func (r *quickReader) object(p *plan, v reflect.Value, depth int) bool {
	var seen uint64
	return r.members(depth, func(name []byte, plain bool) bool {
		at := p.key(name)
		if at < 0 {
			_, other := p.names.variant(name)
			return plain && !other && r.skip(depth+1)
		}
		if seen&(1<<at) != 0 {
			return false
		}
		seen |= 1 << at
		field := v
		for _, i := range p.keys[at].path {
			field = field.Field(i)
		}
		return r.value(p.keys[at].plan, field, depth+1)
	})
}

// list reads a list into a slice.
func (r *quickReader) list(p *plan, v reflect.Value, depth int) bool {
	r.lists++
	defer func() { r.lists-- }()
	v.Set(reflect.MakeSlice(p.typ, 0, 0))
	return r.elements(depth, func() bool {
		n := v.Len()
		v.Grow(1)
		v.SetLen(n + 1)
		return r.value(p.elem, v.Index(n), depth+1)
	})
}

// value reads a value, which is zero.
func (r *quickReader) value(p *plan, v reflect.Value, depth int) bool {
	c := r.next()
	from := r.at
	switch {
	case p.form == anyForm:
		if !r.skip(depth) {
			return false
		}
		v.SetBytes(bytes.Clone(r.text[from:r.at]))
		return true
	case p.form == ownForm, p.form == veriffForm && c == '{':
		if !r.skip(depth) {
			return false
		}
		text := r.text[from:r.at]
		return !p.names.twice(text) && json.Unmarshal(text, v.Addr().Interface(), lax) == nil
	case c == 'n':
		return r.literal("null")
	case p.form == thereForm:
		v.Set(reflect.New(p.elem.typ))
		return r.value(p.elem, v.Elem(), depth)
	case p.form == structForm && c == '{':
		return r.object(p, v, depth)
	case p.form == listForm && c == '[':
		return r.list(p, v, depth)
	case p.form == truthForm && c == 't':
		v.SetBool(true)
		return r.literal("true")
	case p.form == truthForm && c == 'f':
		return r.literal("false")
	case c == '"' && (p.form == textForm || p.form == identForm || p.form == veriffForm):
		return r.words(v)
	case p.form == identForm, p.form == veriffForm:
		if !r.number() || p.form == identForm && bytes.ContainsAny(r.text[from:r.at], ".eE") {
			return false
		}
		r.set(v, r.text[from:r.at])
		return true
	default:
		return false
	}
}

// words reads a text.
func (r *quickReader) words(v reflect.Value) bool {
	from := r.at
	text, plain, ok := r.quoted()
	if ok && !plain {
		var err error
		text, err = jsontext.AppendUnquote(nil, r.text[from:r.at])
		ok = err == nil
	}
	r.set(v, text)
	return ok
}
