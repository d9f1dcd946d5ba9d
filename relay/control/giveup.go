package control

import (
	"net/http"

	"countersign/outbox"
	"countersign/relay/control/api"
	"countersign/relay/dispatch"
)

// shownRejections is how many of the rejections that would be given up are named.
const shownRejections = 1000

// gaveUp is what came of giving up what an endpoint owes, or would.
type gaveUp struct{ api.GaveUp }

// idle implements idle.
func (v gaveUp) idle() bool { return v.DryRun }

// giveUp makes dead what an endpoint owes that is not in the config any more, or is disabled.
func (s *Server) giveUp(req *http.Request, _ Token) (any, error) {
	var ask api.GiveUpAsk
	if err := read(req, &ask); err != nil {
		return nil, err
	}
	id := req.PathValue("id")
	var g outbox.GivenUp
	var err error
	if !ask.DryRun {
		g, err = s.o.Dispatcher.GiveUp(req.Context(), id)
	}
	var o dispatch.Owes
	if err == nil {
		o, err = s.o.Dispatcher.ToGiveUp(id, shownRejections)
	}
	if err != nil && g.GivenUp > 0 {
		return nil, &effective{err} // some have been given up
	}
	return gaveUp{api.GaveUp{
		Object: "give_up", Endpoint: o.Endpoint, DryRun: ask.DryRun, GivenUp: g.GivenUp, Owed: o.Owed, Rejections: o.Rejections,
		Withheld: each(s.shown(o.Withheld), viewWithheld),
	}}, err
}
