package notice

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"countersign/outbox"
)

// body is a notice as it is posted: the shape of the standard format, with other data. The order of
// the fields is part of the contract.
type body struct {
	Type      string `json:"type"`
	Timestamp string `json:"timestamp"`
	Data      any    `json:"data"`
}

type disabledData struct {
	ID       string `json:"id"`
	Partner  string `json:"partner"`
	Endpoint string `json:"endpoint"`
	Reason   string `json:"reason"`
	Owed     int64  `json:"pending"` // deliveries that wait
}

type recoveredData struct {
	ID       string    `json:"id"`
	Partner  string    `json:"partner"`
	Endpoint string    `json:"endpoint"`
	Since    time.Time `json:"since"` // when the trouble was noticed
	Owed     int64     `json:"pending"`
}

type exhaustedData struct {
	ID         string         `json:"id"`
	Partner    string         `json:"partner"`
	Endpoint   string         `json:"endpoint"`
	Count      int            `json:"count"`
	Rejections int            `json:"rejections"` // of these, that tell of a rejection or suspension
	Reasons    map[string]int `json:"reasons"`    // how many died of what
	Since      time.Time      `json:"since"`      // when the first of them died
	Deliveries []string       `json:"deliveries"` // the first ten, by id
}

type keyData struct {
	ID        string    `json:"id"`
	Partner   string    `json:"partner"`
	Endpoint  string    `json:"endpoint"`
	ExpiresAt time.Time `json:"expires_at"`
}

// lane is where notices about an endpoint stand in line: no subject's lane begins so.
func lane(endpoint string) string { return "/" + endpoint }

// IsNotice reports whether a lane is of notices and not of a subject.
func IsNotice(lane string) bool { return strings.HasPrefix(lane, "/") }

// deliveries are a notice as it is owed to each endpoint.
func (t *note) deliveries(sequence uint64, to []string) (ds []outbox.Delivery, err error) {
	id := fmt.Sprintf("ntc_%s_%08d", t.at.Format("20060102T150405"), sequence)
	text, err := json.Marshal(body{t.kind, t.at.Format(time.RFC3339Nano), t.data(id)})
	if err != nil {
		return nil, fmt.Errorf("make notice %s: %w", t.kind, err)
	}
	for _, e := range to {
		ds = append(ds, outbox.Delivery{
			Endpoint: e, Lane: lane(t.endpoint), Sequence: sequence, WebhookID: id, Type: t.kind, Format: Format, Owed: t.at, Received: t.at, Body: text,
		})
	}
	return ds, nil
}
