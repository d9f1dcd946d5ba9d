package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"countersign/relay/control/api"
)

//go:embed templates/*.html
var templateFiles embed.FS

// shown is one page as it is rendered.
type shown struct {
	t    *template.Template
	live []string // the names of its live parts
}

// frame is what every template is given.
type frame struct {
	Title  string
	View   any
	Who    *api.Identity // nil: nobody is signed in
	Form   string        // what a form carries
	Nav    []link
	Notice string // what was done just now
	Events string // where what is live comes from; "": nothing is
}

// link is an entry of the navigation.
type link struct {
	Text, To string
	Here     bool
}

// Can reports whether whoever is signed in may do what takes a scope.
func (f *frame) Can(least string) bool { return f.Who != nil && can(f.Who.Scope, api.Scope(least)) }

// Partner reports whether whoever is signed in is a partner.
func (f *frame) Partner() bool { return f.Who != nil && f.Who.Scope == api.Partner }

func (c *Console) frame(v *visit, here *page, a answer) *frame {
	f := &frame{Title: a.title, View: a.view, Who: &v.who, Form: v.session.form, Notice: v.session.take()}
	for i := range c.pages {
		p := &c.pages[i]
		if p.nav != "" && p.sees(v.who.Scope) {
			f.Nav = append(f.Nav, link{p.nav, p.path(), p.path() == home(here.path())})
		}
	}
	if here.live > 0 && a.status == 0 {
		f.Events = here.path() + "/events"
		if v.URL.RawQuery != "" {
			f.Events += "?" + v.URL.RawQuery
		}
	}
	return f
}

// templates reads them: each page with the frame and the parts.
func (c *Console) templates() (map[string]*shown, error) {
	base, err := template.New("layout.html").Funcs(c.functions()).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return nil, err
	}
	all := map[string]*shown{}
	for _, file := range names {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if name == "layout" || name == "parts" {
			continue
		}
		t, err := template.Must(base.Clone()).ParseFS(templateFiles, file)
		if err != nil {
			return nil, err
		}
		s := &shown{t: t}
		for _, part := range t.Templates() {
			if live, ok := strings.CutPrefix(part.Name(), "live:"); ok {
				s.live = append(s.live, live)
			}
		}
		all[name] = s
	}
	return all, nil
}

// render answers a page. It is made before the first byte is sent, so that half of one never is.
func (c *Console) render(w http.ResponseWriter, status int, name string, f *frame) {
	var b bytes.Buffer
	p := c.shown[name]
	err := fmt.Errorf("there is no template %s", name)
	if p != nil {
		err = p.t.ExecuteTemplate(&b, "layout.html", f)
	}
	if err != nil {
		c.o.Logger.Error("console_page_failed", "page", name, "error", err)
		http.Error(w, "The gateway could not make this page. Its log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if _, err := w.Write(b.Bytes()); err != nil {
		c.o.Logger.Debug("console_answer_cut", "error", err)
	}
}
