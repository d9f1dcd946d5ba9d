package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTour types docs/TOUR.md into a shell, as a newcomer does, with the real program: every line
// that begins with $, in order, and finds what the document shows of its output. Text in <angle
// brackets> stands for what differs from day to day, and … for the rest of a line. What only looks
// is typed again until it shows that: the document says "a moment later".
func TestTour(t *testing.T) {
	sh := newShell(t)
	typedLines := 0
	for _, b := range tourBlocks(t) {
		if b.file != "" {
			write(t, sh.dir, b.file, sh.ports.Replace(b.text))
			continue
		}
		for _, c := range b.commands {
			typedLines++
			sh.types(c)
		}
	}
	if typedLines < 25 {
		t.Errorf("the tour has %d lines to type", typedLines)
	}
}

// tourBlock is a file that the tour has written, or some lines that are typed.
type tourBlock struct {
	file, text string
	commands   []typed
}

func tourBlocks(t *testing.T) (all []tourBlock) {
	t.Helper()
	for _, m := range regexp.MustCompile("(?ms)^```(console|yaml) ?([a-z.]*)\n(.*?)^```").FindAllStringSubmatch(read(t, "../../docs/TOUR.md"), -1) {
		b := tourBlock{file: m[2], text: m[3]}
		if m[1] == "console" {
			for line := range strings.Lines(m[3]) {
				line = strings.TrimRight(line, "\n")
				if command, ok := strings.CutPrefix(line, "$ "); ok {
					b.commands = append(b.commands, typed{line: command})
				} else if n := len(b.commands); n > 0 {
					b.commands[n-1].out += line + "\n"
				}
			}
		}
		all = append(all, b)
	}
	return all
}

// shell is a bash in a directory of its own, in which countersign is the program of this test.
type shell struct {
	t     *testing.T
	dir   string
	in    io.Writer
	out   chan string // lines; closed at the end
	ports *strings.Replacer
}

const typedEnd = "=== typed"

func newShell(t *testing.T) *shell {
	t.Helper()
	s := &shell{t: t, dir: t.TempDir(), out: make(chan string, 1000)}
	s.ports = strings.NewReplacer("127.0.0.1:8480", freeAddr(t), "127.0.0.1:8481", freeAddr(t), "127.0.0.1:8490", freeAddr(t))
	bin := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\nCOUNTERSIGN_BE_MAIN=1 exec '%s' \"$@\"\n", os.Args[0])
	if err := os.WriteFile(filepath.Join(bin, "countersign"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	cmd := exec.CommandContext(ctx, "bash", "--norc", "--noprofile")
	cmd.Dir, cmd.Env = s.dir, []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + s.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with what runs in its background
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr, s.in = w, w, in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
		w.Close()
	})
	go func() {
		defer close(s.out)
		for lines := bufio.NewScanner(r); lines.Scan(); {
			s.out <- lines.Text()
		}
	}()
	return s
}

// looks are the commands that change nothing.
var looks = []string{"withheld", "subject", "deliveries", "find", "endpoints keys", "endpoints list", "replay show", "audit", "compact", "cat"}

// types a line, and finds in its output what the document shows.
func (s *shell) types(c typed) {
	s.t.Helper()
	line := s.ports.Replace(c.line)
	again := slices.ContainsFunc(looks, func(w string) bool {
		return strings.HasPrefix(strings.TrimPrefix(line, "countersign "), w) && !strings.Contains(line, "erase") && !strings.Contains(line, "export")
	})
	var out string
	for deadline := time.Now().Add(20 * time.Second); ; {
		out = s.line(line)
		if printed(s.ports.Replace(c.out), out) {
			return
		}
		if !again || time.Now().After(deadline) {
			s.t.Fatalf("$ %s\n%s\nthe document shows\n%s", line, out, c.out)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// line types a line and returns what it printed.
func (s *shell) line(line string) string {
	s.t.Helper()
	if _, err := fmt.Fprintf(s.in, "%s\necho '%s'\n", line, typedEnd); err != nil {
		s.t.Fatal(err)
	}
	var all strings.Builder
	for got := range s.out {
		if got == typedEnd {
			return all.String()
		}
		all.WriteString(got + "\n")
	}
	s.t.Fatalf("$ %s\nthe shell has ended\n%s", line, all.String())
	return ""
}
