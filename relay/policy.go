package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

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
	newest := map[string]int{}
	err := r.o.Store.Update(ctx, func(tx *bolt.Tx) error {
		clear(all)
		for id, p := range r.partners {
			known, err := policies(tx, id)
			if err != nil {
				return err
			}
			want := p.Policy
			want.Version = len(known)
			if last, ok := known[len(known)]; !ok || !samePolicy(want, last) {
				want.Version++
				v, err := json.Marshal(want)
				if err != nil {
					return err
				}
				if err := tx.Bucket(store.Registry).Put(policyKey(id, want.Version), store.AppendRecord(nil, 0, v)); err != nil {
					return err
				}
				known[want.Version] = want
			}
			all[id], newest[id] = known, want.Version
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("register policies: %w", err)
	}
	r.policies.Store(&all)
	for id, version := range newest {
		r.partners[id].Policy.Version = version
	}
	return nil
}

// samePolicy compares policies as they are kept: a list that is empty is no list.
func samePolicy(p, q kyc.Policy) bool {
	return p.Version == q.Version && p.ValidityMonths == q.ValidityMonths && p.NoticeDays == q.NoticeDays &&
		slices.Equal(p.Required, q.Required) && slices.Equal(p.RequiredCompany, q.RequiredCompany)
}

func policies(tx *bolt.Tx, partner string) (map[int]kyc.Policy, error) {
	known := map[int]kyc.Policy{}
	prefix := policyPrefix(partner)
	c := tx.Bucket(store.Registry).Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		body, _, err := store.Record(v)
		var p kyc.Policy
		if err == nil {
			err = json.Unmarshal(body, &p)
		}
		if err != nil {
			return nil, fmt.Errorf("policy %s: %w", k, err)
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
