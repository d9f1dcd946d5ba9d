package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
)

// TestVisible: what a terminal obeys, and what nobody sees, is written as what it is.
func TestVisible(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		var b bytes.Buffer
		if n, err := (visible{&b}).Write([]byte(text)); err != nil || n != len(text) || b.String() != want {
			t.Errorf("%q: %q, %d of %d bytes, %v; want %q", text, b.String(), n, len(text), err, want)
		}
	}
	f("", "")
	f("plain\ttext\n", "plain\ttext\n")
	f("Zoë Müller 山田 é e\u0301 €…“”→ 🙂", "Zoë Müller 山田 é e\u0301 €…“”→ 🙂")
	f("\x1b[2J\x1b]0;owned\x07", `\u001b[2J\u001b]0;owned\u0007`)
	f("a\rb\bc\x7fd\x00", `a\u000db\u0008c\u007fd\u0000`)
	f("a\u009b2Jb\u0085", `a\u009b2Jb\u0085`)
	f("a\x9b2J\xff", `a\x9b2J\xff`) // a terminal of eight bits takes the byte alone
	f("a\u202eb\u202a\u2066\u2069\u200e\u200f\u061c", `a\u202eb\u202a\u2066\u2069\u200e\u200f\u061c`)
	f("a\u200bb\u200c\u200d\u2060\ufeff\u00ad\u180e\u034f\u3164\uffa0\u115f\u2800", `a\u200bb\u200c\u200d\u2060\ufeff\u00ad\u180e\u034f\u3164\uffa0\u115f\u2800`)
	f("a\u2028b\u2029c\u00a0d\u3000", `a\u2028b\u2029c\u00a0d\u3000`)
	f("a\ufe0fb\U000e0101\U000e0041", `a\ufe0fb\udb40\udd01\udb40\udc41`) // variants, and the alphabet of tags
	f("one\ntwo\x1b\nthree", "one\ntwo\\u001b\nthree")
	f("cut \xe2\x80", `cut \xe2\x80`)
}

// TestVisibleJSON: what a script reads is what was meant.
func TestVisibleJSON(t *testing.T) {
	var b bytes.Buffer
	c := &console{out: visible{&b}}
	in := map[string]string{"text": "\x1b[2J \u009b \u202e\u200b \U000e0041 \x7f \"quoted\" \\u200b \n\t"}
	if err := c.show(in); err != nil {
		t.Fatal(err)
	}
	var out map[string]string
	if err := json.Unmarshal(b.Bytes(), &out); err != nil || out["text"] != in["text"] {
		t.Errorf("%s is read as %q, %v", b.Bytes(), out["text"], err)
	}
	if !plain(b.Bytes()) {
		t.Errorf("%q", b.String())
	}
}

// TestPrintfLines: whoever calls himself two lines gets one.
func TestPrintfLines(t *testing.T) {
	var b bytes.Buffer
	c := &console{out: visible{&b}}
	type name string
	c.printf("%s  %-6s|%v|%d\n", "ann\n2026-01-01 forged\tok", name("b\u200b"), errors.New("an error's\r\nown lines"), 7)
	want := `ann\u000a2026-01-01 forged\u0009ok  b\u200b|an error's\u000d` + "\nown lines|7\n"
	if b.String() != want {
		t.Errorf("%q\nwant %q", b.String(), want)
	}
}

// short takes so many bytes and no more.
type short struct{ left int }

func (s *short) Write(p []byte) (int, error) {
	n := min(len(p), s.left)
	if s.left -= n; n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// TestVisibleShort: the log is told of which lines it was that got through.
func TestVisibleShort(t *testing.T) {
	f := func(text string, room, want int) {
		t.Helper()
		if n, err := (visible{&short{room}}).Write([]byte(text)); n != want || err == nil {
			t.Errorf("%q into %d bytes: %d, %v; want %d", text, room, n, err, want)
		}
	}
	f("one\ntwo\nthree\n", 5, 5) // nothing to escape: as the writer below has it
	f("o\x1be\ntwo\nthree\n", 5, 0)
	f("o\x1be\ntwo\nthree\n", 12, 4)
}

// TestLogVisible: lines of the log in either form carry nothing that a terminal obeys, for somebody
// looks at them with one.
func TestLogVisible(t *testing.T) {
	for _, form := range []string{formatJSON, formatText} {
		var b bytes.Buffer
		log := LogConfig{Level: "info", Format: form}.logger(visible{&b}, false)
		log.Info("callback_refused", "source", "a\x1b[2J\u009b\u202e\u200b\ufe0f\x9b\nforged", slog.Group("more", "k\u202e", "v\x7f"))
		if text := b.String(); !plain([]byte(text)) || strings.Count(text, "\n") != 1 {
			t.Errorf("%s: %q", form, text)
		}
	}
}
