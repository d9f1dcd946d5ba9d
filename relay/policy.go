package relay

import (
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

// registeredKey is the number of the newest version of a partner's policy, in meta.
func registeredKey(partner string) []byte { return []byte("relay/policy/" + partner) }

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
			registered, err := tx.Number(registeredKey(id))
			if err != nil {
				return err
			}
			want := p.Policy
			want.Version = max(newest(known), int(registered)) // of the last the record may be damaged, and its number must not come again
			if last, ok := known[want.Version]; !ok || !want.Same(last) {
				want.Version++
				v, err := json.Marshal(want)
				if err != nil {
					return err
				}
				if err := tx.Bucket(store.Registry).PutTwice(policyKey(id, want.Version), v); err != nil {
					return err
				}
				if err := tx.SetNumber(registeredKey(id), int64(want.Version)); err != nil {
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
	return newest((*r.policies.Load())[partner])
}

// newest is the newest version; 0: there is none. One that is damaged, and its second copy too, leaves a gap.
func newest(known map[int]kyc.Policy) (version int) {
	for v := range known {
		version = max(version, v)
	}
	return version
}

func policies(tx *store.Tx, partner string) (map[int]kyc.Policy, error) {
	known := map[int]kyc.Policy{}
	err := tx.Bucket(store.Registry).EachEither(policyPrefix(partner), func(k, v []byte) error {
		var p kyc.Policy
		if json.Unmarshal(v, &p) != nil {
			return fmt.Errorf("policy %s: %w", k, store.ErrBadRecord)
		}
		known[p.Version] = p
		return nil
	})
	if err != nil {
		return nil, err
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
