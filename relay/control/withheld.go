package control

import (
	"net/http"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/relay/control/api"
)

// maxReason is how long an operator's reason may be, in bytes.
const maxReason = 500

func (s *Server) withheldRoutes() []Route {
	return []Route{
		{"GET /v1/withheld", Viewer, false, s.withheld},
		{"POST /v1/withheld/{id}/acknowledge", Operator, false, s.acknowledge},
	}
}

// withheld lists rejections and suspensions that an endpoint has not been told of: those that
// nobody has acknowledged, or those that somebody has.
func (s *Server) withheld(req *http.Request, _ Token) (any, error) {
	p, err := pageOf(req, "withheld")
	if err != nil {
		return nil, err
	}
	if _, _, ok := outbox.SplitID(p.after); p.after != "" && !ok {
		return nil, badCursor()
	}
	q := req.URL.Query()
	acknowledged, err := flag(req, "acknowledged", false)
	if err != nil {
		return nil, err
	}
	data, more, err := s.o.Outbox.ListWithheld(q.Get("endpoint"), p.after, p.limit, acknowledged)
	if err != nil {
		return nil, err
	}
	return listed(p, each(s.shown(data), viewWithheld), more, func(w *api.Withheld) string { return w.ID }), nil
}

// acknowledge ends the alarm about one, by the id that it has or had before its endpoint was
// renamed. It is told nobody by that: what is owed is owed still, and what is dead can be ordered
// again.
func (s *Server) acknowledge(req *http.Request, t Token) (any, error) {
	var ask api.Because
	if err := read(req, &ask); err != nil {
		return nil, err
	}
	switch {
	case ask.Reason == "":
		return nil, bad("reason", "say why, for whoever must explain it later")
	case len(ask.Reason) > maxReason || !kyc.IsText(ask.Reason):
		return nil, bad("reason", "reason is longer than 500 bytes, or has characters that are no text")
	}
	s.concernsDelivery(req, req.PathValue("id"))
	w, err := s.o.Outbox.Acknowledge(req.Context(), s.o.Relay.CurrentID(req.PathValue("id")), outbox.Acknowledgement{At: s.now().UTC(), By: bounded(t.Name), Reason: ask.Reason})
	if err != nil {
		return nil, err
	}
	s.concernsLane(req, w.Subject)
	w.Subject = s.o.Relay.ShownLane(w.Subject)
	return api.Acknowledged{Object: "withheld", Withheld: viewWithheld(&w)}, nil
}

// shown names subjects by the ids that their partners have now.
func (s *Server) shown(data []outbox.Withheld) []outbox.Withheld {
	for i := range data {
		data[i].Subject = s.o.Relay.ShownLane(data[i].Subject)
	}
	return data
}
