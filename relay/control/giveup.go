package control

import (
	"net/http"

	"countersign/outbox"
	"countersign/relay/dispatch"
)

// shownRejections is how many of the rejections that would be given up are named.
const shownRejections = 1000

// giveUpView is what came of giving up what an endpoint owes, or would.
type giveUpView struct {
	Object     string            `json:"object"`
	Endpoint   string            `json:"endpoint"` // the id that it has now
	DryRun     bool              `json:"dry_run"`
	GivenUp    int64             `json:"given_up"`           // dead now, by this call
	Owed       int64             `json:"owed"`               // still: call again until it is 0
	Rejections int64             `json:"rejections"`         // and suspensions, of what is owed
	Withheld   []outbox.Withheld `json:"withheld,omitempty"` // which these are, the first 1,000 of them
}

// idle implements idle.
func (v giveUpView) idle() bool { return v.DryRun }

// giveUp makes dead what an endpoint owes that is not in the config any more, or is disabled.
func (s *Server) giveUp(req *http.Request, _ Token) (any, error) {
	var ask struct {
		DryRun bool `json:"dry_run"` // say what would be given up, and do nothing
	}
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
	return giveUpView{"give_up", o.Endpoint, ask.DryRun, g.GivenUp, o.Owed, o.Rejections, s.shown(o.Withheld)}, err
}
