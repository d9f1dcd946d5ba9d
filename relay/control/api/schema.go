package api

import (
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// object is a part of the document.
type object = map[string]any

// schemas are the document's schemas, by the name of the Go type.
type schemas map[string]any

var listName = regexp.MustCompile(`^List\[.*\.(\w+)\]$`)

// of is the schema of a type: a reference to its own, if it has a name.
func (s schemas) of(t reflect.Type, asked bool) any {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return object{"type": "string", "contentEncoding": "base64"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem(), asked)
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Uint64:
		return object{"type": "integer", "minimum": 0}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem(), asked)}
	case reflect.Map:
		if t.Elem().Kind() == reflect.Interface {
			return object{"type": "object"}
		}
		return object{"type": "object", "additionalProperties": s.of(t.Elem(), asked)}
	case reflect.Struct:
		name := t.Name()
		if m := listName.FindStringSubmatch(name); m != nil {
			name = m[1] + "List"
		}
		if _, known := s[name]; !known {
			s[name] = nil // it may hold itself
			s[name] = s.fields(t, asked)
		}
		return object{"$ref": "#/components/schemas/" + name}
	default:
		panic("the API's types hold no " + t.String())
	}
}

// fields is the schema of a struct. What is asked takes no field that it does not know; what is
// answered may get more.
func (s schemas) fields(t reflect.Type, asked bool) object {
	properties, required := object{}, []string{}
	s.collect(t, asked, properties, &required)
	o := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		o["required"] = required
	}
	if asked {
		o["additionalProperties"] = false
	}
	return o
}

func (s schemas) collect(t reflect.Type, asked bool, properties object, required *[]string) {
	for f := range t.Fields() {
		if f.Anonymous {
			s.collect(f.Type, asked, properties, required)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		schema := described(s.of(f.Type, asked), f.Tag)
		if asked && f.Type.Kind() == reflect.Pointer { // null says as little as nothing
			schema["type"] = []string{schema["type"].(string), "null"}
		}
		properties[name] = schema
		if need := f.Tag.Get("need") == "true"; need || !asked && options != "omitempty" && options != "omitzero" {
			*required = append(*required, name)
		}
	}
}

// described adds what a field's tags say.
func described(schema any, tag reflect.StructTag) object {
	o := schema.(object) //nolint:forcetypeassert // every schema is one
	if text := tag.Get("doc"); text != "" {
		o["description"] = text
	}
	if words := tag.Get("enum"); words != "" {
		list := strings.Split(words, ",")
		if tag.Get("need") != "true" && strings.Contains(tag.Get("json"), "omitempty") {
			list = append(list, "") // which says as little as nothing
		}
		o["enum"] = list
	}
	for name, key := range map[string]string{"min": "minimum", "max": "maximum"} {
		n, err := strconv.Atoi(tag.Get(name))
		if err != nil {
			continue
		}
		if o["type"] == "string" {
			key = strings.Replace(key, "imum", "Length", 1)
		}
		o[key] = n
	}
	return o
}
