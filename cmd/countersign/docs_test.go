package main

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite what is generated in docs/")

const configuration = "../../docs/CONFIGURATION.md"

// TestConfigTable holds the table of config keys in docs/CONFIGURATION.md to configReference, which
// other tests hold to the loader.
func TestConfigTable(t *testing.T) {
	var table bytes.Buffer
	table.WriteString("<!-- config: begin -->\n| key | default | meaning |\n|---|---|---|\n")
	for _, k := range configReference() {
		def := ""
		if k.Default != "" {
			def = "`" + k.Default + "`"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", k.Key, def, strings.ReplaceAll(k.Meaning, "|", "\\|"))
	}
	table.WriteString("<!-- config: end -->")
	doc := read(t, configuration)
	block := regexp.MustCompile(`(?s)<!-- config: begin -->.*<!-- config: end -->`)
	want := block.ReplaceAllLiteralString(doc, table.String())
	if doc == want {
		return
	}
	if !*update {
		t.Fatal("the table of config keys in docs/CONFIGURATION.md is not what the loader knows; run go test ./cmd/countersign -run TestConfigTable -update")
	}
	if err := os.WriteFile(configuration, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// documents are README.md, CHANGELOG.md and every page of docs/.
func documents(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) < 10 {
		t.Fatalf("found %d pages of documentation: %v", len(pages), err)
	}
	return append(pages, "../../README.md", "../../CHANGELOG.md")
}

// TestDocsNameWhatExists checks prose that names commands, files, metrics and make targets.
func TestDocsNameWhatExists(t *testing.T) {
	metrics := definedMetrics(t)
	targets := regexp.MustCompile(`(?m)^([a-z-]+):`).FindAllStringSubmatch(read(t, "../../Makefile"), -1)
	for _, doc := range documents(t) {
		text := read(t, doc)
		for _, m := range regexp.MustCompile(`countersign_[a-z_]+`).FindAllString(text, -1) {
			if !slices.Contains(metrics, strings.TrimPrefix(m, "countersign_")) {
				t.Errorf("%s names the metric %s, which does not exist", doc, m)
			}
		}
		for _, m := range regexp.MustCompile("(?m)(?:`|^)countersign ([a-z]+)").FindAllStringSubmatch(text, -1) {
			if !slices.Contains(commandNames(), m[1]) {
				t.Errorf("%s names the command countersign %s, which does not exist", doc, m[1])
			}
		}
		for _, m := range regexp.MustCompile("(?m)(?:`|^)make ([a-z-]+)").FindAllStringSubmatch(text, -1) {
			if !slices.ContainsFunc(targets, func(x []string) bool { return x[1] == m[1] }) {
				t.Errorf("%s names make %s, which does not exist", doc, m[1])
			}
		}
		for _, m := range regexp.MustCompile("`((?:ingest|relay|outbox|signing|kyc|cmd|docs|dashboards)/[A-Za-z0-9_./-]*)`|\\]\\(([A-Za-z][A-Za-z0-9_./-]*)\\)").FindAllStringSubmatch(text, -1) {
			path := m[1] + m[2]
			root := "../.."
			if m[2] != "" {
				root = filepath.Dir(doc)
			}
			if strings.Contains(path, "NAME") || strings.Contains(path, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				t.Errorf("%s names %s, which does not exist", doc, path)
			}
		}
	}
}

// TestDocsNameTests: a test, or a benchmark, that prose relies on is there.
func TestDocsNameTests(t *testing.T) {
	named := regexp.MustCompile(`\b(?:Test|Benchmark)[A-Z]\w+`)
	defined := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Benchmark)\w+)\(`).FindAllStringSubmatch(read(t, path), -1) {
				defined[m[1]] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, doc := range documents(t) {
		for _, name := range named.FindAllString(read(t, doc), -1) {
			if n++; !defined[name] {
				t.Errorf("%s names %s, which is no test", doc, name)
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d tests are named: the search is broken", n)
	}
}

// commandNames are the commands of the command line, from its own struct.
func commandNames() (names []string) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[commands]()) {
		names = append(names, strings.ToLower(f.Name))
	}
	return names
}

// definedMetrics are the names given to metrics anywhere in the code, without their prefix.
func definedMetrics(t *testing.T) (names []string) {
	t.Helper()
	def := regexp.MustCompile(`(?:Name:\s*|NewDesc\(|histogram\(|counter\(|gauge\()"([a-z_]+)"`)
	for _, pattern := range []string{"../../*/*metrics.go", "../../*/*/*metrics.go", "../../*/*/*/metrics.go", "*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			for _, m := range def.FindAllStringSubmatch(read(t, f), -1) {
				names = append(names, m[1])
			}
		}
	}
	if len(names) < 20 {
		t.Fatalf("found only %d metrics: the search is broken", len(names))
	}
	return names
}
