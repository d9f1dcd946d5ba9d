package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPartnersAreRenamed walks through the real program: a partner under another id goes on with
// its people, in sequence, with what was owed to it; check says so before, and the id that it had
// is nobody else's.
func TestPartnersAreRenamed(t *testing.T) {
	h := newPatient(t)
	dir, config := house(t, h.url)
	before, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	base, _, _ := strings.Cut(string(before), "partners:")
	use := func(partner string, entries ...string) {
		t.Helper()
		write(t, dir, "countersign.yaml", strings.ReplaceAll(base, "partner: acme", "partner: "+partner)+"partners:\n  - "+strings.Join(entries, "\n  - ")+"\n")
	}
	entry := func(partner, endpoint string) string {
		return fmt.Sprintf(`{%s, endpoints: [{id: %s, url: "%s", retry: {first: 50ms, factor: 1, max: 50ms, jitter: 0, attempts: 100}}]}`, partner, endpoint, h.url)
	}
	says := func(wantCode int, want string, args ...string) {
		t.Helper()
		code, out, errs := cli(t, nil, append(args, "--config", config)...)
		if code != wantCode || !regexp.MustCompile(want).MatchString(out+errs) {
			t.Errorf("%v exits with %d, and says\n%s%swant %d and %s", args, code, out, errs, wantCode, want)
		}
	}
	data := filepath.Join(dir, "data")

	use("acme", entry("id: acme", "main"))
	m := launch(t, config, "", nil).ready()
	m.says("user-001", "approved")
	m.says("user-002", "rejected_final")
	owes := func(want string) {
		t.Helper()
		eventually(t, want, func() bool {
			_, out, _ := cli(t, nil, "endpoints", "--config", config)
			return regexp.MustCompile(want).MatchString(out)
		})
	}
	owes("main .* 2 +0 +enabled")
	use("globex", entry("id: globex, renamed_from: acme", "main"))
	says(exitNo, `partners\[0\].renamed_from: partner globex is to take the place of acme, which cannot be done while this process runs; restart`, "reload")
	m.stop()

	use("globex", entry("id: globex", "main"))
	says(exitNo, `endpoint main belongs to partner acme, and cannot change its partner`, "check", "--against", data)
	use("globex", entry("id: globex, renamed_from: initech", "main"))
	says(exitNo, `countersign.yaml:\d+: partners\[0\].renamed_from: no partner initech is known; correct it`, "check", "--against", data)
	use("globex", entry("id: globex, renamed_from: acme", "main"))
	says(exitYes, `warning: .*partner acme becomes globex: its people,`, "check", "--against", data)
	m = launch(t, config, "", nil).ready()
	owes("main +globex .* 2 +0 +enabled")
	h.recover()
	eventually(t, "what was owed is told", func() bool { return len(h.taken()) == 2 })
	m.says("user-001", "rejected_final")
	eventually(t, "what comes after it too", func() bool { return len(h.taken()) == 3 })
	if first, last := h.taken()[0].body, h.taken()[2].body; !strings.Contains(first, `"partner":"acme"`) || !strings.Contains(last, `"partner":"globex"`) || !strings.Contains(last, `"sequence":4,"previous_sequence":2`) {
		t.Errorf("before %s\nafter %s", first, last)
	}
	says(exitYes, "globex/user-001", "subject", "globex", "user-001")
	says(exitYes, "globex/user-001", "subject", "acme", "user-001")
	m.stop()
	if n := strings.Count(m.log.String(), `"partner_renamed"`); n != 1 {
		t.Errorf("it was renamed %d times:\n%s", n, m.log)
	}

	says(exitYes, "is in order", "check", "--against", data)
	m = launch(t, config, "", nil).ready() // with the same config: there is nothing to do
	owes("main +globex .* 0 +0 +enabled")
	m.stop()
	if strings.Contains(m.log.String(), "partner_renamed") {
		t.Errorf("a second start renames:\n%s", m.log)
	}
	use("globex", entry("id: globex", "main"), entry("id: acme", "other"))
	says(exitNo, `countersign.yaml:\d+: partners\[1\].id: partner acme was renamed to globex, and keeps what is kept of it; give this partner an id of its own`, "check", "--against", data)
	use("globex", entry("id: globex, renamed_from: acme", "main"), entry("id: acme", "other"))
	says(exitNo, `partners\[0\].renamed_from: partner acme is in this file, on line \d+`, "check")
}
