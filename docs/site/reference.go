package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"countersign/relay/control"
)

// openAPI is what of the document the reference shows.
type openAPI struct {
	Paths      map[string]map[string]operation `json:"paths"`
	Components struct {
		Schemas map[string]schema `json:"schemas"`
	} `json:"components"`
}

type operation struct {
	Summary, Description string
	Tags                 []string
	Parameters           []parameter
	RequestBody          *struct {
		Required bool
		Content  map[string]content
	}
	Responses map[string]struct {
		Description string
		Content     map[string]content
	}
}

type parameter struct {
	Name, In, Description string
	Required              bool
	Schema                schema
}

type content struct {
	Schema   schema
	Examples map[string]struct{ Value json.RawMessage }
}

type schema struct {
	Ref         string `json:"$ref"`
	Type        any
	Format      string
	Description string
	Enum        []any
	Required    []string
	Properties  map[string]schema
	Items       *schema
}

// reference is the page of the control API, made of the document that a gateway answers itself.
func reference() ([]byte, error) {
	text, err := control.Document("")
	if err != nil {
		return nil, err
	}
	var doc openAPI
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("read the description of the API: %w", err)
	}
	b := bytes.NewBufferString("# API reference\n\nEvery call of the control API, made from its OpenAPI document (`GET /v1/openapi.json` of a gateway). How tokens, errors, pages and Idempotency-Keys work is in [API](API.md#the-control-api).\n\n")
	tags := map[string][]string{}
	for path, of := range doc.Paths {
		for method, o := range of {
			tag := strings.Join(o.Tags, ", ")
			tags[tag] = append(tags[tag], path+" "+strings.ToUpper(method))
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(tags)) {
		fmt.Fprintf(b, "## %s\n\n", strings.ToUpper(tag[:1])+tag[1:])
		for _, call := range slices.Sorted(slices.Values(tags[tag])) {
			path, method, _ := strings.Cut(call, " ")
			o := doc.Paths[path][strings.ToLower(method)]
			fmt.Fprintf(b, "### `%s %s`\n\n%s.\n\n", method, path, o.Summary)
			if o.Description != "" {
				fmt.Fprintf(b, "%s\n\n", o.Description)
			}
			o.parameters(b)
			o.body(b, &doc)
			o.answers(b, &doc)
		}
	}
	return b.Bytes(), nil
}

// cell is a text that may stand in a table.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", `\<`, "{", `\{`).Replace(s)
}

func (o *operation) parameters(b *bytes.Buffer) {
	if len(o.Parameters) == 0 {
		return
	}
	b.WriteString("| parameter | in | type | meaning |\n|---|---|---|---|\n")
	for _, p := range o.Parameters {
		name := "`" + p.Name + "`"
		if p.Required {
			name += " (required)"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", name, p.In, p.Schema.kind(), cell(p.Description))
	}
	b.WriteByte('\n')
}

func (o *operation) body(b *bytes.Buffer, doc *openAPI) {
	if o.RequestBody == nil {
		return
	}
	for _, c := range o.RequestBody.Content {
		b.WriteString("Body:\n\n")
		c.Schema.fields(b, doc)
		c.example(b)
	}
}

func (o *operation) answers(b *bytes.Buffer, doc *openAPI) {
	for _, status := range slices.Sorted(maps.Keys(o.Responses)) {
		r := o.Responses[status]
		if !strings.HasPrefix(status, "2") {
			continue
		}
		fmt.Fprintf(b, "Answer %s:\n\n", status)
		for media, c := range r.Content {
			if media != "application/json" {
				fmt.Fprintf(b, "`%s`\n\n", media)
				continue
			}
			c.Schema.fields(b, doc)
			c.example(b)
		}
	}
	var refusals []string
	for _, status := range slices.Sorted(maps.Keys(o.Responses)) {
		if !strings.HasPrefix(status, "2") {
			refusals = append(refusals, fmt.Sprintf("| %s | %s |", status, cell(o.Responses[status].Description)))
		}
	}
	if len(refusals) > 0 {
		b.WriteString("| refused with | when |\n|---|---|\n" + strings.Join(refusals, "\n") + "\n\n")
	}
}

func (c content) example(b *bytes.Buffer) {
	names := slices.Sorted(maps.Keys(c.Examples))
	if len(names) == 0 {
		return
	}
	var out bytes.Buffer
	if json.Indent(&out, c.Examples[names[0]].Value, "", "  ") == nil { // one is enough to look at
		fmt.Fprintf(b, "```json\n%s\n```\n\n", out.String())
	}
}

// named is the schema itself, or the component that it names.
func (s schema) named(doc *openAPI) schema {
	if name := strings.TrimPrefix(s.Ref, "#/components/schemas/"); name != "" {
		return doc.Components.Schemas[name]
	}
	return s
}

func (s schema) fields(b *bytes.Buffer, doc *openAPI) {
	s = s.named(doc)
	if len(s.Properties) == 0 {
		return
	}
	b.WriteString("| field | type | meaning |\n|---|---|---|\n")
	s.rows(b, doc, "", 0)
	b.WriteByte('\n')
}

// rows are the fields of an object, with those of the objects in it, two deep.
func (s schema) rows(b *bytes.Buffer, doc *openAPI, at string, depth int) {
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		f := s.Properties[name].named(doc)
		about := cmp.Or(s.Properties[name].Description, f.Description)
		fmt.Fprintf(b, "| `%s%s` | %s | %s |\n", at, name, f.kind(), cell(about))
		inner, mark := f, "."
		if f.Items != nil {
			inner = f.Items.named(doc)
			mark = "[]."
		}
		if depth < 2 && len(inner.Properties) > 0 {
			inner.rows(b, doc, at+name+mark, depth+1)
		}
	}
}

// kind is what a value is, in a word or two.
func (s schema) kind() string {
	if len(s.Enum) > 0 {
		words := make([]string, len(s.Enum))
		for i, e := range s.Enum {
			words[i] = fmt.Sprint(e)
		}
		return cell(strings.Join(words, ", "))
	}
	kind := fmt.Sprint(cmp.Or[any](s.Type, ""))
	if s.Format != "" {
		kind += ", " + s.Format
	}
	return kind
}
