package doctest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mistakes: whatever breaks what the document says of a parameter or a body is refused as a request
// that is wrong, and nothing else.
func (g *running) mistakes(t *testing.T) {
	t.Helper()
	tried := 0
	for _, o := range g.operations(t) {
		if !strings.HasPrefix(o.path, "/v1/") {
			continue
		}
		path, ask := g.sample(o)
		f := func(what, path, ask string, headers ...string) {
			t.Helper()
			a := g.call(request{as: "admin", method: o.method, path: path, ask: ask, headers: headers})
			tried++
			if a.status != http.StatusBadRequest {
				t.Errorf("%s with %s: %d %.200s", o.id, what, a.status, a.body)
			}
			for _, fault := range o.judge(&a) {
				t.Errorf("%s with %s: %s", o.id, what, fault)
			}
		}
		parameters, _ := o.doc["parameters"].([]any)
		for _, p := range parameters {
			name := get(p, "name").(string)
			for _, wrong := range breaks(get(p, "schema").(map[string]any)) {
				what := fmt.Sprintf("%s %.40q", name, wrong)
				switch get(p, "in") {
				case "query":
					f(what, with(path, name, wrong), ask)
				case "header":
					f(what, path, ask, name, wrong)
				case "path":
					at := strings.NewReplacer("{"+name+"}", url.PathEscape(wrong), "{partner}", "acme", "{id}", "user-001").Replace(o.path)
					if !strings.HasSuffix(at, "//") && wrong != "" {
						f(what, at, ask)
					}
				}
			}
			if get(p, "required") == true && get(p, "in") == "query" {
				f("no "+name, with(path, name, ""), ask)
			}
		}
		for what, body := range o.spoilt(t, ask) {
			f(what, path, body)
		}
	}
	t.Logf("%d calls", tried)
}

// with is a path with a parameter in its query; "": without it.
func with(path, name, value string) string {
	path, query, _ := strings.Cut(path, "?")
	q, _ := url.ParseQuery(query)
	if q.Del(name); value != "" {
		q.Set(name, value)
	}
	return path + "?" + q.Encode()
}

// breaks are values that a schema of a parameter does not allow.
func breaks(schema map[string]any) (all []string) {
	number := func(name string) (int, bool) {
		n, ok := schema[name].(json.Number)
		i, _ := n.Int64()
		return int(i), ok
	}
	switch schema["type"] {
	case "integer":
		all = append(all, "x", "1.5", "99999999999999999999")
		if low, ok := number("minimum"); ok {
			all = append(all, strconv.Itoa(low-1))
		}
		if high, ok := number("maximum"); ok {
			all = append(all, strconv.Itoa(high+1))
		}
	case "boolean":
		all = append(all, "perhaps")
	case "string":
		if high, ok := number("maxLength"); ok {
			all = append(all, strings.Repeat("x", high+1))
		}
		if schema["enum"] != nil || schema["pattern"] != nil {
			all = append(all, "No Such Word")
		}
	}
	return all
}

// spoilt are bodies that the call does not take, by what is wrong with them.
func (o *operation) spoilt(t *testing.T, ask string) map[string]string {
	t.Helper()
	if o.asked == nil || ask == "" {
		return nil
	}
	all := map[string]string{"no JSON": "{", "a list": "[]", "two objects": ask + ask}
	edit := func(what string, change func(map[string]any)) {
		m := map[string]any{}
		if err := json.Unmarshal([]byte(ask), &m); err != nil {
			t.Fatal(err)
		}
		change(m)
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if len(o.asks(string(b))) == 0 {
			t.Errorf("%s: the schema allows %s: %s", o.id, what, b)
		}
		all[what] = string(b)
	}
	edit("a field that nobody knows", func(m map[string]any) { m["surplus"] = 1 })
	m := map[string]any{}
	if err := json.Unmarshal([]byte(ask), &m); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		edit(name+" of another type", func(m map[string]any) { m[name] = []any{map[string]any{}} })
		without := map[string]any{}
		maps.Copy(without, m)
		delete(without, name)
		if b, _ := json.Marshal(without); len(o.asks(string(b))) > 0 { // it is needed
			all["no "+name] = string(b)
		}
	}
	return all
}

// surplus is the control of all that: an answer with a field or a status that is not documented is
// found, whichever call it is of.
func (g *running) surplus(t *testing.T) {
	t.Helper()
	for _, o := range g.operations(t) {
		if o.method != "GET" && o.id != "backup" || !strings.HasPrefix(o.path, "/v1/") || o.id == "describe" {
			continue
		}
		path, ask := g.sample(o)
		a := g.call(request{as: "admin", method: o.method, path: path, ask: ask})
		if faults := o.judge(&a); len(faults) > 0 {
			t.Errorf("%s: %v", o.id, faults)
		}
		for what, change := range map[string]func(*answer){
			"another status":  func(a *answer) { a.status = http.StatusAccepted },
			"one more field":  func(a *answer) { a.body = strings.Replace(a.body, "{", `{"surplus":1,`, 1) },
			"another type":    func(a *answer) { a.body = strings.Replace(a.body, `"`, `"x`, 1) },
			"no JSON":         func(a *answer) { a.body = "ok" },
			"another content": func(a *answer) { a.header = http.Header{"Content-Type": {"text/html"}} },
		} {
			spoilt := a
			if change(&spoilt); len(o.judge(&spoilt)) == 0 {
				t.Errorf("%s with %s is not found: %s", o.id, what, spoilt.body)
			}
		}
	}
}
