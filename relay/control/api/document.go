package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Route is a call and who may make it.
type Route struct {
	*Call
	Scope   Scope // the least, of viewer, operator and admin; "": it takes none
	Partner bool  // a partner's token may make it too
	Open    bool  // on a loopback address it needs no token
}

// OpenAPI is the OpenAPI 3.1 document of these routes, as JSON.
func OpenAPI(version string, routes []Route) ([]byte, error) {
	parts := schemas{}
	parts.of(reflect.TypeFor[Error](), false)
	paths := object{}
	for i := range routes {
		r := &routes[i]
		method, path := r.Split()
		at, _ := paths[path].(object)
		if at == nil {
			at = object{}
			paths[path] = at
		}
		operation, err := r.operation(parts)
		if err != nil {
			return nil, fmt.Errorf("describe %s: %w", r.Pattern, err)
		}
		at[strings.ToLower(method)] = operation
	}
	return json.Marshal(object{
		"openapi": "3.1.1",
		"info": object{
			"title": "Countersign control API", "version": version, "license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
			"description": "What operators, partners and their programs ask of a gateway. docs/API.md tells what is not said here. What is not among these calls is answered 404 " +
				"(no_such_call), or 405 (method) where another method would be right.",
		},
		"servers": []any{object{"url": "/", "description": "the gateway's control listener, as listen.control has it"}},
		"paths":   paths,
		"components": object{
			"schemas": parts,
			"securitySchemes": object{"token": object{
				"type": "http", "scheme": "bearer", "description": "A token of this gateway. admin may do what operator may, operator what viewer may; partner is apart, and sees its own only.",
			}},
		},
	})
}

// operation describes one call.
func (r *Route) operation(parts schemas) (object, error) {
	o := object{
		"operationId": r.ID, "summary": r.Summary, "tags": []string{r.tag()}, "security": r.security(),
		"parameters": r.parameters(), "responses": r.responses(parts),
	}
	if about := r.about(); about != "" {
		o["description"] = about
	}
	examples, err := r.Examples()
	if err != nil {
		return nil, err
	}
	if r.Ask != nil {
		body := object{"schema": parts.of(reflect.TypeOf(r.Ask), true)}
		if shown := shows(examples, func(e *Example) any { return e.asked() }); len(shown) > 0 {
			body["examples"] = shown
		}
		o["requestBody"] = object{"required": !r.MayAsk, "content": object{"application/json": body}}
	}
	responses := o["responses"].(object) //nolint:forcetypeassert // made above
	for _, e := range examples {
		answer, _ := responses[strconv.Itoa(e.Status)].(object)
		content, _ := answer["content"].(object)
		body, _ := content["application/json"].(object)
		if body == nil || e.Answer == nil {
			continue
		}
		shown, _ := body["examples"].(object)
		if shown == nil {
			shown = object{}
			body["examples"] = shown
		}
		shown[e.Name] = object{"summary": e.Path, "value": e.Answer}
	}
	return o, nil
}

// about are the further sentences.
func (r *Route) about() string {
	if !r.Reads {
		return r.About
	}
	return strings.TrimSpace(r.About + " The call is in the audit trail before it is answered.")
}

// tag is the kind of thing that a call is about.
func (r *Route) tag() string {
	_, path := r.Split()
	if rest, ok := strings.CutPrefix(path, "/v1/"); ok {
		name, _, _ := strings.Cut(rest, "/")
		return strings.TrimSuffix(name, ".json")
	}
	return "machines"
}

// security lists the tokens of which one is needed.
func (r *Route) security() []any {
	all := []any{}
	if r.Open {
		all = append(all, object{})
	}
	switch r.Scope {
	case "":
		return all
	case Viewer:
		all = append(all, object{"token": []Scope{Viewer}}, object{"token": []Scope{Operator}})
	case Operator:
		all = append(all, object{"token": []Scope{Operator}})
	default:
	}
	all = append(all, object{"token": []Scope{Admin}})
	if r.Partner {
		all = append(all, object{"token": []Scope{Partner}})
	}
	return all
}

var inPath = regexp.MustCompile(`\{(\w+)\}`)

// parameters lists those of the path, and the call's own.
func (r *Route) parameters() []any {
	all := []any{}
	for _, m := range inPath.FindAllStringSubmatch(r.Pattern, -1) {
		schema := object{"type": "string", "minLength": 1, "maxLength": 256}
		if m[1] == "name" {
			schema = object{"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$"}
		}
		all = append(all, object{"name": m[1], "in": "path", "required": true, "schema": schema, "description": map[string]string{
			"id": "The id, as lists show it; at most 256 bytes.", "partner": "The partner's id.", "name": "The token's name.", "key": "The key's id, as the list shows it.",
		}[m[1]]})
	}
	for i := range r.Params {
		all = append(all, r.Params[i].object())
	}
	return all
}

func (p *Param) object() object {
	schema := object{"type": p.Kind}
	low, high := "minLength", "maxLength"
	if p.Kind == "integer" {
		low, high = "minimum", "maximum"
	}
	if p.Min > 0 {
		schema[low] = p.Min
	}
	if p.Max > 0 {
		schema[high] = p.Max
	}
	if p.Format != "" {
		schema["format"] = p.Format
	}
	if p.Enum != nil {
		schema["enum"] = p.Enum
	}
	if p.Default != nil {
		schema["default"] = p.Default
	}
	in := "query"
	if p.Header {
		in = "header"
	}
	return object{"name": p.Name, "in": in, "required": p.Need, "description": p.About, "schema": schema}
}

// responses are all that the call may answer, by status.
func (r *Route) responses(parts schemas) object {
	media := r.Media
	if media == "" {
		media = "application/json"
	}
	var schema any
	if either, ok := r.Answer.(Either); ok {
		var any []any
		for _, v := range either {
			any = append(any, parts.of(reflect.TypeOf(v), false))
		}
		schema = object{"anyOf": any}
	} else {
		schema = parts.of(reflect.TypeOf(r.Answer), false)
	}
	content := object{media: object{"schema": schema}}
	if r.ID == "listAudit" {
		content["application/x-ndjson"] = object{"schema": object{"type": "string", "description": "One AuditEntry a line, and at the end an AuditHead."}}
	}
	all := object{"200": object{"description": "It is done, or this is it.", "content": content}}
	if r.ID == "readiness" {
		all["503"] = object{"description": "It should get none.", "content": content}
	}
	for status, list := range r.refusals() {
		all[strconv.Itoa(status)] = refused(list)
	}
	return all
}

// refusals are what the call may be refused with, by status.
func (r *Route) refusals() map[int][]Refusal {
	list := slices.Clone(r.Refuses)
	switch {
	case r.Scope == "" && !r.Open:
		list = append(list, strangeHost)
	case r.Open: // with a wrong token it is refused where one is needed
		list = append(list, unknownToken, expiredToken, revokedToken, tooSmall, strangeHost, tooOften)
	default:
		list = append(list, Everywhere(r.Writes())...)
	}
	if r.Partner && r.Writes() && !slices.Contains(list, tooMany) {
		list = append(list, tooMany)
	}
	by := map[int][]Refusal{}
	for _, f := range list {
		by[f.Status] = append(by[f.Status], f)
	}
	return by
}

// refused is an answer that is an error: of one of these codes, but for 400, whose code mostly is
// the name of what is wrong.
func refused(list []Refusal) object {
	var types, codes, text []string
	for _, f := range list {
		if !slices.Contains(types, f.Type) {
			types = append(types, f.Type)
		}
		line := f.When
		if f.Code != "" {
			codes = append(codes, f.Code)
			line = "`" + f.Code + "`: " + f.When
		}
		text = append(text, line)
	}
	fault := object{"type": object{"enum": types}}
	if list[0].Status != http.StatusBadRequest {
		fault["code"] = object{"enum": codes}
	}
	a := object{
		"description": strings.Join(text, "; ") + ".",
		"content": object{"application/json": object{"schema": object{"allOf": []any{
			object{"$ref": "#/components/schemas/Error"}, object{"properties": object{"error": object{"properties": fault}}},
		}}}},
	}
	headers := object{}
	switch list[0].Status {
	case http.StatusUnauthorized:
		headers["WWW-Authenticate"] = object{"schema": object{"type": "string", "const": "Bearer"}}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		headers["Retry-After"] = object{"description": "Seconds.", "schema": object{"type": "string", "pattern": "^[0-9]+$"}}
	}
	if len(headers) > 0 {
		a["headers"] = headers
	}
	return a
}
