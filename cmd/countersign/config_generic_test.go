package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/ingest/provider"
	"countersign/kyc"
)

// genericExample is the section of docs/ADDING.md: the config, and pairs of a body and what it
// becomes.
func genericExample(t *testing.T) (config string, pairs [][2]string) {
	t.Helper()
	_, section, ok := strings.Cut(read(t, "../../docs/ADDING.md"), "\n## A provider without Go\n")
	section, _, end := strings.Cut(section, "\n## ")
	if !ok || !end {
		t.Fatal("docs/ADDING.md has no section on a provider without Go")
	}
	var bodies, configs []string
	for _, m := range regexp.MustCompile("(?s)```(yaml|json)\n(.*?)\n```").FindAllStringSubmatch(section, -1) {
		if m[1] == "yaml" {
			configs = append(configs, m[2])
		} else {
			bodies = append(bodies, m[2])
		}
	}
	for i := 0; i+1 < len(bodies); i += 2 {
		pairs = append(pairs, [2]string{bodies[i], bodies[i+1]})
	}
	if len(configs) != 1 || len(bodies) != 6 {
		t.Fatalf("%d configs, %d bodies", len(configs), len(bodies))
	}
	return configs[0] + "\n", pairs
}

// TestGenericExample holds the document to the program: by the command line, without the keys and
// the rest of a config.
func TestGenericExample(t *testing.T) {
	text, pairs := genericExample(t)
	dir := t.TempDir()
	config := write(t, dir, "countersign.yaml", text)
	for _, p := range pairs {
		code, out, errs := cli(t, nil, "translate", "--provider", "generic", "--config", config, "--body", write(t, dir, "body.json", p[0]))
		var got, want any
		if err := json.Unmarshal([]byte(p[1]), &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitYes || !reflect.DeepEqual(got, want) {
			t.Errorf("%s becomes (exit %d, %v)\n%s%swant\n%s", p[0], code, err, out, errs, p[1])
		}
	}
	if refs := personRefs()[provider.GenericName]; len(refs) != 1 || string(refs[0]) != string(provider.SubjectRef) {
		t.Errorf("the relay learns from %v", refs)
	}
	cfg, problems := loadConfig(config, secretOf("FACECHECK_KEY", "a-key"), knownNames())
	if len(problems) > 0 || cfg.Sources[0].Generic == nil {
		t.Error(problems)
	}
}

// secretOf is an environment of one variable.
func secretOf(name, secret string) func(string) (string, bool) {
	return func(k string) (string, bool) { return secret, k == name }
}

// TestGenericFunctionsInDocs: the document lists the functions of an expression, as they can be
// called.
func TestGenericFunctionsInDocs(t *testing.T) {
	_, section, _ := strings.Cut(read(t, "../../docs/ADDING.md"), "**What an expression may use.**")
	section, _, _ = strings.Cut(section, "**What holds")
	names := map[string]bool{}
	for _, m := range regexp.MustCompile("`([a-z]+)(\\([^`]*\\))`").FindAllStringSubmatch(section, -1) {
		names[m[1]] = true
		call := "has(" + m[1] + strings.NewReplacer("(a", "(body.a", ", b, …", ", body.b").Replace(m[2]) + ")"
		_, err := provider.Generic(provider.GenericSpec{Signature: provider.GenericSignature{Kind: "none"}, Map: map[string]string{
			"event_type": `"e"`, "subject": `"u"`, "status": `"pending"`, "keep": call,
		}})
		if err != nil {
			t.Errorf("%s: %v", call, err)
		}
	}
	if got := slices.Sorted(maps.Keys(names)); !slices.Equal(got, []string{"first", "has", "header", "int", "last", "len", "list", "lower", "text", "time", "upper"}) {
		t.Errorf("the document names %v", got)
	}
}

// TestGenericCommands: translate and verify take the block from a config of which nothing else is
// read.
func TestGenericCommands(t *testing.T) {
	text, pairs := genericExample(t)
	dir := t.TempDir()
	one := write(t, dir, "one.yaml", text+"data: [is, not, read]\n")
	source := text[strings.Index(text, "  - name"):strings.Index(text, "partners:")]
	two := write(t, dir, "two.yaml", strings.Replace(text, "partners:", strings.Replace(source, "facecheck", "second", 1)+"partners:", 1))
	bad := write(t, dir, "bad.yaml", strings.Replace(text, "lower(body.data.result)", "louder(body.data.result)", 1))
	bare := write(t, dir, "bare.yaml", "sources: [{name: a, provider: generic}]\n")
	none := write(t, dir, "none.yaml", "sources: [{name: a, provider: sumsub}]\n")
	body := write(t, dir, "body.json", pairs[0][0])
	f := func(want int, text string, args ...string) {
		t.Helper()
		code, out, errs := cli(t, map[string]string{"K": "face-key", "W": "wrong"}, args...)
		if code != want || !strings.Contains(out+errs, text) {
			t.Errorf("%q: exit %d, want %d with %q\n%s%s", args, code, want, text, out, errs)
		}
	}
	generic := func(command string, rest ...string) []string {
		return append([]string{command, "--provider", "generic", "--body", body}, rest...)
	}
	f(exitYes, `"status":"approved"`, generic("translate", "--config", one)...)
	f(exitYes, `"status":"approved"`, generic("translate", "--config", one, "--source", "facecheck")...)
	f(exitNo, "has no source nosuch whose provider is generic", generic("translate", "--config", one, "--source", "nosuch")...)
	f(exitYes, `"status":"approved"`, generic("translate", "--config", two, "--source", "second")...)
	f(exitNo, "choose one of facecheck, second with --source", generic("translate", "--config", two)...)
	f(exitNo, "bad.yaml:19: sources[0].generic.map.status: column 1: unknown name louder; correct", generic("translate", "--config", bad)...)
	f(exitNo, "bare.yaml:1: sources[0].generic: is missing", generic("translate", "--config", bare)...)
	f(exitNo, "none.yaml has no source whose provider is generic", generic("translate", "--config", none)...)
	f(exitNo, "it does not exist", generic("translate", "--config", dir+"/nosuch.yaml")...)
	f(exitNo, "needs --config", generic("translate")...)
	f(exitNo, "there are none", generic("translate", "--config", one, "--option", "a=b")...)
	f(exitNo, "go with --provider generic only", "translate", "--provider", "sumsub", "--config", one, "--body", body)
	f(exitNo, `"error":"genuine but unreadable: map.ignore`, append(generic("translate", "--config", one)[:4], write(t, dir, "odd.json", `{"event":7}`), "--config", one)...)

	cfg, problems := loadConfig(write(t, dir, "full.yaml", text), secretOf("FACECHECK_KEY", "face-key"), knownNames())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	req, err := newCallback(t.Context(), &cfg.Sources[0], "http://x", []byte(pairs[0][0]), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	headers, err := json.Marshal(req.Header)
	if err != nil {
		t.Fatal(err)
	}
	h := write(t, dir, "headers.json", string(headers))
	f(exitYes, `"evidence":"signed"`, generic("verify", "--config", one, "--key", "env:K", "--headers", h, "--json")...)
	f(exitNo, "Remedy", generic("verify", "--config", one, "--key", "env:W", "--headers", h)...)
	f(exitNo, "needs --config", generic("verify", "--key", "env:K", "--headers", h)...)
	f(exitYes, "generic", "providers")
}

// TestGenericSource is the whole way: a provider that this program does not know posts what it
// signed, and the partner is told.
func TestGenericSource(t *testing.T) {
	text, pairs := genericExample(t)
	partner := newHook(t, func() int { return http.StatusOK })
	dir := t.TempDir()
	write(t, dir, "face.key", "face-key")
	write(t, dir, "acme.key", acmeKey)
	text = strings.Replace(text, "env:FACECHECK_KEY", "file:face.key", 1)
	text = strings.Replace(text, "partners: [{id: acme}]", fmt.Sprintf("partners: [{id: acme, endpoints: [{id: main, url: %q, keys: [file:acme.key]}]}]", partner.url), 1)
	config := write(t, dir, "countersign.yaml", fmt.Sprintf("data: %s\nlisten: {callbacks: %s, control: %s}\n%s", filepath.Join(dir, "data"), freeAddr(t), freeAddr(t), text))
	g := start(t, config)
	send := func(body string, spoil bool, want int) {
		t.Helper()
		req, err := newCallback(t.Context(), &g.cfg.Sources[0], "http://"+g.cfg.Listen.Callbacks, []byte(body), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if spoil {
			req.Header.Set("X-Facecheck-Signature", strings.Replace(req.Header.Get("X-Facecheck-Signature"), "v1=", "v1=0", 1))
		}
		if code, text, err := post(req); err != nil || code != want {
			t.Errorf("answered %d %s, %v; want %d", code, text, err, want)
		}
	}
	send(pairs[0][0], true, http.StatusUnauthorized)
	send(pairs[0][0], false, http.StatusOK)
	eventually(t, "the partner is told of the approval", func() bool { return partner.told("4711", string(kyc.Approved)) })
	send(pairs[1][0], false, http.StatusOK)
	eventually(t, "the partner is told of the rejection", func() bool { return partner.told("4711", string(kyc.Rejected)) })
	send(pairs[2][0], false, http.StatusOK)
	send(`{"event":"check.finished"}`, false, http.StatusOK) // kept
	code, out, errs := cli(t, nil, "quarantine", "--config", config)
	if code != exitYes || !strings.Contains(out, "unreadable") || !strings.Contains(out, "facecheck") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	code, out, errs = cli(t, nil, "check", "--config", config)
	if code != exitYes || !strings.Contains(out, "source facecheck (generic): 1 key(s), evidence: signed") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "countersign.db")); err != nil {
		t.Error(err)
	}
}
