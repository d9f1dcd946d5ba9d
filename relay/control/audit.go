package control

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"countersign/outbox/store"
)

// auditEntry is one call that changed something, or showed a body, as it is kept. Every text in it
// is bounded, whatever the caller sent.
type auditEntry struct {
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"` // the token's name
	Scope  Scope     `json:"scope"`
	Call   string    `json:"call"` // the route
	Path   string    `json:"path"` // what it was called on
	OK     bool      `json:"ok"`
	Status int       `json:"status,omitempty"` // of the answer, unless it was 200
	Error  string    `json:"error,omitempty"`
	Key    string    `json:"key,omitempty"` // the id of the endpoint's key that it made

	// Changed: it was refused, and has had an effect all the same, such as a claim that makes a ref
	// contested.
	Changed bool `json:"changed,omitempty"`
}

// refused reports a call that did nothing because of its caller's own mistake.
func (e *auditEntry) refused() bool {
	return !e.OK && !e.Changed && e.Status < http.StatusInternalServerError
}

const (
	// refusedKept is how long a refused call stays in the trail.
	refusedKept = 30 * 24 * time.Hour
	// Of the refused calls of one token so many are kept at once, and then one every so often: at
	// most 4,400 in 30 days. Others are counted and logged.
	refusedBurst = 50
	refusedEvery = 10 * time.Minute
)

// effective is an error of a call that has had an effect all the same.
type effective struct{ error }

// Unwrap implements the wrapping of errors.
func (e *effective) Unwrap() error { return e.error }

// newAllowances bounds what a token's calls may leave in the file.
func (s *Server) newAllowances() {
	s.refusals = &allowance{burst: refusedBurst, every: refusedEvery}
	s.guests = &allowance{burst: guestBurst, every: guestEvery}
	s.driven = &allowance{burst: guestBurst, every: drivenEvery}
	s.changed = &allowance{burst: changeBurst, every: changeEvery}
}

// idle is the answer of a call that has changed nothing, for there was nothing to change. It stands
// in no trail.
type idle interface{ idle() bool }

// audits reports whether a call leaves a record in the audit trail: every change does, and every
// look at a body.
func (r Route) audits(answer any) bool {
	i, ok := answer.(idle)
	return r.Scope != Viewer && (!ok || !i.idle())
}

// record writes a call into the audit trail, on stable storage before it is answered. Of refused
// ones only so many are kept, since they cost their caller nothing.
func (s *Server) record(req *http.Request, r Route, t Token, answer any, outcome error) error {
	e := auditEntry{At: s.now().UTC().Truncate(time.Microsecond), Actor: bounded(t.Name), Scope: t.Scope, Call: r.Pattern, Path: bounded(req.URL.Path), OK: outcome == nil}
	if outcome == nil {
		e.Key = madeKey(answer)
	}
	var effect *effective
	e.Changed = errors.As(outcome, &effect)
	kept, kind := true, "done"
	if outcome != nil {
		e.Status, e.Error, kind = problemOf(outcome).status, bounded(outcome.Error()), "failed"
	}
	if e.Changed {
		kind = "done"
	}
	if e.refused() {
		if kept, kind = s.refusals.take(t.Name, s.now()), "refused"; !kept {
			kind = "refused_not_kept"
		}
	}
	s.m.audited.WithLabelValues(kind).Inc()
	s.o.Logger.Info("audit", "call", e.Call, "path", e.Path, "actor", e.Actor, "ok", e.OK, "kept", kept)
	if !kept {
		return nil
	}
	return s.keep(req.Context(), &e)
}

// keep writes an entry into the audit trail: nil once it is on stable storage.
func (s *Server) keep(ctx context.Context, e *auditEntry) error {
	// The call has had its effect by now, so whoever hangs up must not leave it out of the trail.
	err := s.o.Store.Update(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		b := tx.Bucket(store.Audit)
		n := uint64(1)
		if k, _ := b.Cursor().Last(); len(k) == 8 {
			n += binary.BigEndian.Uint64(k)
		}
		v, err := json.Marshal(e)
		if err != nil {
			return err
		}
		return b.Put(auditKey(n), v)
	})
	if err != nil {
		return fmt.Errorf("the call is not in the audit trail: %w", err)
	}
	return nil
}

func auditKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
