package control

import (
	"context"
	"net/http"
	"time"

	"countersign/ingest/journal"
	"countersign/relay/control/api"
)

// oldQuestions counts what dropQuestions would close.
func (s *Server) oldQuestions(req *http.Request, _ Token) (any, error) {
	q := req.URL.Query()
	all, err := flag(req, "all", false)
	if err != nil {
		return nil, err
	}
	return s.old(req.Context(), api.OldAsk{Source: q.Get("source"), Older: q.Get("older"), All: all}, true)
}

// dropQuestions closes the questions of a source that nobody will answer any more, as a flood of
// forged callbacks leaves them. What was claimed stays as it is.
func (s *Server) dropQuestions(req *http.Request, _ Token) (any, error) {
	var ask api.OldAsk
	if err := read(req, &ask); err != nil {
		return nil, err
	}
	return s.old(req.Context(), ask, false)
}

func (s *Server) old(ctx context.Context, ask api.OldAsk, dry bool) (any, error) {
	age, err := time.ParseDuration(ask.Older)
	switch {
	case ask.Source == "": // not one of the config's: a source that was removed may have left some
		return nil, bad("source", "name the source whose questions are meant")
	case err != nil || age < 0:
		return nil, bad("older", "is how long they are open at least, such as 1h")
	}
	n, err := s.o.Questions.DropQuestions(ctx, ask.Source, time.Now().Add(-age), ask.All, dry)
	if err != nil {
		return nil, err
	}
	return api.OldQuestions{Object: "old_questions", Source: ask.Source, Older: ask.Older, All: ask.All, Count: n, More: dry && n >= journal.CountMost, Discarded: !dry}, nil
}
