package console

import (
	"strconv"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

// deliverySteps are the changes of single deliveries.
var deliverySteps = []action{
	{"/console/delivery/retry", api.Operator, true, retryOf, retry},
	{"/console/delivery/skip", api.Operator, false, skipOf, skip},
	{"/console/delivery/cancel", api.Operator, false, cancelOf, cancel},
	{"/console/delivery/redeliver", api.Operator, true, redeliverOf, redeliver},
}

// stepsFor are links to what may be done with a delivery by whoever is signed in.
func stepsFor(v *visit, d *api.Delivery) (links []link) {
	own, partner := v.operates(), v.who.Scope == api.Partner
	add := func(text, name string) {
		links = append(links, link{Text: text, To: to("/console/delivery/"+name, "id", d.ID)})
	}
	waits := d.Status == "pending" || d.Status == "retrying"
	if waits && (own || partner) {
		add("Retry now", "retry")
	}
	if waits && own && d.Behind == "" {
		add("Skip", "skip")
	}
	if d.Status != "cancelled" && (own || partner) {
		if text := "Redeliver"; waits && d.Partner != "" {
			add("Send to another endpoint", "redeliver")
		} else if !waits {
			add(text, "redeliver")
		}
	}
	if (waits || d.Status == "dead_lettered") && own {
		add("Cancel", "cancel")
	}
	return links
}

// stepOn begins a step on the delivery that is named.
func stepOn(v *visit, title string) (s step, d api.DeliveryDetail, err error) {
	if d, err = v.api.DeliveryAttempts(v.Context(), v.FormValue("id")); err != nil {
		return s, d, err
	}
	person := d.Subject
	if person == "" {
		person = "nobody: it is an operational webhook about " + d.About
	}
	s = step{Title: title, Hidden: []pair{{"id", d.ID}}, Back: to("/console/delivery", "id", d.ID)}
	s.Facts = []fact{{"Delivery", d.ID}, {"Endpoint", d.Endpoint}, {"Person", person}, {"Type", d.Type}, {"State", word(d.Status)}, {"Attempts", strconv.Itoa(d.Attempts)}}
	return s, d, nil
}

func (v *visit) backTo(id string) string { return to("/console/delivery", "id", id) }

func retryOf(v *visit) (step, error) {
	s, d, err := stepOn(v, "Retry now")
	if err != nil {
		return s, err
	}
	s.Button = "Retry now"
	s.Effect = []string{"The delivery becomes due now, whatever its schedule says. Its attempts so far still count."}
	if d.Behind != "" {
		s.Effect = append(s.Effect, "Another delivery of the same person goes first: "+d.Behind+". That one is tried now. This one follows when it is through.")
	}
	if why := endpointWaits(d.WaitsFor); why != "" && d.WaitsFor != "try" && d.WaitsFor != "turn" && d.WaitsFor != "answer" && d.WaitsFor != "behind" {
		s.Effect = append(s.Effect, "It is not sent before this ends: "+why)
	}
	return s, nil
}

func retry(v *visit) (answer, error) {
	h, err := v.api.RetryNow(v.Context(), v.FormValue("id"))
	if err != nil {
		return answer{}, err
	}
	text := "The delivery is due now."
	switch {
	case h.InFlight:
		text = "It is being sent at this moment. Nothing was changed."
	case h.WaitsFor != "":
		text += " " + endpointWaits(h.WaitsFor)
	}
	if h.Tried != h.ID {
		text += " The delivery before it, " + h.Tried + ", is tried first."
	}
	return v.done(text, v.backTo(h.ID))
}

// restrictive is what is said of a rejection or suspension before it is not told.
const restrictive = "It tells of a rejection or suspension. Until somebody acknowledges that the partner knows of it, it is listed as withheld, and there is an alert."

func skipOf(v *visit) (step, error) {
	s, d, err := stepOn(v, "Skip the delivery")
	if err != nil {
		return s, err
	}
	s.Button, s.Danger = "Skip it", true
	s.Effect = []string{"The delivery is dead-lettered: the gateway does not try it again by itself. It is kept, and can be redelivered.", "The next delivery of the same person goes on."}
	if d.Restrictive {
		s.Effect = append(s.Effect, restrictive)
	}
	return s, nil
}

func skip(v *visit) (answer, error) {
	d, err := v.api.Skip(v.Context(), v.FormValue("id"))
	if err != nil {
		return answer{}, err
	}
	return v.done("The delivery is skipped: it is dead-lettered, and what waited behind it goes on.", v.backTo(d.ID))
}

func cancelOf(v *visit) (step, error) {
	s, d, err := stepOn(v, "Cancel the delivery")
	if err != nil {
		return s, err
	}
	s.Button, s.Danger = "Cancel it for good", true
	s.Effect = []string{"The delivery is never sent, and cannot be redelivered or replayed. Its body is deleted.", "The history of the person says who cancelled it, and why."}
	s.Fields = []field{{Name: "because", Label: "Reason", Help: "For whoever must explain it later. Up to 500 bytes; name no person.", Value: v.PostFormValue("because"), Need: true, Max: 500}}
	if d.Restrictive {
		s.Effect = append(s.Effect, restrictive)
		s.Fields = append(s.Fields, field{Name: "force", Label: "Cancel it even though it tells of a rejection or suspension", Check: true, Checked: v.PostFormValue("force") != ""})
	}
	return s, nil
}

func cancel(v *visit) (answer, error) {
	d, err := v.api.Cancel(v.Context(), v.FormValue("id"), api.CancelAsk{Because: v.PostFormValue("because"), Force: v.PostFormValue("force") != ""})
	if err != nil {
		return answer{}, err
	}
	text := "The delivery is cancelled. It is never sent."
	if d.Withheld {
		text += " It told of a rejection or suspension: tell the partner, then acknowledge it."
	}
	return v.done(text, v.backTo(d.ID))
}

func redeliverOf(v *visit) (step, error) {
	s, d, err := stepOn(v, "Redeliver")
	if err != nil {
		return s, err
	}
	waits := d.Status == "pending" || d.Status == "retrying"
	s.Button = "Redeliver"
	s.Effect = []string{"The endpoint is sent the same event again, with the same webhook-id. A receiver that remembers ids can see that it is a repeat."}
	if d.Status == "dead_lettered" {
		s.Effect = append(s.Effect, "To its own endpoint it is sent as it was made. To another endpoint it is made again in that endpoint's format.")
	} else {
		s.Effect = append(s.Effect, "It is made again from the change, in the endpoint's format of today.")
	}
	if d.Partner == "" {
		return s, nil // an operational webhook: to its own endpoint only
	}
	list, err := v.api.ListEndpointsOf(v.Context(), client.Page{Limit: 100}, d.Partner)
	if err != nil {
		return s, err
	}
	choice := field{Name: "to", Label: "To which endpoint", Value: v.FormValue("to"), Help: "Endpoints of the same partner."}
	if !waits {
		choice.Options = []pair{{"", d.Endpoint + " (its own)"}}
	}
	for _, e := range list.Data {
		if e.ID != d.Endpoint {
			choice.Options = append(choice.Options, pair{e.ID, e.ID})
		}
	}
	if len(choice.Options) == 0 {
		s.Button, s.Effect = "", []string{"It is pending, and will be sent to its own endpoint. Its partner has no other endpoint."}
		return s, nil
	}
	s.Fields = []field{choice, {
		Name: "force", Label: "Even if the endpoint has accepted a later change of the person", Check: true, Checked: v.PostFormValue("force") != "",
		Help: "Without this, an older event is refused where a newer one was accepted, so that a receiver does not go back.",
	}}
	return s, nil
}

func redeliver(v *visit) (answer, error) {
	r, err := v.api.Redeliver(v.Context(), v.FormValue("id"), v.PostFormValue("to"), v.PostFormValue("force") != "")
	if err != nil {
		return answer{}, err
	}
	return v.done("The delivery is pending again. It is sent like any other.", v.backTo(r.ID))
}
