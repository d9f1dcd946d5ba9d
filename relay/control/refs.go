package control

import (
	"context"
	"net/http"

	"countersign/relay"
	"countersign/relay/control/api"
)

// submitted is a submission that was taken.
type submitted struct {
	api.Submission
	known bool // it had been taken before
}

// idle implements idle: the same submission again writes nothing.
func (v submitted) idle() bool { return v.known }

// submit registers whose a provider's ref is.
func (s *Server) submit(req *http.Request, t Token) (any, error) {
	var ask api.SubmissionAsk
	if err := read(req, &ask); err != nil {
		return nil, err
	}
	s.concernsRef(req, ask.Source, ask.ProviderRef)
	partner, err := s.about(t, ask.Partner)
	if err != nil {
		return nil, err
	}
	s.concerns(req, partner, ask.Subject)
	sub := relay.Submission{
		Partner: partner, Subject: ask.Subject, Source: ask.Source, ProviderRef: ask.ProviderRef, Kind: ask.Kind, Livemode: s.o.Livemode, Actor: t.Name, Guest: t.Scope == Partner,
	}
	if ask.Livemode != nil {
		sub.Livemode = *ask.Livemode
	}
	if err := s.serves(t, sub.Source, partner); err != nil {
		return nil, err
	}
	out, err := s.o.Relay.Submit(req.Context(), sub)
	if out.ID != "" && err != nil {
		return nil, &effective{err} // it is kept, and the ref is contested now
	}
	if err != nil {
		return nil, err
	}
	v := api.Submission{Object: "submission", ID: out.ID, Partner: partner, Subject: sub.Subject, Source: sub.Source, ProviderRef: sub.ProviderRef}
	return submitted{v, out.Known}, nil
}

// serves finds out whether a source is for a partner's subjects. A partner is told of no source but
// its own and those that are for everybody.
func (s *Server) serves(t Token, source, partner string) error {
	now := s.settings.Load()
	owner := now.SourcePartners[source]
	switch known := now.Sources[source]; {
	case known && (owner == "" || owner == partner):
		return nil
	case t.Scope == Partner:
		return &problem{http.StatusNotFound, "not_found", "source", "there is no such source for partner " + partner, "source"}
	case known:
		return bad("source", "this source is for the subjects of partner "+owner+" only")
	}
	return bad("source", "there is no such source in this gateway's config")
}

// contested lists the refs of a subject that are contested, or that it was refused.
func (s *Server) contested(partner, id string, live bool) (vs []api.UserRef, err error) {
	list, err := s.o.Relay.ContestedOf(partner, id, live)
	for _, c := range list {
		vs = append(vs, api.UserRef{State: c.State, Source: c.Source, ProviderRef: c.ProviderRef, Since: c.Since})
	}
	return vs, err
}

// conflicts lists the refs that several were said to have.
func (s *Server) conflicts(req *http.Request, _ Token) (any, error) {
	p, err := pageOf(req, "conflicts")
	if err != nil {
		return nil, err
	}
	data, more, err := s.o.Relay.ContestedRefs(p.after, p.limit)
	return listed(p, each(data, viewContested), more, func(c *api.ContestedRef) string { return c.ID }), err
}

// settle makes a ref one subject's, whoever else has claimed it.
func (s *Server) settle(req *http.Request, t Token) (any, error) {
	var ask api.SettleAsk
	if err := read(req, &ask); err != nil {
		return nil, err
	}
	if ask.Reason == "" {
		return nil, bad("reason", "say why, for whoever must explain it later")
	}
	s.concerns(req, ask.Partner, ask.Subject)
	s.concernsRef(req, ask.Source, ask.ProviderRef)
	sub := relay.Submission{Partner: s.partnerNow(ask.Partner), Subject: ask.Subject, Source: ask.Source, ProviderRef: ask.ProviderRef, Kind: ask.Kind, Livemode: s.o.Livemode, Actor: t.Name}
	if ask.Livemode != nil {
		sub.Livemode = *ask.Livemode
	}
	if err := s.serves(t, sub.Source, sub.Partner); err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(req.Context(), foldWait)
	defer cancel()
	id, err := s.o.Relay.SettleRef(wait, relay.Settlement{Submission: sub, Note: ask.Reason})
	if err != nil && (id == "" || wait.Err() == nil) {
		return nil, err
	}
	return api.Settled{
		Object: "ref", ID: id, Partner: sub.Partner, Subject: sub.Subject, Source: sub.Source, ProviderRef: sub.ProviderRef, Livemode: sub.Livemode, Settled: true, Folded: err == nil,
	}, nil
}
