package console

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"countersign/docs"
	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

func verifyPages() []page {
	return []page{{"GET /console/verify", "Verify webhooks", api.Viewer, true, 0, verifyWebhooks}}
}

// wire is how the deliveries of a format are signed.
type wire struct {
	snippets string // of docs/FORMATS.md
	name     string
	headers  []string
	signed   string // what the signature covers
	id       string // where the id is that is the same for each attempt
}

var (
	standardWire = wire{
		"standard", "Standard Webhooks",
		[]string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"},
		"webhook-id, a dot, webhook-timestamp, a dot, and the body", "Webhook-Id",
	}
	// wires are the signatures of the formats.
	wires = map[string]wire{
		"standard": standardWire, "cloudevents": standardWire, "bluum": standardWire, "rebilly": standardWire,
		"blendfi":    {"blendfi", "hex HMAC of the body", []string{"X-Blendfi-Signature"}, "the body", "the body itself: it has no id"},
		"blendfi-v1": {"blendfi-v1", "timestamp and hex HMAC", []string{"X-Blendfi-Signature", "X-Blendfi-Event-Id", "X-Blendfi-Event-Type", "X-Blendfi-Timestamp"}, "the timestamp, a dot, and the body", "X-Blendfi-Event-Id, and id in the body"},
	}
	languageNames = map[string]string{"go": "Go", "python": "Python", "javascript": "JavaScript (Node)", "java": "Java", "php": "PHP"}
	languageFiles = map[string]string{"go": "verify.go", "python": "verify.py", "javascript": "verify.js", "java": "Verify.java", "php": "verify.php"}
	languageRuns  = map[string]string{"go": "go run verify.go", "python": "python3 verify.py", "javascript": "node verify.js", "java": "java Verify.java", "php": "php verify.php"}
)

// verifyView is how the webhooks of an endpoint are verified.
type verifyView struct {
	Endpoints []endpointName
	Next      string
	Endpoint  string
	Format    string
	Keys      []api.EndpointKey
	Signature string
	Headers   []string
	Signed    string
	Repeat    string
	Kinds     []verifyKind
}

// endpointName is an endpoint to choose.
type endpointName struct {
	ID, To string
	Here   bool
}

// verifyKind is the code for one kind of key.
type verifyKind struct {
	Kind     string // hmac or ed25519
	Programs []program
}

// program verifies a delivery, in one language.
type program struct {
	Language, Name, File, Run, Code string
	Needs                           string // a package of Python; "": it needs none
}

// verifyWebhooks shows code that verifies what an endpoint is sent.
func verifyWebhooks(v *visit) (answer, error) {
	l, err := v.api.ListEndpoints(v.Context(), v.page())
	if err != nil {
		return answer{}, err
	}
	view := verifyView{Endpoint: v.FormValue("endpoint")}
	if l.HasMore && l.Next != "" {
		view.Next = "/console/verify?" + query("cursor", l.Next)
	}
	if view.Endpoint == "" && len(l.Data) > 0 {
		view.Endpoint = l.Data[0].ID
	}
	for i := range l.Data {
		id := l.Data[i].ID
		view.Endpoints = append(view.Endpoints, endpointName{id, "/console/verify?" + query("endpoint", id, "cursor", v.FormValue("cursor")), id == view.Endpoint})
	}
	if view.Endpoint == "" {
		return show("verify", "Verify webhooks", view)
	}
	e, err := v.api.Endpoint(v.Context(), view.Endpoint)
	if err != nil {
		return answer{}, err
	}
	keys, err := v.api.ListKeys(v.Context(), view.Endpoint)
	if err != nil {
		return answer{}, err
	}
	view.Format = e.Format
	view.Keys = slices.DeleteFunc(keys.Data, func(k api.EndpointKey) bool { return k.Status != "signs" })
	w, ok := wires[e.Format]
	if !ok {
		return answer{}, &client.Error{Status: http.StatusNotFound, Text: "There is no code for the format " + e.Format + "."}
	}
	view.Signature, view.Headers, view.Signed, view.Repeat = w.name, w.headers, w.signed, w.id
	view.kinds(&w)
	return show("verify", "Verify webhooks", view)
}

// kinds makes the code for the kinds of keys that sign.
func (view *verifyView) kinds(w *wire) {
	for _, kind := range []string{"hmac", "ed25519"} {
		of := slices.DeleteFunc(slices.Clone(view.Keys), func(k api.EndpointKey) bool { return k.Kind != kind })
		if len(of) == 0 {
			continue
		}
		signature := w.snippets
		if kind == "ed25519" {
			signature += "-ed25519"
		}
		k := verifyKind{Kind: kind}
		for _, s := range docs.Snippets(signature) {
			p := program{Language: s.Language, Name: languageNames[s.Language], File: languageFiles[s.Language], Run: languageRuns[s.Language], Code: view.filled(s, &of[0], w)}
			if kind == "ed25519" && s.Language == "python" {
				p.Needs = "cryptography" // its standard library has no ed25519
			}
			k.Programs = append(k.Programs, p)
		}
		view.Kinds = append(view.Kinds, k)
	}
}

// filled is a program with what it verifies said at its top: the endpoint, its key by id, the
// headers. Never a secret.
func (view *verifyView) filled(s docs.Snippet, key *api.EndpointKey, w *wire) string {
	mark := "// "
	if s.Language == "python" {
		mark = "# "
	}
	id := cmp.Or(key.ID, "of the gateway's config")
	says := []string{"Verifies webhooks to endpoint " + view.Endpoint + ", format " + view.Format + "."}
	if key.Kind == "ed25519" {
		says = append(says, "Key "+id+": set KEY to its public key, "+key.PublicKey)
	} else {
		says = append(says, "Key "+id+": set KEY to its secret, which begins with whsec_.")
	}
	says = append(says, "Headers: "+strings.Join(w.headers, ", "))
	head := mark + strings.Join(says, "\n"+mark) + "\n"
	if before, rest, ok := strings.Cut(s.Code, "<?php\n"); ok {
		return before + "<?php\n" + head + rest
	}
	return head + s.Code
}
