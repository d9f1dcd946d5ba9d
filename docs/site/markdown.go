package main

import (
	"bytes"
	"html/template"
	"path"
	"strconv"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	table "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

// marked reads Markdown as GitHub does. HTML in it is left out: there is none but comments.
var marked = goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithParserOptions(parser.WithAutoHeadingID()))

// render makes the page's body of Markdown whose links begin in a folder of the checkout; to says
// which files are pages, and which.
func (p *page) render(source []byte, from string, to map[string]string) error {
	p.ids = map[string]bool{}
	doc := marked.Parser().Parse(text.NewReader(source), parser.WithContext(parser.NewContext(parser.WithIDs(&ids{seen: p.ids}))))
	err := ast.Walk(doc, func(n ast.Node, enter bool) (ast.WalkStatus, error) {
		if !enter {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			p.heading(n, source)
		case *ast.Link:
			n.Destination = []byte(target(string(n.Destination), from, to))
			p.links = append(p.links, string(n.Destination))
		case *ast.Image:
			n.Destination = []byte(target(string(n.Destination), from, to))
			p.links = append(p.links, string(n.Destination))
		case *table.Table:
			label(n, source)
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := marked.Renderer().Render(&b, source, doc); err != nil {
		return err
	}
	p.Body = template.HTML(b.String()) //nolint:gosec // of our own documents, without HTML in them
	return nil
}

func (p *page) heading(n *ast.Heading, source []byte) {
	id, _ := n.AttributeString("id")
	name, _ := id.([]byte)
	said := plain(n, source)
	switch n.Level {
	case 1:
		if p.Title == "" {
			p.Title = said
		}
	case 2:
		p.Parts = append(p.Parts, part{string(name), said})
	}
}

// label gives each cell of a wide table the heading of its column, which a narrow screen shows in
// front of it: there is no room for three columns there.
func label(t *table.Table, source []byte) {
	head := t.FirstChild()
	if head == nil || head.ChildCount() < 3 {
		return
	}
	t.SetAttributeString("class", []byte("wide"))
	var names [][]byte
	for cell := head.FirstChild(); cell != nil; cell = cell.NextSibling() {
		names = append(names, []byte(plain(cell, source)))
	}
	for row := head.NextSibling(); row != nil; row = row.NextSibling() {
		i := 0
		for cell := row.FirstChild(); cell != nil && i < len(names); cell = cell.NextSibling() {
			cell.SetAttributeString("data-label", names[i])
			i++
		}
	}
}

// plain is the text of a node.
func plain(n ast.Node, source []byte) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, enter bool) (ast.WalkStatus, error) {
		if t, ok := n.(*ast.Text); ok && enter {
			b.Write(t.Segment.Value(source))
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

// target is where a link leads in the site. What is no page of it stays as it is, and is found by
// checkLinks.
func target(link, from string, to map[string]string) string {
	if strings.Contains(link, "://") || strings.HasPrefix(link, "#") {
		return link
	}
	file, id, named := strings.Cut(link, "#")
	at := path.Join(from, file)
	if is, ok := to[at]; ok {
		at = is
	} else if at == "dashboards" {
		at = "dashboard.html"
	} else if at == "dashboards/runbooks" {
		at = "runbooks.html"
	} else if path.Dir(at) == "dashboards/runbooks" { // they are all on one page
		at, id, named = "runbooks.html", strings.ToLower(strings.TrimSuffix(path.Base(at), ".md")), true
	}
	if named {
		return at + "#" + id
	}
	return at
}

// ids names headings as GitHub does.
type ids struct{ seen map[string]bool }

// Generate implements parser.IDs.
func (s *ids) Generate(value []byte, _ ast.NodeKind) []byte {
	var b strings.Builder
	for _, r := range strings.ToLower(string(value)) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-', r == '_', r >= '0' && r <= '9', r >= 'a' && r <= 'z', r > 127:
			b.WriteRune(r)
		}
	}
	id := b.String()
	for n := 1; s.seen[id]; n++ {
		id = b.String() + "-" + strconv.Itoa(n)
	}
	s.seen[id] = true
	return []byte(id)
}

// Put implements parser.IDs.
func (s *ids) Put(value []byte) { s.seen[string(value)] = true }
