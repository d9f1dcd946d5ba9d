package relay

import (
	"countersign/kyc"
	"countersign/outbox/store"
)

// Knows reports whether one of an update's refs leads to somebody: a submission has registered it,
// or what was proved has taught it. What a network address alone vouches for teaches nothing, so
// that a forger can make no ref known.
func Knows(s *store.Store, u *kyc.Update) bool {
	known := false
	err := s.View(func(tx *store.Tx) error {
		b := tx.Bucket(store.Refs)
		for _, key := range appendRefs(nil, u, refKinds) {
			known = known || b.Has(strandKey(key))
		}
		return nil
	})
	return err == nil && known
}
