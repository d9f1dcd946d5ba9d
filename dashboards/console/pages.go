package console

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

// page is one page, or one change that a form asks for.
type page struct {
	pattern string                       // method and path
	nav     string                       // its name in the navigation; "": it is not there
	scope   api.Scope                    // the least that sees it, as the API's calls have it
	partner bool                         // partners see it too
	live    time.Duration                // how often what is live of it is looked at again; 0: nothing is
	do      func(*visit) (answer, error) // makes it
}

// belongs are the pages that are not in the navigation, and which of it they belong to.
var belongs = map[string]string{
	"/console/person": "/console/persons", "/console/decide": "/console/persons", "/console/delivery": "/console/deliveries", "/console/endpoint": "/console/endpoints",
	"/console/replay": "/console/replays", "/console/unrouted": "/console/quarantine", "/console/refs": "/console/quarantine", "/console/questions": "/console/quarantine", "/console/damaged": "/console/quarantine",
	"/console/withheld": "/console/quarantine", "/console/source": "/console/sources",
}

// home is the page of the navigation that a page belongs to: pages below it need no row in belongs.
func home(path string) string {
	if at := belongs[path]; at != "" {
		return at
	}
	base, _, _ := strings.Cut(strings.TrimPrefix(path, "/console/"), "/")
	return cmp.Or(belongs["/console/"+base], "/console/"+base)
}

// pages is the table of them, in the order of the navigation.
func pages() []page {
	return slices.Concat([]page{
		{"GET /console/now", "Now", api.Viewer, false, 5 * time.Second, now},
		{"GET /console/persons", "Persons", api.Viewer, true, 0, persons},
		{"GET /console/person", "", api.Viewer, true, 0, person},
		{"GET /console/decide", "", api.Operator, false, 0, foresee},
		{"POST /console/decide", "", api.Operator, false, 0, decide},
		{"GET /console/find", "Find", api.Viewer, false, 0, find},
	}, stepped(rebuildStep), deliveryPages(), endpointPages(), replayPages(), reviewPages(), sourcePages(), verifyPages(), auditPages())
}

// visit is one request of somebody who is signed in.
type visit struct {
	*http.Request
	c       *Console
	session *session
	who     api.Identity
	api     *client.Client
}

// answer is what comes of a visit: a page, or another page to go to.
type answer struct {
	name, title string
	view        any
	status      int // 0: 200
	to          string
}

// show answers a page: the template NAME with a view.
func show(name, title string, view any) (answer, error) {
	return answer{name: name, title: title, view: view}, nil
}

// showRefused is show where something was refused, which the view says.
func showRefused(err error, name, title string, view any) (answer, error) {
	return answer{name: name, title: title, view: view, status: statusOf(err)}, nil
}

// done sends the browser to another page, which says what was done.
func (v *visit) done(what, to string) (answer, error) {
	v.session.say(what)
	return answer{to: to}, nil
}

// operates reports whether the token may make the calls of operators.
func (v *visit) operates() bool { return can(v.who.Scope, api.Operator) }

func can(scope, least api.Scope) bool {
	order := []api.Scope{api.Viewer, api.Operator, api.Admin}
	return slices.Index(order, scope) >= max(slices.Index(order, least), 0)
}

// newKey makes an Idempotency-Key that a form carries.
func (v *visit) newKey() (string, error) {
	key, err := secret(v.c.o.Random)
	return "console-" + key, err
}

// sees reports whether a page is for a token of this scope.
func (p *page) sees(scope api.Scope) bool {
	if scope == api.Partner {
		return p.partner
	}
	return can(scope, p.scope)
}

// start sends whoever comes to / to the first page that is for them.
func (c *Console) start(w http.ResponseWriter, req *http.Request) {
	v, ok := c.visit(w, req, true)
	if !ok {
		return
	}
	for i := range c.pages {
		if p := &c.pages[i]; p.nav != "" && p.sees(v.who.Scope) {
			http.Redirect(w, req, p.path(), http.StatusSeeOther)
			return
		}
	}
	c.refuse(w, req, http.StatusForbidden, "There is no page for this token.")
}

func (p *page) path() string {
	_, path, _ := strings.Cut(p.pattern, " ")
	return path
}

// visit finds out who asks, or answers the page on which they sign in. seen: a person asks, and
// not a page by itself.
func (c *Console) visit(w http.ResponseWriter, req *http.Request, seen bool) (*visit, bool) {
	cookie := cookieOf(req)
	s := c.sessions.of(cookie, seen)
	if s == nil {
		c.unknown(w, req, cookie)
		return nil, false
	}
	v := &visit{Request: req, c: c, session: s, api: c.client(req, s.token)}
	var err error
	if v.who, err = v.api.Whoami(req.Context()); err != nil {
		c.fail(w, req, s, err)
		return nil, false
	}
	return v, true
}

// unknown answers somebody who is not signed in. A browser that follows a link of another site
// brings no cookie, for it is strict; asked again by a page of ours it does.
func (c *Console) unknown(w http.ResponseWriter, req *http.Request, cookie string) {
	read := req.Method == http.MethodGet || req.Method == http.MethodHead
	if read && cookie == "" && req.Header.Get("Sec-Fetch-Site") == "cross-site" {
		c.render(w, http.StatusOK, "again", &frame{Title: "Opening", View: req.URL.RequestURI()})
		return
	}
	q := url.Values{}
	if to := within(req.URL.RequestURI()); read && to != "" {
		q.Set("to", to)
	}
	if cookie != "" {
		q.Set("why", "ended")
		dropCookie(w, req)
	}
	to := "/console/sign-in"
	if len(q) > 0 {
		to += "?" + q.Encode()
	}
	http.Redirect(w, req, to, http.StatusSeeOther)
}

// visited is the handler of a page.
func (c *Console) visited(p *page) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		v, ok := c.visit(w, req, true)
		if !ok {
			return
		}
		if !c.allowed(w, v, p) {
			return
		}
		a, err := p.do(v)
		switch {
		case err != nil:
			c.fail(w, req, v.session, err)
		case a.to != "":
			http.Redirect(w, req, a.to, http.StatusSeeOther)
		default:
			c.render(w, max(a.status, http.StatusOK), a.name, c.frame(v, p, a))
		}
	}
}

// allowed refuses a page that is not for this token, and a form that is not from a page of this
// session.
func (c *Console) allowed(w http.ResponseWriter, v *visit, p *page) bool {
	if !p.sees(v.who.Scope) {
		c.refuse(w, v.Request, http.StatusForbidden, "This page needs a token of scope "+string(p.scope)+" or more.")
		return false
	}
	if v.Method != http.MethodGet && v.Method != http.MethodHead && !v.session.formed(v.PostFormValue("form")) {
		c.refuse(w, v.Request, http.StatusForbidden, "This form is not from a page of your session. Nothing was done. Reload the page and try again.")
		return false
	}
	return true
}

// fail answers an error: of a token that has ended with the page to sign in on.
func (c *Console) fail(w http.ResponseWriter, req *http.Request, s *session, err error) {
	switch status := statusOf(err); {
	case status == http.StatusUnauthorized:
		c.sessions.end(s)
		c.unknown(w, req, cookieOf(req))
	case req.Context().Err() != nil: // nobody waits for it
	default:
		if status == http.StatusInternalServerError {
			c.o.Logger.Error("console_page_failed", "error", err)
		}
		c.refuse(w, req, status, said(err))
	}
}

// refuse answers a page that says why there is no other.
func (c *Console) refuse(w http.ResponseWriter, _ *http.Request, status int, why string) {
	c.render(w, status, "error", &frame{Title: http.StatusText(status), View: why})
}

// errForm answers a request that no form of ours makes.
var errForm = &client.Error{Status: http.StatusBadRequest, Text: "Something that the form has is missing. Go back and choose again."}

// statusOf is the status of a page that shows an error.
func statusOf(err error) int {
	if e, ok := errors.AsType[*client.Error](err); ok {
		return e.Status
	}
	return http.StatusInternalServerError
}

// said is what an error says to somebody at a page.
func said(err error) string {
	if e, ok := errors.AsType[*client.Error](err); ok {
		return e.Text
	}
	return "The gateway could not make this page. Its log says why."
}
