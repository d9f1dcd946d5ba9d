package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"countersign/kyc"
)

// All lists every format, the recommended one first.
var All = []Format{standard, blendfi, blendfiV1}

// ByName finds a format.
func ByName(name string) (Format, bool) {
	for _, f := range All {
		if f.Name == name {
			return f, true
		}
	}
	return Format{}, false
}

// encode writes JSON as partners get it: compact, in the order of the struct, with <, > and & as themselves.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// known writes an instant, or nothing where it is not known.
func known(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return formatTime(t)
}

// moment is when a change took place.
func moment(c kyc.Change) time.Time {
	if c.OccurredAt.IsZero() {
		return c.ReceivedAt
	}
	return c.OccurredAt
}
