package kyc

import (
	"encoding/json"
	"strconv"
	"time"
)

// AppendJSON appends the update as encoding/json writes it, byte for byte, at a fraction of the
// cost: every callback is encoded once.
func (u *Update) AppendJSON(b []byte) []byte {
	o := object{append(b, '{'), false}
	o.int(`,"schema_version":`, int64(u.SchemaVersion))
	o.text(`,"id":`, u.ID)
	o.always(`,"kind":`, string(u.Kind))
	o.text(`,"source":`, u.Source)
	o.text(`,"provider":`, u.Provider)
	if e := u.ProviderEvent; e != (ProviderEvent{}) {
		in := o.nested(`,"provider_event":`)
		in.text(`,"id":`, e.ID)
		in.text(`,"type":`, e.Type)
		if e.Revision != 0 {
			in.int(`,"revision":`, e.Revision)
		}
		o.close(in)
	}
	o.text(`,"partner":`, u.Partner)
	o.bool(`,"livemode":`, u.Livemode)
	o.subject(u.Subject)
	if v := u.Verification; v != (Verification{}) {
		in := o.nested(`,"verification":`)
		in.text(`,"ref":`, v.Ref)
		in.text(`,"parent_ref":`, v.ParentRef)
		in.text(`,"attempt_ref":`, v.AttemptRef)
		in.text(`,"workflow":`, v.Workflow)
		o.close(in)
	}
	o.text(`,"scope":`, string(u.Scope))
	o.text(`,"check":`, string(u.Check))
	o.document(u.Document)
	o.text(`,"status":`, string(u.Status))
	o.text(`,"expiry_kind":`, string(u.ExpiryKind))
	o.reasons(u.Reasons)
	o.bool(`,"retryable":`, u.Retryable)
	o.bool(`,"terminal":`, u.Terminal)
	o.text(`,"authenticity":`, string(u.Authenticity))
	o.bool(`,"needs_confirmation":`, u.NeedsConfirmation)
	o.text(`,"claimed_status":`, string(u.ClaimedStatus))
	o.time(`,"expires_at":`, u.ExpiresAt)
	o.bool(`,"expiring":`, u.Expiring)
	o.time(`,"occurred_at":`, u.OccurredAt)
	o.text(`,"occurred_at_origin":`, string(u.OccurredAtOrigin))
	o.time(`,"received_at":`, u.ReceivedAt)
	o.text(`,"body_sha256":`, u.BodySHA256)
	if u.AdapterVersion != 0 {
		o.int(`,"adapter_version":`, int64(u.AdapterVersion))
	}
	o.text(`,"traceparent":`, u.Traceparent)
	if c := u.Callback; c != (Callback{}) {
		in := o.nested(`,"callback":`)
		in.text(`,"id":`, c.ID)
		in.int(`,"index":`, int64(c.Index))
		in.int(`,"count":`, int64(c.Count))
		o.close(in)
	}
	o.order(u)
	return append(o.b, '}')
}

// order writes the fields of decisions, redeliveries, confirmations and policies.
func (o *object) order(u *Update) {
	if u.Release {
		o.bool(`,"release":`, true)
	}
	o.text(`,"actor":`, u.Actor)
	o.text(`,"note":`, u.Note)
	o.text(`,"endpoint":`, u.Endpoint)
	o.text(`,"change_id":`, u.ChangeID)
	if u.Force {
		o.bool(`,"force":`, true)
	}
	o.time(`,"asked_at":`, u.AskedAt)
	if u.PolicyVersion != 0 {
		o.int(`,"policy_version":`, int64(u.PolicyVersion))
	}
	o.text(`,"unrouted_id":`, u.UnroutedID)
	o.text(`,"taken_back":`, u.TakenBack)
	if r := &u.Replay; *r != (Replay{}) {
		in := o.nested(`,"replay":`)
		in.always(`,"id":`, r.ID)
		in.key(`,"sequence":`)
		in.b = strconv.AppendUint(in.b, r.Sequence, 10)
		in.time(`,"at":`, r.At)
		if r.Previous != 0 {
			in.key(`,"previous_sequence":`)
			in.b = strconv.AppendUint(in.b, r.Previous, 10)
		}
		o.close(in)
	}
	o.text(`,"rebuild":`, u.Rebuild)
}

// AppendJSON appends the change as encoding/json writes it, byte for byte.
func (c *Change) AppendJSON(b []byte) []byte {
	o := object{append(b, '{'), false}
	o.always(`,"id":`, c.ID)
	o.always(`,"type":`, c.Type)
	o.key(`,"sequence":`)
	o.b = strconv.AppendUint(o.b, c.Sequence, 10)
	o.always(`,"partner":`, c.Partner)
	o.bool(`,"livemode":`, c.Livemode)
	o.subject(c.Subject)
	o.always(`,"status":`, string(c.Status))
	o.always(`,"previous_status":`, string(c.PreviousStatus))
	if v := c.Check; v != (CheckView{}) {
		in := o.nested(`,"check":`)
		in.text(`,"type":`, string(v.Type))
		in.text(`,"status":`, v.Status)
		in.text(`,"source":`, v.Source)
		in.text(`,"provider":`, v.Provider)
		in.text(`,"provider_ref":`, v.ProviderRef)
		o.close(in)
	}
	o.document(c.Document)
	o.reasons(c.Reasons)
	o.bool(`,"retryable":`, c.Retryable)
	o.bool(`,"terminal":`, c.Terminal)
	o.bool(`,"needs_confirmation":`, c.NeedsConfirmation)
	o.text(`,"claimed_status":`, string(c.ClaimedStatus))
	o.time(`,"approved_at":`, c.ApprovedAt)
	o.time(`,"expires_at":`, c.ExpiresAt)
	o.text(`,"decided_by":`, c.DecidedBy)
	o.time(`,"occurred_at":`, c.OccurredAt)
	o.time(`,"received_at":`, c.ReceivedAt)
	o.always(`,"cause_id":`, c.CauseID)
	o.text(`,"traceparent":`, c.Traceparent)
	return append(o.b, '}')
}

// object is a JSON object being written.
type object struct {
	b    []byte
	some bool // a field stands in it already
}

// key writes a key, which is given with all that may stand around it, such as `,"id":`: one append
// in place of four (BenchmarkAppendJSON).
func (o *object) key(name string) {
	if !o.some {
		o.some, name = true, name[1:]
	}
	o.b = append(o.b, name...)
}

func (o *object) always(name, s string) {
	o.key(name)
	o.b = appendText(o.b, s)
}

func (o *object) text(name, s string) {
	if s != "" {
		o.always(name, s)
	}
}

func (o *object) int(name string, n int64) {
	o.key(name)
	o.b = strconv.AppendInt(o.b, n, 10)
}

func (o *object) bool(name string, v bool) {
	o.key(name)
	o.b = strconv.AppendBool(o.b, v)
}

func (o *object) time(name string, t time.Time) {
	if t.IsZero() {
		return
	}
	o.key(name)
	o.b = append(t.AppendFormat(append(o.b, '"'), time.RFC3339Nano), '"')
}

func (o *object) nested(name string) object {
	o.key(name)
	return object{append(o.b, '{'), false}
}

func (o *object) close(in object) { o.b = append(in.b, '}') }

func (o *object) subject(s Subject) {
	if s == (Subject{}) {
		return
	}
	in := o.nested(`,"subject":`)
	in.text(`,"id":`, s.ID)
	in.text(`,"provider_ref":`, s.ProviderRef)
	in.text(`,"kind":`, s.Kind)
	o.close(in)
}

func (o *object) document(d Document) {
	if d == (Document{}) {
		return
	}
	in := o.nested(`,"document":`)
	in.text(`,"id":`, d.ID)
	in.text(`,"type":`, d.Type)
	in.text(`,"subtype":`, d.Subtype)
	o.close(in)
}

func (o *object) reasons(rs []ReasonPair) {
	if len(rs) == 0 {
		return
	}
	o.key(`,"reasons":`)
	o.b = append(o.b, '[')
	for i, r := range rs {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		in := object{append(o.b, '{'), false}
		in.always(`,"code":`, string(r.Code))
		in.text(`,"provider_code":`, r.ProviderCode)
		o.b = append(in.b, '}')
	}
	o.b = append(o.b, ']')
}

// appendText quotes s. What needs escapes goes the long way.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if escaped[s[i]] {
			quoted, err := json.Marshal(s)
			if err != nil { // a string always has a JSON form
				return append(b, `""`...)
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// escaped are the bytes that encoding/json does not write as they are, or that begin what it may
// not.
var escaped = func() (is [256]bool) {
	for c := range is {
		is[c] = c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&'
	}
	return is
}()
