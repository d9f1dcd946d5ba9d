package main

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestKeysByCommand: an operator lists, rotates and revokes an endpoint's keys by the command line;
// a secret goes to a terminal or a new file, once, and what signs counts over a restart.
func TestKeysByCommand(t *testing.T) {
	dir, config := house(t, "http://127.0.0.1:9/")
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	kept := strings.Replace(string(b), "keys: [file:acme.key], ", "", 1)
	write(t, dir, "countersign.yaml", kept)
	load := func() (*Config, []problem) {
		return loadConfig(config, func(string) (string, bool) { return "", false }, knownNames())
	}
	open := func() (*gateway, error) {
		cfg, problems := load()
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return openGateway(cfg, roleAll, outside{log: slog.New(slog.DiscardHandler), terminal: io.Discard, load: load})
	}
	g, err := open()
	if err != nil {
		t.Fatal(err)
	}
	f := func(want int, text string, args ...string) string {
		t.Helper()
		code, out, errs := cli(t, nil, append([]string{"endpoints", args[0], "--config", config}, args[1:]...)...)
		if code != want || !strings.Contains(out+errs, text) || strings.Contains(out+errs, "whsec_") || strings.Contains(out+errs, "whsk_") {
			t.Fatalf("%q: exit %d, want %d with %q\n%s%s", args, code, want, text, out, errs)
		}
		return out
	}
	ids := func() []string {
		return regexp.MustCompile(`(?m)^key_[0-9a-f]{16}`).FindAllString(f(exitYes, "", "keys", "acme-main"), -1)
	}
	first := ids()
	if len(first) != 1 {
		t.Fatalf("at first there are %v", first)
	}
	file := filepath.Join(dir, "secret")
	f(exitUsage, "shown on a terminal only, and there is none: add --out FILE", "rotate", "acme-main")
	f(exitUsage, "--overlap is no duration", "rotate", "acme-main", "--overlap", "soon")
	f(exitYes, "the secret is in "+file, "rotate", "acme-main", "--out", file, "--overlap", "7d")
	secret, err := os.ReadFile(file)
	if fi, serr := os.Stat(file); err != nil || serr != nil || fi.Mode().Perm() != 0o600 || !strings.HasPrefix(string(secret), "whsec_") {
		t.Errorf("the secret: %v %v", err, serr)
	}
	f(exitNo, "a place for the secret", "rotate", "acme-main", "--out", file)
	f(exitYes, "the partner verifies with whpk_", "rotate", "acme-main", "--kind", "ed25519")
	f(exitYes, `"public_key":"whpk_`, "rotate", "acme-main", "--kind", "ed25519", "--json")
	if all := ids(); len(all) != 4 || all[3] != first[0] {
		t.Errorf("of four keys %v are listed", all)
	}
	f(exitYes, "signs   for good", "keys", "acme-main")
	if code, out, errs := cli(t, nil, "audit", "--config", config); code != exitYes || !strings.Contains(out, "/v1/endpoints/acme-main/rotate  ok, made "+ids()[0]) {
		t.Errorf("the trail: %d\n%s%s", code, out, errs)
	}
	f(exitYes, "is revoked", "revoke", "acme-main", first[0])
	f(exitUnknown, "there is no such key that signs", "revoke", "acme-main", first[0])
	f(exitUnknown, "there is no such endpoint", "keys", "nosuch")
	before := ids()
	write(t, dir, "countersign.yaml", strings.Replace(kept, "{id: acme-main,", "{id: acme-main, format: blendfi,", 1))
	if code, out, errs := cli(t, nil, "reload", "--config", config); code != exitNo || !strings.Contains(out+errs, "is an ed25519 key") {
		t.Errorf("a reload to a format that cannot use its keys: %d %s%s", code, out, errs)
	}
	write(t, dir, "countersign.yaml", strings.Replace(kept, "{id: acme-main,", "{id: acme-main, concurrency: 3,", 1))
	if code, out, errs := cli(t, nil, "reload", "--config", config); code != exitYes || strings.Join(ids(), " ") != strings.Join(before, " ") {
		t.Errorf("after a reload %v, before it %v: %d %s%s", ids(), before, code, out, errs)
	}
	if err := g.close(); err != nil {
		t.Fatal(err)
	}

	write(t, dir, "countersign.yaml", strings.Replace(kept, "{id: acme-main,", "{id: acme-main, format: blendfi,", 1))
	if g, err := open(); err == nil {
		g.close()
		t.Error("a format that cannot use its keys is served")
	} else if !strings.Contains(err.Error(), "is an ed25519 key") || !strings.Contains(err.Error(), "with the format it had, rotate it to an hmac key") {
		t.Error(err)
	}
	write(t, dir, "countersign.yaml", kept)
	if g, err = open(); err != nil {
		t.Fatal(err)
	}
	if after := ids(); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("after a restart %v, before it %v", after, before)
	}
	for _, id := range before[:len(before)-1] {
		f(exitYes, "is revoked", "revoke", "acme-main", id)
	}
	last := before[len(before)-1]
	f(exitNo, "make one in its place in the same call, with replace=true", "revoke", "acme-main", last)
	f(exitYes, "the secret is in ", "revoke", "acme-main", last, "--replace", "--out", filepath.Join(dir, "another"))
	if all := ids(); len(all) != 1 || all[0] == last {
		t.Errorf("in the end %v", all)
	}
	if err := g.close(); err != nil {
		t.Fatal(err)
	}

	write(t, dir, "countersign.yaml", string(b))
	if g, err = open(); err != nil {
		t.Fatal(err)
	}
	f(exitYes, "(in the config)", "keys", "acme-main")
	f(exitNo, "its keys are in the config, so they are changed there", "rotate", "acme-main", "--kind", "ed25519")
	if err := g.close(); err != nil {
		t.Fatal(err)
	}
}
