// Package console is the web console of a gateway: pages for operators, viewers and partners, made
// on the server and served by the control listener beside the API.
//
// Its promise: it has no second way to the data. Whatever a page shows or does is a call of the
// control API, made in this process with the token of whoever is signed in, so scopes, limits and
// the audit trail are the API's own; only the plots and counts of Now come from the metrics of the
// process, which take scope viewer. A token is never in a page, an address, a cookie or the log. No
// page asks for more than one page of a list.
//
// # How a page is added
//
// One file NAME.go with a view type and a handler, one template templates/NAME.html, and one row in
// the table of pages (pages.go). The rest is done for it: sign-in, scopes, headers, the check of
// forms, the frame with the navigation, errors.
//
//   - The row: the pattern ("GET /console/deliveries"; ids of persons and deliveries go into the
//     query, for a browser resolves dots in paths), the name in the navigation or "", the least
//     scope, whether partners may see it, and the handler. Navigation has the order of the table.
//   - The handler: func(*visit) (answer, error). v.api is a *client.Client with the token of whoever
//     is signed in; v.Context() and v.FormValue are the request's. It ends with show("NAME", "Title",
//     view), or, after a change, with v.done("what was done", "/console/where"), which redirects and
//     says it on the next page. An error of the API is returned as it is: the frame shows it, and a
//     401 ends the session. Where a form is to be shown again with what was wrong, the handler puts
//     said(err) into its view.
//   - The template defines "main"; the view is .View. Every form that posts has {{template "form" .}}
//     within it, which is the token that is checked. A change has two steps: a page that says what
//     it will do (the API's dry run), then a form that confirms it with an Idempotency-Key
//     (v.newKey), where the call takes one.
//   - Of the frame: .Can "operator" says whether the token may, so that a button is only shown to
//     whoever may use it; "chip" shows a status, "time" an instant, "id" a long id, "more" the link
//     to a next page, "problem" what the API refused, "none" an empty list. See templates/parts.html.
//   - A page is live if its row says how often (live): what the template defines as "live:X" and
//     shows within an element with data-live="X" is rendered again by the same handler, and sent to
//     the browser where it has changed. Such a handler must not make calls that stand in the audit
//     trail.
//   - Colours, spaces and tables come from assets/style.css. No inline style or script works: the
//     policy forbids them. A drawing is an SVG with classes (plot.go).
//
// Text of providers, partners and operators reaches a page through html/template only, and nothing
// is marked as safe HTML.
package console

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options of a Console. API, Gatherer and Logger are required.
type Options struct {
	API      http.Handler        // the control API, asked without a socket
	Gatherer prometheus.Gatherer // of the process; of its metrics, Families are read
	Logger   *slog.Logger
	Random   io.Reader        // nil: crypto/rand
	Now      func() time.Time // nil: time.Now
}

// Console answers at / and below /console. It is safe for use by several goroutines. Make it with
// New; Run gathers the samples that the plots are made of.
type Console struct {
	o        Options
	mux      *http.ServeMux
	origins  *http.CrossOriginProtection
	sessions *sessions
	pages    []page
	shown    map[string]*shown // by name
	assets   assets
	streams  streams
	ring     *ring
}

// New makes a console. An error says that a template or a row of the table is wrong.
func New(o Options) (*Console, error) {
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Console{o: o, mux: http.NewServeMux(), origins: http.NewCrossOriginProtection(), sessions: newSessions(o.Random, o.Now), pages: pages(), ring: newRing(o.Gatherer, o.Now)}
	c.streams.ended = make(chan struct{})
	c.origins.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		c.refuse(w, req, http.StatusForbidden, "The browser says that another site made this request. Nothing was done. Open the console and try again there.")
	}))
	var err error
	if c.assets, err = readAssets(); err != nil {
		return nil, err
	}
	if c.shown, err = c.templates(); err != nil {
		return nil, err
	}
	c.routes()
	return c, nil
}

// routes lays out what is there beside the pages, and the pages.
func (c *Console) routes() {
	c.mux.HandleFunc("GET /{$}", c.start)
	c.mux.HandleFunc("GET /console", c.start)
	c.mux.HandleFunc("GET /console/{$}", c.start)
	c.mux.HandleFunc("GET /console/sign-in", c.signInPage)
	c.mux.HandleFunc("POST /console/sign-in", c.signIn)
	c.mux.HandleFunc("POST /console/sign-out", c.signOut)
	c.mux.HandleFunc("GET /console/assets/{name}", c.asset)
	for i := range c.pages {
		p := &c.pages[i]
		c.mux.HandleFunc(p.pattern, c.visited(p))
		if p.live > 0 {
			c.mux.HandleFunc(p.pattern+"/events", c.events(p))
		}
	}
}

// policy is what a page may load and do: what comes from here, and nothing that stands in the page.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	handler, pattern := c.mux.Handler(req)
	if pattern != "" {
		c.origins.Handler(c.mux).ServeHTTP(w, req)
		return
	}
	status := &statusOnly{ResponseWriter: w} // keeps Allow
	handler.ServeHTTP(status, req)
	if status.code == http.StatusMethodNotAllowed {
		c.refuse(w, req, status.code, "This page takes another method: "+h.Get("Allow")+".")
		return
	}
	c.refuse(w, req, http.StatusNotFound, "There is no such page.")
}

// statusOnly keeps the status of an answer and drops its text.
type statusOnly struct {
	http.ResponseWriter
	code int
}

// WriteHeader implements http.ResponseWriter.
func (s *statusOnly) WriteHeader(code int) { s.code = code }

// Write implements io.Writer.
func (s *statusOnly) Write(b []byte) (int, error) { return len(b), nil }

// Run gathers samples until ctx ends. Then live pages are told no more.
func (c *Console) Run(ctx context.Context) error {
	defer c.streams.end()
	return c.ring.run(ctx)
}
