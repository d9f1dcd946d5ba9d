package relay

import (
	"errors"
	"slices"
	"strings"

	"countersign/kyc"
	"countersign/outbox/store"
)

// route finds whose updates these are that one callback brought: by our own id if they carry one,
// else by what their refs were taught. Nobody is ever guessed.
func (b *batch) route(said []saying) error {
	if len(said) == 1 {
		if lane, verdict := b.owner(&said[0].u); verdict == "" { // as nearly always
			if err := b.overdue(lane, said); err != nil {
				return err
			}
			if err := b.apply(lane, said); err != nil {
				return err
			}
			return b.release()
		}
	}
	var lost []saying // nobody is known by their refs
	var lanes []string
	whose := map[string][]saying{}
	for i := range said {
		r := &said[i]
		lane, verdict := b.owner(&r.u)
		if verdict != "" {
			lost = append(lost, *r)
			continue
		}
		if whose[lane] == nil {
			lanes = append(lanes, lane)
		}
		whose[lane] = append(whose[lane], *r)
	}
	if len(lost) > 0 && len(lanes) == 1 { // the others may have taught their refs just now
		for i := range whose[lanes[0]] {
			if err := b.loop(b.teach(&whose[lanes[0]][i].u, lanes[0])); err != nil {
				return err
			}
		}
	}
	for i := range lost {
		r := &lost[i]
		lane, verdict := b.owner(&r.u)
		if verdict != "" {
			b.tallies[verdict]++
			b.decidedOn(r, verdict, 0)
			if err := b.keep(unroutedRecord{Record: *r.rec, Reason: verdict}, b.allRefs(&r.u)); err != nil {
				return err
			}
			continue
		}
		whose[lane] = append(whose[lane], *r)
	}
	for _, lane := range lanes {
		slices.SortStableFunc(whose[lane], func(x, y saying) int { return x.rec.Position.Compare(y.rec.Position) })
		if len(lanes) == 1 {
			if err := b.overdue(lane, whose[lane]); err != nil {
				return err
			}
		}
		if err := b.apply(lane, whose[lane]); err != nil {
			return err
		}
	}
	return b.release()
}

// overdue applies what has waited for the refs that a provider's words teach, before these words: it
// was received before them.
func (b *batch) overdue(lane string, said []saying) error {
	if b.r.unrouted.Load() == 0 && len(b.besideNow) == 0 || !providersSay(said) {
		return nil // nobody waits for anything, as nearly always
	}
	s, err := b.subject(lane)
	if errors.Is(err, ErrAside) {
		return nil
	}
	if err != nil {
		return err
	}
	for i := range said {
		if u := &said[i].u; !b.taught(u, lane) && !s.State.Knows(u.ID) {
			if err := b.loop(b.teach(u, lane)); err != nil {
				return err
			}
		}
	}
	if err := b.release(); err != nil || b.freed == 0 {
		return err
	}
	b.late = b.freed + 1
	return nil
}

// owner is the lane of the subject that an update is about, which it then says itself.
func (b *batch) owner(u *kyc.Update) (lane string, verdict kyc.Verdict) {
	if !kyc.IsText(u.Subject.ID) {
		return "", kyc.Unrouted // no such id was ever let in: its lane could be somebody else's
	}
	if u.Subject.ID == "" || u.Partner == "" {
		if lane, verdict = b.find(u); verdict != "" {
			return "", verdict
		}
		u.Partner, u.Subject.ID, u.Livemode = splitLane(lane)
	}
	return b.laneOf(u.Partner, u.Subject.ID, u.Livemode), ""
}

// find looks the update's refs up: those that its provider gives to one person only, then, for
// those registered by a submission, the others.
func (b *batch) find(u *kyc.Update) (lane string, verdict kyc.Verdict) {
	personal := b.refKeys(u)
	if lane, verdict = b.lookUp(personal, false); verdict == kyc.Unrouted {
		lane, verdict = b.lookUp(b.allRefs(u)[len(personal):], true)
	}
	if verdict != "" {
		return "", verdict
	}
	if partner, id, _ := splitLane(lane); u.Partner != "" && b.partner(u.Partner).kept != partner || u.Subject.ID != "" && u.Subject.ID != id {
		return "", kyc.Ambiguous // what it says itself and what its refs say differ
	}
	return lane, ""
}

func (b *batch) lookUp(keys []string, submittedOnly bool) (lane string, verdict kyc.Verdict) {
	for _, k := range keys {
		l := b.whose(k)
		switch {
		case !l.contested && l.lane == "", submittedOnly && !l.submitted:
		case l.contested, lane != "" && lane != l.lane:
			return "", kyc.Ambiguous
		default:
			lane = l.lane
		}
	}
	if lane == "" {
		return "", kyc.Unrouted
	}
	return lane, ""
}

// whose is whom a ref leads to, as this batch sees it.
func (b *batch) whose(key string) lead {
	if s := b.refs[key]; s != nil {
		return s.leads()
	}
	v, err := b.inFile(key)
	if v == nil && err == nil {
		return lead{}
	}
	if err != nil || b.read.decode(v) != nil {
		return lead{contested: true} // damaged: whose it was, nobody can say
	}
	return b.read.leads()
}

// strand is what is known of a ref, to be changed.
func (b *batch) strand(key string) *refStrand {
	if s := b.refs[key]; s != nil {
		return s
	}
	s := readStrand(b.inFile(key))
	return &s
}

func (b *batch) inFile(key string) ([]byte, error) {
	b.key = append(append(b.key[:0], strandPrefix...), key...)
	return b.get(store.Refs, b.key)
}

// saidToBe reports whether the provider has said that the ref of a strand's key is a lane's: then nothing is to be learnt
// of it.
func (b *batch) saidToBe(key []byte, lane string) bool {
	if s := b.refs[string(key[len(strandPrefix):])]; s != nil {
		return slices.ContainsFunc(s.claims, func(c claim) bool { return c.Lane == lane && !c.Registered })
	}
	v, err := b.get(store.Refs, key)
	return err == nil && wordIn(v, lane)
}

// refKeys are the update's refs that belong to one person.
func (b *batch) refKeys(u *kyc.Update) []string {
	return appendRefs(nil, u, b.r.o.PersonRefs[u.Provider])
}

// allRefs are refKeys and then the update's other refs.
func (b *batch) allRefs(u *kyc.Update) []string { return appendRefs(b.refKeys(u), u, refKinds) }

var refKinds = []RefKind{SubjectRef, SessionRef, ParentRef}

func appendRefs(keys []string, u *kyc.Update, kinds []RefKind) []string {
	for _, kind := range kinds {
		if ref := kind.of(u); ref != "" {
			if k := refKey(u.Source, ref, u.Livemode); !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// of is that ref of an update; "": it has none.
func (k RefKind) of(u *kyc.Update) string {
	switch k {
	case SubjectRef:
		return u.Subject.ProviderRef
	case SessionRef:
		return u.Verification.Ref
	case ParentRef:
		return u.Verification.ParentRef
	default:
		return ""
	}
}

// refKey names a ref per mode: test and live never share anything.
func refKey(source, ref string, livemode bool) string {
	if livemode {
		return source + "\x00l\x00" + ref
	}
	return source + "\x00t\x00" + ref
}

func appendRefKey(k []byte, source, ref string, livemode bool) []byte {
	mode := byte('t')
	if livemode {
		mode = 'l'
	}
	return append(append(append(k, source...), 0, mode, 0), ref...)
}

// teach is what a lane tells the refs of an update that is about it: that they are its own, where the
// provider has not said so before, or what an operator decided; and, as long as claims of the partner
// are undecided, that it has been served by them, of whichever kind they are. What it returns is used
// again by the next call.
func (b *batch) teach(u *kyc.Update, lane string) []effect {
	b.told = b.told[:0]
	c := claim{Lane: lane, Update: u.ID, At: u.ReceivedAt, Registered: u.Kind == kyc.Submission}
	if !b.taught(u, lane) {
		kind := refClaimed
		if c.Registered && u.Release {
			kind = refDecided
		}
		for _, ref := range b.teaches(u) {
			b.key = append(append(b.key[:0], strandPrefix...), ref...)
			if c.Registered || !b.saidToBe(b.key, lane) {
				b.told = append(b.told, effect{kind: kind, strand: ref, claim: c})
			}
		}
	}
	open := b.partner(u.Partner).claims
	if b.r.counts.of(open)+b.counted[open] > 0 && b.r.proves(u) {
		c.Registered, c.Served = true, true
		for _, ref := range b.allRefs(u) {
			b.told = append(b.told, effect{kind: refClaimed, strand: ref, claim: c})
		}
	}
	return b.told
}

// taught reports whether teaching would teach nothing, as of nearly every record. It allocates
// nothing.
func (b *batch) taught(u *kyc.Update, lane string) bool {
	if u.Kind == kyc.Submission || !b.r.proves(u) {
		return u.Kind != kyc.Submission
	}
	for _, kind := range b.r.o.PersonRefs[u.Provider] {
		if ref := kind.of(u); ref != "" {
			if b.key = appendRefKey(append(b.key[:0], strandPrefix...), u.Source, ref, u.Livemode); !b.saidToBe(b.key, lane) {
				return false
			}
		}
	}
	return true
}

// proves reports whether an update is a provider's word that is known to be its own. A network
// address proves too little.
func (r *Relay) proves(u *kyc.Update) bool {
	return u.Kind == kyc.Confirmation || u.Kind == kyc.Observation && u.Authenticity.AtLeast(kyc.Authenticated)
}

// teaches are the refs that an update teaches. A network address proves too little to teach
// anything, and our own timers and an operator's word know of no new ref.
func (b *batch) teaches(u *kyc.Update) []string {
	switch {
	case u.Kind == kyc.Submission:
		return []string{refKey(u.Source, u.Subject.ProviderRef, u.Livemode)}
	case !b.r.proves(u):
		return nil
	}
	return b.refKeys(u)
}

func isStatus(changeType string) bool { return strings.HasPrefix(changeType, "kyc.status.") }
