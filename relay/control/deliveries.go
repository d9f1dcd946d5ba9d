package control

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"countersign/relay/control/api"
)

// endpoints lists them by id, which is theirs for ever.
func (s *Server) endpoints(req *http.Request, t Token) (any, error) {
	p, err := pageOf(req, "endpoints")
	if err != nil {
		return nil, err
	}
	all := each(endpointsFor(t, s.o.Dispatcher.Endpoints()), viewEndpoint)
	slices.SortFunc(all, func(a, b api.Endpoint) int { return strings.Compare(a.ID, b.ID) })
	list := cutOut(p, all, func(e *api.Endpoint) string { return e.ID })
	for i := range list.Data { // of what is shown only: it takes some looks at the file
		list.Data[i].OldestPending = s.oldestPending(list.Data[i].ID)
	}
	return list, nil
}

// oldestPending is since when the delivery has been pending that an endpoint has waited for
// longest; zero: none is.
func (s *Server) oldestPending(endpoint string) time.Time {
	at := s.o.Outbox.OldestPending(endpoint)
	if at.IsZero() {
		return at
	}
	return at.UTC()
}

func (s *Server) redeliver(req *http.Request, t Token) (any, error) {
	id := req.PathValue("id")
	if err := s.ownDelivery(t, id); err != nil {
		return nil, err
	}
	force, err := flag(req, "force", false)
	if err != nil {
		return nil, err
	}
	s.concernsDelivery(req, id)
	to := req.URL.Query().Get("to")
	if to != "" {
		if err := s.ownEndpoint(t, to); err != nil {
			return nil, err
		}
	}
	if err := s.o.Relay.Retell(req.Context(), id, to, force, t.Name); err != nil {
		return nil, err
	}
	return api.Redelivery{Object: "delivery", ID: id, Ordered: true}, nil
}

func (s *Server) backup(req *http.Request, _ Token) (any, error) {
	var ask api.BackupAsk
	if err := read(req, &ask); err != nil || !strings.HasPrefix(ask.Path, "/") {
		return nil, &problem{http.StatusBadRequest, "invalid_request", "path", `send {"path": "/absolute/file"}`, "path"}
	}
	if err := s.begins(req); err != nil {
		return nil, err
	}
	n, err := s.o.Backup(ask.Path)
	if err != nil {
		return nil, &problem{http.StatusConflict, "conflict", "backup_failed", err.Error(), "path"}
	}
	return api.Backup{Object: "backup", Path: ask.Path, Bytes: n, Checked: true}, nil
}
