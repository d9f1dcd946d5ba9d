package control

import (
	"net/http"
	"strconv"

	"countersign/kyc"
	"countersign/outbox"
)

// maxReason is how long an operator's reason may be, in bytes.
const maxReason = 500

func (s *Server) withheldRoutes() []Route {
	return []Route{
		{"GET /v1/withheld", Viewer, false, s.withheld},
		{"POST /v1/withheld/{id}/acknowledge", Operator, false, s.acknowledge},
	}
}

// withheld lists rejections and suspensions that an endpoint has not been told of: those that nobody has acknowledged, or those that somebody has.
func (s *Server) withheld(req *http.Request, _ Token) (any, error) {
	after, limit, err := page(req)
	if err != nil {
		return nil, err
	}
	if _, _, ok := outbox.SplitID(after); after != "" && !ok {
		return nil, bad("after", "after is the id of a delivery, as the list shows it")
	}
	q := req.URL.Query()
	acknowledged, err := strconv.ParseBool(q.Get("acknowledged"))
	if q.Has("acknowledged") && err != nil {
		return nil, bad("acknowledged", "is true or false")
	}
	data, more, err := s.o.Outbox.ListWithheld(q.Get("endpoint"), after, limit, acknowledged)
	if err != nil {
		return nil, err
	}
	return list{Object: "list", Data: s.shown(data), HasMore: more}, nil
}

// withheldView is one of them, as it is answered.
type withheldView struct {
	Object string `json:"object"`
	outbox.Withheld
}

// acknowledge ends the alarm about one, by the id that it has or had before its endpoint was renamed. It is told nobody by that: what is owed is owed still, and what is dead can be ordered again.
func (s *Server) acknowledge(req *http.Request, t Token) (any, error) {
	var ask struct {
		Reason string `json:"reason"`
	}
	if err := read(req, &ask); err != nil {
		return nil, err
	}
	switch {
	case ask.Reason == "":
		return nil, bad("reason", "say why, for whoever must explain it later")
	case len(ask.Reason) > maxReason || !kyc.IsText(ask.Reason):
		return nil, bad("reason", "reason is longer than 500 bytes, or has characters that are no text")
	}
	w, err := s.o.Outbox.Acknowledge(req.Context(), s.o.Relay.CurrentID(req.PathValue("id")), outbox.Acknowledgement{At: s.now().UTC(), By: bounded(t.Name), Reason: ask.Reason})
	if err != nil {
		return nil, err
	}
	w.Subject = s.o.Relay.ShownLane(w.Subject)
	return withheldView{"withheld", w}, nil
}

// shown names subjects by the ids that their partners have now.
func (s *Server) shown(data []outbox.Withheld) []outbox.Withheld {
	for i := range data {
		data[i].Subject = s.o.Relay.ShownLane(data[i].Subject)
	}
	return data
}
