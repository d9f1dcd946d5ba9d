package doctest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	contract "countersign/relay/control/api"
	"countersign/relay/control/client"
)

// recorder lets calls through, and holds each answer to the document.
type recorder struct {
	t     *testing.T
	ops   []*operation
	calls map[string]int // by operation
}

// RoundTrip implements http.RoundTripper.
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(b))
	var of *operation
	for _, o := range r.ops {
		if o.method == req.Method && o.matches(req.URL.EscapedPath()) && (of == nil || len(o.path) > len(of.path)) {
			of = o
		}
	}
	if of == nil {
		r.t.Errorf("the client calls %s %s, which is not in the document", req.Method, req.URL)
		return resp, err
	}
	r.calls[of.id]++
	for _, fault := range of.judge(&answer{resp.StatusCode, resp.Header, string(b)}) {
		r.t.Errorf("%s: %s", of.id, fault)
	}
	return resp, err
}

// TestClient: the client has a method for each call of the document, and each does what it says,
// against the whole program.
func TestClient(t *testing.T) {
	g := gateway(t)
	names := g.stage()
	rec := &recorder{t: t, ops: g.operations(t), calls: map[string]int{}}
	c := client.New(client.Options{Base: "http://" + g.control, Token: tokenOf("admin"), HTTP: &http.Client{Transport: rec}})
	s := &session{t: t, ctx: t.Context(), g: g, c: c, of: names.Replace}
	s.machines()
	s.bodies()
	s.subjects()
	s.refs()
	s.endpoints()
	s.keys("beta-main")
	s.partners()
	s.tokens()
	for _, o := range rec.ops {
		if method := strings.ToUpper(o.id[:1]) + o.id[1:]; !reflect.ValueOf(c).MethodByName(method).IsValid() {
			t.Errorf("the client has no %s", method)
		}
		if rec.calls[o.id] == 0 {
			t.Errorf("%s is called by nobody", o.id)
		}
	}
}

// session is somebody who uses the client.
type session struct {
	t   *testing.T
	ctx context.Context
	g   *running
	c   *client.Client
	of  func(string) string // how the stage calls a thing
}

// good fails where a call has, or has not done what it says.
func good[T any](s *session, v T, err error) func(did func(T) bool) T {
	s.t.Helper()
	return func(did func(T) bool) T {
		s.t.Helper()
		if err != nil || !did(v) {
			s.t.Errorf("%+v, %v", v, err)
		}
		return v
	}
}

// bad fails where a call was not refused with a code.
func bad(s *session, err error, code string) {
	s.t.Helper()
	var refused *client.Error
	if !errors.As(err, &refused) || refused.Code != code {
		s.t.Errorf("refused with %v, want %s", err, code)
	}
}

func (s *session) machines() {
	c, ctx := s.c, s.ctx
	health, err := c.Health(ctx)
	good(s, health, err)(func(v contract.Health) bool { return v.Status == "ok" && v.Mode == "sandbox" })
	ready, err := c.Readiness(ctx)
	good(s, ready, err)(func(v contract.Ready) bool { return v.Status == "ready" })
	runbook, err := c.Runbook(ctx, "CountersignPanics")
	good(s, runbook, err)(func(b []byte) bool { return bytes.HasPrefix(b, []byte("# CountersignPanics\n")) })
	metrics, err := c.Metrics(ctx, "")
	good(s, metrics, err)(func(b []byte) bool { return bytes.Contains(b, []byte("countersign_")) })
	document, err := c.Describe(ctx)
	good(s, document, err)(func(v json.RawMessage) bool { return bytes.Contains(v, []byte(`"openapi":"3.1`)) })
	heap, err := c.Profiles(ctx, "heap")
	good(s, heap, err)(func(b []byte) bool { return len(b) > 0 })
	line, err := c.CommandLine(ctx)
	good(s, line, err)(func(b []byte) bool { return bytes.Contains(b, []byte("serve")) })
	symbols, err := c.Symbols(ctx)
	good(s, symbols, err)(func(b []byte) bool { return len(b) > 0 })
	var profile, trace bytes.Buffer
	err = c.Profile(ctx, &profile, time.Second)
	good(s, profile.Len(), err)(func(n int) bool { return n > 0 })
	err = c.Trace(ctx, &trace, time.Second)
	good(s, trace.Len(), err)(func(n int) bool { return n > 0 })
}

func (s *session) bodies() {
	c, ctx := s.c, s.ctx
	bodies, err := c.ListQuarantine(ctx, client.Page{})
	good(s, bodies, err)(func(l contract.List[contract.QuarantinedBody]) bool { return len(l.Data) == 2 })
	held, err := c.ListHeld(ctx, client.Page{Limit: 2})
	good(s, held, err)(func(l contract.List[contract.UnroutedRecord]) bool {
		return len(l.Data) == 2 && l.HasMore && l.Next != ""
	})
	n := 0
	for v, err := range client.All(ctx, client.Page{Limit: 1}, c.ListHeld) {
		if n++; err != nil || v.ID == "" {
			s.t.Fatalf("%+v, %v", v, err)
		}
	}
	good(s, n, nil)(func(n int) bool { return n == 3 })
	open, err := c.OpenBody(ctx, s.of("{body}"))
	good(s, open, err)(func(v contract.OpenedBody) bool { return strings.Contains(v.Text, "applicant-5") })
	means, err := c.TranslateBody(ctx, s.of("{live}"))
	good(s, means, err)(func(v contract.BodyTranslation) bool { return v.Releases && len(v.Updates) == 1 })
	sources, err := c.ListSources(ctx, client.Page{})
	good(s, sources, err)(func(l contract.List[contract.Source]) bool { return len(l.Data) > 1 && l.Data[0].Verdicts != nil })
	told, err := c.Explain(ctx, "sumsub-eu", contract.ExplainAsk{Text: "{}"})
	good(s, told, err)(func(v contract.Explanation) bool { return !v.Genuine && v.Verdict == "unsigned" && v.Meaning == nil })
	_, err = c.Release(ctx, s.of("{body}"), nil)
	s.refused(err, http.StatusConflict, "conflict", "still_unclear", "")
	released, err := c.Release(ctx, s.of("{held}"), &contract.ReleaseAsk{Partner: "acme", Subject: "user-006"})
	good(s, released, err)(func(v contract.Released) bool { return v.Released && v.Object == "unrouted_record" })
	s.g.until("it is taken back", func() bool {
		back, err := c.TakeBack(ctx, s.of("{held}"), "it is user-007's")
		return err == nil && back.TakenBack && back.Subject == "user-006"
	})
	gone, err := c.Discard(ctx, s.of("{body}"), "ticket 4816")
	good(s, gone, err)(func(v contract.Discarded) bool { return v.Discarded })
	_, err = c.OpenBody(ctx, s.of("{body}"))
	s.refused(err, http.StatusNotFound, "not_found", "not_found", "")

	questions, err := c.ListQuestions(ctx, client.Page{})
	good(s, questions, err)(func(l contract.List[contract.Question]) bool { return len(l.Data) == 1 && l.Data[0].Source == "jumio" })
	old, err := c.CountOldQuestions(ctx, contract.OldAsk{Source: "jumio", Older: "0s", All: true})
	good(s, old, err)(func(v contract.OldQuestions) bool { return v.Count == 1 && !v.Discarded })
	closed, err := c.DiscardQuestion(ctx, questions.Data[0].ID)
	good(s, closed, err)(func(v contract.Discarded) bool { return v.Discarded })
	old, err = c.DiscardOldQuestions(ctx, contract.OldAsk{Source: "jumio", Older: "0s", All: true})
	good(s, old, err)(func(v contract.OldQuestions) bool { return v.Count == 0 && v.Discarded })
}

// refused fails where a call was not refused just so.
func (s *session) refused(err error, status int, kind, code, param string) {
	s.t.Helper()
	e, ok := errors.AsType[*client.Error](err)
	if !ok || e.Status != status || e.Type != kind || e.Code != code || e.Param != param || e.Error() == "" || !client.Is(fmt.Errorf("more: %w", err), code) {
		s.t.Errorf("refused as %#v, want %d %s %s %s", err, status, kind, code, param)
	}
}

func (s *session) subjects() {
	c, ctx, no := s.c, s.ctx, false
	ann, err := c.Subject(ctx, "acme", "user-001", &no, time.Time{}, client.Page{})
	good(s, ann, err)(func(v contract.Subject) bool { return v.Status.Status == "approved" && len(v.Records) == 1 })
	then, err := c.Subject(ctx, "acme", "user-001", &no, time.Now(), client.Page{Limit: 1})
	good(s, then, err)(func(v contract.Subject) bool {
		return v.Status.Status == "approved" && v.At != nil && v.At.By == "evaluation"
	})
	listed, err := c.ListSubjects(ctx, client.Page{}, client.Subjects{Partner: "acme", Begins: "user-001", Livemode: &no})
	good(s, listed, err)(func(l contract.List[contract.ListedSubject]) bool {
		return len(l.Data) == 1 && l.Data[0].ID == "user-001"
	})
	var kept bytes.Buffer
	err = c.ExportSubject(ctx, &kept, "acme", "user-001", &no)
	var export contract.SubjectExport
	good(s, export, errors.Join(err, json.Unmarshal(kept.Bytes(), &export)))(func(contract.SubjectExport) bool { return len(export.Kept) > 10 && export.ID == "user-001" })
	_, err = c.Subject(ctx, "acme", "..", nil, time.Time{}, client.Page{}) // a name, and no step in a path
	s.refused(err, http.StatusNotFound, "not_found", "not_found", "")
	release := contract.DecisionAsk{Source: "sumsub-eu", Check: "identity_verification", Release: true, Reason: "a namesake"}
	release.DryRun = true
	foreseen, err := c.Decide(ctx, "acme", "user-003", nil, "", release)
	good(s, foreseen, err)(func(v contract.Decision) bool { return v.DryRun && v.ID == "" && v.Lifts == 1 })
	release.DryRun = false
	first, err := c.Decide(ctx, "acme", "user-003", nil, "key-1", release)
	good(s, first, err)(func(v contract.Decision) bool { return v.Folded && v.ID != "" && *v.Released })
	again, err := c.Decide(ctx, "acme", "user-003", nil, "key-1", release)
	good(s, again, err)(func(v contract.Decision) bool { return v.ID == first.ID })
	release.Reason = ""
	_, err = c.Decide(ctx, "acme", "user-003", nil, "", release)
	s.refused(err, http.StatusBadRequest, "invalid_request", "reason", "reason")
	aside, err := c.ListSetAside(ctx, client.Page{})
	good(s, aside, err)(func(l contract.List[contract.SetAside]) bool { return len(l.Data) == 1 && l.Data[0].ID == "user-009" })
	rebuilt, err := c.Rebuild(ctx, "acme", "user-009", nil, contract.RebuildAsk{Reason: "a disk failed"})
	good(s, rebuilt, err)(func(v contract.Rebuild) bool { return v.Folded && v.After == "approved" })
	plan, err := c.Policy(ctx, "acme")
	good(s, plan, err)(func(v contract.Plan) bool { return v.Version == 1 && !v.Applied })
	plan, err = c.ApplyPolicy(ctx, "acme")
	good(s, plan, err)(func(v contract.Plan) bool { return v.Applied })
	user, err := c.User(ctx, "acme", "user-001", nil)
	good(s, user, err)(func(v contract.User) bool { return v.Status == "approved" && v.Partner == "acme" })
	polled, err := c.BlendFiUser(ctx, "acme", "user-001", nil)
	good(s, polled, err)(func(v contract.BlendFiUser) bool { return v.Status == "approved" && v.UserID == "user-001" })
	tested, err := c.DriveTest(ctx, "acme", "user-010", "key-2", contract.TestAsk{Status: "rejected", Reasons: []string{"fraud_suspected"}})
	good(s, tested, err)(func(v contract.Tested) bool { return v.Status == "rejected" })
}

func (s *session) refs() {
	c, ctx := s.c, s.ctx
	ask := contract.SubmissionAsk{Partner: "acme", Subject: "user-004", Source: "sumsub-eu", ProviderRef: "applicant-88"}
	sub, err := c.Submit(ctx, ask)
	good(s, sub, err)(func(v contract.Submission) bool { return v.ID != "" && v.Subject == "user-004" })
	ask.Subject = "user-005"
	s.g.until("the ref is taken", func() bool {
		_, err = c.Submit(ctx, ask)
		return err != nil
	})
	s.refused(err, http.StatusConflict, "conflict", "ref_taken", "provider_ref")
	s.g.until("the ref is contested", func() bool {
		l, err := c.ListConflicts(ctx, client.Page{})
		return err == nil && len(l.Data) == 1 && len(l.Data[0].Claims) == 2
	})
	settled, err := c.Settle(ctx, contract.SettleAsk{Source: "sumsub-eu", ProviderRef: "applicant-88", Partner: "acme", Subject: "user-004", Reason: "as the dashboard shows"})
	good(s, settled, err)(func(v contract.Settled) bool { return v.Settled })
}

func (s *session) endpoints() {
	c, ctx := s.c, s.ctx
	gone, err := c.GiveUp(ctx, "acme-old", true) // it has answered 410
	good(s, gone, err)(func(v contract.GaveUp) bool { return v.DryRun && v.GivenUp == 0 && v.Endpoint == "acme-old" })
	paused, err := c.Pause(ctx, "acme-old")
	good(s, paused, err)(func(v contract.Paused) bool { return v.Paused })
	endpoints, err := c.ListEndpoints(ctx, client.Page{})
	good(s, endpoints, err)(func(l contract.List[contract.Endpoint]) bool {
		return len(l.Data) == 3 && l.Data[1].Paused != nil && l.Data[0].Paused == nil
	})
	resumed, err := c.Resume(ctx, "acme-old")
	good(s, resumed, err)(func(v contract.Resumed) bool { return v.Resumed })
	pinged, err := c.Ping(ctx, "acme-main")
	good(s, pinged, err)(func(v contract.Ping) bool { return v.Delivered && v.Code == http.StatusOK })
	dead, err := c.ListDeliveries(ctx, client.Page{}, client.Deliveries{Status: "dead_lettered", Endpoint: "acme-main"})
	good(s, dead, err)(func(l contract.List[contract.Delivery]) bool {
		return len(l.Data) == 1 && l.Data[0].Attempts == 2 && l.Data[0].Code == http.StatusNotFound
	})
	id := dead.Data[0].ID
	one, err := c.Delivery(ctx, id)
	good(s, one, err)(func(v contract.DeliveryDetail) bool {
		return v.ID == id && len(v.Tries) == 2 && v.Body != "" && v.Withheld != nil
	})
	tried, err := c.DeliveryAttempts(ctx, id)
	good(s, tried, err)(func(v contract.DeliveryDetail) bool {
		return v.ID == id && len(v.Tries) == 2 && v.Body == "" && v.Withheld != nil
	})
	_, err = c.RetryNow(ctx, id)
	bad(s, err, "dead_lettered")
	_, err = c.Skip(ctx, id)
	bad(s, err, "dead_lettered")
	_, err = c.Cancel(ctx, id, contract.CancelAsk{Because: "a test person"})
	bad(s, err, "restrictive")
	hurried, err := c.RetryAllNow(ctx, "acme-main")
	good(s, hurried, err)(func(v contract.HurriedAll) bool { return v.ID == "acme-main" && v.Moved == 0 })
	found, err := c.Search(ctx, id)
	good(s, found, err)(func(v contract.Search) bool { return len(v.Data) == 1 && v.Data[0].Kind == "delivery" && v.Complete })
	withheld, err := c.ListWithheld(ctx, client.Page{}, "acme-main", false)
	good(s, withheld, err)(func(l contract.List[contract.Withheld]) bool { return len(l.Data) == 1 && l.Data[0].ID == id })
	told, err := c.Acknowledge(ctx, id, "told by telephone")
	good(s, told, err)(func(v contract.Acknowledged) bool { return v.Acknowledged.By == "admin" && v.Object == "withheld" })
	withheld, err = c.ListWithheld(ctx, client.Page{}, "", true)
	good(s, withheld, err)(func(l contract.List[contract.Withheld]) bool {
		return len(l.Data) == 1 && l.Data[0].Acknowledged.Reason == "told by telephone"
	})
	s.replays()
	ordered, err := c.Redeliver(ctx, id, "", false)
	good(s, ordered, err)(func(v contract.Redelivery) bool { return v.Ordered && v.ID == id })
}

// replays asks for one that finds what is dead and orders nothing, and for one that is so slow that
// it can be turned.
func (s *session) replays() {
	c, ctx := s.c, s.ctx
	dry, err := c.CreateReplay(ctx, "replayed-once", contract.ReplayAsk{Kind: "dead_lettered", Endpoint: "acme-main", DryRun: true})
	good(s, dry, err)(func(v contract.Replay) bool { return v.State == "counting" && v.To == "acme-main" && v.Rate == 100 })
	same, err := c.CreateReplay(ctx, "replayed-once", contract.ReplayAsk{Kind: "dead_lettered", Endpoint: "acme-main", DryRun: true})
	good(s, same, err)(func(v contract.Replay) bool { return v.ID == dry.ID })
	for range 1000 {
		if dry, err = c.Replay(ctx, dry.ID); err != nil || !dry.Ended.IsZero() {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	good(s, dry, err)(func(v contract.Replay) bool { return v.State == "done" && v.Total == 1 && v.Ordered == 0 })
	slow, err := c.CreateReplay(ctx, "", contract.ReplayAsk{Kind: "current", To: "acme-old", Rate: 0.001})
	good(s, slow, err)(func(v contract.Replay) bool { return v.Endpoint == "acme-old" })
	paused, err := c.PauseReplay(ctx, slow.ID)
	good(s, paused, err)(func(v contract.Replay) bool { return v.State == "paused" })
	resumed, err := c.ResumeReplay(ctx, slow.ID)
	good(s, resumed, err)(func(v contract.Replay) bool { return v.State == "counting" || v.State == "running" })
	cancelled, err := c.CancelReplay(ctx, slow.ID)
	good(s, cancelled, err)(func(v contract.Replay) bool { return v.State == "cancelled" && !v.Ended.IsZero() })
	list, err := c.ListReplays(ctx, client.Page{})
	good(s, list, err)(func(l contract.List[contract.Replay]) bool { return len(l.Data) == 3 && l.Data[0].ID == slow.ID })
}

func (s *session) partners() {
	c, ctx := s.c, s.ctx
	made, err := c.CreatePartner(ctx, "made-once", contract.PartnerAsk{ID: "gamma"})
	good(s, made, err)(func(v contract.PartnerDetail) bool { return v.ID == "gamma" && v.From == "api" })
	again, err := c.CreatePartner(ctx, "made-once", contract.PartnerAsk{ID: "gamma"})
	good(s, again, err)(func(v contract.PartnerDetail) bool { return v.Version == made.Version })
	all, err := c.ListPartners(ctx, client.Page{})
	good(s, all, err)(func(l contract.List[contract.PartnerDetail]) bool { return len(l.Data) == 3 })
	endpoint, err := c.CreateEndpoint(ctx, "gamma", "", contract.EndpointAsk{ID: "gamma-main", URL: s.g.partner.URL + "/gamma"})
	good(s, endpoint, err)(func(v contract.EndpointDetail) bool { return v.Key != "" && v.Partner == "gamma" })
	changed, err := c.UpdateEndpoint(ctx, "gamma-main", fmt.Sprintf(`"v%d"`, endpoint.Version), contract.Fields{"concurrency": 3, "filter": `change.status == "rejected"`})
	good(s, changed, err)(func(v contract.EndpointDetail) bool { return v.Concurrency == 3 && v.Filter != "" && v.Key == "" })
	_, err = c.UpdateEndpoint(ctx, "gamma-main", fmt.Sprintf(`"v%d"`, endpoint.Version), contract.Fields{"concurrency": 4})
	s.refused(err, http.StatusPreconditionFailed, "conflict", "changed_meanwhile", "If-Match")
	cleared, err := c.UpdateEndpoint(ctx, "gamma-main", "", contract.Fields{"filter": ""})
	good(s, cleared, err)(func(v contract.EndpointDetail) bool { return v.Filter == "" && v.Concurrency == 3 })
	shown, err := c.Endpoint(ctx, "gamma-main")
	good(s, shown, err)(func(v contract.EndpointDetail) bool { return v.Version == cleared.Version && v.Key == "" })
	of, err := c.ListEndpointsOf(ctx, client.Page{}, "gamma")
	good(s, of, err)(func(l contract.List[contract.EndpointDetail]) bool {
		return len(l.Data) == 1 && l.Data[0].ID == "gamma-main"
	})
	partner, err := c.UpdatePartner(ctx, "gamma", "", contract.PartnerAsk{MaxSubmissions: 7})
	good(s, partner, err)(func(v contract.PartnerDetail) bool { return v.MaxSubmissions == 7 })
	partner, err = c.Partner(ctx, "gamma")
	good(s, partner, err)(func(v contract.PartnerDetail) bool { return v.MaxSubmissions == 7 && len(v.Endpoints) == 1 })
	removed, err := c.RemoveEndpoint(ctx, "gamma-main", "", true)
	good(s, removed, err)(func(v contract.Removed) bool { return v.DryRun && !v.Removed })
	removed, err = c.RemoveEndpoint(ctx, "gamma-main", "", false)
	good(s, removed, err)(func(v contract.Removed) bool { return v.Removed })
	removed, err = c.RemovePartner(ctx, "gamma", "", false)
	good(s, removed, err)(func(v contract.Removed) bool { return v.Removed && v.Object == "partner" })
}

func (s *session) keys(endpoint string) {
	c, ctx := s.c, s.ctx
	made, err := c.RotateKey(ctx, endpoint, "rotate-1", contract.RotateAsk{Kind: "ed25519", Overlap: "1h"})
	good(s, made, err)(func(v contract.EndpointKey) bool { return v.PublicKey != "" && v.Secret == "" && v.ID != "" })
	again, err := c.RotateKey(ctx, endpoint, "rotate-1", contract.RotateAsk{Kind: "ed25519", Overlap: "1h"})
	good(s, again, err)(func(v contract.EndpointKey) bool { return v == made })
	keys, err := c.ListKeys(ctx, endpoint)
	good(s, keys, err)(func(l contract.List[contract.EndpointKey]) bool {
		return len(l.Data) > 1 && l.Data[0].ID == made.ID && !l.Data[1].Until.IsZero()
	})
	revoked, err := c.RevokeKey(ctx, endpoint, made.ID, "revoke-1", true)
	good(s, revoked, err)(func(v contract.RevokedKey) bool { return v.Revoked && v.ID == made.ID && v.Replacement != nil })
	repeated, err := c.RevokeKey(ctx, endpoint, made.ID, "revoke-1", true)
	good(s, repeated, err)(func(v contract.RevokedKey) bool { return *v.Replacement == *revoked.Replacement })
}

func (s *session) tokens() {
	c, ctx := s.c, s.ctx
	ends := time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	made, err := c.MakeToken(ctx, "dashboard", contract.TokenAsk{Scope: contract.Viewer, ExpiresAt: ends})
	good(s, made, err)(func(v contract.Token) bool { return v.Token != "" && v.ExpiresAt.Equal(ends) })
	viewer := client.New(client.Options{Base: "http://" + s.g.control, Token: made.Token})
	who, err := c.Whoami(ctx)
	good(s, who, err)(func(v contract.Identity) bool { return v.Name != "" && v.Mode == "sandbox" })
	_, err = viewer.Backup(ctx, filepath.Join(s.g.dir, "backup.db"))
	s.refused(err, http.StatusForbidden, "authorization", "scope_too_small", "")
	seen, found := 0, false
	for v, err := range client.All(ctx, client.Page{Limit: 2}, c.ListTokens) {
		if seen++; err != nil {
			s.t.Fatal(err)
		}
		found = found || v.Name == "dashboard" && v.Token == ""
	}
	good(s, seen, nil)(func(n int) bool { return n == 7 && found }) // five of the config, that of the data directory, and this
	revoked, err := c.RevokeToken(ctx, "dashboard")
	good(s, revoked, err)(func(v contract.Revoked) bool { return v.Revoked })
	_, err = viewer.ListAudit(ctx, client.Page{}, client.Span{})
	s.refused(err, http.StatusUnauthorized, "authentication", "token_revoked", "")
	audit, err := c.ListAudit(ctx, client.Page{Limit: 1}, client.Span{Actor: "admin"})
	good(s, audit, err)(func(l contract.AuditList) bool {
		return len(l.Data) == 1 && l.Data[0].Path == "/v1/tokens/dashboard/revoke" && l.Head.Number >= l.Data[0].Number && l.Head.Head != ""
	})
	verified, err := c.VerifyAudit(ctx, "", audit.Head.Head)
	good(s, verified, err)(func(v contract.AuditVerification) bool {
		return v.OK && v.Noted == "proved" && !v.HasMore && v.Entries > 10
	})
	_, err = c.VerifyAudit(ctx, "", "1:00")
	s.refused(err, http.StatusBadRequest, "invalid_request", "head", "head")
	var trail bytes.Buffer
	err = c.StreamAudit(ctx, &trail, client.Span{Since: "2026-01-01"})
	good(s, trail.String(), err)(func(text string) bool {
		return strings.Count(text, "\n") > 10 && strings.Contains(text, "/v1/tokens/dashboard")
	})
	reloaded, err := c.Reload(ctx, true)
	good(s, reloaded, err)(func(v contract.Reloaded) bool { return v.DryRun && !v.Applied && len(v.Differences) == 0 })
	s.g.write("countersign.yaml", "mode: neither\n")
	_, err = c.Reload(ctx, false)
	s.refused(err, http.StatusUnprocessableEntity, "invalid_request", "config_refused", "")
	if e, ok := errors.AsType[*client.Error](err); !ok || len(e.Problems) == 0 || e.Problems[0].Line == 0 {
		s.t.Errorf("what is wrong with the config is not said: %v", err)
	}
	compaction, err := c.Compact(ctx, true)
	good(s, compaction, err)(func(v contract.Compaction) bool { return v.DryRun && v.State == "idle" && v.FileBytes > 0 })
	compaction, err = c.Compact(ctx, false)
	for err == nil && compaction.Running() {
		compaction, err = c.Compaction(ctx)
	}
	good(s, compaction, err)(func(v contract.Compaction) bool { return v.State == "done" && v.AfterBytes > 0 })
	s.erasure()
	backup, err := c.Backup(ctx, filepath.Join(s.g.dir, "backup.db"))
	good(s, backup, err)(func(v contract.Backup) bool { return v.Bytes > 0 && v.Checked })
}
