package control

import (
	"net/http"
	"slices"

	"countersign/kyc"
	"countersign/relay"
	"countersign/relay/control/api"
)

// statuses are what a person may be asked for by.
var statuses = []kyc.Status{kyc.NotStarted, kyc.Pending, kyc.InReview, kyc.Approved, kyc.Rejected, kyc.Expired, kyc.Suspended}

// persons lists who is kept, by partner and id: a bounded part of them for a page. A partner's token
// sees its own.
func (s *Server) persons(req *http.Request, t Token) (any, error) {
	p, err := pageOf(req, "subjects")
	if err != nil {
		return nil, err
	}
	ps := req.URL.Query()
	q := relay.Persons{Begins: ps.Get("begins"), Status: kyc.Status(ps.Get("status")), After: p.after, Limit: p.limit}
	if q.Livemode, err = s.livemode(req); err != nil {
		return nil, err
	}
	if q.Held, err = flag(req, "held", false); err != nil {
		return nil, err
	}
	if q.Status != "" && !slices.Contains(statuses, q.Status) {
		return nil, bad("status", "status is not_started, pending, in_review, approved, rejected, expired or suspended; left out: all of them")
	}
	if t.Scope == Partner || ps.Get("partner") != "" {
		if q.Partner, err = s.about(t, ps.Get("partner")); err != nil {
			return nil, err
		}
	}
	if q.Begins != "" {
		if q.Partner == "" {
			return nil, bad("partner", "begins is the beginning of an id that a partner gave: name the partner")
		}
		if err := idIn("begins", q.Begins); err != nil {
			return nil, err
		}
	}
	list, next, looked, err := s.o.Relay.Persons(q)
	if err != nil {
		return nil, err
	}
	s.note(looked)
	l := api.Page(each(list, viewPerson), next != "")
	l.Next = cursorOf(p.list, next)
	return l, nil
}

func viewPerson(p *relay.PersonView) api.ListedSubject {
	return api.ListedSubject{
		Partner: p.Partner, ID: p.ID, Livemode: p.Livemode, Status: string(p.Status.Status), Reasons: some(p.Status.Reasons, viewReason), Terminal: p.Status.Terminal,
		NeedsConfirmation: p.Status.NeedsConfirmation, ClaimedStatus: string(p.Status.ClaimedStatus), ExpiresAt: p.Status.ExpiresAt, ChangedAt: p.ChangedAt,
		Sequence: p.Status.Sequence, Held: p.Held, SetAside: p.SetAside,
	}
}
