package relay

import (
	"fmt"
	"time"

	"countersign/kyc"
	"countersign/relay/registry"
)

// bodyFor is a change as this endpoint is told it; nil: it is not, by its events or its since, or because its format has no word for a change that takes nothing away.
// appended is when the record was that owes it, previous the sequence that the endpoint was owed before.
func bodyFor(e *registry.Endpoint, c *kyc.Change, appended time.Time, previous uint64) ([]byte, error) {
	if !matches(e.Events, c.Type) || !e.Since.IsZero() && e.Since.After(appended.Add(clocksDiffer)) {
		return nil, nil
	}
	body, err := e.Format.Render(*c, previous)
	if err != nil {
		return nil, fmt.Errorf("render %s as %s: %w", c.Type, e.Format.Name, err)
	}
	return body, nil
}

// told names the endpoints of a partner that a change is told to.
func (r *Relay) told(partner string, c *kyc.Change, appended time.Time) (endpoints []string, err error) {
	p := r.partner(partner)
	if p == nil {
		return nil, nil
	}
	for i := range p.Endpoints {
		body, err := bodyFor(&p.Endpoints[i], c, appended, 0)
		if err != nil {
			return nil, err
		}
		if body != nil {
			endpoints = append(endpoints, p.Endpoints[i].ID)
		}
	}
	return endpoints, nil
}

// noticeType is the one change of a status that tells no other status.
const noticeType = "kyc.status.expiring"

// Decides reports whether changes of a type say where a person stands: who is told of a later one need not be told of one before it.
func Decides(changeType string) bool { return isStatus(changeType) && changeType != noticeType }
