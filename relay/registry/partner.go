package registry

import (
	"time"

	"countersign/kyc"
	"countersign/relay/format"
	"countersign/relay/send"
)

// Partner is who is told.
type Partner struct {
	ID          string
	RenamedFrom string     // the id it had; "": no other
	Policy      kyc.Policy // its Version is set by RegisterPolicies
	MaxOpen     int64      // refs that its own tokens may have registered that no callback has come for; 0: relay.DefaultMaxOpen
	Endpoints   []Endpoint
}

// Endpoint is one URL of a partner.
type Endpoint struct {
	ID          string // unique over all partners
	RenamedFrom string // the id it had; "": no other
	URL         string
	Format      format.Format
	Keys        []Key // of the config, newest first; none: it has kept ones (Snapshot.Keys)
	Events      []string
	Filter      *Filter // what must be met beside Events; nil: nothing
	Concurrency int     // attempts in flight; 0: 1
	Rate        float64 // attempts per second; 0: no limit
	Timeout     time.Duration
	MaxOwed     int64
	Since       time.Time // changes whose record was appended before are not owed; zero: always
	Retry       Retry
	// DisableAfter is after how long of nothing but failures the endpoint is disabled; 0:
	// DisableAfter, less: never.
	DisableAfter time.Duration
	Headers      []send.Header // with every request, beside the format's
	TLS          send.TLSFiles
	Public       bool // its partner's own token gave its URL: the networks that egress.allow excepts are no business of whoever that is
}

// Retry says when a delivery that failed is tried again. What is zero, but for Jitter, is as in
// dispatch.DefaultSchedule.
type Retry struct {
	First    time.Duration `json:"first"`    // after the first failure
	Factor   float64       `json:"factor"`   // each wait is this many times the one before; 1 or more
	Max      time.Duration `json:"max"`      // no wait is longer, before jitter
	Jitter   float64       `json:"jitter"`   // ± this part of the wait, 0 to 0.9
	Attempts int           `json:"attempts"` // tries in all; after the last a delivery is dead

	MaxRetryAfter time.Duration `json:"max_retry_after"` // no Retry-After is obeyed for longer
}

// FormatOf is the format a delivery was made in, which need not be the one its endpoint has now
// (I5).
func (e *Endpoint) FormatOf(name string) (format.Format, bool) {
	if e.Format.Name == name {
		return e.Format, true
	}
	return format.ByName(name)
}
