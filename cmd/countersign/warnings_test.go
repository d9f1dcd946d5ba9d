package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestWarnings: check says what a config that works probably does not mean, and still says yes. No
// secret is in it.
func TestWarnings(t *testing.T) {
	dir := t.TempDir()
	env := map[string]string{"ONE": "canary-of-thirty-two-bytes-or-so", "TWO": "canary-of-another-thirty-two-byte", "TOKEN": "canary-0123456789"}
	f := func(sources, policy string, want ...string) {
		t.Helper()
		config := write(t, dir, "c.yaml", "mode: sandbox\nsources:\n"+sources+"\npartners: [{id: acme, policy: {"+policy+"}}, {id: beta, policy: {required: [liveness]}}]\n")
		code, out, errs := cli(t, env, "check", "--config-only", "--config", config)
		got := strings.Count(out, "warning: ")
		if code != exitYes || strings.Contains(out+errs, "canary") || got != len(want)+strings.Count(out, "of beta can give") {
			t.Errorf("%s %s: exit %d, %d warnings, want %d\n%s%s", sources, policy, code, got, len(want), out, errs)
		}
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("%s %s: no %q in\n%s", sources, policy, w, out)
			}
		}
		var v struct {
			OK       bool
			Problems []any
			Warnings []struct{ Key, What, Remedy string }
		}
		code, out, _ = cli(t, env, "check", "--json", "--config-only", "--config", config)
		if err := json.Unmarshal([]byte(out), &v); err != nil || code != exitYes || !v.OK || len(v.Problems) != 0 || len(v.Warnings) != got || got > 0 && v.Warnings[0].Remedy == "" {
			t.Errorf("exit %d, %+v, %v", code, v, err)
		}
	}
	const a = "  - {name: a, provider: sumsub, partner: acme, keys: [env:ONE]}"
	f(a, "")
	f(a+"\n  - {name: b, provider: sumsub, partner: acme, keys: [env:TWO]}", "")
	f(a+"\n  - {name: b, provider: sumsub, partner: beta, keys: [env:TWO, env:ONE]}", "", "sources[1]: a and b have a secret in common")
	f(a+"\n  - {name: b, provider: blendfi, partner: beta, keys: [env:ONE], livemode: true}", "", "a and b have a secret in common")
	f(a+"\n  - {name: b, provider: sumsub, partner: acme, keys: [env:ONE], livemode: true}", "", "a and b are test and live with one secret")
	f("  - {name: a, provider: jumio, partner: acme, token: env:TOKEN}\n  - {name: b, provider: jumio, partner: acme, token: env:TOKEN}", "", "have a secret in common")
	f(a+"\n  - {name: b, provider: sumsub, partner: acme, keys: [env:ONE]}\n  - {name: c, provider: sumsub, partner: acme, keys: [env:ONE]}", "", "a and b", "a and c") // each with the first that has it

	none := func(check string) string { return check + ": no source of acme can give it" }
	f(a, "required: [identity_verification, address_verification]") // of a step
	f("  - {name: a, provider: checkr, partner: acme, keys: [env:ONE]}", "", "partners[0].policy.required: "+none("identity_verification"))
	f("  - {name: a, provider: checkr, partner: acme, keys: [env:ONE], check: identity_verification}", "")
	f("  - {name: a, provider: blendfi, partner: acme, keys: [env:ONE]}", "required: [identity_verification, screening, liveness]", none("screening"), none("liveness"))
	f("  - {name: a, provider: blendfi, partner: acme, keys: [env:ONE]}\n  - {name: b, provider: veriff, partner_from: submission, keys: [env:TWO]}",
		"required: [identity_verification, screening]")
	f("  - {name: a, provider: blendfi, partner: acme, keys: [env:ONE]}\n  - {name: b, provider: veriff, partner: beta, keys: [env:TWO]}",
		"required: [identity_verification, screening]", none("screening"))
	f("  - {name: a, provider: blendfi, partner: acme, keys: [env:ONE]}", "required_company: [business_verification, screening]",
		"policy.required_company: "+none("business_verification"), none("screening"))
	f("  - {name: a, provider: middesk, partner: acme, keys: [env:ONE]}", "")
	f("  - {name: a, provider: middesk, partner: acme, keys: [env:ONE]}", "required: [liveness]", none("liveness"))
	const levels = "  - {name: a, provider: didit, partner: acme, keys: [env:ONE], check: {poa: address_verification}"
	f(levels+"}", "required: [identity_verification, address_verification]")
	f(levels+", workflows: [poa]}", "required: [identity_verification, address_verification]", none("identity_verification"))
	f(levels+", workflows: [poa, full]}", "required: [identity_verification, address_verification]")
	f(levels+", workflows: [full]}", "required: [identity_verification, address_verification]", none("address_verification"))
}

// TestWarningsOfModes: files with secrets that others may read are named with the remedy, by check
// and by the log of the start. TestWideNetworks: what lets in, or out, a large part of all
// addresses is said by check and at the start.
func TestWideNetworks(t *testing.T) {
	dir := t.TempDir()
	f := func(allow string, wide bool) {
		t.Helper()
		config := write(t, dir, "c.yaml", fmt.Sprintf(`mode: sandbox
data: %s/data
listen: {callbacks: %s, control: %s}
trusted_proxies: ["%s"]
egress: {allow: ["%s"]}
sources: [{name: a, provider: sumsub, partner: acme, keys: [env:ONE], allow: [203.0.113.0/24, "%s"]}]
partners: [{id: acme}]
`, dir, freeAddr(t), freeAddr(t), allow, allow, allow))
		env := map[string]string{"ONE": "canary-of-thirty-two-bytes-or-so"}
		code, out, errs := cli(t, env, "check", "--config-only", "--config", config)
		for _, key := range []string{"trusted_proxies[0]", "egress.allow[0]", "sources[0].allow[1]"} {
			if code != exitYes || strings.Contains(out, key+": "+allow+" is a large part of all addresses") != wide {
				t.Errorf("%s, %s: exit %d, want a warning %v\n%s%s", allow, key, code, wide, out, errs)
			}
		}
		cfg, problems := loadConfig(config, func(k string) (string, bool) { v, ok := env[k]; return v, ok }, knownNames())
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		var log bytes.Buffer
		g, err := newGateway(cfg, roleAll, slog.New(slog.NewJSONHandler(&log, nil)), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.close(); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(log.String(), "config_warning"); n != map[bool]int{true: 3}[wide] {
			t.Errorf("%s: %d lines at the start\n%s", allow, n, log.String())
		}
	}
	f("128.0.0.0/1", true)
	f("0.0.0.0/7", true)
	f("10.0.0.0/8", false)
	f("2000::/3", true)
	f("2000::/15", true)
	f("2001::/16", false)
	f("fc00::/7", false)
	f("::ffff:0.0.0.0/96", true)
	f("::ffff:10.0.0.0/104", false)
}

func TestWarningsOfModes(t *testing.T) {
	dir, config := house(t, "http://127.0.0.1:9/")
	f := func(mode os.FileMode, want ...string) {
		t.Helper()
		code, out, errs := cli(t, nil, "check", "--config-only", "--config", config)
		if got := strings.Count(out, "warning: "); code != exitYes || got != len(want) {
			t.Errorf("mode %04o: exit %d, %d warnings, want %d\n%s%s", mode, code, got, len(want), out, errs)
		}
		for _, w := range want {
			if !strings.Contains(out, fmt.Sprintf("%s holds secrets, and others than its owner may read or change it (mode %04o); chmod 600 %s", w, mode, w)) {
				t.Errorf("%s is not named:\n%s", w, out)
			}
		}
	}
	cfg, problems := loadConfig(config, func(string) (string, bool) { return "", false }, knownNames())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var log bytes.Buffer
	start := func() {
		t.Helper()
		g, err := newGateway(cfg, roleAll, slog.New(slog.NewJSONHandler(&log, nil)), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.close(); err != nil {
			t.Fatal(err)
		}
	}
	start()
	f(0o600)
	if strings.Contains(log.String(), "file_open_to_others") {
		t.Errorf("warned of nothing: %s", log.String())
	}
	paths := append(slices.Clone(cfg.SecretFiles), filepath.Join(dir, "data", "countersign.db"), filepath.Join(dir, "data", "countersign.key"), filepath.Join(dir, "data", tokenFile))
	if len(paths) < 5 {
		t.Fatalf("the config names %d files with secrets", len(cfg.SecretFiles))
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620} {
		for _, p := range paths {
			if err := os.Chmod(p, mode); err != nil {
				t.Fatal(err)
			}
		}
		f(mode, paths...)
	}
	log.Reset()
	start()
	if got := strings.Count(log.String(), `"file_open_to_others"`); got != len(paths) {
		t.Errorf("the start names %d of %d: %s", got, len(paths), log.String())
	}
}
