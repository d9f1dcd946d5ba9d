package control

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"time"

	"countersign/relay/control/api"
)

// view is what is shown of a token: everything but itself.
func (h *holder) view(now time.Time) api.Token {
	v := api.Token{
		Object: "token", Name: h.Name, Scope: h.Scope, Partner: h.Partner, From: h.from, Status: "active",
		MadeAt: h.made.MadeAt, MadeBy: h.made.MadeBy, ExpiresAt: h.made.ExpiresAt, RevokedAt: h.made.RevokedAt, RevokedBy: h.made.RevokedBy,
	}
	switch h.ended(now) {
	case byExpired:
		v.Status = "expired"
	case byRevoked:
		v.Status = "revoked"
	}
	if at := h.used.Load(); at > 0 {
		v.LastUsedAt = time.Unix(at, 0).UTC()
	}
	return v
}

func (s *Server) tokenRoutes() []Route {
	return []Route{
		{"GET /v1/whoami", Viewer, true, s.whoami},
		{"GET /v1/tokens", Admin, false, s.listTokens},
		{"POST /v1/tokens/{name}", Admin, false, s.makeToken}, // the name is in the path, and so in the audit trail
		{"POST /v1/tokens/{name}/revoke", Admin, false, s.revokeToken},
	}
}

// whoami says whose token a call has brought.
func (s *Server) whoami(_ *http.Request, t Token) (any, error) {
	return api.Identity{
		Object: "identity", Name: t.Name, Scope: t.Scope, Partner: t.Partner, ExpiresAt: s.tokens.end(t), Mode: mode(s.o.Livemode), Version: s.o.Version,
	}, nil
}

// listTokens lists all there are, those of the config too, and those that have ended.
func (s *Server) listTokens(req *http.Request, _ Token) (any, error) {
	p, err := pageOf(req, "tokens")
	if err != nil {
		return nil, err
	}
	return cutOut(p, s.tokens.list(s.o.Now()), func(t *api.Token) string { return t.Name + "\x00" + t.From }), nil // one of the config may have a made one's name
}

// makeToken makes one and shows it, this once.
func (s *Server) makeToken(req *http.Request, caller Token) (any, error) {
	var ask api.TokenAsk
	name, now := req.PathValue("name"), s.o.Now().UTC().Truncate(time.Second)
	if s.o.NewToken == nil || s.tokens.registry == nil {
		return nil, &problem{http.StatusConflict, "conflict", "role", "this process makes no tokens", ""}
	}
	o, done, ends, err := s.once(req, caller)
	defer ends()
	if err != nil || done != nil {
		return done, err
	}
	if err := read(req, &ask); err != nil {
		return nil, err
	}
	switch {
	case !tokenName.MatchString(name):
		return nil, badName()
	case !slices.Contains([]Scope{Admin, Operator, Viewer, Partner}, ask.Scope):
		return nil, bad("scope", "scope is admin, operator, viewer or partner")
	case ask.Scope == Partner && s.o.Registry.Read().Partner(ask.Partner) == nil:
		return nil, bad("partner", "scope partner needs the id of a partner of this gateway")
	case ask.Scope != Partner && ask.Partner != "":
		return nil, bad("partner", "partner goes with scope partner only")
	case !ask.ExpiresAt.IsZero() && !ask.ExpiresAt.After(now):
		return nil, bad("expires_at", "expires_at has passed")
	}
	text, err := s.o.NewToken()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(text))
	m := madeToken{
		SHA256: hex.EncodeToString(sum[:]), Scope: ask.Scope, Partner: ask.Partner, MadeAt: now, MadeBy: caller.Name, ExpiresAt: ask.ExpiresAt.UTC(),
	}
	v := (&holder{Token: Token{Name: name, Scope: m.Scope, Partner: m.Partner}, from: fromMade, made: m}).view(now)
	v.Token = text
	answer, err := o.keeps(v, now)
	if err != nil {
		return nil, err
	}
	switch err := s.tokens.make(req.Context(), name, m, now, answer); {
	case errors.Is(err, errNameTaken):
		return nil, &problem{http.StatusConflict, "conflict", "name_taken", err.Error(), "name"}
	case errors.Is(err, errTooMany):
		return nil, &problem{http.StatusConflict, "conflict", "too_many_tokens", err.Error(), ""}
	case err != nil:
		return nil, err
	}
	return v, nil
}

func badName() error {
	return bad("name", "a name is 1 to 64 of a-z, 0-9, dot, dash and underscore, and begins with a letter or digit")
}

// revokeToken ends one.
func (s *Server) revokeToken(req *http.Request, caller Token) (any, error) {
	name := req.PathValue("name")
	if !tokenName.MatchString(name) {
		return nil, badName()
	}
	switch err := s.tokens.revoke(req.Context(), name, caller.Name, s.o.Now().UTC().Truncate(time.Second)); {
	case errors.Is(err, errNoToken):
		return nil, &problem{http.StatusNotFound, "not_found", "not_found", err.Error(), "name"}
	case errors.Is(err, errFixed):
		return nil, &problem{http.StatusConflict, "conflict", "token_in_config", err.Error(), "name"}
	case err != nil:
		return nil, err
	}
	return api.Revoked{Object: "token", Name: name, Revoked: true}, nil
}
