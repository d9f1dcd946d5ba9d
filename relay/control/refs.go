package control

import (
	"context"
	"net/http"
	"time"

	"countersign/relay"
)

// submittedView is a submission that was taken.
type submittedView struct {
	Object      string `json:"object"`
	ID          string `json:"id"`
	Partner     string `json:"partner"`
	Subject     string `json:"subject"`
	Source      string `json:"source"`
	ProviderRef string `json:"provider_ref"`
	known       bool   // it had been taken before
}

// idle implements idle: the same submission again writes nothing.
func (v submittedView) idle() bool { return v.known }

// submit registers whose a provider's ref is.
func (s *Server) submit(req *http.Request, t Token) (any, error) {
	var ask struct {
		Partner     string `json:"partner"`
		Subject     string `json:"subject"`
		Source      string `json:"source"`
		ProviderRef string `json:"provider_ref"`
		Kind        string `json:"kind"`
		Livemode    *bool  `json:"livemode"`
	}
	if err := read(req, &ask); err != nil {
		return nil, err
	}
	partner, err := s.about(t, ask.Partner)
	if err != nil {
		return nil, err
	}
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
	return submittedView{"submission", out.ID, partner, sub.Subject, sub.Source, sub.ProviderRef, out.Known}, nil
}

// serves finds out whether a source is for a partner's subjects. A partner is told of no source but its own and those that are for everybody.
func (s *Server) serves(t Token, source, partner string) error {
	owner := s.o.SourcePartners[source]
	switch known := s.o.Sources[source]; {
	case known && (owner == "" || owner == partner):
		return nil
	case t.Scope == Partner:
		return &problem{http.StatusNotFound, "not_found", "source", "there is no such source for partner " + partner, "source"}
	case known:
		return bad("source", "this source is for the subjects of partner "+owner+" only")
	}
	return bad("source", "there is no such source in this gateway's config")
}

// refView is a contested ref of a subject, as its partner sees it.
type refView struct {
	State       string    `json:"state"` // contested or refused
	Source      string    `json:"source"`
	ProviderRef string    `json:"provider_ref"`
	Since       time.Time `json:"since,omitzero"`
}

// contested lists the refs of a subject that are contested, or that it was refused.
func (s *Server) contested(partner, id string, live bool) (vs []refView, err error) {
	list, err := s.o.Relay.ContestedOf(partner, id, live)
	for _, c := range list {
		vs = append(vs, refView{c.State, c.Source, c.ProviderRef, c.Since})
	}
	return vs, err
}

// conflicts lists the refs that several were said to have.
func (s *Server) conflicts(req *http.Request, _ Token) (any, error) {
	after, limit, err := page(req)
	if err != nil {
		return nil, err
	}
	data, more, err := s.o.Relay.ContestedRefs(after, limit)
	return list{Object: "list", Data: data, HasMore: more}, err
}

// settledView is what came of settling whose a ref is.
type settledView struct {
	Object      string `json:"object"`
	ID          string `json:"id"`
	Partner     string `json:"partner"`
	Subject     string `json:"subject"`
	Source      string `json:"source"`
	ProviderRef string `json:"provider_ref"`
	Livemode    bool   `json:"livemode"`
	Settled     bool   `json:"settled"`
	Folded      bool   `json:"folded"` // false: it is kept, and what was held is applied when the fold comes to it
}

// settle makes a ref one subject's, whoever else has claimed it.
func (s *Server) settle(req *http.Request, t Token) (any, error) {
	var ask struct {
		Source      string `json:"source"`
		ProviderRef string `json:"provider_ref"`
		Partner     string `json:"partner"`
		Subject     string `json:"subject"`
		Kind        string `json:"kind"`
		Livemode    *bool  `json:"livemode"`
		Reason      string `json:"reason"` // why, in the operator's own words
	}
	if err := read(req, &ask); err != nil {
		return nil, err
	}
	if ask.Reason == "" {
		return nil, bad("reason", "say why, for whoever must explain it later")
	}
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
	return settledView{"ref", id, sub.Partner, sub.Subject, sub.Source, sub.ProviderRef, sub.Livemode, true, err == nil}, nil
}
