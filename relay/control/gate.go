package control

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// bearer is the token that a call brings; "": none.
func bearer(req *http.Request) string {
	text, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return ""
	}
	return text
}

// Known reports whether a call brings one of these tokens, of a scope that may see how a gateway
// is: for whoever answers before there is a Server.
func Known(fixed []Token, req *http.Request) bool {
	hs, _ := newHolders(nil, fixed) // without a registry nothing can be read in vain
	h, why := hs.find(bearer(req), time.Time{})
	return why == "" && h.may(Route{Scope: Viewer})
}

// admit finds out whose call it is, or refuses it. A right token is never slowed down, whatever
// comes from the same address beside it.
func (s *Server) admit(w http.ResponseWriter, req *http.Request) (Token, bool) {
	now := s.o.Now()
	h, why := s.tokens.find(bearer(req), now)
	if why == "" {
		s.door.trust(req)
		s.tokens.use(h, now)
		return h.Token, true
	}
	s.o.Refusals.refuse(why)
	w.Header().Set("WWW-Authenticate", "Bearer")
	p := &problem{http.StatusUnauthorized, "authentication", why, "send Authorization: Bearer with a token of this gateway", ""}
	switch why {
	case byMissing:
		p.Code = byUnknown
		s.fail(w, p)
		return Token{}, false
	case byExpired, byRevoked:
		p.Message = "this token has " + map[string]string{byExpired: "expired", byRevoked: "been revoked"}[why] + "; send another"
	}
	from := network(addr(req.RemoteAddr))
	if unlogged, ok := s.door.watch.tell(from, now); ok {
		s.o.Logger.WarnContext(req.Context(), "control_token_refused", "reason", why, "address", req.RemoteAddr, "method", req.Method, "others_since", unlogged)
	}
	if s.door.watch.often(from, now) {
		s.o.Refusals.refuse(byOften)
		w.Header().Set("Retry-After", strconv.Itoa(1))
		p = &problem{http.StatusTooManyRequests, "authentication", byOften, "too many wrong tokens come from this address; a right one is not refused", ""}
	}
	s.fail(w, p)
	return Token{}, false
}

// forbid refuses a call that its token may not make.
func (s *Server) forbid(w http.ResponseWriter, least Scope) {
	s.o.Refusals.refuse(byScope)
	s.fail(w, &problem{http.StatusForbidden, "authorization", "scope_too_small", "this call needs scope " + string(least), ""})
}

// machines lets whoever reaches a loopback address see a page that is for machines; elsewhere it
// takes a token of a scope.
func (s *Server) machines(least Scope, h http.Handler) http.Handler {
	if !s.o.Exposed {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		t, ok := s.admit(w, req)
		switch {
		case !ok:
		case !t.may(Route{Scope: least}):
			s.forbid(w, least)
		default:
			h.ServeHTTP(w, req)
		}
	})
}

// ready says whether this process should get traffic; why not, and what is worth knowing, it says
// to those who have a token, and on a loopback address to everybody.
func (s *Server) ready(w http.ResponseWriter, req *http.Request) {
	full := !s.o.Exposed
	if !full && bearer(req) != "" {
		t, ok := s.admit(w, req)
		if !ok {
			return
		}
		full = t.may(Route{Scope: Viewer})
	}
	Readiness(w, s.o.Logger, full, s.doing(), s.o.Ready)
}
