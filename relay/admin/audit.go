package admin

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"countersign/outbox/store"
)

// AuditEntry is one call that changed something, or showed a body, in the audit trail.
type AuditEntry struct {
	Object string    `json:"object"`
	ID     string    `json:"id"`
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"` // the token's name
	Scope  Scope     `json:"scope"`
	Call   string    `json:"call"` // the route
	Path   string    `json:"path"` // what it was called on
	OK     bool      `json:"ok"`
	Error  string    `json:"error,omitempty"`
}

// record writes a call into the audit trail, on stable storage before it is answered. Entries are never removed.
func (s *Server) record(req *http.Request, r Route, t Token, outcome error) error {
	e := AuditEntry{Object: "audit_entry", At: time.Now().UTC().Truncate(time.Microsecond), Actor: t.Name, Scope: t.Scope, Call: r.Pattern, Path: req.URL.Path, OK: outcome == nil}
	if outcome != nil {
		e.Error = outcome.Error()
	}
	s.o.Logger.Info("audit", "call", e.Call, "path", e.Path, "actor", e.Actor, "ok", e.OK)
	// The call has had its effect by now, so whoever hangs up must not leave it out of the trail.
	err := s.o.Store.Update(context.WithoutCancel(req.Context()), func(tx *store.Tx) error {
		b := tx.Bucket(store.Audit)
		n := uint64(1)
		if k, _ := b.Cursor().Last(); len(k) == 8 {
			n += binary.BigEndian.Uint64(k)
		}
		v, err := json.Marshal(e)
		if err != nil {
			return err
		}
		return b.Put(binary.BigEndian.AppendUint64(nil, n), v)
	})
	if err != nil {
		return fmt.Errorf("the call is not in the audit trail: %w", err)
	}
	return nil
}

// audit lists the trail, the newest first.
func (s *Server) audit(req *http.Request, _ Token) (any, error) {
	after, limit, err := page(req)
	if err != nil {
		return nil, err
	}
	from, err := hex.DecodeString(after)
	if err != nil || after != "" && len(from) != 8 {
		return nil, bad("after", "after is the id of an entry, as the list shows it")
	}
	entries, more := []AuditEntry{}, false
	err = s.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Audit).Cursor()
		k, v := c.Last()
		if after != "" {
			c.Seek(from)
			k, v = c.Prev()
		}
		for ; k != nil; k, v = c.Prev() {
			if len(entries) == limit {
				more = true
				return nil
			}
			var e AuditEntry
			if json.Unmarshal(v, &e) != nil {
				e = AuditEntry{Object: "audit_entry", Error: "this entry is damaged"}
			}
			e.ID = hex.EncodeToString(k)
			entries = append(entries, e)
		}
		return nil
	})
	return list{Object: "list", Data: entries, HasMore: more}, err
}
