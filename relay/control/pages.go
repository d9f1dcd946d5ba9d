package control

import (
	"fmt"
	"net/http"
	"sync"

	"countersign/relay"
	"countersign/relay/control/api"
	"countersign/relay/replay"
)

// machinePage is what is no call of the API but stands beside it: for machines, and for whoever has
// to learn what calls there are.
type machinePage struct {
	pattern string
	scope   Scope // the least a token needs; "": it takes none
	partner bool  // a partner's token will do too
	open    bool  // on a loopback address it needs no token
	serve   http.Handler
}

// pages are all of them.
func (s *Server) pages() []machinePage {
	return append(
		[]machinePage{
			{"GET /metrics", Viewer, false, true, s.machines(Viewer, s.metrics())},
			{"GET /healthz", "", false, false, Healthy(s.o.Logger, s.o.Livemode)},
			{"GET /readyz", Viewer, false, true, http.HandlerFunc(s.ready)},
			{"GET /v1/openapi.json", Viewer, true, true, s.described()},
		},
		s.profiles()...,
	)
}

// described answers the OpenAPI document. It says nothing that is secret; but on an exposed
// listener nobody learns without a token what is there.
func (s *Server) described() http.Handler {
	document := sync.OnceValues(s.Document) // it is always the same
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text, err := document()
		if err != nil {
			s.fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if _, err := w.Write(text); err != nil {
			s.o.Logger.Debug("control_answer_cut", "error", err)
		}
	})
	if !s.o.Exposed {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		t, ok := s.admit(w, req)
		switch {
		case !ok:
		case !t.may(Route{Scope: Viewer, Partner: true}):
			s.forbid(w, Viewer)
		default:
			h.ServeHTTP(w, req)
		}
	})
}

// Document is the OpenAPI document of a gateway of this version, without one that runs.
func Document(version string) ([]byte, error) {
	return (&Server{o: Options{Version: version, Relay: &relay.Relay{}, Replays: &replay.Replays{}}}).Document() // with all its calls: they are listed, and not made
}

// Document is the OpenAPI document of what this server answers: the routes, each with its
// description.
func (s *Server) Document() ([]byte, error) {
	var all []api.Route
	of := func(pattern string, r api.Route) error {
		if r.Call = api.Described(pattern); r.Call == nil {
			return fmt.Errorf("nobody has described %s", pattern)
		}
		all = append(all, r)
		return nil
	}
	for _, p := range s.pages() {
		if err := of(p.pattern, api.Route{Scope: p.scope, Partner: p.partner, Open: p.open}); err != nil {
			return nil, err
		}
	}
	for _, r := range s.routes() {
		if err := of(r.Pattern, api.Route{Scope: r.Scope, Partner: r.Partner}); err != nil {
			return nil, err
		}
	}
	return api.OpenAPI(s.o.Version, all)
}
