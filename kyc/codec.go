package kyc

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

// stateVersion is the first byte of an encoded state. A reader refuses what it does not know; it knows version 1, which had no lapses.
const (
	stateVersion       = 2
	oldestStateVersion = 1
)

var errState = errors.New("kyc: not the encoding of a state")

// words shortens what stands in every state. Its order is on disks: append only. A word that is not here is written out.
var words = [...]string{
	string(IdentityVerification), string(DocumentVerification), string(AddressVerification), string(TaxIDVerification), string(Screening), string(RiskAssessment),
	string(Liveness), string(BusinessVerification), string(Overall), string(CheckScope), string(DocumentScope), Individual, Company,
	string(SanctionsMatch), string(PEPMatch), string(AdverseMediaMatch), string(FraudSuspected), string(Underage), string(DuplicateAccount), string(UnsupportedCountry),
	string(LivenessFailed), string(DataMismatch), string(NameMismatch), string(DocumentExpired), string(DocumentTypeNotAccepted), string(DocumentMissing),
	string(DocumentUnreadable), string(AttemptsExceeded), string(HighRisk), string(CompanyStructure), string(ConsentDeclined), string(TechnicalFailure), string(OtherReason),
}

// slots lists the slots of a session in the order they are written, which is on disks too.
func (ss *session) slots() [9]**entry {
	return [9]**entry{&ss.verdict, &ss.arrival, &ss.terminal, &ss.reset, &ss.attempt, &ss.hit, &ss.claim, &ss.weakAttempt, &ss.weakHit}
}

// MarshalBinary is the state as bytes, the same for equal states.
func (s *State) MarshalBinary() ([]byte, error) { return s.AppendBinary(make([]byte, 0, 512)) }

// MarshalText is MarshalBinary in base64, so that a state can stand in JSON.
func (s *State) MarshalText() ([]byte, error) {
	b, err := s.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return base64.RawStdEncoding.AppendEncode(nil, b), nil
}

// UnmarshalText reads MarshalText.
func (s *State) UnmarshalText(text []byte) error {
	b, err := base64.RawStdEncoding.AppendDecode(nil, text)
	if err != nil {
		return errState
	}
	return s.UnmarshalBinary(b)
}

// AppendBinary appends MarshalBinary to b. It never fails.
func (s *State) AppendBinary(b []byte) ([]byte, error) {
	w := writer{b: append(b, stateVersion)}
	w.str(s.partner)
	w.str(s.subject)
	w.word(s.kind)
	w.uint(s.sequence)
	w.int(int64(s.policy))
	w.flags(s.livemode)
	w.count(len(s.checks))
	by := 0
	for i, c := range s.checks {
		w.check(c)
		if s.told.entry != nil && c.told.entry == s.told.entry {
			by = i + 1
		}
	}
	w.told(s.told, by)
	w.count(len(s.seen))
	for _, k := range s.seen {
		w.b = append(w.b, k.id[:]...)
		w.uint(uint64(k.day))
	}
	return w.b, nil
}

type writer struct{ b []byte }

func (w *writer) uint(n uint64) { w.b = binary.AppendUvarint(w.b, n) }
func (w *writer) int(n int64)   { w.b = binary.AppendVarint(w.b, n) }
func (w *writer) count(n int)   { w.uint(uint64(n)) } // #nosec G115 -- a length, a place or nanoseconds: never negative

func (w *writer) str(s string) {
	w.count(len(s))
	w.b = append(w.b, s...)
}

func (w *writer) word(s string) {
	at := slices.Index(words[:], s) + 1
	if w.count(at); at == 0 {
		w.str(s)
	}
}

// time writes zero as one byte, else nanoseconds first: most times have none.
func (w *writer) time(t time.Time) {
	if t.IsZero() {
		w.uint(0)
		return
	}
	w.count(t.Nanosecond() + 1)
	w.int(t.Unix())
}

func (w *writer) times(ts []time.Time) {
	w.count(len(ts))
	for _, t := range ts {
		w.time(t)
	}
}

func (w *writer) ids(ids []id) {
	w.count(len(ids))
	for _, i := range ids {
		w.b = append(w.b, i[:]...)
	}
}

func (w *writer) flags(set ...bool) {
	var n uint64
	for i, is := range set {
		if is {
			n |= 1 << i
		}
	}
	w.uint(n)
}

// told writes a reference for the entry, which stands elsewhere.
func (w *writer) told(t told, ref int) {
	w.count(ref)
	w.uint(uint64(t.rank))
	w.time(t.period.from)
	w.time(t.period.until)
}

// check writes entries where they first stand; told refers to one by its place among them.
func (w *writer) check(c *check) {
	w.str(c.key.source)
	w.word(string(c.key.check))
	w.word(string(c.key.scope))
	w.str(c.key.part)
	w.str(c.provider)
	w.ids(c.released)
	w.times(c.passed)
	w.times(c.noticed)
	written := make([]*entry, 0, 8)
	w.entryOnce(c.decision, &written)
	w.count(len(c.sessions))
	for _, ss := range c.sessions {
		w.session(ss, &written)
	}
	w.told(c.told, slices.Index(written, c.told.entry)+1)
}

func (w *writer) session(ss *session, written *[]*entry) {
	w.str(ss.key)
	slots := ss.slots()
	var set [len(slots)]bool
	for i, e := range slots {
		set[i] = *e != nil
	}
	times := [...]time.Time{ss.first, ss.arrived, ss.weakFirst, ss.weakArrived, ss.answered, ss.lapsed}
	var timed [len(times)]bool
	for i, t := range times {
		timed[i] = !t.IsZero()
	}
	w.flags(set[:]...)
	w.flags(timed[:]...)
	for _, e := range slots {
		if *e != nil {
			w.entryOnce(*e, written)
		}
	}
	for _, t := range times {
		if !t.IsZero() {
			w.time(t)
		}
	}
	w.ids(ss.hits)
	w.count(len(ss.trail))
	for _, s := range ss.trail {
		w.time(s.at)
		w.time(s.expires)
		w.int(s.revision)
		w.uint(uint64(s.rank))
	}
}

// entryOnce writes 0 for none, the place of an entry that was written before, or the next place and the entry.
func (w *writer) entryOnce(e *entry, written *[]*entry) {
	if e == nil {
		w.uint(0)
		return
	}
	at := slices.Index(*written, e)
	if at >= 0 {
		w.count(at + 1)
		return
	}
	*written = append(*written, e)
	w.count(len(*written))
	w.entry(e)
}

func (w *writer) entry(e *entry) {
	w.b = append(w.b, e.id[:]...)
	w.uint(uint64(e.rank))
	w.flags(e.weak, e.claimedApproved, e.retryable, e.terminal, len(e.reasons) > 0, e.document != Document{}, !e.received.IsZero(), e.revision != 0, !e.expires.IsZero())
	w.time(e.at)
	w.str(e.ref)
	if len(e.reasons) > 0 {
		w.count(len(e.reasons))
		for _, r := range e.reasons {
			w.word(string(r.Code))
			w.str(r.ProviderCode)
		}
	}
	if (e.document != Document{}) {
		w.str(e.document.ID)
		w.str(e.document.Type)
		w.str(e.document.Subtype)
	}
	if !e.received.IsZero() {
		w.time(e.received)
	}
	if e.revision != 0 {
		w.int(e.revision)
	}
	if !e.expires.IsZero() {
		w.time(e.expires)
	}
}
