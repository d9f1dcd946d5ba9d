package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"countersign/ingest/provider"
	"countersign/signing"
)

// capturedCallback is one row of an adapter's vectors.json.
type capturedCallback struct {
	Key     string            `json:"key"`
	Headers map[string]string `json:"headers"`
	Fixture string            `json:"fixture"`
	Body    string            `json:"body"`
	Options map[string]string `json:"options"`
	At      int64             `json:"at"`
	Valid   bool              `json:"valid"`
}

func vectorsOf(t *testing.T, a provider.Adapter) (vs []capturedCallback) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "ingest", "provider", "testdata", a.Name, "vectors.json"))
	if err == nil {
		err = json.Unmarshal(b, &vs)
	}
	if err != nil {
		t.Fatalf("%s: %v", a.Name, err)
	}
	for i := range vs {
		if vs[i].Fixture != "" {
			vs[i].Body = section(t, a.Name+"/"+vs[i].Fixture+".txtar", "body")
		}
	}
	return vs
}

// TestVerifyOffline: every proof that somebody else computed is judged the same by the command
// line, without a gateway; a refusal ends in one sentence that says what to do.
func TestVerifyOffline(t *testing.T) {
	dir := t.TempDir()
	for _, a := range provider.All {
		if s, err := a.Scheme(nil); err != nil || signing.Keyless(s) {
			continue
		}
		fits, fails := 0, 0
		for _, v := range vectorsOf(t, a) {
			headers, err := json.Marshal(v.Headers)
			if err != nil {
				t.Fatal(err)
			}
			args := []string{
				"verify", "--provider", a.Name, "--key", "env:KEY", "--body", write(t, dir, "body", v.Body), "--headers", write(t, dir, "headers", string(headers)),
			}
			for name, value := range v.Options {
				args = append(args, "--option", name+"="+value)
			}
			if v.At != 0 {
				args = append(args, "--at", strconv.FormatInt(v.At, 10))
			}
			code, out, errs := cli(t, map[string]string{"KEY": v.Key}, args...)
			lines := strings.Split(strings.TrimSpace(out), "\n")
			last := lines[len(lines)-1]
			switch {
			case v.Valid && (code != exitYes || last != "Verdict: accepted."):
				t.Errorf("%s: %s: exit %d\n%s%s", a.Name, v.Fixture, code, out, errs)
			case !v.Valid && (code != exitNo || !strings.HasPrefix(last, "Remedy: ") || len(last) < 40):
				t.Errorf("%s: %s is not explained: exit %d\n%s%s", a.Name, v.Fixture, code, out, errs)
			case v.Valid:
				fits++
			default:
				fails++
			}
			if len(v.Key) > 8 && strings.Contains(out+errs, v.Key) {
				t.Errorf("%s: the key is shown", a.Name)
			}
		}
		if fits == 0 || fails == 0 {
			t.Errorf("%s: %d fit, %d do not", a.Name, fits, fails)
		}
	}
}

// TestTranslateOffline: what a captured body means is the same from the command line as from the
// adapter.
func TestTranslateOffline(t *testing.T) {
	dir := t.TempDir()
	for _, a := range provider.All {
		seen := map[string]int{}
		for name, body := range bodies(t, a) {
			code, out, errs := cli(t, nil, "translate", "--provider", a.Name, "--body", write(t, dir, "body", string(body)))
			var got, want struct{ Disposition string }
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatalf("%s/%s: %v\n%s%s", a.Name, name, err, out, errs)
			}
			if err := json.Unmarshal([]byte(section(t, a.Name+"/"+name+".txtar", "want.json")), &want); err != nil {
				t.Fatal(err)
			}
			if want.Disposition == "" {
				want.Disposition = "unreadable"
			}
			if got != want || (code == exitYes) != (want.Disposition != "unreadable") {
				t.Errorf("%s/%s: %s, exit %d; want %s", a.Name, name, got.Disposition, code, want.Disposition)
			}
			seen[got.Disposition]++
		}
		if seen["unreadable"] == 0 || seen["update"]+seen["fetch"] == 0 {
			t.Errorf("%s: %v", a.Name, seen)
		}
	}
}

// TestCheckSource: what would keep a source from working is said by check, at its line and key,
// with the remedy.
func TestCheckSource(t *testing.T) {
	env := map[string]string{"KEY": "abc", "TOKEN": "0123456789abcdef01", "JWK": "{}"}
	f := func(source, want string) {
		t.Helper()
		config := write(t, t.TempDir(), "c.yaml", "mode: sandbox\nsources:\n  - {name: s, partner: acme, "+source+"}\npartners: [{id: acme}]\n")
		code, out, errs := cli(t, env, "check", "--config-only", "--config", config)
		if (code == exitYes) != (want == "") || !strings.Contains(out+errs, want) || want != "" && !strings.Contains(out+errs, "c.yaml:3: sources[0].") {
			t.Errorf("%s: exit %d, want %q\n%s%s", source, code, want, out, errs)
		}
	}
	f("provider: sumsub, keys: [env:KEY]", "")
	f("provider: jumio, token: env:TOKEN", "")
	f("provider: jumio, keys: [env:KEY]", "keys: are of no use")
	f("provider: sumsub, token: env:TOKEN", "keys: is missing")
	f("provider: sumsub, keys: [env:KEY], workflows: [full-kyc-level]", "")
	f("provider: sumsub, keys: [env:KEY], workflows: []", "workflows: is an empty list")
	f("provider: sumsub, keys: [env:KEY], workflows: full-kyc-level", "workflows: expected a list")
	f("provider: blendfi, keys: [env:KEY], workflows: [full-kyc-level]", "workflows: are of no use")
	f("provider: stripe_identity, keys: [env:KEY], options: {account: acct_1Nv0FGQ9RKHgCVdK}", "")
	f("provider: smile_id, keys: [env:KEY]", "keys: cannot be used")
	f("provider: rebilly, keys: [env:KEY]", "user:password")
	f("provider: onfido, keys: [env:KEY], api: {key: env:KEY}", "api.url: is missing")
	f("provider: onfido, keys: [env:KEY], api: {key: env:KEY, url: 'https://api.eu.onfido.com'}", "")
	f("provider: plaid_idv, api: {user: id, key: env:KEY}", "")
	f("provider: plaid_idv, keys: [env:KEY]", "api: is missing")
	f("provider: plaid_idv, keys: [env:JWK], api: {user: id, key: env:KEY}", "keys: are not used")
	f("provider: veriff, keys: [env:KEY], api: {key: env:KEY}", "api: is of no use")
	f("provider: veriff, keys: [env:KEY], options: {clint: x}", "options: unknown option")
}
