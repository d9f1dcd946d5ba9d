package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"countersign/kyc"
)

// All lists every format, the recommended one first.
var All = []Format{standard, cloudevents, blendfi, blendfiV1, bluum, rebilly}

// ByName finds a format.
func ByName(name string) (Format, bool) {
	for _, f := range All {
		if f.Name == name {
			return f, true
		}
	}
	return Format{}, false
}

// bodyRoom is what most bodies take, in bytes.
const bodyRoom = 768

// encode writes JSON as partners get it: compact, in the order of the struct, with <, > and & as
// themselves.
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
func moment(c *kyc.Change) time.Time {
	if c.OccurredAt.IsZero() {
		return c.ReceivedAt
	}
	return c.OccurredAt
}

// What the type of a change begins with, by the kind of object it is about, and the word of the
// notice that an approval is about to end.
const (
	statusPrefix   = "kyc.status."
	checkPrefix    = "kyc.check."
	documentPrefix = "kyc.document."
	expiring       = "expiring"
)

// wasApproved reports whether the partner may still believe that the object is approved.
func wasApproved(c kyc.Change) bool {
	return c.PreviousStatus == kyc.Approved || c.PreviousStatus == expiring
}

// final reports whether nobody may be invited to try again, whatever else is wrong.
func final(c kyc.Change) bool { return c.Terminal || slices.ContainsFunc(c.Reasons, isHit) }

// isHit recognises the two reasons that are final wherever a partner has no better word for them.
func isHit(r kyc.ReasonPair) bool { return r.Code == kyc.SanctionsMatch || r.Code == kyc.PEPMatch }

// primary is the gravest reason, other where there is none.
func primary(c kyc.Change) kyc.ReasonPair {
	if len(c.Reasons) == 0 {
		return kyc.ReasonPair{Code: kyc.OtherReason}
	}
	return c.Reasons[0]
}
