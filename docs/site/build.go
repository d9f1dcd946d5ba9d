package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// section is a group of pages in the navigation.
type section struct {
	Name  string
	Pages []*page
}

// page is one page of the site.
type page struct {
	Source string // in the checkout; "": it is made of something else
	File   string // in the site
	Name   string // in the navigation
	Title  string
	Body   template.HTML
	Parts  []part // its headings of the second level
	ids    map[string]bool
	links  []string // as they stand in its HTML
}

// part is a heading that the page's own navigation leads to.
type part struct{ ID, Text string }

// contents are the pages of the site, in the order of its navigation. Every document of docs/ is
// among them (TestSite).
func contents() []*section {
	return []*section{
		{"Start", []*page{
			{Source: "README.md", File: "index.html", Name: "Overview"},
			{Source: "docs/QUICKSTART.md", File: "quickstart.html", Name: "Quick start"},
			{Source: "docs/TOUR.md", File: "tour.html", Name: "Tour: an hour"},
		}},
		{"For partners", []*page{{Source: "docs/PARTNERS.md", File: "partners.html", Name: "Receive webhooks"}, {Source: "docs/FORMATS.md", File: "formats.html", Name: "Formats and verification"}, {Source: "docs/STATUS.md", File: "status.html", Name: "What a status means"}}},
		{"For operators", []*page{
			{Source: "docs/OPERATIONS.md", File: "operations.html", Name: "Operating"},
			{Source: "docs/CONSOLE.md", File: "console.html", Name: "Console"},
			{Source: "docs/CLI.md", File: "cli.html", Name: "Command line"},
			{Source: "docs/CONFIGURATION.md", File: "configuration.html", Name: "Configuration"},
			{Source: "docs/PROVIDERS.md", File: "providers.html", Name: "Provider settings"},
			{Source: "docs/CALLBACKS.md", File: "callbacks.html", Name: "Callbacks"},
			{Source: "docs/DELIVERIES.md", File: "deliveries.html", Name: "Deliveries"},
			{Source: "docs/ENDPOINTS.md", File: "endpoints.html", Name: "Endpoints and keys"},
			{Source: "docs/PERSONS.md", File: "persons.html", Name: "Persons"},
			{Source: "docs/ACCESS.md", File: "access.html", Name: "Tokens and audit trail"},
			{Source: "docs/KAFKA.md", File: "kafka.html", Name: "Kafka"},
			{Source: "docs/UPGRADING.md", File: "upgrading.html", Name: "Upgrading"},
		}},
		providerPages(),
		{"When something is wrong", []*page{
			{Source: "docs/CASES.md", File: "cases.html", Name: "Hard cases"},
			{File: "runbooks.html", Name: "Runbooks"},
			{Source: "dashboards/README.md", File: "dashboard.html", Name: "Dashboard and alerts"},
			{Source: "docs/MONITORING.md", File: "monitoring.html", Name: "Metrics, logs, traces"},
		}},
		{"To decide", []*page{
			{Source: "docs/SECURITY.md", File: "security.html", Name: "Security"},
			{Source: "docs/RELIABILITY.md", File: "reliability.html", Name: "Reliability"},
			{Source: "docs/PERFORMANCE.md", File: "performance.html", Name: "Performance"},
		}},
		{"For developers", []*page{
			{File: "reference.html", Name: "API reference"},
			{Source: "docs/API.md", File: "api.html", Name: "API"},
			{Source: "docs/EVENTS.md", File: "events.html", Name: "Read from Kafka"},
			{Source: "docs/ADDING.md", File: "adding.html", Name: "Add a provider or format"},
			{Source: "docs/DESIGN.md", File: "design.html", Name: "Design"},
			{Source: "docs/CLUSTER.md", File: "cluster.html", Name: "Many nodes (a draft)"},
			{Source: "CHANGELOG.md", File: "changelog.html", Name: "Changes"},
		}},
	}
}

// files are copied as they are.
var files = []string{
	"LICENSE", "docs/console.png", "dashboards/overview.json", "dashboards/overview.svg", "dashboards/alerts.yaml", "dashboards/alertmanager.example.yml",
	"docs/update.schema.json", "docs/change.schema.json", "docs/asyncapi.yaml",
}

//go:embed layout.html
var layout string

//go:embed style.css
var style []byte

// build writes the site, and says how many pages it has. A link of ours that leads nowhere is an
// error: nothing is written then.
func build(root, out string) (int, error) {
	frame, err := template.New("layout").Parse(layout)
	if err != nil {
		return 0, fmt.Errorf("read the layout: %w", err)
	}
	sections := contents()
	var all []*page
	for _, s := range sections {
		all = append(all, s.Pages...)
	}
	if err := read(root, all); err != nil {
		return 0, err
	}
	if err := checkLinks(all); err != nil {
		return 0, err
	}
	if err := os.MkdirAll(out, 0o755); err != nil { //nolint:gosec // it is to be read
		return 0, fmt.Errorf("make the site: %w", err)
	}
	for _, p := range all {
		var b bytes.Buffer
		if err := frame.Execute(&b, map[string]any{"Page": p, "Sections": sections}); err != nil {
			return 0, fmt.Errorf("make %s: %w", p.File, err)
		}
		if err := write(out, p.File, b.Bytes()); err != nil {
			return 0, err
		}
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(root, f)) //nolint:gosec // of the checkout
		if err != nil {
			return 0, fmt.Errorf("copy %s: %w", f, err)
		}
		if err := write(out, filepath.Base(f), b); err != nil {
			return 0, err
		}
	}
	return len(all), write(out, "style.css", style)
}

func write(out, name string, b []byte) error {
	if err := os.WriteFile(filepath.Join(out, name), b, 0o644); err != nil { //nolint:gosec // it is to be read
		return fmt.Errorf("write the site: %w", err)
	}
	return nil
}

// read makes the bodies of the pages.
func read(root string, all []*page) error {
	to := map[string]string{}
	for _, p := range all {
		if p.Source != "" {
			to[p.Source] = p.File
		}
	}
	for _, f := range files {
		to[f] = filepath.Base(f)
	}
	for _, p := range all {
		text, from, err := source(root, p)
		if err == nil {
			err = p.render(text, from, to)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.File, err)
		}
	}
	return nil
}

// source is a page's Markdown, and the folder that its links begin in.
func source(root string, p *page) (text []byte, from string, err error) {
	switch p.File {
	case "reference.html":
		text, err = reference()
		return text, "docs", err
	case "runbooks.html":
		text, err = runbooks(filepath.Join(root, "dashboards", "runbooks"))
		return text, "dashboards/runbooks", err
	}
	text, err = os.ReadFile(filepath.Join(root, p.Source)) //nolint:gosec // of the checkout
	return text, filepath.ToSlash(filepath.Dir(p.Source)), err
}

// runbooks are all of them, one behind another.
func runbooks(dir string) ([]byte, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil || len(names) == 0 {
		return nil, errors.Join(err, errors.New("no runbooks"))
	}
	slices.Sort(names)
	b := bytes.NewBufferString("# Runbooks\n\nWhat to do about each alert, by its name.\n")
	for _, name := range names {
		text, err := os.ReadFile(name) //nolint:gosec // of the checkout
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines("\n" + string(text)) {
			if strings.HasPrefix(line, "#") {
				line = "#" + line
			}
			b.WriteString(line)
		}
	}
	return b.Bytes(), nil
}

// checkLinks follows every link within the site, to the heading that it names.
func checkLinks(all []*page) (err error) {
	at := map[string]*page{}
	for _, p := range all {
		at[p.File] = p
	}
	for _, f := range files {
		at[filepath.Base(f)] = &page{}
	}
	for _, p := range all {
		for _, link := range p.links {
			if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
				continue
			}
			file, id, _ := strings.Cut(link, "#")
			target := at[file]
			if file == "" {
				target = p
			}
			if target == nil || id != "" && !target.ids[id] {
				err = errors.Join(err, fmt.Errorf("%s: the link %s leads nowhere", p.File, link))
			}
		}
	}
	return err
}
