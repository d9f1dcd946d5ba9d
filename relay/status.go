package relay

import (
	"fmt"
	"time"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// SubjectStatus is where a subject stands, for those who poll.
type SubjectStatus struct {
	kyc.View
	ChangedAt time.Time // when the record was appended that changed the status last; zero: it never changed
	Checks    []kyc.CheckState
	Change    *kyc.Change // the last kyc.status change owed, notices apart; nil: there was none, or it is no longer kept
}

// SubjectStatus is where a subject stands by everything that has been folded; outbox.ErrNotFound if
// nobody has said anything. Unlike Subject it reads no history, so it costs the same however long
// that is.
func (r *Relay) SubjectStatus(partner, id string, livemode bool) (v SubjectStatus, err error) {
	err = r.o.Store.View(func(tx *store.Tx) error {
		s, err := r.load(tx, r.laneOf(partner, id, livemode))
		if err != nil {
			return err
		}
		if !s.known {
			return fmt.Errorf("subject %s of partner %s: %w", id, partner, outbox.ErrNotFound)
		}
		v = SubjectStatus{View: s.State.View(), Checks: s.State.Checks()}
		if s.Told.Sequence != 0 {
			v.ChangedAt = time.UnixMicro(s.Told.At).UTC()
			v.Change = s.Told.change(tx)
		}
		if v.Change != nil && v.Check == (kyc.CheckView{}) { // no check decides: what was told to be missing
			v.Check = v.Change.Check
		}
		return nil
	})
	return v, err
}

// change is the change that stands there; nil: retention has taken it, or it is damaged.
func (p *place) change(tx *store.Tx) *kyc.Change {
	body, ok := entryAt(tx.Bucket(store.History), p.key())
	if !ok {
		return nil
	}
	c := &kyc.Change{}
	if !readChange(body, c) {
		return nil
	}
	return c
}
