package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
	"countersign/relay"
	"countersign/relay/control/api"
	"countersign/relay/format"
	"countersign/signing"
)

// hostile is a text of a stranger: it clears the screen, rings, goes back to the start of the line,
// turns the direction of reading, hides itself, and begins a line of its own.
const hostile = "x\x1b[2J\x1b]0;owned\x07\r\b\x00\u009b1m\u202e\u2066\u200f\u061c\u200b\u200c\u2060\ufeff\u00ad\u3164\ufe0f\U000e0041\u2028\u2029\x7f\nFORGED\tz"

// obeyed says which of what a terminal obeys, or a reader does not see, stands in an output; "":
// nothing. It is a list of its own, beside the rule that visible goes by.
func obeyed(out string) string {
	for _, r := range out {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || strings.ContainsRune("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u200b\u200c\u200d\u2060\ufeff\u00ad\u3164\ufe0f\U000e0041\u2028\u2029", r) {
			return fmt.Sprintf("%U", r)
		}
	}
	if strings.HasPrefix(out, "FORGED") || strings.Contains(out, "\nFORGED") {
		return "a line that a stranger wrote"
	}
	return ""
}

// spoilt fills every text that can be set in v, however deep, and one item of every list.
func spoilt(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(hostile)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		spoilt(v.Elem())
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(`"body"`))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		spoilt(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, item := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		spoilt(key)
		spoilt(item)
		v.SetMapIndex(key, item)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				spoilt(v.Field(i))
			}
		}
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint64:
		v.SetUint(1)
	case reflect.Interface:
		v.Set(reflect.ValueOf(hostile))
	default: // no text
	}
}

func spoiltOf[T any]() any {
	var v T
	spoilt(reflect.ValueOf(&v).Elem())
	return v
}

// adversary is a gateway whose every answer is hostile: lists, single things, or an error.
func adversary(t *testing.T, fails bool) string {
	t.Helper()
	lists := map[string]any{
		"/v1/deliveries": spoiltOf[api.Delivery](), "/v1/withheld": spoiltOf[api.Withheld](), "/v1/replays": spoiltOf[api.Replay](), "/v1/endpoints": spoiltOf[api.Endpoint](), "/v1/quarantine": spoiltOf[api.QuarantinedBody](), "/v1/quarantine?records": spoiltOf[api.UnroutedRecord](),
		"/v1/partners": spoiltOf[api.PartnerDetail](), "/v1/questions": spoiltOf[api.Question](), "/v1/audit": spoiltOf[api.AuditEntry](), "/v1/set-aside": spoiltOf[api.SetAside](), "/v1/tokens": spoiltOf[api.Token](), "/v1/refs/conflicts": spoiltOf[api.ContestedRef](),
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		path := r.URL.Path
		if r.URL.Query().Get("kind") == "records" {
			path += "?records"
		}
		var v any
		item, isList := lists[path]
		switch {
		case fails && path == "/v1/reload":
			w.WriteHeader(http.StatusUnprocessableEntity)
			v = map[string]any{"error": map[string]any{"message": hostile, "problems": []any{spoiltOf[api.ConfigProblem]()}}}
		case fails:
			w.WriteHeader(http.StatusConflict)
			v = map[string]any{"error": map[string]any{"message": hostile}}
		case isList && r.Method == http.MethodGet:
			v = map[string]any{"data": []any{item}, "has_more": true, "next": hostile}
		case path == "/v1/audit/verify":
			v = spoiltOf[api.AuditVerification]()
		case path == "/v1/reload":
			v = spoiltOf[api.Reloaded]()
		case path == "/v1/compact":
			v = spoiltOf[api.Compaction]()
		case strings.HasPrefix(path, "/v1/policies/"):
			v = spoiltOf[api.Plan]()
		case strings.HasSuffix(path, "/decisions"), strings.HasSuffix(path, "/rebuild"):
			v = map[string]any{"id": hostile, "folded": true, "before": hostile, "after": hostile, "changes": []any{spoiltOf[api.Effect]()}, "lifts": 1}
		case strings.HasSuffix(path, "/take-back"):
			v = map[string]any{"partner": hostile, "subject": hostile, "folded": true, "before": hostile, "after": hostile, "changes": []any{spoiltOf[api.Effect]()}}
		case strings.HasPrefix(path, "/v1/subjects/"):
			v = spoiltOf[api.Subject]()
		case strings.HasPrefix(path, "/v1/deliveries/") && r.Method == http.MethodGet:
			v = spoiltOf[api.DeliveryDetail]()
		case strings.HasPrefix(path, "/v1/deliveries/") && strings.HasSuffix(path, "/retry-now"):
			v = spoiltOf[api.Hurried]()
		case path == "/v1/search":
			v = spoiltOf[api.Search]()
		case strings.HasSuffix(path, "/keys"):
			v = map[string]any{"data": []any{spoiltOf[api.EndpointKey]()}}
		case strings.HasSuffix(path, "/rotate"):
			v = spoiltOf[api.EndpointKey]()
		case strings.HasPrefix(path, "/v1/endpoints/") && strings.HasSuffix(path, "/revoke"):
			v = map[string]any{"id": hostile, "revoked": true, "replacement": spoiltOf[api.EndpointKey]()}
		case strings.HasSuffix(path, "/endpoints"), strings.HasPrefix(path, "/v1/endpoints/") && r.Method != http.MethodDelete && r.Method != http.MethodPost:
			v = spoiltOf[api.EndpointDetail]()
		case strings.HasPrefix(path, "/v1/partners") && r.Method != http.MethodDelete:
			v = spoiltOf[api.PartnerDetail]()
		case r.Method == http.MethodDelete:
			v = spoiltOf[api.Removed]()
		case strings.HasPrefix(path, "/v1/replays"):
			v = spoiltOf[api.Replay]()
		case strings.HasPrefix(path, "/v1/tokens/"):
			v = spoiltOf[api.Token]()
		default:
			v = map[string]any{"mode": modeSandbox, "text": hostile, "kept": hostile, "updates": 1, "bytes": 1, "headers": map[string]any{hostile: hostile}}
		}
		json.NewEncoder(w).Encode(v)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// TestEveryCommandIsVisible goes over every command with bodies, ids, names, files, answers and
// errors that a stranger has written. A command without a row fails.
func TestEveryCommandIsVisible(t *testing.T) {
	rows := map[string][]string{ // arguments, one to a word; H is the hostile text, and %x a file made below
		"subject show": {"H H"}, "subject export": {"H H"}, "subject erase": {"H H --because H --yes"}, "subject aside": {""}, "subject rebuild": {"H H --because H"},
		"deliveries list": {"--dead-lettered", "--status pending --partner H --subject H --type H"}, "deliveries show": {"H"}, "deliveries retry-now": {"H"}, "deliveries skip": {"H"}, "deliveries cancel": {"H --because H"},
		"find": {"H"}, "endpoints retry-now": {"H"},
		"redeliver": {"H"}, "withheld list": {"", "--acknowledged"}, "withheld acknowledge": {"H --reason H"}, "endpoints list": {""}, "endpoints show": {"H"}, "endpoints remove": {"H", "H --dry-run"},
		"replay list": {""}, "replay show": {"H"}, "replay dead-lettered": {"H --to H --force --because H"}, "replay range": {"H --since 2026-11-30T08:00:00Z --until 2026-11-30T09:00:00Z"}, "replay current": {"H --wait"},
		"replay pause": {"H"}, "replay resume": {"H"}, "replay cancel": {"H"},
		"endpoints create": {"H H --url H --out %token"}, "endpoints update": {"H --url H --filter H --if-version 3"},
		"partners list": {""}, "partners show": {"H"}, "partners create": {"H --required H"}, "partners update": {"H --notice-days 3"}, "partners remove": {"H"},
		"endpoints pause": {"H"}, "endpoints resume": {"H"}, "endpoints ping": {"H"}, "endpoints give-up": {"H --yes", "H --dry-run"},
		"endpoints keys": {"H"}, "endpoints rotate": {"H --out %secret", "H --kind ed25519"}, "endpoints revoke": {"H H", "H H --replace --out %secret"},
		"quarantine list": {"", "--records"}, "quarantine show": {"H"}, "quarantine release": {"H"}, "quarantine discard": {"H"}, "quarantine take-back": {"H --because H"},
		"refs list": {""}, "refs settle": {"H H --partner H --subject H --because H"}, "questions list": {""}, "questions discard": {"H"}, "submit": {"H H H H"}, "audit list": {"", "--subject H"}, "audit verify": {"", "--file %hostile"}, "backup": {"%backup"}, "reload": {"", "--dry-run"}, "compact": {"", "--dry-run", "--file %hostile"},
		"decide":       {"H H --source H --check identity_verification --status approved --because H --yes", "H H --manual --check liveness --release --because H --dry-run"},
		"policy show":  {"H"},
		"policy apply": {"H --yes", "H"},
		"token list":   {""}, "token make": {"H --scope viewer --out %token"}, "token revoke": {"H"},
		"trigger": {"sumsub-eu approved --subject H", "H approved", "sumsub-eu H"},
		"check":   {"", "--file %hostile", "--explain"}, "restore": {"%hostile --yes"}, "health": {"", "--ready"}, "doctor": {"", "--ping --json"},
		"monitoring rules": {"", "--runbooks H"}, "monitoring dashboard": {"", "--console H"}, "monitoring alertmanager": {""}, "monitoring runbook": {"", "H", "CountersignPanics"},
		"providers": {"", "sumsub", "H"}, "formats": {""}, "version": {""}, "help": {"H", "endpoints H"}, "completion": {"bash", "H"}, "man": {"H", "decide"}, "listen": {"--format H", "--key H", "--key-file %hostile"}, "serve": {"--role H"}, "demo": {"--kafka"},
		"verify":    {"--provider sumsub --key file:%key --body %hostile --headers %headers", "--provider H --body %hostile", "--provider sumsub --option H=H --body %hostile --key file:%key"},
		"translate": {"--provider sumsub --body %body --headers %headers", "--provider sumsub --body %alike", "--provider sumsub --body %hostile"},
		"sign":      {"--scheme standard --key file:%acme --body %hostile --id H", "--scheme H --key file:%acme --body %hostile"},
	}
	dir := filepath.Join(t.TempDir(), "a\u202e\x1b[2J\u200b")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	body, err := provider.Sample("sumsub", "approved", provider.SampleVars{Subject: hostile, At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	alike, err := provider.Sample("sumsub", "approved", provider.SampleVars{Subject: "ann\u200b\u202e", At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	headers, _ := json.Marshal(map[string]string{"X-Payload-Digest": hostile, "X-Payload-Digest-Alg": hostile, hostile: hostile})
	files := map[string]string{
		"hostile": write(t, dir, "hostile", hostile), "body": write(t, dir, "body", string(body)), "alike": write(t, dir, "alike", string(alike)), "headers": write(t, dir, "headers", string(headers)), "key": write(t, dir, "key", "a-key-of-sumsub"),
		"acme": write(t, dir, "acme", acmeKey), "backup": filepath.Join(dir, "backup"), "token": filepath.Join(dir, "token"), "secret": filepath.Join(dir, "secret"),
	}
	for _, fails := range []bool{false, true} {
		control := adversary(t, fails)
		callbacks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, hostile) }))
		t.Cleanup(callbacks.Close)
		config := write(t, dir, "countersign.yaml", fmt.Sprintf(`mode: sandbox
data: %q
listen: {callbacks: %s, control: %s}
sources:
  - {name: sumsub-eu, provider: sumsub, keys: [file:key], partner: acme}
partners:
  - {id: acme, endpoints: [{id: acme-main, url: "http://127.0.0.1:9/", keys: [file:acme]}]}
`, filepath.Join(dir, "data"), strings.TrimPrefix(callbacks.URL, "http://"), control))
		for _, command := range leaves(t) {
			row, ok := rows[command]
			if !ok {
				t.Errorf("countersign %s has no row in the table", command)
			}
			for _, line := range row {
				sweep(t, command, line, config, files)
			}
		}
	}
}

// sweep runs one command as text and as JSON.
func sweep(t *testing.T, command, line, config string, files map[string]string) {
	t.Helper()
	args := strings.Fields(command)
	for w := range strings.FieldsSeq(line) {
		for name, path := range files {
			w = strings.ReplaceAll(w, "%"+name, path)
		}
		args = append(args, strings.ReplaceAll(w, "H", hostile))
	}
	os.Remove(files["token"])
	if !strings.HasPrefix(command, "monitoring ") && !slices.Contains([]string{"providers", "formats", "version", "verify", "translate", "sign", "listen", "demo", "help", "completion", "man"}, command) {
		args = append(args, "--config", config)
	}
	for _, form := range [][]string{nil, {"--json"}} {
		code, out, errs := cli(t, map[string]string{"COUNTERSIGN_TOKEN": "an-operators-own-token-for-a-test"}, append(slices.Clone(args), form...)...)
		if misuse := slices.Contains([]string{"serve", "demo", "help", "completion", "man"}, command); out+errs == "" || code == exitUsage && !misuse && !strings.Contains(errs, "--json") {
			t.Errorf("%q: exit %d, and nothing is shown by it: %q", args, code, errs)
		}
		if found := obeyed(out); found != "" {
			t.Errorf("%q %v prints %s: %q", args, form, found, out)
		}
		if found := obeyed(errs); found != "" {
			t.Errorf("%q %v prints %s to stderr: %q", args, form, found, errs)
		}
	}
}

// leaves are the commands that do something.
func leaves(t *testing.T) (names []string) {
	t.Helper()
	var cmds commands
	parser, err := kong.New(&cmds, kong.Name("countersign"), kong.Exit(func(int) {}), kong.Bind(&console{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range parser.Model.Leaves(false) {
		names = append(names, strings.TrimPrefix(n.FullPath(), "countersign "))
	}
	if len(names) < 25 {
		t.Fatalf("found only %v", names)
	}
	return names
}

// TestLookAlikes: two ids that look alike are told apart by the gateway's own lists, and what
// quarantine shows of a body does nothing to a terminal.
func TestLookAlikes(t *testing.T) {
	_, config := house(t, "http://127.0.0.1:9/")
	g := start(t, config)
	f := func(args ...string) string {
		t.Helper()
		code, out, errs := cli(t, nil, append(args, "--config", config)...)
		if found := obeyed(out + errs); code != exitYes || found != "" {
			t.Fatalf("%q: exit %d, %s\n%q %q", args, code, found, out, errs)
		}
		return out
	}
	f("trigger", "sumsub-eu", "approved", "--subject", "ann\u200b")
	eventually(t, "it is folded", func() bool { _, err := g.relay.Subject("acme", "ann\u200b", false, relay.Asked{}); return err == nil })
	if out := f("subject", "acme", "ann\u200b"); !strings.HasPrefix(out, `acme/ann\u200b  approved`) {
		t.Errorf("%s", out)
	}
	var v struct{ ID string }
	if err := json.Unmarshal([]byte(f("subject", "acme", "ann\u200b", "--json")), &v); err != nil || v.ID != "ann\u200b" {
		t.Errorf("a script reads %q, %v", v.ID, err)
	}
	item := journal.Item{ID: "q1", Source: "sumsub-eu", Provider: "sumsub", Reason: journal.Unreadable, At: time.Now(), Headers: map[string][]string{"X-Name": {hostile}}, Body: []byte(hostile)}
	if err := g.journal.Hold(t.Context(), item); err != nil {
		t.Fatal(err)
	}
	var shown struct {
		Text    string
		Headers map[string][]string
	}
	if err := json.Unmarshal([]byte(f("quarantine", "show", "q1")), &shown); err != nil || shown.Text != hostile || shown.Headers["X-Name"][0] != hostile {
		t.Errorf("a script reads %q, %v", shown.Text, err)
	}
	f("quarantine")
	f("audit")
}

// TestServeVisible: the same of the log of a gateway, in either form, with the path of a call in
// it.
func TestServeVisible(t *testing.T) {
	for _, form := range []string{formatJSON, formatText} {
		dir, config := house(t, "http://127.0.0.1:9/")
		cfg := extended(t, config, "", "log: {format: "+form+"}\n")
		ctx, cancel := context.WithCancel(t.Context())
		var said notebook
		c := &console{in: strings.NewReader(""), out: &said, err: &said, ctx: ctx, env: func(string) (string, bool) { return "", false }}
		done := make(chan int, 1)
		go func() { done <- run(c, []string{"serve", "--config", config}) }()
		eventually(t, "it is ready", func() bool { return strings.Contains(said.String(), "ready") })
		token, err := readToken(filepath.Join(dir, "data", tokenFile))
		if err != nil {
			t.Fatal(err)
		}
		asked(t, "http://"+cfg.Listen.Control+"/v1/quarantine/"+url.PathEscape("q\u202e\u200b\u2066MARK"), "", token)
		eventually(t, "the call is logged", func() bool {
			return strings.Contains(said.String(), "/v1/quarantine/quarantine:") && !strings.Contains(said.String(), "MARK")
		})
		cancel()
		if code := <-done; code != exitYes {
			t.Errorf("exit %d: %s", code, said.String())
		}
		if found := obeyed(said.String()); found != "" {
			t.Errorf("%s: the log holds %s: %q", form, found, said.String())
		}
	}
}

// TestListenVisible: a partner's terminal shows what was sent, and obeys none of it.
func TestListenVisible(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var said notebook
	addr := freeAddr(t)
	c := &console{in: strings.NewReader(""), out: &said, err: &said, ctx: ctx, env: func(string) (string, bool) { return acmeKey, true }}
	done := make(chan int, 1)
	go func() { done <- run(c, []string{"listen", "--addr", addr, "--key", "env:KEY"}) }()
	eventually(t, "it listens", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	key, err := signing.StandardKey(acmeKey)
	if err != nil {
		t.Fatal(err)
	}
	standard, _ := format.ByName("standard")
	body := []byte(hostile)
	for _, signed := range []bool{true, false} {
		h := http.Header{}
		if signed {
			if err := standard.Scheme.Sign(h, signing.Message{ID: "evt_1\u202e", Time: time.Now(), Body: body}, signing.Keyring{key}); err != nil {
				t.Fatal(err)
			}
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(req.Header, h)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	eventually(t, "both are printed", func() bool {
		return strings.Contains(said.String(), "verified") && strings.Contains(said.String(), "refused")
	})
	cancel()
	<-done
	if found := obeyed(said.String()); found != "" || !strings.Contains(said.String(), `\u001b[2J`) {
		t.Errorf("it prints %s: %q", found, said.String())
	}
}
