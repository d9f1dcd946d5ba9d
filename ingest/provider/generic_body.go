package provider

import (
	"slices"
	"strconv"
	"time"

	"github.com/expr-lang/expr/vm"

	"countersign/kyc"
	"countersign/signing"
)

// reading is one callback on its way through the expressions. It keeps the first complaint, after
// which nothing is evaluated any more.
type reading struct {
	fields
	g       *generic
	machine vm.VM
	env     *env
}

func (g *generic) translate(h signing.Header, body []byte) (Result, error) {
	var d document
	if err := decodeAs(body, &d, g.reads); err != nil {
		return Result{}, err
	}
	r := &reading{g: g, machine: vm.VM{MemoryBudget: maxElements}, env: g.newEnv(h, d.root)}
	if r.is("ignore") && r.err == nil {
		event := word(r.text("event_type")) // for people: what cannot be read of it is no loss
		return Result{EventType: event, Ignored: noStatus}, nil
	}
	res := Result{EventType: word(r.need("event_type")), EventID: r.identity("event_id"), Livemode: r.flag("livemode")}
	if res.EventType == "" {
		r.fail("map.event_type", "is not a word")
	}
	u := observe(GenericName, g.version, res, r.time("occurred_at"))
	u.ProviderEvent.Revision = r.count("revision")
	res.Dedupe = r.dedupe(&u)
	r.who(&u)
	r.about(&u)
	known := r.what(&u)
	res.KeepBody = r.is("keep") || !known
	if r.err != nil {
		return Result{}, r.err
	}
	res.Updates = []kyc.Update{u}
	return res, nil
}

// dedupe is what names the event for ever. A tuple with a hole in it, or of an event with neither
// id, time nor revision, could be that of another event too.
func (r *reading) dedupe(u *kyc.Update) []string {
	parts, complete := r.list("dedupe")
	switch {
	case len(parts) > 0 && complete && (u.ProviderEvent.ID != "" || !u.OccurredAt.IsZero() || u.ProviderEvent.Revision != 0):
		return named(parts, u.ProviderEvent)
	case len(parts) == 0 && u.ProviderEvent.ID != "":
		return []string{u.ProviderEvent.ID}
	default:
		return nil // the digest of the body
	}
}

// named adds to a tuple what it leaves out and what is the same in every sending: an event with
// another id or revision is another event. The time is in every id already.
func named(parts []string, e kyc.ProviderEvent) []string {
	if e.ID != "" && !slices.Contains(parts, e.ID) {
		parts = append(parts, e.ID)
	}
	if e.Revision != 0 {
		parts = append(parts, strconv.FormatInt(e.Revision, 10))
	}
	return parts
}

// who fills in the subject and the session.
func (r *reading) who(u *kyc.Update) {
	u.Subject = kyc.Subject{ID: r.identity("subject"), ProviderRef: r.identity("provider_ref"), Kind: r.oneOf("kind", kyc.Individual, kyc.Company)}
	u.Verification = kyc.Verification{
		Ref: r.identity("ref"), ParentRef: r.identity("parent_ref"), AttemptRef: r.identity("attempt_ref"), Workflow: r.identity("workflow"),
	}
	if u.Subject.ID == "" && u.Subject.ProviderRef == "" && u.Verification.Ref == "" {
		r.fail("map.subject", "is missing")
	}
}

// about fills in the check.
func (r *reading) about(u *kyc.Update) {
	u.Scope = kyc.Scope(r.oneOf("scope", words(kyc.Overall, kyc.CheckScope, kyc.DocumentScope)...))
	u.Document = kyc.Document{ID: r.identity("document_id"), Type: word(r.text("document_type"))}
	usual := kyc.IdentityVerification
	switch {
	case u.Scope == kyc.DocumentScope:
		usual = kyc.DocumentVerification
		if u.Document.ID == "" {
			r.fail("map.document_id", "is missing")
		}
	case u.Subject.Kind == kyc.Company:
		usual = kyc.BusinessVerification
	}
	u.Check = kyc.Check(r.oneOf("check", append([]string{string(usual)}, words(kyc.Checks...)...)...))
}

// what fills in the status, and reports whether its word is known. One that is not, is in review.
func (r *reading) what(u *kyc.Update) (known bool) {
	said := r.need("status")
	if len(r.g.statuses) > 0 {
		u.Status, known = r.g.statuses[said]
	} else {
		u.Status, known = kyc.Status(said), slices.Contains(kyc.Statuses, kyc.Status(said))
	}
	if !known {
		u.Status = kyc.InReview
	}
	codes, _ := r.list("reasons")
	payload := undecided
	if again := r.flag("retryable"); again != nil {
		payload = map[bool]hint{true: retryable, false: terminal}[*again]
	}
	switch u.Status {
	case kyc.Rejected:
		reject(u, r.g.reasons.pairs(codes), payload, r.g.nature(codes))
	case kyc.InReview, kyc.Suspended:
		u.Reasons = r.g.reasons.pairs(codes)
	case kyc.Approved:
		if pairs := r.g.reasons.pairs(codes); grave(pairs) { // a yes beside a hit contradicts itself
			u.Status, u.Reasons, known = kyc.InReview, pairs, false
			break
		}
		u.ExpiresAt = r.time("expires_at")
	case kyc.Expired:
		u.ExpiryKind = kyc.ExpiryKind(r.oneOf("expiry_kind", words(kyc.ExpiryValidity, kyc.ExpiryAttempt)...))
		u.ExpiresAt = r.time("expires_at")
	default:
	}
	return known
}

// nature is what codes say of another try. Where the table leaves that open for a grave one, a
// lighter one beside it does not decide.
func (g *generic) nature(codes []string) hint {
	for _, code := range codes {
		if m := g.reasons.look(code); m.hint == undecided && grave([]kyc.ReasonPair{{Code: m.reason}}) {
			return terminal
		}
	}
	return g.reasons.hint(codes)
}

// value runs one expression. What went wrong is told in fixed words: the machine's own may show the
// body.
func (r *reading) value(key string) any {
	p, mapped := r.g.programs[key]
	if !mapped || r.err != nil {
		return nil
	}
	v, err := r.machine.Run(p.code, r.env)
	if err != nil {
		r.fail("map."+key, whyNot(err))
		return nil
	}
	return v
}

// text reads a word or an id; "" if there is none.
func (r *reading) text(key string) string {
	return r.textOf(key, r.value(key))
}

func (r *reading) textOf(key string, v any) string {
	switch v := v.(type) {
	case nil:
	case string:
		return v
	case int:
		return strconv.Itoa(v)
	case number:
		return string(v)
	default:
		r.mistyped(key, v)
	}
	return ""
}

func (r *reading) mistyped(key string, v any) {
	why := errMistyped
	if _, ok := v.(large); ok {
		why = errLarge
	}
	r.fail("map."+key, string(why))
}

func (r *reading) need(key string) string {
	s := r.text(key)
	if s == "" {
		r.fail("map."+key, "is missing")
	}
	return s
}

func (r *reading) identity(key string) string { return r.id("map."+key, ident(r.text(key))) }

// oneOf reads a word of a closed list, the first of which is what stands for none.
func (r *reading) oneOf(key string, words ...string) string {
	s := r.text(key)
	switch {
	case s == "":
		return words[0]
	case !slices.Contains(words, s):
		r.fail("map."+key, "is not one of its words")
	}
	return s
}

func (r *reading) flag(key string) *bool {
	switch v := r.value(key).(type) {
	case nil:
	case bool:
		return &v
	default:
		r.mistyped(key, v)
	}
	return nil
}

func (r *reading) is(key string) bool {
	v := r.flag(key)
	return v != nil && *v
}

func (r *reading) count(key string) int64 {
	switch v := r.value(key).(type) {
	case nil:
	case int:
		if v < 0 {
			r.fail("map."+key, "is negative")
		}
		return int64(v)
	default:
		r.mistyped(key, v)
	}
	return 0
}

func (r *reading) time(key string) time.Time {
	var text string
	switch v := r.value(key).(type) {
	case nil:
	case string:
		text = v
	case time.Time:
		if !v.IsZero() {
			text = v.UTC().Format(time.RFC3339Nano)
		}
	default:
		r.mistyped(key, v)
	}
	return r.fields.time("map."+key, text, r.g.resolution, time.RFC3339)
}

// list reads codes, or the parts of a tuple, and reports whether none was missing.
func (r *reading) list(key string) (out []string, complete bool) {
	v := r.value(key)
	items, ok := v.([]any)
	if !ok {
		items = []any{v}
		if v == nil {
			items = nil
		}
	}
	complete = true
	for _, v := range items {
		if s := r.textOf(key, v); s != "" {
			out = append(out, s)
		} else {
			complete = false
		}
	}
	return out, complete
}
