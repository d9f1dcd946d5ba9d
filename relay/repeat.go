package relay

import (
	"slices"
	"time"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/registry"
)

// What a replay repeats is found person by person: all of one person's that it takes comes in one
// step, in the order of the changes, and ends with the newest that the endpoint is to know. So
// nobody is left with an older last word than they had, and wherever a replay is cut off, whoever
// has been done is done.

// The kinds of replays.
const (
	ReplayDead    = "dead_lettered" // what is dead at Endpoint
	ReplayRange   = "range"         // what Endpoint was told from Since until Until, and what of the same persons followed
	ReplayCurrent = "current"       // where each person of the endpoint's partner stands, to those it was not told of
)

// Why a replay passes something over.
const (
	SkippedOvertaken = "overtaken"  // the endpoint has accepted a later change since, and nobody forces it
	SkippedNotKept   = "not_kept"   // its change is not kept any more, so it cannot be rendered
	SkippedNotWanted = "not_wanted" // the endpoint's events, filter or format leave it out
	SkippedTold      = "told"       // it was told already, or is owed
	SkippedAside     = "set_aside"  // something of the person is damaged
	SkippedDamaged   = "damaged"    // what is kept of it is damaged
	SkippedNobody    = "no_person"  // an operational webhook: it is redelivered one by one
	SkippedTooLong   = "too_long"   // more is kept of the person than a replay looks through
	SkippedCancelled = "cancelled"  // an operator has cancelled it at this endpoint
)

// maxRepeated is how many of what is kept of one person a replay looks through.
const maxRepeated = 20_000

// Repeat says what to repeat.
type Repeat struct {
	ID       string // of the replay
	Kind     string
	Endpoint string // whose; of ReplayCurrent the same as To
	To       string // who is told: the same endpoint, or another of its partner
	Since    time.Time
	Until    time.Time
	Before   time.Time // dead ones that died later are not meant
	Force    bool      // dead ones also if a later change has been accepted since
	Actor    string
}

// Step is a part of a replay.
type Step struct {
	Orders  []kyc.Update     // what to order, for whole persons; Orders[i].Partner is the id shown
	Cursor  []byte           // where the next step begins; nil: there is no more
	Persons int64            // of whom something is ordered
	Skipped map[string]int64 // deliveries passed over, by why

	epoch int64 // see Fresh
}

func (s *Step) skip(why string, n int) {
	if n > 0 {
		s.Skipped[why] += int64(n)
	}
}

// Repeats works out a step: from the cursor on, about n deliveries, and looks at most at a bounded
// part of the file.
func (r *Relay) Repeats(p *Repeat, cursor []byte, n int) (s Step, err error) {
	s = Step{Skipped: map[string]int64{}, epoch: r.erased.epoch.Load()}
	to := r.o.Registry.Read().Endpoint(p.To)
	if to == nil {
		return s, outbox.ErrNotFound
	}
	err = r.o.Store.View(func(tx *store.Tx) error {
		w := &repeater{r: r, p: p, to: to, tx: tx, step: &s, n: n, from: r.names(p.Endpoint), names: r.names(p.To), same: p.Endpoint == p.To}
		switch p.Kind {
		case ReplayDead:
			w.dead(string(cursor))
		case ReplayRange:
			w.span(cursor)
		default:
			w.current(cursor)
		}
		return nil
	})
	return s, err
}

// lookedAtOnce bounds what one step looks at, where little of it is to be repeated.
const lookedAtOnce = 5000

// repeater works out one step.
type repeater struct {
	r     *Relay
	p     *Repeat
	to    *registry.Endpoint
	tx    *store.Tx
	step  *Step
	n     int
	from  []string // the ids that Endpoint has or had
	names []string // and To
	same  bool     // they are one
}

func (w *repeater) full(looked int) bool { return len(w.step.Orders) >= w.n || looked >= lookedAtOnce }

// dead goes through the dead deliveries of the endpoint that follow a lane.
func (w *repeater) dead(after string) {
	var of []outbox.DeadDelivery
	lane, looked, cut := after, 0, false
	damaged := outbox.EachDead(w.tx, w.p.Endpoint, after, func(d outbox.DeadDelivery) bool {
		if d.Subject != lane {
			w.deadOf(lane, of)
			if cut = w.full(looked); cut {
				return false
			}
			lane, of = d.Subject, nil
		}
		looked++
		of = append(of, d)
		return true
	})
	w.step.skip(SkippedDamaged, damaged)
	if cut {
		w.step.Cursor = []byte(lane)
		return
	}
	w.deadOf(lane, of)
}

// deadOf orders what is dead of one person.
func (w *repeater) deadOf(lane string, of []outbox.DeadDelivery) {
	var deliveries []repetition
	for i := range of {
		d := &of[i]
		switch partner, _, _ := splitLane(lane); {
		case !w.p.Before.IsZero() && !d.At.Before(w.p.Before):
		case d.Reason == outbox.Damaged:
			w.step.skip(SkippedDamaged, 1)
		case partner == "":
			w.step.skip(SkippedNobody, 1)
		case !w.p.Force && overtaken(w.tx, lane, d.Sequence, w.names):
			w.step.skip(SkippedOvertaken, 1)
		case w.same && !d.HasBody && !w.kept(lane, d.Sequence, d.Received):
			w.step.skip(SkippedNotKept, 1)
		default:
			deliveries = append(deliveries, repetition{seq: d.Sequence, id: d.ID, at: d.Received, asItIs: w.same})
		}
	}
	w.order(lane, deliveries)
}

func (w *repeater) kept(lane string, seq uint64, at time.Time) bool {
	_, ok := changeOf(w.tx, lane, seq, at)
	return ok
}

// repetition is one delivery that is to be repeated.
type repetition struct {
	seq      uint64
	id       string // of the delivery; "": found from its change
	at       time.Time
	previous uint64
	asItIs   bool // it is dead, and owed again just as it is
}

// order orders deliveries of one person, in the order of their changes. Where the last of them
// cannot be rendered none is: an older one would be the last word.
func (w *repeater) order(lane string, ds []repetition) {
	if len(ds) == 0 {
		return
	}
	if w.r.aside.has(lane) {
		w.step.skip(SkippedAside, len(ds))
		return
	}
	slices.SortFunc(ds, func(a, b repetition) int { return int(int64(a.seq) - int64(b.seq)) }) //nolint:gosec // far below 2⁶³
	var orders []kyc.Update
	told := w.told(lane)
	trusts := false
	for i := range ds {
		d := &ds[i]
		if d.asItIs {
			webhookID, _, _ := outbox.SplitID(d.id)
			orders = append(orders, w.update(lane, webhookID, kyc.Replay{}))
			continue
		}
		if w.r.cancelled(w.tx, spot{lane, d.seq, d.at}, w.to.ID) {
			w.step.skip(SkippedCancelled, 1)
			continue
		}
		c, ok := changeOf(w.tx, lane, d.seq, d.at)
		last := i == len(ds)-1
		switch why := w.unfit(&c, ok, d.at, trusts); {
		case why == "":
		case why == SkippedNotKept && last:
			w.step.skip(SkippedNotKept, len(ds))
			return
		default:
			w.step.skip(why, 1)
			continue
		}
		trusts = (trusts || isStatus(c.Type) && c.Status == kyc.Approved) && !ends(&c)
		if d.previous == 0 {
			d.previous = before(told, d.seq)
		}
		told = append(told, d.seq)
		orders = append(orders, w.update(lane, c.ID, kyc.Replay{Sequence: d.seq, At: d.at, Previous: d.previous}))
	}
	if len(orders) > 0 {
		w.step.Orders = append(w.step.Orders, orders...)
		w.step.Persons++
	}
}

// unfit is why a change is not told to the endpoint; "": it is.
func (w *repeater) unfit(c *kyc.Change, kept bool, appended time.Time, trusts bool) string {
	if !kept {
		return SkippedNotKept
	}
	if w.same && w.p.Kind != ReplayCurrent { // it was owed it once
		return ""
	}
	always := *w.to
	always.Since = time.Time{} // whoever replays means what was before, too
	if owed, err := wants(&always, c, appended, trusts); err == nil && !owed {
		return SkippedNotWanted
	}
	if body, err := bodyFor(w.to, c, 0); err == nil && body == nil {
		return SkippedNotWanted
	}
	return ""
}

// told is what the endpoint was told of a person, by sequence.
func (w *repeater) told(lane string) (seqs []uint64) {
	if w.same && w.p.Kind != ReplayCurrent {
		return nil
	}
	w.each(lane, w.names, func(o *OutcomeView) { seqs = append(seqs, o.Sequence) })
	return seqs
}

func before(told []uint64, seq uint64) (previous uint64) {
	for _, n := range told {
		if n < seq {
			previous = max(previous, n)
		}
	}
	return previous
}

// each calls fn with how the deliveries of one person to an endpoint ended, and reports whether it
// saw them all.
func (w *repeater) each(lane string, names []string, fn func(*OutcomeView)) (all bool) {
	looked := 0
	recall(w.tx, lane, func(key []byte, kind byte, body []byte) bool {
		if looked++; looked > maxRepeated {
			return false
		}
		if o, ok := outcomeOf(key, kind, body); ok && slices.Contains(names, o.Endpoint) {
			fn(&o)
		}
		return true
	})
	return looked <= maxRepeated
}

// update is the record of an order.
func (w *repeater) update(lane, webhookID string, as kyc.Replay) kyc.Update {
	now := w.r.o.Now().UTC()
	as.ID = w.p.ID
	u := kyc.Update{
		SchemaVersion: 1, Kind: kyc.Redelivery, ChangeID: webhookID, Endpoint: w.to.ID, Force: w.p.Force || as.Sequence != 0 && w.p.ID != "", Actor: w.p.Actor, ReceivedAt: now, Replay: as,
	}
	u.Partner, u.Subject.ID, u.Livemode = w.r.shownOf(lane)
	u.ID = kyc.UpdateID("", []string{w.p.ID, webhookID, w.to.ID}, u.Kind, "", "", "", 0, now)
	return u
}
