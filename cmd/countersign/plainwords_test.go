package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// houseWords must not stand in what users read. The field has a word for each: pending, delivered,
// dead-lettered, evaluated, serious, unknown clients.
var houseWords = regexp.MustCompile(`(?i)\b(owed|owes|grave|put down|in vain|folded|unfolded|ordered again|strangers?)\b|\b(is|are|stays|be) dead\b(?:[^-]|$)|\bdead (deliver|one)`)

// houseNames must not be part of the name of a metric, a field, a log line or its key.
var houseNames = regexp.MustCompile(`(^|_)(owed|owes|told|fold|folded|unfolded|grave|put_down)(_|$)|(^|_)dead(_[^l]|$)`)

// mayStand are the names that are right: DESIGN's spelling of a key of the config.
var mayStand = map[string]bool{"max_owed": true}

// inTemplates are the actions of a template, which name fields of ours.
var inTemplates = regexp.MustCompile(`\{\{[^}]*\}\}`)

// aName is a name of a metric, a field or a log line: words with underscores between them.
var aName = regexp.MustCompile(`^[a-z0-9]+(_[a-z0-9]+)+$`)

// TestPlainWords holds a short list of words against everything that users read: help, errors, log
// lines, metrics, the API's descriptions, console pages, runbooks, alerts and pages of the docs.
func TestPlainWords(t *testing.T) {
	root := filepath.Join("..", "..")
	for _, dir := range []string{"cmd/countersign", "ingest", "relay", "outbox", "signing", "dashboards/console"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == "testdata" || d.Name() == "examples") {
				return filepath.SkipDir
			}
			switch {
			case strings.HasSuffix(path, "_test.go"):
			case filepath.Ext(path) == ".go":
				plainLiterals(t, path)
			case filepath.Ext(path) == ".html":
				plainText(t, path)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	for _, pattern := range []string{
		"dashboards/*.md", "dashboards/*.yaml", "dashboards/*.yml", "dashboards/overview.json", "dashboards/runbooks/*.md",
		"docs/STATUS.md", "docs/TOUR.md", "docs/UPGRADING.md", "docs/SECURITY.md", "docs/PARTNERS.md", "docs/FORMATS.md",
		"README.md", "docs/QUICKSTART.md", "docs/CONFIGURATION.md", "docs/CONSOLE.md", "docs/CLI.md", "docs/CALLBACKS.md", "docs/DELIVERIES.md", "docs/ENDPOINTS.md", "docs/PERSONS.md", "docs/ACCESS.md",
		"docs/OPERATIONS.md", "docs/MONITORING.md", "docs/KAFKA.md", "docs/EVENTS.md", "docs/CASES.md", "docs/RELIABILITY.md", "docs/PERFORMANCE.md", "docs/API.md", "docs/PROVIDERS.md", "docs/providers/*.md",
		"docs/deploy/*", "docs/deploy/*/*",
	} {
		paths, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil || len(paths) == 0 {
			t.Errorf("%s: %d files, %v", pattern, len(paths), err)
		}
		for _, path := range paths {
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				plainText(t, path)
			}
		}
	}
}

// plainLiterals looks at the strings of a Go file: sentences, and names.
func plainLiterals(t *testing.T, path string) {
	t.Helper()
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Error(err)
		return
	}
	ast.Inspect(f, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		s, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Errorf("%s: %v", files.Position(lit.Pos()), err)
			return true
		}
		if word := unplain(s); word != "" {
			t.Errorf("%s: %q is no plain word", files.Position(lit.Pos()), word)
		}
		return true
	})
}

// unplain returns the word of a string that users should not meet; "": there is none.
func unplain(s string) string {
	if aName.MatchString(s) && !mayStand[s] {
		return houseNames.FindString(s)
	}
	if strings.Contains(s, " ") {
		return houseWords.FindString(s)
	}
	return ""
}

func plainText(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return
	}
	for i, line := range strings.Split(string(text), "\n") {
		if word := houseWords.FindString(inTemplates.ReplaceAllString(line, "")); word != "" {
			t.Errorf("%s:%d: %q is no plain word", path, i+1, word)
		}
	}
}

// TestUnplain: what the words catch, and what they leave alone.
func TestUnplain(t *testing.T) {
	for s, want := range map[string]bool{
		"what is owed waits": true, "it is dead: redeliver it": true, "dead deliveries are listed": true, "put down as overflow": true, "folded under version 3": true,
		"outbox_owed_deliveries": true, "relay_fold_seconds": true, "outbox_dead_deliveries": true, "put_down": true,
		"it is dead-lettered": false, "outbox_dead_lettered_total": false, "max_owed": false, "pending deliveries": false, "allowed by the scaffold": false, "a manifold": false,
	} {
		if got := unplain(s) != ""; got != want {
			t.Errorf("unplain(%q) = %v, want %v", s, got, want)
		}
	}
}
