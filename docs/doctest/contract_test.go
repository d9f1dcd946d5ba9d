package doctest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	"github.com/pb33f/libopenapi-validator/schema_validation"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// operation is one call of the document, and the schemas that its answers are held to: no field
// that is not declared.
type operation struct {
	id, method, path string
	doc              map[string]any
	answers          map[int]map[string]*jsonschema.Schema // by status and media type; nil: any bytes
	asked            *jsonschema.Schema                    // nil: no body
	may              []string                              // scopes; "": nobody need say who he is
}

// operations are all of the document.
func (g *running) operations(t *testing.T) []*operation {
	t.Helper()
	if g.calls == nil {
		g.calls = g.read(t)
	}
	return g.calls
}

// read compiles the document's schemas, which takes a moment.
func (g *running) read(t *testing.T) (all []*operation) {
	t.Helper()
	strict := strictly(decoded(t, g.text))
	paths, _ := g.doc["paths"].(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for method, v := range paths[path].(map[string]any) {
			doc := v.(map[string]any)
			at := "/paths/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(path) + "/" + method
			o := &operation{id: doc["operationId"].(string), method: strings.ToUpper(method), path: path, doc: doc, answers: map[int]map[string]*jsonschema.Schema{}}
			for status, r := range doc["responses"].(map[string]any) {
				code, err := strconv.Atoi(status)
				if err != nil {
					t.Fatalf("%s answers %s", o.id, status)
				}
				o.answers[code] = map[string]*jsonschema.Schema{}
				content, _ := r.(map[string]any)["content"].(map[string]any)
				for media := range content {
					o.answers[code][media] = nil
					if media == "application/json" {
						o.answers[code][media] = compiled(t, strict, at+"/responses/"+status+"/content/application~1json/schema")
					}
				}
			}
			if doc["requestBody"] != nil {
				o.asked = compiled(t, strict, at+"/requestBody/content/application~1json/schema")
			}
			for _, s := range doc["security"].([]any) {
				scopes, _ := s.(map[string]any)["token"].([]any)
				if scopes == nil {
					o.may = append(o.may, "")
				}
				for _, scope := range scopes {
					o.may = append(o.may, scope.(string))
				}
			}
			all = append(all, o)
		}
	}
	return all
}

// strictly forbids every property of an answer that is not declared. Those that say more of one
// declared elsewhere stay as they are.
func strictly(doc any) any {
	schemas, _ := get(doc, "components", "schemas").(map[string]any)
	for _, s := range schemas {
		if s := s.(map[string]any); s["properties"] != nil {
			s["additionalProperties"] = false
		}
	}
	return doc
}

func (g *running) operation(t *testing.T, id string) *operation {
	t.Helper()
	for _, o := range g.operations(t) {
		if o.id == id {
			return o
		}
	}
	t.Fatalf("there is no call %s", id)
	return nil
}

// judge says in what an answer is not as it is documented.
func (o *operation) judge(a *answer) (faults []string) {
	media, ok := o.answers[a.status]
	if !ok {
		return []string{fmt.Sprintf("%d is not among what it answers: %.300s", a.status, a.body)}
	}
	kind, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	schema, ok := media[kind]
	if _, any := media["*/*"]; !ok && !any {
		return []string{fmt.Sprintf("%d comes as %q: %.300s", a.status, kind, a.body)}
	}
	if schema == nil {
		return nil
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(a.body))
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		faults = append(faults, fmt.Sprintf("%d is not as its schema says: %v: %.300s", a.status, err, a.body))
	}
	headers, _ := o.doc["responses"].(map[string]any)[strconv.Itoa(a.status)].(map[string]any)["headers"].(map[string]any)
	for name := range headers {
		if a.header.Get(name) == "" {
			faults = append(faults, fmt.Sprintf("%d has no %s", a.status, name))
		}
	}
	return faults
}

// asks says in what a body is not as it is documented.
func (o *operation) asks(body string) []string {
	if body == "" {
		return nil
	}
	if o.asked == nil {
		return []string{"the call takes no body"}
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	if err == nil {
		err = o.asked.Validate(v)
	}
	if err != nil {
		return []string{err.Error()}
	}
	return nil
}

// wellFormed says in what a document is none of OpenAPI 3.1.
func wellFormed(t *testing.T, text []byte) (faults []string) {
	t.Helper()
	doc, err := libopenapi.NewDocument(text)
	if err != nil {
		return []string{err.Error()}
	}
	if _, err := doc.BuildV3Model(); err != nil {
		faults = append(faults, err.Error())
	}
	ok, problems := schema_validation.ValidateOpenAPIDocument(doc)
	for _, p := range problems {
		faults = append(faults, p.Message+": "+p.Reason)
	}
	if !ok && len(faults) == 0 {
		faults = append(faults, "it is not valid")
	}
	return faults
}

// TestContract runs the whole program and holds it to the document that it answers.
func TestContract(t *testing.T) {
	g := gateway(t)
	t.Run("document", func(t *testing.T) {
		for _, fault := range wellFormed(t, g.text) {
			t.Error(fault)
		}
		for _, part := range []string{`"openapi":"3.1.1"`, `"in":"path",`, `"title":"Countersign control API",`} { // spoilt, it has to be found
			spoilt := strings.Replace(string(g.text), part, "", 1)
			if strings.HasPrefix(part, `"openapi`) {
				spoilt = strings.Replace(string(g.text), part, `"openapi":"3.1.1","swagger":2`, 1)
			}
			if spoilt == string(g.text) || len(wellFormed(t, []byte(spoilt))) == 0 {
				t.Errorf("without %s the document is well formed too: this test sees nothing", part)
			}
		}
	})
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{{"examples", g.play}, {"shown", g.shown}, {"everybody", g.everybody}, {"mistakes", g.mistakes}, {"control", g.surplus}} {
		t.Run(part.name, func(t *testing.T) {
			g.t = t
			part.run(t)
		})
	}
	g.t = t
}

// shown: what the document has of examples is as its own schemas say.
func (g *running) shown(t *testing.T) {
	t.Helper()
	for _, o := range g.operations(t) {
		n := 0
		for status, r := range o.doc["responses"].(map[string]any) {
			examples, _ := get(r, "content", "application/json", "examples").(map[string]any)
			for name, e := range examples {
				n++
				code, _ := strconv.Atoi(status)
				if err := o.answers[code]["application/json"].Validate(get(e, "value")); err != nil {
					t.Errorf("%s, %s: %v", o.id, name, err)
				}
			}
		}
		if strings.HasPrefix(o.path, "/v1/") && o.id != "describe" && n == 0 {
			t.Errorf("%s shows no example", o.id)
		}
	}
}

// sample is a call as an example makes it that is done.
func (g *running) sample(o *operation) (path, ask string) {
	g.t.Helper()
	path = strings.NewReplacer("{partner}", "acme", "{id}", "user-001", "{name}", "nobody").Replace(o.path)
	done, _ := get(o.doc, "responses", "200", "content", "application/json", "examples").(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(done)) {
		path = get(done[name], "summary").(string)
		if v := get(o.doc, "requestBody", "content", "application/json", "examples", name, "value"); v != nil {
			b, err := json.Marshal(v)
			if err != nil {
				g.t.Fatal(err)
			}
			ask = string(b)
			break
		}
	}
	return path, strings.ReplaceAll(ask, folder, g.dir)
}

// everybody makes every call as everybody, and in every method.
func (g *running) everybody(t *testing.T) {
	t.Helper()
	ops := g.operations(t)
	tried := 0
	for _, o := range ops {
		path, ask := g.sample(o)
		callers := []string{"", "nobody", "viewer", "operator", "admin", "partner", "other"}
		if o.id == "profile" || o.id == "trace" { // each takes a second
			path, callers = path+"?seconds=1", callers[:1]
		}
		for _, as := range callers {
			a := g.call(request{as: as, method: o.method, path: path, ask: ask})
			tried++
			for _, fault := range append(o.judge(&a), o.entitles(as, a.status)...) {
				t.Errorf("%s by %q: %s", o.id, as, fault)
			}
		}
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
			if slices.ContainsFunc(ops, func(p *operation) bool { return p.method == method && p.matches(path) }) {
				continue
			}
			a := g.call(request{as: "admin", method: method, path: path})
			tried++
			var e struct {
				Error struct{ Type, Code, Message string }
			}
			if err := json.Unmarshal([]byte(a.body), &e); err != nil || a.status != http.StatusMethodNotAllowed || e.Error.Type != "invalid_request" || e.Error.Code != "method" {
				t.Errorf("%s %s: %d %s", method, path, a.status, a.body)
			}
		}
	}
	t.Logf("%d calls", tried)
}

// matches reports whether a path is one of the operation's.
func (o *operation) matches(path string) bool {
	path, _, _ = strings.Cut(path, "?")
	have, want := strings.Split(path, "/"), strings.Split(o.path, "/")
	return len(have) == len(want) && !slices.ContainsFunc(want, func(s string) bool {
		i := slices.Index(want, s)
		return !strings.HasPrefix(s, "{") && have[i] != s
	}) || strings.HasSuffix(o.path, "/") && strings.HasPrefix(path, o.path)
}

// entitles says whether somebody was let in, or kept out, against the document.
func (o *operation) entitles(as string, status int) []string {
	kept := status == http.StatusUnauthorized || status == http.StatusTooManyRequests && (as == "" || as == "nobody")
	forbidden := status == http.StatusForbidden
	open := len(o.may) == 0 || slices.Contains(o.may, "")
	scope := as
	if as == "other" {
		scope = "partner"
	}
	switch {
	case open:
		if kept || forbidden {
			return []string{fmt.Sprintf("anybody may, and is answered %d", status)}
		}
	case as == "" || as == "nobody":
		if !kept {
			return []string{fmt.Sprintf("without a token it is answered %d", status)}
		}
	case !slices.Contains(o.may, scope):
		if !forbidden {
			return []string{fmt.Sprintf("it may not, and is answered %d", status)}
		}
	case kept || forbidden && as != "other":
		return []string{fmt.Sprintf("it may, and is answered %d", status)}
	}
	return nil
}
