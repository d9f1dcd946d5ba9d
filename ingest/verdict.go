package ingest

import (
	"errors"

	"github.com/valyala/fasthttp"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
	"countersign/signing"
)

// verdict is what became of one callback. Metric label, log field and HTTP status all come from it,
// and from nowhere else.
type verdict string

// The verdicts.
const (
	accepted      verdict = "accepted"    // on stable storage
	ignored       verdict = "ignored"     // genuine, carries no status
	quarantined   verdict = "quarantined" // genuine, kept sealed
	handshake     verdict = "handshake"   // a provider's own challenge
	badRequest    verdict = "bad_request" // path tricks, malformed HTTP
	unsigned      verdict = "unsigned"    // no proof
	malformed     verdict = "malformed"   // a proof that cannot be read
	mismatch      verdict = "mismatch"    // no key fits
	stale         verdict = "stale"       // its timestamp is outside the tolerance
	address       verdict = "address"     // not an allowed client address
	triggered     verdict = "trigger"     // made by the command line, where people are real
	unknownSource verdict = "unknown"     // no such source, or not its token
	method        verdict = "method"      // not a POST
	noLength      verdict = "no_length"   // neither chunked, nor with a Content-Length
	tooLarge      verdict = "too_large"   // more than the source accepts
	tooFast       verdict = "rate"        // more often than the source may
	longHeader    verdict = "header"      // headers longer than the buffer
	noRoom        verdict = "bodies"      // the memory for bodies is used up
	noKey         verdict = "no_key"      // the key it names cannot be had
	backlog       verdict = "backlog"     // the relay is too far behind
	unasked       verdict = "questions"   // it proves nothing, and too many of its like have still to be asked about
	full          verdict = "full"        // no room on disk
	unforwarded   verdict = "kafka"       // Kafka's acknowledgement is wanted, and cannot be had
	undecided     verdict = "undecided"   // the disk did not answer in time: unknown whether it is kept
	stopping      verdict = "stopping"    // shutting down
	panicked      verdict = "panic"       // our fault
)

var verdicts = []verdict{
	accepted, ignored, quarantined, handshake, badRequest, unsigned, malformed, mismatch, stale, address, triggered, unknownSource, method,
	noLength, tooLarge, tooFast, longHeader, noRoom, noKey, backlog, unasked, full, unforwarded, undecided, stopping, panicked,
}

// status is the HTTP answer. Providers take some answers for final, so there are no others than
// these.
func (v verdict) status() int {
	switch v {
	case accepted, ignored, quarantined, handshake:
		return fasthttp.StatusOK
	case badRequest:
		return fasthttp.StatusBadRequest
	case unsigned, malformed, mismatch, stale:
		return fasthttp.StatusUnauthorized
	case address, triggered:
		return fasthttp.StatusForbidden
	case unknownSource:
		return fasthttp.StatusNotFound
	case method:
		return fasthttp.StatusMethodNotAllowed
	case noLength:
		return fasthttp.StatusLengthRequired
	case tooLarge:
		return fasthttp.StatusRequestEntityTooLarge
	case tooFast:
		return fasthttp.StatusTooManyRequests
	case longHeader:
		return fasthttp.StatusRequestHeaderFieldsTooLarge
	default: // noRoom, noKey, backlog, unasked, full, unforwarded, undecided, stopping, panicked: ask again
		return fasthttp.StatusServiceUnavailable
	}
}

// retryAfter is in seconds; 0: the header is not sent.
func (v verdict) retryAfter() string {
	switch v {
	case tooFast, noRoom, stopping, undecided, panicked:
		return "1"
	case unforwarded:
		return "5"
	case noKey, backlog, unasked, full:
		return "30"
	default:
		return ""
	}
}

// taken reports whether the callback was dealt with, as opposed to refused.
func (v verdict) taken() bool { return v.status() == fasthttp.StatusOK }

func ofSignature(err error) verdict {
	switch {
	case errors.Is(err, provider.ErrNoKey):
		return noKey
	case errors.Is(err, signing.ErrMissing):
		return unsigned
	case errors.Is(err, signing.ErrStale):
		return stale
	case errors.Is(err, signing.ErrMalformed):
		return malformed
	default:
		return mismatch
	}
}

func ofAppend(err error) verdict {
	switch {
	case errors.Is(err, journal.ErrBacklog):
		return backlog
	case errors.Is(err, journal.ErrQuestions):
		return unasked
	case errors.Is(err, journal.ErrFull):
		return full
	case errors.Is(err, journal.ErrNotForwarded):
		return unforwarded
	default:
		return undecided
	}
}
