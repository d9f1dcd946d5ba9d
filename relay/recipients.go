package relay

import (
	"fmt"
	"slices"
	"time"

	"countersign/kyc"
	"countersign/relay/registry"
)

// wants reports whether an endpoint is to be told a change, whose record was appended at an
// instant; trusts: it was told that the person is approved, and of nothing since that takes that
// away. Whoever was told that is told what takes it away, whatever its events, its filter and its
// since say: it may have unlocked money on our word. A filter that fails hides nothing: the change
// is owed, and err says why.
func wants(e *registry.Endpoint, c *kyc.Change, appended time.Time, trusts bool) (owed bool, err error) {
	switch {
	case trusts && takesAway(c):
		return true, nil
	case !matches(e.Events, c.Type), !e.Since.IsZero() && e.Since.After(appended.Add(clocksDiffer)):
		return false, nil
	}
	return e.Filter.Match(c)
}

// takesAway reports whether a change says that a person is not approved.
func takesAway(c *kyc.Change) bool {
	return isStatus(c.Type) && c.Type != noticeType && c.Status != kyc.Approved
}

// ends reports whether a change ends an approval for good: whoever has been told it need be told
// nothing more that it does not want.
func ends(c *kyc.Change) bool {
	return takesAway(c) && (c.Status == kyc.Rejected || c.Status == kyc.Suspended || c.Status == kyc.Expired)
}

// trusts reports whether an endpoint, by any name it had, was told that the person is approved, and
// of nothing since that ends it.
func (s *subject) trusts(endpoint string, formerly []string) bool {
	return slices.Contains(s.Trusts, endpoint) || slices.ContainsFunc(formerly, func(id string) bool { return slices.Contains(s.Trusts, id) })
}

// tell notes what a change that an endpoint is owed makes it believe.
func (s *subject) tell(endpoint string, formerly []string, c *kyc.Change) {
	switch {
	case isStatus(c.Type) && c.Type != noticeType && c.Status == kyc.Approved && !s.trusts(endpoint, formerly):
		s.Trusts = append(s.Trusts, endpoint)
	case ends(c):
		s.Trusts = slices.DeleteFunc(s.Trusts, func(id string) bool { return id == endpoint || slices.Contains(formerly, id) })
	}
}

// bodyFor is a change as this endpoint is told it; nil: its format has no word for it, which
// happens to what takes nothing away only. previous is the sequence that the endpoint was owed
// before.
func bodyFor(e *registry.Endpoint, c *kyc.Change, previous uint64) ([]byte, error) {
	body, err := e.Format.Render(*c, previous)
	if err != nil {
		return nil, fmt.Errorf("render %s as %s: %w", c.Type, e.Format.Name, err)
	}
	return body, nil
}

// recipients names the endpoints of a partner that a change of a subject is told to, and notes in
// the subject, which has to be a copy, what that makes them believe.
func (r *Relay) recipients(s *subject, partner string, c *kyc.Change, appended time.Time) (endpoints []string, err error) {
	now := r.o.Registry.Read()
	p := now.Partner(partner)
	if p == nil {
		return nil, nil
	}
	for i := range p.Endpoints {
		e := &p.Endpoints[i]
		names := now.Formerly(e.ID)
		// One whose filter fails is owed it, and so is one that was: what comes after may have
		// changed what it believes.
		if owed, _ := wants(e, c, appended, s.trusts(e.ID, names)); !owed && s.Owed.of(e.ID) != c.Sequence {
			continue
		}
		body, err := bodyFor(e, c, 0)
		if err != nil {
			return nil, err
		}
		if body != nil {
			endpoints = append(endpoints, e.ID)
			s.tell(e.ID, names, c)
		}
	}
	return endpoints, nil
}

// filterFailed notes that a filter failed about a change, which is owed all the same. Of each
// filter the first is logged.
func (b *batch) filterFailed(e *registry.Endpoint, err error) {
	if b.unasked++; e.Filter.First() {
		b.r.o.Logger.Error("endpoint_filter_failed", "endpoint", e.ID, "error", err, "remedy", "correct its filter; until then changes for which it fails are sent")
	}
}

// noticeType is the one change of a status that tells no other status.
const noticeType = "kyc.status.expiring"

// Decides reports whether changes of a type say where a person stands: who is told of a later one
// need not be told of one before it.
func Decides(changeType string) bool { return isStatus(changeType) && changeType != noticeType }
