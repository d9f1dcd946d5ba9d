package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/relay"
	"countersign/relay/control/api"
)

// unroutedPrefix begins the ids of records that wait for their subject, beside which quarantine
// holds bodies.
const unroutedPrefix = "unrouted_"

// quarantine lists bodies; with kind=records, records that wait for their subject.
func (s *Server) quarantine(req *http.Request, _ Token) (any, error) {
	switch kind := req.URL.Query().Get("kind"); {
	case kind == "records" && s.o.Relay != nil:
		return s.unroutedRecords(req)
	case kind != "" && kind != "bodies":
		return nil, bad("kind", "kind is bodies or records")
	}
	p, err := pageOf(req, "bodies")
	if err != nil {
		return nil, err
	}
	data, more, err := s.o.Quarantine.Items(p.after, p.limit)
	return listed(p, each(data, viewItem), more, func(i *api.QuarantinedBody) string { return i.ID }), err
}

func (s *Server) unroutedRecords(req *http.Request) (any, error) {
	p, err := pageOf(req, "records")
	if err != nil {
		return nil, err
	}
	data, more, err := s.o.Relay.UnroutedItems(p.after, p.limit)
	if field := (*relay.FieldError)(nil); errors.As(err, &field) {
		return nil, badCursor()
	}
	return listed(p, each(data, viewUnrouted), more, func(h *api.UnroutedRecord) string { return h.ID }), err
}

// quarantined shows a body in clear.
func (s *Server) quarantined(req *http.Request, _ Token) (any, error) {
	it, err := s.o.Quarantine.Unseal(req.PathValue("id"))
	if err != nil {
		return nil, err
	}
	v := api.OpenedBody{
		Object: "quarantined_body", ID: it.ID, Source: it.Source, Provider: it.Provider, Reason: string(it.Reason), Detail: it.Detail, At: it.At, Headers: viewHeaders(it.Headers),
		Answer: viewAnswer(it.Answer),
	}
	if utf8.Valid(it.Body) {
		v.Text = string(it.Body)
	} else {
		v.Body = it.Body
	}
	return v, nil
}

// release translates a body again, or gives a record its subject.
func (s *Server) release(req *http.Request, caller Token) (any, error) {
	id := req.PathValue("id")
	if strings.HasPrefix(id, unroutedPrefix) {
		return s.releaseRecord(req, caller, id)
	}
	if s.o.Release == nil {
		return nil, errOtherProcess
	}
	var ask api.ReleaseAsk
	if err := optional(req, &ask); err != nil {
		return nil, err
	}
	if err := s.because(req, ask.Reason); err != nil {
		return nil, err
	}
	if ask.DryRun {
		return nil, bad("dry_run", "dry_run is for unrouted records; GET /v1/quarantine/{id}/translation says what a release of a body would come to")
	}
	it, err := s.o.Quarantine.Unseal(id)
	if err != nil {
		return nil, err
	}
	t, err := s.o.Release(it)
	if err != nil {
		return nil, &problem{http.StatusConflict, "conflict", "still_unclear", err.Error(), ""}
	}
	if err := s.o.Quarantine.Drop(req.Context(), id, t); err != nil {
		return nil, err
	}
	updates := len(t.Records)
	out := api.Released{Object: "quarantined_body", ID: id, Released: true, Updates: &updates}
	if t.Keep != nil {
		out.Kept = string(t.Keep.Reason)
	}
	return out, nil
}

// dryRelease is what a release would come to.
type dryRelease struct{ api.Released }

// idle implements idle: nothing was changed.
func (dryRelease) idle() bool { return true }

func viewPersonPlan(p *relay.PersonPlan) api.PersonEffect {
	return api.PersonEffect{Partner: p.Partner, Subject: p.Subject, Livemode: p.Livemode, Before: string(p.Before), After: string(p.After), Changes: each(p.Changes, viewEffect), SetAside: p.Aside}
}

func (s *Server) releaseRecord(req *http.Request, t Token, id string) (any, error) {
	if s.o.Relay == nil {
		return nil, &problem{http.StatusConflict, "conflict", "role", "this process has no subjects: call one with role all or relay", ""}
	}
	var ask api.ReleaseAsk
	if err := read(req, &ask); err != nil {
		return nil, err
	}
	if err := cmp.Or(idIn("partner", ask.Partner), idIn("subject", ask.Subject)); err != nil {
		return nil, err
	}
	s.concerns(req, ask.Partner, ask.Subject)
	if err := s.because(req, ask.Reason); err != nil {
		return nil, err
	}
	if ask.DryRun {
		plan, err := s.o.Relay.ForeseeUnrouted(id, ask.Partner, ask.Subject, t.Name)
		if err != nil {
			return nil, err
		}
		v := viewPersonPlan(&plan)
		return dryRelease{api.Released{Object: "unrouted_record", ID: id, Person: &v}}, nil
	}
	if err := s.o.Relay.ReleaseUnrouted(req.Context(), id, ask.Partner, ask.Subject, t.Name); err != nil {
		return nil, err
	}
	return api.Released{Object: "unrouted_record", ID: id, Released: true}, nil
}

// takeBack takes a record back that was released to somebody whom it was not about.
func (s *Server) takeBack(req *http.Request, t Token) (any, error) {
	if s.o.Relay == nil {
		return nil, &problem{http.StatusConflict, "conflict", "role", "this process has no subjects: call one with role all or relay", ""}
	}
	var ask api.Because
	if err := read(req, &ask); err != nil {
		return nil, err
	}
	if ask.Reason == "" {
		return nil, bad("reason", "say why, for whoever must explain it later")
	}
	wait, cancel := context.WithTimeout(req.Context(), foldWait)
	defer cancel()
	id := req.PathValue("id")
	v, err := s.o.Relay.TakeBack(wait, id, ask.Reason, t.Name)
	if err != nil {
		return nil, err
	}
	s.concerns(req, v.Partner, v.Subject)
	return api.TakenBack{
		Object: "unrouted_record", ID: id, TakenBack: true, Partner: v.Partner, Subject: v.Subject, Livemode: v.Livemode, Unrouted: v.Unrouted, Order: v.ID, Folded: v.Folded,
		Before: string(v.Before), After: string(v.After), Changes: each(v.Changes, viewEffect),
	}, nil
}

// discard takes a body or a record out for good: of a body nothing stays but the entry in the audit
// trail; a record is kept and never applied.
func (s *Server) discard(req *http.Request, t Token) (any, error) {
	id := req.PathValue("id")
	var ask api.DiscardAsk
	if err := optional(req, &ask); err != nil {
		return nil, err
	}
	if err := s.because(req, ask.Reason); err != nil {
		return nil, err
	}
	if strings.HasPrefix(id, unroutedPrefix) && s.o.Relay != nil {
		if err := s.o.Relay.DiscardUnrouted(req.Context(), id, t.Name); err != nil {
			return nil, err
		}
		return api.Discarded{Object: "unrouted_record", ID: id, Discarded: true}, nil
	}
	if err := s.o.Quarantine.Drop(req.Context(), id, journal.Intake{}); err != nil {
		return nil, err
	}
	return api.Discarded{Object: "quarantined_body", ID: id, Discarded: true}, nil
}

// questions lists what providers have still to be asked.
func (s *Server) questions(req *http.Request, _ Token) (any, error) {
	p, err := pageOf(req, "questions")
	if err != nil {
		return nil, err
	}
	data, more, err := s.o.Questions.Questions(questionID(p.after), p.limit)
	if err != nil {
		return nil, err
	}
	return listed(p, each(data, viewQuestion), more, func(q *api.Question) string { return q.ID }), nil
}

// shownQuestion names a question in lists.
func shownQuestion(q *journal.Question) string {
	return strings.Join([]string{q.Source, q.What, q.Ref}, "/")
}

// questionID is what the journal calls a question that lists name source/what/ref. A ref may hold
// slashes itself.
func questionID(id string) string { return strings.Replace(id, "/", "\x00", 2) }

// dropQuestion closes a question that nobody will answer, such as one about a ref that the provider
// has deleted. The claim it was asked about stays as it is.
func (s *Server) dropQuestion(req *http.Request, _ Token) (any, error) {
	var ask api.QuestionAsk
	if err := read(req, &ask); err != nil {
		return nil, err
	}
	if ask.ID == "" || len(ask.ID) > maxParam || !kyc.IsText(ask.ID) {
		return nil, bad("id", "id is no id of a question")
	}
	if err := s.o.Questions.DropQuestion(req.Context(), questionID(ask.ID)); err != nil {
		return nil, err
	}
	return api.Discarded{Object: "question", ID: ask.ID, Discarded: true}, nil
}

const sendObject = "send a JSON object" // where there is none

// read decodes the body of a call, strictly.
func read(req *http.Request, v any) error { return decode(req.Body, v) }

// decode is read for a body that has been read already.
func decode(body io.Reader, v any) error {
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		if errors.Is(err, io.EOF) {
			return bad("body", sendObject)
		}
		return bad("body", fmt.Sprintf("the body is not what this call takes: %v", err))
	}
	if d.More() {
		return bad("body", "send one JSON object")
	}
	return nil
}
