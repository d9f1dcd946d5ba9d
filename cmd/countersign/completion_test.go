package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"countersign/ingest/provider"
)

// completed is what may come next, for a shell.
func completed(t *testing.T, shell string, words ...string) []string {
	t.Helper()
	code, out, errs := cli(t, nil, append([]string{completeWord, shell}, words...)...)
	if code != exitYes || errs != "" {
		t.Errorf("%s %q: exit %d %s", shell, words, code, errs)
	}
	var all []string
	for line := range strings.Lines(out) {
		word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		all = append(all, word)
	}
	return all
}

// TestComplete: what comes next is a command, a flag of it, or a value that this program knows, at
// any place of a line; where a file comes next, the shell knows better.
func TestComplete(t *testing.T) {
	f := func(line string, wants ...string) {
		t.Helper()
		got := completed(t, "fish", strings.Split(line, " ")...)
		for _, want := range wants {
			if no, not := strings.CutPrefix(want, "!"); slices.Contains(got, no) == not {
				t.Errorf("%q: %q, and want %s", line, got, want)
			}
		}
	}
	exactly := func(line string, wants ...string) {
		t.Helper()
		if got := completed(t, "fish", strings.Split(line, " ")...); !slices.Equal(got, wants) {
			t.Errorf("%q: %q, want %q", line, got, wants)
		}
	}
	f("", "serve", "endpoints", "subject", "completion", "!"+completeWord)
	exactly("end", "endpoints")
	f("endpoints ", "rotate", "give-up")
	exactly("endpoints ro", "rotate")
	f("endpoints rotate -", "--kind", "--url", "--json", "--help", "!--all")
	f("endpoints -", "--all", "--limit", "--json") // it is a list
	exactly("endpoints rotate acme-main --kind ", "ed25519", "hmac")
	exactly("endpoints rotate --kind=e", "--kind=ed25519")
	exactly("endpoints rotate --out ", onlyFiles)
	exactly("endpoints rotate --out x --kind h", "hmac")
	exactly("verify --provider sum", "sumsub")
	f("translate --provider ", "onfido", provider.GenericName)
	exactly("verify --body ", onlyFiles)
	f("sign --scheme ", "standard", "blendfi-v1", "bluum")
	f("listen --format ", "standard")
	f("endpoints update acme-main --format ", "cloudevents")
	exactly("token make x --scope o", "operator")
	exactly("token make ")
	exactly("decide acme ann --check liven", "liveness")
	f("decide acme ann --status ", "approved", "rejected")
	f("decide acme ann --reasons ", "document_unreadable")
	f("decide acme ann --no", "--no-livemode")
	f("trigger sumsub-eu ", "approved", "request_fulfilled")
	f("trigger ", "!approved")
	exactly("completion ", "bash", "fish", "zsh")
	f("help ", "endpoints")
	exactly("restore ", onlyFiles)
	exactly("--", "--help")
	exactly("nonsense ")
	exactly("endpoints show -- --k")
	for _, args := range [][]string{{completeWord}, {completeWord, "bash"}} {
		if code, _, _ := cli(t, nil, args...); code != exitUsage {
			t.Errorf("%q: exit %d", args, code)
		}
	}
	for line, want := range map[string][]string{"countersign": {"countersign", ""}, "x a  'b c' d\\ e \"f": {"x", "a", "b c", "d e", "f"}, "x ": {"x", ""}, "x '' ": {"x", "", ""}} {
		if got := split(line); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// TestCompletionInShells asks the real shells, where they are there, what they would offer.
func TestCompletionInShells(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "some-body.json", "{}")
	program := write(t, dir, "countersign", fmt.Sprintf("#!/bin/sh\nCOUNTERSIGN_BE_MAIN=1 exec %s \"$@\"\n", self))
	if err := os.Chmod(program, 0o700); err != nil {
		t.Fatal(err)
	}
	shells := map[string]string{ // what prints the offers for $LINE, one to a line
		"bash": `source "$SCRIPT"; COMP_LINE=$LINE; COMP_POINT=${#LINE}; IFS=' ' read -ra COMP_WORDS <<<"$LINE"; [[ $LINE == *' ' ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]}-1)); compopt() { compgen -f -- "${COMP_WORDS[COMP_CWORD]}"; }; _countersign; printf '%s\n' "${COMPREPLY[@]}"`,
		"zsh": `compdef() { :; }; source "$SCRIPT"; words=("${(@s: :)LINE}"); CURRENT=${#words}
_files() { print -l -- *${words[CURRENT]}*; }; _describe() { print -l -- "${(@)${(P)3}%%:*}"; }; _countersign`,
		"fish": `source $SCRIPT; complete -C $LINE | string replace -r '\t.*' ''; true`,
	}
	for shell, offer := range shells {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				cannot(t, shell+" is not here; .ci/run installs it")
			}
			code, script, errs := cli(t, nil, "completion", shell)
			if code != exitYes {
				t.Fatal(errs)
			}
			file := write(t, dir, "script."+shell, script)
			f := func(line string, want ...string) {
				t.Helper()
				cmd := exec.CommandContext(t.Context(), path, "-c", offer)
				cmd.Dir = dir
				cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir, "SCRIPT=" + file, "LINE=" + line, "LC_ALL=C.UTF-8"}
				out, err := cmd.CombinedOutput()
				got := strings.Fields(string(out))
				slices.Sort(got)
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("%q: %v\n%q, want %q", line, err, got, want)
				}
			}
			f("countersign end", "endpoints")
			f("countersign endpoints re", "remove", "resume", "retry-now", "revoke")
			f("countersign endpoints rotate acme-main --kind ", "ed25519", "hmac")
			f("countersign verify --provider sums", "sumsub")
			f("countersign verify --body some", filepath.Base("some-body.json"))
			f("countersign endpoints rotate --ove", "--overlap")
		})
	}
	if _, out, _ := cli(t, nil, completeWord, "bash", "countersign endpoints rotate --kind=e"); out != "--kind=ed25519\n" && out != "ed25519\n" {
		t.Errorf("bash, which breaks words at =, is offered %q", out)
	}
	if _, out, _ := cli(t, nil, completeWord, "zsh", "sub"); !strings.HasPrefix(out, "subject:Show what is known") {
		t.Errorf("zsh is offered %q", out)
	}
}
