package control

import (
	"net/http"

	"countersign/relay/registry"
)

// ownEndpoint lets a partner's token look at its own endpoints only.
func (s *Server) ownEndpoint(t Token, id string) error {
	if t.Scope != Partner {
		return nil
	}
	if p := s.o.Registry.Read().Partner(t.Partner); p != nil {
		for i := range p.Endpoints {
			if p.Endpoints[i].ID == id {
				return nil
			}
		}
	}
	return &problem{http.StatusNotFound, "not_found", "not_found", "endpoint " + id + ": " + registry.ErrNoEndpoint.Error(), "id"}
}
