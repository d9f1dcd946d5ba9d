package control

import (
	"cmp"
	"errors"
	"net/http"
	"strconv"
	"time"

	"countersign/relay/control/api"
	"countersign/relay/registry"
	"countersign/signing"
)

func viewKey(endpoint string, k *registry.Key, now time.Time) api.EndpointKey {
	v := api.EndpointKey{
		Object: "endpoint_key", Endpoint: endpoint, ID: k.ID, Kind: string(k.Key.Kind()), From: fromConfig, Status: "signs", PublicKey: k.Key.Public(), MadeAt: k.MadeAt, Until: k.Until,
	}
	if k.ID != "" {
		v.From = fromMade
	}
	if !k.Signs(now) {
		v.Status = "ended"
	}
	return v
}

// madeKey is the id of the key that a call has made, for the audit trail; "": it made none.
func madeKey(answer any) string {
	switch v := answer.(type) {
	case api.EndpointKey:
		return v.ID
	case api.RevokedKey:
		if v.Replacement != nil {
			return v.Replacement.ID
		}
	}
	return ""
}

func (s *Server) keyRoutes() []Route {
	return []Route{
		{"GET /v1/endpoints/{id}/keys", Viewer, true, s.listKeys},
		{"POST /v1/endpoints/{id}/rotate", Operator, true, s.rotateKey},
		{"POST /v1/endpoints/{id}/keys/{key}/revoke", Operator, true, s.revokeKey},
	}
}

// keyed is the endpoint that a call about keys is about. Of another partner's, a partner's token
// learns no more than of one that there is not.
func (s *Server) keyed(t Token, id string) (*registry.Endpoint, error) {
	if err := s.ownEndpoint(t, id); err != nil {
		return nil, err
	}
	e := s.o.Registry.Read().Endpoint(id)
	if e == nil {
		return nil, &problem{http.StatusNotFound, "not_found", "not_found", "endpoint " + id + ": " + registry.ErrNoEndpoint.Error(), "id"}
	}
	return e, nil
}

// listKeys lists an endpoint's keys, newest first, without what signs.
func (s *Server) listKeys(req *http.Request, t Token) (any, error) {
	e, err := s.keyed(t, req.PathValue("id"))
	if err != nil {
		return nil, err
	}
	views := []api.EndpointKey{}
	for _, k := range s.o.Registry.Read().Keys(e.ID) {
		views = append(views, viewKey(e.ID, &k, s.now()))
	}
	return api.Page(views, false), nil
}

// rotateKey makes a key, which signs first from now on, and shows it this once.
func (s *Server) rotateKey(req *http.Request, t Token) (any, error) {
	var ask api.RotateAsk
	e, err := s.keyed(t, req.PathValue("id"))
	if err != nil {
		return nil, err
	}
	o, done, ends, err := s.once(req, t)
	defer ends()
	if err != nil || done != nil {
		return done, err
	}
	if req.ContentLength != 0 {
		err = read(req, &ask)
	}
	if err != nil {
		return nil, err
	}
	overlap, err := time.ParseDuration(cmp.Or(ask.Overlap, registry.DefaultOverlap.String()))
	if err != nil {
		return nil, bad("overlap", "overlap is how long older keys sign on, 0 to 7 days, such as 24h")
	}
	kind := signing.Kind(ask.Kind)
	if keys := s.o.Registry.Read().Keys(e.ID); kind == "" && len(keys) > 0 {
		kind = keys[0].Key.Kind()
	}
	m, err := s.o.Registry.Rotate(req.Context(), e.ID, cmp.Or(kind, signing.HMAC), overlap, func(m registry.Made) (*registry.Answer, error) { return o.keeps(s.shownOnce(e.ID, &m), s.now()) })
	if err != nil {
		return nil, keyProblem(err)
	}
	return s.shownOnce(e.ID, &m), nil
}

// shownOnce is a key with its secret, in the answer that made it.
func (s *Server) shownOnce(endpoint string, m *registry.Made) api.EndpointKey {
	v := viewKey(endpoint, &m.Key, s.now())
	v.Secret = m.Secret
	return v
}

// revokeKey ends one.
func (s *Server) revokeKey(req *http.Request, t Token) (any, error) {
	e, err := s.keyed(t, req.PathValue("id"))
	if err != nil {
		return nil, err
	}
	q := req.URL.Query()
	replace, err := strconv.ParseBool(q.Get("replace"))
	if q.Has("replace") && err != nil {
		return nil, bad("replace", "replace is true or false")
	}
	o, done, ends, err := s.once(req, t)
	defer ends()
	if err != nil || done != nil {
		return done, err
	}
	id := req.PathValue("key")
	m, err := s.o.Registry.Revoke(req.Context(), e.ID, id, replace, func(m *registry.Made) (*registry.Answer, error) { return o.keeps(s.revoked(e.ID, id, m), s.now()) })
	if err != nil {
		return nil, keyProblem(err)
	}
	return s.revoked(e.ID, id, m), nil
}

// revoked is a key that was ended, with the one that was made in its place; nil: none.
func (s *Server) revoked(endpoint, id string, m *registry.Made) api.RevokedKey {
	v := api.RevokedKey{Object: "endpoint_key", Endpoint: endpoint, ID: id, Revoked: true}
	if m != nil {
		made := s.shownOnce(endpoint, m)
		v.Replacement = &made
	}
	return v
}

// keyProblem says what is wrong with a change of keys as the API shows it.
func keyProblem(err error) error {
	conflict := func(code, param string) error {
		return &problem{http.StatusConflict, "conflict", code, err.Error(), param}
	}
	switch {
	case errors.Is(err, registry.ErrNoEndpoint):
		return &problem{http.StatusNotFound, "not_found", "not_found", err.Error(), "id"}
	case errors.Is(err, registry.ErrNoKey):
		return &problem{http.StatusNotFound, "not_found", "not_found", err.Error(), "key"}
	case errors.Is(err, registry.ErrKind), errors.Is(err, registry.ErrNoEd25519):
		return bad("kind", err.Error())
	case errors.Is(err, registry.ErrOverlap):
		return bad("overlap", err.Error())
	case errors.Is(err, registry.ErrKeysInConfig):
		return conflict("keys_in_config", "id")
	case errors.Is(err, registry.ErrManyKeys):
		return conflict("too_many_keys", "")
	case errors.Is(err, registry.ErrLastKey):
		return conflict("last_key", "replace")
	default:
		return err
	}
}
