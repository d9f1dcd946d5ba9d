package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/ingest/provider"
	"countersign/relay/format"
	"countersign/signing"
)

// accepted is what a partner's server was sent.
type accepted struct {
	path, body string
	header     http.Header
}

// patient is a partner's server, which answers 500 until it is well.
type patient struct {
	url string

	mu   sync.Mutex // guards the fields below
	well bool
	all  []accepted
}

func newPatient(t *testing.T) *patient {
	t.Helper()
	h := &patient{}
	h.url = newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if !h.well {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		h.all = append(h.all, accepted{r.URL.Path, string(b), r.Header.Clone()})
	}))
	return h
}

func (h *patient) recover() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.well = true
}

func (h *patient) taken() []accepted {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.all)
}

// says posts a callback of another kind about somebody.
func (m *machine) says(subject, sample string) {
	m.t.Helper()
	now := time.Now()
	body, err := provider.Sample("sumsub", sample, provider.SampleVars{Subject: subject, EventID: sample + "-" + subject, At: now})
	if err != nil {
		m.t.Fatal(err)
	}
	req, err := newCallback(m.t.Context(), &m.cfg.Sources[0], "http://"+m.cfg.Listen.Callbacks, body, now)
	if err == nil {
		err = give(fresh(), req)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// TestEndpointsHaveOwners walks through the real program: an endpoint's id that moves is refused,
// by check and by the start; one that is taken out of the config is orphaned, and keeps what is
// owed to it; under its new id it is told all of it, signed with the key it had.
func TestEndpointsHaveOwners(t *testing.T) {
	h := newPatient(t)
	dir, config := house(t, h.url)
	before, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	base, _, _ := strings.Cut(string(before), "partners:")
	use := func(acme, beta string) {
		t.Helper()
		write(t, dir, "countersign.yaml", base+fmt.Sprintf("partners:\n  - id: acme\n    endpoints: [%s]\n  - id: beta\n    endpoints: [%s]\n", acme, beta))
	}
	entry := func(id, more string) string {
		return fmt.Sprintf(`{id: %s, url: "%s", %sretry: {first: 50ms, factor: 1, max: 50ms, jitter: 0, attempts: 100}}`, id, h.url, more)
	}
	data := filepath.Join(dir, "data")
	against := func(wantCode int, want string) {
		t.Helper()
		code, out, errs := cli(t, nil, "check", "--config", config, "--against", data)
		if code != wantCode || !regexp.MustCompile(want).MatchString(out+errs) {
			t.Errorf("check --against exits with %d, and says\n%s%swant %d and %s", code, out, errs, wantCode, want)
		}
	}
	refused := func(want string) {
		t.Helper()
		against(exitNo, want)
		m := launch(t, config, "", nil)
		m.gone()
		if text := strings.ReplaceAll(m.log.String(), `\"`, `"`); m.ProcessState.ExitCode() != exitNo || !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("the start exits with %d, and says\n%swant %s", m.ProcessState.ExitCode(), text, want)
		}
	}

	use(entry("main", ""), "")
	m := launch(t, config, "", nil).ready()
	m.says("user-001", "approved")
	m.says("user-002", "rejected_final")
	owed := func(m *machine, want string) {
		t.Helper()
		eventually(t, want, func() bool {
			_, out, _ := cli(t, nil, "endpoints", "--config", config)
			return regexp.MustCompile(want).MatchString(out)
		})
	}
	owed(m, "main .* 2 +0 +enabled")
	against(exitNo, "a gateway is running upon .*data: countersign reload --dry-run asks it; or make a copy with countersign backup")
	m.stop()
	against(exitYes, "is in order")

	use("", entry("main", ""))
	refused(`countersign.yaml:\d+: partners\[1\].endpoints\[0\].id: endpoint main belongs to partner acme, and cannot change its partner.*; give this endpoint an id of its own`)

	use("", "")
	against(exitYes, `warning: .*endpoint main of acme is not in the config, and is orphaned: 2 deliveries stay pending, 0 dead-lettered, 1 rejections or suspensions not delivered \(user-002 \(test\) change 2 since .*\); put it back`)
	m = launch(t, config, "", nil).ready()
	owed(m, "main +acme .* 2 +0 +orphaned: not served; 1 rejections or suspensions not delivered")
	m.stop()

	h.recover()
	use(entry("second", "renamed_from: main, "), "")
	against(exitYes, "is in order")
	m = launch(t, config, "", nil).ready()
	eventually(t, "what was owed is told", func() bool { return len(h.taken()) == 2 })
	m.says("user-001", "rejected_final")
	eventually(t, "what comes after it too", func() bool { return len(h.taken()) == 3 })
	if last := h.taken()[2]; !strings.Contains(last.body, `"sequence":4,"previous_sequence":2`) {
		t.Errorf("after the rename: %s", last.body)
	}
	key, err := os.ReadFile(filepath.Join(data, "endpoint-main.key"))
	if err != nil {
		t.Fatal(err)
	}
	k, err := signing.NewKey([]byte(strings.TrimSpace(string(key))))
	if err != nil {
		t.Fatal(err)
	}
	standard, _ := format.ByName("standard")
	for _, d := range h.taken() {
		sum := http.Header{"Content-Type": d.header["Content-Type"]}
		var unix int64
		if _, err := fmt.Sscan(d.header.Get("Webhook-Timestamp"), &unix); err != nil {
			t.Fatal(err)
		}
		err := standard.Scheme.Sign(sum, signing.Message{ID: d.header.Get("Webhook-Id"), Time: time.Unix(unix, 0), Body: []byte(d.body)}, signing.Keyring{k})
		if err != nil || sum.Get("Webhook-Signature") != d.header.Get("Webhook-Signature") {
			t.Errorf("signed %s, with the key it had it is %s (%v)", d.header.Get("Webhook-Signature"), sum.Get("Webhook-Signature"), err)
		}
	}
	m.stop()
	if n := strings.Count(m.log.String(), "endpoint_renamed"); n != 1 {
		t.Errorf("it was renamed %d times:\n%s", n, m.log)
	}

	m = launch(t, config, "", nil).ready() // with the same config: there is nothing to do
	owed(m, "second .* 0 +0 +enabled")
	m.stop()
	if strings.Contains(m.log.String(), "endpoint_renamed") || len(h.taken()) != 3 {
		t.Errorf("a second start renames: %d told\n%s", len(h.taken()), m.log)
	}
	use(entry("main", ""), "")
	refused(`partners\[0\].endpoints\[0\].id: endpoint main was renamed to second; give`)
	use(entry("main", ""), entry("third", "renamed_from: second, "))
	refused(`partners\[1\].endpoints\[0\].renamed_from: endpoint second belongs to partner acme`)

	write(t, dir, "countersign.yaml", base+"partners: []\n")
	write(t, dir, "countersign.yaml", strings.ReplaceAll(base+"partners: [{id: beta}]\n", "partner: acme", "partner: beta"))
	against(exitYes, `warning: .*partner acme is not in the config any more: no webhooks`)
}

// TestRenamedFrom: what a config alone shows to be wrong.
func TestRenamedFrom(t *testing.T) {
	f := func(endpoints, want string) {
		t.Helper()
		dir, config := house(t, "http://127.0.0.1:9/")
		b, err := os.ReadFile(config)
		if err != nil {
			t.Fatal(err)
		}
		base, _, _ := strings.Cut(string(b), "partners:")
		write(t, dir, "countersign.yaml", base+"partners:\n  - id: acme\n    endpoints:\n"+endpoints)
		_, problems := loadConfig(config, func(string) (string, bool) { return "", false }, knownNames())
		text := strings.TrimSuffix(fmt.Sprintln(problems), "[]\n")
		if text == "" != (want == "") || !strings.Contains(text, want) {
			t.Errorf("%s: %q, want %q", endpoints, text, want)
		}
	}
	const u = `url: "http://127.0.0.1:9/"`
	f("      - {id: b, "+u+", renamed_from: a}\n", "")
	f("      - {id: b, "+u+", renamed_from: a}\n      - {id: a, "+u+"}\n", "endpoints[0].renamed_from: endpoint a is in this file, on line 11; name the id")
	f("      - {id: b, "+u+", renamed_from: b}\n", "endpoints[0].renamed_from: endpoint b is in this file")
	f("      - {id: b, "+u+", renamed_from: a}\n      - {id: c, "+u+", renamed_from: a}\n", "endpoints[1].renamed_from: renamed_from a is duplicated")
	f("      - {id: b, "+u+", renamed_from: A b}\n", "endpoints[0].renamed_from:")
}
