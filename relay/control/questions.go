package control

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// oldAsk names the questions of a source that are open for longer than a while.
type oldAsk struct {
	Source string `json:"source"`
	Older  string `json:"older"` // such as 1h
	All    bool   `json:"all"`   // also those that proved callbacks raised
}

// oldView says how many there are, or were closed.
type oldView struct {
	Object    string `json:"object"`
	Source    string `json:"source"`
	Older     string `json:"older"`
	All       bool   `json:"all"`
	Count     int    `json:"count"`
	Discarded bool   `json:"discarded"`
}

// oldQuestions counts what dropQuestions would close.
func (s *Server) oldQuestions(req *http.Request, _ Token) (any, error) {
	q := req.URL.Query()
	all, err := strconv.ParseBool(q.Get("all"))
	if q.Has("all") && err != nil {
		return nil, bad("all", "is true or false")
	}
	return s.old(req.Context(), oldAsk{q.Get("source"), q.Get("older"), all}, true)
}

// dropQuestions closes the questions of a source that nobody will answer any more, as a flood of forged callbacks leaves them. What was claimed stays as it is.
func (s *Server) dropQuestions(req *http.Request, _ Token) (any, error) {
	var ask oldAsk
	if err := read(req, &ask); err != nil {
		return nil, err
	}
	return s.old(req.Context(), ask, false)
}

func (s *Server) old(ctx context.Context, ask oldAsk, dry bool) (any, error) {
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
	return oldView{"old_questions", ask.Source, ask.Older, ask.All, n, !dry}, nil
}
