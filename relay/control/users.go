package control

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"countersign/kyc"
	"countersign/relay"
	"countersign/relay/control/api"
	"countersign/relay/format"
)

// about says which partner a call is about: a partner's token knows; others name one.
func (s *Server) about(t Token, named string) (string, error) {
	if named != "" {
		if err := idIn("partner", named); err != nil {
			return "", err
		}
	}
	own := s.partnerNow(t.Partner)
	switch {
	case t.Scope == Partner && named != "" && s.partnerNow(named) != own:
		return "", &problem{http.StatusForbidden, "authorization", "other_partner", "this token sees partner " + own + " only", "partner"}
	case t.Scope == Partner:
		return own, nil
	case named == "":
		return "", bad("partner", "name the partner")
	}
	return s.partnerNow(named), nil
}

// partnerNow is the id that a partner has now, by any that it has or had.
func (s *Server) partnerNow(id string) string {
	if s.o.Relay == nil {
		return id
	}
	return s.o.Relay.PartnerNow(id)
}

// user answers those who poll: in BlendFi's shape, or in our own with format=canonical.
func (s *Server) user(req *http.Request, t Token) (any, error) {
	partner, err := s.about(t, req.URL.Query().Get("partner"))
	if err != nil {
		return nil, err
	}
	live, err := s.livemode(req)
	if err != nil {
		return nil, err
	}
	id := req.PathValue("id")
	st, err := s.o.Relay.SubjectStatus(partner, id, live)
	if err != nil {
		return nil, err
	}
	refs, err := s.contested(partner, id, live)
	if err != nil {
		return nil, err
	}
	switch req.URL.Query().Get("format") {
	case "", "blendfi":
		c := kyc.Change{
			Type: "kyc.status." + string(st.Status), Subject: kyc.Subject{ID: id}, Status: st.Status, PreviousStatus: st.PreviousStatus, Reasons: st.Reasons,
			Retryable: st.Retryable, Terminal: st.Terminal, ApprovedAt: st.ApprovedAt, ExpiresAt: st.ExpiresAt, OccurredAt: st.OccurredAt, ReceivedAt: st.ChangedAt,
		}
		if st.Change != nil { // as long as it is kept, its own times
			c.OccurredAt, c.ReceivedAt = st.Change.OccurredAt, st.Change.ReceivedAt
		}
		return viewBlendFi(format.PollBlendFi(id, c), refs), nil
	case "canonical":
		if st.Status != kyc.InReview && st.Status != kyc.Rejected && st.Status != kyc.Suspended {
			st.DecidedBy = "" // as in the webhook: it names the finding that stands
		}
		if st.Change != nil { // also what a decision waits for, where nothing decides
			st.Check = st.Change.Check
		}
		return api.User{
			Object: "subject", ID: id, Partner: partner, Livemode: live, Status: string(st.Status), Reasons: each(st.Reasons, viewReason), Retryable: st.Retryable, Terminal: st.Terminal,
			ApprovedAt: st.ApprovedAt, ExpiresAt: st.ExpiresAt, ChangedAt: st.ChangedAt, Checks: each(st.Checks, viewCheckState), Sequence: st.Sequence,
			NeedsConfirmation: st.NeedsConfirmation, ClaimedStatus: string(st.ClaimedStatus), DecidedBy: st.DecidedBy, Check: viewCheck(&st.Check), Refs: refs,
		}, nil
	default:
		return nil, bad("format", "format is blendfi or canonical")
	}
}

// foldWait is how long a call waits to tell what came of what it has ordered.
const foldWait = 10 * time.Second

// simulate drives an outcome in the sandbox, through the whole path.
func (s *Server) simulate(req *http.Request, t Token) (any, error) {
	var ask api.TestAsk
	partner, err := s.about(t, req.URL.Query().Get("partner"))
	if err == nil {
		err = read(req, &ask)
	}
	if err != nil {
		return nil, err
	}
	p := relay.Simulation{
		Partner: partner, Subject: req.PathValue("id"), Kind: cmp.Or(ask.Kind, kyc.Individual), Status: kyc.Status(ask.Status), Reasons: wordsOf[kyc.Reason](ask.Reasons),
		Guest:     t.Scope == Partner,
		Retryable: ask.Retryable == nil || *ask.Retryable, Key: req.Header.Get("Idempotency-Key"),
	}
	wait, cancel := context.WithTimeout(req.Context(), foldWait)
	defer cancel()
	came, err := s.o.Relay.Simulate(wait, p)
	if err != nil {
		return nil, err
	}
	return api.Tested{
		Object: "test_helper", UserID: p.Subject, Asked: ask.Status, Status: string(came.Status), Sequence: came.Sequence, Updates: came.Updates,
	}, nil
}

// policy shows who would move.
func (s *Server) policy(req *http.Request, _ Token) (any, error) {
	p, err := s.o.Relay.PlanPolicy(req.Context(), req.PathValue("partner"))
	return viewPlan(&p, false), err
}

// applyPolicy moves them.
func (s *Server) applyPolicy(req *http.Request, t Token) (any, error) {
	p, err := s.o.Relay.ApplyPolicy(req.Context(), req.PathValue("partner"), t.Name)
	return viewPlan(&p, true), err
}
