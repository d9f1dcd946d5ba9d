package control

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"countersign/relay/control/api"
	"countersign/relay/registry"
)

// What a partner's own token may ask for: more takes from what the endpoints of others share.
const (
	guestConcurrency = 64
	guestOwed        = 1_000_000
)

// detail is an endpoint that there is; not ok: there is none of this id.
func (s *Server) detail(now *registry.Snapshot, id string) (v api.EndpointDetail, ok bool) {
	e := now.Endpoint(id)
	if e == nil {
		return v, false
	}
	if kept, made := now.StoredEndpoint(id); made {
		v = s.viewMadeEndpoint(&kept, "")
	} else {
		v = viewDeclared(now.Owner(id), e)
	}
	v.Disabled, v.Owed, v.Dead = now.Disabled(id), s.o.Outbox.Owed(id), s.o.Outbox.Dead(id)
	v.Paused = viewPause(now.Paused(id))
	is := s.o.Dispatcher.Standing(id)
	v.Breaker, v.BreakerOpened, v.FailingSince, v.OldestDue = is.Breaker, is.BreakerOpened, is.FailingSince, is.OldestDue
	v.OldestPending = s.oldestPending(id)
	return v, true
}

// listEndpoints lists those of one partner.
func (s *Server) listEndpoints(req *http.Request, t Token) (any, error) {
	page, err := pageOf(req, "endpoints of")
	if err != nil {
		return nil, err
	}
	id, now := req.PathValue("id"), s.o.Registry.Read()
	p := now.Partner(id)
	if ownPartner(t, id) != nil || p == nil {
		return nil, none("partner", id)
	}
	var views []api.EndpointDetail
	for i := range p.Endpoints {
		if v, ok := s.detail(now, p.Endpoints[i].ID); ok {
			views = append(views, shown(v, t).EndpointDetail)
		}
	}
	slices.SortFunc(views, func(a, b api.EndpointDetail) int { return strings.Compare(a.ID, b.ID) })
	return cutOut(page, views, func(e *api.EndpointDetail) string { return e.ID }), nil
}

func (s *Server) getEndpoint(req *http.Request, t Token) (any, error) {
	id := req.PathValue("id")
	if err := s.ownEndpoint(t, id); err != nil {
		return nil, err
	}
	v, ok := s.detail(s.o.Registry.Read(), id)
	if !ok {
		return nil, none("endpoint", id)
	}
	return shown(v, t), nil
}

// createEndpoint makes one, and shows its key, this once.
func (s *Server) createEndpoint(req *http.Request, t Token) (any, error) {
	partner := req.PathValue("id")
	if ownPartner(t, partner) != nil || s.o.Registry.Read().Partner(partner) == nil {
		return nil, none("partner", partner)
	}
	o, done, ends, err := s.once(req, t)
	defer ends()
	if err != nil || done != nil {
		return done, err
	}
	in := defaultEndpoint()
	if err := read(req, &in); err != nil {
		return nil, err
	}
	d := registry.EndpointDraft{}
	d.ID, d.Partner = in.ID, partner
	if err := s.fill(&d, &in, t); err != nil {
		return nil, err
	}
	c := s.change(req, t)
	c.Expect, c.Answer = nil, o.answer(func(v registry.Version, key string) any { return s.viewMadeEndpoint(&v, key) })
	v, key, err := s.o.Registry.CreateEndpoint(req.Context(), d, c)
	if err != nil {
		return nil, err
	}
	s.concernsEndpoints(req, v.ID)
	return shown(s.viewMadeEndpoint(&v, key), t), nil
}

// fill makes a draft what was sent, if the caller may ask for that. What an operator has given
// stays.
func (s *Server) fill(d *registry.EndpointDraft, in *api.EndpointAsk, t Token) error {
	concurrency, owed := max(guestConcurrency, d.Concurrency), max(guestOwed, d.MaxOwed)
	if err := take(d, in); err != nil {
		return err
	}
	if in.URL != "" {
		d.URL, d.Public = in.URL, t.Scope == Partner
	}
	switch {
	case t.Scope != Partner:
		return nil
	case d.Concurrency > concurrency:
		return bad("concurrency", fmt.Sprintf("a partner's own token may ask for %d at most; whoever runs this gateway can give more", concurrency))
	case d.MaxOwed > owed:
		return bad("max_owed", fmt.Sprintf("a partner's own token may ask for %d at most; whoever runs this gateway can give more", owed))
	}
	return s.changes(t)
}

// updateEndpoint changes what is sent, and leaves the rest.
func (s *Server) updateEndpoint(req *http.Request, t Token) (any, error) {
	id := req.PathValue("id")
	if err := s.ownEndpoint(t, id); err != nil {
		return nil, err
	}
	body, err := held(req)
	if err == nil {
		err = decode(bytes.NewReader(body), &api.EndpointAsk{}) // whatever it is about, it has to be one
	}
	if err != nil {
		return nil, err
	}
	v, err := s.o.Registry.UpdateEndpoint(req.Context(), id, s.change(req, t), func(d *registry.EndpointDraft) error {
		in := askOf(d)
		if err := decode(bytes.NewReader(body), &in); err != nil {
			return err
		}
		if in.ID != "" && in.ID != id {
			return bad("id", "the id of an endpoint stays what it is")
		}
		was := *d
		was.Clear = maps.Clone(d.Clear)
		if err := s.fill(d, &in, t); err != nil {
			return err
		}
		s.sets(req, settings(&was, d))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return shown(s.viewMadeEndpoint(&v, ""), t), nil
}

// removeEndpoint takes one away, and says what stays owed to it.
func (s *Server) removeEndpoint(req *http.Request, t Token) (any, error) {
	id, now := req.PathValue("id"), s.o.Registry.Read()
	if err := s.ownEndpoint(t, id); err != nil {
		return nil, err
	}
	dry, err := flag(req, "dry_run", false)
	if err != nil {
		return nil, err
	}
	switch {
	case now.Endpoint(id) == nil:
		return nil, none("endpoint", id)
	case now.Declared(id):
		return nil, fmt.Errorf("endpoint %s: %w", id, registry.ErrDeclared)
	}
	view := removed{api.Removed{Object: "endpoint", ID: id, DryRun: dry, Removed: !dry}}
	if err := s.leaves(&view, id); err != nil || dry {
		return view, err
	}
	if err := s.changes(t); err != nil {
		return nil, err
	}
	return view, s.o.Registry.RemoveEndpoint(req.Context(), id, s.change(req, t))
}
