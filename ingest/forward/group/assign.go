package group

import (
	"cmp"
	"slices"
)

// Assign shares partitions 0 to n−1 out: each to one member, as many to each as to any other or one
// less. Each goes to who holds it, then to who is warmest, then to who has fewest; as few as can be
// are taken from who holds them. It depends on nothing but its arguments, and not on the order of
// the members. Where two say that they hold a partition, the one of the later generation does.
func Assign(members []Member, n int) map[string][]int32 {
	if len(members) == 0 || n <= 0 {
		return nil
	}
	s := sharing{members: slices.Clone(members), n: int32(n), given: map[string][]int32{}} //nolint:gosec // some partitions
	slices.SortFunc(s.members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	s.least, s.more = n/len(members), n%len(members)
	free := s.keep(s.held())
	for _, p := range free {
		s.give(p, s.best(p))
	}
	for _, ps := range s.given {
		slices.Sort(ps)
	}
	return s.given
}

// sharing is an assignment in the making.
type sharing struct {
	members []Member // by ID
	n       int32
	least   int // partitions that each member has at least
	more    int // how many of them may still have one more
	given   map[string][]int32
}

// held is what each member holds, by ID: no partition twice.
func (s *sharing) held() map[string][]int32 {
	holder := map[int32]*Member{}
	for i := range s.members {
		m := &s.members[i]
		for _, p := range m.Held {
			if h := holder[p]; p >= 0 && p < s.n && (h == nil || m.Generation > h.Generation || m.Generation == h.Generation && m.warmth(p) > h.warmth(p)) {
				holder[p] = m
			}
		}
	}
	held := map[string][]int32{}
	for p := range s.n {
		if m := holder[p]; m != nil {
			held[m.ID] = append(held[m.ID], p)
		}
	}
	return held
}

// keep gives each member what it holds, as far as it may: what is coldest goes. It returns what nobody
// has then, in order.
func (s *sharing) keep(held map[string][]int32) (free []int32) {
	taken := make([]bool, s.n)
	for i := range s.members {
		m := &s.members[i]
		ps := held[m.ID]
		slices.SortStableFunc(ps, func(a, b int32) int { return cmp.Compare(m.warmth(b), m.warmth(a)) })
		for _, p := range ps {
			if s.room(m.ID) {
				s.give(p, m.ID)
				taken[p] = true
			}
		}
	}
	for p := range s.n {
		if !taken[p] {
			free = append(free, p)
		}
	}
	return free
}

// room reports whether a member may have another partition.
func (s *sharing) room(id string) bool {
	return len(s.given[id]) < s.least || len(s.given[id]) == s.least && s.more > 0
}

func (s *sharing) give(p int32, id string) {
	if len(s.given[id]) == s.least {
		s.more--
	}
	s.given[id] = append(s.given[id], p)
}

// best is who is given a partition that nobody holds. There is always room: shares add up to n.
func (s *sharing) best(p int32) string {
	var best *Member
	for i := range s.members {
		m := &s.members[i]
		if !s.room(m.ID) {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(m.warmth(p), best.warmth(p)), cmp.Compare(len(s.given[best.ID]), len(s.given[m.ID]))) > 0 {
			best = m
		}
	}
	return best.ID
}

// warmth is how far a member's file of a partition has come; -1: it has none.
func (m *Member) warmth(p int32) int64 {
	if at, ok := m.Warm[p]; ok {
		return max(at, 0)
	}
	return -1
}
