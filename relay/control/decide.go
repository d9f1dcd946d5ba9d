package control

import (
	"context"
	"errors"
	"net/http"

	"countersign/kyc"
	"countersign/relay"
	"countersign/relay/control/api"
)

// decided is what came of a decision, or would come of it.
type decided struct{ api.Decision }

// idle implements idle: a decision that was only foreseen has changed nothing.
func (v decided) idle() bool { return v.DryRun }

// decide takes an operator's decision, or says what would come of it.
func (s *Server) decide(req *http.Request, t Token) (any, error) {
	var ask api.DecisionAsk
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
	d := relay.Decision{
		Partner: req.PathValue("partner"), Subject: req.PathValue("id"), Livemode: live, Source: ask.Source, Manual: ask.Manual, Check: kyc.Check(ask.Check),
		Scope: kyc.Scope(ask.Scope), DocumentType: ask.DocumentType, Status: kyc.Status(ask.Status), Release: ask.Release, Reasons: wordsOf[kyc.Reason](ask.Reasons), Terminal: ask.Terminal, Retryable: ask.Retryable,
		Note: ask.Reason, Actor: t.Name, IdempotencyKey: req.Header.Get("Idempotency-Key"),
	}
	v := decided{api.Decision{Object: "decision", Partner: d.Partner, Subject: d.Subject, Livemode: live, DryRun: ask.DryRun}}
	var came relay.Decided
	if ask.DryRun {
		came, err = s.o.Relay.ForeseeDecision(d)
	} else {
		wait, cancel := context.WithTimeout(req.Context(), foldWait)
		defer cancel()
		came, err = s.o.Relay.Decide(wait, d)
	}
	if errors.Is(err, relay.ErrNoCheck) && !s.settings.Load().Sources[d.Source] { // a source that has gone may still be decided about, as long as it has a check
		return nil, bad("source", "there is no such source in this gateway's config, and this subject has no check of one; what is no source's is decided with manual")
	}
	if err != nil {
		return nil, err
	}
	v.Decided = viewDecided(&came)
	if d.Release && (v.Folded || v.DryRun) {
		some := !v.Nothing()
		v.Released = &some
	}
	return v, nil
}
