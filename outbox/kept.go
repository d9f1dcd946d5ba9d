package outbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"

	"countersign/outbox/store"
)

// Kept is what a file keeps of one endpoint, in the config or not.
type Kept struct {
	Owed, Dead int64
	Lane       string      // one that something is owed in; "": nothing is
	Withheld   []Rejection // rejections and suspensions that it has not been told of, the oldest first
}

// Rejection is one rejection or suspension that an endpoint has not been told of.
type Rejection struct {
	Lane     string
	Sequence uint64
	Since    time.Time
}

// KeptOf reads it: a few look-ups, and a walk over what is withheld.
func KeptOf(tx *store.Tx, endpoint string) (k Kept, err error) {
	var dead error
	k.Owed, err = tx.Number(owedKey(endpoint))
	k.Dead, dead = tx.Number(deadKey(endpoint))
	k.Lane = laneOwed(tx, endpoint)
	prefix := append([]byte(endpoint), 0)
	c := tx.Bucket(store.Withheld).Cursor()
	for key, v := c.Seek(prefix); bytes.HasPrefix(key, prefix); key, v = c.Next() {
		if rest := key[len(prefix):]; v != nil && len(rest) > 16 {
			k.Withheld = append(k.Withheld, Rejection{string(rest[8 : len(rest)-8]), sequence(rest), time.UnixMilli(int64(binary.BigEndian.Uint64(rest)))}) //nolint:gosec // written by withheldAgeKey
		}
	}
	return k, errors.Join(err, dead)
}

// laneOwed is a lane in which the endpoint owes something; "": it owes nothing.
func laneOwed(tx *store.Tx, endpoint string) string {
	prefix := append([]byte(endpoint), 0)
	c := tx.Bucket(store.Deliveries).Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if d, ok := splitDelivery(k); ok && v != nil {
			return d.Lane
		}
	}
	return ""
}

// Owing calls fn with each endpoint that owes something, in the config or not, and a lane in which
// it does.
func Owing(tx *store.Tx, fn func(endpoint, lane string)) {
	c := tx.Bucket(store.Meta).Cursor()
	for k, v := c.Seek(owedKey("")); bytes.HasPrefix(k, owedKey("")); k, v = c.Next() {
		id := string(k[len(owedKey("")):])
		if lane := laneOwed(tx, id); v != nil && lane != "" {
			fn(id, lane)
		}
	}
}
