package control

import (
	"errors"
	"net/http"
	"time"

	"countersign/relay"
	"countersign/relay/control/api"
)

// subject shows where somebody stands, or stood at an instant, and a page of the history.
func (s *Server) subject(req *http.Request, _ Token) (any, error) {
	live, err := s.livemode(req)
	if err != nil {
		return nil, err
	}
	p, err := pageOf(req, "history")
	if err != nil {
		return nil, err
	}
	a := relay.Asked{After: p.after, Limit: p.limit}
	if text := req.URL.Query().Get("at"); text != "" {
		if a.At, err = time.Parse(time.RFC3339, text); err != nil || a.At.Unix() < 0 || a.At.Year() > 9999 {
			return nil, bad("at", "at is an instant such as 2026-11-30T08:00:00Z")
		}
	}
	v, err := s.o.Relay.Subject(req.PathValue("partner"), req.PathValue("id"), live, a)
	if errors.Is(err, relay.ErrCursor) {
		return nil, badCursor()
	}
	if err != nil {
		return nil, err
	}
	shown := viewSubject(&v)
	shown.Next = cursorOf("history", v.Next)
	if a.At.IsZero() {
		for i := range shown.Endpoints {
			t := &shown.Endpoints[i]
			breaks(t, s.o.Dispatcher.Breaker(t.Endpoint))
		}
	}
	return shown, nil
}

// breaks says how an endpoint's breaker stands, and of what would be tried that it waits for it.
func breaks(t *api.Told, breaker string) {
	if t.Breaker = breaker; breaker != "open" {
		return
	}
	for i := range t.Owed {
		if o := &t.Owed[i]; o.WaitsFor == relay.WaitsForTry || o.WaitsFor == relay.WaitsForTurn {
			o.WaitsFor = api.WaitsForBreaker
		}
	}
}

// export writes everything that is kept of one person, bodies in clear among it: so it stands in the
// audit trail before the first byte is written.
func (s *Server) export(req *http.Request, _ Token) (any, error) {
	live, err := s.livemode(req)
	if err != nil {
		return nil, err
	}
	write, err := s.o.Relay.Export(req.Context(), req.PathValue("partner"), req.PathValue("id"), live, s.o.Quarantine.Unseal)
	if err != nil {
		return nil, err
	}
	return stream(func(w http.ResponseWriter) error {
		w.Header().Set("Content-Type", "application/json")
		return write(patient{w})
	}), nil
}

// patient gives whoever reads a stream some time for each part of it.
type patient struct{ http.ResponseWriter }

// Write implements io.Writer.
func (p patient) Write(b []byte) (int, error) {
	answerWithin(p.ResponseWriter, chunkWait)
	return p.ResponseWriter.Write(b)
}
