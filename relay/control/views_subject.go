package control

import (
	"countersign/kyc"
	"countersign/relay"
	"countersign/relay/control/api"
)

func viewSubject(s *relay.SubjectView) api.Subject {
	return api.Subject{
		Object: s.Object, Partner: s.Partner, ID: s.ID, Livemode: s.Livemode, Policy: viewPolicy(&s.Policy), Status: viewStatus(&s.Status), Checks: each(s.Checks, viewCheckState),
		Why: each(s.Why, viewStanding), Endpoints: each(s.Endpoints, viewTold), Records: each(s.Records, viewRecord), Changes: each(s.Changes, viewChange), Deliveries: each(s.Deliveries, viewOutcome),
		SetAside: s.SetAside, At: viewAt(s.At), HasMore: s.HasMore, Next: s.Next,
	}
}

func viewAt(a *relay.AtView) *api.At {
	if a == nil {
		return nil
	}
	return &api.At{At: a.At, By: a.By, KnownFrom: a.KnownFrom, Unproved: a.Unproved}
}

func viewTold(t *relay.ToldView) api.Told {
	return api.Told{
		Endpoint: t.Endpoint, Accepted: t.Accepted, AcceptedAt: t.AcceptedAt, Owed: each(t.Owed, viewOwed), Dead: each(t.Dead, viewDeath), More: t.More, Orphaned: t.Orphaned,
		Disabled: t.Disabled, Paused: viewPause(t.Paused),
	}
}

func viewOwed(o *relay.OwedView) api.Owed {
	return api.Owed{
		ID: o.ID, Sequence: o.Sequence, Type: o.Type, Restrictive: o.Restrictive, OwedAt: o.Since, Failures: o.Failures, FirstFailure: o.FirstFailure, NextTry: o.Next,
		WaitsFor: o.Waits, Behind: o.Behind,
	}
}

func viewDeath(d *relay.DeadView) api.Death {
	return api.Death{ID: d.ID, Sequence: d.Sequence, Type: d.Type, Reason: d.Reason, At: d.At}
}

func viewPolicy(p *kyc.Policy) api.Policy {
	v := api.Policy{
		Version: p.Version, Required: words(p.Required), RequiredCompany: words(p.RequiredCompany), ValidityMonths: p.ValidityMonths, NoticeDays: p.NoticeDays,
	}
	if len(p.Validity) > 0 {
		v.Validity = counts(p.Validity)
	}
	return v
}

func viewStatus(s *kyc.View) api.Status {
	return api.Status{
		Status: string(s.Status), PreviousStatus: string(s.PreviousStatus), Reasons: some(s.Reasons, viewReason), Retryable: s.Retryable, Terminal: s.Terminal,
		NeedsConfirmation: s.NeedsConfirmation, ClaimedStatus: string(s.ClaimedStatus), ApprovedAt: s.ApprovedAt, ExpiresAt: s.ExpiresAt, OccurredAt: s.OccurredAt,
		DecidedBy: s.DecidedBy, Check: viewCheck(&s.Check), Sequence: s.Sequence,
	}
}

func viewReason(r *kyc.ReasonPair) api.Reason {
	return api.Reason{Code: string(r.Code), ProviderCode: r.ProviderCode}
}

func viewCheck(c *kyc.CheckView) api.Check {
	return api.Check{Type: string(c.Type), Status: c.Status, Source: c.Source, Provider: c.Provider, ProviderRef: c.ProviderRef}
}

func viewCheckState(c *kyc.CheckState) api.CheckState {
	return api.CheckState{
		Source: c.Source, Provider: c.Provider, ProviderRef: c.ProviderRef, Type: string(c.Type), Scope: string(c.Scope), DocumentType: c.DocumentType, Status: string(c.Status),
		Reasons: some(c.Reasons, viewReason), Retryable: c.Retryable, Terminal: c.Terminal, NeedsConfirmation: c.NeedsConfirmation, ClaimedStatus: string(c.ClaimedStatus),
		ApprovedAt: c.ApprovedAt, ExpiresAt: c.ExpiresAt, OccurredAt: c.OccurredAt, DecidedBy: c.DecidedBy, HeldBy: c.HeldBy,
	}
}

func viewStanding(s *kyc.Standing) api.Standing {
	return api.Standing{
		Kind: s.Kind, ID: s.ID, Source: s.Source, Check: string(s.Check), Scope: string(s.Scope), DocumentType: s.DocumentType, Status: string(s.Status), Terminal: s.Terminal,
		NeedsConfirmation: s.NeedsConfirmation, Operator: s.Operator, Reasons: some(s.Reasons, viewReason), At: s.At, ExpiresAt: s.ExpiresAt, Stands: s.Stands, Decides: s.Decides,
		By: s.By, Because: s.Because,
	}
}

func viewRecord(r *relay.RecordView) api.Record {
	return api.Record{At: r.At, Verdict: string(r.Verdict), Changes: r.Changes, Update: viewUpdate(&r.Update), TakenBack: r.TakenBack}
}

func viewUpdate(u *kyc.Update) api.Update {
	return api.Update{
		SchemaVersion: u.SchemaVersion, ID: u.ID, Kind: string(u.Kind), Source: u.Source, Provider: u.Provider, ProviderEvent: api.Event(u.ProviderEvent), Partner: u.Partner,
		Livemode: u.Livemode, Subject: api.Person(u.Subject), Verification: api.Verification(u.Verification), Scope: string(u.Scope), Check: string(u.Check),
		Document: api.Document(u.Document), Status: string(u.Status), ExpiryKind: string(u.ExpiryKind), Reasons: some(u.Reasons, viewReason), Retryable: u.Retryable,
		Terminal: u.Terminal, Authenticity: string(u.Authenticity), NeedsConfirmation: u.NeedsConfirmation, ClaimedStatus: string(u.ClaimedStatus), ExpiresAt: u.ExpiresAt,
		Expiring: u.Expiring, OccurredAt: u.OccurredAt, OccurredAtOrigin: string(u.OccurredAtOrigin), ReceivedAt: u.ReceivedAt, BodySHA256: u.BodySHA256,
		AdapterVersion: u.AdapterVersion, Traceparent: u.Traceparent, Callback: api.Callback(u.Callback), Release: u.Release, Actor: u.Actor, Note: u.Note, Endpoint: u.Endpoint,
		ChangeID: u.ChangeID, Force: u.Force, AskedAt: u.AskedAt, PolicyVersion: u.PolicyVersion, UnroutedID: u.UnroutedID, TakenBack: u.TakenBack, Rebuild: u.Rebuild,
		Replay: api.ReplayPart(u.Replay),
	}
}

func viewChange(c *kyc.Change) api.Change {
	return api.Change{
		ID: c.ID, Type: c.Type, Sequence: c.Sequence, Partner: c.Partner, Livemode: c.Livemode, Subject: api.Person(c.Subject), Status: string(c.Status),
		PreviousStatus: string(c.PreviousStatus), Check: viewCheck(&c.Check), Document: api.Document(c.Document), Reasons: some(c.Reasons, viewReason), Retryable: c.Retryable,
		Terminal: c.Terminal, NeedsConfirmation: c.NeedsConfirmation, ClaimedStatus: string(c.ClaimedStatus), ApprovedAt: c.ApprovedAt, ExpiresAt: c.ExpiresAt,
		DecidedBy: c.DecidedBy, OccurredAt: c.OccurredAt, ReceivedAt: c.ReceivedAt, CauseID: c.CauseID, Traceparent: c.Traceparent,
	}
}

func viewOutcome(o *relay.OutcomeView) api.Outcome {
	return api.Outcome{
		ID: o.ID, Endpoint: o.Endpoint, Sequence: o.Sequence, Type: o.Type, Outcome: string(o.Outcome), Reason: o.Reason, Code: o.Code, Attempts: o.Attempts,
		Format: o.Format, Anew: o.Anew, Previous: o.Previous, Replayed: o.Replayed, TookMS: o.TookMS, Owed: o.Owed, Received: o.Received, At: o.At, By: o.By, Because: o.Because,
	}
}
