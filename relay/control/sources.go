package control

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/relay/control/api"
	"countersign/relay/registry"
)

// ErrNoSource says that there is no source of a name.
var ErrNoSource = errors.New("there is no such source in this gateway's config")

// ErrStream says that nobody posts callbacks to a source.
var ErrStream = errors.New("nobody posts callbacks to this source: its stream is followed")

// Explained is what a source would make of a callback.
type Explained struct {
	Provider      string
	Proves, Needs kyc.Authenticity
	Genuine       bool
	Verdict, Why  string
	Steps         []string
	Meaning       *Meaning // nil: it is not genuine
	Updates       []kyc.Update
}

// Meaning is what an adapter makes of a body.
type Meaning struct {
	Disposition, Error, Ignored, Hold string
	Fetch                             []api.Asked
	Updates                           []kyc.Update
}

// Foreseen is what a release of a body would come to.
type Foreseen struct {
	Updates []kyc.Update
	Kept    string // why the body would be kept on; "": it would not
}

func (s *Server) sourceRoutes() []Route {
	return []Route{
		{"GET /v1/sources", Viewer, false, s.listSources},
		{"POST /v1/sources/{name}/explain", Operator, false, s.explain},
		{"GET /v1/quarantine/{id}/translation", Operator, false, s.translation},
	}
}

// listSources lists where callbacks come from.
func (s *Server) listSources(req *http.Request, _ Token) (any, error) {
	p, err := pageOf(req, "sources")
	if err != nil {
		return nil, err
	}
	var all []api.Source
	if s.o.SourceStates != nil {
		all = s.o.SourceStates()
	}
	return cutOut(p, all, func(v *api.Source) string { return v.Name }), nil
}

var errOtherProcess = &problem{http.StatusConflict, "conflict", "role", "this process has no sources: call one with role all or ingest", ""}

// explain says what a source would make of a callback that somebody has captured.
func (s *Server) explain(req *http.Request, _ Token) (any, error) {
	name := req.PathValue("name")
	if m := registry.CheckName(name); m != nil {
		return nil, bad("name", "name "+m.What)
	}
	if s.o.Explain == nil {
		return nil, errOtherProcess
	}
	var ask api.ExplainAsk
	if err := read(req, &ask); err != nil {
		return nil, err
	}
	body := ask.Body
	switch {
	case ask.Text != "" && len(body) > 0:
		return nil, bad("body", "the body is in text or in body, not in both")
	case ask.Text != "":
		body = []byte(ask.Text)
	}
	if !s.explaining.CompareAndSwap(false, true) {
		return nil, &problem{http.StatusTooManyRequests, "unavailable", "explaining", "another callback is being explained; one is at a time", ""}
	}
	defer s.explaining.Store(false)
	h := http.Header{}
	for name, values := range ask.Headers {
		for _, v := range values {
			h.Add(name, v)
		}
	}
	at := ask.At
	if at.IsZero() {
		at = time.Now()
	}
	e, err := s.o.Explain(name, h, body, at)
	switch {
	case errors.Is(err, ErrNoSource):
		return nil, &problem{http.StatusNotFound, "not_found", "not_found", err.Error(), ""}
	case errors.Is(err, ErrStream):
		return nil, &problem{http.StatusConflict, "conflict", "stream", err.Error(), ""}
	case err != nil:
		return nil, err
	}
	return viewExplained(name, &e), nil
}

func viewExplained(source string, e *Explained) api.Explanation {
	v := api.Explanation{
		Object: "explanation", Source: source, Provider: e.Provider, Proves: string(e.Proves), Needs: string(e.Needs), Genuine: e.Genuine, Verdict: e.Verdict, Why: e.Why,
		Steps: append([]string{}, e.Steps...), Updates: each(e.Updates, viewUpdate),
	}
	if m := e.Meaning; m != nil {
		v.Meaning = &api.Translation{Disposition: m.Disposition, Error: m.Error, Ignored: m.Ignored, Hold: m.Hold, Fetch: m.Fetch, Updates: some(m.Updates, viewUpdate)}
	}
	return v
}

// translation says what a release of a body would come to.
func (s *Server) translation(req *http.Request, _ Token) (any, error) {
	it, err := s.o.Quarantine.Unseal(req.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if s.o.Foresee == nil {
		return nil, errOtherProcess
	}
	v := api.BodyTranslation{
		Object: "body_translation", ID: it.ID, Source: it.Source, Provider: it.Provider, Reason: string(it.Reason), Detail: it.Detail, At: it.At, Bytes: len(it.Body), Updates: []api.Update{},
	}
	f, err := s.o.Foresee(it)
	if err != nil {
		v.Why = err.Error()
		return v, nil //nolint:nilerr // that nothing is clearer is the answer
	}
	v.Releases, v.Kept, v.Updates = true, f.Kept, each(f.Updates, viewUpdate)
	if s.o.Relay == nil { // this process has no persons
		return v, nil
	}
	plans, unrouted, err := s.o.Relay.ForeseeUpdates(f.Updates)
	v.Persons, v.Unrouted = each(plans, viewPersonPlan), unrouted
	return v, err
}

// because notes for the trail why a call was made, if it says so. Whom the call is about has been
// said before, and is not named in it.
func (s *Server) because(req *http.Request, reason string) error {
	if len(reason) > maxReason || !kyc.IsText(reason) && reason != "" {
		return bad("reason", "reason is longer than 500 bytes, or has characters that are no text")
	}
	if c, _ := req.Context().Value(callingKey{}).(*calling); c != nil && reason != "" {
		reason = c.hide(strings.TrimSpace(reason))
		c.mu.Lock()
		defer c.mu.Unlock()
		c.entry.Because = reason
	}
	return nil
}

// optional reads a body that need not be there.
func optional(req *http.Request, v any) error {
	err := read(req, v)
	if p := (*problem)(nil); errors.As(err, &p) && p.Message == sendObject {
		return nil
	}
	return err
}
