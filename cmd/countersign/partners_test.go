package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"countersign/relay/format"
	"countersign/signing"
)

// signedWith reports whether a webhook verifies with a key.
func (a *accepted) signedWith(t *testing.T, text string) bool {
	t.Helper()
	k, err := signing.StandardKey(text)
	if err != nil {
		t.Fatal(err)
	}
	var unix int64
	if _, err := fmt.Sscan(a.header.Get("Webhook-Timestamp"), &unix); err != nil {
		t.Fatal(err)
	}
	standard, _ := format.ByName("standard")
	sum := http.Header{"Content-Type": a.header["Content-Type"]}
	err = standard.Scheme.Sign(sum, signing.Message{ID: a.header.Get("Webhook-Id"), Time: time.Unix(unix, 0), Body: []byte(a.body)}, signing.Keyring{k})
	return err == nil && sum.Get("Webhook-Signature") == a.header.Get("Webhook-Signature")
}

// TestMadeThroughTheAPI walks through the real program with no partner in its config: a partner and
// an endpoint are made, a callback comes, and the endpoint is told in a webhook that verifies with
// the key that was shown once; after a restart too. Then the endpoint is removed: what it is owed
// stays owed, and goes out when it is made again.
func TestMadeThroughTheAPI(t *testing.T) {
	h := newPatient(t)
	h.recover()
	dir := t.TempDir()
	write(t, dir, "sumsub.key", "sumsub-secret-canary")
	config := write(t, dir, "countersign.yaml", fmt.Sprintf(`mode: sandbox
data: %s/data
listen: {callbacks: %s, control: %s}
sources:
  - {name: sumsub-eu, provider: sumsub, keys: [file:sumsub.key], partner_from: subject_prefix}
partners: []
`, dir, freeAddr(t), freeAddr(t)))
	do := func(want int, args ...string) string {
		t.Helper()
		code, out, errs := cli(t, map[string]string{"ENV_HEADER": "canary-value"}, append(args, "--config", config)...)
		if code != want {
			t.Fatalf("%q: exit %d\n%s%s", args, code, out, errs)
		}
		return out + errs
	}
	keyFile := filepath.Join(dir, "key")
	m := launch(t, config, "", nil).ready()
	do(exitYes, "partners", "create", "acme", "--notice-days", "9")
	do(exitYes, "endpoints", "create", "acme", "acme-main", "--url", h.url+"kyc", "--header", "X-Env=env:ENV_HEADER", "--filter", `change.status in ["approved", "rejected"]`, "--retry", "first=50ms", "--retry", "max=50ms", "--out", keyFile)
	b, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(string(b))
	m.says("acme:ann", "approved")
	told := func(n int) []accepted {
		t.Helper()
		eventually(t, fmt.Sprintf("%d webhooks have come", n), func() bool { return len(h.taken()) >= n })
		all := h.taken()
		if last := all[len(all)-1]; len(all) != n || !last.signedWith(t, key) || last.header.Get("X-Env") != "canary-value" || last.path != "/kyc" {
			t.Errorf("%d webhooks, the last %+v", len(all), last)
		}
		return all
	}
	if first := told(1)[0]; !strings.Contains(first.body, `"type":"kyc.status.approved"`) || !strings.Contains(first.body, `"partner":"acme"`) {
		t.Errorf("told %s", first.body)
	}
	m.stop()
	m = launch(t, config, "", nil).ready()
	m.says("acme:bob", "approved")
	told(2)
	shown := do(exitYes, "endpoints", "show", "acme-main") + do(exitYes, "partners") + do(exitYes, "partners", "show", "acme", "--json")
	if strings.Contains(shown, key) || strings.Contains(shown, "canary") || !strings.Contains(shown, `"notice_days":9`) || !strings.Contains(shown, "X-Env") {
		t.Errorf("shown: %s", shown)
	}
	do(exitNo, "endpoints", "update", "acme-main", "--timeout", "3s", "--if-version", "77")
	var kept struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal([]byte(do(exitYes, "endpoints", "show", "acme-main", "--json")), &kept); err != nil {
		t.Fatal(err)
	}
	updated := do(exitYes, "endpoints", "update", "acme-main", "--timeout", "3s", "--disable-after", "never", "--filter", `change.status == "approved"`, "--if-version", strconv.Itoa(kept.Version))
	if !strings.Contains(shown, "failing for 5d disables it") || !strings.Contains(updated, "failing never disables it") {
		t.Errorf("how long it may fail: %s, and then %s", shown, updated)
	}
	m.says("acme:bob", "rejected_final") // what takes away that it was told is told, whatever the filter says
	told(3)
	h.mu.Lock()
	h.well = false
	h.mu.Unlock()
	m.says("acme:ann", "rejected_final")
	eventually(t, "it is owed", func() bool { return strings.Contains(do(exitYes, "endpoints"), " 1     0 ") })
	if dry := do(exitYes, "endpoints", "remove", "acme-main", "--dry-run"); !strings.Contains(dry, "1 deliveries stay pending, 0 dead-lettered, 1 rejections or suspensions not delivered") {
		t.Errorf("a dry run says %s", dry)
	}
	do(exitYes, "endpoints", "remove", "acme-main")
	if list := do(exitYes, "endpoints"); !strings.Contains(list, "1     0     orphaned") {
		t.Errorf("after it was removed: %s", list)
	}
	h.recover()
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	do(exitYes, "endpoints", "create", "acme", "acme-main", "--url", h.url+"kyc", "--header", "X-Env=canary-value", "--retry", "first=50ms", "--retry", "max=50ms", "--out", keyFile)
	if b, err = os.ReadFile(keyFile); err != nil {
		t.Fatal(err)
	}
	key = strings.TrimSpace(string(b)) // another: whoever had the old one need not be who has it now
	told(4)
	m.stop()
	for _, text := range []string{"canary", "whsec"} {
		if strings.Contains(m.log.String(), text) {
			t.Errorf("%s was logged", text)
		}
	}
	// The config may not name what is kept, and says so.
	b, err = os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "countersign.yaml", strings.Replace(string(b), "partners: []", "partners: [{id: acme}]", 1))
	m = launch(t, config, "", nil)
	m.gone()
	if !strings.Contains(m.log.String(), "partners[0].id: partner acme was made through the API") {
		t.Errorf("a config that names it: %s", m.log)
	}
}

// TestFilterOfConfig: an endpoint of the config has the filter and the events that stand there.
func TestFilterOfConfig(t *testing.T) {
	dir, config := house(t, "http://127.0.0.1:9/")
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	with := func(filter string) string {
		return write(t, dir, "countersign.yaml", strings.Replace(string(b), "keys: [file:acme.key]", `keys: [file:acme.key], events: ["*"], filter: '`+filter+`'`, 1))
	}
	g := start(t, with(`change.status == "rejected"`))
	if e := g.registry.Read().Endpoint("acme-main"); e.Filter.String() != `change.status == "rejected"` || fmt.Sprint(e.Events) != "[*]" {
		t.Errorf("%+v", e)
	}
	code, out, errs := cli(t, nil, "check", "--config", with(`change.state == "rejected"`))
	if want := "partners[0].endpoints[0].filter: cannot be used at line 1, column 8"; code != exitNo || !strings.Contains(out+errs, want) {
		t.Errorf("check: exit %d, %s%s want %s", code, out, errs, want)
	}
}

// TestReloadKeepsWhatIsMade: another config counts beside what was made through the API; one that
// names it is refused, and changes nothing.
func TestReloadKeepsWhatIsMade(t *testing.T) {
	dir, config := house(t, "http://127.0.0.1:9/")
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	m := launch(t, config, "", nil).ready()
	do := func(want int, args ...string) string {
		t.Helper()
		code, out, errs := cli(t, nil, append(args, "--config", config)...)
		if code != want {
			t.Fatalf("%q: exit %d\n%s%s", args, code, out, errs)
		}
		return out + errs
	}
	do(exitYes, "partners", "create", "gamma")
	do(exitYes, "endpoints", "create", "gamma", "gamma-main", "--url", "http://127.0.0.1:9/", "--out", filepath.Join(dir, "gamma.key"))
	do(exitYes, "endpoints", "create", "acme", "acme-more", "--url", "http://127.0.0.1:9/", "--out", filepath.Join(dir, "more.key"))
	write(t, dir, "countersign.yaml", string(b)+"  - id: beta\n")
	do(exitYes, "reload")
	if list := do(exitYes, "partners"); !strings.Contains(list, "acme-main, acme-more") || !strings.Contains(list, "beta") || !strings.Contains(list, "api     gamma-main") {
		t.Errorf("after a reload: %s", list)
	}
	write(t, dir, "countersign.yaml", string(b)+"  - id: gamma\n")
	if said := do(exitNo, "reload"); !strings.Contains(said, "partner gamma was made through the API") {
		t.Errorf("a config that names what is kept: %s", said)
	}
	if list := do(exitYes, "partners"); !strings.Contains(list, "beta") || !strings.Contains(list, "api     gamma-main") {
		t.Errorf("after a reload that was refused: %s", list)
	}
	m.stop()
}
