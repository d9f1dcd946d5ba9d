package ingest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
	"countersign/kyc"
)

// records makes of a message what the journal takes: its updates, completed with what only the
// source knows, and the questions they leave open.
func (in *Ingress) records(m *message) ([]journal.Record, error) {
	for _, f := range m.res.Fetch {
		if !kyc.IsText(f.Ref) || !kyc.IsText(f.What) {
			return nil, fmt.Errorf("a ref to ask about: %w has characters that are no text", errNoID)
		}
	}
	if !m.owned {
		m.res.Updates, m.owned = slices.Clone(m.res.Updates), true
	}
	us := m.res.Updates[:0] // an update is the largest thing that a callback comes to: of a callback none is copied (BenchmarkHandled)
	for i := range m.res.Updates {
		u := &m.res.Updates[i]
		if m.src.bars(u) {
			m.barred = true
			continue
		}
		if err := in.update(m, u, i); err != nil {
			return nil, err
		}
		if len(us) < i {
			m.res.Updates[len(us)] = *u
		}
		us = us[:len(us)+1]
	}
	rs := make([]journal.Record, 0, max(1, len(us)))
	for i := range us {
		if len(us) > 1 {
			us[i].Callback = kyc.Callback{ID: us[0].ID, Index: i, Count: len(us)}
		}
		rs = append(rs, in.record(m.src, &us[i]))
	}
	if m.answer != nil { // it ends a question and raises none
		return rs, nil
	}
	return in.ask(m, rs), nil
}

// bars reports whether an update approves in a workflow that may not approve. Whatever takes away,
// and attempts, count whichever workflow they come from.
func (s *source) bars(u *kyc.Update) bool {
	return len(s.Workflows) > 0 && u.Status == kyc.Approved && !slices.Contains(s.Workflows, u.Verification.Workflow)
}

// update completes one update of a message, which is the i-th that its adapter has found in it.
func (in *Ingress) update(m *message, u *kyc.Update, i int) error {
	if m.answer != nil {
		return in.confirmation(m, u, i)
	}
	return in.observation(m, u, i)
}

// observation completes what a provider said unasked.
func (in *Ingress) observation(m *message, u *kyc.Update, i int) error {
	u.SchemaVersion, u.Kind = 1, kyc.Observation
	u.Authenticity, u.Traceparent = m.src.proves, m.traceparent()
	if err := in.complete(m, u); err != nil {
		return err
	}
	u.ID = kyc.UpdateID(u.Source, m.dedupe(), u.Kind, u.Check, u.Scope, cmp.Or(u.Document.ID, u.Verification.Ref), i, stable(u))
	u.Weigh(m.src.Evidence)
	u.Release = u.Release && !u.NeedsConfirmation // who proved too little takes nothing back
	return nil
}

// confirmation completes what a provider answered.
func (in *Ingress) confirmation(m *message, u *kyc.Update, i int) error {
	a := m.answer
	state := sha256.Sum256(u.AppendJSON(nil)) // as the adapter read it: before anything that depends on when we asked
	u.SchemaVersion, u.Kind = 1, kyc.Confirmation
	u.Authenticity, u.AskedAt = kyc.Signed, a.Asked
	if err := in.complete(m, u); err != nil {
		return err
	}
	name := []string{a.What, a.Ref, hex.EncodeToString(state[:]), a.Claim}
	u.ID = kyc.UpdateID(u.Source, name, u.Kind, u.Check, u.Scope, cmp.Or(u.Document.ID, u.Verification.Ref), i, time.Time{})
	return nil
}

// complete fills in what an adapter cannot know.
func (in *Ingress) complete(m *message, u *kyc.Update) error {
	u.Source, u.Provider, u.AdapterVersion = m.src.Name, m.src.Adapter.Name, m.src.Adapter.Version
	u.Livemode = m.src.Livemode
	u.ReceivedAt, u.BodySHA256 = m.now.UTC().Truncate(time.Microsecond), m.digest()
	if err := m.src.address(u); err != nil {
		return err
	}
	if err := named(u); err != nil {
		return err
	}
	if u.Scope == kyc.Overall {
		u.Check = m.src.check(u)
	}
	return nil
}

// errNoID says that an id in a body is none that could be somebody's: the body is kept, and nothing
// of it is applied to anybody.
var errNoID = errors.New("an id in it")

// named holds every id that a body carries to the one rule, whatever its adapter has made of it. A
// cut or mended id would be somebody else's.
func named(u *kyc.Update) error {
	if u.Subject.ID != "" {
		if problem := kyc.IDProblem(u.Subject.ID); problem != "" {
			return fmt.Errorf("the subject's id: %w %s", errNoID, problem)
		}
	}
	for _, ref := range [...]string{u.Subject.ProviderRef, u.Verification.Ref, u.Verification.ParentRef, u.Document.ID} {
		if !kyc.IsText(ref) {
			return fmt.Errorf("a ref: %w has characters that are no text", errNoID)
		}
	}
	return nil
}

// stable is the time in an id: the provider's, before a clock ahead of ours is cut back to when we
// happened to receive it; zero where another sending has another.
func stable(u *kyc.Update) time.Time {
	if u.OccurredAtOrigin != kyc.OriginProvider {
		return time.Time{}
	}
	return u.OccurredAt
}

// record closes an update: nothing of it changes any more.
func (in *Ingress) record(src *source, u *kyc.Update) journal.Record {
	if u.CutBack() {
		src.tally.ahead.Inc()
		in.o.Logger.Warn("provider_clock_ahead", "source", src.Name, "update", u.ID)
	}
	return journal.Said(u)
}

// ask adds the questions that a callback leaves open: all of a thin one's; of another's, those that
// would confirm what it proved too little for. A callback that said nothing else becomes a fetch
// record, so that the journal knows of it.
func (in *Ingress) ask(m *message, rs []journal.Record) []journal.Record {
	weak := false
	for i := range rs {
		weak = weak || rs[i].Update.NeedsConfirmation
	}
	for _, f := range m.res.Fetch {
		if f.Confirms && !weak {
			continue
		}
		if len(rs) == 0 {
			rs = append(rs, in.fetchRecord(m, f))
		}
		r := &rs[0]
		q := journal.Question{Source: m.src.Name, What: f.What, Ref: f.Ref, Claim: r.Update.ID, Since: r.Appended, Due: r.Appended}
		in.stand(m, r.Update, &q)
		r.Ask = append(r.Ask, q)
	}
	return rs
}

// fetchRecord says that a provider has something to be fetched.
func (in *Ingress) fetchRecord(m *message, f provider.Fetch) journal.Record {
	u := kyc.Update{
		SchemaVersion: 1, Kind: kyc.FetchRequest, Source: m.src.Name, Provider: m.src.Adapter.Name, AdapterVersion: m.src.Adapter.Version,
		ProviderEvent: kyc.ProviderEvent{ID: m.res.EventID, Type: m.res.EventType}, Partner: m.src.Partner, Livemode: m.src.Livemode,
		Verification: kyc.Verification{Ref: f.Ref}, Authenticity: m.src.proves, NeedsConfirmation: true,
		ReceivedAt: m.now.UTC().Truncate(time.Microsecond), BodySHA256: m.digest(), Traceparent: m.traceparent(),
	}
	// Two thin callbacks about one ref may be the same bytes and still mean two things, so each
	// arrival is a record; what is fetched tells them apart.
	u.ID = kyc.UpdateID(u.Source, append([]string{u.ReceivedAt.Format(time.RFC3339Nano)}, m.dedupe()...), u.Kind, "", "", f.Ref, 0, time.Time{})
	return journal.Said(&u)
}
