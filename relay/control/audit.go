package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign/outbox/store"
	"countersign/outbox/trace"
	"countersign/relay/audit"
	"countersign/relay/control/api"
)

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
// look at a body or at all that is kept of a person, whoever calls.
func (r Route) audits(answer any) bool {
	i, ok := answer.(idle)
	return r.mayAudit() && (!ok || !i.idle())
}

// mayAudit reports whether any call of the route leaves one.
func (r Route) mayAudit() bool {
	d := api.Described(r.Pattern)
	return r.Scope != Viewer || d != nil && d.Reads
}

// calling is a call that may stand in the audit trail, while it is made.
type calling struct {
	mu    sync.Mutex  // guards the fields below
	entry audit.Entry // what is known so far; never with a person's id
	begun audit.Head  // of the entry that was written with its first change; zero: there is none
	raw   []string    // what may not be named, as it came

	along *store.Alongside // the entry that goes with its first change
}

type callingKey struct{}

// noting notes a call that may stand in the trail. Its first change takes an entry along in its own
// transaction, so that no crash leaves a change of which nothing says who made it.
func (s *Server) noting(req *http.Request, r Route, t Token) (*http.Request, *calling) {
	if !r.mayAudit() {
		return req, nil
	}
	c := &calling{entry: audit.Entry{Actor: bounded(t.Name), Scope: string(t.Scope), Call: r.Pattern}}
	c.entry.Path = s.named(req, r, t, c)
	ctx := context.WithValue(req.Context(), callingKey{}, c)
	ctx, c.along = store.With(ctx, func(tx *store.Tx) error { return s.begin(tx, c) })
	if tp := req.Header.Get("Traceparent"); trace.Valid(tp) {
		return req.WithContext(trace.Called(ctx, tp, time.Now())), c
	}
	return req.WithContext(trace.Called(ctx, "", time.Now())), c
}

// begin writes that a call begins to change something.
func (s *Server) begin(tx *store.Tx, c *calling) error {
	e := c.soFar()
	e.Kind, e.At = audit.Begun, s.instant()
	head, err := audit.Append(tx, &e)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun = head
	return err
}

// begins writes it now, for a call whose effect is elsewhere than in the file: nil once that is on
// stable storage.
func (s *Server) begins(req *http.Request) error {
	c, _ := req.Context().Value(callingKey{}).(*calling)
	if c == nil {
		return nil
	}
	if err := c.along.Now(context.WithoutCancel(req.Context()), s.o.Store); err != nil {
		return fmt.Errorf("the call is not in the audit trail: %w", err)
	}
	return nil
}

// soFar is a copy of what is known of the call.
func (c *calling) soFar() audit.Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entry
	e.Persons, e.Refs, e.Endpoints = slices.Clone(e.Persons), slices.Clone(e.Refs), slices.Clone(e.Endpoints)
	return e
}

// concerns notes whom a call is about, for the trail, where they stand as digests only. Whatever
// takes ids from a body says so before it does anything.
func (s *Server) concerns(req *http.Request, partner, subject string) {
	concern(req, subject, func(e *audit.Entry) *[]string { return &e.Persons }, func() string { return s.o.Registry.PersonDigest(partner, subject) })
}

// concernsRef notes which ref of a provider a call is about.
func (s *Server) concernsRef(req *http.Request, source, ref string) {
	concern(req, ref, func(e *audit.Entry) *[]string { return &e.Refs }, func() string { return s.o.Registry.RefDigest(source, ref) })
}

// concern adds the digest of an id to a list of a call's entry, once.
func concern(req *http.Request, id string, list func(*audit.Entry) *[]string, digest func() string) {
	c, _ := req.Context().Value(callingKey{}).(*calling)
	if c == nil || id == "" {
		return
	}
	d := digest()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = append(c.raw, id)
	if to := list(&c.entry); !slices.Contains(*to, d) {
		*to = append(*to, d)
	}
}

// hide takes out of a text what the call came with and may not be named, for the log.
func (c *calling) hide(text string) string {
	if c == nil {
		return text
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, raw := range c.raw { // none is empty
		text = strings.ReplaceAll(text, raw, hidden)
	}
	return text
}

// instant is now, as the trail keeps it.
func (s *Server) instant() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

// errorCode is how the codes of errors look. Nothing else stands in the trail: a text may name
// somebody.
var errorCode = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,63}$`)

// failed is what the trail says of an error: its status and its code. What is wrong with a config
// names nobody, and is said as it is.
func failed(err error) (status int, text string) {
	p := problemOf(err)
	switch refused, ok := errors.AsType[*RefusedError](err); {
	case ok:
		return p.status, bounded(refused.Error())
	case !errorCode.MatchString(p.Code):
		return p.status, p.Type
	}
	return p.status, p.Code
}

// record writes what came of a call into the audit trail, on stable storage before it is answered.
// Of refused ones only so many are kept, since they cost their caller nothing.
func (s *Server) record(req *http.Request, c *calling, answer any, outcome error) error {
	e := c.soFar()
	e.Kind = audit.Done
	if outcome == nil {
		e.Key = madeKey(answer)
	}
	var effect *effective
	e.Changed = errors.As(outcome, &effect)
	kept, kind := true, "done"
	if outcome != nil {
		e.Status, e.Error = failed(outcome)
		e.Kind, kind = audit.Failed, "failed"
	}
	switch {
	case e.Changed:
		kind = "done"
	case outcome != nil && e.Status < http.StatusInternalServerError:
		e.Kind, kind = audit.Refused, "refused"
		if c.head().Number == 0 {
			kept = s.refusals.take(e.Actor, s.now())
		}
		if !kept {
			kind = "refused_not_recorded"
		}
	}
	s.m.audited.WithLabelValues(kind).Inc()
	s.o.Logger.Info("audit", "call", e.Call, "path", e.Path, "actor", e.Actor, "ok", outcome == nil, "kept", kept)
	if !kept {
		return nil
	}
	return s.keep(req.Context(), e, c)
}

func (c *calling) head() audit.Head {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begun
}

// keep writes an entry into the audit trail: nil once it is on stable storage. It completes the one
// that went with the first change of a call, if that is there.
func (s *Server) keep(ctx context.Context, e audit.Entry, c *calling) error {
	// The call has had its effect by now, so whoever hangs up must not leave it out of the trail; and
	// this write is no change of the call's own.
	err := s.o.Store.Update(store.Without(context.WithoutCancel(ctx)), func(tx *store.Tx) error {
		e := e // it may run more than once
		e.At = s.instant()
		if c != nil {
			if begun := c.head(); begun.Number != 0 && audit.Holds(tx, begun) {
				e.Begun = begun.Number
			}
		}
		_, err := audit.Append(tx, &e)
		return err
	})
	if err != nil {
		return fmt.Errorf("the call is not in the audit trail: %w", err)
	}
	return nil
}
