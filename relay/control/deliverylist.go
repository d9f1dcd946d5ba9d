package control

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/relay"
	"countersign/relay/control/api"
	"countersign/relay/dispatch"
)

func (s *Server) deliveryRoutes() []Route {
	return []Route{
		{"GET /v1/deliveries", Viewer, true, s.deliveries},
		{"GET /v1/deliveries/{id}", Operator, true, s.delivery},
		{"GET /v1/deliveries/{id}/attempts", Viewer, true, s.deliveryAttempts},
		{"POST /v1/deliveries/{id}/redeliver", Operator, true, s.redeliver},
		{"POST /v1/deliveries/{id}/retry-now", Operator, true, s.retryNow},
		{"POST /v1/deliveries/{id}/skip", Operator, false, s.skip},
		{"POST /v1/deliveries/{id}/cancel", Operator, false, s.cancel},
		{"POST /v1/endpoints/{id}/retry-now", Operator, false, s.retryAll},
		{"GET /v1/search", Viewer, false, s.search},
	}
}

// deliveries lists what is owed, and what has ended: by index, and a bounded part of it for a page.
func (s *Server) deliveries(req *http.Request, t Token) (any, error) {
	p, err := pageOf(req, "deliveries")
	if err != nil {
		return nil, err
	}
	q, err := s.wanted(req, t)
	if err != nil {
		return nil, err
	}
	q.After, q.Limit = p.after, p.limit
	list, next, looked, err := s.o.Relay.Deliveries(q)
	if errors.Is(err, outbox.ErrPlace) {
		return nil, badCursor()
	}
	if err != nil {
		return nil, err
	}
	s.note(looked)
	l := api.Page(s.viewDeliveries(list), next != "")
	l.Next = cursorOf(p.list, next)
	return l, nil
}

// note says how many records a call has looked at, to whoever holds it to that.
func (s *Server) note(looked int) {
	if s.looked != nil {
		s.looked(looked)
	}
}

// wanted reads which deliveries are asked for.
func (s *Server) wanted(req *http.Request, t Token) (q relay.Wanted, err error) {
	ps := req.URL.Query()
	q.Status, q.Type = relay.Status(ps.Get("status")), ps.Get("type")
	known := []relay.Status{"", relay.Pending, relay.Retrying, relay.Dead, relay.Delivered, relay.Cancelled}
	if !slices.Contains(known, q.Status) {
		return q, bad("status", "status is pending, retrying, delivered, dead_lettered or cancelled; left out: all of them")
	}
	if star := strings.IndexByte(q.Type, '*'); star >= 0 && star != len(q.Type)-1 || len(q.Type) > kyc.MaxID {
		return q, bad("type", "type is the name of a change, such as kyc.status.approved, or its beginning and a *, such as kyc.status.*")
	}
	if q.Since, q.Until, err = timesOf(req); err != nil {
		return q, err
	}
	live, err := s.livemode(req)
	if err != nil {
		return q, err
	}
	now := s.o.Registry.Read()
	of := ps.Get("endpoint")
	if of = now.Current(of); of != "" {
		if err := s.ownEndpoint(t, of); err != nil {
			return q, err
		}
	}
	partner := ""
	if ps.Has("partner") || ps.Has("subject") {
		if partner, err = s.about(t, ps.Get("partner")); err != nil {
			return q, err
		}
	}
	if id := ps.Get("subject"); id != "" {
		if err := idIn("subject", id); err != nil {
			return q, err
		}
		q.Lane = s.o.Relay.LaneOf(partner, id, live)
	}
	q.Endpoints = func(endpoint string) bool {
		return (of == "" || of == endpoint) && (partner == "" || now.Owner(endpoint) == partner) && s.ownEndpoint(t, endpoint) == nil
	}
	return q, nil
}

// timesOf reads since and until; zero: no bound.
func timesOf(req *http.Request) (since, until time.Time, err error) {
	for _, at := range []struct {
		name string
		to   *time.Time
	}{{"since", &since}, {"until", &until}} {
		text := req.URL.Query().Get(at.name)
		if text == "" {
			continue
		}
		if *at.to, err = time.Parse(time.RFC3339, text); err != nil {
			if *at.to, err = time.Parse(time.DateOnly, text); err != nil {
				return since, until, bad(at.name, at.name+" is a time such as 2026-11-30T08:00:00Z, or a day such as 2026-11-30")
			}
		}
	}
	return since, until, nil
}

// delivery shows all of one, with its body.
func (s *Server) delivery(req *http.Request, t Token) (any, error) {
	return s.showDelivery(req, t, t)
}

// deliveryAttempts shows one without what is kept sealed: its body, and what its partner answered.
func (s *Server) deliveryAttempts(req *http.Request, t Token) (any, error) {
	v, err := s.showDelivery(req, t, Token{Scope: Viewer})
	v.Body, v.Rendered = "", false
	return v, err
}

// showDelivery shows one of those that t may see, with the answers that as is shown.
func (s *Server) showDelivery(req *http.Request, t, as Token) (v api.DeliveryDetail, err error) {
	id := req.PathValue("id")
	if err := s.ownDelivery(t, id); err != nil {
		return v, err
	}
	d, err := s.o.Relay.Delivery(id)
	if err != nil {
		return v, err
	}
	s.note(d.Looked)
	s.concernsLane(req, d.Lane)
	v = api.DeliveryDetail{
		Object: "delivery", Delivery: s.viewDelivery(&d.DeliveryView), Body: string(d.Body), Rendered: d.Rendered, Endings: each(d.Endings, viewOutcome),
	}
	if v.Tries, _, err = s.attempts(as, d.Endpoint, d.Lane, d.Sequence, d.Endings); err != nil {
		return v, err
	}
	if w := d.Withheld; w != nil {
		w.Subject = s.o.Relay.ShownLane(w.Subject)
		shown := viewWithheld(w)
		v.Withheld = &shown
	}
	return v, nil
}

// viewDeliveries views a list. What endpoints wait for is asked once for each.
func (s *Server) viewDeliveries(list []relay.DeliveryView) []api.Delivery {
	known := map[string]resting{}
	vs := make([]api.Delivery, len(list))
	for i := range list {
		e := list[i].Endpoint
		r, ok := known[e]
		if !ok {
			r.why, r.until = s.o.Dispatcher.Waits(e)
			known[e] = r
		}
		vs[i] = s.viewDeliveryAs(&list[i], r)
	}
	return vs
}

// resting is what an endpoint waits for; "": nothing.
type resting struct {
	why   string
	until time.Time
}

func (s *Server) viewDelivery(d *relay.DeliveryView) api.Delivery {
	return s.viewDeliveries([]relay.DeliveryView{*d})[0]
}

func (s *Server) viewDeliveryAs(d *relay.DeliveryView, e resting) api.Delivery {
	v := api.Delivery{
		ID: d.ID, Status: string(d.Status), Endpoint: d.Endpoint, Sequence: d.Sequence, Previous: d.Previous, Type: d.Type, Format: d.Format, Trace: d.Trace, Restrictive: d.Restrictive,
		Forced: d.Forced, Anew: d.Anew, Replayed: d.Replayed, Owed: d.Owed, Received: d.Received, Attempts: d.Attempts, NextAttempt: d.Next, Behind: d.Behind, LastAttempt: d.Tried,
		Reason: d.Reason, Code: d.Code, Error: d.Error, TookMS: d.TookMS, Ended: d.Ended, By: d.By, Because: d.Because, HasBody: d.HasBody,
	}
	if about, ok := strings.CutPrefix(d.Lane, "/"); ok {
		v.About = about
	} else {
		v.Partner, v.Subject, v.Livemode = relay.SubjectOf(s.o.Relay.ShownLane(d.Lane))
	}
	if d.Status == relay.Pending || d.Status == relay.Retrying {
		s.waits(&v, d, e)
	}
	return v
}

// waits says what a delivery waits for that is owed.
func (s *Server) waits(v *api.Delivery, d *relay.DeliveryView, e resting) {
	switch {
	case d.InFlight:
		v.WaitsFor = "answer"
	case e.why == dispatch.WaitsOrphaned, e.why == dispatch.WaitsDisabled, e.why == dispatch.WaitsPaused:
		v.WaitsFor = e.why
	case d.Behind != "":
		v.WaitsFor = "behind"
	case e.why != "":
		v.WaitsFor, v.WaitsUntil = e.why, e.until
	case d.Next.After(s.now()):
		v.WaitsFor = "try"
	default:
		v.WaitsFor = "turn"
	}
	if v.WaitsFor != "try" && v.WaitsFor != "turn" {
		v.NextAttempt = time.Time{}
	}
}

// search says what a word is, and where.
func (s *Server) search(req *http.Request, _ Token) (any, error) {
	word := req.URL.Query().Get("q")
	if word == "" || len(word) > 2*kyc.MaxID+1 {
		return nil, bad("q", "q is the id of a change, a delivery, a record or a subject, or a provider's ref")
	}
	found, whole, looked, err := s.o.Relay.Search(word)
	if err != nil {
		return nil, err
	}
	s.note(looked)
	return api.Search{Object: "search", Word: word, Data: each(found, s.viewFound), Complete: whole}, nil
}

func (s *Server) viewFound(f *relay.Found) api.Found {
	v := api.Found{Kind: f.Kind, Livemode: f.Livemode, Source: f.Source, Contested: f.Contested}
	if f.Lane != "" && !strings.HasPrefix(f.Lane, "/") {
		v.Partner, v.Subject, v.Livemode = relay.SubjectOf(s.o.Relay.ShownLane(f.Lane))
	}
	if c := f.Change; c != nil {
		v.Sequence, v.Type, v.Record = c.Sequence, c.Type, c.Record
	}
	if r := f.Record; r != nil {
		v.At, v.Verdict, v.Changes = r.At, string(r.Verdict), r.Changes
	}
	if len(f.Deliveries) > 0 {
		v.Deliveries = s.viewDeliveries(f.Deliveries)
	}
	return v
}
