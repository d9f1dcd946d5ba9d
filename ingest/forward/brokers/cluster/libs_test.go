package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestJavaMajor(t *testing.T) {
	f := func(text string, want int) {
		t.Helper()
		if got := javaMajor([]byte(text)); got != want {
			t.Errorf("javaMajor(%q) = %d, want %d", text, got, want)
		}
	}
	f("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime", 17)
	f("openjdk version \"21\" 2023-09-19", 21)
	f("java version \"1.8.0_411\"", 1)
	f("command not found", 0)
}

// TestLibsMissing holds that what is missing is an error of one sentence that names what to
// install.
func TestLibsMissing(t *testing.T) {
	f := func(name, want string) {
		t.Helper()
		if dir, err := Libs(t.Context()); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q, %v; want %q", name, dir, err, want)
		}
	}
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	t.Setenv(LibsVariable, "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	java := func(version string) {
		t.Helper()
		script := "#!/bin/sh\necho 'openjdk version \"" + version + "\"' >&2\n"
		if err := os.WriteFile(filepath.Join(bin, "java"), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	f("no java", "install a JRE")
	java("11.0.2")
	f("an old java", "this is Java 11")
	java("17.0.15")
	f("no mvn", "install it (Debian: maven)")
	t.Setenv(LibsVariable, t.TempDir())
	f("an empty folder", coreJar)
}
