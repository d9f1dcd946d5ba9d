package replay

import (
	"encoding/json"

	"countersign/outbox/store"
	"countersign/relay"
)

// Forget takes a person out of the jobs that are kept, in a transaction, and says of how many: a
// place that names them becomes the one behind them, which names nobody, or somebody else; and a
// reason that names them goes. A damaged job stays.
func Forget(tx *store.Tx, lane string, names func(text []byte) bool) (n int, err error) {
	changed := map[string]Job{}
	c := tx.Bucket(store.Jobs).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		var j Job
		if v == nil || json.Unmarshal(v, &j) != nil {
			continue
		}
		past, at := relay.Past(tx, j.repeat(), j.Cursor, lane)
		because := names([]byte(j.Because))
		if !at && !because {
			continue
		}
		if because {
			j.Because = ""
		}
		if at {
			j.Cursor = past
		}
		changed[j.ID] = j
	}
	for _, j := range changed {
		if err := put(tx, &j); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
