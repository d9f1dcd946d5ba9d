package relay

import (
	"time"

	"countersign/ingest/journal"
	"countersign/outbox/store"
)

// Standing is where a database stands, for whoever puts a backup in place.
type Standing struct {
	Newest   time.Time `json:"newest,omitzero"` // when the newest record was accepted
	Unfolded int64     `json:"unevaluated"`     // records that the fold has still to do
	Owed     int64     `json:"pending"`         // deliveries that were owed
	Floor    uint64    `json:"floor"`           // after a restore the numbers of changes come after it
}

// StandingOf reads it.
func StandingOf(tx *store.Tx) (s Standing, err error) {
	at, err := journal.ReadPosition(tx, positionKey)
	if err != nil {
		return s, err
	}
	s.Newest, s.Unfolded = journal.After(tx, at)
	c := tx.Bucket(store.History).Cursor()
	for k, _ := c.Last(); k != nil; k, _ = c.Prev() {
		if at, ok := recordTime(k); ok {
			if at.After(s.Newest) {
				s.Newest = at
			}
			break
		}
	}
	c = tx.Bucket(store.Deliveries).Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		s.Owed++
	}
	floor, err := tx.Number(floorKey)
	s.Floor = uint64(floor)/floorStep*floorStep + floorStep //nolint:gosec // a floor is positive
	return s, err
}

// RaiseFloor makes the next change of each subject come after all that may have been told since a
// backup was made: a number once told is never used for another change.
func RaiseFloor(tx *store.Tx) error {
	s, err := StandingOf(tx)
	if err != nil {
		return err
	}
	return tx.SetNumber(floorKey, int64(s.Floor)) //nolint:gosec // it is far below 2^63
}
