// Package control is the control listener: health and metrics for machines, and an API behind
// bearer tokens for operators.
//
// It is private (loopback by default), plain net/http, and never shares a listener with the
// callbacks. Every call that changes something, or shows what is sealed, stands in the audit trail
// with who asked.
package control

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/ingest/journal"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay"
	"countersign/relay/control/api"
	"countersign/relay/dispatch"
	"countersign/relay/registry"
	"countersign/relay/replay"
)

// Scope is what a token may do.
type Scope = api.Scope

// The scopes.
const (
	Viewer   = api.Viewer
	Operator = api.Operator
	Admin    = api.Admin
	Partner  = api.Partner
)

// Token is one bearer token, known by its digest only.
type Token struct {
	Name    string
	SHA256  [sha256.Size]byte
	Scope   Scope
	Partner string // of scope partner
}

// Options of a Server. Listener, Logger and Gatherer are required; a nil Relay and Dispatcher (role
// ingest) leave out what needs them.
type Options struct {
	Listener   net.Listener // closed by Run
	Relay      *relay.Relay
	Dispatcher *dispatch.Dispatcher // with Relay
	Outbox     *outbox.Outbox
	Replays    *replay.Replays    // with Relay; nil: there are none
	Store      *store.Store       // where the audit trail is kept
	Registry   *registry.Registry // where tokens are that are made here; nil: none can be
	Quarantine Quarantine
	// Release translates a body from quarantine again, as Ingress.Release does; nil (role relay):
	// nobody here can.
	Release func(journal.Item) (journal.Intake, error)
	// Foresee says what Release would come to; Explain, what a source would make of a callback, by
	// ErrNoSource and ErrStream; SourceStates, how each source is, by name. They write, count and log
	// nothing. nil: nobody here can say.
	Foresee      func(journal.Item) (Foreseen, error)
	Explain      func(source string, h http.Header, body []byte, at time.Time) (Explained, error)
	SourceStates func() []api.Source

	Questions Questions
	Backup    func(path string) (int64, error)
	Ready     func() (reasons, notes []string) // why not, none: ready; and what is worth knowing either way
	Doing     func() Doing                     // the phase of the process; nil: it serves
	Tokens    []Token
	NewToken  func() (string, error) // makes one that nobody can guess; nil: none can be made here
	Sources   map[string]bool        // names in the config
	Livemode  bool                   // of subjects, where a call does not say
	Version   string                 // of the program, as the OpenAPI document says it
	// SourcePartners has the one partner whose subjects a source is for; a source that is not in it
	// is for the subjects of all.
	SourcePartners map[string]string
	Logger         *slog.Logger
	Gatherer       prometheus.Gatherer
	Metrics        prometheus.Registerer
	// Reload reads the config again that the process was started with, and applies it; dry: only
	// says what that would come to. Errors wrap Refused where nothing was changed because of the
	// config. nil: there is no config to read.
	Reload    func(ctx context.Context, dry bool) (*api.Reloaded, error)
	Refusals  *Refusals        // nil: nobody looks
	AuditKeep time.Duration    // how long the audit trail keeps what was done; zero: for ever
	Now       func() time.Time // nil: time.Now

	// Exposed: others than this machine's own users reach the listener, so that metrics and
	// profiles take a token and /readyz tells strangers no reasons.
	Exposed bool
	Runbook func(alert string) ([]byte, error) // what to do about an alert, as Markdown; nil: nobody knows
	Names   []string                           // hosts that the listener may be called by, beside this machine's
	Conns   int                                // that may be open at once; 0: 32

	// Site makes what answers at / and below /console, beside the API and behind the same door. It
	// is given the API, to ask it without a socket on behalf of a token. nil: nothing is there.
	Site func(calls http.Handler) http.Handler
}

// Quarantine is what is needed of the bodies that could not be applied. Drop is all or none, and
// nil only when it is on stable storage.
type Quarantine interface {
	Items(after string, n int) ([]journal.ItemView, bool, error)
	Unseal(id string) (journal.Item, error)
	Drop(ctx context.Context, id string, t journal.Intake) error
}

// Questions is what is needed of the questions that providers have still to be asked. The error of
// the calls that drop is nil only when it is on stable storage.
type Questions interface {
	Questions(after string, n int) ([]journal.Question, bool, error)
	DropQuestion(ctx context.Context, id string) error
	DropQuestions(ctx context.Context, source string, before time.Time, all, dry bool) (n int, err error)
}

// Server is the control listener. Make it with New, run it with Run.
type Server struct {
	o          Options
	mux        *http.ServeMux
	site       http.Handler // nil: there is none
	m          *metrics
	now        func() time.Time
	door       *Door
	tokens     *holders
	settings   atomic.Pointer[Settings]
	profiling  atomic.Bool       // a profile is being made
	explaining atomic.Bool       // a callback is being explained
	looked     func(records int) // is told how many records a list has looked at; nil: nobody is

	calls onceOnly // that carry an Idempotency-Key

	compactions chan chan error // who asks for one, and is told whether it has begun
	scrubs      chan struct{}   // one token: somebody has been erased

	refusals, guests, driven, changed *allowance // by token
}

// New lays out the routes, and reads the tokens that were made.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Refusals == nil {
		o.Refusals = NewRefusals(nil)
	}
	s := &Server{o: o, mux: http.NewServeMux(), m: newMetrics(o.Metrics), now: o.Now, compactions: make(chan chan error), scrubs: make(chan struct{}, 1)}
	s.newAllowances()
	s.settings.Store(o.settings())
	s.door = NewDoor(DoorOptions{Listener: o.Listener, Names: o.Names, Conns: o.Conns, Refusals: o.Refusals, Logger: o.Logger, Now: o.Now})
	var err error
	if s.tokens, err = newHolders(o.Registry, o.Tokens); err != nil { // those that are not known are refused
		o.Logger.Error("tokens_unreadable", "error", err)
	}
	for _, p := range s.pages() {
		s.mux.Handle(p.pattern, p.serve)
	}
	for _, r := range s.routes() {
		s.mux.HandleFunc(r.Pattern, s.guard(r))
	}
	if o.Site != nil {
		s.site = o.Site(bounds(http.HandlerFunc(s.serve)))
	}
	return s
}

// Route is one call of the API and the least it asks for. api.Described has what else there is to
// say of it: a route that nobody has described fails a test.
type Route struct {
	Pattern string
	Scope   Scope // viewer, operator for what changes something, or admin for what concerns tokens
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
		{"GET /v1/audit/verify", Viewer, false, s.verifyAudit},
		{"POST /v1/backup", Operator, false, s.backup},
		{"POST /v1/reload", Operator, false, s.reload},
		{"GET /v1/compact", Viewer, false, s.compaction},
		{"POST /v1/compact", Operator, false, s.compact},
	}
	rs = append(append(rs, s.tokenRoutes()...), s.sourceRoutes()...)
	if s.o.Relay == nil {
		return rs
	}
	rs = append(
		rs,
		Route{"GET /v1/subjects", Viewer, true, s.persons},
		Route{"GET /v1/subjects/{partner}/{id}", Viewer, false, s.subject},
		Route{"GET /v1/subjects/{partner}/{id}/export", Operator, false, s.export},
		Route{"POST /v1/subjects/{partner}/{id}/erase", Operator, false, s.erase},
		Route{"GET /v1/subjects/{partner}/{id}/erasure", Viewer, false, s.erasure},
		Route{"POST /v1/subjects/{partner}/{id}/decisions", Operator, false, s.decide},
		Route{"GET /v1/set-aside", Viewer, false, s.aside},
		Route{"POST /v1/subjects/{partner}/{id}/rebuild", Operator, false, s.rebuild},
		Route{"GET /v1/policies/{partner}", Viewer, false, s.policy},
		Route{"POST /v1/policies/{partner}/apply", Operator, false, s.applyPolicy},
		Route{"POST /v1/submissions", Operator, true, s.submit},
		Route{"GET /v1/users/{id}/kyc", Viewer, true, s.user},
		Route{"GET /v1/refs/conflicts", Viewer, false, s.conflicts},
		Route{"POST /v1/refs/settle", Operator, false, s.settle},
		Route{"GET /v1/endpoints", Viewer, true, s.endpoints},
		Route{"POST /v1/endpoints/{id}/give-up", Operator, false, s.giveUp},
	)
	rs = append(rs, s.deliveryRoutes()...)
	rs = append(rs, s.withheldRoutes()...)
	rs = append(rs, s.partnerRoutes()...)
	rs = append(rs, s.steerRoutes()...)
	rs = append(rs, s.keyRoutes()...)
	rs = append(rs, s.replayRoutes()...)
	if !s.o.Livemode { // in live mode there is no such call
		rs = append(rs, Route{"POST /v1/test_helpers/users/{id}/kyc", Operator, true, s.simulate})
	}
	return rs
}

// mode is how a gateway is said to be run.
func mode(livemode bool) string {
	if livemode {
		return "live"
	}
	return "sandbox"
}

// problem is an error as the API shows it.
type problem struct {
	status  int
	Type    string
	Code    string
	Message string
	Param   string
}

// view is the problem as it is answered. What a caller sent comes back bounded.
func (p *problem) view() api.Error {
	return api.Error{Error: api.Fault{Type: p.Type, Code: p.Code, Message: cut(p.Message, maxMessage), Param: p.Param}}
}

// Error implements error.
func (p *problem) Error() string { return p.Message }

// guard lets a request through to r if its token may make it.
func (s *Server) guard(r Route) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		t, ok := s.admit(w, req)
		if !ok {
			return
		}
		if !t.may(r) {
			s.forbid(w, r.Scope)
			return
		}
		if t.Scope == Partner && s.o.Registry != nil { // which may have been renamed since the token was made
			t.Partner = s.o.Registry.Read().Shown(t.Partner)
		}
		if err := errors.Join(r.ids(req), s.guest(r, t)); err != nil {
			s.fail(w, err)
			return
		}
		req, c := s.noting(req, r, t)
		v, err := r.do(req, t)
		if r.audits(v) || c != nil && c.head().Number != 0 {
			err = errors.Join(err, s.record(req, c, v, err))
		}
		if err != nil {
			s.failCalled(w, err, c)
			return
		}
		if req.Method == http.MethodGet && oneThing(v) {
			w.Header().Set("ETag", declaredTag(v))
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

func (s *Server) json(w http.ResponseWriter, status int, v any) { reply(w, s.o.Logger, status, v) }

// reply writes v, and gives whoever asked some time to take it.
func reply(w http.ResponseWriter, log *slog.Logger, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff") // some of it is other people's text
	answerWithin(w, answerTime)
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		log.Debug("control_answer_cut", "error", err)
	}
}

// livemode reads whose subjects a call is about; unsaid, the gateway's own mode.
func (s *Server) livemode(req *http.Request) (bool, error) {
	return flag(req, "livemode", s.o.Livemode)
}

// flag reads a parameter that is true or false; unsaid is what it is without one.
func flag(req *http.Request, name string, unsaid bool) (bool, error) {
	switch req.URL.Query().Get(name) {
	case "":
		return unsaid, nil
	case "true":
		return true, nil
	case "false":
		return false, nil
	default:
		return false, bad(name, name+" is true or false")
	}
}

// bad is a request that cannot be carried out as it stands.
func bad(param, message string) error {
	return &problem{http.StatusBadRequest, "invalid_request", param, message, param}
}
