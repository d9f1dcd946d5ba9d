package api

import "time"

// Try is one attempt. Its parts follow each other and never overlap; what is missing of the whole is
// waiting for a connection that may be opened, and the rest of the answer.
type Try struct {
	At           time.Time `json:"at,omitzero" doc:"None: the record of it is damaged, reason says so, and nothing else is known."`
	Outcome      string    `json:"outcome,omitempty" enum:"done,retry,dead" doc:"Its effects."`
	Reason       string    `json:"reason"`
	Code         int       `json:"code,omitempty"`
	Detail       string    `json:"detail,omitempty" doc:"What went wrong, in words of our own."`
	TookMS       float64   `json:"took_ms" doc:"The whole attempt."`
	DNSMS        float64   `json:"dns_ms,omitempty" doc:"None: nothing was looked up, as on a connection used again."`
	ConnectMS    float64   `json:"connect_ms,omitempty" doc:"Through a proxy, until the tunnel is ready."`
	TLSMS        float64   `json:"tls_ms,omitempty"`
	FirstByteMS  float64   `json:"first_byte_ms,omitempty" doc:"Waiting for the first byte of the answer, from when the connection was there. Of an answer that never came, until the end."`
	Reused       bool      `json:"reused,omitempty" doc:"The connection had been used before."`
	Address      string    `json:"address,omitempty" doc:"Where it went, or was to go: the endpoint's address and port, and not its proxy's."`
	AnswerBytes  int64     `json:"answer_bytes,omitempty" doc:"Length of the answer, as far as it was read: 80 KiB at most."`
	AnswerType   string    `json:"answer_type,omitempty" doc:"Its Content-Type."`
	Answer       string    `json:"answer,omitempty" doc:"Its beginning, as the partner wrote it: 4 KiB of one that was no 2xx, else 256 bytes. What cannot be seen is written like \\x1b; what is no text is said by its length and type."`
	AnswerCut    bool      `json:"answer_cut,omitempty" doc:"It was longer than what is shown."`
	AnswerGone   bool      `json:"answer_gone,omitempty" doc:"It had a text, which is not kept, or not any more."`
	RefusedSince time.Time `json:"refused_since,omitzero" doc:"The endpoint has refused this delivery each time since, and taken others in between."`
	RefusedTimes int       `json:"refused_times,omitempty"`
}

// Redelivery is one that was ordered.
type Redelivery struct {
	Object  string `json:"object" enum:"delivery"`
	ID      string `json:"id"`
	Ordered bool   `json:"ordered"`
}

// Withheld is a rejection or suspension that an endpoint has not been told of.
type Withheld struct {
	ID           string           `json:"id" doc:"The delivery's."`
	Endpoint     string           `json:"endpoint"`
	Subject      string           `json:"subject" doc:"partner/subject; a test subject has a mark behind it, U+0001 and t."`
	Sequence     uint64           `json:"sequence"`
	Type         string           `json:"type"`
	Since        time.Time        `json:"since"`
	Dead         string           `json:"dead,omitempty" doc:"The reason it was dead-lettered; absent while it is still tried."`
	Acknowledged *Acknowledgement `json:"acknowledged,omitempty"`
}

// Acknowledgement is an operator's word that nobody need be alarmed about it any more.
type Acknowledgement struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
}

// Acknowledged is what was acknowledged.
type Acknowledged struct {
	Object string `json:"object" enum:"withheld"`
	Withheld
}

// Endpoint is one URL of a partner.
type Endpoint struct {
	Object   string `json:"object" enum:"endpoint"`
	ID       string `json:"id"`
	Partner  string `json:"partner"`
	URL      string `json:"url" doc:"A viewer sees only its scheme and host: the rest may contain a secret."`
	Format   string `json:"format"`
	Owed     int64  `json:"owed"`
	Dead     int64  `json:"dead"`
	Disabled string `json:"disabled,omitempty" doc:"Why."`
	Paused   *Pause `json:"paused,omitempty" doc:"An operator has paused the endpoint; its deliveries stay pending."`
	Orphaned bool   `json:"orphaned,omitempty" doc:"The endpoint is not in the config; its deliveries stay pending."`
	Withheld int    `json:"withheld,omitempty" doc:"For an orphaned endpoint: rejections and suspensions that it has not received."`

	Breaker       string    `json:"breaker,omitempty" enum:"closed,half_open,open" doc:"open: it fails for everybody and is only probed; its deliveries wait. half_open: it answers again and gets more and more."`
	BreakerOpened time.Time `json:"breaker_opened_at,omitzero" doc:"Of a breaker that is not closed."`
	FailingSince  time.Time `json:"failing_since,omitzero" doc:"Nothing was accepted since."`
	OldestDue     time.Time `json:"oldest_due_at,omitzero" doc:"Since when its earliest due delivery has been due; none: nothing is due."`
	OldestPending time.Time `json:"oldest_pending_at,omitzero" doc:"Since when the delivery that has waited longest has been pending, due or not; none: nothing is pending."`
}

// Pause is who had an endpoint paused, and when.
type Pause struct {
	By string    `json:"by,omitempty"`
	At time.Time `json:"at"`
}

// Paused is an endpoint that is sent nothing until it is resumed.
type Paused struct {
	Object string `json:"object" enum:"endpoint"`
	ID     string `json:"id"`
	Paused bool   `json:"paused"`
}

// Ping is what came of a test webhook.
type Ping struct {
	Object    string  `json:"object" enum:"ping"`
	ID        string  `json:"id" doc:"Of the webhook."`
	Endpoint  string  `json:"endpoint"`
	Delivered bool    `json:"delivered" doc:"It was answered 2xx."`
	Reason    string  `json:"reason" doc:"The reason of an attempt, such as http_2xx or timeout."`
	Code      int     `json:"code,omitempty" doc:"Of the answer; none: there was none."`
	Detail    string  `json:"detail,omitempty"`
	TookMS    float64 `json:"took_ms"`
}

// GiveUpAsk is what may be said of giving up what an endpoint owes.
type GiveUpAsk struct {
	DryRun bool `json:"dry_run" doc:"Say what would be given up, and do nothing."`
}

// GaveUp is what came of it, or would.
type GaveUp struct {
	Object     string     `json:"object" enum:"give_up"`
	Endpoint   string     `json:"endpoint" doc:"By the id that it has now."`
	DryRun     bool       `json:"dry_run"`
	GivenUp    int64      `json:"given_up" doc:"Deliveries that this call has dead-lettered."`
	Owed       int64      `json:"owed" doc:"Deliveries that are still pending: call again until there are none."`
	Rejections int64      `json:"rejections" doc:"How many of the pending deliveries are rejections or suspensions."`
	Withheld   []Withheld `json:"withheld" doc:"Which these are, the first 1,000 of them."`
}

// Resumed is an endpoint that was taken up again.
type Resumed struct {
	Object  string `json:"object" enum:"endpoint"`
	ID      string `json:"id"`
	Resumed bool   `json:"resumed"`
}
