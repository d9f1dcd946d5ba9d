package judge

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"countersign/signing"
)

// question is what javascript/judge.mjs is asked: to verify a webhook, or to sign one.
type question struct {
	Judge   string            `json:"judge"` // standardwebhooks, svix or openssl
	Key     string            `json:"key"`
	Body    string            `json:"body"`
	Headers map[string]string `json:"headers,omitempty"`
	Sign    bool              `json:"sign,omitempty"`
	ID      string            `json:"id,omitempty"`
	At      int64             `json:"at,omitempty"`

	name string
	want bool
}

type answer struct {
	Accepted  bool   `json:"accepted"`
	Refused   string `json:"refused"`
	Signature string `json:"signature"`
}

// javascript is a folder with the judge and the official libraries, installed from the npm registry
// as the lock file has them.
func javascript(t *testing.T) string {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is not on this machine: the official JavaScript libraries cannot judge; install Node.js and npm (Debian: nodejs npm)", tool)
		}
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("javascript")); err != nil {
		t.Fatal(err)
	}
	install := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("the official JavaScript libraries cannot be installed, so they cannot judge; npm ci: %v\n%s", err, out)
	}
	return dir
}

// ask puts all questions to one run of the judge.
func ask(t *testing.T, dir string, all []question) (answers []answer) {
	t.Helper()
	in, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), "node", "judge.mjs")
	run.Dir, run.Stdin = dir, bytes.NewReader(in)
	out, err := run.Output()
	if err != nil {
		var failed *exec.ExitError
		errors.As(err, &failed)
		t.Fatalf("node judge.mjs: %v\n%s", err, failed.Stderr)
	}
	if err := json.Unmarshal(out, &answers); err != nil || len(answers) != len(all) {
		t.Fatalf("%d answers to %d questions, %v", len(answers), len(all), err)
	}
	return answers
}

// gateway is our program, built.
func gateway(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "countersign")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-C", "../..", "-o", path, "./cmd/countersign").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// signed has our program sign a body under keys, newest first, and returns the headers.
func signed(t *testing.T, program, body string, keys ...string) map[string]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	sign := exec.CommandContext(t.Context(), program, "sign", "--scheme", "standard", "--body", file)
	for i, k := range keys {
		name := "JUDGED_" + strconv.Itoa(i)
		sign.Args, sign.Env = append(sign.Args, "--key", "env:"+name), append(sign.Env, name+"="+k)
	}
	out, err := sign.CombinedOutput()
	if err != nil {
		t.Fatalf("countersign sign: %v\n%s", err, out)
	}
	h := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			h[strings.ToLower(name)] = value
		}
	}
	if len(h) < 3 {
		t.Fatalf("countersign sign printed %s", out)
	}
	return h
}

// pair is a fresh ed25519 key, private and public.
func pair(t *testing.T) (private, public string) {
	t.Helper()
	private, k, err := signing.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return private, k.Public()
}

// texts are bodies that JavaScript can hold.
var texts = []string{`{}`, `{"type":"kyc.status.approved","data":{"id":"evt_1"}}`, "{\n  \"indented\": true\n}\n", `{"name":"Zoë 🦊 <&>"}`, `{"long":"` + strings.Repeat("0123456789", 2_000) + `"}`}

// judgements are all questions about webhooks that our program has signed: under each key of the
// ring and under others, as they are and tampered with.
func judgements(t *testing.T, program string) (all []question) {
	t.Helper()
	fresh := secrets(t)
	secret, older := fresh[1], fresh[3]
	private, public := pair(t)
	second, secondPublic := pair(t)
	_, stranger := pair(t)
	rings := []struct {
		name    string
		keys    []string
		fit     []string // secrets and public keys that must verify
		foreign []string // those that must not
	}{
		{"v1", []string{secret}, []string{secret}, []string{older, public}},
		{"v1 v1", []string{secret, older}, []string{secret, older}, []string{public}},
		{"v1a", []string{private}, []string{public}, []string{secret, stranger}},
		{"v1a v1", []string{private, secret}, []string{public, secret}, []string{older, stranger}},
		{"v1 v1a", []string{secret, private}, []string{public, secret}, []string{older, stranger}},
		{"v1a v1a v1 v1", []string{private, second, secret, older}, []string{public, secondPublic, secret, older}, []string{stranger}},
	}
	for _, ring := range rings {
		for _, body := range texts {
			h := signed(t, program, body, ring.keys...)
			var versions []string
			for entry := range strings.FieldsSeq(h["webhook-signature"]) {
				version, _, _ := strings.Cut(entry, ",")
				versions = append(versions, version)
			}
			if got := strings.Join(versions, " "); got != ring.name {
				t.Errorf("signed %s under a ring for %s", got, ring.name)
			}
			for _, key := range ring.fit {
				all = append(all, questions(ring.name, key, body, h, true)...)
			}
			for _, key := range ring.foreign {
				all = append(all, questions(ring.name+" under a foreign key", key, body, h, false)...)
			}
		}
	}
	return all
}

// questions ask everybody who knows that kind of key: about the webhook itself, and about what a
// forger makes of it.
func questions(name, key, body string, h map[string]string, want bool) (all []question) {
	judges := []string{"standardwebhooks", "svix"}
	if strings.HasPrefix(key, "whpk_") {
		judges = []string{"openssl"}
	}
	with := func(name, value string) map[string]string {
		c := map[string]string{name: value}
		for k, v := range h {
			if k != name {
				c[k] = v
			}
		}
		return c
	}
	at, _ := strconv.ParseInt(h["webhook-timestamp"], 10, 64)
	relabelled := strings.NewReplacer("v1a,", "v1,", "v1,", "v1a,").Replace(h["webhook-signature"])
	for _, judge := range judges {
		all = append(
			all,
			question{name: name, Judge: judge, Key: key, Body: body, Headers: h, want: want},
			question{name: name + ", another body", Judge: judge, Key: key, Body: body + " ", Headers: h},
			question{name: name + ", another id", Judge: judge, Key: key, Body: body, Headers: with("webhook-id", "evt_other")},
			question{name: name + ", a later time", Judge: judge, Key: key, Body: body, Headers: with("webhook-timestamp", strconv.FormatInt(at+1, 10))},
			question{name: name + ", an old time", Judge: judge, Key: key, Body: body, Headers: with("webhook-timestamp", strconv.FormatInt(at-301, 10))},
			question{name: name + ", the other version's name", Judge: judge, Key: key, Body: body, Headers: with("webhook-signature", relabelled)},
		)
	}
	return all
}

// TestJavaScriptAcceptsOurSignatures: what our program signs is accepted by the official libraries
// of Standard Webhooks and Svix (v1) and by OpenSSL (v1a), under the keys that signed and no other,
// whatever else stands in the header; and nothing that was changed on the way is.
func TestJavaScriptAcceptsOurSignatures(t *testing.T) {
	dir := javascript(t)
	all := judgements(t, gateway(t))
	accepted := map[string]int{}
	for i, a := range ask(t, dir, all) {
		q := all[i]
		if a.Accepted != q.want || !a.Accepted && a.Refused == "" {
			t.Errorf("%s, %s, %d bytes: %+v, want accepted %v", q.Judge, q.name, len(q.Body), a, q.want)
		}
		if a.Accepted {
			accepted[q.Judge]++
		}
	}
	t.Logf("%d questions, accepted: %v", len(all), accepted)
}

// TestWeAcceptJavaScriptsSignatures: what the official libraries and OpenSSL sign, we accept under
// that key, and under no other.
func TestWeAcceptJavaScriptsSignatures(t *testing.T) {
	dir, now := javascript(t), time.Now()
	private, public := pair(t)
	_, stranger := pair(t)
	secret, other := secrets(t)[1], secrets(t)[0]
	var all []question
	for _, body := range texts {
		for judge, key := range map[string]string{"standardwebhooks": secret, "svix": secret, "openssl": private} {
			all = append(all, question{Judge: judge, Key: key, Body: body, Sign: true, ID: "msg_1", At: now.Unix()})
		}
	}
	for i, a := range ask(t, dir, all) {
		q, h := all[i], http.Header{}
		h.Set("webhook-id", q.ID)
		h.Set("webhook-timestamp", strconv.FormatInt(q.At, 10))
		h.Set("webhook-signature", a.Signature)
		f := func(name, body string, want bool, keys ...string) {
			t.Helper()
			if err := (signing.StandardWebhooks{}).Verify(h, []byte(body), keyring(t, keys...), now); (err == nil) != want {
				t.Errorf("%s signed %s, %s: %v, want ok = %v", q.Judge, a.Signature[:min(3, len(a.Signature))], name, err, want)
			}
		}
		mine, foreign := []string{secret}, []string{other, public}
		if q.Judge == "openssl" {
			mine, foreign = []string{public}, []string{secret, stranger}
		}
		f("its key", q.Body, true, mine...)
		f("its key among others", q.Body, true, append(foreign, mine...)...)
		f("other keys", q.Body, false, foreign...)
		f("other body", q.Body+" ", false, mine...)
	}
}
