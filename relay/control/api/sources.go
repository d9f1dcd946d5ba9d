package api

import (
	"net/http"
	"time"
)

// Source is how a source of callbacks is set up, and what has come to it since the process began.
type Source struct {
	Object      string    `json:"object" enum:"source"`
	Name        string    `json:"name" doc:"The last part of the address that the provider posts to."`
	Provider    string    `json:"provider"`
	Partner     string    `json:"partner,omitempty" doc:"Whose subjects these are; without it, see partner_from."`
	PartnerFrom string    `json:"partner_from,omitempty" enum:"subject_prefix,submission" doc:"How a subject's partner is found."`
	Livemode    bool      `json:"livemode"`
	Proves      string    `json:"proves" enum:"network,authenticated,signed" doc:"The evidence of each callback."`
	Needs       string    `json:"needs" enum:"network,authenticated,signed" doc:"The evidence that an approval needs. With less, the provider is asked first."`
	Keys        int       `json:"keys" doc:"Keys of the config that verify."`
	Keyed       bool      `json:"keyed" doc:"A key proves its callbacks."`
	Published   []PubKey  `json:"published_keys,omitempty" doc:"Where the provider publishes its keys: those that are known."`
	Publishes   bool      `json:"publishes,omitempty" doc:"The provider publishes its keys."`
	Token       bool      `json:"token,omitempty" doc:"Its address ends with a secret token."`
	Stream      bool      `json:"stream,omitempty" doc:"Its provider's stream is followed: nobody posts to it."`
	Allow       []string  `json:"allow,omitempty" doc:"Client addresses that may post; without it, any."`
	Workflows   []string  `json:"workflows,omitempty" doc:"Whose approvals count; without it, all."`
	Rate        float64   `json:"rate,omitempty" doc:"Callbacks per second; without it, no limit."`
	MaxBody     int64     `json:"max_body" doc:"Bytes of a body."`
	Certificate time.Time `json:"certificate_ends_at,omitzero" doc:"When the TLS certificate of the listener for callbacks ends; without it, the listener serves plain HTTP."`

	Verdicts map[string]uint64 `json:"verdicts" doc:"Callbacks answered since the process began, by verdict."`
	Last     time.Time         `json:"last_callback_at,omitzero" doc:"When the last one was answered, whatever the answer; since the process began."`
	Taken    time.Time         `json:"last_taken_at,omitzero" doc:"When the last one was taken: accepted, ignored or quarantined."`
}

// PubKey is a key that a provider publishes.
type PubKey struct {
	ID      string    `json:"id"`
	Fetched time.Time `json:"fetched_at"`
	Until   time.Time `json:"serves_until" doc:"If it cannot be fetched anew before."`
}

// ExplainAsk is a callback as it was captured. Nothing of it is kept.
type ExplainAsk struct {
	Headers map[string][]string `json:"headers,omitempty"`
	Text    string              `json:"text,omitempty" doc:"The body, byte for byte, if it is text."`
	Body    []byte              `json:"body,omitempty" doc:"The body in base64, if it is not."`
	At      time.Time           `json:"at,omitzero" doc:"When it was received; unsaid, now."`
}

// Explanation is what a source would make of a callback.
type Explanation struct {
	Object   string       `json:"object" enum:"explanation"`
	Source   string       `json:"source"`
	Provider string       `json:"provider"`
	Proves   string       `json:"proves" doc:"The evidence of each callback of the source."`
	Needs    string       `json:"needs" doc:"The evidence that an approval needs."`
	Genuine  bool         `json:"genuine"`
	Verdict  string       `json:"verdict" doc:"That it would be answered with."`
	Why      string       `json:"why,omitempty" doc:"Of one that would be refused, kept or ignored."`
	Steps    []string     `json:"steps" doc:"Of the check of its signature."`
	Meaning  *Translation `json:"translation,omitempty" doc:"Of a genuine one only: what is not genuine is not read."`
	Updates  []Update     `json:"updates" doc:"That would be applied."`
}

// Translation is what an adapter makes of a body.
type Translation struct {
	Disposition string   `json:"disposition" enum:"update,fetch,kept,ignored,unreadable"`
	Error       string   `json:"error,omitempty"`
	Ignored     string   `json:"ignored,omitempty"`
	Hold        string   `json:"hold,omitempty"`
	Fetch       []Asked  `json:"fetch,omitempty" doc:"What the provider would be asked."`
	Updates     []Update `json:"updates,omitempty" doc:"As the adapter reads it, without what only the source knows."`
}

// Asked is a question for a provider's API.
type Asked struct {
	What     string `json:"what"`
	Ref      string `json:"ref"`
	Confirms bool   `json:"confirms,omitempty" doc:"It is asked only where the evidence is too weak."`
}

// BodyTranslation says what a release of a body would come to. Nothing is changed.
type BodyTranslation struct {
	Object   string    `json:"object" enum:"body_translation"`
	ID       string    `json:"id"`
	Source   string    `json:"source"`
	Provider string    `json:"provider"`
	Reason   string    `json:"reason" doc:"Why it is kept."`
	Detail   string    `json:"detail,omitempty"`
	At       time.Time `json:"at"`
	Bytes    int       `json:"bytes"`
	Releases bool      `json:"releases" doc:"A release would take it out, or apply something of it."`
	Why      string    `json:"why,omitempty" doc:"Why a release would change nothing."`
	Kept     string    `json:"kept,omitempty" doc:"Why the body would be kept on, although something of it is applied."`
	Updates  []Update  `json:"updates" doc:"That would be applied."`

	Persons  []PersonEffect `json:"persons,omitempty" doc:"What would become of the persons that it is about, and who would be told."`
	Unrouted int            `json:"unrouted,omitempty" doc:"Updates that would wait, because nobody knows yet whose they are."`
}

// PersonEffect is what would become of a person, and who would be told.
type PersonEffect struct {
	Partner  string   `json:"partner"`
	Subject  string   `json:"subject"`
	Livemode bool     `json:"livemode"`
	Before   string   `json:"before,omitempty"`
	After    string   `json:"after,omitempty"`
	Changes  []Effect `json:"changes"`
	SetAside bool     `json:"set_aside,omitempty" doc:"A record of theirs is damaged: it would be kept until they are rebuilt."`
}

// DiscardAsk may say why something is discarded.
type DiscardAsk struct {
	Reason string `json:"reason,omitempty" max:"500" doc:"Why, for the audit trail; it must not name the person."`
}

// sourceCalls are about where callbacks come from, and what they mean.
var sourceCalls = []Call{
	{
		Pattern: "GET /v1/sources", ID: "listSources", Summary: "List the sources of callbacks: their evidence, keys, and what has come to each",
		About: "What is counted is counted since the process began. A process of role relay has none.", Params: pages(), Answer: List[Source]{},
	},
	{
		Pattern: "POST /v1/sources/{name}/explain", ID: "explain", Summary: "Say step by step what a source would make of a callback",
		About: "Nothing of it is kept, counted or logged, and no provider is asked. What is not genuine is not translated. One is explained at a time. The call stands in the audit trail, with nothing of the callback.",
		Ask:   ExplainAsk{}, Answer: Explanation{},
		Refuses: []Refusal{
			notFound, otherRole,
			{http.StatusConflict, TypeConflict, "stream", "nobody posts to the source"},
			{http.StatusTooManyRequests, TypeUnavailable, "explaining", "another callback is being explained"},
		},
	},
	{
		Pattern: "GET /v1/quarantine/{id}/translation", ID: "translateBody", Summary: "Say what a release of a body would come to, with today's adapter and config",
		About: "Nothing is changed. The body itself is not shown, but what it says is, and so the call stands in the audit trail.", Reads: true, Answer: BodyTranslation{}, Refuses: []Refusal{notFound, otherRole},
	},
}
