package relay

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// Whose a ref is. Somebody registers it (a submission claims it), or the provider says so (a
// callback that carries our id and the ref, and proves where it comes from, teaches it). A claim
// that no callback has been applied to yet is undecided: a second one about somebody else makes the
// ref contested, and one of the provider takes its place. One that has served stays: a later claim
// is refused, so that nobody can freeze somebody else's person by registering their ref. A
// contested ref leads to nobody, what comes for it is held in order, and an operator settles whose
// it is, with a record of its own (I11).

// contest is what is shown of a contested ref. Beside its strand stand its name among those that are
// contested, so that it is listed, and a mark for each lane, so that whoever polls is told.
type contest struct {
	Source   string    `json:"source"`
	Ref      string    `json:"ref"`
	Livemode bool      `json:"livemode"`
	Since    time.Time `json:"since"`
	Claims   []claim   `json:"claims"`
}

// refusedMark stands for a claim that came to nothing, as long as it does.
func refusedMark(lane, ref string) []byte { return []byte("n\x00" + lane + "\x00" + ref) }

func contestKey(ref string) []byte { return append([]byte("c\x00"), ref...) }

func contestMark(lane, ref string) []byte { return []byte("l\x00" + lane + "\x00" + ref) }

// learn adds a claim to a ref, and returns what that sets free.
func (b *batch) learn(e *effect) ([]effect, error) {
	key, c := e.strand, e.claim
	s := b.strand(key)
	was := s.leads()
	comes := was.fate(&c)
	if comes == refused {
		b.refuse(e, c.Lane)
	}
	changed := b.change(key, s, func() bool {
		if !s.add(c) {
			return false
		}
		if comes == contests && s.since.IsZero() {
			s.since = c.At
		}
		return true
	})
	if !changed {
		return nil, nil
	}
	switch comes {
	case refused:
		return nil, nil
	case contests:
		b.contested(e, s, was.contested)
		return nil, nil
	case replaces:
		b.refuse(e, was.lane)
	case joins:
		if is := s.leads(); was.lane == c.Lane && was.submitted == is.submitted {
			return nil, nil // it leads where it did
		}
	}
	return b.wakeFor(key, c.Lane)
}

// refuse notes that a ref is not this lane's, although somebody has registered it so.
func (b *batch) refuse(e *effect, lane string) {
	b.submissions[refusedClaim]++
	source, _, _ := splitRef(e.strand)
	b.r.o.Logger.Warn("ref_claim_refused", "source", source, "update", e.claim.Update)
	b.writeBeside(refusedMark(lane, e.strand), store.NewRecord())
}

// change writes what fn makes of a strand, and counts the claims that are undecided. It reports
// whether fn has changed anything.
func (b *batch) change(key string, s *refStrand, fn func() bool) bool {
	s.count(b.counted, -1)
	changed := fn()
	s.count(b.counted, 1)
	if !changed {
		return false
	}
	s.upto = b.at.Offset
	b.refs[key] = s
	k := b.room.end(append(append(b.room.begin(2+len(key)), strandPrefix...), key...))
	if s.empty() {
		b.put(store.Refs, k, nil)
		return true
	}
	b.put(store.Refs, k, b.room.end(s.appendTo(store.AppendRecord(b.room.begin(strandRoom)))))
	return true
}

// serve notes that a callback has been applied to a lane: if the ref leads there because somebody has
// registered it so, that is decided.
func (b *batch) serve(e *effect) {
	if l := b.whose(e.strand); l.lane != e.claim.Lane || !l.submitted || l.served {
		return
	}
	s := b.strand(e.strand)
	b.change(e.strand, s, func() bool {
		s.serve(e.claim.Lane)
		return true
	})
}

// contested notes that one more claims a ref of which nobody can tell whose it is.
func (b *batch) contested(e *effect, s *refStrand, already bool) {
	key := e.strand
	if !already {
		b.unclear++
		source, _, _ := splitRef(key)
		b.r.o.Logger.Error("ref_ambiguous", "source", source, "update", e.claim.Update)
	}
	if listed := contestKey(key); !b.hasBeside(listed) {
		b.counted[contestedRefs]++
		b.writeBeside(listed, store.NewRecord())
	}
	for _, c := range s.contenders() {
		if mark := contestMark(c.Lane, key); !b.hasBeside(mark) {
			b.writeBeside(mark, store.NewRecord())
		}
	}
}

// decide makes a ref lead to the lane that an operator named, whoever has claimed it so far, and
// returns what that sets free.
func (b *batch) decide(e *effect) ([]effect, error) {
	key, lane := e.strand, e.claim.Lane
	s := b.strand(key)
	if list := s.contenders(); len(list) > 0 {
		b.counted[contestedRefs]--
		for _, c := range list {
			b.writeBeside(contestMark(c.Lane, key), nil)
		}
		b.writeBeside(contestKey(key), nil)
	}
	if mark := refusedMark(lane, key); b.hasBeside(mark) {
		b.writeBeside(mark, nil)
	}
	b.change(key, s, func() bool {
		s.decide(lane)
		return true
	})
	return b.wakeFor(key, lane)
}

// unlearn forgets whose a ref is, if it is the lane's whose word for it was taken back.
func (b *batch) unlearn(e *effect) {
	s := b.strand(e.strand)
	if s.leads().lane != e.claim.Lane {
		return
	}
	b.change(e.strand, s, func() bool {
		*s = refStrand{} // with all claims, for those of others came to nothing by what is taken back
		return true
	})
}

// besideRef is a record of the refs bucket, but for strands, as this batch sees it.
func (b *batch) besideRef(key []byte) ([]byte, error) {
	if record, ok := b.besideNow[string(key)]; ok {
		if record == nil {
			return nil, nil
		}
		return store.RecordBody(record), nil
	}
	return b.tx.Bucket(store.Refs).Get(key)
}

func (b *batch) hasBeside(key []byte) bool {
	v, err := b.besideRef(key)
	return v != nil || err != nil
}

// strandIn is what the file keeps of a ref.
func strandIn(tx *store.Tx, key string) refStrand {
	return readStrand(tx.Bucket(store.Refs).Get(strandKey(key)))
}

// contest is what is shown of a contested ref; nil: it is not contested.
func (s *refStrand) contest(key string) *contest {
	list := s.contenders()
	if len(list) == 0 {
		return nil
	}
	c := &contest{Since: s.since, Claims: list}
	c.Source, c.Ref, c.Livemode = splitRef(key)
	return c
}

// splitRef takes a refKey apart.
func splitRef(key string) (source, ref string, livemode bool) {
	source, rest, _ := strings.Cut(key, "\x00")
	mode, ref, _ := strings.Cut(rest, "\x00")
	return source, ref, mode == "l"
}

// refID is how lists name a ref: source/l/ref of live subjects, source/t/ref of test subjects. A
// ref may hold slashes itself.
func refID(key string) string { return strings.Replace(key, "\x00", "/", 2) }

// ContestedRef is a ref that several were said to have.
type ContestedRef struct {
	ID          string      `json:"id"`
	State       string      `json:"state"` // contested: what comes for it is held until an operator has settled whose it is; refused: it is somebody else's
	Source      string      `json:"source"`
	ProviderRef string      `json:"provider_ref"`
	Livemode    bool        `json:"livemode"`
	Since       time.Time   `json:"since,omitzero"`
	Claims      []ClaimView `json:"claims,omitempty"` // who they are; partners are not told of each other
}

// ClaimView is one of those whom a contested ref is said to belong to.
type ClaimView struct {
	Partner    string    `json:"partner"`
	Subject    string    `json:"subject"`
	Registered bool      `json:"registered"` // by a submission; else the provider said so
	At         time.Time `json:"at,omitzero"`
}

// ContestedRefs lists up to n contested refs from after the one given, by source, mode and ref, and
// reports whether there are more.
func (r *Relay) ContestedRefs(after string, n int) (list []ContestedRef, more bool, err error) {
	list = []ContestedRef{} // never null
	err = r.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Refs).Cursor()
		prefix, from := contestKey(""), contestKey(strings.Replace(after, "/", "\x00", 2))
		for k, v := c.Seek(from); bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if after != "" && bytes.Equal(k, from) {
				continue
			}
			if len(list) == n {
				more = true
				return nil
			}
			key := string(k[len(prefix):])
			s := strandIn(tx, key)
			if found := s.contest(key); v != nil && found != nil {
				list = append(list, found.view(r, key))
			}
		}
		return nil
	})
	return list, more, err
}

func (c *contest) view(r *Relay, key string) (v ContestedRef) {
	v.Source, v.ProviderRef, v.Livemode = splitRef(key)
	v.ID, v.State, v.Since = refID(key), contestedClaim, c.Since
	for _, s := range c.Claims {
		partner, subject, _ := r.shownOf(s.Lane)
		v.Claims = append(v.Claims, ClaimView{partner, subject, s.Registered, s.At})
	}
	return v
}

// ContestedOf lists the contested refs of one subject, and those that it was refused, without the
// others who claim them: a partner learns that there is somebody, never who.
func (r *Relay) ContestedOf(partner, id string, livemode bool) (list []ContestedRef, err error) {
	lane := r.laneOf(partner, id, livemode)
	err = r.o.Store.View(func(tx *store.Tx) error {
		list = append(marked(tx, contestMark(lane, ""), contestedClaim), marked(tx, refusedMark(lane, ""), refusedClaim)...)
		return nil
	})
	return list, err
}

// marked lists the refs that are marked for a lane.
func marked(tx *store.Tx, prefix []byte, state string) (list []ContestedRef) {
	c := tx.Bucket(store.Refs).Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix) && len(list) < maxClaims; k, v = c.Next() {
		if v == nil {
			continue // damaged
		}
		key := string(k[len(prefix):])
		view := ContestedRef{ID: refID(key), State: state}
		view.Source, view.ProviderRef, view.Livemode = splitRef(key)
		if state == contestedClaim {
			view.Since = strandIn(tx, key).since
		}
		list = append(list, view)
	}
	return list
}

// Settlement is an operator's word about whose a ref is.
type Settlement struct {
	Submission
	Note string // why, in the operator's words: at most 500 bytes
}

// SettleRef orders that a ref be one subject's from now on, through the journal (I11), and returns
// the id of the order once it is folded, or an error beside it if ctx ended before: what was held
// for the ref has then been applied to that subject, in the order of its arrival. What was applied
// to anybody before stays theirs. outbox.ErrNotFound: nobody was ever known by this ref.
func (r *Relay) SettleRef(ctx context.Context, s Settlement) (id string, err error) {
	if err := s.check(r); err != nil {
		return "", fmt.Errorf("settle: %w", err)
	}
	if s.Note == "" || len(s.Note) > maxNote || !kyc.IsText(s.Note) {
		return "", invalid("reason", "is missing, longer than 500 bytes, or no text")
	}
	s.Partner = r.kept(s.Partner)
	key := refKey(s.Source, s.ProviderRef, s.Livemode)
	err = r.o.Store.View(func(tx *store.Tx) error {
		if !tx.Bucket(store.Refs).Has(strandKey(key)) {
			return fmt.Errorf("ref %s of source %s: %w", s.ProviderRef, s.Source, outbox.ErrNotFound)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	u := s.update(r.o.Now().Round(0).UTC())
	u.Release, u.Note = true, s.Note
	u.ID = kyc.UpdateID(s.Source, []string{s.Partner, s.Subject, s.ProviderRef, u.ReceivedAt.Format(time.RFC3339Nano), "settle"}, u.Kind, "", "", "", 0, u.ReceivedAt)
	if err := r.append(ctx, u); err != nil {
		return "", fmt.Errorf("settle: %w", err)
	}
	return u.ID, r.awaitFold(ctx, &u)
}
