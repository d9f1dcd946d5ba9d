package control

import (
	"context"
	"errors"
	"net/http"

	"countersign/kyc"
	"countersign/relay"
)

// decisionView is what came of a decision, or would come of it.
type decisionView struct {
	Object   string `json:"object"`
	Partner  string `json:"partner"`
	Subject  string `json:"subject"`
	Livemode bool   `json:"livemode"`
	DryRun   bool   `json:"dry_run"`
	relay.Decided
	Released *bool `json:"released,omitempty"` // of a release: whether it released anything
}

// idle implements idle: a decision that was only foreseen has changed nothing.
func (v decisionView) idle() bool { return v.DryRun }

// decide takes an operator's decision, or says what would come of it.
func (s *Server) decide(req *http.Request, t Token) (any, error) {
	var ask struct {
		Source       string       `json:"source"`
		Manual       bool         `json:"manual"` // it is no source's
		Check        kyc.Check    `json:"check"`
		Scope        kyc.Scope    `json:"scope"`
		DocumentType string       `json:"document_type"`
		Status       kyc.Status   `json:"status"`
		Release      bool         `json:"release"`
		Reasons      []kyc.Reason `json:"reasons"`
		Terminal     bool         `json:"terminal"`
		Retryable    bool         `json:"retryable"`
		Reason       string       `json:"reason"`  // why, in the operator's own words
		DryRun       bool         `json:"dry_run"` // say what would come of it, and do nothing
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
	d := relay.Decision{
		Partner: req.PathValue("partner"), Subject: req.PathValue("id"), Livemode: live, Source: ask.Source, Manual: ask.Manual, Check: ask.Check, Scope: ask.Scope,
		DocumentType: ask.DocumentType, Status: ask.Status, Release: ask.Release, Reasons: ask.Reasons, Terminal: ask.Terminal, Retryable: ask.Retryable,
		Note: ask.Reason, Actor: t.Name, IdempotencyKey: req.Header.Get("Idempotency-Key"),
	}
	v := decisionView{Object: "decision", Partner: d.Partner, Subject: d.Subject, Livemode: live, DryRun: ask.DryRun}
	if ask.DryRun {
		v.Decided, err = s.o.Relay.ForeseeDecision(d)
	} else {
		wait, cancel := context.WithTimeout(req.Context(), foldWait)
		defer cancel()
		v.Decided, err = s.o.Relay.Decide(wait, d)
	}
	if errors.Is(err, relay.ErrNoCheck) && !s.settings.Load().Sources[d.Source] { // a source that has gone may still be decided about, as long as it has a check
		return nil, bad("source", "there is no such source in this gateway's config, and this subject has no check of one; what is no source's is decided with manual")
	}
	if err != nil {
		return nil, err
	}
	if d.Release && (v.Folded || v.DryRun) {
		some := !v.Nothing()
		v.Released = &some
	}
	return v, nil
}
