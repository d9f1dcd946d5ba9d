package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"countersign/relay/audit"
	"countersign/relay/control/api"
)

// reloaded is what a config came to.
type reloaded struct{ *api.Reloaded }

// idle: what a dry run says stands in no trail.
func (r reloaded) idle() bool { return r.DryRun }

// Why nothing is reloaded, whatever the config says.
var (
	ErrNoConfig = errors.New("this process was started without a config that could be read again")
	ErrNotNow   = errors.New("the gateway is starting or stopping, or another reload takes long")
)

// RefusedError is why a config was not applied: nothing was changed.
type RefusedError struct{ Problems []api.ConfigProblem }

// Error implements error.
func (r *RefusedError) Error() string {
	return fmt.Sprintf("the config has %d problem(s), and nothing was changed: %s", len(r.Problems), r.Problems[0].String())
}

// reload reads the config again. Of the caller comes nothing but whether it is meant.
func (s *Server) reload(req *http.Request, _ Token) (any, error) {
	var ask api.ReloadAsk
	if err := read(req, &ask); err != nil {
		return nil, err
	}
	if s.o.Reload == nil {
		return nil, ErrNoConfig
	}
	if !ask.DryRun {
		if err := s.begins(req); err != nil {
			return nil, err
		}
	}
	r, err := s.o.Reload(req.Context(), ask.DryRun)
	if err != nil {
		return reloaded{&api.Reloaded{DryRun: ask.DryRun}}, err
	}
	ids, set := reconfigured(r)
	s.concernsEndpoints(req, ids...)
	s.sets(req, set)
	return reloaded{r}, nil
}

// Note writes something into the audit trail that nobody called for over the network: nil once it
// is on stable storage. came is what it came to, if it was a reload.
func (s *Server) Note(ctx context.Context, actor, call, path string, came *api.Reloaded, outcome error) error {
	e, kind := audit.Entry{Kind: audit.Done, Actor: actor, Call: call, Path: bounded(path)}, "done"
	e.Endpoints, e.Set = reconfigured(came)
	if outcome != nil {
		e.Status, e.Error = failed(outcome)
		e.Kind, kind = audit.Failed, "failed"
	}
	s.m.audited.WithLabelValues(kind).Inc()
	s.o.Logger.Info("audit", "call", e.Call, "path", e.Path, "actor", e.Actor, "ok", outcome == nil, "kept", true)
	return s.keep(ctx, e, nil)
}
