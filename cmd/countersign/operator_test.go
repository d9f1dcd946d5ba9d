package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestOperationalWebhooks: an endpoint answers 410; the operator, and the partner's other endpoint
// that has asked for it, get webhooks that verify, over a kill, and are told when it accepts again.
// A partner that has not asked is told nothing.
func TestOperationalWebhooks(t *testing.T) {
	ops, well := newPatient(t), newDesk(t)
	ops.recover()
	dir := t.TempDir()
	write(t, dir, "sumsub.key", "sumsub-secret-canary")
	write(t, dir, "acme.key", acmeKey)
	config := write(t, dir, "countersign.yaml", fmt.Sprintf(`mode: sandbox
data: %s/data
listen: {callbacks: %s, control: %s}
sources:
  - {name: sumsub-eu, provider: sumsub, keys: [file:sumsub.key], partner: acme}
partners:
  - id: acme
    endpoints:
      - {id: acme-main, url: "%s", keys: [file:acme.key], events: ["*"], retry: {first: 50ms, max: 50ms}}
      - {id: acme-ops, url: "%sacme", keys: [file:acme.key], events: ["endpoint.*", "delivery.*"], retry: {first: 50ms, max: 50ms}}
  - id: beta
    endpoints:
      - {id: beta-main, url: "%sbeta", keys: [file:acme.key], events: ["*"], retry: {first: 50ms, max: 50ms}}
operator:
  endpoints:
    - {id: ops, url: "%sops", keys: [file:acme.key], retry: {first: 50ms, max: 50ms}}
`, dir, freeAddr(t), freeAddr(t), well.url, ops.url, ops.url, ops.url))
	told := func(path, kind string) int { // one that comes again under its id, for the kill, is one
		ids := map[string]bool{}
		for _, a := range ops.taken() {
			if a.path == path && strings.Contains(a.body, `"type":"`+kind+`"`) {
				if ids[a.header.Get("Webhook-Id")] = true; !a.signedWith(t, acmeKey) || !strings.Contains(a.body, `"endpoint":"acme-main"`) || strings.Contains(a.body, "ann") {
					t.Errorf("%s: %s", path, a.body)
				}
			}
		}
		return len(ids)
	}
	both := func(kind string, n int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d %s are told", n, kind), func() bool { return told("/ops", kind) == n && told("/acme", kind) == n })
	}
	m := launch(t, config, "", nil).ready()
	well.answer(http.StatusGone)
	m.says("ann", "approved")
	both("endpoint.disabled", 1)
	both("delivery.exhausted", 1) // what was answered 410 is dead
	if err := m.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	m.gone()
	m = launch(t, config, "", nil).ready()
	well.answer(http.StatusOK)
	for _, args := range [][]string{{"endpoints", "resume", "acme-main"}, {"endpoints"}} {
		if code, out, errs := cli(t, nil, append(args, "--config", config)...); code != exitYes || len(args) == 1 && !strings.Contains(out, "(operator)") {
			t.Fatalf("%q: exit %d\n%s%s", args, code, out, errs)
		}
	}
	m.says("bob", "approved")
	both("endpoint.recovered", 1)
	m.stop()
	for _, kind := range []string{"endpoint.disabled", "delivery.exhausted", "endpoint.recovered"} {
		if told("/ops", kind) != 1 || told("/acme", kind) != 1 || told("/beta", kind) != 0 {
			t.Errorf("%s: the operator was told %d times, acme %d, beta %d", kind, told("/ops", kind), told("/acme", kind), told("/beta", kind))
		}
	}
}
