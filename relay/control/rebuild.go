package control

import (
	"context"
	"net/http"

	"countersign/kyc"
	"countersign/relay"
)

// aside lists the subjects that are set aside, because something of them is damaged.
func (s *Server) aside(*http.Request, Token) (any, error) {
	return list{Object: "list", Data: s.o.Relay.Aside()}, nil
}

// rebuildView is what came of making a subject anew.
type rebuildView struct {
	Object   string `json:"object"`
	Partner  string `json:"partner"`
	Subject  string `json:"subject"`
	Livemode bool   `json:"livemode"`
	relay.Decided
}

// rebuild makes the state of a subject that is set aside anew: of its history, or, with a status, of what is left of it and that word.
func (s *Server) rebuild(req *http.Request, t Token) (any, error) {
	var ask struct {
		Check     kyc.Check    `json:"check"`
		Status    kyc.Status   `json:"status"`
		Reasons   []kyc.Reason `json:"reasons"`
		Retryable bool         `json:"retryable"`
		Reason    string       `json:"reason"` // why, in the operator's own words
	}
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
		o.Decision = &relay.Decision{Manual: true, Check: ask.Check, Scope: kyc.Overall, Status: ask.Status, Reasons: ask.Reasons, Retryable: ask.Retryable}
	}
	wait, cancel := context.WithTimeout(req.Context(), foldWait)
	defer cancel()
	v := rebuildView{Object: "rebuild", Partner: o.Partner, Subject: o.Subject, Livemode: live}
	if v.Decided, err = s.o.Relay.Rebuild(wait, o); err != nil {
		return nil, err
	}
	return v, nil
}
