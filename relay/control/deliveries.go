package control

import (
	"encoding/json"
	"net/http"
	"strings"

	"countersign/outbox"
)

func (s *Server) subject(req *http.Request, _ Token) (any, error) {
	live, err := s.livemode(req)
	if err != nil {
		return nil, err
	}
	return s.o.Relay.Subject(req.PathValue("partner"), req.PathValue("id"), live)
}

func (s *Server) endpoints(_ *http.Request, t Token) (any, error) {
	return list{Object: "list", Data: endpointsFor(t, s.o.Dispatcher.Endpoints())}, nil
}

func (s *Server) deliveries(req *http.Request, _ Token) (any, error) {
	after, limit, err := page(req)
	if err != nil {
		return nil, err
	}
	if _, _, ok := outbox.SplitID(after); after != "" && !ok {
		return nil, &problem{http.StatusBadRequest, "invalid_request", "after", "after is the id of a delivery, as the list shows it", "after"}
	}
	if st := req.URL.Query().Get("status"); st != "dead" {
		return nil, &problem{http.StatusBadRequest, "invalid_request", "status", "only status=dead is listed; what is owed is in the metrics", "status"}
	}
	data, more, err := s.o.Outbox.ListDead(req.URL.Query().Get("endpoint"), after, limit)
	if err != nil {
		return nil, err
	}
	if data == nil {
		data = []outbox.DeadDelivery{}
	}
	for i := range data {
		d := &data[i]
		if d.Tries, err = s.o.Outbox.Tries(d.Endpoint, d.Subject, d.Sequence); err != nil {
			return nil, err
		}
		d.Subject = s.o.Relay.ShownLane(d.Subject)
	}
	return list{Object: "list", Data: data, HasMore: more}, nil
}

func (s *Server) redeliver(req *http.Request, t Token) (any, error) {
	id := req.PathValue("id")
	force := req.URL.Query().Get("force") == "true"
	if err := s.o.Relay.Redeliver(req.Context(), id, force, t.Name); err != nil {
		return nil, err
	}
	return map[string]any{"object": "delivery", "id": id, "ordered": true}, nil
}

func (s *Server) backup(req *http.Request, _ Token) (any, error) {
	var ask struct {
		Path string `json:"path"`
	}
	if err := json.NewDecoder(req.Body).Decode(&ask); err != nil || !strings.HasPrefix(ask.Path, "/") {
		return nil, &problem{http.StatusBadRequest, "invalid_request", "path", `send {"path": "/absolute/file"}`, "path"}
	}
	n, err := s.o.Backup(ask.Path)
	if err != nil {
		return nil, &problem{http.StatusConflict, "conflict", "backup_failed", err.Error(), "path"}
	}
	return map[string]any{"object": "backup", "path": ask.Path, "bytes": n, "checked": true}, nil
}
