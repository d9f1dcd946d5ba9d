package relay

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/outbox/store"
)

// The refs bucket is by ref: behind each kind of key stands which ref it is about.
//
//	r ref            its strand: who claims it, what an operator decided
//	h ref, position  a record that waits, whole, behind the first ref that it has; nothing, behind its others
//	p position       behind which ref it stands: what waits, in the order of its arrival
//	c ref            nothing: it is contested
//	l lane, ref      nothing: it is contested, and that is one of those who claim it
//	n lane, ref      nothing: it is not that lane's, although somebody has registered it so
//	d position       a record that was discarded
//	g position       to whom an operator gave a record
const strandPrefix = "r\x00" // the last of them: what is about the strands themselves goes by that

func strandKey(ref string) []byte { return []byte(strandPrefix + ref) }

// refStrand is what is known of one ref, but for what waits there: who is said to have it, in the
// order in which that was said, and what an operator decided. Only records about that ref change
// it. A claim is added, once for each person and whether somebody registered it, and never takes
// another's place: whom the ref leads to follows from all of them (leads). So a claim that comes
// again, however late, changes nothing.
type refStrand struct {
	claims  []claim
	decided string    // the lane that an operator named; "": none
	seen    int       // how many claims there were when that was decided: only later ones count beside it
	partial bool      // not every claim is here, for there were too many or the disk lost them: it leads to nobody until an operator has decided
	since   time.Time // when it became contested, if it is
	upto    int64     // offset of the last record that has changed it
}

// claim is one of several words about whose a ref is.
type claim struct {
	Lane       string    `json:"lane"`
	Update     string    `json:"update"` // the record that says so
	At         time.Time `json:"at"`     // when that was received
	Registered bool      `json:"registered,omitempty"`
	Served     bool      `json:"-"` // of one that was registered: a callback has been applied by it
}

// maxClaims is how many claims are kept of one ref. One that finds no place and would have made the
// ref contested does so until an operator has decided, and again when it is said again. One that
// would have come to nothing does: else whoever registers a ref often enough could freeze the
// person whom it serves.
const maxClaims = 16

// lead is what the claims of a ref come to.
type lead struct {
	lane      string // whom it leads to; "": nobody
	submitted bool   // somebody registered it as that subject's, so it counts whichever kind of ref a callback carries it as
	served    bool   // a callback has been applied by it, or the provider or an operator has said so
	contested bool   // several have it, or may: it leads to nobody until an operator has decided
}

// fate is what becomes of one more claim.
type fate int

const (
	joins    fate = iota // it leads to nobody else
	refused              // it has served somebody else, so that nobody can freeze them by registering their ref
	replaces             // nobody has been told anything by the other's, and the provider knows whose it is
	contests             // from here on nobody can tell
)

func (l *lead) fate(c *claim) fate {
	switch {
	case l.contested:
		return contests
	case l.lane == "", l.lane == c.Lane:
		return joins
	case c.Registered && l.served:
		return refused
	case !c.Registered && !l.served:
		return replaces
	default:
		return contests
	}
}

// leads is whom the ref leads to: a function of the claims and the decision, and of nothing else.
func (s *refStrand) leads() lead {
	l, at := s.play()
	if s.partial || at < len(s.claims) {
		return lead{contested: true}
	}
	return l
}

// play is what the claims come to up to the one that makes the ref contested, and which that is.
func (s *refStrand) play() (l lead, at int) {
	if s.decided != "" {
		l = lead{lane: s.decided, submitted: true, served: true}
	}
	for at = s.seen; at < len(s.claims); at++ {
		c := &s.claims[at]
		switch l.fate(c) {
		case joins:
			l.lane, l.submitted, l.served = c.Lane, l.submitted || c.Registered, l.served || c.Served || !c.Registered
		case refused:
		case replaces:
			l = lead{lane: c.Lane, served: true}
		case contests:
			return l, at
		}
	}
	return l, at
}

// contenders are those whom a contested ref may be of, each once; nobody: it is not contested.
func (s *refStrand) contenders() (list []claim) {
	l, at := s.play()
	switch {
	case at < len(s.claims):
	case s.partial:
		l, at = lead{lane: s.decided, submitted: s.decided != ""}, s.seen
	default:
		return nil
	}
	add := func(c claim) {
		if c.Lane != "" && !isGone(c.Lane) && !claimedBy(list, c.Lane) {
			list = append(list, c)
		}
	}
	first := claim{Lane: l.lane, Registered: l.submitted}
	if i := slices.IndexFunc(s.claims, func(c claim) bool { return c.Lane == l.lane }); i >= 0 {
		first.Update, first.At = s.claims[i].Update, s.claims[i].At
	}
	add(first)
	for _, c := range s.claims[at:] {
		add(c)
	}
	return list
}

func claimedBy(list []claim, lane string) bool {
	return slices.ContainsFunc(list, func(c claim) bool { return c.Lane == lane })
}

// names reports whether a lane claims the ref, or has been given it.
func (s *refStrand) names(lane string) bool { return s.decided == lane || claimedBy(s.claims, lane) }

// add adds a claim, and reports whether that has changed anything.
func (s *refStrand) add(c claim) bool {
	if slices.ContainsFunc(s.claims, func(is claim) bool { return is.Lane == c.Lane && is.Registered == c.Registered }) {
		return false
	}
	if len(s.claims) < maxClaims {
		s.claims = append(s.claims, c)
		return true
	}
	l := s.leads()
	if s.partial || l.fate(&c) != contests {
		return false
	}
	s.partial = true
	return true
}

// serve notes that a callback has been applied by the registration that the ref leads by.
func (s *refStrand) serve(lane string) {
	for i := range s.claims[s.seen:] {
		if c := &s.claims[s.seen+i]; c.Registered && c.Lane == lane {
			c.Served = true
		}
	}
}

// decide makes it the lane's, whoever has claimed it so far.
func (s *refStrand) decide(lane string) {
	s.decided, s.seen, s.partial, s.since = lane, len(s.claims), false, time.Time{}
}

// gonePrefix begins what stands in place of a lane that was erased: who it was is forgotten, and
// that there was somebody is not, for what their claim did to others' stays. No lane begins so.
const gonePrefix = "\x05"

func isGone(lane string) bool { return strings.HasPrefix(lane, gonePrefix) }

// forget takes a name out.
func (s *refStrand) forget(lane string) {
	gone := gonePrefix + strconv.Itoa(slices.IndexFunc(s.claims, func(c claim) bool { return c.Lane == lane }))
	for i := range s.claims {
		if c := &s.claims[i]; c.Lane == lane {
			*c = claim{Lane: gone, Registered: c.Registered, Served: c.Served}
		}
	}
	if s.decided == lane {
		s.decided = gone
	}
}

// count adds to the numbers of partners their registrations that nobody has decided yet.
func (s *refStrand) count(n map[string]int64, by int64) {
	add := func(lane string) {
		partner, _, _ := splitLane(lane)
		n[openClaims+partner] += by
	}
	l := s.leads()
	if l.submitted && !l.served {
		add(l.lane)
	}
	if !l.contested {
		return
	}
	for _, c := range s.contenders() {
		if c.Registered {
			add(c.Lane)
		}
	}
}

// empty reports whether nothing is known of the ref.
func (s *refStrand) empty() bool { return len(s.claims) == 0 && s.decided == "" && !s.partial }

// A strand on disk: flags; who was decided and upon how many claims, and since when it is contested,
// where that is; the record that changed it last; then the claims. Equal strands give equal bytes.
const (
	strandVersion = 2

	strandDecided   = 1
	strandPartial   = 2
	strandContested = 4

	claimRegistered = 1
	claimServed     = 2

	strandRoom = 96 // what most take, beside their lane, in bytes
)

// appendTo appends the strand, as decode reads it.
func (s *refStrand) appendTo(b []byte) []byte {
	flags := byte(0)
	if s.decided != "" {
		flags |= strandDecided
	}
	if s.partial {
		flags |= strandPartial
	}
	if !s.since.IsZero() {
		flags |= strandContested
	}
	b = append(b, strandVersion, flags)
	if s.decided != "" {
		b = binary.AppendUvarint(appendText(b, s.decided), uint64(s.seen)) //nolint:gosec // a length
	}
	if !s.since.IsZero() {
		b = binary.AppendVarint(b, s.since.UnixNano())
	}
	b = binary.AppendVarint(b, s.upto)
	b = binary.AppendUvarint(b, uint64(len(s.claims)))
	for i := range s.claims {
		c := &s.claims[i]
		flags = 0
		if c.Registered {
			flags |= claimRegistered
		}
		if c.Served {
			flags |= claimServed
		}
		b = appendText(appendText(append(b, flags), c.Lane), c.Update)
		at := int64(0)
		if !c.At.IsZero() {
			at = c.At.UnixNano()
		}
		b = binary.AppendVarint(b, at)
	}
	return b
}

// decode undoes appendTo. It uses the room of the claims again.
func (s *refStrand) decode(b []byte) error {
	r, all := unpacker{b: b}, string(b)
	version, flags := r.flag(), r.flag()
	*s = refStrand{claims: s.claims[:0], partial: flags&strandPartial != 0}
	if version != strandVersion || flags&^(strandDecided|strandPartial|strandContested) != 0 {
		return store.ErrBadRecord
	}
	if flags&strandDecided != 0 {
		s.decided, s.seen = r.cut(all), int(r.number()) //nolint:gosec // a length, or it is refused below
	}
	if flags&strandContested != 0 {
		s.since = nanoTime(r.signed())
	}
	s.upto = r.signed()
	for range r.count() {
		flags = r.flag()
		s.claims = append(s.claims, claim{r.cut(all), r.cut(all), nanoTime(r.signed()), flags&claimRegistered != 0, flags&claimServed != 0})
	}
	if r.bad || len(r.b) > 0 || s.seen < 0 || s.seen > len(s.claims) {
		return store.ErrBadRecord
	}
	return nil
}

// nanoTime is a time by its nanoseconds; 0 is none.
func nanoTime(nano int64) time.Time {
	if nano == 0 {
		return time.Time{}
	}
	return time.Unix(0, nano).UTC()
}

// cut is text out of a copy of all that is read: one copy for all of them.
func (r *unpacker) cut(all string) string {
	n := len(r.part())
	end := len(all) - len(r.b)
	return all[end-n : end]
}

// wordIn reports whether a strand on disk has the provider's word that the ref is a lane's: one
// more then changes nothing. It allocates nothing.
func wordIn(b []byte, lane string) bool {
	r := unpacker{b: b}
	if version, flags := r.flag(), r.flag(); version != strandVersion {
		return false
	} else if flags&(strandDecided|strandContested) != 0 {
		if flags&strandDecided != 0 {
			r.part()
			r.number()
		}
		if flags&strandContested != 0 {
			r.signed()
		}
	}
	r.signed()
	for range r.count() {
		flags, who := r.flag(), r.part()
		r.part()
		r.signed()
		if flags&claimRegistered == 0 && string(who) == lane {
			return !r.bad
		}
	}
	return false
}

// readStrand is a strand as it stands in the file: of what is damaged nobody can say what was
// claimed.
func readStrand(v []byte, err error) (s refStrand) {
	if err != nil || v != nil && s.decode(v) != nil {
		return refStrand{partial: true}
	}
	return s
}
