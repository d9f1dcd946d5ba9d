package format

import (
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"countersign/kyc"
)

// What follows writes the data of standard and cloudevents as encode does, byte for byte
// (TestAppendStandard), at a fraction of the cost: every change is rendered for every endpoint
// (BenchmarkRender).

// appendStandard appends the body of standard.
func appendStandard(b []byte, c *kyc.Change, previousSequence uint64) []byte {
	b = appendField(append(b, '{'), "type", c.Type)
	b = appendInstant(append(b, `,"timestamp":`...), moment(c))
	b = appendStandardData(append(b, `,"data":`...), c, previousSequence)
	return append(b, '}')
}

// appendStandardData appends a standardData.
func appendStandardData(b []byte, c *kyc.Change, previousSequence uint64) []byte {
	b = appendField(append(b, '{'), "id", c.ID)
	b = strconv.AppendUint(append(b, `,"sequence":`...), c.Sequence, 10)
	b = strconv.AppendUint(append(b, `,"previous_sequence":`...), previousSequence, 10)
	b = appendField(append(b, ','), "partner", c.Partner)
	b = appendField(append(b, `,"subject":{`...), "id", c.Subject.ID)
	b = appendSome(b, "kind", c.Subject.Kind)
	b = appendField(append(b, '}', ','), "status", string(c.Status))
	b = appendField(append(b, ','), "previous_status", string(c.PreviousStatus))
	b = appendCheck(b, &c.Check)
	b = appendDocument(b, &c.Document)
	b = appendReasons(append(b, `,"reasons":`...), c.Reasons)
	b = strconv.AppendBool(append(b, `,"retryable":`...), c.Retryable)
	b = strconv.AppendBool(append(b, `,"terminal":`...), c.Terminal)
	if !c.ApprovedAt.IsZero() {
		b = appendInstant(append(b, `,"approved_at":`...), c.ApprovedAt)
	}
	if !c.ExpiresAt.IsZero() {
		b = appendInstant(append(b, `,"expires_at":`...), c.ExpiresAt)
	}
	b = strconv.AppendBool(append(b, `,"livemode":`...), c.Livemode)
	if c.NeedsConfirmation {
		b = append(b, `,"needs_confirmation":true`...)
	}
	b = appendSome(b, "claimed_status", string(c.ClaimedStatus))
	if decides(c) {
		b = appendSome(b, "decided_by", c.DecidedBy)
	}
	return append(b, '}')
}

func appendCheck(b []byte, v *kyc.CheckView) []byte {
	if *v == (kyc.CheckView{}) {
		return b
	}
	b = append(b, `,"check":{`...)
	first := len(b)
	for _, f := range [...][2]string{{"type", string(v.Type)}, {"status", v.Status}, {"source", v.Source}, {"provider", v.Provider}, {"provider_ref", v.ProviderRef}} {
		b = appendNext(b, first, f[0], f[1])
	}
	return append(b, '}')
}

func appendDocument(b []byte, d *kyc.Document) []byte {
	if *d == (kyc.Document{}) {
		return b
	}
	b = append(b, `,"document":{`...)
	first := len(b)
	for _, f := range [...][2]string{{"id", d.ID}, {"type", d.Type}, {"subtype", d.Subtype}} {
		b = appendNext(b, first, f[0], f[1])
	}
	return append(b, '}')
}

// appendReasons appends a list, also where there are none.
func appendReasons(b []byte, rs []kyc.ReasonPair) []byte {
	b = append(b, '[')
	for i := range rs {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendField(append(b, '{'), "code", string(rs[i].Code))
		b = append(appendSome(b, "provider_code", rs[i].ProviderCode), '}')
	}
	return append(b, ']')
}

// appendSome appends a field behind others, if it says anything.
func appendSome(b []byte, name, s string) []byte {
	if s == "" {
		return b
	}
	return appendField(append(b, ','), name, s)
}

// appendNext is appendSome in an object whose first field would stand at first.
func appendNext(b []byte, first int, name, s string) []byte {
	if len(b) == first && s != "" {
		return appendField(b, name, s)
	}
	return appendSome(b, name, s)
}

func appendField(b []byte, name, s string) []byte {
	b = append(append(append(b, '"'), name...), '"', ':')
	return appendText(b, s)
}

func appendInstant(b []byte, t time.Time) []byte {
	return append(t.UTC().AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
}

// appendText quotes s as encode does. What needs escapes goes the long way.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			quoted, err := encode(s)
			if err != nil { // a string always has a JSON form
				quoted, _ = json.Marshal("")
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
