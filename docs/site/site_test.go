package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"countersign/relay/control/api"
)

// TestSite builds the site of this checkout: every link of ours leads somewhere, every document is
// a page, and the reference has every call.
func TestSite(t *testing.T) {
	out := t.TempDir()
	n, err := build("../..", out)
	if err != nil {
		t.Fatal(err)
	}
	if n < 10 {
		t.Errorf("%d pages", n)
	}
	var sources []string
	for _, s := range contents() {
		for _, p := range s.Pages {
			sources = append(sources, p.Source)
			text, err := os.ReadFile(filepath.Join(out, p.File))
			if err != nil {
				t.Fatal(err)
			}
			if page := string(text); strings.Count(page, "<h1") != 1 || !strings.Contains(page, `aria-current="page">`+strings.ReplaceAll(p.Name, "&", "&amp;")) {
				t.Errorf("%s has not one heading of its own, or does not say where it is", p.File)
			}
		}
	}
	documents, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	settings, err := filepath.Glob("../providers/*.md")
	if err != nil || len(settings) != len(providerNames) {
		t.Errorf("%d pages of providers, and the navigation has %d: %v", len(settings), len(providerNames), err)
	}
	for _, d := range append(documents, settings...) {
		if name := "docs/" + strings.TrimPrefix(filepath.ToSlash(d), "../"); !slices.Contains(sources, name) {
			t.Errorf("%s is no page of the site", name)
		}
	}
	reference, err := os.ReadFile(filepath.Join(out, "reference.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range api.Calls() {
		if !strings.Contains(string(reference), "<code>"+c.Pattern+"</code>") {
			t.Errorf("the reference has no %s", c.Pattern)
		}
	}
}

// TestLinks is the control: a link that leads nowhere is found, to a page and to a heading.
func TestLinks(t *testing.T) {
	f := func(markdown string, want bool) {
		t.Helper()
		p := &page{File: "a.html"}
		if err := p.render([]byte(markdown), "docs", map[string]string{"docs/B.md": "b.html"}); err != nil {
			t.Fatal(err)
		}
		if err := checkLinks([]*page{p, {File: "b.html", ids: map[string]bool{"there": true}}}); (err == nil) != want {
			t.Errorf("%s: %v", markdown, err)
		}
	}
	f("[x](B.md)", true)
	f("[x](B.md#there)", true)
	f("[x](B.md#not-there)", false)
	f("[x](C.md)", false)
	f("# One `two` three\n\n[x](#one-two-three)", true)
	f("[x](#nowhere)", false)
	f("[x](https://example.org/nowhere)", true)
}
