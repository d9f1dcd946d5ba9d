package control

import (
	"bytes"
	"context"
	"encoding/base64"
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
	"countersign/relay/audit"
	"countersign/relay/control/api"
)

const (
	trailRest  = time.Minute      // between two looks for entries that have had their time
	trailPause = time.Second / 4  // where there are more
	headEvery  = 24 * time.Hour   // between two lines of the log that have the head
	chunkWait  = 30 * time.Second // how long a reader of the stream may take for some entries
	verifyMost = 50_000           // entries that one call verifies
	clockSlack = 24 * time.Hour   // by which a clock may have been ahead when a refused call was reduced
)

// filterOf reads what of the trail is asked for.
func (s *Server) filterOf(req *http.Request) (f audit.Filter, err error) {
	q := req.URL.Query()
	f.Actor, f.Call = q.Get("actor"), q.Get("call")
	if f.All, err = flag(req, "all", false); err != nil {
		return f, err
	}
	if q.Get("ok") != "" {
		ok, err := flag(req, "ok", false)
		if err != nil {
			return f, err
		}
		f.Outcome = map[bool]string{true: "ok", false: "refused"}[ok]
	}
	if f.Endpoint = q.Get("endpoint"); f.Endpoint != "" {
		if q.Get("subject") != "" {
			return f, bad("endpoint", "endpoint and subject exclude each other: ask for one of them")
		}
		f.Endpoint = s.o.Registry.Read().Current(f.Endpoint)
	}
	if who := q.Get("subject"); who != "" {
		partner, id, ok := strings.Cut(who, "/")
		if !ok || idIn("partner", partner) != nil || idIn("subject", id) != nil {
			return f, bad("subject", "subject is a partner's id, a slash and the subject's id")
		}
		f.Person = s.o.Registry.PersonDigest(partner, id)
	}
	for _, at := range []struct {
		name string
		to   *time.Time
	}{{"since", &f.Since}, {"until", &f.Until}} {
		text := q.Get(at.name)
		if text == "" {
			continue
		}
		if *at.to, err = time.Parse(time.RFC3339, text); err != nil {
			if *at.to, err = time.Parse(time.DateOnly, text); err != nil {
				return f, bad(at.name, at.name+" is a time such as 2026-11-30T08:00:00Z, or a day such as 2026-11-30")
			}
		}
	}
	return f, nil
}

// audit lists the trail, the newest first; as a stream all that is asked for, the oldest first.
func (s *Server) audit(req *http.Request, _ Token) (any, error) {
	at, err := pageOf(req, "audit")
	if err != nil {
		return nil, err
	}
	b, err := hex.DecodeString(at.after)
	if err != nil || at.after != "" && len(b) != 8 {
		return nil, badCursor()
	}
	from := uint64(0)
	if at.after != "" {
		from = binary.BigEndian.Uint64(b)
	}
	f, err := s.filterOf(req)
	if err != nil {
		return nil, err
	}
	switch format := req.URL.Query().Get("format"); {
	case format == "ndjson", format == "" && strings.Contains(req.Header.Get("Accept"), "application/x-ndjson"):
		return stream(func(w http.ResponseWriter) error { return s.streamTrail(req.Context(), w, from, f) }), nil
	case format != "" && format != "json":
		return nil, bad("format", "format is json or ndjson")
	}
	p, err := audit.List(s.o.Store, f, from, at.limit)
	if err != nil {
		return nil, err
	}
	l := api.AuditList{Object: "list", Data: each(p.Entries, viewEntry), HasMore: p.More, Head: viewHead(p.Head)}
	if p.More {
		l.Next = base64.RawURLEncoding.EncodeToString([]byte(at.list + "\x00" + entryID(p.Before)))
	}
	return l, nil
}

func entryID(n uint64) string { return fmt.Sprintf("%016x", n) }

func viewEntry(l *audit.Listed) api.AuditEntry {
	e := api.AuditEntry{
		Object: "audit_entry", ID: entryID(l.Number), Number: l.Number, Kind: l.Kind.String(), At: l.At, Actor: l.Actor, Scope: Scope(l.Scope), Call: l.Call, Path: l.Path, OK: l.Kind == audit.Done,
		Status: l.Status, Error: l.Error, Key: l.Key, Changed: l.Changed, Persons: l.Persons, Refs: l.Refs, Begun: l.Begun, Completed: l.Completed, Reduced: l.Reduced, Damaged: l.Damaged,
	}
	e.Endpoints, e.Set = l.Endpoints, each(l.Set, func(s *audit.Setting) api.Setting { return api.Setting(*s) })
	if len(l.Set) == 0 {
		e.Set = nil
	}
	if e.Because = l.Because; l.Last != nil {
		e.Last = &api.LastDecided{Status: l.Last.Status, At: l.Last.At, Sequence: l.Last.Sequence}
	}
	if l.Damaged {
		e.Error = "this entry is damaged"
	} else {
		e.Hash = hex.EncodeToString(l.Hash[:])
	}
	return e
}

func viewHead(h audit.Head) api.AuditHead {
	v := api.AuditHead{Object: "audit_head", Head: h.String(), Number: h.Number, Hash: hex.EncodeToString(h.Hash[:]), At: h.At}
	if h.Number == 0 {
		v.At = time.Time{}
	}
	return v
}

// stream is an answer that is written as it is read.
type stream func(http.ResponseWriter) error

// streamTrail writes the trail, an entry a line, the oldest first, from after the entry given, and
// at the end the head: whoever has that line has all. Memory is bounded whatever is asked for.
func (s *Server) streamTrail(ctx context.Context, w http.ResponseWriter, after uint64, f audit.Filter) error {
	w.Header().Set("Content-Type", "application/x-ndjson")
	write := func(lines *bytes.Buffer) error {
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(chunkWait)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		_, err := io.Copy(w, lines)
		return err
	}
	head, err := audit.Walk(s.o.Store, f, after, func(some []audit.Listed) error {
		var lines bytes.Buffer
		for i := range some {
			if err := json.NewEncoder(&lines).Encode(viewEntry(&some[i])); err != nil {
				return err
			}
		}
		return errors.Join(ctx.Err(), write(&lines))
	})
	if err != nil {
		return err
	}
	var last bytes.Buffer
	if err := json.NewEncoder(&last).Encode(viewHead(head)); err != nil {
		return err
	}
	return write(&last)
}

// verifyAudit walks a part of the chain.
func (s *Server) verifyAudit(req *http.Request, _ Token) (any, error) {
	p, err := pageOf(req, "verify")
	if err != nil {
		return nil, err
	}
	var from audit.Head
	if p.after != "" {
		if from, err = audit.ParseHead(p.after); err != nil {
			return nil, badCursor()
		}
	}
	var noted *audit.Head
	if text := req.URL.Query().Get("head"); text != "" {
		h, err := audit.ParseHead(text)
		if err != nil {
			return nil, bad("head", err.Error())
		}
		noted = &h
	}
	v, err := audit.Verify(s.o.Store.View, from, verifyMost, noted, s.now(), refusedKept-clockSlack)
	if err != nil {
		return nil, err
	}
	return ViewVerification(&v), nil
}

// ViewVerification is a walk of the chain as the API shows it.
func ViewVerification(v *audit.Verification) api.AuditVerification {
	a := api.AuditVerification{
		Object: "audit_verification", OK: v.Sound(), Entries: v.Entries, Reduced: v.Reduced, Damaged: v.Damaged, Faults: v.Faults, Found: []api.AuditFault{},
		First: viewHead(v.First), Head: viewHead(v.At), Noted: string(v.Noted), HasMore: !v.Done,
	}
	if v.Done {
		a.Head = viewHead(v.Head)
	}
	a.First.Hash, a.First.Head = "", ""
	for _, t := range v.Troubles {
		a.Found = append(a.Found, api.AuditFault{Number: t.Number, Fault: string(t.Fault), Text: t.Text})
	}
	if v.Anchor.Number > 0 {
		a.Left = &api.AuditLeft{AuditHead: viewHead(v.Anchor.Head), LeftAt: v.Anchor.Left}
	}
	if a.HasMore {
		a.Next = base64.RawURLEncoding.EncodeToString([]byte("verify\x00" + v.At.String()))
	}
	return a
}

// VerifyFile walks all of the chain in a database that nobody has open, or in a backup.
func VerifyFile(path string, noted *audit.Head) (v api.AuditVerification, err error) {
	err = store.Look(path, func(tx *store.Tx) error {
		w, err := audit.Verify(func(fn func(*store.Tx) error) error { return fn(tx) }, audit.Head{}, int(^uint(0)>>1), noted, time.Now(), refusedKept-clockSlack)
		v = ViewVerification(&w)
		return err
	})
	return v, err
}

// Retain takes what has had its time out of the trail, until ctx ends: of refused calls what they
// said, after 30 days, and the front of the trail after Options.AuditKeep (zero: never). It logs
// the head at the start, once a day, and at the end, for whoever keeps the log elsewhere.
func (s *Server) Retain(ctx context.Context) error {
	s.logHead()
	defer s.logHead()
	told := s.now()
	reduced := uint64(0) // up to here there is nothing left to reduce
	for {
		if now := s.now(); now.Sub(told) >= headEvery {
			told = now
			s.logHead()
		}
		more, err := s.retain(ctx, &reduced)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !errors.Is(err, store.ErrFull) {
			return fmt.Errorf("audit trail: %w", err)
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

// retain takes a step of each, and reports whether there is more.
func (s *Server) retain(ctx context.Context, reduced *uint64) (more bool, err error) {
	now := s.instant()
	if keep := s.settings.Load().AuditKeep; keep > 0 {
		if more, err = audit.Leave(ctx, s.o.Store, now.Add(-keep), now); err != nil {
			return more, err
		}
	}
	upTo, again, err := audit.Reduce(ctx, s.o.Store, *reduced, now.Add(-refusedKept))
	if err == nil {
		*reduced = upTo
	}
	return more || again, err
}

// logHead logs where the trail stands.
func (s *Server) logHead() {
	var h audit.Head
	err := s.o.Store.View(func(tx *store.Tx) (err error) {
		h, err = audit.HeadOf(tx)
		return err
	})
	if err != nil {
		s.o.Logger.Error("audit_head_unreadable", "error", err)
		return
	}
	s.o.Logger.Info("audit_head", "head", h.String(), "entries", h.Number)
}
