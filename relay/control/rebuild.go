package control

import (
	"context"
	"net/http"

	"countersign/kyc"
	"countersign/relay"
	"countersign/relay/control/api"
)

// aside lists the subjects that are set aside, because something of them is damaged.
func (s *Server) aside(*http.Request, Token) (any, error) {
	return api.Page(each(s.o.Relay.Aside(), viewAside), false), nil
}

// rebuild makes the state of a subject that is set aside anew: of its history, or, with a status, of what is left of it and that word.
func (s *Server) rebuild(req *http.Request, t Token) (any, error) {
	var ask api.RebuildAsk
	if err := read(req, &ask); err != nil {
		return nil, err
	}
	live, err := s.livemode(req)
	if err != nil {
		return nil, err
	}
	if ask.Reason == "" {
		return nil, bad("reason", "say why, for whoever must explain it later")
	}
	o := relay.Rebuild{Partner: req.PathValue("partner"), Subject: req.PathValue("id"), Livemode: live, Note: ask.Reason, Actor: t.Name}
	if ask.Status != "" {
		o.Decision = &relay.Decision{
			Manual: true, Check: kyc.Check(ask.Check), Scope: kyc.Overall, Status: kyc.Status(ask.Status), Reasons: wordsOf[kyc.Reason](ask.Reasons), Retryable: ask.Retryable,
		}
	}
	wait, cancel := context.WithTimeout(req.Context(), foldWait)
	defer cancel()
	came, err := s.o.Relay.Rebuild(wait, o)
	if err != nil {
		return nil, err
	}
	return api.Rebuild{Object: "rebuild", Partner: o.Partner, Subject: o.Subject, Livemode: live, Decided: viewDecided(&came)}, nil
}
