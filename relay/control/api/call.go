package api

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
)

// Call describes one call: what it is for, what it takes, and everything that it may answer.
// relay/control adds who may make it.
type Call struct {
	Pattern string // method and path, as the mux takes them
	ID      string // names it in the document; with a capital letter, it is the client's method
	Summary string
	About   string    // further sentences; may be empty
	Reads   bool      // it shows what is kept sealed, or all that is kept of a person: it stands in the audit trail before it is answered
	Params  []Param   // in the query and the headers; those of the path are known by their names
	Ask     any       // an empty value of what its body is; nil: it takes none
	MayAsk  bool      // the body may be left out
	Answer  any       // an empty value of what it answers with 200; an Either of several
	Media   string    // what that is, where it is no JSON
	Refuses []Refusal // beside those of every call
}

// Either is an answer that is one of several, as the call's parameters want it.
type Either []any

// Param is one in the query or the headers.
type Param struct {
	Name     string
	Header   bool
	Need     bool
	About    string
	Kind     string // string, integer or boolean
	Format   string // such as date-time
	Enum     []string
	Min, Max int // of a number its bounds, of a text its bytes
	Default  any // what it is where it is left out
}

// Refusal is one way in which a call is refused.
type Refusal struct {
	Status int
	Type   string
	Code   string
	When   string
}

// The types of refusals. Each says whose fault it is.
const (
	TypeRequest        = "invalid_request"
	TypeAuthentication = "authentication"
	TypeAuthorization  = "authorization"
	TypeNotFound       = "not_found"
	TypeConflict       = "conflict"
	TypeRate           = "rate_limit"
	TypeUnavailable    = "unavailable"
	TypeInternal       = "internal"
)

// The refusals that any call behind a token may meet. A code of 400 is mostly the name of what is
// wrong.
var (
	badRequest   = Refusal{http.StatusBadRequest, TypeRequest, "", "an id, a parameter, a header or the body is not what the call takes; code and param name it"}
	unknownToken = Refusal{http.StatusUnauthorized, TypeAuthentication, "token_unknown", "no token came, or one that this gateway does not know"}
	expiredToken = Refusal{http.StatusUnauthorized, TypeAuthentication, "token_expired", "the token has ended"}
	revokedToken = Refusal{http.StatusUnauthorized, TypeAuthentication, "token_revoked", "the token was revoked"}
	tooSmall     = Refusal{http.StatusForbidden, TypeAuthorization, "scope_too_small", "the token may not make this call"}
	crossOrigin  = Refusal{http.StatusForbidden, TypeAuthorization, "cross_origin", "a page of another site made the call in somebody's browser"}
	strangeHost  = Refusal{http.StatusMisdirectedRequest, TypeRequest, "host", "the name in Host is not one of the listener's"}
	tooOften     = Refusal{http.StatusTooManyRequests, TypeAuthentication, "too_often", "wrong tokens come from this address faster than they are looked at"}
	ownFault     = Refusal{http.StatusInternalServerError, TypeInternal, "internal", "the gateway's own fault; its log says more"}
)

// Refusals that several calls share.
var (
	notFound     = Refusal{http.StatusNotFound, TypeNotFound, "not_found", "there is none of that id"}
	otherPartner = Refusal{http.StatusForbidden, TypeAuthorization, "other_partner", "the token is for another partner's subjects"}
	otherRole    = Refusal{http.StatusConflict, TypeConflict, "role", "this process has not the role that the call needs"}
	setAside     = Refusal{http.StatusConflict, TypeConflict, "set_aside", "a record of the subject is damaged: it has to be rebuilt first"}
	keyUsed      = Refusal{http.StatusConflict, TypeConflict, "idempotency_key_used", "the Idempotency-Key was used for another request"}
	notWhole     = Refusal{http.StatusConflict, TypeConflict, "history_not_whole", "the history of the subject is not whole any more"}
	refTaken     = Refusal{http.StatusConflict, TypeConflict, "ref_taken", "the ref belongs to another subject; it is contested from now on"}
	journalFull  = Refusal{http.StatusServiceUnavailable, TypeUnavailable, "journal_full", "there is no room for it now; Retry-After says when to try again"}
	tooMany      = Refusal{http.StatusTooManyRequests, TypeRate, "too_many", "too many are made, or are there, at once; Retry-After says when to try again"}
)

// Everywhere are the refusals of every call behind a token.
func Everywhere(writes bool) []Refusal {
	all := []Refusal{badRequest, unknownToken, expiredToken, revokedToken, tooSmall, strangeHost, tooOften, ownFault}
	if writes {
		all = append(all, crossOrigin)
	}
	return all
}

// Writes reports whether a call is one that changes something.
func (c *Call) Writes() bool { return !strings.HasPrefix(c.Pattern, http.MethodGet+" ") }

// Split returns a call's method and path.
func (c *Call) Split() (method, path string) {
	method, path, _ = strings.Cut(c.Pattern, " ")
	return method, path
}

// Calls are all that are described.
func Calls() []*Call {
	var all []*Call
	for _, table := range [][]Call{machineCalls, bodyCalls, sourceCalls, subjectCalls, refCalls, deliveryCalls, steerCalls, replayCalls, partnerCalls, keyCalls, tokenCalls} {
		for i := range table {
			all = append(all, &table[i])
		}
	}
	return all
}

// Refusals are all that a call may be refused with, each once, by status, type and code.
func Refusals() []Refusal {
	all := append(Everywhere(true), Refusal{http.StatusNotFound, TypeNotFound, "no_such_call", "there is no such call"},
		Refusal{http.StatusMethodNotAllowed, TypeRequest, "method", "the call takes another method, which Allow names"})
	for _, c := range Calls() {
		all = append(all, c.Refuses...)
	}
	slices.SortStableFunc(all, func(a, b Refusal) int {
		return cmp.Or(cmp.Compare(a.Status, b.Status), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Code, b.Code))
	})
	return slices.CompactFunc(all, func(a, b Refusal) bool { return a.Status == b.Status && a.Type == b.Type && a.Code == b.Code })
}

// Described finds the description of a route by its pattern; nil: nobody has described it.
func Described(pattern string) *Call {
	for _, c := range Calls() {
		if c.Pattern == pattern {
			return c
		}
	}
	return nil
}

// Parameters that several calls take.
var (
	limitParam    = Param{Name: "limit", Kind: "integer", Min: 1, Max: 1000, Default: 100, About: "How many entries a page has at most."}
	cursorParam   = Param{Name: "cursor", Kind: "string", Max: 2048, About: "The next of the page before; without it, the list begins."}
	livemodeParam = Param{Name: "livemode", Kind: "boolean", About: "Whether a live subject is meant; without it, as the gateway's mode."}
	partnerParam  = Param{Name: "partner", Kind: "string", Min: 1, Max: 256, About: "Whose subject it is. A partner's token needs none."}
	endpointParam = Param{Name: "endpoint", Kind: "string", Max: 1024, About: "Of this endpoint only; it need not be in the config any more."}
	keyHeader     = Param{Name: "Idempotency-Key", Header: true, Kind: "string", Min: 1, Max: 256, About: "The same request with the same key gets the same answer, and is carried out once."}
)

// pages are the parameters of a list, and its own.
func pages(own ...Param) []Param { return append([]Param{limitParam, cursorParam}, own...) }
