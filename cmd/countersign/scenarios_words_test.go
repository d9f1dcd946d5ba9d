package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
	"countersign/kyc"
	"countersign/kyc/truth"
	"countersign/relay"
	"countersign/signing"
)

// t0 is the minute 0 of the scenarios of kyc/truth.
var t0 = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// said is one word of a callback of the stage's providers: a word of the definition, and what only
// webhooks show.
type said struct {
	truth.Update
	Try    string `json:",omitempty"` // one try within the run
	Notice bool   `json:",omitempty"` // that an approval is about to end, and not that there is one
}

// callbackBody is the whole of a callback.
type callbackBody struct {
	Event string
	About string // partner:subject
	Said  []said
}

// refs are the provider's names for a person's things: no two people have any in common.
func refs(about, name string) string {
	if name == "" {
		return ""
	}
	_, id, _ := strings.Cut(about, ":")
	return id + "." + name
}

// translateSaid is Adapter.Translate of the stage's providers.
func translateSaid(_ signing.Header, body []byte, _ provider.Options) (res provider.Result, err error) {
	var b callbackBody
	if err := json.Unmarshal(body, &b); err != nil {
		return res, provider.ErrUnreadable
	}
	res.EventID, res.Dedupe = b.Event, []string{b.Event}
	for i := range b.Said {
		res.Updates = append(res.Updates, b.Said[i].update(b.About))
	}
	return res, nil
}

// update is a word as an adapter gives it.
func (w *said) update(about string) kyc.Update {
	u := kyc.Update{
		Subject: kyc.Subject{ID: about, ProviderRef: refs(about, "person")}, Check: kyc.Check(w.Key.Type), Scope: kyc.Overall,
		Verification:  kyc.Verification{Ref: refs(about, w.Ref), ParentRef: refs(about, w.Session), AttemptRef: refs(about, w.Try)},
		ProviderEvent: kyc.ProviderEvent{Revision: int64(w.Revision)}, OccurredAt: w.At, OccurredAtOrigin: kyc.OriginProvider, ExpiresAt: w.Expires, Expiring: w.Notice, Release: w.Lifts,
	}
	if !w.Key.Overall {
		u.Scope, u.Document.Type = kyc.CheckScope, w.Key.Part
	}
	if w.At.IsZero() {
		u.OccurredAtOrigin = kyc.OriginReceived
	}
	if w.Assumed {
		u.ExpiresAt = time.Time{}
	}
	for _, r := range w.Reasons {
		u.Reasons = append(u.Reasons, kyc.ReasonPair{Code: kyc.Reason(r)})
	}
	if !w.Mute {
		w.outcome(&u)
	}
	return u
}

// outcome says what the word says of a check. What may be tried again is retryable, as adapters say
// it.
func (w *said) outcome(u *kyc.Update) {
	switch w.Status {
	case truth.Lapsed:
		u.Status, u.ExpiryKind = kyc.Expired, kyc.ExpiryAttempt
	case truth.Expired:
		u.Status, u.ExpiryKind = kyc.Expired, kyc.ExpiryValidity
	case truth.Rejected:
		u.Status, u.Retryable = kyc.Rejected, true
	case truth.RejectedTerminal:
		u.Status, u.Terminal = kyc.Rejected, true
	default:
		u.Status = outcomes[w.Status]
	}
}

// outcomes are the statuses of the definition in our words.
var outcomes = map[truth.Status]kyc.Status{
	truth.NotStarted: kyc.NotStarted, truth.Pending: kyc.Pending, truth.Approved: kyc.Approved, truth.Expired: kyc.Expired, truth.InReview: kyc.InReview,
	truth.Rejected: kyc.Rejected, truth.RejectedTerminal: kyc.Rejected, truth.Suspended: kyc.Suspended,
}

// say brings a word to the gateway the way its kind comes: a callback to one of the ingresses, an
// answer of the provider's API, a decision, or a submission.
func (g *stage) say(about, event string, ws ...said) {
	w := &ws[0]
	partner, id, _ := strings.Cut(about, ":")
	switch {
	case w.Operator:
		g.append(decision(partner, id, event, w, g.clock.now()))
	case w.Submission:
		_, err := g.relay.Submit(g.t.Context(), relay.Submission{Partner: partner, Subject: id, Source: w.Key.Source, ProviderRef: refs(about, w.Session), Actor: "partner"})
		g.must(err)
	case w.Confirms && !w.Weak:
		g.answer(about, ws)
	default:
		body, err := json.Marshal(callbackBody{event, about, ws})
		g.must(err)
		d := g.strong
		if w.Weak {
			d = g.weak
		}
		g.send(d, w.Key.Source, body)
	}
}

// decision is the record of an operator's word, as relay.Decide writes it, but given when the word
// says.
func decision(partner, id, event string, w *said, now time.Time) journal.Record {
	u := w.update(id)
	u = kyc.Update{
		SchemaVersion: 1, Kind: kyc.Decision, Source: w.Key.Source, Partner: partner, Subject: kyc.Subject{ID: id}, Scope: u.Scope, Check: u.Check, Document: u.Document,
		Status: u.Status, ExpiryKind: u.ExpiryKind, Terminal: u.Terminal, Retryable: u.Retryable, Reasons: u.Reasons, ExpiresAt: u.ExpiresAt, Actor: "ops", Note: "seen",
		OccurredAt: u.OccurredAt, OccurredAtOrigin: u.OccurredAtOrigin, ReceivedAt: now,
	}
	if w.Status == truth.NotStarted {
		u.Status, u.Release = "", true
	}
	u.ID = kyc.UpdateID("", []string{partner, id, event}, u.Kind, "", "", "", 0, now)
	return journal.Record{Kind: u.Kind, Appended: now, Body: u.AppendJSON(nil), Update: &u}
}

// answer is what the provider's API said when it was asked.
func (g *stage) answer(about string, ws []said) {
	w := &ws[0]
	var res provider.Result
	for i := range ws {
		res.Updates = append(res.Updates, ws[i].update(about))
	}
	asked := w.AskedAt
	if asked.IsZero() {
		asked = g.clock.now()
	}
	body, err := json.Marshal(ws)
	g.must(err)
	q := journal.Question{Source: w.Key.Source, What: "run", Ref: cmp.Or(refs(about, w.Session), "none"), Claim: about + w.ID}
	t, err := g.strong.Confirmed(q, res, nil, [][]byte{body}, asked)
	g.must(err)
	g.append(t.Records...)
}

// webhook is what of a webhook the tables show.
type webhook struct {
	Type string  `json:"type"`
	Data telling `json:"data"`
}

// telling is what a webhook and a poll both say.
type telling struct {
	Sequence         uint64                                `json:"sequence"`
	PreviousSequence uint64                                `json:"previous_sequence"`
	Subject          struct{ ID string }                   `json:"subject"`
	Status           kyc.Status                            `json:"status"`
	PreviousStatus   kyc.Status                            `json:"previous_status"`
	Check            struct{ Type, Source, Status string } `json:"check"`
	Document         struct{ Type string }                 `json:"document"`
	Reasons          []kyc.ReasonPair                      `json:"reasons"`
	Retryable        bool                                  `json:"retryable"`
	Terminal         bool                                  `json:"terminal"`
	ApprovedAt       time.Time                             `json:"approved_at"`
	ExpiresAt        time.Time                             `json:"expires_at"`
	Confirm          bool                                  `json:"needs_confirmation"`
	Claimed          kyc.Status                            `json:"claimed_status"`
	DecidedBy        string                                `json:"decided_by"`
}

// postbox is the partners: what they are told, by partner and subject, in the order in which it
// comes.
type postbox struct {
	*httptest.Server
	mu  sync.Mutex // guards got
	got map[string][]webhook
}

func (p *postbox) open(t *testing.T) {
	t.Helper()
	p.got = map[string][]webhook{}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
}

// ServeHTTP implements http.Handler.
func (p *postbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var h webhook
	if err == nil {
		err = json.Unmarshal(body, &h)
	}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	about := strings.TrimPrefix(r.URL.Path, "/") + ":" + h.Data.Subject.ID
	p.got[about] = append(p.got[about], h)
}

// told is what a partner has been told of somebody.
func (p *postbox) told(about string) []webhook {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got[about])
}

// scale writes instants in a table: minutes after t0, one of which may stand for more than a
// minute.
type scale time.Duration

func (s scale) when(t time.Time) string {
	if t.IsZero() {
		return "no time"
	}
	if ago := kyc.AddMonths(t, -12); s == scale(time.Minute) && ago.After(t0.Add(-time.Hour)) {
		return "12 months after " + s.when(ago)
	}
	return fmt.Sprintf("+%.4g", float64(t.Sub(t0))/float64(s))
}

// poll asks where somebody stands, as a partner's system does.
func (g *stage) poll(about string) (d telling, err error) {
	partner, id, _ := strings.Cut(about, ":")
	if id = url.PathEscape(id); strings.Trim(id, ".") == "" { // HTTP clients and servers read dots as a way up
		id = strings.ReplaceAll(id, ".", "%2E")
	}
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, "http://"+g.control+"/v1/users/"+id+"/kyc?format=canonical&partner="+url.QueryEscape(partner), nil)
	if err != nil {
		return d, err
	}
	req.Header.Set("Authorization", "Bearer "+pollToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return d, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return d, errors.New(resp.Status)
	}
	return d, json.NewDecoder(resp.Body).Decode(&d)
}

// line is a webhook in a table.
func (h *webhook) line(s scale) string {
	d := &h.Data
	var b strings.Builder
	fmt.Fprintf(&b, "  %d %s", d.Sequence, h.Type)
	if !strings.HasPrefix(h.Type, "kyc.status.") {
		fmt.Fprintf(&b, " %s of %s: %s", strings.Trim(d.Check.Type+" "+d.Document.Type, " "), d.Check.Source, d.Status)
	} else {
		fmt.Fprintf(&b, ", %s before", d.PreviousStatus)
	}
	if len(d.Reasons) > 0 {
		var codes []string
		for _, r := range d.Reasons {
			codes = append(codes, string(r.Code))
		}
		fmt.Fprintf(&b, ", for %s", strings.Join(codes, " "))
	}
	for _, f := range []struct {
		is   bool
		text string
	}{{d.Terminal, "terminal"}, {d.Retryable, "retryable"}, {d.Confirm, "needs_confirmation"}, {d.Claimed != "", "claimed " + string(d.Claimed)}} {
		if f.is {
			b.WriteString(", " + f.text)
		}
	}
	if !d.ExpiresAt.IsZero() {
		b.WriteString(", until " + s.when(d.ExpiresAt))
	}
	return b.String()
}

// line is a word in a table, and when it came.
func (w *said) line(s scale, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s", s.when(now), w.Key.Source, w.Key.Type)
	if !w.Key.Overall {
		b.WriteString(strings.TrimRight(" step "+w.Key.Part, " "))
	}
	if w.Session != "" {
		fmt.Fprintf(&b, " run %s", w.Session)
	}
	add := func(is bool, text string) {
		if is {
			b.WriteString(", " + text)
		}
	}
	add(w.Ref != "", "about "+w.Ref)
	add(w.Try != "", "try "+w.Try)
	add(w.Weak, "unsigned")
	add(w.Operator, "operator")
	add(w.Confirms, "answer")
	add(w.Submission, "submission")
	add(w.Lifts, "ends the suspension")
	add(w.Notice, "notice")
	add(!w.Mute && !w.Submission, w.says())
	add(len(w.Reasons) > 0, "for "+strings.Join(w.Reasons, " "))
	add(!w.At.IsZero(), "at "+s.when(w.At))
	add(w.Revision > 0, fmt.Sprintf("revision %d", w.Revision))
	add(!w.Expires.IsZero() && !w.Assumed, "until "+s.when(w.Expires))
	add(!w.AskedAt.IsZero(), "asked at "+s.when(w.AskedAt))
	return b.String()
}

func (w *said) says() string {
	if w.Operator && w.Status == truth.NotStarted {
		return "Release"
	}
	return w.Status.String()
}
