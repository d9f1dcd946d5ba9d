package manynodes

import "slices"

// What is here is a mistake in two forms: claims in a compacted topic of their own instead of the
// log, so that one offset of the log means one thing to an owner that has read a claim and another
// to one that has not.

const ambiguous = -1

// looseClaim is a record of that topic; its person may be ambiguous.
type looseClaim struct{ offset, ref, person int }

func (w *world) claimsApart() bool { return w.makes(refsTopic | refsTopicPerClaim) }

func (b *broker) addClaim(ref, person int) {
	b.claims = append(b.claims, looseClaim{b.claimsWritten, ref, person})
	b.claimsWritten++
}

// compactClaims keeps the last record of each key: the ref, or the ref and the person.
func (b *broker) compactClaims(byRef bool) {
	var kept []looseClaim
	for i, x := range b.claims {
		if !slices.ContainsFunc(b.claims[i+1:], func(y looseClaim) bool { return y.ref == x.ref && (byRef || y.person == x.person) }) {
			kept = append(kept, x)
		}
	}
	b.claims = kept
}

// readClaim takes the next claim of the topic into its ref; false: there is none.
func (w *world) readClaim(o *owner) bool {
	b, f := w.brokers[o.partition], o.file
	i := slices.IndexFunc(b.claims, func(x looseClaim) bool { return x.offset >= f.claims })
	if i < 0 {
		return false
	}
	x := b.claims[i]
	f.claims = x.offset + 1
	s := f.strands[x.ref].clone()
	if x.person == ambiguous {
		s.claims = []int{ambiguous, ambiguous}
		f.set(x.ref, s)
		return true
	}
	s, effects := w.fold(s, record{kind: claim, strand: x.ref, person: x.person}, s.upto-1, f.version, false)
	for _, e := range effects {
		w.produce(e)
	}
	f.set(x.ref, s)
	if len(s.claims) == 2 && s.claims[0] != ambiguous && w.makes(refsTopic) {
		w.produce(record{kind: claim, strand: x.ref, person: ambiguous})
	}
	return true
}
