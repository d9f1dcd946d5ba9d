package relay

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"countersign/outbox"
	"countersign/outbox/store"
)

// Status is how a delivery stands.
type Status string

// The statuses, in the order in which a list of all of them has them. Pending: owed, and not tried
// in vain yet, or waiting behind another of its person. Retrying: the head of its lane has failed,
// and is tried again. What is owed comes in the order in which it will be tried, what has ended the
// newest first.
const (
	Retrying  Status = "retrying"
	Pending   Status = "pending"
	Dead      Status = "dead_lettered"
	Delivered Status = "delivered"
	Cancelled Status = "cancelled"
)

// phases are the parts of a list of everything. What was delivered and what was cancelled stand
// together.
var phases = []Status{Retrying, Pending, Dead, Delivered}

// ListLook is how many deliveries a page looks at, at most: a page may have fewer entries than are
// asked for, or none, and go on.
const ListLook = 2000

// DeliveryView is one delivery, as it is listed. What is zero is not known, or says nothing of its
// status.
type DeliveryView struct {
	ID          string
	Endpoint    string // by the id that it has now
	Lane        string
	Sequence    uint64
	Previous    uint64
	Type        string
	Format      string
	Trace       string
	Status      Status
	Restrictive bool
	Forced      bool
	Anew        bool
	Replayed    bool
	Owed        time.Time
	Received    time.Time
	Attempts    int
	Next        time.Time // when it is due; of what waits behind another, when that is
	Behind      string    // what it waits behind
	InFlight    bool
	Reason      string // of the last attempt, or why it ended
	Code        int
	Error       string
	TookMS      float64
	Tried       time.Time // when the last attempt began
	Ended       time.Time
	By, Because string // of what was cancelled
	HasBody     bool   // a body is kept
}

// Wanted is what of the deliveries is asked for. The zero Wanted is everything.
type Wanted struct {
	Status       Status                     // "": all, one after the other
	Endpoints    func(endpoint string) bool // nil: all
	Lane         string                     // of this person only, see LaneOf
	Type         string                     // of these changes only: an exact name, or a prefix that ends in *
	Since, Until time.Time                  // when it ended or, of what is owed, when it came to be owed: from since on, before until
	After        string                     // the next of the page before
	Limit        int
}

// LaneOf names a subject of a partner, by any id that the partner has or had, as deliveries name it.
func (r *Relay) LaneOf(partner, id string, livemode bool) string {
	return r.laneOf(partner, id, livemode)
}

// Deliveries is a page of a list: its entries, and where the next one begins ("": there is none).
// outbox.ErrPlace: the list cannot be gone on with from there. looked is how many records it has
// looked at, whatever there are.
func (r *Relay) Deliveries(q Wanted) (list []DeliveryView, next string, looked int, err error) {
	parts := phases
	if q.Status != "" {
		parts = []Status{q.Status}
	}
	if q.After != "" {
		phase, after, ok := cutPhase(q.After)
		at := slices.Index(parts, phase)
		if !ok || at < 0 {
			return nil, "", 0, outbox.ErrPlace
		}
		parts, q.After = parts[at:], after
	}
	err = r.o.Store.View(func(tx *store.Tx) error {
		l := &lister{r: r, tx: tx, q: &q, look: ListLook}
		for i, phase := range parts {
			more, err := l.part(phase)
			if err != nil {
				return err
			}
			if more != "" {
				next = string(phase) + "." + more
				break
			}
			if full := len(l.list) == q.Limit || l.look <= 0; full && i+1 < len(parts) {
				next = string(parts[i+1]) + "."
				break
			}
			q.After = ""
		}
		list, looked = l.list, tx.Looked()
		return nil
	})
	return list, next, looked, err
}

func cutPhase(after string) (phase Status, rest string, ok bool) {
	for i := range after {
		if after[i] == '.' {
			return Status(after[:i]), after[i+1:], true
		}
	}
	return "", "", false
}

// lister makes one page.
type lister struct {
	r    *Relay
	tx   *store.Tx
	q    *Wanted
	look int // deliveries that may be looked at still
	list []DeliveryView
}

// wants reports whether an endpoint is asked for, by any id that it has or had.
func (l *lister) wants(endpoint string) bool {
	return l.q.Endpoints == nil || l.q.Endpoints(l.r.o.Registry.Read().Current(endpoint))
}

func (l *lister) ofType(changeType string) bool {
	return l.q.Type == "" || matches([]string{l.q.Type}, changeType)
}

// part adds what there is of one status, and says where that is gone on with; "": nowhere.
func (l *lister) part(of Status) (next string, err error) {
	switch of {
	case Retrying, Pending:
		return l.owed(of == Retrying)
	case Dead:
		return l.dead()
	case Delivered, Cancelled:
		if l.q.Lane != "" {
			return l.endedOf(of)
		}
		return l.ended(of)
	}
	return "", nil
}

func (l *lister) owed(retrying bool) (string, error) {
	p, err := l.r.o.Outbox.ListOwed(l.tx, outbox.OwedQuery{
		Wanted: l.wants, Lane: l.q.Lane, Retrying: retrying, After: l.q.After, Most: l.q.Limit - len(l.list), Look: l.look,
		Matches: func(d *outbox.Delivery) bool {
			return l.ofType(d.Type) && (l.q.Since.IsZero() || !d.Owed.Before(l.q.Since)) && (l.q.Until.IsZero() || d.Owed.Before(l.q.Until))
		},
	})
	l.look -= p.Looked
	for i := range p.List {
		l.list = append(l.list, viewOwed(&p.List[i]))
	}
	return p.Next, err
}

func viewOwed(d *outbox.Listed) DeliveryView {
	v := DeliveryView{
		ID: d.ID(), Endpoint: d.Endpoint, Lane: d.Lane, Sequence: d.Sequence, Previous: d.PreviousSequence, Type: d.Type, Format: d.Format, Trace: d.Traceparent, Status: Pending,
		Restrictive: d.Restrictive, Forced: d.Force, Anew: d.Anew, Replayed: d.Replayed, Owed: d.Owed, Received: d.Received, Attempts: d.Failures, Next: d.Next, Behind: d.Behind,
		InFlight: d.InFlight, HasBody: true,
	}
	if d.Retrying() {
		v.Status = Retrying
	}
	v.last(d.Last)
	return v
}

// last is what came of the last attempt, if that is kept.
func (v *DeliveryView) last(t *outbox.Try) {
	if t == nil {
		return
	}
	v.Error, v.Tried = t.Detail, t.At
	if v.Status == Pending || v.Status == Retrying {
		v.Reason, v.Code = t.Reason, t.Code
	}
	v.TookMS = float64(t.Took.Microseconds()) / 1000
}

func (l *lister) dead() (string, error) {
	p, err := l.r.o.Outbox.DeadPage(l.tx, outbox.DeadQuery{
		Wanted: l.wants, Lane: l.q.Lane, Since: l.q.Since, Until: l.q.Until, After: l.q.After, Most: l.q.Limit - len(l.list), Look: l.look,
		Matches: func(d *outbox.DeadDelivery) bool { return l.ofType(d.Type) },
	})
	l.look -= p.Looked
	for i := range p.List {
		l.list = append(l.list, l.r.viewDead(l.tx, &p.List[i]))
	}
	return p.Next, err
}

func (r *Relay) viewDead(tx *store.Tx, d *outbox.DeadDelivery) DeliveryView {
	v := DeliveryView{
		ID: d.ID, Endpoint: d.Endpoint, Lane: d.Subject, Sequence: d.Sequence, Previous: d.Previous, Type: d.Type, Format: d.Format, Trace: d.Trace, Status: Dead,
		Restrictive: d.Restrictive, Anew: d.Anew, Replayed: d.Replayed, Owed: d.Owed, Received: d.Received, Attempts: d.Failures, Reason: d.Reason, Code: d.Code, Ended: d.At, HasBody: d.HasBody,
	}
	if t, ok := r.o.Outbox.LastOfDead(tx, d); ok {
		v.last(&t)
	}
	return v
}

// ended adds what was delivered, or cancelled, at every endpoint that is wanted, the newest first.
func (l *lister) ended(of Status) (next string, err error) {
	after := []byte(l.q.After)
	if l.q.After != "" && len(after) < 10 {
		return "", outbox.ErrPlace
	}
	if l.q.After == "" && !l.q.Until.IsZero() {
		after = binary.BigEndian.AppendUint64([]byte{0}, uint64(l.q.Until.UnixMicro())) // of no endpoint: every one begins before that instant
	}
	store.Newest(l.tx, store.Outcomes, endedAt(l.tx, l.q.endings(of), l.wants), after, func(k, v []byte) bool {
		if len(l.list) == l.q.Limit || l.look <= 0 {
			next = string(after)
			return false
		}
		l.look--
		after = bytes.Clone(k)
		o, ok := readOutcome(k, v)
		if ok && !l.q.Since.IsZero() && o.At.Before(l.q.Since) {
			return false
		}
		if ok {
			l.addEnded(of, &o)
		}
		return true
	})
	return next, nil
}

// endings are the endings of a phase. A list of everything has what was delivered and what was
// cancelled together. What died is among the dead, or is owed again.
func (q *Wanted) endings(of Status) []ending {
	switch {
	case q.Status == "":
		return []ending{endedDone, endedCancelled}
	case of == Cancelled:
		return []ending{endedCancelled}
	default:
		return []ending{endedDone}
	}
}

// endedAt are the parts of the outcomes with these endings of endpoints that are wanted, by the names
// that they had.
func endedAt(tx *store.Tx, how []ending, wanted func(string) bool) (prefixes [][]byte) {
	c := tx.Bucket(store.Outcomes).Cursor()
	k, _ := c.First()
	for k != nil {
		name, _, ok := bytes.Cut(k, []byte{0})
		if !ok {
			k, _ = c.Next() // damaged
			continue
		}
		if endpoint, e, ok := splitPart(name); ok && slices.Contains(how, e) && wanted(endpoint) {
			prefixes = append(prefixes, append(bytes.Clone(name), 0))
		}
		k, _ = c.Seek(append(bytes.Clone(name), 1))
	}
	return prefixes
}

func (l *lister) addEnded(of Status, o *OutcomeView) {
	v, ok := l.r.viewEnded(o)
	if ok && (l.q.Status == "" || v.Status == of) && l.ofType(v.Type) {
		l.list = append(l.list, v)
	}
}

// viewEnded shows how a delivery ended; not ok: it died, and is among the dead, or is owed again.
func (r *Relay) viewEnded(o *OutcomeView) (v DeliveryView, ok bool) {
	v = DeliveryView{
		Endpoint: r.o.Registry.Read().Current(o.Endpoint), Lane: o.Lane, Sequence: o.Sequence, Previous: o.Previous, Type: o.Type, Format: o.Format, Status: Delivered,
		Anew: o.Anew, Replayed: o.Replayed, Owed: o.Owed, Received: o.Received, Attempts: o.Attempts, Reason: o.Reason, Code: o.Code, TookMS: o.TookMS, Ended: o.At, By: o.By, Because: o.Because,
	}
	d := outbox.Delivery{WebhookID: o.WebhookID, Endpoint: v.Endpoint}
	v.ID = d.ID()
	switch o.Outcome {
	case outbox.Done:
		v.Tried = o.At.Add(-time.Duration(o.TookMS * float64(time.Millisecond)))
	case outbox.Cancelled:
		v.Status = Cancelled
	case outbox.Died, outbox.Retry:
		return v, false
	}
	return v, true
}

// endedOf adds what of one person was delivered, or cancelled, the newest first.
func (l *lister) endedOf(of Status) (next string, err error) {
	after := []byte(l.q.After)
	lists := indexPrefix(l.q.Lane)
	switch {
	case l.q.After != "":
	case !l.q.Until.IsZero():
		after = binary.BigEndian.AppendUint64(nil, uint64(l.q.Until.UnixMicro()))
	default:
		after = []byte{indexEnd}
	}
	c := l.tx.Bucket(store.Index).Cursor()
	k, _ := c.Seek(append(bytes.Clone(lists), after...))
	if k == nil {
		k, _ = c.Last()
	} else {
		k, _ = c.Prev()
	}
	for ; bytes.HasPrefix(k, lists); k, _ = c.Prev() {
		if len(l.list) == l.q.Limit || l.look <= 0 {
			return string(after), nil
		}
		l.look--
		place := k[len(lists):]
		after = bytes.Clone(place)
		if len(place) < historyHead || place[0] == indexEnd {
			continue
		}
		if !l.q.Since.IsZero() && int64(binary.BigEndian.Uint64(place)) < l.q.Since.UnixMicro() { //nolint:gosec // written by outcomePlace
			return "", nil
		}
		endpoint, e, ok := splitPart(place[historyHead:])
		if place[historyHead-1] != kindOutcome || !ok || !slices.Contains(l.q.endings(of), e) || !l.wants(endpoint) {
			continue
		}
		if body, ok := indexed(l.tx, l.q.Lane, place); ok {
			if o, ok := outcomeOf(place, kindOutcome, body); ok {
				o.Lane = l.q.Lane
				l.addEnded(of, &o)
			}
		}
	}
	return "", nil
}
