package control

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"time"
	"unicode/utf8"

	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay"
	"countersign/relay/audit"
	"countersign/relay/control/api"
)

// erasedView is how the erasure of somebody stands.
type erasedView struct{ *api.Erasure }

// idle: what a dry run finds, and what was erased before, stands in no trail.
func (e erasedView) idle() bool { return e.DryRun || e.Repeated }

// maxBecause is how long a reason may be, in bytes.
const maxBecause = 500

// erase takes away everything that is kept of one person. Who asked for it, why, and what was
// decided last stay in the audit trail, with a digest in place of the person.
func (s *Server) erase(req *http.Request, _ Token) (any, error) {
	var ask api.EraseAsk
	if err := read(req, &ask); err != nil {
		return nil, err
	}
	live, err := s.livemode(req)
	if err != nil {
		return nil, err
	}
	switch {
	case ask.Because == "":
		return nil, bad("because", "say why, without naming the person: it stays in the audit trail")
	case len(ask.Because) > maxBecause || !utf8.ValidString(ask.Because):
		return nil, bad("because", "because has 500 bytes at most")
	}
	partner, id := req.PathValue("partner"), req.PathValue("id")
	if ask.DryRun {
		e, err := s.o.Relay.ForeseeErasure(req.Context(), partner, id, live, ask.Because)
		if err != nil {
			return erasedView{&api.Erasure{DryRun: true}}, err
		}
		return erasedView{s.viewErasure(&e, true)}, nil
	}
	e, err := s.o.Relay.Erase(req.Context(), partner, id, live, ask.Because, func(e relay.Erasure) error {
		s.saysWhy(req, ask.Because, e.Last)
		return nil
	})
	if errors.Is(err, outbox.ErrNotFound) {
		if was, again := s.o.Relay.ErasureOf(partner, id, live); again == nil {
			v := s.viewErasure(&was, false)
			v.Repeated = true
			return erasedView{v}, nil
		}
	}
	if err != nil {
		return nil, err
	}
	s.wakeScrubs()
	return erasedView{s.viewErasure(&e, false)}, nil
}

// erasure says how far the erasure of somebody is.
func (s *Server) erasure(req *http.Request, _ Token) (any, error) {
	live, err := s.livemode(req)
	if err != nil {
		return nil, err
	}
	e, err := s.o.Relay.ErasureOf(req.PathValue("partner"), req.PathValue("id"), live)
	if err != nil {
		return nil, err
	}
	return erasedView{s.viewErasure(&e, false)}, nil
}

// saysWhy notes for the trail why somebody is erased, and what was decided last.
func (s *Server) saysWhy(req *http.Request, because string, last *relay.LastDecided) {
	c, _ := req.Context().Value(callingKey{}).(*calling)
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entry.Because = because
	if last != nil {
		c.entry.Last = &audit.Last{Status: string(last.Status), At: last.At, Sequence: last.Sequence}
	}
}

func (s *Server) viewErasure(e *relay.Erasure, dry bool) *api.Erasure {
	v := &api.Erasure{Object: "erasure", Digest: e.Digest, DryRun: dry, Erased: !dry, Records: e.Counts, Copies: s.copies()}
	if e.Last != nil {
		v.Last = &api.LastDecided{Status: string(e.Last.Status), At: e.Last.At, Sequence: e.Last.Sequence}
	}
	if dry {
		return v
	}
	v.ErasedAt, v.File = &e.At, "waiting"
	if !e.Scrubbed.IsZero() {
		v.File, v.ScrubbedAt = "scrubbed", &e.Scrubbed
	}
	return v
}

// copies are the copies of the file that stand beside it: they are as they were, and their owner's
// to destroy.
func (s *Server) copies() []string {
	list := []string{} // never null
	for _, of := range []string{".damaged-*", ".before-restore-*"} {
		found, _ := filepath.Glob(s.o.Store.Path() + of) // the pattern is sound
		list = append(list, found...)
	}
	slices.Sort(list)
	return list
}

// How often it is looked whether an erasure waits for the file, and again after a compaction that
// failed.
const (
	scrubLook  = time.Second
	scrubAgain = time.Minute
)

func (s *Server) wakeScrubs() {
	select {
	case s.scrubs <- struct{}{}:
	default:
	}
}

// Compactions makes the compactions that are asked for, one after the other, and those that
// erasures wait for, until ctx ends: one does for all that wait.
func (s *Server) Compactions(ctx context.Context) error {
	s.wakeScrubs() // what an earlier process left
	var look <-chan time.Time
	for {
		select {
		case began := <-s.compactions:
			told := false
			err := s.compactNow(ctx, func() {
				if !told {
					told = true
					began <- nil
				}
			})
			if !told {
				began <- err
			}
		case <-s.scrubs:
			look = s.scrubDue(ctx)
		case <-look:
			look = s.scrubDue(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// compactNow makes one compaction, and notes for whom that did.
func (s *Server) compactNow(ctx context.Context, begun func()) error {
	var wait []string
	began := s.now()
	if s.o.Relay != nil {
		var err error
		if wait, _, err = s.o.Relay.Unscrubbed(); err != nil {
			return err
		}
	}
	_, err := s.o.Store.Compact(ctx, func(store.Compaction) { begun() })
	if err != nil || len(wait) == 0 {
		return err
	}
	if err := s.o.Relay.Scrubbed(ctx, wait, began); err != nil {
		return err
	}
	s.o.Logger.Info("erasures_scrubbed", "erasures", len(wait))
	return nil
}

// scrubDue makes a compaction if an erasure waits for one, and says when to look again; nil: when
// somebody is erased.
func (s *Server) scrubDue(ctx context.Context) <-chan time.Time {
	if s.o.Relay == nil {
		return nil
	}
	wait, later, err := s.o.Relay.Unscrubbed()
	again := time.Duration(0)
	switch {
	case err != nil:
		again = scrubAgain
	case len(wait) > 0 && s.compactNow(ctx, func() {}) != nil:
		s.o.Logger.Warn("erasures_pending", "erasures", len(wait), "reason", "the file could not be compacted; the compaction is tried again")
		again = scrubAgain
	case later > 0:
		again = scrubLook
	}
	if again == 0 {
		return nil
	}
	return time.After(again)
}
