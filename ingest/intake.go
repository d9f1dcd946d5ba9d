package ingest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
	"countersign/kyc"
	"countersign/signing"
)

// message is one message of a provider that is genuine and has been read, however it came: posted,
// streamed, answered, or out of quarantine.
type message struct {
	src    *source
	h      signing.Header
	body   []byte
	now    time.Time  // when we received it
	client netip.Addr // from where; zero: nobody posted it
	res    provider.Result
	err    error           // why it could not be read
	answer *journal.Answer // what it answers; nil: the provider said it unasked
	barred bool            // an approval of it was left out, for its workflow may not approve
	sum    string
	owned  bool // nobody else has res: its updates are completed where they stand
	way    *way // of a callback; nil: nobody posted it
}

// intake decides what a message comes to in the journal. Nothing else decides that: callbacks,
// events of streams, answers and what is released from quarantine all pass here.
func (in *Ingress) intake(m *message) journal.Intake {
	t := in.decide(m)
	if m.answer != nil && t.Keep != nil {
		m.asAnswer(&t)
	}
	return t
}

func (in *Ingress) decide(m *message) journal.Intake {
	switch {
	case m.err != nil:
		return m.kept(journal.Unreadable, m.err)
	case m.res.Livemode != nil && *m.res.Livemode != m.src.Livemode:
		return m.kept(journal.WrongMode, errors.New("the body's test flag is not the source's livemode"))
	case m.res.Hold != "":
		return m.kept(holds[m.res.Hold].reason, holds[m.res.Hold].why)
	case len(m.res.Updates)+len(m.res.Fetch) > 0:
		return in.said(m)
	case m.res.Ignored == "" && m.res.Reply == nil && !m.res.Unsettled:
		return m.kept(journal.Unreadable, errors.New("the adapter found nothing in it"))
	}
	in.fault(m)
	return journal.Intake{}
}

// holds say how what an adapter holds is kept.
var holds = map[provider.Hold]struct {
	reason journal.Reason
	why    error
}{
	provider.UnknownEvent: {journal.UnknownEvent, errors.New("not applied; the event is unknown, and its body carries a decision")},
	provider.OtherAccount: {journal.OtherAccount, errors.New("not applied; of another account than the source is for")},
}

// said is the intake of a message that says something of somebody.
func (in *Ingress) said(m *message) journal.Intake {
	rs, err := in.records(m)
	switch {
	case errors.Is(err, errNoID):
		return m.kept(journal.Unreadable, err)
	case err != nil:
		return m.kept(journal.NoPartner, err)
	}
	t := journal.Intake{Records: rs}
	switch {
	case m.barred: // whatever else there is to say of it: something was not applied
		t.Keep = m.item(journal.OtherWorkflow, errors.New("not applied; an approval of a workflow that may not approve"))
	case m.res.KeepBody:
		t.Keep = m.item(journal.UnknownWord, errors.New("applied; a word in it is unknown"))
	}
	return t
}

// fault tells an operator what the provider says to nobody else: that the integration is broken.
func (in *Ingress) fault(m *message) {
	if m.res.Fault {
		m.src.tally.faults.Inc()
		in.o.Logger.Error("provider_reports_fault", "source", m.src.Name, "event", m.res.EventType)
	}
}

// kept is the intake of a message of which nothing is applied.
func (m *message) kept(reason journal.Reason, why error) journal.Intake {
	return journal.Intake{Keep: m.item(reason, why)}
}

// item is the message's body as it is kept.
func (m *message) item(reason journal.Reason, why error) *journal.Item {
	headers := map[string][]string{"Content-Type": slices.Clone(m.h.Values("Content-Type"))}
	for _, name := range m.src.Adapter.Headers {
		headers[name] = slices.Clone(m.h.Values(name))
	}
	return &journal.Item{
		ID:     journal.BodyItemID(m.src.Name, m.digest()),
		Source: m.src.Name, Provider: m.src.Adapter.Name, Reason: reason, Detail: why.Error(), At: m.now,
		Headers: headers, Body: m.body,
	}
}

// asAnswer marks what is kept of an answer: what it answers, and what becomes of the question.
func (m *message) asAnswer(t *journal.Intake) {
	a, it := m.answer, t.Keep
	it.Answer = a
	if t.Open() || m.res.Unsettled || m.res.Fault {
		q := journal.Question{Source: it.Source, What: a.What, Ref: a.Ref}
		it.ID, it.Detail = q.ItemID(), "the API's answer, asked for again: "+it.Detail
		return
	}
	it.ID = kyc.UpdateID(it.Source, []string{a.What, a.Ref, a.Claim, m.digest()}, "answer", "", "", "", 0, time.Time{})
	it.Detail = "the API's answer, which ends its question: " + it.Detail
}

func (m *message) digest() string {
	if m.sum == "" {
		sum := sha256.Sum256(m.body)
		var text [2 * sha256.Size]byte
		hex.Encode(text[:], sum[:])
		m.sum = string(text[:])
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

// Confirmed is the intake of what a provider's API answered to a question that was asked at this
// instant. Answers count like signed updates, since we opened the connection. The same answer to
// the same claim gives the same ids. Unread says why an answer could not be read; nil: it could.
func (in *Ingress) Confirmed(q journal.Question, res provider.Result, unread error, answers [][]byte, asked time.Time) (journal.Intake, error) {
	src := in.set.Load().sources[q.Source]
	if src == nil {
		return journal.Intake{}, fmt.Errorf("source %s: %w", q.Source, errNoSource)
	}
	a := &journal.Answer{What: q.What, Ref: q.Ref, Claim: q.Claim, Asked: asked.UTC().Truncate(time.Microsecond)}
	for _, part := range answers {
		a.Parts = append(a.Parts, len(part))
	}
	return in.intake(&message{src: src, h: http.Header{}, body: bytes.Join(answers, []byte{'\n'}), now: in.o.Now(), res: res, err: unread, answer: a}), nil
}

// Streamed is the intake of one event of a source's stream. Events count like signed callbacks,
// since we opened the connection. The same event gives the same ids, so that a stream that is read
// again repeats nothing (I4). Unread says why an event could not be read; nil: it could.
func (in *Ingress) Streamed(source string, res provider.Result, unread error, event []byte) (journal.Intake, error) {
	src := in.set.Load().sources[source]
	if src == nil || src.Adapter.Stream == nil {
		return journal.Intake{}, fmt.Errorf("source %s: %w", source, errNoSource)
	}
	return in.intake(&message{src: src, h: http.Header{}, body: event, now: in.o.Now(), res: res, err: unread}), nil
}
