package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"countersign/kyc"
	"countersign/outbox/store"
)

func policyPrefix(partner string) []byte { return []byte("policy/" + partner + "/") }

func policyKey(partner string, version int) []byte {
	return fmt.Appendf(policyPrefix(partner), "%08d", version)
}

// registeredKey is the number of the newest version of a partner's policy, in meta.
func registeredKey(partner string) []byte { return []byte("relay/policy/" + partner) }

// RegisterPolicies makes a partner's configured policy its newest version if it differs from the
// last: nil once that is on stable storage. Subjects keep the version they are folded under.
func (r *Registry) RegisterPolicies(ctx context.Context) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	now := r.Read()
	unsaid := now.unsaid(r.declared)
	var vs []Version
	all, err := r.register(ctx, now.Partners(), func(tx *store.Tx, all map[string]map[int]kyc.Policy) error {
		vs = append(slices.Clone(unsaid), now.stored.unsaidPolicies(all)...)
		number(vs, now.stored.Last, configActor, r.now())
		return writeVersions(tx.Bucket(store.Registry), vs)
	})
	if err != nil {
		return err
	}
	r.change(func(s *Snapshot) bool {
		s.policies = maps.Clone(s.policies)
		maps.Copy(s.policies, all)
		s.stored = now.stored.with(vs)
		return true
	})
	return nil
}

// Register does the same for partners that are about to be configured, whose newest versions then
// are what they want from the first moment on: nil once that is on stable storage. Nothing counts
// before.
func (r *Registry) Register(ctx context.Context, ps []Partner) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	_, err := r.register(ctx, ps, func(*store.Tx, map[string]map[int]kyc.Policy) error { return nil })
	return err
}

// register writes policies that are new, and in the same transaction what also writes, which is
// given all that there are.
func (r *Registry) register(ctx context.Context, ps []Partner, also func(*store.Tx, map[string]map[int]kyc.Policy) error) (map[string]map[int]kyc.Policy, error) {
	all := map[string]map[int]kyc.Policy{}
	err := r.o.Store.Update(ctx, func(tx *store.Tx) error {
		clear(all)
		for _, p := range ps {
			if p.ID == Operator {
				continue
			}
			root := r.Read().Kept(p.ID)
			known, err := registerPolicy(tx, root, p.Policy)
			if err != nil {
				return err
			}
			all[root] = known
		}
		return also(tx, all)
	})
	if err != nil {
		return nil, fmt.Errorf("register policies: %w", err)
	}
	return all, nil
}

// registerPolicy returns all versions of a partner's policy, the one it wants among them.
func registerPolicy(tx *store.Tx, partner string, want kyc.Policy) (map[int]kyc.Policy, error) {
	known, err := policies(tx, partner)
	if err != nil {
		return nil, err
	}
	registered, err := tx.Number(registeredKey(partner))
	if err != nil {
		return nil, err
	}
	want.Version = max(newest(known), int(registered)) // of the last the record may be damaged, and its number must not come again
	if last, ok := known[want.Version]; ok && want.Same(last) {
		return known, nil
	}
	want.Version++
	v, err := json.Marshal(want)
	if err != nil {
		return nil, err
	}
	if err := tx.Bucket(store.Registry).PutTwice(policyKey(partner, want.Version), v); err != nil {
		return nil, err
	}
	if err := tx.SetNumber(registeredKey(partner), int64(want.Version)); err != nil {
		return nil, err
	}
	known[want.Version] = want
	return known, nil
}

// newest is the newest version; 0: there is none. One that is damaged, and its second copy too,
// leaves a gap.
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
