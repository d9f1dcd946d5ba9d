package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBareSecret: what nobody sees around a secret is taken off where that is certain, and refused
// by name where it is not.
func TestBareSecret(t *testing.T) {
	dir := t.TempDir()
	f := func(text, want, why string) {
		t.Helper()
		path := filepath.Join(dir, "secret")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, ref := range []string{"env:SECRET", "file:" + path} {
			got, m := readSecret(ref, dir, func(string) (string, bool) { return text, true })
			switch {
			case why == "" && (m != nil || got != want):
				t.Errorf("%s %q: %q, %v; want %q", ref, text, got, m, want)
			case why != "" && (m == nil || !strings.Contains(m.what, why) || m.remedy == "" || strings.Contains(m.what, "k3y")):
				t.Errorf("%s %q: %q, %v; want %q", ref, text, got, m, why)
			case why != "" && !strings.Contains(m.what, "SECRET") && !strings.Contains(m.what, path):
				t.Errorf("%s: %s does not say where", ref, m.what)
			}
		}
	}
	const before, behind, lines, none = "before the secret", "behind the secret", "more than one line", "is empty"
	f("k3y", "k3y", "")
	f("k3y\n", "k3y", "")
	f("k3y\r\n", "k3y", "")
	f("k3y\n\n\r\n\n", "k3y", "")
	f("\ufeffk3y\n", "k3y", "")
	f("k3y of many words", "k3y of many words", "")
	f("\ufeff", "", none)
	f(" \n", "", none)
	f("\u00a0\n", "", none)
	f(" k3y", "", before)
	f("\nk3y", "", before)
	f("\u00a0k3y", "", before)
	f("\u200bk3y", "", before)
	f("k3y ", "", behind)
	f("k3y \n", "", behind)
	f("k3y\t\n", "", behind)
	f("k3y\u00a0", "", behind)
	f("k3y\u2060", "", behind)
	f("k3y\nk3y", "", lines)
	f("k3y\rk3y\n", "", lines)
	f("-----BEGIN K-----\nk3y\n-----END K-----\n", "-----BEGIN K-----\nk3y\n-----END K-----", "")
	f("{\n\"k\": 1}\n", "{\n\"k\": 1}", "")
	f("\xff\x0a\x20 raw", "\xff\x0a\x20 raw", "")
}

// TestShortKeys: live mode refuses keys that can be found by trying, at their line; the sandbox
// says what live mode will refuse.
func TestShortKeys(t *testing.T) {
	dir := t.TempDir()
	env := map[string]string{
		"LONG": "canary-of-32-bytes-as-they-say-x", "SHORT": "canary-short", "PAIR": "countersign-and-a-long-name:canary7", "GOOD": "user:canary-16-bytes-x", "STANDARD": acmeKey,
	}
	load := func(mode, sources, endpoints string) (*Config, string) {
		t.Helper()
		path := write(t, dir, "c.yaml", fmt.Sprintf("mode: %s\nsources:\n%s\npartners:\n  - id: acme\n    endpoints: [%s]\n", mode, sources, endpoints))
		cfg, problems := loadConfig(path, func(k string) (string, bool) { v, ok := env[k]; return v, ok }, knownNames())
		var text strings.Builder
		for _, p := range problems {
			text.WriteString(strings.TrimPrefix(p.String(), dir+"/") + "\n")
		}
		if strings.Contains(text.String(), "canary") {
			t.Errorf("a secret shows: %s", text.String())
		}
		return cfg, text.String()
	}
	f := func(sources, endpoints string, want ...string) {
		t.Helper()
		_, got := load("live", sources, endpoints)
		if strings.Count(got, "\n") != len(want) {
			t.Errorf("%s %s:\n%s", sources, endpoints, got)
		}
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("no %q in\n%s", w, got)
			}
		}
		cfg, problems := load("sandbox", sources, endpoints)
		if cfg == nil {
			t.Fatalf("the sandbox refuses it:\n%s", problems)
		}
		n := 0
		for _, p := range warnings(cfg) {
			if strings.Contains(p.What, "secret bytes") {
				n++
			}
		}
		if n != len(want) {
			t.Errorf("the sandbox warns of %d, live mode refuses %d", n, len(want))
		}
	}
	f("  - {name: a, provider: sumsub, partner: acme, keys: [env:LONG]}", "")
	f("  - {name: a, provider: sumsub, partner: acme, keys: [env:LONG, env:SHORT]}", "", "c.yaml:3: sources[0].keys[1]: has 12 secret bytes, and live mode wants 16")
	f("  - {name: a, provider: rebilly, partner: acme, keys: [env:PAIR]}", "", "c.yaml:3: sources[0].keys[0]: has 7 secret bytes")
	f("  - {name: a, provider: rebilly, partner: acme, keys: [env:GOOD]}", "")
	f("  - {name: a, provider: rebilly, partner: acme, options: {auth: header, header: X-Token}, keys: [env:SHORT]}", "", "sources[0].keys[0]: has 12 secret bytes")
	f("  - {name: a, provider: smile_id, partner: acme, keys: [env:PAIR]}", "", "sources[0].keys[0]: has 7 secret bytes")
	f("  []", `{id: e, url: "https://hooks.example.com/", keys: [env:STANDARD]}`)
	f("  []", `{id: e, url: "https://hooks.example.com/", format: blendfi, keys: [env:SHORT]}`, "c.yaml:6: partners[0].endpoints[0].keys[0]: has 12 secret bytes")
}
