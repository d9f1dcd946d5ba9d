package control

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"countersign/kyc"
	"countersign/relay"
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

// userView is a subject's status in our own words.
type userView struct {
	Object     string           `json:"object"`
	ID         string           `json:"id"`
	Partner    string           `json:"partner"`
	Livemode   bool             `json:"livemode"`
	Status     kyc.Status       `json:"status"`
	Reasons    []kyc.ReasonPair `json:"reasons"`
	Retryable  bool             `json:"retryable"`
	Terminal   bool             `json:"terminal"`
	ApprovedAt time.Time        `json:"approved_at,omitzero"`
	ExpiresAt  time.Time        `json:"expires_at,omitzero"`
	ChangedAt  time.Time        `json:"changed_at,omitzero"`
	Sequence   uint64           `json:"sequence"` // of the last change

	NeedsConfirmation bool             `json:"needs_confirmation"` // unsigned evidence claims it
	ClaimedStatus     kyc.Status       `json:"claimed_status,omitempty"`
	DecidedBy         string           `json:"decided_by,omitempty"`
	Check             kyc.CheckView    `json:"check,omitzero"`
	Checks            []kyc.CheckState `json:"checks"`
	Refs              []refView        `json:"refs,omitempty"` // that are contested, or that it was refused
}

// pollView is a subject's status in BlendFi's shape, and beside it what is wrong with its refs, if anything is.
type pollView struct {
	format.BlendFiStatus
	Refs []refView `json:"refs,omitempty"`
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
		return pollView{format.PollBlendFi(id, c), refs}, nil
	case "canonical":
		if st.Status != kyc.InReview && st.Status != kyc.Rejected && st.Status != kyc.Suspended {
			st.DecidedBy = "" // as in the webhook: it names the finding that stands
		}
		if st.Change != nil { // also what a decision waits for, where nothing decides
			st.Check = st.Change.Check
		}
		v := userView{
			Object: "subject", ID: id, Partner: partner, Livemode: live, Status: st.Status, Reasons: st.Reasons, Retryable: st.Retryable, Terminal: st.Terminal,
			ApprovedAt: st.ApprovedAt, ExpiresAt: st.ExpiresAt, ChangedAt: st.ChangedAt, Checks: st.Checks,
			Sequence: st.Sequence, NeedsConfirmation: st.NeedsConfirmation, ClaimedStatus: st.ClaimedStatus, DecidedBy: st.DecidedBy, Check: st.Check, Refs: refs,
		}
		if v.Reasons == nil {
			v.Reasons = []kyc.ReasonPair{}
		}
		if v.Checks == nil {
			v.Checks = []kyc.CheckState{}
		}
		return v, nil
	default:
		return nil, bad("format", "format is blendfi or canonical")
	}
}

// foldWait is how long a call waits to tell what came of what it has ordered.
const foldWait = 10 * time.Second

// pretend drives an outcome in the sandbox, through the whole path.
func (s *Server) pretend(req *http.Request, t Token) (any, error) {
	var ask struct {
		Status    kyc.Status   `json:"status"`
		Reasons   []kyc.Reason `json:"reasons"`
		Retryable *bool        `json:"retryable"`
		Kind      string       `json:"kind"`
	}
	partner, err := s.about(t, req.URL.Query().Get("partner"))
	if err == nil {
		err = read(req, &ask)
	}
	if err != nil {
		return nil, err
	}
	p := relay.Pretence{
		Partner: partner, Subject: req.PathValue("id"), Kind: cmp.Or(ask.Kind, kyc.Individual), Status: ask.Status, Reasons: ask.Reasons,
		Guest:     t.Scope == Partner,
		Retryable: ask.Retryable == nil || *ask.Retryable, Key: req.Header.Get("Idempotency-Key"),
	}
	wait, cancel := context.WithTimeout(req.Context(), foldWait)
	defer cancel()
	came, err := s.o.Relay.Pretend(wait, p)
	if err != nil {
		return nil, err
	}
	return map[string]any{"object": "test_helper", "user_id": p.Subject, "asked": p.Status, "status": came.Status, "sequence": came.Sequence, "updates": came.Updates}, nil
}

// planView is what a policy means for those who are folded under an older one.
type planView struct {
	Object   string             `json:"object"`
	Partner  string             `json:"partner"`
	Version  int                `json:"version"`
	Policy   kyc.Policy         `json:"policy"`
	Subjects int                `json:"subjects"`
	Behind   int                `json:"behind"`
	Moves    int                `json:"moves"`
	Becomes  map[kyc.Status]int `json:"becomes"`
	Tells    map[string]int     `json:"tells"` // changes, by type
	Sends    map[string]int     `json:"sends"` // webhooks, by endpoint
	Applied  bool               `json:"applied"`
}

func viewPlan(p relay.PolicyPlan, applied bool) planView {
	return planView{"policy", p.Partner, p.Version, p.Policy, p.Subjects, p.Behind, p.Moves, p.Becomes, p.Tells, p.Sends, applied}
}

// policy shows who would move.
func (s *Server) policy(req *http.Request, _ Token) (any, error) {
	p, err := s.o.Relay.PlanPolicy(req.Context(), req.PathValue("partner"))
	return viewPlan(p, false), err
}

// applyPolicy moves them.
func (s *Server) applyPolicy(req *http.Request, t Token) (any, error) {
	p, err := s.o.Relay.ApplyPolicy(req.Context(), req.PathValue("partner"), t.Name)
	return viewPlan(p, true), err
}
