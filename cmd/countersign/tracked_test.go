package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTracked: no build output is in the repository: nothing over 1 MiB, and no executable but
// scripts.
func TestTracked(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "git", "-C", "../..", "ls-files", "-z").Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	files := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	if len(files) < 100 {
		t.Fatalf("%d files are tracked", len(files))
	}
	for _, name := range files {
		path := filepath.Join("../..", name)
		info, err := os.Stat(path)
		if os.IsNotExist(err) {
			continue // removed, and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > 1<<20 {
			t.Errorf("%s has %d bytes", name, info.Size())
		}
		head := make([]byte, 4)
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.Read(head)
		_ = f.Close()
		if string(head) == "\x7fELF" {
			t.Errorf("%s is an executable", name)
		}
	}
}
