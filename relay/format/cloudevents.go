package format

import (
	"fmt"
	"net/url"
	"strconv"

	"countersign/kyc"
	"countersign/signing"
)

var cloudevents = Format{ // https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
	Name:        "cloudevents",
	ContentType: "application/cloudevents+json", // no charset: JSON is UTF-8
	Scheme:      signing.StandardWebhooks{},     // CloudEvents signs nothing
	Render:      renderCloudEvents,
	Gaps: []string{
		"Nothing of the model is left out: data is the data of standard, and every change has a word.",
		"One event a request, in structured mode; binary and batched mode are not offered.",
		"sequence has 20 digits, so that it orders as text; it counts per subject, not per source.",
		"type has no reverse-DNS prefix: it is the type of the change, the same as in standard.",
		"CloudEvents has no signature: the headers are those of Standard Webhooks, and webhook-id repeats id.",
	},
}

// renderCloudEvents is an event of CloudEvents 1.0 in structured mode. sequence and livemode are
// extension attributes.
func renderCloudEvents(c kyc.Change, previousSequence uint64) ([]byte, error) {
	b := appendField(append(make([]byte, 0, bodyRoom+256), '{'), "specversion", "1.0")
	b = appendField(append(b, ','), "id", c.ID)
	b = appendField(append(b, ','), "source", "/partners/"+url.PathEscape(c.Partner))
	b = appendField(append(b, ','), "type", c.Type)
	b = appendField(append(b, ','), "subject", c.Partner+"/"+c.Subject.ID)
	b = appendInstant(append(b, `,"time":`...), moment(&c))
	b = appendField(append(b, ','), "datacontenttype", "application/json")
	b = appendField(append(b, ','), "sequence", fmt.Sprintf("%020d", c.Sequence)) // the sequence extension asks for text that orders as text
	b = strconv.AppendBool(append(b, `,"livemode":`...), c.Livemode)
	b = appendStandardData(append(b, `,"data":`...), &c, previousSequence)
	return append(b, '}'), nil
}
