package ingest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
	"countersign/kyc"
	"countersign/signing"
)

// message is one message of a provider that is genuine and has been read, however it came: posted, streamed, answered, or out of quarantine.
type message struct {
	src    *source
	h      signing.Header
	body   []byte
	now    time.Time // when we received it
	res    provider.Result
	err    error     // why it could not be read
	answer *question // nil: the provider said it unasked
	sum    string
}

// question is what a message answers.
type question struct {
	journal.Question
	asked time.Time
}

// intake decides what a message comes to in the journal. Nothing else decides that: callbacks, events of streams, answers and what is released from quarantine all pass here.
func (in *Ingress) intake(m *message) journal.Intake {
	switch {
	case m.err != nil:
		return m.kept(journal.Unreadable, m.err)
	case m.res.Livemode != nil && *m.res.Livemode != m.src.Livemode:
		return m.kept(journal.WrongMode, errors.New("the body's test flag is not the source's livemode"))
	case len(m.res.Updates)+len(m.res.Fetch) > 0:
		return in.said(m)
	case m.res.Ignored == "" && m.res.Reply == nil && !m.res.Unsettled:
		return m.kept(journal.Unreadable, errors.New("the adapter found nothing in it"))
	}
	in.fault(m)
	return journal.Intake{}
}

// said is the intake of a message that says something of somebody.
func (in *Ingress) said(m *message) journal.Intake {
	rs, err := in.records(m)
	if err != nil {
		return m.kept(journal.NoPartner, err)
	}
	t := journal.Intake{Records: rs}
	if m.res.KeepBody {
		t.Keep = m.item(journal.UnknownWord, errors.New("applied; a word in it is unknown"))
	}
	return t
}

// fault tells an operator what the provider says to nobody else: that the integration is broken.
func (in *Ingress) fault(m *message) {
	if m.res.Fault {
		in.m.faults.WithLabelValues(m.src.label).Inc()
		in.o.Logger.Error("provider_reports_fault", "source", m.src.Name, "event", m.res.EventType)
	}
}

// kept is the intake of a message of which nothing is applied.
func (m *message) kept(reason journal.Reason, why error) journal.Intake {
	return journal.Intake{Keep: m.item(reason, why)}
}

// item is the message's body as it is kept.
func (m *message) item(reason journal.Reason, why error) *journal.Item {
	headers := map[string][]string{"Content-Type": m.h.Values("Content-Type")}
	for _, name := range m.src.Adapter.Headers {
		headers[name] = m.h.Values(name)
	}
	return &journal.Item{
		ID:     kyc.UpdateID(m.src.Name, []string{m.digest()}, "quarantine", "", "", "", 0, time.Time{}),
		Source: m.src.Name, Provider: m.src.Adapter.Name, Reason: reason, Detail: why.Error(), At: m.now,
		Headers: headers, Body: m.body,
	}
}

func (m *message) digest() string {
	if m.sum == "" {
		sum := sha256.Sum256(m.body)
		m.sum = hex.EncodeToString(sum[:])
	}
	return m.sum
}

// dedupe names the event for ever.
func (m *message) dedupe() []string {
	if len(m.res.Dedupe) > 0 {
		return m.res.Dedupe
	}
	return []string{m.digest()}
}

// Confirmed is the intake of what a provider's API answered to a question that was asked at this instant. Answers count like signed updates, since we opened the connection.
// The same answer to the same claim gives the same ids. Unread says why an answer could not be read; nil: it could.
func (in *Ingress) Confirmed(q journal.Question, res provider.Result, unread error, answer []byte, asked time.Time) (journal.Intake, error) {
	src := in.sources[q.Source]
	if src == nil {
		return journal.Intake{}, fmt.Errorf("source %s: %w", q.Source, errNoSource)
	}
	return in.intake(&message{src: src, h: http.Header{}, body: answer, now: in.o.Now(), res: res, err: unread, answer: &question{q, asked}}), nil
}

// Streamed is the intake of one event of a source's stream. Events count like signed callbacks, since we opened the connection. The same event gives the same ids, so that a
// stream that is read again repeats nothing (I4). Unread says why an event could not be read; nil: it could.
func (in *Ingress) Streamed(source string, res provider.Result, unread error, event []byte) (journal.Intake, error) {
	src := in.sources[source]
	if src == nil || src.Adapter.Stream == nil {
		return journal.Intake{}, fmt.Errorf("source %s: %w", source, errNoSource)
	}
	return in.intake(&message{src: src, h: http.Header{}, body: event, now: in.o.Now(), res: res, err: unread}), nil
}

var (
	errNoSource = errors.New("not in the configuration any more")
	// ErrStillUnclear says that today's adapter makes no more of a body in quarantine than the one that put it there.
	ErrStillUnclear = errors.New("today's adapter cannot tell what it says either")
)

// Release translates a body from quarantine again, with today's adapter and today's configuration of its source. Nothing comes of one that turns out to carry no status; one of
// which only a part has become clear is kept on, with the reason of today. Putting that in the item's place is one transaction. Errors wrap ErrStillUnclear where nothing has
// become clearer.
func (in *Ingress) Release(item journal.Item) (journal.Intake, error) {
	src := in.sources[item.Source]
	if src == nil {
		return journal.Intake{}, fmt.Errorf("source %s: %w", item.Source, errNoSource)
	}
	m := &message{src: src, h: restored(item.Headers), body: item.Body, now: item.At}
	m.res, m.err = src.Adapter.Translate(m.h, item.Body, src.Options)
	if item.Reason == journal.UnknownWord { // it was applied once already, as in_review: what it says now is a revision of that
		for i := range m.res.Updates {
			m.res.Updates[i].ProviderEvent.Revision++
		}
		m.res.Dedupe = append([]string{fmt.Sprintf("adapter %d", src.Adapter.Version)}, m.dedupe()...)
	}
	t := in.intake(m)
	if t.Keep != nil && (!t.Applied() || t.Keep.Reason == item.Reason) {
		return journal.Intake{}, fmt.Errorf("%w: %s%s", ErrStillUnclear, t.Keep.Detail, remedies[t.Keep.Reason])
	}
	taken := in.o.Now().UTC().Truncate(time.Microsecond)
	for i := range t.Records { // its update says when it was received; the record is as old as its release, or it would count as that late, and its questions as that long unanswered
		r := &t.Records[i]
		r.Appended = taken
		for j := range r.Ask {
			r.Ask[j].Since, r.Ask[j].Due = taken, taken
		}
	}
	return t, nil
}

// remedies say what to do about a body that is not released.
var remedies = map[journal.Reason]string{
	journal.WrongMode:   ": correct the source, or discard it",
	journal.UnknownWord: ": it was applied as in_review; decide about the person, or discard it",
}

// restored are the headers of a body in quarantine.
func restored(h map[string][]string) http.Header {
	out := http.Header{}
	for name, values := range h {
		for _, v := range values {
			out.Add(name, v)
		}
	}
	return out
}
