package control

import (
	"fmt"
	"slices"
	"time"

	"countersign/outbox"
	"countersign/relay"
	"countersign/relay/control/api"
)

// What a partner answers is somebody else's text, and may hold what a person is called. Lists show
// of it how much there is, and of what kind; the text is shown of one delivery at a time, to those
// who see bodies, and that stands in the audit trail.

// seesAnswers reports whether a token is shown what partners answered: a partner's own is shown
// no others.
func (t Token) seesAnswers() bool { return t.seesURLs() }

// viewTry shows a failed attempt without the text of its answer.
func viewTry(t *outbox.Try) api.Try {
	v := viewExchange(&t.Exchange)
	v.At, v.Outcome, v.Reason, v.Code, v.Detail, v.TookMS = t.At, string(t.Outcome), t.Reason, t.Code, t.Detail, millis(t.Took)
	v.RefusedSince, v.RefusedTimes = t.RefusedSince, t.RefusedTimes
	return v
}

// viewTryInFull shows one with it.
func viewTryInFull(t *outbox.Try) api.Try {
	v := viewTry(t)
	v.Answer = answerText(&t.Answer)
	return v
}

// viewExchange shows what went over the wire in an attempt, without the text of the answer.
func viewExchange(x *outbox.Exchange) api.Try {
	v := api.Try{
		DNSMS: millis(x.DNS), ConnectMS: millis(x.Connect), TLSMS: millis(x.TLS), FirstByteMS: millis(x.FirstByte), Reused: x.Reused,
		AnswerBytes: x.Answer.Bytes, AnswerType: x.Answer.Type, AnswerCut: x.Answer.Cut, AnswerGone: x.Answer.Gone,
	}
	if x.Address.IsValid() {
		v.Address = x.Address.String()
	}
	return v
}

// answerText is what is kept of an answer; of one that is no text, what it is.
func answerText(a *outbox.Answer) string {
	switch {
	case a.Text != "" || a.Bytes == 0 || a.Gone:
		return a.Text
	case a.Type == "":
		return fmt.Sprintf("%d bytes that are no text", a.Bytes)
	default:
		return fmt.Sprintf("%d bytes of %s", a.Bytes, a.Type)
	}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// viewAccepted shows the attempt that was accepted, without the text of its answer.
func viewAccepted(o *relay.OutcomeView) api.Try {
	v := viewExchange(&o.Exchange)
	v.At, v.Outcome, v.Reason, v.Code, v.TookMS = o.At.Add(-time.Duration(o.TookMS*float64(time.Millisecond))), string(o.Outcome), o.Reason, o.Code, o.TookMS
	return v
}

// attempts are all attempts of one delivery as the holder of a token sees them, oldest first, and
// whether a body is among them, which has to stand in the audit trail. ended is how deliveries of
// its lane ended; what is not its own is passed over. Whether the holder may see the delivery at
// all, the caller has looked at.
func (s *Server) attempts(t Token, endpoint, lane string, seq uint64, ended []relay.OutcomeView) (tries []api.Try, bodies bool, err error) {
	full := t.seesAnswers()
	read, view := s.o.Outbox.Tries, viewTry
	if full {
		read, view = s.o.Outbox.TriesInFull, viewTryInFull
	}
	list, err := read(endpoint, lane, seq)
	if err != nil {
		return nil, false, err
	}
	tries = each(list, view)
	for i := range ended {
		o := &ended[i]
		if o.Endpoint != endpoint || o.Sequence != seq || o.Outcome != outbox.Done {
			continue // one that died stands among the tries
		}
		v := viewAccepted(o)
		if full {
			v.Answer = answerText(&o.Exchange.Answer)
		}
		tries = append(tries, v)
	}
	slices.SortStableFunc(tries, func(a, b api.Try) int { return a.At.Compare(b.At) })
	return tries, slices.ContainsFunc(tries, func(v api.Try) bool { return v.Answer != "" }), nil
}
