package control

import (
	"errors"
	"net/http"
	"path"

	"countersign/kyc"
	"countersign/relay/control/api"
	"countersign/relay/replay"
)

func (s *Server) replayRoutes() []Route {
	if s.o.Replays == nil {
		return nil
	}
	return []Route{
		{"GET /v1/replays", Viewer, false, s.replays},
		{"POST /v1/replays", Operator, false, s.createReplay},
		{"GET /v1/replays/{id}", Viewer, false, s.replay},
		{"POST /v1/replays/{id}/pause", Operator, false, s.turnReplay},
		{"POST /v1/replays/{id}/resume", Operator, false, s.turnReplay},
		{"POST /v1/replays/{id}/cancel", Operator, false, s.turnReplay},
	}
}

func (s *Server) replays(req *http.Request, _ Token) (any, error) {
	p, err := pageOf(req, "replays")
	if err != nil {
		return nil, err
	}
	data, more, err := s.o.Replays.List(p.after, p.limit)
	if err != nil {
		return nil, err
	}
	return listed(p, each(data, viewReplay), more, func(v *api.Replay) string { return v.ID }), nil
}

func (s *Server) replay(req *http.Request, _ Token) (any, error) {
	j, err := s.o.Replays.Read(req.PathValue("id"))
	if err != nil {
		return nil, refusedReplay(err)
	}
	return viewReplay(&j), nil
}

func (s *Server) createReplay(req *http.Request, t Token) (any, error) {
	var ask api.ReplayAsk
	if err := read(req, &ask); err != nil {
		return nil, err
	}
	if !kyc.IsText(ask.Because) {
		return nil, bad("because", "because has characters that are no text")
	}
	order := replay.Job{
		Kind: ask.Kind, Endpoint: ask.Endpoint, To: ask.To, Since: ask.Since, Until: ask.Until, Force: ask.Force, Rate: ask.Rate, DryRun: ask.DryRun, Because: ask.Because,
		By: bounded(t.Name),
	}
	if key := req.Header.Get("Idempotency-Key"); key != "" {
		order.Key = digest(t.Name, key)
	}
	j, err := s.o.Replays.Create(req.Context(), order)
	if err != nil {
		return nil, refusedReplay(err)
	}
	return viewReplay(&j), nil
}

// turnReplay pauses, resumes or cancels one: the last part of the path says which.
func (s *Server) turnReplay(req *http.Request, _ Token) (any, error) {
	turn := map[string]func() (replay.Job, error){
		"pause":  func() (replay.Job, error) { return s.o.Replays.Pause(req.Context(), req.PathValue("id")) },
		"resume": func() (replay.Job, error) { return s.o.Replays.Resume(req.Context(), req.PathValue("id")) },
		"cancel": func() (replay.Job, error) { return s.o.Replays.Cancel(req.Context(), req.PathValue("id")) },
	}
	j, err := turn[path.Base(req.Pattern)]()
	if err != nil {
		return nil, refusedReplay(err)
	}
	return viewReplay(&j), nil
}

// refusedReplay says why there is no such replay, or none could be made.
func refusedReplay(err error) error {
	var invalid *replay.InvalidError
	switch {
	case errors.As(err, &invalid):
		return bad(invalid.Param, invalid.Message)
	case errors.Is(err, replay.ErrNotFound):
		return &problem{http.StatusNotFound, "not_found", "not_found", err.Error(), ""}
	case errors.Is(err, replay.ErrEnded):
		return &problem{http.StatusConflict, "conflict", "replay_ended", err.Error(), ""}
	case errors.Is(err, replay.ErrTooMany):
		return &problem{http.StatusTooManyRequests, "rate_limit", "too_many", err.Error(), ""}
	default:
		return err
	}
}

func viewReplay(j *replay.Job) api.Replay {
	v := api.Replay{
		Object: "replay", ID: j.ID, Kind: j.Kind, Endpoint: j.Endpoint, To: j.To, Since: j.Since, Until: j.Until, Force: j.Force, Rate: j.Rate, DryRun: j.DryRun, Because: j.Because,
		By: j.By, State: j.State, Created: j.Created, Counted: j.Counted, Ended: j.Ended, Total: j.Total, Persons: j.Persons, Ordered: j.Ordered, Skipped: j.Skipped, Error: j.Error,
	}
	if v.Skipped == nil {
		v.Skipped = map[string]int64{}
	}
	return v
}
