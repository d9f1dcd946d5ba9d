package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// pasted is a block of a page that is pasted into a shell, and the lines that the page shows of its
// output.
type pasted struct{ text, out string }

// pastedBlocks are the blocks of a page with the language sh, each with the block of text behind
// it. A block that is marked as sh build is not among them: the program of a test is built already.
func pastedBlocks(t *testing.T, page string) (all []pasted) {
	t.Helper()
	for _, m := range regexp.MustCompile("(?ms)^```(sh|text)\n(.*?)^```").FindAllStringSubmatch(read(t, page), -1) {
		if m[1] == "sh" {
			all = append(all, pasted{text: m[2]})
		} else if n := len(all); n > 0 {
			all[n-1].out = m[2]
		}
	}
	return all
}

// paste gives a block to the shell as it stands, and finds in what is printed what the page shows.
// Lines that only look are typed again until then.
func (s *shell) paste(p pasted) {
	s.t.Helper()
	lines := strings.Split(strings.TrimSpace(p.text), "\n")
	again := slices.DeleteFunc(slices.Clone(lines), func(l string) bool {
		return !slices.ContainsFunc([]string{"cat partner.log", "countersign subject", "countersign deliveries"}, func(w string) bool { return strings.HasPrefix(l, w) })
	})
	out := s.line(s.ports.Replace(strings.Join(lines, "\n")))
	for deadline := time.Now().Add(20 * time.Second); !printed(s.ports.Replace(p.out), out); out = s.line(s.ports.Replace(strings.Join(again, "\n"))) {
		if len(again) == 0 || time.Now().After(deadline) {
			s.t.Fatalf("pasted\n%s\nprinted\n%s\nthe page shows\n%s", p.text, out, p.out)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestQuickStart pastes the blocks of docs/QUICKSTART.md into one shell, in their order, with the
// real program, and finds what the page shows of their output.
func TestQuickStart(t *testing.T) {
	blocks := pastedBlocks(t, "../../docs/QUICKSTART.md")
	if len(blocks) < 8 {
		t.Fatalf("the page has %d blocks to paste", len(blocks))
	}
	sh := newShell(t)
	for _, b := range blocks {
		sh.paste(b)
	}
}

// TestReadme does the same to the block of README.md, of which it leaves out the line that builds.
func TestReadme(t *testing.T) {
	blocks := pastedBlocks(t, "../../README.md")
	if len(blocks) != 1 {
		t.Fatalf("README.md has %d blocks to paste, want 1", len(blocks))
	}
	build, rest, _ := strings.Cut(blocks[0].text, "\n")
	if !strings.HasPrefix(build, "make countersign ") || blocks[0].out == "" {
		t.Fatalf("the block begins with %q and shows %q", build, blocks[0].out)
	}
	newShell(t).paste(pasted{text: rest, out: blocks[0].out})
}
