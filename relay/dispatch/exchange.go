package dispatch

import (
	"countersign/outbox"
	"countersign/relay/send"
)

// exchange is what is kept of what went over the wire in an attempt: of an answer that accepts the
// beginning, for every delivery has one; of any other more, for it says what is wrong.
func exchange(a *send.Answer, accepted bool) outbox.Exchange {
	x := outbox.Exchange{DNS: a.Timings.DNS, Connect: a.Timings.Connect, TLS: a.Timings.TLS, FirstByte: a.Timings.FirstByte, Reused: a.Reused, Address: a.Address}
	if a.Size == 0 {
		return x
	}
	most := outbox.MaxText
	if accepted {
		most = outbox.MaxAcceptedText
	}
	text, cut := a.Text(most)
	x.Answer = outbox.Answer{Text: string(text), Type: a.TypeText(), Bytes: a.Size, Cut: cut}
	return x
}
