package control

import (
	"net/http"
	"slices"
	"strings"

	"countersign/outbox"
	"countersign/relay/control/api"
)

func (s *Server) subject(req *http.Request, _ Token) (any, error) {
	live, err := s.livemode(req)
	if err != nil {
		return nil, err
	}
	v, err := s.o.Relay.Subject(req.PathValue("partner"), req.PathValue("id"), live)
	if err != nil {
		return nil, err
	}
	return viewSubject(&v), nil
}

// endpoints lists them by id, which is theirs for ever.
func (s *Server) endpoints(req *http.Request, t Token) (any, error) {
	p, err := pageOf(req, "endpoints")
	if err != nil {
		return nil, err
	}
	all := each(endpointsFor(t, s.o.Dispatcher.Endpoints()), viewEndpoint)
	slices.SortFunc(all, func(a, b api.Endpoint) int { return strings.Compare(a.ID, b.ID) })
	return cutOut(p, all, func(e *api.Endpoint) string { return e.ID }), nil
}

func (s *Server) deliveries(req *http.Request, t Token) (any, error) {
	p, err := pageOf(req, "deliveries")
	if err != nil {
		return nil, err
	}
	if st := req.URL.Query().Get("status"); st != "dead" {
		return nil, &problem{http.StatusBadRequest, "invalid_request", "status", "only status=dead is listed; what is owed is in the metrics", "status"}
	}
	of := req.URL.Query().Get("endpoint")
	if of != "" {
		if err := s.ownEndpoint(t, of); err != nil {
			return nil, err
		}
	}
	data, more, err := s.o.Outbox.ListDead(func(endpoint string) bool { return (of == "" || of == endpoint) && s.ownEndpoint(t, endpoint) == nil }, p.after, p.limit)
	if err != nil {
		return nil, err
	}
	for i := range data {
		d := &data[i]
		if d.Tries, err = s.o.Outbox.Tries(d.Endpoint, d.Subject, d.Sequence); err != nil {
			return nil, err
		}
	}
	l := listed(p, data, more, (*outbox.DeadDelivery).Place)
	for i := range data {
		data[i].Subject = s.o.Relay.ShownLane(data[i].Subject)
	}
	return api.List[api.DeadDelivery]{Object: l.Object, Data: each(data, viewDead), HasMore: l.HasMore, Next: l.Next}, nil
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
	if err := s.o.Relay.Redeliver(req.Context(), id, force, t.Name); err != nil {
		return nil, err
	}
	return api.Redelivery{Object: "delivery", ID: id, Ordered: true}, nil
}

func (s *Server) backup(req *http.Request, _ Token) (any, error) {
	var ask api.BackupAsk
	if err := read(req, &ask); err != nil || !strings.HasPrefix(ask.Path, "/") {
		return nil, &problem{http.StatusBadRequest, "invalid_request", "path", `send {"path": "/absolute/file"}`, "path"}
	}
	n, err := s.o.Backup(ask.Path)
	if err != nil {
		return nil, &problem{http.StatusConflict, "conflict", "backup_failed", err.Error(), "path"}
	}
	return api.Backup{Object: "backup", Path: ask.Path, Bytes: n, Checked: true}, nil
}
