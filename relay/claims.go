package relay

import (
	"bytes"
	"context"
	"encoding/json"
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

// What a ref leads to, beside the lane it stands for.
const (
	ambiguousRef  = "!"    // it is contested: it leads to nobody until an operator has settled whose it is
	submittedMark = "\x02" // before the lane: somebody registered it as that subject's, so it counts whichever kind of ref a callback carries it as
	claimedMark   = "\x04" // the same, and no callback has been applied to it yet
)

// readRef takes apart what a ref leads to. Who is nobody has no lane: nothing is known, or it is
// contested.
func readRef(value string) (lane string, submitted, served bool) {
	if value == ambiguousRef {
		return "", false, false
	}
	if lane, ok := strings.CutPrefix(value, claimedMark); ok {
		return lane, true, false
	}
	lane, submitted = strings.CutPrefix(value, submittedMark)
	return lane, submitted, lane != ""
}

// claim is one of several words about whose a ref is.
type claim struct {
	Lane       string    `json:"lane"`
	Update     string    `json:"update"` // the record that says so
	At         time.Time `json:"at"`     // when that was received; zero: it was the first, and nothing more is known of it
	Registered bool      `json:"registered,omitempty"`
}

// contest is a contested ref, in the unrouted bucket: it says why records wait there. Beside it
// stands a mark for each lane, so that whoever polls is told.
type contest struct {
	Source   string    `json:"source"`
	Ref      string    `json:"ref"`
	Livemode bool      `json:"livemode"`
	Since    time.Time `json:"since"`
	Claims   []claim   `json:"claims"`
}

// refusedMark stands for a claim that came to nothing, as long as it does.
func refusedMark(lane, ref string) []byte { return []byte("x\x00" + lane + "\x00" + ref) }

const maxClaims = 16 // that are kept of one ref

func contestKey(ref string) []byte { return append([]byte("c\x00"), ref...) }

func contestMark(lane, ref string) []byte { return []byte("l\x00" + lane + "\x00" + ref) }

// learn lets a ref lead to a lane, and sets free what waited for that.
func (b *batch) learn(u *kyc.Update, key, lane string) error {
	known := b.ref(key)
	owner, submitted, served := readRef(known)
	registers := u.Kind == kyc.Submission
	switch {
	case registers && u.Release:
		return b.settleRef(key, lane)
	case known == ambiguousRef:
		return b.contested(u, key, claim{Lane: lane, Update: u.ID, At: u.ReceivedAt, Registered: registers})
	case owner == "", owner == lane:
		submitted, served = submitted || registers, served || !registers
	case registers && served:
		b.refuse(u, key, lane)
		return nil
	case !registers && !served: // nobody has been told anything by that claim, and the provider knows whose it is
		b.refuse(u, key, owner)
		submitted, served = false, true
	default:
		b.unclear++
		b.r.o.Logger.Error("ref_ambiguous", "source", u.Source, "update", u.ID)
		b.setRef(key, ambiguousRef)
		return b.contested(u, key, claim{Lane: owner, Registered: submitted}, claim{Lane: lane, Update: u.ID, At: u.ReceivedAt, Registered: registers})
	}
	value := lane
	switch {
	case submitted && served:
		value = submittedMark + lane
	case submitted:
		value = claimedMark + lane
	}
	if value == known {
		return nil
	}
	b.setRef(key, value)
	if _, was, _ := readRef(known); owner == lane && was == submitted {
		return nil // it leads where it did
	}
	return b.wakeFor(key)
}

// refuse notes that a ref is not this lane's, although somebody has registered it so.
func (b *batch) refuse(u *kyc.Update, key, lane string) {
	b.submissions[refusedClaim]++
	b.r.o.Logger.Warn("ref_claim_refused", "source", u.Source, "update", u.ID)
	b.writeUnrouted(refusedMark(lane, key), store.NewRecord())
}

// setRef writes what a ref leads to, and counts the claims that are undecided.
func (b *batch) setRef(key, value string) {
	b.countClaim(b.ref(key), -1)
	b.countClaim(value, 1)
	b.refs[key] = value
	if value == "" {
		b.put(store.Refs, []byte(key), nil)
		return
	}
	b.put(store.Refs, []byte(key), store.NewRecord([]byte(value)))
}

func (b *batch) countClaim(value string, by int64) {
	if lane, ok := strings.CutPrefix(value, claimedMark); ok {
		partner, _, _ := splitLane(lane)
		b.counted[openClaims+partner] += by
	}
}

// wakeFor sets free what waits for a ref.
func (b *batch) wakeFor(key string) error {
	freed, err := b.unroutedBy(key)
	b.wake = append(b.wake, freed...)
	return err
}

// serves notes that a callback has been applied to a lane: claims of its refs are decided by that,
// whichever kind of ref they are.
func (b *batch) serves(u *kyc.Update, lane string) {
	for _, key := range b.allRefs(u) {
		if b.ref(key) == claimedMark+lane {
			b.setRef(key, submittedMark+lane)
		}
	}
}

// contested notes who else a ref is said to be of.
func (b *batch) contested(u *kyc.Update, key string, said ...claim) error {
	c, err := readContest(b.unroutedValue(contestKey(key)))
	if err != nil {
		return nil //nolint:nilerr // it is damaged, and stays: the ref leads to nobody all the same
	}
	if c == nil {
		c = &contest{Livemode: u.Livemode, Since: u.ReceivedAt}
		c.Source, c.Ref, _ = splitRef(key)
		b.counted[contestedRefs]++
	}
	before := len(c.Claims)
	for _, s := range said {
		if s.Lane == "" || c.names(s.Lane) || len(c.Claims) >= maxClaims {
			continue
		}
		c.Claims = append(c.Claims, s)
		if partner, _, _ := splitLane(s.Lane); s.Registered {
			b.counted[openClaims+partner]++
		}
		b.writeUnrouted(contestMark(s.Lane, key), store.NewRecord())
	}
	if len(c.Claims) == before {
		return nil
	}
	v, err := json.Marshal(c)
	if err == nil {
		b.writeUnrouted(contestKey(key), store.NewRecord(v))
	}
	return err
}

func (c *contest) names(lane string) bool {
	for i := range c.Claims {
		if c.Claims[i].Lane == lane {
			return true
		}
	}
	return false
}

// settleRef makes a ref lead to the lane that an operator named, for good, and applies what waited
// for it.
func (b *batch) settleRef(key, lane string) error {
	c, err := readContest(b.unroutedValue(contestKey(key)))
	if c != nil && err == nil {
		b.counted[contestedRefs]--
		for _, s := range c.Claims {
			if partner, _, _ := splitLane(s.Lane); s.Registered {
				b.counted[openClaims+partner]--
			}
			b.writeUnrouted(contestMark(s.Lane, key), nil)
		}
		b.writeUnrouted(contestKey(key), nil)
	}
	if mark := refusedMark(lane, key); b.unroutedHas(mark) {
		b.writeUnrouted(mark, nil)
	}
	b.setRef(key, submittedMark+lane)
	return b.wakeFor(key)
}

// unroutedValue is a record of the unrouted bucket as this batch sees it.
func (b *batch) unroutedValue(key []byte) ([]byte, error) {
	if record, ok := b.unroutedNow[string(key)]; ok {
		if record == nil {
			return nil, nil
		}
		return store.RecordBody(record), nil
	}
	return b.tx.Bucket(store.Unrouted).Get(key)
}

func (b *batch) unroutedHas(key []byte) bool {
	v, err := b.unroutedValue(key)
	return v != nil || err != nil
}

func readContest(body []byte, err error) (*contest, error) {
	if body == nil || err != nil {
		return nil, err
	}
	c := &contest{}
	return c, json.Unmarshal(body, c)
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
		c := tx.Bucket(store.Unrouted).Cursor()
		prefix, from := contestKey(""), contestKey(strings.Replace(after, "/", "\x00", 2))
		for k, v := c.Seek(from); bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if after != "" && bytes.Equal(k, from) {
				continue
			}
			if len(list) == n {
				more = true
				return nil
			}
			if found, err := readContest(v, nil); found != nil && err == nil { // a damaged one stays in the file
				list = append(list, found.view(r, string(k[len(prefix):])))
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
		held := tx.Bucket(store.Unrouted)
		list = append(marked(held, contestMark(lane, ""), contestedClaim), marked(held, refusedMark(lane, ""), refusedClaim)...)
		return nil
	})
	return list, err
}

// marked lists the refs that are marked for a lane.
func marked(held store.Bucket, prefix []byte, state string) (list []ContestedRef) {
	c := held.Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix) && len(list) < maxClaims; k, v = c.Next() {
		if v == nil {
			continue // damaged
		}
		key := string(k[len(prefix):])
		view := ContestedRef{ID: refID(key), State: state}
		view.Source, view.ProviderRef, view.Livemode = splitRef(key)
		body, err := held.Get(contestKey(key))
		if found, err := readContest(body, err); state == contestedClaim && found != nil && err == nil {
			view.Since = found.Since
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
		if !tx.Bucket(store.Refs).Has([]byte(key)) {
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
