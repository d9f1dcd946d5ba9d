package control

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"countersign/outbox/store"
	"countersign/relay/control/api"
)

const (
	trailStep  = 500              // entries looked at in one transaction
	trailRest  = time.Minute      // between two looks for entries that have had their time
	trailPause = time.Second / 4  // where there are more
	chunkWait  = 30 * time.Second // how long a reader of the stream may take for some entries
)

// span is what of the trail is asked for. Zero: no bound.
type span struct {
	since, until time.Time // from since on, before until
	actor        string
}

// spanOf reads since, until and actor.
func spanOf(req *http.Request) (p span, err error) {
	q := req.URL.Query()
	p.actor = q.Get("actor")
	for _, f := range []struct {
		name string
		to   *time.Time
	}{{"since", &p.since}, {"until", &p.until}} {
		text := q.Get(f.name)
		if text == "" {
			continue
		}
		if *f.to, err = time.Parse(time.RFC3339, text); err != nil {
			if *f.to, err = time.Parse(time.DateOnly, text); err != nil {
				return p, bad(f.name, f.name+" is a time such as 2026-11-30T08:00:00Z, or a day such as 2026-11-30")
			}
		}
	}
	return p, nil
}

func (p *span) holds(e *api.AuditEntry) bool {
	return (p.since.IsZero() || !e.At.Before(p.since)) && (p.until.IsZero() || e.At.Before(p.until)) && (p.actor == "" || e.Actor == p.actor)
}

// audit lists the trail, the newest first; as a stream all that is asked for, the oldest first.
func (s *Server) audit(req *http.Request, _ Token) (any, error) {
	at, err := pageOf(req, "audit")
	if err != nil {
		return nil, err
	}
	from, err := hex.DecodeString(at.after)
	if err != nil || at.after != "" && len(from) != 8 {
		return nil, badCursor()
	}
	p, err := spanOf(req)
	if err != nil {
		return nil, err
	}
	switch format := req.URL.Query().Get("format"); {
	case format == "ndjson", format == "" && strings.Contains(req.Header.Get("Accept"), "application/x-ndjson"):
		return stream(func(w http.ResponseWriter) error { return s.streamTrail(req.Context(), w, from, p) }), nil
	case format != "" && format != "json":
		return nil, bad("format", "format is json or ndjson")
	}
	entries, more := []api.AuditEntry{}, false
	before := ^uint64(0) // numbers from here on have been looked at
	if len(from) == 8 {
		before = binary.BigEndian.Uint64(from)
	} else if !p.until.IsZero() {
		if before, err = s.firstAt(p.until); err != nil {
			return nil, err
		}
	}
	for !more && before > 0 && req.Context().Err() == nil {
		err := s.o.Store.View(func(tx *store.Tx) error {
			c := tx.Bucket(store.Audit).Cursor()
			k, v := lastBefore(c, before)
			for seen := 0; ; k, v = c.Prev() {
				if k == nil {
					before = 0
					return nil
				}
				if seen++; seen > trailStep {
					return nil
				}
				e := entryOf(k, v)
				if v != nil && e.At.Before(p.since) {
					before = 0
					return nil
				}
				if p.holds(&e) {
					if more = len(entries) == at.limit; more {
						return nil
					}
					entries = append(entries, e)
				}
				before = binary.BigEndian.Uint64(k)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return listed(at, entries, more, func(e *api.AuditEntry) string { return e.ID }), req.Context().Err()
}

// lastBefore moves to the last entry whose number is smaller.
func lastBefore(c *store.Cursor, n uint64) (k, v []byte) {
	if k, _ = c.Seek(auditKey(n)); k == nil {
		return c.Last()
	}
	return c.Prev()
}

// entryOf reads an entry. One that is damaged says so.
func entryOf(k, v []byte) api.AuditEntry {
	var e auditEntry
	if v == nil || json.Unmarshal(v, &e) != nil {
		e = auditEntry{Error: "this entry is damaged"}
	}
	return api.AuditEntry{
		Object: "audit_entry", ID: hex.EncodeToString(k), At: e.At, Actor: e.Actor, Scope: e.Scope, Call: e.Call, Path: short(e.Path), OK: e.OK, Status: e.Status,
		Error: short(e.Error), Key: e.Key, Changed: e.Changed,
	}
}

// short is a text of an entry that was written before texts were bounded.
func short(s string) string {
	if len(s) > 2*maxText {
		return bounded(s)
	}
	return s
}

// firstAt is the number of the first entry that is not older than an instant. Numbers go with time;
// where a clock was put back, the trail begins a little sooner or later.
func (s *Server) firstAt(at time.Time) (n uint64, err error) {
	err = s.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Audit).Cursor()
		last, _ := c.Last()
		if len(last) != 8 {
			n = 1
			return nil
		}
		low, high := uint64(0), binary.BigEndian.Uint64(last)+1 // the first one lies in here
		for low < high {
			mid := low + (high-low)/2
			k, v := c.Seek(auditKey(mid))
			for k != nil && v == nil { // damaged: the next one tells
				k, v = c.Next()
			}
			if e := (auditEntry{}); k != nil && json.Unmarshal(v, &e) == nil && e.At.Before(at) {
				low = binary.BigEndian.Uint64(k) + 1
				continue
			}
			high = mid
		}
		n = low
		return nil
	})
	return n, err
}

// stream is an answer that is written as it is read.
type stream func(http.ResponseWriter) error

// streamTrail writes the trail, an entry a line, the oldest first, from after the entry given. Each
// step reads a few entries in a transaction of its own and then writes them, so that a slow reader
// holds up no page of the file, and memory is bounded whatever is asked for.
func (s *Server) streamTrail(ctx context.Context, w http.ResponseWriter, after []byte, p span) error {
	next := uint64(1)
	var err error
	if len(after) == 8 {
		next = binary.BigEndian.Uint64(after) + 1
	} else if !p.since.IsZero() {
		if next, err = s.firstAt(p.since); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	for done := false; !done && ctx.Err() == nil; {
		var lines bytes.Buffer
		err := s.o.Store.View(func(tx *store.Tx) error {
			c := tx.Bucket(store.Audit).Cursor()
			k, v := c.Seek(auditKey(next))
			for seen := 0; seen < trailStep; k, v = c.Next() {
				if done = k == nil; done {
					return nil
				}
				seen++
				next = binary.BigEndian.Uint64(k) + 1
				e := entryOf(k, v)
				if v != nil && !p.until.IsZero() && e.At.After(p.until.Add(time.Hour)) { // clocks are put back by less
					done = true
					return nil
				}
				if p.holds(&e) {
					if err := json.NewEncoder(&lines).Encode(e); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(chunkWait)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		if _, err := io.Copy(w, &lines); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Retain removes entries that have had their time, until ctx ends: refused calls after 30 days, all
// others after Options.AuditKeep (zero: never). The last entry stays, so that no number is used
// twice.
func (s *Server) Retain(ctx context.Context) error {
	refused := []byte(nil) // of those before it none is left that was refused and has had its time
	for {
		more := false
		for _, walk := range []func() (bool, error){
			func() (bool, error) { return s.retain(ctx, nil, s.settings.Load().AuditKeep, false, nil) },
			func() (bool, error) { return s.retain(ctx, refused, refusedKept, true, &refused) },
		} {
			again, err := walk()
			if ctx.Err() != nil {
				return nil //nolint:nilerr // stopping
			}
			if err != nil && !errors.Is(err, store.ErrFull) {
				return fmt.Errorf("audit trail: %w", err)
			}
			more = more || again
		}
		rest := trailRest
		if more {
			rest = trailPause
		}
		select {
		case <-time.After(rest):
		case <-ctx.Done():
			return nil
		}
	}
}

// retain removes a step of what is older than keep, and reports whether there is more.
func (s *Server) retain(ctx context.Context, from []byte, keep time.Duration, refusedOnly bool, at *[]byte) (more bool, err error) {
	if keep <= 0 {
		return false, nil
	}
	until := s.now().Add(-keep)
	var gone [][]byte
	err = s.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Audit).Cursor()
		last, _ := c.Last()
		last = bytes.Clone(last)
		k, v := c.Seek(from)
		for seen := 0; k != nil && !bytes.Equal(k, last); k, v = c.Next() {
			var e auditEntry
			readable := v != nil && json.Unmarshal(v, &e) == nil
			if readable && !e.At.Before(until) {
				break
			}
			if more = seen == trailStep; more {
				break
			}
			seen++
			if readable && (!refusedOnly || e.refused()) { // a damaged one stays (I8)
				gone = append(gone, bytes.Clone(k))
			}
		}
		if at != nil && k != nil {
			*at = bytes.Clone(k)
		}
		return nil
	})
	if err != nil || len(gone) == 0 {
		return more, err
	}
	return more, s.o.Store.Update(ctx, func(tx *store.Tx) error {
		for _, k := range gone {
			if err := tx.Bucket(store.Audit).Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
}
