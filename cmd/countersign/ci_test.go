package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A make that does nothing but say what it was asked for, and fails where it is told to. The
// installer does nothing.
const (
	standInMake = "#!/bin/sh\necho \"make $*\"\n[ \"$1\" != \"$FAILS\" ]\n"
	standInApt  = "#!/bin/sh\nexit 0\n"
)

// ciRun is what .ci/run comes to where one target fails; "": none does.
func ciRun(t *testing.T, fails string) (asked []string, passed bool) {
	t.Helper()
	bin := t.TempDir()
	for name, text := range map[string]string{"make": standInMake, "apt-get": standInApt} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "bash", "../../.ci/run")
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "FAILS="+fails)
	out, err := cmd.Output()
	if failed := new(exec.ExitError); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	for line := range bytes.Lines(out) {
		if words := strings.Fields(string(line)); len(words) > 1 && words[0] == "make" {
			asked = append(asked, words[1])
		}
	}
	return asked, err == nil
}

// TestCIRun: the run passes when everything does, and fails when something does: a step, what runs
// beside the others, or the last.
func TestCIRun(t *testing.T) {
	t.Parallel()
	asked, passed := ciRun(t, "")
	for _, target := range []string{"demo", "test", "check", "fuzz", "attack", "soak", "vulncheck"} {
		if !slices.Contains(asked, target) {
			t.Errorf("make %s is not asked for", target)
		}
	}
	if !passed {
		t.Error("it fails although everything passes")
	}
	for _, target := range []string{"check", "fuzz", "vulncheck"} {
		if _, passed := ciRun(t, target); passed {
			t.Errorf("it passes although make %s fails", target)
		}
	}
}
