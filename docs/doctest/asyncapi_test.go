package doctest

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"countersign/ingest/forward"
)

// async is docs/asyncapi.yaml.
func async(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(docs, "asyncapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	text, err = json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, text).(map[string]any)
}

// get is what stands at a path; nil: nothing.
func get(v any, path ...string) any {
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// follow is get, through references within the document.
func follow(t *testing.T, doc any, path ...string) any {
	t.Helper()
	v := doc
	for _, name := range path {
		v = get(v, name)
		for ref, ok := get(v, "$ref").(string); ok; ref, ok = get(v, "$ref").(string) {
			v = get(doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
	}
	return v
}

// TestReferences: every $ref leads somewhere.
func TestReferences(t *testing.T) {
	doc, n := async(t), 0
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				n++
				switch inside, local := strings.CutPrefix(ref, "#/"); {
				case local && get(doc, strings.Split(inside, "/")...) == nil:
					t.Errorf("%s leads nowhere", ref)
				case !local:
					open(t, ref)
				}
			}
			for _, of := range v {
				walk(of)
			}
		case []any:
			for _, of := range v {
				walk(of)
			}
		}
	}
	walk(doc)
	if n < 20 {
		t.Errorf("only %d references", n)
	}
}

// TestAsyncAPI holds asyncapi.yaml to the topics, headers and kinds of the code, and its examples
// to its schemas.
func TestAsyncAPI(t *testing.T) {
	doc := async(t)
	if v := get(doc, "asyncapi"); v != "3.0.0" {
		t.Errorf("version %v", v)
	}
	event := forward.Event{
		ID: "01KM2VSGN1Q0KF3ZB6H8D4YTAC", Type: "kyc.update.observation", Source: "sumsub-eu", Subject: forward.SubjectKey("acme", "user-001"), Key: "acme/user-001",
		At: time.Date(2026, 3, 19, 10, 20, 0, 1e6, time.FixedZone("", 3600)), Traceparent: trace,
	}
	f := func(channel, message, topic, payload string, event forward.Event) {
		t.Helper()
		if got := get(doc, "channels", channel, "address"); got != topic {
			t.Errorf("%s: address %v, want %s", channel, got, topic)
		}
		m, ok := follow(t, doc, "channels", channel, "messages", message).(map[string]any)
		if !ok || get(m, "payload", "$ref") != payload || get(m, "contentType") != "application/json" {
			t.Fatalf("%s: its message is %v", channel, m)
		}
		pointer, _ := get(m, "headers", "$ref").(string)
		declared, _ := get(follow(t, doc, "components", "messages", message, "headers"), "properties").(map[string]any)
		is := compiled(t, doc, strings.TrimPrefix(pointer, "#"))
		full := headersOf(event)
		if got, want := slices.Sorted(maps.Keys(declared)), slices.Sorted(maps.Keys(full)); !slices.Equal(got, want) {
			t.Errorf("%s: headers declared\n%v\nwritten\n%v", channel, got, want)
		}
		if err := is.Validate(full); err != nil {
			t.Errorf("%s: %v: %v", channel, full, err)
		}
		for _, name := range []string{"ce_id", "ce_type", "ce_time", "content-type"} {
			less := maps.Clone(full)
			delete(less, name)
			if is.Validate(less) == nil {
				t.Errorf("%s: %s is not required", channel, name)
			}
		}
		examples, _ := m["examples"].([]any)
		for _, e := range examples {
			if err := is.Validate(get(e, "headers")); err != nil {
				t.Errorf("%s: an example's headers: %v", channel, err)
			}
			text, err := json.Marshal(get(e, "payload"))
			if err != nil {
				t.Fatal(err)
			}
			open(t, payload).holds(t, text)
			if get(e, "headers", "ce_id") != get(e, "payload", "id") {
				t.Errorf("%s: an example has two ids", channel)
			}
		}
		if len(examples) == 0 || get(m, "bindings", "kafka", "key", "type") != "string" {
			t.Errorf("%s: no examples, or no key", channel)
		}
	}
	f("updates", "update", forward.UpdatesTopic, "update.schema.json", event)
	event.ID, event.Type, event.Source = "evt_01KM2VSGN1Z7W3R5T9X2C4V6BM", "kyc.status.approved", ""
	f("changes", "change", forward.ChangesTopic, "change.schema.json", event)

	var kinds []string
	for _, k := range words(t)["Kind"] {
		kinds = append(kinds, "kyc.update."+k)
	}
	var named []string
	for _, x := range examplesOf(follow(t, doc, "components", "messages", "update", "headers", "properties", "ce_type").(map[string]any)) {
		named = append(named, x.(string))
	}
	if !slices.Equal(named, kinds) {
		t.Errorf("ce_type: named %v, written %v", named, kinds)
	}
}

// headersOf are the headers that the code writes.
func headersOf(e forward.Event) map[string]any {
	all := map[string]any{}
	for _, h := range e.Message(nil).Headers {
		all[h.Name] = string(h.Value)
	}
	return all
}
