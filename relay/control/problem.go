package control

import (
	"errors"
	"net/http"
	"strings"

	"countersign/ingest/journal"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay"
)

// fail answers what is wrong.
func (s *Server) fail(w http.ResponseWriter, err error) { s.failCalled(w, err, nil) }

// failCalled is fail for a call that may have come with what is not logged.
func (s *Server) failCalled(w http.ResponseWriter, err error, c *calling) {
	p := problemOf(err)
	if p.status >= http.StatusInternalServerError && p.Code == "internal" {
		s.o.Logger.Error("control_call_failed", "error", c.hide(err.Error()))
	}
	if p.status == http.StatusTooManyRequests || p.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	v := p.view()
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		v.Error.Problems = refused.Problems
	}
	s.json(w, p.status, v)
}

// problemOf says what is wrong as the API shows it. This is the one place where an error becomes an
// answer.
func problemOf(err error) (p *problem) {
	var field *relay.FieldError
	var refused *RefusedError
	switch {
	case errors.As(err, &p):
	case refusedChange(err) != nil:
		p = refusedChange(err)
	case steerRefusal(err) != nil:
		p = steerRefusal(err)
	case errors.As(err, &refused):
		p = &problem{http.StatusUnprocessableEntity, "invalid_request", "config_refused", err.Error(), ""}
	case errors.Is(err, ErrNoConfig):
		p = &problem{http.StatusConflict, "conflict", "no_config", err.Error(), ""}
	case errors.Is(err, ErrNotNow):
		p = &problem{http.StatusServiceUnavailable, "unavailable", "not_now", err.Error(), ""}
	case errors.Is(err, store.ErrNotCompacted):
		p = &problem{http.StatusConflict, "conflict", "not_compacted", err.Error(), ""}
	case errors.As(err, &field):
		p = &problem{http.StatusBadRequest, "invalid_request", field.Field, err.Error(), field.Field}
	case errors.Is(err, relay.ErrKeyUsed):
		p = &problem{http.StatusConflict, "conflict", "idempotency_key_used", err.Error(), "Idempotency-Key"}
	case errors.Is(err, relay.ErrNamed):
		p = &problem{http.StatusBadRequest, "invalid_request", "because", err.Error(), "because"}
	case errors.Is(err, relay.ErrBehind):
		p = &problem{http.StatusServiceUnavailable, "unavailable", "behind", err.Error(), ""}
	case errors.Is(err, relay.ErrNotWhole):
		p = &problem{http.StatusConflict, "conflict", "history_not_whole", err.Error(), ""}
	case errors.Is(err, relay.ErrAside):
		p = &problem{http.StatusConflict, "conflict", "set_aside", err.Error(), ""}
	case errors.Is(err, relay.ErrNotAside):
		p = &problem{http.StatusConflict, "conflict", "not_set_aside", err.Error(), ""}
	case errors.Is(err, relay.ErrConflict):
		p = &problem{http.StatusConflict, "conflict", "ref_taken", err.Error(), "provider_ref"}
	case errors.Is(err, relay.ErrTooMany):
		p = &problem{http.StatusTooManyRequests, "rate_limit", "too_many", err.Error(), ""}
	case errors.Is(err, journal.ErrBacklog), errors.Is(err, journal.ErrFull):
		p = &problem{http.StatusServiceUnavailable, "unavailable", "journal_full", err.Error() + "; try again", ""}
	case errors.Is(err, outbox.ErrNotFound), errors.Is(err, journal.ErrNotFound):
		p = &problem{http.StatusNotFound, "not_found", "not_found", err.Error(), ""}
	case errors.Is(err, outbox.ErrServed):
		p = &problem{http.StatusConflict, "conflict", "endpoint_served", err.Error(), ""}
	case errors.Is(err, relay.ErrOvertaken):
		p = &problem{http.StatusConflict, "conflict", "overtaken", err.Error() + "; send it all the same with force", "force"}
	default:
		p = &problem{http.StatusInternalServerError, "internal", "internal", err.Error(), ""}
	}
	return p
}

// answer writes what came of a call.
func (s *Server) answer(w http.ResponseWriter, v any) {
	if one, ok := v.(tagged); ok {
		w.Header().Set("ETag", one.etag())
	}
	if _, ok := v.(again); ok {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	write, ok := v.(stream)
	if !ok {
		s.json(w, http.StatusOK, v)
		return
	}
	if err := write(w); err != nil {
		s.o.Logger.Debug("control_answer_cut", "error", err)
		panic(http.ErrAbortHandler) // the reader must not take what it has for all there is
	}
}

// guest bounds how often a partner's token makes calls that write.
func (s *Server) guest(r Route, t Token) error {
	rate, most := s.guests, "50"
	if strings.Contains(r.Pattern, "/test_helpers/") {
		rate, most = s.driven, "2"
	}
	if t.Scope != Partner || r.Scope == Viewer || rate.take(t.Name, s.now()) {
		return nil
	}
	s.m.guests.Inc()
	return &problem{http.StatusTooManyRequests, "rate_limit", "too_many", "this token makes too many of these calls: at most 1,000 at once, and " + most + " a second", ""}
}
