package console

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/relay/control/api"
)

// deliveryView is one delivery.
type deliveryView struct {
	deliveryRow
	After    string
	Behind   string // the page of the one that goes first
	Tries    []tryRow
	Endings  []endingRow
	Withheld *api.Withheld
	Headers  []header
	Partner  string // of its endpoint; "": it is not known
	Next     []link // what may be done with it
	Sealed   bool   // the body and the answers are shown
	CanOpen  bool
	Body     string
	Indented string // the same, for reading; "": it is no JSON
	BodySize int
	Rendered bool
}

// tryRow is an attempt.
type tryRow struct {
	api.Try
	Number        int
	Result, After string
	Bar           bar
	Size          string // of the answer
	Sent          []header
}

// endingRow is a time that it ended.
type endingRow struct {
	api.Outcome
	Result string
}

// oneDelivery shows one without what is sealed: nothing of that stands in the audit trail.
func oneDelivery(v *visit) (answer, error) {
	d, err := v.api.DeliveryAttempts(v.Context(), v.FormValue("id"))
	if err != nil {
		return answer{}, err
	}
	return showDelivery(v, &d, false)
}

// sealedDelivery shows all of one, which the API writes into the audit trail.
func sealedDelivery(v *visit) (answer, error) {
	d, err := v.api.Delivery(v.Context(), v.FormValue("id"))
	if err != nil {
		return answer{}, err
	}
	return showDelivery(v, &d, true)
}

func showDelivery(v *visit, d *api.DeliveryDetail, sealed bool) (answer, error) {
	view := deliveryView{deliveryRow: rowOf(&d.Delivery), After: after(d.Reason), Withheld: d.Withheld, Sealed: sealed, Body: d.Body, BodySize: len(d.Body), Rendered: d.Rendered}
	view.Indented = indented(d.Body)
	view.CanOpen = v.operates() || v.who.Scope == api.Partner
	if d.Behind != "" {
		view.Behind = to("/console/delivery", "id", d.Behind)
	}
	e, err := v.api.Endpoint(v.Context(), d.Endpoint)
	if err != nil && statusOf(err) != http.StatusNotFound { // it may be gone
		return answer{}, err
	}
	view.Partner = e.Partner
	for i := range d.Tries {
		t := &d.Tries[i]
		view.Tries = append(view.Tries, tryRow{*t, i + 1, resultOf(t.Reason, t.Code, t.Detail), after(t.Reason), barOf(t), size(float64(t.AnswerBytes)), headersOf(&d.Delivery, t.At, e.Headers)})
	}
	slices.Reverse(view.Tries)
	for i := range d.Endings {
		o := &d.Endings[i]
		view.Endings = append(view.Endings, endingRow{*o, resultOf(o.Reason, o.Code, "")})
	}
	view.Next = stepsFor(v, &d.Delivery)
	if w := d.Withheld; w != nil && w.Acknowledged == nil && v.operates() {
		view.Next = append(view.Next, link{Text: "Acknowledge", To: to("/console/withheld/acknowledge", "id", d.ID)})
	}
	return show("delivery", "Delivery", view)
}

// indented is JSON with an entry on each line; "": it is none.
func indented(body string) string {
	var b bytes.Buffer
	if json.Indent(&b, []byte(body), "", "  ") != nil {
		return ""
	}
	return b.String()
}

// header is one of a request, as far as it is known.
type header struct{ Name, Value string }

const (
	maskedSignature = "•••"
	sealedHeader    = "(sealed)"
)

// headersOf are the headers of an attempt that the API's data tell of. Signatures and the values of
// the endpoint's own headers are kept by nobody, and are not shown.
func headersOf(d *api.Delivery, at time.Time, own []string) []header {
	if at.IsZero() {
		return nil
	}
	id, _, _ := strings.Cut(d.ID, "@")
	unix := strconv.FormatInt(at.Unix(), 10)
	kind := "application/json"
	if d.Format == "cloudevents" {
		kind = "application/cloudevents+json"
	}
	hs := []header{{"Content-Type", kind}}
	if d.Trace != "" {
		hs = append(hs, header{"Traceparent", d.Trace})
	}
	switch d.Format {
	case "blendfi":
		hs = append(hs, header{"X-BlendFi-Signature", maskedSignature})
	case "blendfi-v1":
		hs = append(hs, header{"X-Blendfi-Signature", "t=" + unix + ",v1=" + maskedSignature}, header{"X-Blendfi-Event-Id", id}, header{"X-Blendfi-Timestamp", unix})
	default:
		hs = append(hs, header{"Webhook-Id", id}, header{"Webhook-Timestamp", unix}, header{"Webhook-Signature", maskedSignature})
	}
	for _, name := range own {
		hs = append(hs, header{name, sealedHeader})
	}
	return hs
}
