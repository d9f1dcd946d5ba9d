package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestReadSecret(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("plain", "canary")
	write("newline", "canary\n")
	write("crlf", "canary\r\n")
	write("two", "canary\n\n")
	write("inner", "can\nary")
	write("empty", "")
	write("blank", " \n")
	write("huge", strings.Repeat("c", maxSecret+1))
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"SET": "canary", "SPACED": " canary\n", "EMPTY": "", "BLANK": " "}
	f := func(ref, want, wantWhat string) {
		t.Helper()
		got, m := readSecret(ref, dir, func(k string) (string, bool) { v, ok := env[k]; return v, ok })
		var what string
		if m != nil {
			if what = m.what; m.remedy == "" || strings.Contains(m.what+m.remedy, "canary") {
				t.Errorf("%s: %+v", ref, m)
			}
		}
		if got != want || what != wantWhat {
			t.Errorf("readSecret(%q) = %q, %q; want %q, %q", ref, got, what, want, wantWhat)
		}
	}
	file := func(name, why string) string {
		return "the secret file " + filepath.Join(dir, name) + " cannot be used: " + why
	}
	f("env:SET", "canary", "")
	f("env:SPACED", "", "the environment variable SPACED cannot be used: a blank or an invisible character is before the secret")
	f("file:plain", "canary", "")
	f("file:"+dir+"/plain", "canary", "")
	f("file:newline", "canary", "")
	f("file:crlf", "canary", "")
	f("file:two", "canary", "")
	f("file:inner", "", file("inner", "there is more than one line in it"))
	f("env:NONE", "", "the environment variable NONE is not set")
	f("env:EMPTY", "", "the environment variable EMPTY is empty")
	f("env:BLANK", "", "the environment variable BLANK is empty")
	f("env:", "", "names no environment variable after env:")
	f("env:canary/+=", "", "names no environment variable after env:")
	f("file:", "", "is not a file: reference")
	f("file:none", "", file("none", "it does not exist"))
	f("file:empty", "", file("empty", "it is empty"))
	f("file:blank", "", file("blank", "it is empty"))
	f("file:huge", "", file("huge", "it is over 64 KiB"))
	f("file:fifo", "", file("fifo", "it is not a regular file"))
	f("file:.", "", file(".", "it is not a regular file"))
	f("canary", "", "is a secret written out in the file")
	f("", "", "is a secret written out in the file")
	f("ENV:SET", "", "is a secret written out in the file")
}

func TestFileErrors(t *testing.T) {
	f := func(err error, want string) {
		t.Helper()
		if got := fileError(err); got != want {
			t.Errorf("fileError(%v) = %q, want %q", err, got, want)
		}
	}
	f(&fs.PathError{Op: "open", Path: "/x", Err: syscall.ENOENT}, "it does not exist")
	f(&fs.PathError{Op: "open", Path: "/x", Err: syscall.EACCES}, "permission denied")
	f(&fs.PathError{Op: "open", Path: "/x", Err: syscall.EIO}, "input/output error")
	f(errors.New("anything"), "the read failed")
}

func TestSecretNeverPrints(t *testing.T) {
	s := newSecret("canary")
	type box struct {
		Exported Secret
		hidden   Secret
		List     []Secret
		Pointer  *Secret
	}
	b := box{s, s, []Secret{s}, &s}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{s, &s, b, &b} {
			if got := fmt.Sprintf(verb, v); strings.Contains(got, "canary") || strings.Contains(got, "63616e617279") {
				t.Errorf("%s of %T: %s", verb, v, got)
			}
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "box", b)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s, "box", b)
	if strings.Contains(log.String(), "canary") {
		t.Errorf("log: %s", log.String())
	}
	if out, err := json.Marshal(b); err == nil {
		t.Errorf("json: %s", out)
	}
	if s.Reveal() != "canary" || (Secret{}).Reveal() != "" || !(Secret{}).IsZero() || s.IsZero() {
		t.Error("Reveal or IsZero is wrong")
	}
}
