package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestReleaseIsReproducible: a release made in another directory, from the same files and with the
// same Go, has the same bytes, and says its version.
func TestReleaseIsReproducible(t *testing.T) {
	if testing.Short() || raced {
		t.Skip("it builds the program twice")
	}
	b, err := exec.Command("git", "-C", "../..", "ls-files", "-z", "go.mod", "go.sum", "Makefile", "cmd/countersign", "ingest", "relay", "signing", "outbox", "kyc", "dashboards", "docs").Output()
	if err != nil {
		cannot(t, "there is no git checkout here")
	}
	made := func(root string) []byte {
		t.Helper()
		out := filepath.Join(t.TempDir(), "release")
		target := "linux/" + runtime.GOARCH
		c := exec.Command("make", "-s", "-C", root, "release", "RELEASES="+target, "SBOM=", "VERSION=v9.8.7-test", "RELEASE="+out)
		if said, err := c.CombinedOutput(); err != nil {
			t.Fatalf("make release: %v\n%s", err, said)
		}
		path := filepath.Join(out, "countersign-v9.8.7-test-linux-"+runtime.GOARCH)
		if said, err := exec.Command(path, "version").Output(); err != nil || !strings.Contains(string(said), "v9.8.7-test") {
			t.Errorf("it says %s, %v", said, err)
		}
		sum := exec.Command("sha256sum", "-c", "--strict", "SHA256SUMS")
		if sum.Dir = out; sum.Run() != nil {
			t.Errorf("the checksums in %s are not right", out)
		}
		program, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return program
	}
	elsewhere := filepath.Join(t.TempDir(), "another", "place")
	for name := range strings.SplitSeq(strings.TrimRight(string(b), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			continue // it is being removed
		}
		to := filepath.Join(elsewhere, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if here, there := made("../.."), made(elsewhere); !bytes.Equal(here, there) {
		t.Errorf("%d bytes here, %d in another directory, and they differ", len(here), len(there))
	}
}
