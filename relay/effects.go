package relay

import (
	"slices"
	"strconv"
	"time"

	"countersign/kyc"
)

// What strands tell each other. A record is folded at one strand, a ref's or a person's. What it
// means for another is an effect: a value that the fold returns, and that the other strand takes. In
// the fold nothing else changes a ref's strand, and by nothing else comes to a person what waited
// behind a ref. On one node every strand is in the batch's reach, so effects are taken at once: what
// refs are told by loop, what persons are told by release.

type effectKind int

const (
	refClaimed   effectKind = iota // to a ref: a lane claims it, or (Served) has been served by it
	refDecided                     // to a ref: it is a lane's, an operator says, whoever has claimed it
	refForgotten                   // to a ref: what made it a lane's was taken back
	updateRouted                   // to a person: an update that waited behind a ref
)

// effect is what one strand tells another because of one record.
type effect struct {
	kind   effectKind
	strand string          // whom it is for: a ref's refKey, or a person's lane
	claim  claim           // to a ref: whose it is said to be, and by which record
	ref    string          // to a person: the refKey of the ref that says it is theirs
	held   *unroutedRecord // to a person: what waited, with its place in the log
	update *kyc.Update     // to a person: what that says; whose it is has been filled in when it is taken
}

// id is the same however often the record is folded (I4). Of a claim it is the same whichever record
// makes it: what is said again changes nothing.
func (e *effect) id() string {
	digest := func(kind kyc.Kind, of ...string) string {
		return kyc.UpdateID("", append([]string{e.strand, e.claim.Lane}, of...), kind, "", "", "", 0, time.Time{})
	}
	switch e.kind {
	case refClaimed:
		return digest("kyc.ref.claimed", strconv.FormatBool(e.claim.Registered), strconv.FormatBool(e.claim.Served))
	case refForgotten:
		return digest("kyc.ref.forgotten", e.claim.Update)
	case refDecided:
		return e.claim.Update
	default:
		return e.update.ID
	}
}

// loop has refs take what they are told, in that order. What they tell persons because of it waits for
// the next release.
func (b *batch) loop(es []effect) error {
	for i := range es {
		routed, err := b.take(&es[i])
		if err != nil {
			return err
		}
		b.routed = append(b.routed, routed...)
	}
	return nil
}

// take has a ref take what it is told, and returns what it tells persons because of that.
func (b *batch) take(e *effect) ([]effect, error) {
	switch {
	case e.kind == refDecided:
		return b.decide(e)
	case e.kind == refForgotten:
		b.unlearn(e)
	case e.claim.Served:
		b.serve(e)
	default:
		return b.learn(e)
	}
	return nil, nil
}

// release has persons take what refs have told them since the last one, in order of arrival; each
// may set free more.
func (b *batch) release() error {
	for len(b.routed) > 0 {
		es := b.routed
		b.routed = nil
		byArrival(es)
		for len(es) > 0 {
			n := 1
			for id := es[0].update.Callback.ID; id != "" && n < len(es) && es[n].update.Callback.ID == id; n++ {
			}
			if err := b.receive(b.free(es[:n])); err != nil {
				return err
			}
			es = es[n:]
		}
	}
	return nil
}

func byArrival(es []effect) {
	slices.SortStableFunc(es, func(x, y effect) int { return x.held.Position.Compare(y.held.Position) })
}

// receive has persons take updates that one callback brought: each of them all that is about them
// at once (I12).
func (b *batch) receive(es []effect) error {
	whose := map[string][]saying{}
	var lanes []string
	for i := range es {
		e := &es[i]
		if whose[e.strand] == nil {
			lanes = append(lanes, e.strand)
		}
		whose[e.strand] = append(whose[e.strand], saying{&e.held.Record, *e.update})
	}
	for _, lane := range lanes {
		if err := b.applyFreed(lane, whose[lane]); err != nil {
			return err
		}
	}
	return nil
}
