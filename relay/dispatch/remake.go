package dispatch

import (
	"context"
	"time"

	"countersign/outbox"
)

// remake makes a delivery anew that cannot be signed any more as it was made, for cause: its format
// is not in this program, or the endpoint's keys of today are none of that format's. It is the same
// delivery, with the same webhook-id, in the endpoint's format of today; that is written down
// before it is sent, so that every attempt from here on carries the same body (I5), and it is due
// at once. False: that would not help either, and it has failed like any other.
func (s *sender) remake(ctx context.Context, d *outbox.Delivery, cause error, at time.Time) bool {
	if s.r.o.Anew == nil {
		return false
	}
	anew, err := s.r.o.Anew(*d)
	if err != nil {
		s.r.o.Logger.WarnContext(ctx, "delivery_not_rendered_again", "endpoint", s.id, "webhook_id", d.WebhookID, "format", d.Format, "error", err)
		return false
	}
	now := s.r.o.Now()
	out := outbox.Attempt{Delivery: *d, At: at, Took: now.Sub(at)}
	if anew.Body == nil {
		out.Outcome, out.Reason = outbox.Died, reasonNoWord
		out.Detail = "made in " + d.Format + ", cannot be signed any more (" + cause.Error() + "), and " + anew.Format + " has no word for it"
		s.settle(ctx, &out, nil, now)
		return true
	}
	if _, err := sign(s.setup.Load().Endpoint, s.keys(), &anew, at); err != nil {
		return false // no key signs anything today
	}
	out.Delivery, out.Remade, out.Outcome, out.Reason, out.Retry = anew, true, outbox.Retry, reasonAnew, at
	out.Detail = "made in " + d.Format + ", cannot be signed any more (" + cause.Error() + "), rendered again in " + anew.Format
	s.settle(ctx, &out, nil, now)
	return true
}
