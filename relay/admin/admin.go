// Package admin is the control listener: health and metrics for machines, and an API behind bearer tokens for operators.
//
// It is private (loopback by default), plain net/http, and never shares a listener with the callbacks. Every call that changes something is logged with who asked.
package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"countersign/ingest/journal"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay"
)

// Scope is what a token may do. Operator includes viewer.
type Scope string

// The scopes.
const (
	Viewer   Scope = "viewer"
	Operator Scope = "operator"
	Admin    Scope = "admin"
	Partner  Scope = "partner"
)

// Token is one bearer token, known by its digest only.
type Token struct {
	Name    string
	SHA256  [sha256.Size]byte
	Scope   Scope
	Partner string // of scope partner
}

// Options of a Server. Listener, Logger and Gatherer are required; a nil Relay (role ingest) leaves out what needs one.
type Options struct {
	Listener   net.Listener // closed by Run
	Relay      *relay.Relay
	Outbox     *outbox.Outbox
	Store      *store.Store // where the audit trail is kept
	Quarantine Quarantine
	// Release translates a body from quarantine again, as Ingress.Release does; nil (role relay): nobody here can.
	Release   func(journal.Item) (journal.Intake, error)
	Questions Questions
	Backup    func(path string) (int64, error)
	Ready     func() (reasons, notes []string) // why not, none: ready; and what is worth knowing either way
	Tokens    []Token
	Sources   map[string]bool // names in the config
	Livemode  bool            // of subjects, where a call does not say
	// SourcePartners has the one partner whose subjects a source is for; a source that is not in it is for the subjects of all.
	SourcePartners map[string]string
	Logger         *slog.Logger
	Gatherer       prometheus.Gatherer
	Metrics        prometheus.Registerer
	AuditKeep      time.Duration    // how long the audit trail keeps what was done; zero: for ever
	Now            func() time.Time // nil: time.Now
}

// Quarantine is what is needed of the bodies that could not be applied. Drop is all or none, and nil only when it is on stable storage.
type Quarantine interface {
	Items(after string, n int) ([]journal.ItemView, bool, error)
	Unseal(id string) (journal.Item, error)
	Drop(ctx context.Context, id string, t journal.Intake) error
}

// Questions is what is needed of the questions that providers have still to be asked. The error of the calls that drop is nil only when it is on stable storage.
type Questions interface {
	Questions(after string, n int) ([]journal.Question, bool, error)
	DropQuestion(ctx context.Context, id string) error
	DropQuestions(ctx context.Context, source string, before time.Time, all, dry bool) (n int, err error)
}

// Server is the control listener. Make it with New, run it with Run.
type Server struct {
	o   Options
	mux *http.ServeMux
	m   *metrics
	now func() time.Time

	refusals, guests, driven *allowance // by token
}

// New lays out the routes.
func New(o Options) *Server {
	s := &Server{o: o, mux: http.NewServeMux(), m: newMetrics(o.Metrics), now: o.Now}
	if s.now == nil {
		s.now = time.Now
	}
	s.newAllowances()
	s.mux.Handle("GET /metrics", promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	s.mux.HandleFunc("GET /healthz", s.health)
	s.mux.HandleFunc("GET /readyz", s.ready)
	s.mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	s.mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	s.mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	s.mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	s.mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	for _, r := range s.routes() {
		s.mux.HandleFunc(r.Pattern, s.guard(r))
	}
	return s
}

// Route is one call of the API and the least it asks for.
type Route struct {
	Pattern string
	Scope   Scope // viewer, or operator for what changes something
	Partner bool  // partners may call it too, and are answered about their own subjects only
	do      func(*http.Request, Token) (any, error)
}

func (s *Server) routes() []Route {
	rs := []Route{
		{"GET /v1/quarantine", Viewer, false, s.quarantine},
		{"GET /v1/quarantine/{id}", Operator, false, s.quarantined},
		{"POST /v1/quarantine/{id}/release", Operator, false, s.release},
		{"POST /v1/quarantine/{id}/discard", Operator, false, s.discard},
		{"POST /v1/quarantine/{id}/take-back", Operator, false, s.takeBack},
		{"GET /v1/questions", Viewer, false, s.questions},
		{"GET /v1/questions/old", Viewer, false, s.oldQuestions},
		{"POST /v1/questions/discard", Operator, false, s.dropQuestion},
		{"POST /v1/questions/discard-old", Operator, false, s.dropQuestions},
		{"GET /v1/audit", Viewer, false, s.audit},
		{"POST /v1/backup", Operator, false, s.backup},
	}
	if s.o.Relay == nil {
		return rs
	}
	rs = append(
		rs,
		Route{"GET /v1/subjects/{partner}/{id}", Viewer, false, s.subject},
		Route{"POST /v1/subjects/{partner}/{id}/decisions", Operator, false, s.decide},
		Route{"GET /v1/set-aside", Viewer, false, s.aside},
		Route{"POST /v1/subjects/{partner}/{id}/rebuild", Operator, false, s.rebuild},
		Route{"GET /v1/policies/{partner}", Viewer, false, s.policy},
		Route{"POST /v1/policies/{partner}/apply", Operator, false, s.applyPolicy},
		Route{"POST /v1/submissions", Operator, true, s.submit},
		Route{"GET /v1/users/{id}/kyc", Viewer, true, s.user},
		Route{"GET /v1/refs/conflicts", Viewer, false, s.conflicts},
		Route{"POST /v1/refs/settle", Operator, false, s.settle},
		Route{"GET /v1/endpoints", Viewer, false, s.endpoints},
		Route{"POST /v1/endpoints/{id}/resume", Operator, false, s.resume},
		Route{"GET /v1/deliveries", Viewer, false, s.deliveries},
		Route{"POST /v1/deliveries/{id}/redeliver", Operator, false, s.redeliver},
	)
	if !s.o.Livemode { // in live mode there is no such call
		rs = append(rs, Route{"POST /v1/test_helpers/users/{id}/kyc", Operator, true, s.pretend})
	}
	return rs
}

// Run serves until ctx ends. When it returns, calls under way have ended, or were cut off after two seconds.
func (s *Server) Run(ctx context.Context) error {
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.fail(w, &problem{http.StatusForbidden, "authorization", "cross_origin", "pages of other sites may not make changes", ""})
	}))
	h := origins.Handler(http.MaxBytesHandler(http.HandlerFunc(s.serve), 1<<20))
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.o.Logger.Handler(), slog.LevelDebug),
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(end) != nil {
			server.Close() //nolint:errcheck,gosec // it was asked politely
		}
	})
	defer stop()
	if err := server.Serve(s.o.Listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control listener: %w", err)
	}
	<-stopped // Serve returns as soon as the stop begins
	return nil
}

// serve hands a call to its route. What the mux refuses itself gets the shape of every other error.
func (s *Server) serve(w http.ResponseWriter, req *http.Request) {
	req = verbatim(req)
	h, pattern := s.mux.Handler(req)
	if pattern != "" {
		s.mux.ServeHTTP(w, req)
		return
	}
	refusal := &refusal{ResponseWriter: w}
	if h.ServeHTTP(refusal, req); refusal.status == http.StatusMethodNotAllowed {
		s.fail(w, &problem{http.StatusMethodNotAllowed, "invalid_request", "method", "this call takes " + w.Header().Get("Allow"), ""})
		return
	}
	s.fail(w, &problem{http.StatusNotFound, "not_found", "no_such_call", "there is no such call", ""})
}

// refusal keeps the status and the headers of an answer, and drops its text.
type refusal struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (r *refusal) WriteHeader(status int) { r.status = status }

// Write implements http.ResponseWriter.
func (r *refusal) Write(b []byte) (int, error) { return len(b), nil }

// health says that the process answers, and whether it tells partners about real people: the command line asks before it makes somebody up.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	mode := "sandbox"
	if s.o.Livemode {
		mode = "live"
	}
	s.json(w, http.StatusOK, map[string]any{"status": "ok", "mode": mode})
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	reasons, notes := s.o.Ready()
	answer, status := map[string]any{"status": "ready"}, http.StatusOK
	if len(reasons) > 0 {
		answer, status = map[string]any{"status": "not_ready", "reasons": reasons}, http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "1")
	}
	if len(notes) > 0 {
		answer["notes"] = notes
	}
	s.json(w, status, answer)
}

// problem is an error as the API shows it.
type problem struct {
	status  int
	Type    string `json:"type"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Param   string `json:"param,omitempty"`
}

// Error implements error.
func (p *problem) Error() string { return p.Message }

// guard lets a request through to r if its token may make it.
func (s *Server) guard(r Route) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		t, ok := s.token(req)
		if !ok {
			w.Header().Set("WWW-Authenticate", "Bearer")
			s.fail(w, &problem{http.StatusUnauthorized, "authentication", "token_unknown", "send Authorization: Bearer with a token of this gateway", ""})
			return
		}
		if !t.may(r) {
			s.fail(w, &problem{http.StatusForbidden, "authorization", "scope_too_small", "this call needs scope " + string(r.Scope), ""})
			return
		}
		if err := errors.Join(r.ids(req), s.guest(r, t)); err != nil {
			s.fail(w, err)
			return
		}
		v, err := r.do(req, t)
		if r.audits(v) {
			err = errors.Join(err, s.record(req, r, t, err))
		}
		if err != nil {
			s.fail(w, err)
			return
		}
		s.answer(w, v)
	}
}

func (t Token) may(r Route) bool {
	switch t.Scope {
	case Admin:
		return true
	case Operator:
		return r.Scope == Operator || r.Scope == Viewer
	case Viewer:
		return r.Scope == Viewer
	case Partner:
		return r.Partner
	default:
		return false
	}
}

func (s *Server) token(req *http.Request) (Token, bool) {
	text, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	if !ok || text == "" {
		return Token{}, false
	}
	sum := sha256.Sum256([]byte(text))
	var found Token
	hit := 0
	for _, t := range s.o.Tokens {
		if subtle.ConstantTimeCompare(sum[:], t.SHA256[:]) == 1 {
			found, hit = t, 1
		}
	}
	return found, hit == 1
}

func (s *Server) json(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		s.o.Logger.Debug("control_answer_cut", "error", err)
	}
}

// list is how every list is answered.
type list struct {
	Object  string `json:"object"`
	Data    any    `json:"data"`
	HasMore bool   `json:"has_more"`
}

// page reads after and limit.
func page(req *http.Request) (after string, limit int, err error) {
	limit = 100
	if text := req.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1000 {
			return "", 0, &problem{http.StatusBadRequest, "invalid_request", "limit", "limit is a number from 1 to 1000", "limit"}
		}
		limit = n
	}
	return req.URL.Query().Get("after"), limit, nil
}

// livemode reads whose subjects a call is about; unsaid, the gateway's own mode.
func (s *Server) livemode(req *http.Request) (bool, error) {
	switch req.URL.Query().Get("livemode") {
	case "":
		return s.o.Livemode, nil
	case "true":
		return true, nil
	case "false":
		return false, nil
	default:
		return false, bad("livemode", "livemode is true or false")
	}
}

// bad is a request that cannot be carried out as it stands.
func bad(param, message string) error {
	return &problem{http.StatusBadRequest, "invalid_request", param, message, param}
}
