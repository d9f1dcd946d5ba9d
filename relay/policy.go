package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"countersign/kyc"
	"countersign/outbox/store"
)

// policyVersions are all versions of every partner's policy.
type policyVersions map[string]map[int]kyc.Policy

func policyPrefix(partner string) []byte { return []byte("policy/" + partner + "/") }

func policyKey(partner string, version int) []byte {
	return fmt.Appendf(policyPrefix(partner), "%08d", version)
}

// registerPolicies makes a partner's configured policy its newest version if it differs from the last. Subjects keep the version they are folded under.
func (r *Relay) registerPolicies(ctx context.Context) error {
	all := policyVersions{}
	err := r.o.Store.Update(ctx, func(tx *store.Tx) error {
		clear(all)
		for id, p := range r.partners {
			known, err := policies(tx, id)
			if err != nil {
				return err
			}
			want := p.Policy
			want.Version = len(known)
			if last, ok := known[len(known)]; !ok || !want.Same(last) {
				want.Version++
				v, err := json.Marshal(want)
				if err != nil {
					return err
				}
				if err := tx.Bucket(store.Registry).Put(policyKey(id, want.Version), v); err != nil {
					return err
				}
				known[want.Version] = want
			}
			all[id] = known
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("register policies: %w", err)
	}
	r.policies.Store(&all)
	return nil
}

// newestVersion is the newest registered version of a partner's policy; 0: there is none.
func (r *Relay) newestVersion(partner string) int {
	if r.partners[partner] == nil {
		return 0
	}
	return len((*r.policies.Load())[partner]) // they are numbered from 1
}

func policies(tx *store.Tx, partner string) (map[int]kyc.Policy, error) {
	known := map[int]kyc.Policy{}
	prefix := policyPrefix(partner)
	c := tx.Bucket(store.Registry).Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		var p kyc.Policy
		if v == nil || json.Unmarshal(v, &p) != nil {
			return nil, fmt.Errorf("policy %s: %w", k, store.ErrBadRecord)
		}
		known[p.Version] = p
	}
	return known, nil
}

// policy is the version a subject is folded under; the defaults if its partner is not in the config.
func (r *Relay) policy(partner string, version int) kyc.Policy {
	if all := r.policies.Load(); all != nil {
		return (*all)[partner][version]
	}
	return kyc.Policy{}
}
