package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/relay/control/api"
)

// seeCarl looks at one person of TestCLI by pages, at instants, and exports him.
func seeCarl(t *testing.T, f func(want int, text string, args ...string) string, config, dir string) {
	t.Helper()
	show := func(more ...string) []string {
		return append([]string{"subject", "show", "--config", config, "acme", "carl"}, more...)
	}
	out := f(exitYes, "more: --cursor ", show("--limit", "1")...)
	_, cursor, _ := strings.Cut(strings.TrimSpace(out), "more: --cursor ")
	if next := f(exitYes, "acme/carl  rejected", show("--limit", "1", "--cursor", cursor)...); next == out {
		t.Errorf("the second page is the first:\n%s", next)
	}
	f(exitNo, "cursor", show("--cursor", "AAAA")...)
	all := f(exitYes, "last sequence sent to each endpoint", show("--all", "--limit", "1")...)
	for _, word := range []string{"acme-main        #2, at ", "done", "dead", "kyc.status.rejected"} {
		if !strings.Contains(all, word) || strings.Contains(all, "more:") {
			t.Errorf("%q is not there, or there is more:\n%s", word, all)
		}
	}
	now := time.Now().UTC().Format(time.RFC3339Nano)
	f(exitYes, "from everything that had been processed by then", show("--at", now)...)
	if then := f(exitYes, "acme/carl  not_started", show("--at", "2020-01-01")...); strings.Contains(then, "kyc.status") {
		t.Errorf("told before anything was said:\n%s", then)
	}
	f(exitUsage, "--at takes an instant", show("--at", "yesterday")...)
	var v api.Subject
	if err := json.Unmarshal([]byte(f(exitYes, "", show("--at", now, "--all", "--json")...)), &v); err != nil || v.At == nil || v.At.By != "evaluation" || len(v.Records) != 2 || v.HasMore || len(v.Endpoints) == 0 || v.Endpoints[0].Accepted == 0 {
		t.Errorf("%v: %+v", err, v)
	}
	file := filepath.Join(dir, "carl.json")
	f(exitYes, "everything that is kept of acme/carl", "subject", "export", "--config", config, "acme", "carl", "--out", file)
	b, err := os.ReadFile(file)
	var e api.SubjectExport
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	info, statErr := os.Stat(file)
	if err != nil || statErr != nil || info.Mode().Perm() != 0o600 || e.ID != "carl" || !strings.Contains(string(b), "kyc.status.rejected") || strings.Contains(string(b), "edsger") {
		t.Errorf("%v, %v: %s", err, statErr, b)
	}
	f(exitNo, "exists", "subject", "export", "--config", config, "acme", "carl", "--out", file)
	f(exitUnknown, "not found", "subject", "export", "--config", config, "acme", "nobody", "--out", filepath.Join(dir, "nobody.json"))
	if left, err := filepath.Glob(filepath.Join(dir, ".*.json.*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q %v", left, err)
	}
	f(exitYes, `"object":"subject_export"`, "subject", "export", "--config", config, "acme", "carl")
	f(exitYes, "/v1/subjects/acme/person:", "audit", "--config", config)
}
