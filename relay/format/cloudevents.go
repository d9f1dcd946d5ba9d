package format

import (
	"fmt"
	"net/url"

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

// cloudEvent is an event of CloudEvents 1.0 in structured mode. sequence and livemode are extension
// attributes.
type cloudEvent struct {
	SpecVersion     string       `json:"specversion"`
	ID              string       `json:"id"`
	Source          string       `json:"source"`
	Type            string       `json:"type"`
	Subject         string       `json:"subject"`
	Time            string       `json:"time"`
	DataContentType string       `json:"datacontenttype"`
	Sequence        string       `json:"sequence"`
	Livemode        bool         `json:"livemode"`
	Data            standardData `json:"data"`
}

func renderCloudEvents(c kyc.Change, previousSequence uint64) ([]byte, error) {
	return encode(cloudEvent{
		SpecVersion:     "1.0",
		ID:              c.ID,
		Source:          "/partners/" + url.PathEscape(c.Partner),
		Type:            c.Type,
		Subject:         c.Partner + "/" + c.Subject.ID,
		Time:            formatTime(moment(c)),
		DataContentType: "application/json",
		Sequence:        fmt.Sprintf("%020d", c.Sequence), // the sequence extension asks for text that orders as text
		Livemode:        c.Livemode,
		Data:            newStandardData(c, previousSequence),
	})
}
