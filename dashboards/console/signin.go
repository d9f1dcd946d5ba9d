package console

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"countersign/relay/control/client"
)

const maxToken = 1024 // bytes of a text that is tried as a token

// signInView is the page on which somebody signs in.
type signInView struct {
	To     string // where they wanted to go
	Notice string
	Wrong  string
}

func (c *Console) signInPage(w http.ResponseWriter, req *http.Request) {
	v := signInView{To: within(req.URL.Query().Get("to"))}
	switch req.URL.Query().Get("why") {
	case "ended":
		v.Notice = "Your session has ended. Sign in again."
	case "out":
		v.Notice = "You are signed out."
	}
	c.render(w, http.StatusOK, "signin", &frame{Title: "Sign in", View: v})
}

// signIn tries a token on the API, which slows down whoever tries many, and opens a session.
func (c *Console) signIn(w http.ResponseWriter, req *http.Request) {
	token, to := strings.TrimSpace(req.PostFormValue("token")), within(req.PostFormValue("to"))
	status, wrong := http.StatusUnauthorized, "This is not a token of this gateway, or it has ended."
	if token != "" && len(token) <= maxToken && !strings.ContainsFunc(token, unprintable) {
		_, err := c.client(req, token).Whoami(req.Context())
		if err == nil {
			c.begin(w, req, token, to)
			return
		}
		status, wrong = statusOf(err), "The gateway did not answer: "+said(err)
		switch status {
		case http.StatusUnauthorized:
			wrong = "This is not a token of this gateway, or it has ended."
		case http.StatusTooManyRequests:
			wrong = "Too many wrong tokens came from this address. Wait a second, then try again."
			w.Header().Set("Retry-After", "1")
		}
	}
	c.render(w, status, "signin", &frame{Title: "Sign in", View: signInView{To: to, Wrong: wrong}})
}

func unprintable(r rune) bool { return r <= ' ' || r > '~' }

func (c *Console) begin(w http.ResponseWriter, req *http.Request, token, to string) {
	if s := c.sessions.of(cookieOf(req), false); s != nil {
		c.sessions.end(s)
	}
	cookie, err := c.sessions.begin(token)
	if err != nil {
		c.o.Logger.Error("console_session_not_made", "error", err)
		c.refuse(w, req, http.StatusInternalServerError, "The session could not be made. The log of the gateway says why.")
		return
	}
	setCookie(w, cookieName(req), cookie, int(sessionLife.Seconds()))
	if to == "" {
		to = "/console"
	}
	http.Redirect(w, req, to, http.StatusSeeOther) //nolint:gosec // within the console: see within
}

func (c *Console) signOut(w http.ResponseWriter, req *http.Request) {
	s := c.sessions.of(cookieOf(req), false)
	if s != nil && !s.formed(req.PostFormValue("form")) {
		c.refuse(w, req, http.StatusForbidden, "This form is not from a page of your session. Reload the page and try again.")
		return
	}
	if s != nil {
		c.sessions.end(s)
	}
	dropCookie(w, req)
	http.Redirect(w, req, "/console/sign-in?why=out", http.StatusSeeOther)
}

// hostCookie is the name of the session's cookie where browsers come over TLS: they hold it to this
// host, and send it over TLS only.
const hostCookie = "__Host-countersign"

// cookieName is the name of the cookie that whoever signs in is given. That a browser came over TLS
// its Origin says too, where somebody else's TLS ends before us.
func cookieName(req *http.Request) string {
	if req.TLS != nil || strings.HasPrefix(req.Header.Get("Origin"), "https://") {
		return hostCookie
	}
	return plainCookie(req)
}

// plainCookie has the port in its name: browsers share cookies between the ports of a host, and a
// machine may have two gateways.
func plainCookie(req *http.Request) string {
	if _, port, err := net.SplitHostPort(req.Host); err == nil {
		return "countersign_" + port
	}
	return "countersign"
}

func cookieOf(req *http.Request) string {
	for _, name := range []string{hostCookie, plainCookie(req)} {
		if k, err := req.Cookie(name); err == nil {
			return k.Value
		}
	}
	return ""
}

func setCookie(w http.ResponseWriter, name, value string, age int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure where there is TLS
		Name: name, Value: value, Path: "/", HttpOnly: true, Secure: name == hostCookie, SameSite: http.SameSiteStrictMode, MaxAge: age,
	})
}

func dropCookie(w http.ResponseWriter, req *http.Request) {
	for _, name := range []string{hostCookie, plainCookie(req)} {
		if _, err := req.Cookie(name); err == nil {
			setCookie(w, name, "", -1)
		}
	}
}

// within is a page of the console that somebody may be sent to; "": it is none.
func within(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || !strings.HasPrefix(to, "/console/") || strings.ContainsAny(to, "\\\r\n") || strings.HasPrefix(u.Path, "/console/sign-") {
		return ""
	}
	return to
}

// client asks the API with a token, on behalf of whoever made this request.
func (c *Console) client(req *http.Request, token string) *client.Client {
	return client.New(client.Options{Base: "http://localhost", Token: token, Tries: 1, HTTP: &http.Client{Transport: inside{c.o.API, req.RemoteAddr}}})
}
