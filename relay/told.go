package relay

import (
	"slices"
	"time"

	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/registry"
)

// ToldView is how far one endpoint has been told of a subject.
type ToldView struct {
	Endpoint   string          `json:"endpoint"`
	Accepted   uint64          `json:"accepted,omitempty"`   // the newest sequence that it has accepted, as far as that is kept
	AcceptedAt time.Time       `json:"accepted_at,omitzero"` // when it accepted something last
	Owed       []OwedView      `json:"pending"`              // in the order in which it is told
	Dead       []DeadView      `json:"dead_lettered"`        // what it will not be told unless that is ordered
	More       bool            `json:"more,omitempty"`       // more is owed or dead than is shown
	Orphaned   bool            `json:"orphaned,omitempty"`   // it is not in the config any more: what is owed to it stays owed
	Disabled   string          `json:"disabled,omitempty"`   // why
	Paused     *registry.Pause `json:"paused,omitempty"`
}

// OwedView is one delivery that is owed, and what it waits for.
type OwedView struct {
	ID           string    `json:"id"`
	Sequence     uint64    `json:"sequence"`
	Type         string    `json:"type"`
	Restrictive  bool      `json:"restrictive,omitempty"`
	Since        time.Time `json:"created_at,omitzero"`
	Failures     int       `json:"failures"`
	FirstFailure time.Time `json:"first_failure,omitzero"`
	Next         time.Time `json:"next_try,omitzero"` // when it is due; zero: something else has to happen first
	Waits        string    `json:"waits_for"`         // try, turn, answer, behind, paused, disabled or orphaned
	Behind       uint64    `json:"behind,omitempty"`  // the sequence that has to be told before
}

// What a delivery waits for.
const (
	WaitsForTry      = "try"      // until next_try
	WaitsForTurn     = "turn"     // it is due, and tried as soon as its endpoint takes more
	WaitsForAnswer   = "answer"   // it is being tried
	WaitsBehind      = "behind"   // for one before it of the same person
	WaitsPaused      = "paused"   // until an operator resumes its endpoint
	WaitsDisabled    = "disabled" // the same
	WaitsForEndpoint = "orphaned" // its endpoint is not in the config
)

// DeadView is one delivery that ended without a 2xx.
type DeadView struct {
	ID       string    `json:"id"`
	Sequence uint64    `json:"sequence"`
	Type     string    `json:"type"`
	Reason   string    `json:"reason"`
	At       time.Time `json:"at"`
}

// maxTold is how much is shown of what one endpoint is owed of one subject, and of what is dead.
const maxTold = 100

// receivers are the endpoints that a partner has, and those that it had of which something is kept.
func (r *Relay) receivers(now *registry.Snapshot, partner string) (ids []string) {
	if p := now.Partner(partner); p != nil {
		for i := range p.Endpoints {
			ids = append(ids, p.Endpoints[i].ID)
		}
	}
	shown := now.Shown(partner)
	for _, o := range now.Orphans() {
		if o.Partner == shown {
			ids = append(ids, o.Endpoint)
		}
	}
	slices.Sort(ids)
	return ids
}

// told is how far each endpoint has been told of a lane: of each one range is looked at.
func (r *Relay) told(tx *store.Tx, lane string) []ToldView {
	now, at := r.o.Registry.Read(), r.o.Now()
	partner, _, _ := splitLane(lane)
	list := []ToldView{} // never null
	for _, id := range r.receivers(now, partner) {
		v := ToldView{Endpoint: id, Orphaned: now.IsOrphan(id), Disabled: now.Disabled(id), Paused: now.Paused(id), Owed: []OwedView{}, Dead: []DeadView{}}
		for _, name := range append([]string{id}, now.Formerly(id)...) {
			if d, err := deliveredTo(tx, lane, name); err == nil && d.sequence > 0 {
				v.Accepted = max(v.Accepted, d.sequence)
				if last := time.UnixMicro(d.last).UTC(); last.After(v.AcceptedAt) {
					v.AcceptedAt = last
				}
			}
		}
		owed, more := r.o.Outbox.OwedIn(tx, id, lane, maxTold)
		for i := range owed {
			v.Owed = append(v.Owed, v.owed(&owed[i], at))
		}
		dead, moreDead := r.o.Outbox.DeadIn(tx, id, lane, maxTold)
		for i := range dead {
			d := &dead[i]
			v.Dead = append(v.Dead, DeadView{ID: d.ID, Sequence: d.Sequence, Type: d.Type, Reason: d.Reason, At: d.At})
		}
		v.More = more || moreDead
		list = append(list, v)
	}
	return list
}

// owed says what a delivery waits for.
func (v *ToldView) owed(o *outbox.Owed, now time.Time) OwedView {
	w := OwedView{
		ID: o.ID, Sequence: o.Sequence, Type: o.Type, Restrictive: o.Restrictive, Since: o.Since, Failures: o.Failures, FirstFailure: o.FirstFailure, Next: o.Next, Behind: o.Behind,
		Waits: WaitsForTry,
	}
	switch {
	case o.InFlight:
		w.Waits = WaitsForAnswer
	case o.Behind != 0:
		w.Waits = WaitsBehind
	case v.Orphaned:
		w.Waits, w.Next = WaitsForEndpoint, time.Time{}
	case v.Disabled != "":
		w.Waits, w.Next = WaitsDisabled, time.Time{}
	case v.Paused != nil:
		w.Waits, w.Next = WaitsPaused, time.Time{}
	case !o.Next.After(now):
		w.Waits = WaitsForTurn
	}
	return w
}
