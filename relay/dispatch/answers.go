package dispatch

import (
	"time"

	"countersign/outbox"
	"countersign/relay/send"
)

// What an attempt came to, beside send.Reasons for those without an answer. Label, log field and
// listing use the same word.
const (
	reasonOK        = "http_2xx"
	reasonRedirect  = "http_3xx"
	reasonGone      = "http_410"
	reasonThrottled = "http_429"
	reasonClient    = "http_4xx"
	reasonServer    = "http_5xx"
	reasonOther     = "http_other"
	reasonAnew      = "rendered_anew" // could not be signed any more, and was made again to be
	reasonNoWord    = "unsignable"    // could not be signed any more, and its endpoint's format of today has no word for it
	reasonExhausted = "exhausted"     // the schedule's last attempt failed
	reasonRefused   = "refused"       // refused for an hour in which its endpoint took others: it is about this body
)

func reasons() []string {
	return append([]string{
		reasonOK, reasonRedirect, reasonGone, reasonThrottled, reasonClient, reasonServer, reasonOther, reasonAnew, reasonNoWord, reasonExhausted, reasonRefused,
	}, send.Reasons...)
}

// answer is the answers table: what an HTTP answer, or the lack of one, means for the delivery and
// for its endpoint.
type answer struct {
	reason  string
	ok      bool // delivered
	disable bool // the partner said that the endpoint is gone for good: this delivery is dead, and the others wait until it is resumed
	slow    bool // the endpoint asks for less
	person  bool // and perhaps of this person only
	about   bool // it may be about this very delivery, and not about the endpoint, the moment or our way there
}

func read(a *send.Answer, err error) answer {
	if err != nil {
		return answer{reason: send.Classify(err)}
	}
	switch c := a.Code; {
	case c >= 200 && c < 300:
		return answer{reason: reasonOK, ok: true}
	case c >= 300 && c < 400:
		return answer{reason: reasonRedirect} // never followed
	case c == 410:
		return answer{reason: reasonGone, disable: true}
	case c == 429:
		return answer{reason: reasonThrottled, slow: true, person: true}
	case c == 408, c == 409, c == 423, c == 425: // about the moment
		return answer{reason: reasonClient}
	case c >= 400 && c < 500:
		return answer{reason: reasonClient, about: true}
	case c == 502, c == 503, c == 504:
		return answer{reason: reasonServer, slow: true}
	case c >= 500 && c < 600:
		return answer{reason: reasonServer}
	default:
		return answer{reason: reasonOther}
	}
}

// settle turns one attempt into what follows for its delivery. r is what is proved of its refusals,
// this one included.
func settle(d *outbox.Delivery, v answer, a *send.Answer, s Schedule, at time.Time, took time.Duration, r refusals) outbox.Attempt {
	out := outbox.Attempt{Delivery: *d, Reason: v.reason, Code: a.Code, At: at, Took: took, RefusedSince: r.since, RefusedTimes: r.times}
	if v.ok {
		out.Outcome = outbox.Done
		return out
	}
	wait, again := s.Wait(d.Failures + 1)
	switch {
	case v.disable:
		out.Outcome = outbox.Died
	case d.Early: // it was tried for the endpoint's sake
		out.Outcome, out.Uncounted = outbox.Retry, true
	case !again:
		out.Outcome, out.Reason = outbox.Died, reasonExhausted
	case v.about && r.proved(at):
		out.Outcome, out.Reason, out.Detail = outbox.Died, reasonRefused, r.String()
	default:
		out.Outcome, out.Retry = outbox.Retry, at.Add(took).Add(max(wait, s.Obey(a.RetryAfter, d.Restrictive || d.Urgent)))
		out.Sooner = at.Add(took).Add(max(wait, s.Obey(a.RetryAfter, true)))
	}
	return out
}
