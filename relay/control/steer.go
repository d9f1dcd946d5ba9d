package control

import (
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"countersign/relay/control/api"
	"countersign/relay/dispatch"
)

// What an operator does with an endpoint while the gateway runs.

func (s *Server) steerRoutes() []Route {
	return []Route{
		{"POST /v1/endpoints/{id}/pause", Operator, false, s.pause},
		{"POST /v1/endpoints/{id}/resume", Operator, true, s.resume},
		{"POST /v1/endpoints/{id}/ping", Operator, true, s.ping},
	}
}

// pause has nothing sent to an endpoint until it is resumed.
func (s *Server) pause(req *http.Request, t Token) (any, error) {
	id := req.PathValue("id")
	if err := s.o.Dispatcher.Pause(req.Context(), id, t.Name); err != nil {
		return nil, err
	}
	return api.Paused{Object: "endpoint", ID: id, Paused: true}, nil
}

func (s *Server) resume(req *http.Request, t Token) (any, error) {
	id := req.PathValue("id")
	if err := s.ownEndpoint(t, id); err != nil {
		return nil, err
	}
	if t.Scope == Partner && s.o.Registry.Read().Paused(id) != nil {
		return nil, &problem{http.StatusConflict, "conflict", "paused", "it was paused by whoever runs this gateway, who has to resume it", ""}
	}
	if err := s.o.Dispatcher.Resume(req.Context(), id); err != nil {
		return nil, err
	}
	return api.Resumed{Object: "endpoint", ID: id, Resumed: true}, nil
}

// ping posts a test webhook to an endpoint and says what it answered.
func (s *Server) ping(req *http.Request, t Token) (any, error) {
	id := req.PathValue("id")
	if err := s.ownEndpoint(t, id); err != nil {
		return nil, err
	}
	p, err := s.o.Dispatcher.Ping(req.Context(), id)
	if errors.Is(err, dispatch.ErrBusy) {
		return nil, &problem{http.StatusTooManyRequests, "rate_limit", "too_many", "an endpoint is pinged once a second at most", ""}
	}
	if err != nil {
		return nil, err
	}
	return api.Ping{
		Object: "ping", ID: p.WebhookID, Endpoint: id, Delivered: p.Delivered, Reason: p.Reason, Code: p.Code, Detail: p.Detail, TookMS: float64(p.Took.Microseconds()) / 1000,
	}, nil
}

// metrics answers what is counted; with endpoint=ID what is counted of that endpoint alone.
func (s *Server) metrics() http.Handler {
	o := promhttp.HandlerOpts{EnableOpenMetrics: true}
	all := promhttp.HandlerFor(s.o.Gatherer, o)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		id := req.URL.Query().Get("endpoint")
		if id == "" || s.o.Dispatcher == nil {
			all.ServeHTTP(w, req)
			return
		}
		var of prometheus.Gatherer
		of, err := s.o.Dispatcher.Detail(id)
		if err != nil {
			s.fail(w, err)
			return
		}
		promhttp.HandlerFor(of, o).ServeHTTP(w, req)
	})
}
