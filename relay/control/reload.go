package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Fault is a mistake in a config, or a doubt about it. It never holds a secret.
type Fault struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"` // 0: the file as a whole
	Key    string `json:"key,omitempty"`
	What   string `json:"what"`
	Remedy string `json:"remedy,omitempty"`
}

// Difference is what another config says otherwise. It never holds a secret.
type Difference struct {
	Key string `json:"key"`           // as in the file, with the names of what stands in lists
	Was string `json:"was,omitempty"` // "": it was not there
	Is  string `json:"is,omitempty"`  // "": it is not there any more
}

// Reloaded is what a config came to, or, of a dry run, would come to.
type Reloaded struct {
	Object      string       `json:"object"`
	Config      string       `json:"config"` // the file
	DryRun      bool         `json:"dry_run"`
	Applied     bool         `json:"applied"`
	Differences []Difference `json:"differences"`
	Owed        []string     `json:"owed"` // what becomes of what is owed: a sentence for each endpoint that is orphaned or renamed
	Warnings    []Fault      `json:"warnings"`
}

// idle: what a dry run says stands in no trail.
func (r *Reloaded) idle() bool { return r != nil && r.DryRun }

// Why nothing is reloaded, whatever the config says.
var (
	ErrNoConfig = errors.New("this process was started without a config that could be read again")
	ErrNotNow   = errors.New("the gateway is starting or stopping, or another reload takes long")
)

// RefusedError is why a config was not applied: nothing was changed.
type RefusedError struct{ Faults []Fault }

// Error implements error.
func (r *RefusedError) Error() string {
	return fmt.Sprintf("the config has %d problem(s), and nothing was changed: %s", len(r.Faults), r.Faults[0].String())
}

// shown is the error as every other, with each problem beside it.
func (r *RefusedError) shown(p *problem) any {
	return struct {
		*problem
		Problems []Fault `json:"problems"`
	}{p, r.Faults}
}

// String returns file:line: key: what; remedy.
func (f Fault) String() string {
	s := f.File + ": "
	if f.Line > 0 {
		s = fmt.Sprintf("%s:%d: ", f.File, f.Line)
	}
	if f.Key != "" {
		s += f.Key + ": "
	}
	if f.Remedy == "" {
		return s + f.What
	}
	return s + f.What + "; " + f.Remedy
}

// reload reads the config again. Of the caller comes nothing but whether it is meant.
func (s *Server) reload(req *http.Request, _ Token) (any, error) {
	var ask struct {
		DryRun bool `json:"dry_run"`
	}
	if err := read(req, &ask); err != nil {
		return nil, err
	}
	if s.o.Reload == nil {
		return nil, ErrNoConfig
	}
	r, err := s.o.Reload(req.Context(), ask.DryRun)
	if err != nil {
		return &Reloaded{DryRun: ask.DryRun}, err
	}
	return r, nil
}

// Note writes something into the audit trail that nobody called for over the network: nil once it is on
// stable storage.
func (s *Server) Note(ctx context.Context, actor, call, path string, outcome error) error {
	e := AuditEntry{
		Object: "audit_entry", At: s.now().UTC().Truncate(time.Microsecond), Actor: actor, Call: call,
		Path: bounded(path), OK: outcome == nil,
	}
	kind := "done"
	if outcome != nil {
		e.Status, e.Error, kind = problemOf(outcome).status, bounded(outcome.Error()), "failed"
	}
	s.m.audited.WithLabelValues(kind).Inc()
	s.o.Logger.Info("audit", "call", e.Call, "path", e.Path, "actor", e.Actor, "ok", e.OK, "kept", true)
	return s.keep(ctx, &e)
}
