package ingest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
	"countersign/kyc"
)

// records makes of a translated callback what the journal takes: its updates, completed with what only the source knows, and the questions they leave open.
func (in *Ingress) records(c *callback) ([]journal.Record, error) {
	rs := make([]journal.Record, 0, len(c.res.Updates)+1)
	trace := traceparent(c.h)
	for i, u := range c.res.Updates {
		u.SchemaVersion, u.Kind = 1, kyc.Observation
		u.Authenticity, u.Traceparent = c.src.proves, trace
		if err := in.complete(c, &u); err != nil {
			return nil, err
		}
		u.ID = kyc.UpdateID(u.Source, c.dedupe(), u.Kind, u.Check, u.Scope, cmp.Or(u.Document.ID, u.Verification.Ref), i, stable(&u))
		rs = append(rs, in.record(c.src, u.Gate(c.src.Evidence)))
	}
	return in.ask(c, rs), nil
}

// complete fills in what an adapter cannot know.
func (in *Ingress) complete(c *callback, u *kyc.Update) error {
	u.Source, u.Provider, u.AdapterVersion = c.src.Name, c.src.Adapter.Name, c.src.Adapter.Version
	u.Livemode = c.src.Livemode
	u.ReceivedAt, u.BodySHA256 = c.now.UTC().Truncate(time.Microsecond), c.digest()
	if err := in.address(c.src, u); err != nil {
		return err
	}
	if u.Scope == kyc.Overall {
		u.Check = c.src.check(*u)
	}
	return nil
}

// stable is the time in an id: the provider's, before a clock ahead of ours is cut back to when we happened to receive it; zero where another sending has another.
func stable(u *kyc.Update) time.Time {
	if u.OccurredAtOrigin != kyc.OriginProvider {
		return time.Time{}
	}
	return u.OccurredAt
}

// record closes an update: nothing of it changes any more.
func (in *Ingress) record(src *source, u kyc.Update) journal.Record {
	u, ahead := u.Clamp()
	if ahead {
		in.m.ahead.WithLabelValues(src.label).Inc()
		in.o.Logger.Warn("provider_clock_ahead", "source", src.Name, "update", u.ID)
	}
	return journal.Record{Kind: u.Kind, Appended: u.ReceivedAt, Body: u.AppendJSON(make([]byte, 0, 1024)), Update: &u}
}

// ask adds the questions that a callback leaves open: all of a thin one's; of another's, those that would confirm what it proved too little for. A callback that said
// nothing else becomes a fetch record, so that the journal knows of it.
func (in *Ingress) ask(c *callback, rs []journal.Record) []journal.Record {
	weak := false
	for i := range rs {
		weak = weak || rs[i].Update.NeedsConfirmation
	}
	for _, f := range c.res.Fetch {
		if f.Confirms && !weak {
			continue
		}
		if len(rs) == 0 {
			rs = append(rs, in.fetchRecord(c, f))
		}
		r := &rs[0]
		r.Ask = append(r.Ask, journal.Question{Source: c.src.Name, What: f.What, Ref: f.Ref, Claim: r.Update.ID, Since: r.Appended, Due: r.Appended})
	}
	return rs
}

// fetchRecord says that a provider has something to be fetched.
func (in *Ingress) fetchRecord(c *callback, f provider.Fetch) journal.Record {
	u := kyc.Update{
		SchemaVersion: 1, Kind: kyc.FetchRequest, Source: c.src.Name, Provider: c.src.Adapter.Name, AdapterVersion: c.src.Adapter.Version,
		ProviderEvent: kyc.ProviderEvent{ID: c.res.EventID, Type: c.res.EventType}, Partner: c.src.Partner, Livemode: c.src.Livemode,
		Verification: kyc.Verification{Ref: f.Ref}, Authenticity: c.src.proves, NeedsConfirmation: true,
		ReceivedAt: c.now.UTC().Truncate(time.Microsecond), BodySHA256: c.digest(), Traceparent: traceparent(c.h),
	}
	// Two thin callbacks about one ref may be the same bytes and still mean two things, so each arrival is a record; what is fetched tells them apart.
	u.ID = kyc.UpdateID(u.Source, append([]string{u.ReceivedAt.Format(time.RFC3339Nano)}, c.dedupe()...), u.Kind, "", "", f.Ref, 0, time.Time{})
	return journal.Record{Kind: u.Kind, Appended: u.ReceivedAt, Body: u.AppendJSON(make([]byte, 0, 512)), Update: &u}
}

// Confirmed makes records of what a provider's API answered to a question that was asked at this instant. They count like signed updates, since we opened the connection.
// The same answer to the same claim gives the same ids.
func (in *Ingress) Confirmed(q journal.Question, res provider.Result, answer []byte, asked time.Time) ([]journal.Record, error) {
	src := in.sources[q.Source]
	switch {
	case src == nil:
		return nil, fmt.Errorf("source %s: %w", q.Source, errNoSource)
	case res.Livemode != nil && *res.Livemode != src.Livemode:
		return nil, errors.New("the answer's test flag is not the source's livemode")
	}
	c := &callback{src: src, h: http.Header{}, body: answer, now: in.o.Now(), res: res}
	rs := make([]journal.Record, 0, len(res.Updates))
	for i, u := range res.Updates {
		state := sha256.Sum256(u.AppendJSON(nil)) // as the adapter read it: before anything that depends on when we asked
		u.SchemaVersion, u.Kind = 1, kyc.Confirmation
		u.Authenticity, u.AskedAt = kyc.Signed, asked.UTC().Truncate(time.Microsecond)
		if err := in.complete(c, &u); err != nil {
			return nil, err
		}
		name := []string{q.What, q.Ref, hex.EncodeToString(state[:]), q.Claim}
		u.ID = kyc.UpdateID(u.Source, name, u.Kind, u.Check, u.Scope, cmp.Or(u.Document.ID, u.Verification.Ref), i, time.Time{})
		rs = append(rs, in.record(src, u))
	}
	return rs, nil
}

// Streamed makes records of one event of a source's stream: none where it carries no status. They count like a signed callback's, since we opened the connection. The same
// event gives the same ids, so that a stream that is read again repeats nothing (I4).
func (in *Ingress) Streamed(source string, res provider.Result, event []byte) ([]journal.Record, error) {
	src := in.sources[source]
	switch {
	case src == nil || src.Adapter.Stream == nil:
		return nil, fmt.Errorf("source %s: %w", source, errNoSource)
	case res.Livemode != nil && *res.Livemode != src.Livemode:
		return nil, errors.New("the event's test flag is not the source's livemode")
	}
	c := &callback{src: src, h: http.Header{}, body: event, now: in.o.Now(), res: res}
	in.fault(c)
	return in.records(c)
}

var (
	errNoSource = errors.New("not in the configuration any more")
	// ErrStillUnclear says that today's adapter makes no more of a body in quarantine than the one that put it there.
	ErrStillUnclear = errors.New("today's adapter cannot tell what it says either")
)

// Release translates a body from quarantine again, with today's adapter and today's configuration of its source, and returns the records that come of it: none if it
// turns out to carry no status. Appending them and taking the item out belong together. Errors wrap ErrStillUnclear where nothing has become clearer.
func (in *Ingress) Release(item journal.Item) ([]journal.Record, error) {
	src := in.sources[item.Source]
	if src == nil {
		return nil, fmt.Errorf("source %s: %w", item.Source, errNoSource)
	}
	h := kept(item.Headers)
	res, err := src.Adapter.Translate(h, item.Body, src.Options)
	c := &callback{src: src, h: h, body: item.Body, now: item.At, res: res}
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrStillUnclear, err)
	case res.KeepBody && item.Reason == journal.UnknownWord:
		return nil, fmt.Errorf("%w: it was applied as in_review; decide about the person, or discard it", ErrStillUnclear)
	case res.Livemode != nil && *res.Livemode != src.Livemode:
		return nil, fmt.Errorf("%w: its test flag is not the source's livemode: correct the source, or discard it", ErrStillUnclear)
	}
	if item.Reason == journal.UnknownWord { // it was applied once already, as in_review: what it says now is a revision of that
		for i := range res.Updates {
			res.Updates[i].ProviderEvent.Revision++
		}
		c.res.Dedupe = append([]string{fmt.Sprintf("adapter %d", src.Adapter.Version)}, c.dedupe()...)
	}
	rs, err := in.records(c)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStillUnclear, err)
	}
	taken := in.o.Now().UTC().Truncate(time.Microsecond)
	for i := range rs { // its update says when it was received; the record is as old as its release, or it would count as that late, and its questions as that long unanswered
		rs[i].Appended = taken
		for j := range rs[i].Ask {
			rs[i].Ask[j].Since, rs[i].Ask[j].Due = taken, taken
		}
	}
	return rs, nil
}

// kept are the headers of a body in quarantine.
func kept(h map[string][]string) http.Header {
	out := http.Header{}
	for name, values := range h {
		for _, v := range values {
			out.Add(name, v)
		}
	}
	return out
}
