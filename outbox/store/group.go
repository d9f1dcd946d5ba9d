package store

import "time"

// linger gives a lazy write the chance to share the flush of one that somebody waits for.
func (s *Store) linger(group []*op) []*op {
	t := time.NewTimer(s.o.Linger)
	defer t.Stop()
	select {
	case o := <-s.ops:
		return append(group, o)
	case <-t.C:
		return group
	}
}

// crowd waits a moment for more when the last group was large: then many callers are on their way,
// and each flush they share is one less for the same work. It ends when as many have come as shared
// the last one, for nobody else may be on the way. When few are waiting it adds nothing.
func (s *Store) crowd(group []*op) []*op {
	if s.last < crowded {
		return group
	}
	t := time.NewTimer(min(crowdWait, time.Duration(s.last)*crowdWait/64))
	defer t.Stop()
	for len(group) < min(s.last, maxGroup) {
		select {
		case o := <-s.ops:
			group = append(group, o)
		case <-t.C:
			return group
		}
	}
	return group
}

func (s *Store) gather(group []*op) []*op {
	for len(group) < maxGroup {
		select {
		case o := <-s.ops:
			group = append(group, o)
			continue
		default:
		}
		select {
		case o := <-s.lazy:
			group = append(group, o)
			continue
		default:
		}
		break
	}
	return group
}
