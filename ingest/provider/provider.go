// Package provider holds one adapter per verification provider: how it signs its callbacks and what
// their bodies mean.
//
// An adapter is data and pure functions. It knows no source: names, partners, clocks and keys are
// the ingress's. It never logs, and its errors carry a field name and fixed words, never text from
// the body.
package provider

import (
	"errors"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

// Adapter is what we know of one provider.
type Adapter struct {
	Name     string
	Version  int              // of the mapping; raised when the same body would translate to something else
	Doc      string           // the provider's page on callbacks
	Evidence kyc.Authenticity // the best this provider's scheme can prove
	// Proves is what a source with these options proves, where that can be less than Evidence. Nil:
	// Evidence.
	Proves  func(Options) kyc.Authenticity
	Options map[string]string // what a source may configure, with the meaning and default of each
	// Scheme builds the verifier a source with these options uses. An unknown or impossible option
	// is an error that names the remedy.
	Scheme func(Options) (signing.Scheme, error)
	// Translate turns one genuine callback into updates. It is called only after the scheme has
	// accepted the bytes, except where the proof lies in the body.
	Translate func(h signing.Header, body []byte, o Options) (Result, error)
	Headers   []string // that Translate reads; kept beside a body in quarantine, so that it can be translated again
	// PersonRefs names the refs of an update that belong to one person only, and so may teach who
	// later callbacks are about.
	PersonRefs []RefKind
	Overall    []kyc.Check // what an overall approval of it can be of; nil: whatever its configuration says
	Steps      []kyc.Check // what an approval of a step or a document can be of
	Workflow   string      // what stands in an update's verification.workflow, as the provider calls it; "": nothing does
	Events     []string    // every event name it knows, sorted; each has a fixture
	API        *API        // how to ask the provider what it knows now; nil: nothing of it is built
	Stream     *Stream     // how to follow what it tells nobody unasked; then it posts no callbacks. Nil: it posts
	Gaps       []string    // what is not verified or not supported, in sentences, for docs/PROVIDERS.md
	reasons    reasonTable // its codes; testdata/NAME/reasons.json holds what they must mean
}

// Stream is how to follow a provider's server-sent events. Translate takes the data of one of them.
// They prove as much as a signature, since we opened the connection.
type Stream struct {
	Doc         string // the provider's page on the stream
	Live        string // base URL of live mode
	Sandbox     string // of test mode; empty: the same as Live
	Credentials string // what the source's api.user and api.key are at this provider, in words
	// Authorize adds what proves who follows. It is called for every connection.
	Authorize func(c *Call, k Credentials, now time.Time) error
	// Call opens the stream behind a cursor; empty: from the oldest event that the provider still
	// has.
	Call func(cursor string) Call
	// Cursor is the place right behind an event. It reads as little of the event as it can, so that
	// one that cannot be translated is passed all the same.
	Cursor func(event []byte) (string, error)
	// Gap reports whether a comment says that events were left out, which come again behind the
	// cursor. Nil: no comment does.
	Gap func(comment []byte) bool
}

// Base is the address of the stream where the source names none.
func (s *Stream) Base(live bool) string {
	if !live && s.Sandbox != "" {
		return s.Sandbox
	}
	return s.Live
}

// Authenticity is what a source with these options proves of each callback.
func (a Adapter) Authenticity(o Options) kyc.Authenticity {
	if a.Proves == nil {
		return a.Evidence
	}
	return a.Proves(o)
}

// RefKind names one of the provider's refs in an update.
type RefKind string

// The refs an adapter may mark as belonging to one person.
const (
	SubjectRef RefKind = "subject.provider_ref"
	SessionRef RefKind = "verification.ref"
	ParentRef  RefKind = "verification.parent_ref"
)

// Options are a source's settings for its adapter.
type Options map[string]string

// Result is one callback, translated. Nothing in it refers to the body after Translate has
// returned. No updates, no fetch, no Ignored and no Hold is a bug in the adapter: the ingress keeps
// such a body in quarantine.
type Result struct {
	EventID   string       // the provider's event id, "" if it has none
	EventType string       // the provider's name of the event
	Dedupe    []string     // what names this event for ever: its id, else the tuple of the adapter's page; empty: the digest of the body
	Updates   []kyc.Update // without what only a source knows: id, source, partner, received_at, authenticity
	Fetch     []Fetch      // thin callbacks: what to ask the provider
	Ignored   string       // why a known or unknown event carries no status, in fixed words
	Livemode  *bool        // what the body says; nil: it does not say
	KeepBody  bool         // applied, but a word in it was unknown: the body is kept too
	Hold      Hold         // why nothing of it is applied although it could be read: the body is kept for that reason; then there are no updates. "": nothing is in the way
	Fault     bool         // ignored, but the provider says that the integration is broken: an operator must look
	Reply     []byte       // a provider's handshake; nil: the usual short body
	Unsettled bool         // of an API's answer: the provider is still at work, so ask again later
}

// Hold is why a body that could be read is kept in place of being applied.
type Hold string

// The holds.
const (
	// UnknownEvent is a name that this version does not know beside an explicit decision: nobody is
	// told anything on a guess, and the decision is not lost.
	UnknownEvent Hold = "unknown_event"
	// OtherAccount is an account at the provider that is not the one the source is configured for:
	// its people are not ours.
	OtherAccount Hold = "account"
)

// Holds lists every Hold.
var Holds = []Hold{UnknownEvent, OtherAccount}

// Disposition is what becomes of the callback, in the words `countersign translate` prints. A
// Translate that failed is "unreadable" instead.
func (r Result) Disposition() string {
	switch {
	case len(r.Updates) > 0:
		return "update"
	case len(r.Fetch) > 0:
		return "fetch"
	case r.Hold != "":
		return "kept"
	default:
		return "ignored"
	}
}

// Fetch is a question for the provider's API.
type Fetch struct {
	Ref  string `json:"ref"`  // the provider's id of what to ask for; never a URL
	What string `json:"what"` // which resource, in the adapter's own words
	// Confirms says that the callback has a verdict of its own: the question is worth asking only
	// if the source's evidence is too weak for it.
	Confirms bool `json:"confirms,omitempty"`
}

// ErrUnreadable wraps every error of Translate: genuine, but not understood. The body is kept (I8).
var ErrUnreadable = errors.New("genuine but unreadable")
