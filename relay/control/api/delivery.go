package api

import "time"

// Delivery is one change that is, or was, owed to one endpoint. What of it says nothing of its
// status is left out.
type Delivery struct {
	ID          string    `json:"id"`
	Status      string    `json:"status" enum:"pending,retrying,delivered,dead_lettered,cancelled" doc:"pending: no failed attempt yet, or waiting behind another one of its person. retrying: the first pending one of its person, has failed and is tried again."`
	Endpoint    string    `json:"endpoint"`
	Partner     string    `json:"partner,omitempty"`
	Subject     string    `json:"subject,omitempty"`
	Livemode    bool      `json:"livemode"`
	About       string    `json:"about,omitempty" doc:"For an operational webhook, which is about no person: the endpoint that it is about."`
	Sequence    uint64    `json:"sequence"`
	Previous    uint64    `json:"previous_sequence,omitempty"`
	Type        string    `json:"type"`
	Format      string    `json:"format,omitempty"`
	Trace       string    `json:"traceparent,omitempty"`
	Restrictive bool      `json:"restrictive,omitempty" doc:"A rejection or suspension; of what was delivered it is not said."`
	Forced      bool      `json:"forced,omitempty" doc:"It was sent again although a later change may have been sent since."`
	Anew        bool      `json:"rendered_anew,omitempty" doc:"In that format, because it could not be signed any more as it was made."`
	Replayed    bool      `json:"replayed,omitempty" doc:"Created by a replay."`
	Owed        time.Time `json:"created_at,omitzero"`
	Received    time.Time `json:"received_at,omitzero" doc:"When what caused it was received."`
	Attempts    int       `json:"attempts" doc:"So far, or in all."`
	NextAttempt time.Time `json:"next_attempt,omitzero" doc:"When it is due; left out where something else has to happen before."`
	WaitsFor    string    `json:"waits_for,omitempty" enum:"try,turn,answer,behind,breaker,rest,paused,disabled,orphaned" doc:"What a pending delivery waits for. try: until next_attempt. turn: it is due and waits for its turn. answer: an attempt is running. behind: an earlier delivery of the same person. breaker: the endpoint has to answer a probe. rest: the endpoint asked for a pause (Retry-After). paused, disabled: the endpoint has to be re-enabled. orphaned: its endpoint is not in the config."`
	WaitsUntil  time.Time `json:"waits_until,omitzero" doc:"Of a rest."`
	Behind      string    `json:"behind,omitempty" doc:"The id of the delivery that goes first."`
	LastAttempt time.Time `json:"last_attempt,omitzero" doc:"When it began, as long as that is kept."`
	Reason      string    `json:"reason,omitempty" doc:"Of the last attempt, or why it ended."`
	Code        int       `json:"code,omitempty" doc:"Of the last answer."`
	Error       string    `json:"error,omitempty" doc:"The last error, in Countersign's words."`
	TookMS      float64   `json:"took_ms,omitempty" doc:"The last attempt."`
	Ended       time.Time `json:"ended_at,omitzero"`
	By          string    `json:"by,omitempty" doc:"Of one that was cancelled: who."`
	Because     string    `json:"because,omitempty" doc:"And why."`
	HasBody     bool      `json:"has_body" doc:"Its body is kept as it was made. Of others it is made again when it is asked for, as long as the change is kept."`
}

// DeliveryDetail is all that is kept of one delivery.
type DeliveryDetail struct {
	Object string `json:"object" enum:"delivery"`
	Delivery
	Body     string    `json:"body,omitempty" doc:"What was or will be posted. Left out where its change is not kept any more."`
	Rendered bool      `json:"body_rendered,omitempty" doc:"The body was made again from its change."`
	Tries    []Try     `json:"tries" doc:"Each attempt, while it is kept, with the beginning of what the partner answered."`
	Endings  []Outcome `json:"endings" doc:"Each time that it ended, the oldest first, while that is kept."`
	Withheld *Withheld `json:"withheld,omitempty" doc:"A rejection or suspension that its endpoint has not received, and who has acknowledged that."`
}

// Hurried is what making a delivery due came to.
type Hurried struct {
	Object      string    `json:"object" enum:"delivery"`
	ID          string    `json:"id"`
	Tried       string    `json:"tried" doc:"The id of the delivery that is tried: the first pending one of the person. Those behind it follow."`
	Attempts    int       `json:"attempts" doc:"Of it so far; they count as before."`
	NextAttempt time.Time `json:"next_attempt"`
	Moved       bool      `json:"moved" doc:"It was due later before."`
	InFlight    bool      `json:"in_flight,omitempty" doc:"It is being tried at this moment, and nothing was changed."`
	WaitsFor    string    `json:"waits_for,omitempty" enum:"breaker,rest,paused,disabled,orphaned" doc:"It is due, and waits for this all the same."`
}

// Skipped is a delivery that was put down.
type Skipped struct {
	Object  string `json:"object" enum:"delivery"`
	ID      string `json:"id"`
	Skipped bool   `json:"skipped"`
}

// CancelAsk says why a delivery is cancelled.
type CancelAsk struct {
	Because string `json:"because" need:"true" max:"500" doc:"The reason, for whoever must explain it later. It is kept in the person's history; the audit trail, which names nobody, has who did it."`
	Force   bool   `json:"force,omitempty" doc:"Also a rejection or suspension. It stays listed as withheld until somebody acknowledges that the partner knows."`
}

// CancelledDelivery is one that is never sent.
type CancelledDelivery struct {
	Object    string `json:"object" enum:"delivery"`
	ID        string `json:"id"`
	Cancelled bool   `json:"cancelled"`
	Withheld  bool   `json:"withheld,omitempty" doc:"It is a rejection or suspension: somebody has to acknowledge that the partner knows."`
}

// HurriedAll is what making due came to what an endpoint waits to try again.
type HurriedAll struct {
	Object   string `json:"object" enum:"endpoint"`
	ID       string `json:"id"`
	Moved    int    `json:"moved" doc:"Deliveries that are due now, spread over some seconds."`
	More     bool   `json:"more,omitempty" doc:"There may be more: call again."`
	WaitsFor string `json:"waits_for,omitempty" enum:"breaker,rest,paused,disabled" doc:"They are due, and wait for this all the same."`
}

// Found is one thing that a word leads to.
type Found struct {
	Kind       string     `json:"kind" enum:"change,record,delivery,ref,subject"`
	Partner    string     `json:"partner,omitempty"`
	Subject    string     `json:"subject,omitempty"`
	Livemode   bool       `json:"livemode"`
	Sequence   uint64     `json:"sequence,omitempty" doc:"Of a change."`
	Type       string     `json:"type,omitempty" doc:"Of a change."`
	Record     string     `json:"record,omitempty" doc:"Of a change: the id of the record that caused it."`
	Source     string     `json:"source,omitempty" doc:"Of a record or a ref."`
	At         time.Time  `json:"at,omitzero" doc:"Of a record: when it was taken in."`
	Verdict    string     `json:"verdict,omitempty" doc:"Of a record: what became of it."`
	Changes    []uint64   `json:"changes,omitempty" doc:"Of a record: the numbers of the changes that it caused."`
	Contested  bool       `json:"contested,omitempty" doc:"For a ref: more than one person claims it, so it leads to nobody."`
	Deliveries []Delivery `json:"deliveries,omitempty" doc:"Of a change at each endpoint; of a delivery itself."`
}

// Search is what a word leads to.
type Search struct {
	Object   string  `json:"object" enum:"search"`
	Word     string  `json:"word"`
	Data     []Found `json:"data"`
	Complete bool    `json:"complete" doc:"Everything was looked at. Not so after the file was repaired, until what finds ids has been made again."`
}
