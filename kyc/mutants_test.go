//go:build mutants

package kyc

import (
	"cmp"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// mutant is one rule changed. One that says the same as the rule has the reason why: no scenario
// can tell it.
type mutant struct {
	name, file, was, is string
	same                string
	by                  string // the tests that must notice; none: the scenarios alone
}

// tables are the tests without the definition and without random histories in them.
const tables = `^Test(Scenarios|Changes\w*|Verdicts\w*|Notice\w*|Timers|TimersOfAttempts|Decisions|Confirmation|Submissions|Seen|Gate|Clamp\w*|StateGatesToo|Weak|Expires\w*|LearntTooLate|Validity)$`

// TestMutants changes one rule of the production code at a time, and wants the scenarios to notice;
// of what is told, the tables. Not part of CI: it builds the package once for each mutant and takes
// about six minutes on two idle cores. make mutants; MUTANT="an expression" for some.
func TestMutants(t *testing.T) {
	only := regexp.MustCompile(os.Getenv("MUTANT"))
	for _, m := range slices.Concat(ruleMutants(), scopeMutants(), tellMutants(), skewMutants()) {
		if !only.MatchString(m.name) {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			out, err := m.try(t)
			switch {
			case strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]"):
				t.Fatalf("does not build:\n%s", out)
			case err == nil && m.same == "":
				t.Error("survives")
			case err != nil && m.same != "":
				t.Errorf("is noticed, although %s:\n%s", m.same, out)
			}
		})
	}
}

// try runs the tests with the mutant in place of its file, and returns what they print.
func (m *mutant) try(t *testing.T) (string, error) {
	t.Helper()
	file, err := filepath.Abs(m.file)
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(src), m.was); n != 1 {
		t.Fatalf("%s has %q %d times", m.file, m.was, n)
	}
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	changed := write(m.file, []byte(strings.Replace(string(src), m.was, m.is, 1)))
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {file: changed}})
	if err != nil {
		t.Fatal(err)
	}
	run := cmp.Or(m.by, "^TestScenarios$")
	out, err := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-vet=off", "-overlay", write("overlay.json", overlay), "-run", run, ".").CombinedOutput() // #nosec G204 -- ours
	return string(out), err
}
