package control

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"countersign/outbox"
	"countersign/relay/control/api"
	"countersign/relay/registry"
)

// How often a partner's token may change its endpoints: each change stays in the file for good.
const (
	changeBurst = 100
	changeEvery = time.Minute
)

func (s *Server) partnerRoutes() []Route {
	return []Route{
		{"GET /v1/partners", Viewer, true, s.listPartners},
		{"POST /v1/partners", Operator, false, s.createPartner},
		{"GET /v1/partners/{id}", Viewer, true, s.getPartner},
		{"PATCH /v1/partners/{id}", Operator, false, s.updatePartner},
		{"DELETE /v1/partners/{id}", Operator, false, s.removePartner},
		{"GET /v1/partners/{id}/endpoints", Viewer, true, s.listEndpoints},
		{"POST /v1/partners/{id}/endpoints", Operator, true, s.createEndpoint},
		{"GET /v1/endpoints/{id}", Viewer, true, s.getEndpoint},
		{"PATCH /v1/endpoints/{id}", Operator, true, s.updateEndpoint},
		{"DELETE /v1/endpoints/{id}", Operator, true, s.removeEndpoint},
	}
}

// none is the answer about what does not exist, and to a partner about what is another's: the two
// cannot be told apart.
func none(kind, id string) error {
	return &problem{http.StatusNotFound, "not_found", "not_found", kind + " " + id + ": " + registry.ErrUnknown.Error(), ""}
}

// ownPartner lets a partner's token look at its own partner only.
func ownPartner(t Token, id string) error {
	if t.Scope == Partner && t.Partner != id {
		return none("partner", id)
	}
	return nil
}

// ownEndpoint lets a partner's token look at its own endpoints only, those that have been removed
// too.
func (s *Server) ownEndpoint(t Token, id string) error {
	if t.Scope == Partner && s.o.Registry.Read().Owner(id) != t.Partner {
		return none("endpoint", id)
	}
	return nil
}

// ownDelivery is the same for a delivery.
func (s *Server) ownDelivery(t Token, id string) error {
	_, endpoint, ok := outbox.SplitID(id)
	if t.Scope == Partner && (!ok || s.ownEndpoint(t, endpoint) != nil) {
		return none("delivery", id)
	}
	return nil
}

// changes bounds what a partner's token may change.
func (s *Server) changes(t Token) error {
	if t.Scope != Partner || s.changed.take(t.Name, s.now()) {
		return nil
	}
	s.m.guests.Inc()
	return &problem{http.StatusTooManyRequests, "rate_limit", "too_many", fmt.Sprintf("this token changes endpoints too often: at most %d times at once, and once a minute", changeBurst), ""}
}

// change is what goes with every change.
func (s *Server) change(req *http.Request, t Token) registry.Change {
	return registry.Change{Actor: t.Name, At: s.now().UTC().Truncate(time.Microsecond), Expect: expects(req)}
}

// refusedChange says why the registry has not made a change.
func refusedChange(err error) *problem {
	var m *registry.ValueError
	switch {
	case errors.As(err, &m):
		return &problem{http.StatusBadRequest, "invalid_request", "invalid_value", m.Error(), m.Field}
	case errors.Is(err, registry.ErrDeclared):
		return &problem{http.StatusConflict, "conflict", "in_config", err.Error(), ""}
	case errors.Is(err, registry.ErrUnknown):
		return &problem{http.StatusNotFound, "not_found", "not_found", err.Error(), ""}
	case errors.Is(err, registry.ErrTaken):
		return &problem{http.StatusConflict, "conflict", "id_taken", err.Error(), "id"}
	case errors.Is(err, registry.ErrChanged):
		return &problem{http.StatusPreconditionFailed, "conflict", "changed_meanwhile", err.Error(), "If-Match"}
	case errors.Is(err, registry.ErrTooMany), errors.Is(err, registry.ErrNoRoom):
		return &problem{http.StatusConflict, "conflict", "too_many", err.Error(), ""}
	case errors.Is(err, registry.ErrAnswers):
		return &problem{http.StatusTooManyRequests, "rate_limit", "too_many", err.Error(), "Idempotency-Key"}
	default:
		return nil
	}
}

func (s *Server) listPartners(req *http.Request, t Token) (any, error) {
	page, err := pageOf(req, "partners")
	if err != nil {
		return nil, err
	}
	now, views := s.o.Registry.Read(), []api.PartnerDetail{}
	for _, p := range now.Partners() {
		if ownPartner(t, p.ID) == nil {
			views = append(views, viewPartner(now, &p))
		}
	}
	slices.SortFunc(views, func(a, b api.PartnerDetail) int { return strings.Compare(a.ID, b.ID) })
	return cutOut(page, views, func(p *api.PartnerDetail) string { return p.ID }), nil
}

func (s *Server) getPartner(req *http.Request, t Token) (any, error) {
	id, now := req.PathValue("id"), s.o.Registry.Read()
	p := now.Partner(id)
	if ownPartner(t, id) != nil || p == nil {
		return nil, none("partner", id)
	}
	return onePartner{viewPartner(now, p)}, nil
}

// createPartner makes one.
func (s *Server) createPartner(req *http.Request, t Token) (any, error) {
	o, done, ends, err := s.once(req, t)
	defer ends()
	if err != nil || done != nil {
		return done, err
	}
	in := defaultPartner()
	if err := read(req, &in); err != nil {
		return nil, err
	}
	in = filled(in)
	c := s.change(req, t)
	c.Expect, c.Answer = nil, o.answer(func(v registry.Version, _ string) any { return viewMadePartner(&v, nil) })
	v, err := s.o.Registry.CreatePartner(req.Context(), registry.StoredPartner{ID: in.ID, Policy: policyOf(&in.Policy), MaxOpen: in.MaxSubmissions}, c)
	if err != nil {
		return nil, err
	}
	return onePartner{viewMadePartner(&v, nil)}, nil
}

// updatePartner changes what is sent, and leaves the rest.
func (s *Server) updatePartner(req *http.Request, t Token) (any, error) {
	id := req.PathValue("id")
	body, err := held(req)
	if err == nil {
		err = decode(bytes.NewReader(body), &api.PartnerAsk{}) // whatever it is about, it has to be one
	}
	if err != nil {
		return nil, err
	}
	v, err := s.o.Registry.UpdatePartner(req.Context(), id, s.change(req, t), func(p *registry.StoredPartner) error {
		in := api.PartnerAsk{MaxSubmissions: p.MaxOpen, Policy: api.PolicyAsk(viewTerms(&p.Policy))}
		if err := decode(bytes.NewReader(body), &in); err != nil {
			return err
		}
		if in.ID != "" && in.ID != id {
			return bad("id", "the id of a partner stays what it is")
		}
		in = filled(in)
		p.MaxOpen, p.Policy = in.MaxSubmissions, policyOf(&in.Policy)
		return nil
	})
	if err != nil {
		return nil, err
	}
	now := s.o.Registry.Read()
	if p := now.Partner(id); p != nil {
		return onePartner{viewMadePartner(&v, viewPartner(now, p).Endpoints)}, nil
	}
	return onePartner{viewMadePartner(&v, nil)}, nil
}

// removePartner takes one away with its endpoints, and says what stays owed to them.
func (s *Server) removePartner(req *http.Request, t Token) (any, error) {
	id, now := req.PathValue("id"), s.o.Registry.Read()
	view := removed{api.Removed{Object: "partner", ID: id, Endpoints: []api.Left{}}}
	dry, err := flag(req, "dry_run", false)
	if err != nil {
		return nil, err
	}
	if p := now.Partner(id); p != nil {
		for i := range p.Endpoints {
			if err := s.leaves(&view, p.Endpoints[i].ID); err != nil {
				return nil, err
			}
		}
	}
	if view.DryRun = dry; !dry {
		for i := range view.Endpoints {
			s.concernsEndpoints(req, view.Endpoints[i].ID)
		}
		err = s.o.Registry.RemovePartner(req.Context(), id, s.change(req, t))
	} else if now.DeclaredPartner(id) {
		err = fmt.Errorf("partner %s: %w", id, registry.ErrDeclared)
	} else if now.Partner(id) == nil {
		err = none("partner", id)
	}
	view.Removed.Removed = !dry
	return view, err
}

// leaves adds what is left of an endpoint that is removed.
func (s *Server) leaves(view *removed, id string) error {
	k, err := s.o.Outbox.Kept(id)
	if err != nil {
		return err
	}
	view.Endpoints = append(view.Endpoints, api.Left{ID: id, Owed: k.Owed, Dead: k.Dead, Withheld: len(k.Withheld)})
	return nil
}
