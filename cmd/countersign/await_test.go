package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"countersign/ingest/provider"
)

// TestTriggerWaits: a sample waits for a gateway that is only started afterwards, and for one that
// still checks its file; with --wait 0s it does not.
func TestTriggerWaits(t *testing.T) {
	dir, config := house(t, "http://127.0.0.1:9/hook")
	fatten(t, filepath.Join(dir, "data"))
	gate := write(t, dir, "gate", "")
	type result struct {
		code int
		text string
	}
	trigger := func(wait string) result {
		code, out, errs := cli(t, nil, "trigger", "--config", config, "sumsub-eu", "rejected", "--subject", "maria", "--wait", wait)
		return result{code, out + errs}
	}
	if r := trigger("0s"); r.code != exitNotNow || !strings.Contains(r.text, "nothing was sent") {
		t.Errorf("no gateway: exit %d\n%s", r.code, r.text)
	}
	waits := make(chan result, 1)
	go func() { waits <- trigger("19s") }()
	m := launch(t, config, "", func(c *exec.Cmd) { c.Env = append(c.Env, holdCheck+"="+gate) })
	eventually(t, "the file is checked", func() bool {
		_, text := m.control("/healthz")
		return strings.Contains(text, `"checking_file"`)
	})
	if r := trigger("0s"); r.code != exitNotNow || !strings.Contains(r.text, "does not serve yet, so nothing was sent: checking_file, ") {
		t.Errorf("a gateway that checks its file: exit %d\n%s", r.code, r.text)
	}
	select {
	case r := <-waits:
		t.Fatalf("it did not wait: exit %d\n%s", r.code, r.text)
	default:
	}
	if err := os.Remove(gate); err != nil {
		t.Fatal(err)
	}
	if r := <-waits; r.code != exitYes || !strings.Contains(r.text, "200 ok") {
		t.Errorf("a gateway that has started: exit %d\n%s", r.code, r.text)
	}
	m.ready()
	eventually(t, "maria is rejected", func() bool {
		_, out, _ := cli(t, nil, "subject", "--config", config, "acme", "maria")
		return strings.Contains(out, "acme/maria  rejected")
	})
}

// TestTriggerNames: the names that all providers share work for every one that posts callbacks, with
// a real gateway; of one that has no such callback the answer says so, and what there is.
func TestTriggerNames(t *testing.T) {
	config := town(t, newHook(t, func() int { return http.StatusOK }).url)
	start(t, config)
	sent := 0
	for _, a := range posting() {
		common := provider.CommonSamples(a.Name)
		for _, name := range provider.CommonNames {
			code, out, errs := cli(t, nil, "trigger", "--config", config, a.Name, name)
			_, has := common[name]
			switch {
			case !has:
				if code != exitNo || !strings.Contains(errs, "no callback that says "+name+": there are ") || !strings.Contains(errs, provider.SampleEvents(a.Name)[0]) {
					t.Errorf("%s has no %s: exit %d\n%s%s", a.Name, name, code, out, errs)
				}
			case thin(a):
			case code != exitYes || !strings.Contains(out, "200"):
				t.Errorf("%s %s: exit %d\n%s%s", a.Name, name, code, out, errs)
			default:
				sent++
			}
		}
		code, out, _ := cli(t, nil, "providers", a.Name)
		for name, sample := range common {
			if line := name + ": " + sample; code != exitYes || name != sample && !strings.Contains(out, line) {
				t.Errorf("countersign providers %s does not say %q:\n%s", a.Name, line, out)
			}
		}
	}
	if sent < 80 {
		t.Errorf("only %d samples were sent", sent)
	}
	if names := samples(); !slices.Contains(names, "in_review") || !slices.Contains(names, "hit") {
		t.Errorf("completion knows %v", names)
	}
	if code, _, errs := cli(t, nil, "trigger", "--config", config, "sumsub", "rejectd"); code != exitNo || !strings.Contains(errs, "did you mean rejected?") {
		t.Errorf("exit %d\n%s", code, errs)
	}
}
