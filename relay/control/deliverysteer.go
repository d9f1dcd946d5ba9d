package control

import (
	"errors"
	"net/http"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/relay"
	"countersign/relay/control/api"
	"countersign/relay/dispatch"
)

// What an operator does with single deliveries. Each call is idempotent.

// retryNow has a delivery tried now, or what goes before it.
func (s *Server) retryNow(req *http.Request, t Token) (any, error) {
	id := req.PathValue("id")
	if err := s.ownDelivery(t, id); err != nil {
		return nil, err
	}
	s.concernsDelivery(req, id)
	d, h, err := s.o.Relay.RetryNow(req.Context(), id)
	if err != nil {
		return nil, err
	}
	v := api.Hurried{Object: "delivery", ID: d.ID, Tried: h.Head, Attempts: h.Failures, NextAttempt: h.Due, Moved: h.Moved, InFlight: h.InFlight}
	if !h.InFlight {
		v.WaitsFor, _ = s.o.Dispatcher.Waits(d.Endpoint)
	}
	return v, nil
}

// skippedOne is what skipping came to.
type skippedOne struct {
	api.Skipped
	known bool
}

// idle implements idle.
func (v skippedOne) idle() bool { return v.known }

// skip puts the delivery down that holds its person's lane up.
func (s *Server) skip(req *http.Request, _ Token) (any, error) {
	s.concernsDelivery(req, req.PathValue("id"))
	d, known, err := s.o.Relay.Skip(req.Context(), req.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return skippedOne{api.Skipped{Object: "delivery", ID: d.ID, Skipped: true}, known}, nil
}

// cancelledOne is what cancelling came to.
type cancelledOne struct {
	api.CancelledDelivery
	known bool
}

// idle implements idle.
func (v cancelledOne) idle() bool { return v.known }

// cancel takes a delivery out for good.
func (s *Server) cancel(req *http.Request, t Token) (any, error) {
	var ask api.CancelAsk
	if err := read(req, &ask); err != nil {
		return nil, err
	}
	switch {
	case ask.Because == "":
		return nil, bad("because", "say why, for whoever must explain it later")
	case len(ask.Because) > maxReason || !kyc.IsText(ask.Because):
		return nil, bad("because", "because is longer than 500 bytes, or has characters that are no text")
	}
	s.concernsDelivery(req, req.PathValue("id"))
	d, known, err := s.o.Relay.Cancel(req.Context(), req.PathValue("id"), outbox.Cancel{By: bounded(t.Name), Because: ask.Because, Force: ask.Force})
	if err != nil {
		return nil, err
	}
	return cancelledOne{api.CancelledDelivery{Object: "delivery", ID: d.ID, Cancelled: true, Withheld: d.Restrictive}, known}, nil
}

// retryAll has what an endpoint waits to try again tried now.
func (s *Server) retryAll(req *http.Request, _ Token) (any, error) {
	id := s.o.Registry.Read().Current(req.PathValue("id"))
	n, more, err := s.o.Dispatcher.RetryAll(req.Context(), id)
	if err != nil && n > 0 {
		return nil, &effective{err} // some are due
	}
	if err != nil {
		return nil, err
	}
	v := api.HurriedAll{Object: "endpoint", ID: id, Moved: n, More: more}
	if why, _ := s.o.Dispatcher.Waits(id); why != dispatch.WaitsOrphaned {
		v.WaitsFor = why
	}
	return v, nil
}

// steerRefusal is why a delivery cannot be steered so; nil: it is another error.
func steerRefusal(err error) *problem {
	var behind *outbox.BehindError
	refusal := func(code, param string) *problem {
		return &problem{http.StatusConflict, "conflict", code, err.Error(), param}
	}
	switch {
	case errors.As(err, &behind):
		return refusal("behind", "")
	case errors.Is(err, relay.ErrOwed):
		return refusal("pending", "")
	case errors.Is(err, outbox.ErrDead):
		return refusal("dead_lettered", "")
	case errors.Is(err, outbox.ErrDelivered):
		return refusal("delivered", "")
	case errors.Is(err, outbox.ErrCancelled):
		return refusal("cancelled", "")
	case errors.Is(err, outbox.ErrRestrictive):
		return refusal("restrictive", "force")
	}
	return nil
}
