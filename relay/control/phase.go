package control

import (
	"log/slog"
	"net/http"

	"countersign/relay/control/api"
)

// The phases of a process. What stands between starting and serving is named by whoever works on
// the file: checking_file, repairing_file.
const (
	PhaseStarting = "starting"
	PhaseServing  = "serving"
	PhaseStopping = "stopping"
)

// Doing is the phase of a process, and how far it is with it in percent; nil: that is not known.
// The zero value says nothing.
type Doing struct {
	Phase   string
	Percent *int64
}

// To is what somebody is told of it: all, or nothing.
func (d Doing) To(full bool) Doing {
	if !full {
		return Doing{}
	}
	return d
}

// Healthy answers that the process does, whether it tells partners about real people, and to those
// who may know it what it is doing. It answers 200 in every phase: a process that reads a large
// file before it serves must not be taken for one that hangs.
func Healthy(log *slog.Logger, livemode bool, doing func(*http.Request) Doing) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		d := doing(req)
		reply(w, log, http.StatusOK, api.Health{Status: "ok", Mode: mode(livemode), Phase: d.Phase, Percent: d.Percent})
	}
}

// Readiness answers whether a process should get traffic; full: with its phase, why not, and what
// is worth knowing either way.
func Readiness(w http.ResponseWriter, log *slog.Logger, full bool, doing Doing, state func() (reasons, notes []string)) {
	reasons, notes := state()
	v, status := api.Ready{Status: "ready"}, http.StatusOK
	if len(reasons) > 0 {
		v, status = api.Ready{Status: "not_ready"}, http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "1")
	}
	if full {
		v.Phase, v.Percent, v.Reasons, v.Notes = doing.Phase, doing.Percent, reasons, notes
	}
	reply(w, log, status, v)
}

// doing is the phase of this process.
func (s *Server) doing() Doing {
	if s.o.Doing == nil {
		return Doing{Phase: PhaseServing}
	}
	return s.o.Doing()
}
