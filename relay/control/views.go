package control

import (
	"countersign/ingest/journal"
	"countersign/outbox"
	"countersign/relay"
	"countersign/relay/control/api"
	"countersign/relay/dispatch"
	"countersign/relay/format"
	"countersign/relay/registry"
)

// Each record of the disk becomes what the API shows of it here, in one place; views_test.go holds
// that nothing of it gets lost on the way.

// each views a list. It is never null.
func each[T, V any](list []T, view func(*T) V) []V {
	vs := make([]V, len(list))
	for i := range list {
		vs[i] = view(&list[i])
	}
	return vs
}

// some is each for a list that is left out where it is empty.
func some[T, V any](list []T, view func(*T) V) []V {
	if len(list) == 0 {
		return nil
	}
	return each(list, view)
}

// words are spelt words as plain texts; nil stays nil.
func words[T ~string](list []T) []string {
	return some(list, func(w *T) string { return string(*w) })
}

// wordsOf is the other way round.
func wordsOf[T ~string](list []string) []T {
	return some(list, func(w *string) T { return T(*w) })
}

// counts are numbers by word. It is never null.
func counts[T ~string](m map[T]int) map[string]int {
	out := make(map[string]int, len(m))
	for k, n := range m {
		out[string(k)] = n
	}
	return out
}

func viewWithheld(w *outbox.Withheld) api.Withheld {
	v := api.Withheld{ID: w.ID, Endpoint: w.Endpoint, Subject: w.Subject, Sequence: w.Sequence, Type: w.Type, Since: w.Since, Dead: w.Dead}
	if a := w.Acknowledged; a != nil {
		v.Acknowledged = &api.Acknowledgement{At: a.At, By: a.By, Reason: a.Reason}
	}
	return v
}

func viewEndpoint(e *dispatch.EndpointView) api.Endpoint {
	return api.Endpoint{
		Object: e.Object, ID: e.ID, Partner: e.Partner, URL: e.URL, Format: e.Format, Owed: e.Owed, Dead: e.Dead, Disabled: e.Disabled, Paused: viewPause(e.Paused),
		Orphaned: e.Orphaned, Withheld: e.Withheld, Breaker: e.Breaker, BreakerOpened: e.BreakerOpened, FailingSince: e.FailingSince, OldestDue: e.OldestDue,
	}
}

func viewPause(p *registry.Pause) *api.Pause {
	if p == nil {
		return nil
	}
	return &api.Pause{By: p.By, At: p.At}
}

func viewItem(i *journal.ItemView) api.QuarantinedBody {
	return api.QuarantinedBody{ID: i.ID, Source: i.Source, Provider: i.Provider, Reason: string(i.Reason), Detail: i.Detail, At: i.At, Bytes: i.Bytes, BodyGone: i.BodyGone}
}

func viewAnswer(a *journal.Answer) *api.KeptAnswer {
	if a == nil {
		return nil
	}
	return &api.KeptAnswer{What: a.What, Ref: a.Ref, Claim: a.Claim, Asked: a.Asked, Parts: a.Parts}
}

// viewHeaders shows a header that was not there as one without values.
func viewHeaders(h map[string][]string) map[string][]string {
	shown := make(map[string][]string, len(h))
	for name, values := range h {
		shown[name] = append([]string{}, values...)
	}
	return shown
}

func viewUnrouted(h *relay.UnroutedView) api.UnroutedRecord {
	return api.UnroutedRecord{
		ID: h.ID, Kind: string(h.Kind), Source: h.Source, Provider: h.Provider, Reason: h.Reason, At: h.At, Livemode: h.Livemode, ProviderRef: h.ProviderRef,
		VerificationRef: h.VerificationRef, ParentRef: h.ParentRef, Check: string(h.Check), Status: string(h.Status),
	}
}

func viewQuestion(q *journal.Question) api.Question {
	return api.Question{
		ID: shownQuestion(q), Source: q.Source, What: q.What, Ref: q.Ref, Claim: q.Claim, Since: q.Since, Due: q.Due, Tries: q.Tries, Error: q.Error, Unknown: q.Unknown,
		Weak: q.Weak, Known: q.Known, Place: q.Place,
	}
}

func viewAside(a *relay.AsideView) api.SetAside {
	return api.SetAside{Partner: a.Partner, ID: a.ID, Livemode: a.Livemode, Since: a.Since, Bucket: a.Bucket}
}

func viewContested(c *relay.ContestedRef) api.ContestedRef {
	return api.ContestedRef{
		ID: c.ID, State: c.State, Source: c.Source, ProviderRef: c.ProviderRef, Livemode: c.Livemode, Since: c.Since,
		Claims: some(c.Claims, func(s *relay.ClaimView) api.Claim {
			return api.Claim{Partner: s.Partner, Subject: s.Subject, Registered: s.Registered, At: s.At}
		}),
	}
}

func viewDecided(d *relay.Decided) api.Decided {
	return api.Decided{ID: d.ID, Folded: d.Folded, Before: string(d.Before), After: string(d.After), Changes: each(d.Changes, viewEffect), Lifts: d.Lifts}
}

func viewEffect(e *relay.Effect) api.Effect {
	v := api.Effect{Type: e.Type, Sequence: e.Sequence, Status: string(e.Status), PreviousStatus: string(e.PreviousStatus), Endpoints: e.Endpoints}
	if v.Endpoints == nil {
		v.Endpoints = []string{}
	}
	return v
}

func viewPlan(p *relay.PolicyPlan, applied bool) api.Plan {
	return api.Plan{
		Object: "policy", Partner: p.Partner, Version: p.Version, Policy: viewPolicy(&p.Policy), Subjects: p.Subjects, Behind: p.Behind, Moves: p.Moves,
		Becomes: counts(p.Becomes), Tells: counts(p.Tells), Sends: counts(p.Sends), Applied: applied,
	}
}

// viewBlendFi is what BlendFi's partners read, and beside it what is wrong with the subject's refs.
func viewBlendFi(v format.BlendFiStatus, refs []api.UserRef) api.BlendFiUser {
	return api.BlendFiUser{
		UserID: v.UserID, Status: string(v.Status), ApprovedAt: v.ApprovedAt, RejectedAt: v.RejectedAt, ExpiresAt: v.ExpiresAt, Reason: string(v.Reason), Refs: refs,
	}
}
