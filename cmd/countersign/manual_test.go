package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/alecthomas/kong"

	"countersign/relay/control/api"
)

// testParser is the command line as run makes it.
func testParser(t *testing.T) *kong.Kong {
	t.Helper()
	var out bytes.Buffer
	parser, err := newParser(&console{out: &out, err: &out}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	return parser
}

// TestManual is the table of all commands: each says in its --help what it does, how it ends, and
// shows examples that can be typed; it prints JSON, or says why not. A page of no command fails.
func TestManual(t *testing.T) {
	leaves := testParser(t).Model.Leaves(false)
	root, known := testParser(t).Model.Node, map[string]bool{}
	for _, n := range leaves {
		name := typedAs(n)
		known[name] = true
		p, ok := manual[name]
		if !ok || len(p.examples) == 0 {
			t.Errorf("countersign %s has no example: give it a page in manual", name)
			continue
		}
		if hasJSON := flagOf(n, "json") != nil; hasJSON == (p.plain != "") {
			t.Errorf("countersign %s: --json is there: %v; why it is not: %q", name, hasJSON, p.plain)
		}
		if n.Help == "" || !strings.HasSuffix(n.Help, ".") {
			t.Errorf("countersign %s: %q is no sentence", name, n.Help)
		}
		for _, a := range n.Positional {
			if a.Help == "" {
				t.Errorf("countersign %s: argument %s is not explained", name, a.Name)
			}
		}
		for _, f := range n.Flags {
			if f.Help == "" && !f.Hidden {
				t.Errorf("countersign %s: --%s is not explained", name, f.Name)
			}
		}
		code, help, errs := cli(t, nil, append(strings.Fields(name), "--help")...)
		if code != exitYes || errs != "" || !strings.Contains(help, "Exit: 0 yes or done, 1 ") || strings.Contains(help, ", 5 the token") != asks(n) && strings.Contains(strings.Join(strings.Fields(help), " "), "5 the token") != asks(n) {
			t.Errorf("countersign %s --help: exit %d\n%s%s", name, code, help, errs)
		}
		for _, e := range p.examples {
			if !strings.Contains(help, "\n    $ countersign "+e+"\n") {
				t.Errorf("countersign %s --help does not show %q:\n%s", name, e, help)
			}
			args, _, _ := strings.Cut(e, " | ")
			args, _, _ = strings.Cut(args, " > ")
			k, err := testParser(t).Parse(words(args))
			if err != nil {
				t.Errorf("countersign %s: %v", e, err)
			} else if got := typedAs(k.Selected()); got != name {
				t.Errorf("countersign %s is an example of %s, and means %s", e, name, got)
			}
		}
		for other := range strings.SplitSeq(p.next, ", ") {
			line, ok := strings.CutPrefix(other, "countersign ")
			if at, rest := descend(root, strings.Fields(line)); ok && at.Parent == nil || ok && len(rest) > 0 && !strings.HasPrefix(rest[0], "--") {
				t.Errorf("countersign %s points to %s, which is none", name, other)
			}
		}
	}
	for name := range manual {
		if !known[name] {
			t.Errorf("the manual has a page of %s, which is no command", name)
		}
	}
}

// TestEveryCommandEndsWell runs an example of every command that asks a gateway against one that
// answers an error, and against none: each ends with the code of the table, and asks nobody where
// it has no token.
func TestEveryCommandEndsWell(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // which is the first part of the path
		status, err := strconv.Atoi(strings.Split(r.URL.Path, "/")[1])
		if err != nil {
			t.Errorf("%s is asked", r.URL)
		}
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(api.Error{Error: api.Fault{Type: "t", Code: "c", Message: "m"}})
	}))
	defer s.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	t.Chdir(t.TempDir())
	answers := map[string]int{ // by URL
		s.URL + "/401": exitUnpermitted, s.URL + "/404": exitUnknown, gone.URL: exitNotNow,
	}
	asked := 0
	var all sync.WaitGroup
	slots := make(chan struct{}, 4)
	for _, n := range testParser(t).Model.Leaves(false) {
		args := words(manual[typedAs(n)].examples[0])
		end := func(want int, url, token string, more ...string) {
			env := map[string]string{"ACME_ENV": "x", urlVariable: url}
			if token != "" {
				env[tokenVariable] = token
			}
			var out, errs bytes.Buffer // without a time limit: a busy machine is no answer
			c := &console{in: strings.NewReader(""), out: &out, err: &errs, ctx: t.Context(), env: func(k string) (string, bool) { v, ok := env[k]; return v, ok && v != "" }}
			if code := run(c, append(slices.Clone(args), more...)); code != want || errs.Len() == 0 {
				t.Errorf("countersign %s %q of %s: exit %d, want %d\n%s%s", strings.Join(args, " "), more, url, code, want, out.String(), errs.String())
			}
		}
		end(exitUsage, "", "", "--no-such-flag")
		if !asks(n) {
			continue
		}
		asked++
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			for url, want := range answers {
				end(want, url, someToken)
			}
			end(exitUsage, s.URL, "")
			end(exitUsage, "", someToken)
		})
	}
	all.Wait()
	if asked < 35 {
		t.Errorf("only %d commands ask a gateway", asked)
	}
}

// TestHelp: help, --help, -h and no command at all.
func TestHelp(t *testing.T) {
	f := func(want int, args ...string) (out, errs string) {
		t.Helper()
		code, out, errs := cli(t, nil, args...)
		if code != want {
			t.Errorf("%q: exit %d, want %d\n%s%s", args, code, want, out, errs)
		}
		return out, errs
	}
	whole, _ := f(exitYes, "--help")
	if out, _ := f(exitYes, "help"); out != whole || !strings.Contains(out, "COUNTERSIGN_URL") {
		t.Errorf("help says\n%s\n--help\n%s", out, whole)
	}
	if out, errs := f(exitUsage); out != "" || errs != whole {
		t.Errorf("alone it says\n%s\n%s", out, errs)
	}
	one, _ := f(exitYes, "endpoints", "rotate", "-h")
	if out, _ := f(exitYes, "help", "endpoints", "rotate"); out != one {
		t.Errorf("help endpoints rotate says\n%s", out)
	}
	if _, errs := f(exitUsage, "help", "endpoints", "rotat"); !strings.Contains(errs, `did you mean "rotate"?`) {
		t.Error(errs)
	}
	if out, _ := f(exitYes, "help", "endpoints"); !strings.Contains(out, "countersign endpoints alone is countersign endpoints list") {
		t.Error(out)
	}
	a, _ := f(exitYes, "--version")
	if b, _ := f(exitYes, "version"); a != b || !strings.HasPrefix(a, "countersign ") {
		t.Errorf("%q and %q", a, b)
	}
	var v struct{ Version, Go string }
	if out, _ := f(exitYes, "--version", "--json"); json.Unmarshal([]byte(out), &v) != nil || v.Version == "" || v.Go == "" {
		t.Error(out)
	}
}

// TestManPages: a page for each command, which man, groff and mandoc take without a warning, where
// they are there, and which has the sections of one in any case.
func TestManPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	if code, out, errs := cli(t, nil, "man", "--dir", dir); code != exitYes {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	leaves := testParser(t).Model.Leaves(true)
	if err != nil || len(pages) <= len(leaves) {
		t.Fatalf("%d pages of %d commands, %v", len(pages), len(leaves), err)
	}
	for _, n := range leaves {
		text := read(t, filepath.Join(dir, manName(n)+".1"))
		for _, section := range []string{".TH ", ".SH NAME\n", ".SH SYNOPSIS\n", ".SH EXAMPLES\n", ".SH EXIT STATUS\n", ".SH SEE ALSO\n"} {
			if strings.Count(text, section) != 1 {
				t.Errorf("%s has not one %q", manName(n), section)
			}
		}
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "'") || strings.HasPrefix(line, ".") && !strings.HasPrefix(line, ".SH ") && !strings.HasPrefix(line, ".TH ") && !strings.Contains(".TP .PP .nf .fi .RS .RE", strings.TrimSpace(line)) && !strings.HasPrefix(line, `.\"`) {
				t.Errorf("%s has a request that nobody wrote: %q", manName(n), line)
			}
		}
	}
	judge := func(program string, args ...string) {
		t.Helper()
		if _, err := exec.LookPath(program); err != nil {
			t.Logf("%s is not here", program)
			return
		}
		for _, page := range pages {
			cmd := exec.CommandContext(t.Context(), program, append(args, page)...)
			cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=80")
			var errs bytes.Buffer
			cmd.Stderr = &errs
			out, err := cmd.Output()
			if said := errs.String(); err != nil || said != "" || program == "mandoc" && len(out) > 0 {
				t.Errorf("%s %s: %v\n%s%s", program, filepath.Base(page), err, said, out)
			}
		}
	}
	judge("mandoc", "-Tlint", "-Wwarning")
	judge("groff", "-man", "-ww", "-Tutf8")
	judge("man", "--warnings", "-l")
	if code, out, _ := cli(t, nil, "man", "endpoints", "rotate"); code != exitYes || out != read(t, filepath.Join(dir, "countersign-endpoints-rotate.1")) {
		t.Errorf("man endpoints rotate: exit %d\n%s", code, strconv.Quote(out))
	}
	if code, _, errs := cli(t, nil, "man", "decid"); code != exitUsage || !strings.Contains(errs, `did you mean "decide"?`) {
		t.Errorf("exit %d %s", code, errs)
	}
}
