// Package doctest holds docs/API.md, docs/EVENTS.md, its JSON Schemas and asyncapi.yaml to the code: what is really
// written is described there, and nothing else. It is a module of its own so that a validator never
// enters the product's, and has tests only.
package doctest

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"countersign/kyc"
)

const docs = ".."

// schema is a JSON Schema as it stands in docs/, and in the strict form: readers pass over fields
// that they do not know, we write none that is not declared.
type schema struct {
	doc    map[string]any
	strict *jsonschema.Schema
}

func open(t *testing.T, name string) schema {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(docs, name))
	if err != nil {
		t.Fatal(err)
	}
	s := schema{doc: decoded(t, text).(map[string]any)}
	s.strict = compiled(t, closed(decoded(t, text)), "")
	compiled(t, s.doc, "")
	return s
}

// compiled is the schema at a JSON pointer of a document. Formats are asserted.
func compiled(t *testing.T, doc any, pointer string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("doc.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("doc.json#" + pointer)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func decoded(t *testing.T, text []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// closed forbids every property that is not declared.
func closed(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for _, of := range v {
			closed(of)
		}
		if properties, ok := v["properties"].(map[string]any); ok && properties["properties"] == nil {
			v["additionalProperties"] = false
		}
	case []any:
		for _, of := range v {
			closed(of)
		}
	}
	return v
}

// holds validates what is written.
func (s schema) holds(t *testing.T, text []byte) {
	t.Helper()
	if err := s.strict.Validate(decoded(t, text)); err != nil {
		t.Errorf("%s\n%v", text, err)
	}
}

// at is the schema of a property, as "subject.id" or "reasons.code".
func (s schema) at(path string) map[string]any {
	v := s.doc
	for name := range strings.SplitSeq(path, ".") {
		properties, _ := v["properties"].(map[string]any)
		v, _ = properties[name].(map[string]any)
		if items, ok := v["items"].(map[string]any); ok {
			v = items
		}
		if ref, ok := v["$ref"].(string); ok {
			v, _ = s.doc["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
		}
	}
	return v
}

func (s schema) examples(path string) (words []string) {
	all, _ := s.at(path)["examples"].([]any)
	for _, x := range all {
		w, _ := x.(string)
		words = append(words, w)
	}
	return words
}

// declared lists every property, at every depth.
func (s schema) declared() []string {
	var all []string
	var walk func(prefix string, v map[string]any)
	walk = func(prefix string, v map[string]any) {
		properties, _ := v["properties"].(map[string]any)
		for name := range properties {
			all = append(all, prefix+name)
			walk(prefix+name+".", s.at(prefix+name))
		}
	}
	walk("", s.doc)
	slices.Sort(all)
	return all
}

// written lists every key of an object, at every depth.
func written(v any) []string {
	all := map[string]bool{}
	var walk func(prefix string, v any)
	walk = func(prefix string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, of := range v {
				all[prefix+name] = true
				walk(prefix+name+".", of)
			}
		case []any:
			for _, of := range v {
				walk(prefix, of)
			}
		}
	}
	walk("", v)
	return slices.Sorted(maps.Keys(all))
}

// fill sets every field, to the first example that the schema gives for it.
func fill(t *testing.T, s schema, v reflect.Value, prefix string) {
	t.Helper()
	for field, of := range v.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" {
			continue // never written
		}
		path := prefix + name
		if of.Kind() == reflect.Slice {
			of.Set(reflect.MakeSlice(of.Type(), 1, 1))
			of = of.Index(0)
		}
		if of.Kind() == reflect.Struct && of.Type().String() != "time.Time" {
			fill(t, s, of, path+".")
			continue
		}
		var example any = "x"
		switch examples, _ := s.at(path)["examples"].([]any); {
		case len(examples) > 0:
			example = examples[0]
		case of.Kind() == reflect.Bool:
			example = true
		default:
			t.Errorf("%s is not declared, or has no example", path)
		}
		text, err := json.Marshal(example)
		if err == nil {
			err = json.Unmarshal(text, of.Addr().Interface())
		}
		if err != nil {
			t.Errorf("%s: the example %s: %v", path, text, err)
		}
	}
}

// TestEveryField: what the code can write and what is declared is the same, and what it always
// writes is what is required.
func TestEveryField(t *testing.T) {
	f := func(name string, full, least []byte, besides string) {
		t.Helper()
		s := open(t, name)
		s.holds(t, full)
		if got, want := written(decoded(t, full)), s.declared(); !slices.Equal(got, want) {
			t.Errorf("%s: written\n%v\ndeclared\n%v", name, got, want)
		}
		var required []string
		for _, r := range s.doc["required"].([]any) {
			required = append(required, r.(string))
		}
		slices.Sort(required)
		always := append(written(decoded(t, least)), besides) // never empty, though its type would allow it
		slices.Sort(always)
		if !slices.Equal(required, always) {
			t.Errorf("%s: required\n%v\nalways there\n%v", name, required, always)
		}
	}
	var u, leastUpdate kyc.Update
	fill(t, open(t, "update.schema.json"), reflect.ValueOf(&u).Elem(), "")
	f("update.schema.json", u.AppendJSON(nil), leastUpdate.AppendJSON(nil), "id")
	var c, leastChange kyc.Change
	fill(t, open(t, "change.schema.json"), reflect.ValueOf(&c).Elem(), "")
	f("change.schema.json", c.AppendJSON(nil), leastChange.AppendJSON(nil), "subject")
}

// TestStrictIsStrict: a field that is not declared is found, at every depth, and so is a time that
// is none.
func TestStrictIsStrict(t *testing.T) {
	f := func(name, text, with string) {
		t.Helper()
		s := open(t, name)
		whole := strings.Replace(text, "}", with+"}", 1)
		if s.strict.Validate(decoded(t, []byte(whole))) == nil {
			t.Errorf("%s: %s passes", name, whole)
		}
	}
	const update = `{"schema_version":1,"id":"01KM2VSGN1Q0KF3ZB6H8D4YTAC","kind":"timer","livemode":true,"retryable":false,"terminal":false,"needs_confirmation":false,"expiring":false}`
	open(t, "update.schema.json").holds(t, []byte(update))
	f("update.schema.json", update, `,"name":"x"`)
	f("update.schema.json", update, `,"subject":{"name":"x"}`)
	f("update.schema.json", update, `,"reasons":[{"code":"other","text":"x"}]`)
	f("update.schema.json", update, `,"received_at":"yesterday"`)
	f("update.schema.json", update, `,"body_sha256":"9F"`)
}

// TestSchemasAreOpen: a reader that validates must not stumble over what a later version adds.
func TestSchemasAreOpen(t *testing.T) {
	for _, name := range []string{"update.schema.json", "change.schema.json"} {
		text, err := os.ReadFile(filepath.Join(docs, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, no := range []string{"additionalProperties", "unevaluatedProperties", `"enum"`, `"const"`} {
			if bytes.Contains(text, []byte(no)) {
				t.Errorf("%s has %s", name, no)
			}
		}
	}
}

// TestExamples: each example is one, and each property and each description of it is there.
func TestExamples(t *testing.T) {
	for _, name := range []string{"update.schema.json", "change.schema.json"} {
		s := open(t, name)
		for _, path := range s.declared() {
			v := s.at(path)
			if text, _ := v["description"].(string); !strings.HasSuffix(text, ".") {
				t.Errorf("%s: %s has no description in sentences", name, path)
			}
			one := maps.Clone(v)
			one["$defs"] = s.doc["$defs"]
			is := compiled(t, one, "")
			for _, x := range examplesOf(v) {
				if err := is.Validate(x); err != nil {
					t.Errorf("%s: %s: the example %v: %v", name, path, x, err)
				}
			}
		}
	}
}

func examplesOf(v map[string]any) []any {
	all, _ := v["examples"].([]any)
	return all
}
