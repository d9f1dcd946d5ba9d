package kyc

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
)

// stateVersion is the first byte of an encoded state. A reader refuses what it does not know.
const stateVersion = 4

var errState = errors.New("kyc: not the encoding of a state")

// maxSaid bounds the strings that are written once.
const maxSaid = 64

// terms shortens what stands in every state. Its order is on disks: append only. A word that is not
// here is written out.
var terms = [...]string{
	string(IdentityVerification), string(DocumentVerification), string(AddressVerification), string(TaxIDVerification), string(Screening), string(RiskAssessment),
	string(Liveness), string(BusinessVerification), string(Overall), string(CheckScope), string(DocumentScope), Individual, Company,
	string(SanctionsMatch), string(PEPMatch), string(AdverseMediaMatch), string(FraudSuspected), string(Underage), string(DuplicateAccount), string(UnsupportedCountry),
	string(LivenessFailed), string(DataMismatch), string(NameMismatch), string(DocumentExpired), string(DocumentTypeNotAccepted), string(DocumentMissing),
	string(DocumentUnreadable), string(AttemptsExceeded), string(HighRisk), string(CompanyStructure), string(ConsentDeclined), string(TechnicalFailure), string(OtherReason),
	string(NotStarted), string(Pending), string(InReview), string(Approved), string(Rejected), string(Expired), string(Suspended),
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
	w := writer{b: append(b, stateVersion), last: s.last, n: s.n, said: append(make([]string, 0, 8), "")}
	w.str(s.partner)
	w.str(s.subject)
	w.term(s.kind)
	w.flags(s.livemode, s.submitted)
	w.uint(s.sequence)
	w.int(int64(s.policy))
	w.count(s.n)
	w.int(int64(s.last))
	w.uint(uint64(s.beyond))
	w.count(len(s.noticed))
	for _, end := range s.noticed {
		w.moment(end)
	}
	w.count(len(s.sources))
	for i := range s.sources {
		w.source(&s.sources[i])
	}
	w.count(len(s.checks))
	for i := range s.checks {
		w.check(&s.checks[i])
	}
	w.status(s)
	w.count(len(s.runs))
	for i := range s.runs {
		r := &s.runs[i]
		w.count(r.source)
		w.session(r.name)
		if w.flags(r.old, r.begun.n > 0, r.late.n > 0); r.begun.n > 0 {
			w.bare(&r.begun)
		}
		if r.late.n > 0 {
			w.bare(&r.late)
		}
	}
	w.count(len(s.words))
	for i := range s.words {
		w.word(&s.words[i])
	}
	w.count(len(s.lifts))
	for i := range s.lifts {
		w.bare(&s.lifts[i])
		w.session(s.lifts[i].session)
		w.id(s.lifts[i].id)
	}
	w.count(len(s.lost))
	for i := range s.lost {
		l := &s.lost[i]
		w.count(l.check)
		w.session(l.session)
		w.flags(l.late)
		w.moment(l.start)
		w.moment(l.end)
	}
	w.count(len(s.seen))
	for _, k := range s.seen {
		w.id(k.id)
		w.uint(uint64(k.day))
	}
	return w.b, nil
}

type writer struct {
	b    []byte
	last moment   // moments are written as distances from it
	n    int      // and places as distances from this
	said []string // names and codes so far: what is said again is written as its place
}

func (w *writer) uint(n uint64) { w.b = binary.AppendUvarint(w.b, n) }
func (w *writer) int(n int64)   { w.b = binary.AppendVarint(w.b, n) }
func (w *writer) count(n int)   { w.uint(uint64(n)) } // #nosec G115 -- a length or a place: never negative
func (w *writer) id(i id)       { w.b = append(w.b, i[:]...) }

func (w *writer) str(s string) {
	w.count(len(s))
	w.b = append(w.b, s...)
}

// again writes a string that may stand in a state often: its place among those before, from 1, or 0
// and the string.
func (w *writer) again(s string) {
	at := slices.Index(w.said, s) + 1
	if w.count(at); at > 0 {
		return
	}
	if w.str(s); len(w.said) < maxSaid {
		w.said = append(w.said, s)
	}
}

func (w *writer) term(s string) {
	at := slices.Index(terms[:], s) + 1
	if w.count(at); at == 0 {
		w.str(s)
	}
}

// moment writes none as one byte, else the distance, in milliseconds where nothing is finer.
func (w *writer) moment(m moment) {
	const ms = 1e6
	switch {
	case m == 0:
		w.uint(0)
	case m%ms == 0:
		w.uint(1)
		w.int(int64(w.last/ms - m/ms))
	default:
		w.uint(2)
		w.int(int64(w.last - m))
	}
}

// skewed stands where a moment begins: it says that a skew and an instant of receipt come before it.
const skewed = 3

// session writes none and gone as one byte.
func (w *writer) session(s session) {
	if s <= gone {
		w.b = append(w.b, byte(s))
		return
	}
	w.b = binary.BigEndian.AppendUint64(append(w.b, 2), uint64(s))
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

func (w *writer) source(s *source) {
	w.str(s.name)
	w.str(s.provider)
	if w.flags(s.forgotten != nil); s.forgotten != nil {
		w.b = append(w.b, s.forgotten[:]...)
	}
}

func (w *writer) check(c *check) {
	w.term(string(c.typ))
	w.term(string(c.scope))
	w.again(c.part)
	w.count(c.source)
	w.flags(c.spoke, c.owed)
	w.told(&c.told)
}

// status writes what was told of the status: mostly what was told of the check that decides it.
func (w *writer) status(s *State) {
	t := &s.told
	as := t.check > 0 && t.equal(&s.checks[t.check-1].told)
	w.flags(as)
	w.uint(uint64(t.was))
	if w.count(t.check); !as {
		w.told(t)
	}
}

func (t *told) equal(o *told) bool {
	return t.same(o) && t.until == o.until && t.from == o.from && t.occurred == o.occurred && t.by == o.by && t.try == o.try && t.name == o.name && t.document == o.document &&
		t.retryable == o.retryable && t.terminal == o.terminal && t.unconfirmed == o.unconfirmed && t.claimed == o.claimed && slices.Equal(t.reasons, o.reasons)
}

func (w *writer) told(t *told) {
	w.uint(uint64(t.rank))
	w.flags(t.occurred != 0, t.retryable, t.terminal, t.unconfirmed, t.claimed != "", t.document != Document{}, len(t.reasons) > 0, t.rank.dated(), t.try != 0)
	if t.occurred == 0 {
		return
	}
	w.moment(t.occurred)
	w.id(t.by)
	w.again(t.name)
	if t.rank.dated() {
		w.moment(t.from)
		w.moment(t.until)
	}
	if t.try != 0 {
		w.session(t.try)
	}
	if t.claimed != "" {
		w.term(string(t.claimed))
	}
	w.shown(t.reasons, t.document)
}

func (w *writer) shown(reasons []ReasonPair, d Document) {
	if len(reasons) > 0 {
		w.count(len(reasons))
		for _, r := range reasons {
			w.term(string(r.Code))
			w.again(r.ProviderCode)
		}
	}
	if d != (Document{}) {
		w.again(d.ID)
		w.again(d.Type)
		w.again(d.Subtype)
	}
}

// bare writes what orders a word. In the place of its time stands first, where it has one, its skew.
func (w *writer) bare(x *word) {
	w.count(w.n - x.n)
	w.count(x.check)
	if x.skew != 0 {
		w.uint(skewed)
		w.uint(uint64(x.skew)) // #nosec G115 -- never negative
		w.moment(x.received)
	}
	w.moment(x.at)
	if x.at == 0 && x.skew == 0 {
		w.moment(x.received)
		w.moment(x.taken)
	}
	w.int(x.revision)
}

func (w *writer) word(x *word) {
	w.uint(uint64(x.rank))
	w.flags(x.weak, x.operator, x.dated, x.submission, x.retryable, x.terminal, len(x.reasons) > 0, x.document != Document{}, x.expires != 0, x.since != 0, x.try != 0)
	w.bare(x)
	w.session(x.session)
	if x.weak {
		w.session(x.ref)
		w.uint(uint64(x.claimed))
		w.moment(x.received)
	}
	w.uint(uint64(x.gravity))
	if x.expires != 0 {
		w.moment(x.expires)
	}
	if x.since != 0 {
		w.moment(x.since)
	}
	if x.try != 0 {
		w.session(x.try)
	}
	w.id(x.id)
	w.again(x.name)
	w.shown(x.reasons, x.document)
}
