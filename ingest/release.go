package ingest

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
)

var (
	errNoSource = errors.New("not in the configuration any more")
	// ErrStillUnclear says that today's adapter makes no more of a body in quarantine than the one
	// that put it there.
	ErrStillUnclear = errors.New("today's adapter cannot tell what it says either")
)

// Release translates a body from quarantine again, with today's adapter and today's configuration
// of its source. Nothing comes of one that turns out to carry no status; one of which only a part
// has become clear is kept on, with the reason of today. Putting that in the item's place is one
// transaction. Errors wrap ErrStillUnclear where nothing has become clearer.
func (in *Ingress) Release(item journal.Item) (journal.Intake, error) {
	src := in.set.Load().sources[item.Source]
	if src == nil {
		return journal.Intake{}, fmt.Errorf("source %s: %w", item.Source, errNoSource)
	}
	m := &message{src: src, h: restored(item.Headers), body: item.Body, now: item.At, answer: item.Answer}
	m.translate()
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

// translate reads a message with its source's adapter.
func (m *message) translate() {
	if m.answer == nil {
		m.res, m.err = m.src.Adapter.Translate(m.h, m.body, m.src.Options)
		return
	}
	api, q := m.src.Adapter.API, provider.Fetch{What: m.answer.What, Ref: m.answer.Ref}
	parts, err := split(m.body, m.answer.Parts)
	if err != nil || api == nil {
		m.err = fmt.Errorf("%w: no answer of an API that this version asks", provider.ErrUnreadable)
		return
	}
	for n := 0; n <= len(parts); n++ { // today's adapter may want other calls: what it reads must be all of them
		if _, more, err := api.Next(q, parts[:n], m.src.Options); err != nil || more != (n < len(parts)) {
			m.err = fmt.Errorf("%w: not all of the answers that its question takes", provider.ErrUnreadable)
			return
		}
	}
	m.res, m.err = api.Read(q, parts, m.src.Options)
}

// split undoes how the answers to several calls were joined.
func split(body []byte, lengths []int) (parts [][]byte, err error) {
	for i, n := range lengths {
		if i > 0 && len(body) > 0 {
			body = body[1:]
		}
		if n < 0 || n > len(body) {
			return nil, errors.New("shorter than it was")
		}
		parts, body = append(parts, body[:n]), body[n:]
	}
	return parts, nil
}

// remedies say what to do about a body that is not released.
var remedies = map[journal.Reason]string{
	journal.OtherAccount:  ": correct the source's account, or discard it",
	journal.OtherWorkflow: ": add it to the source's workflows, or discard it",
	journal.WrongMode:     ": correct the source, or discard it",
	journal.UnknownEvent:  ": install a version that knows it; or decide about the person, and discard it",
	journal.UnknownWord:   ": it was applied as in_review; decide about the person, or discard it",
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
