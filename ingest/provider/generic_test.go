package provider

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

// facecheck is an invented provider, with every key that a mapping has.
func facecheck(changes ...func(*GenericSpec)) GenericSpec {
	s := GenericSpec{
		Version: 3, Doc: "https://docs.facecheck.example/webhooks", Resolution: time.Second,
		Signature: GenericSignature{Kind: "hmac", Header: "X-Facecheck-Signature", Prefix: "sha256="},
		Map: map[string]string{
			"ignore":        `body.event startsWith "billing."`,
			"event_type":    `body.event`,
			"event_id":      `body.id`,
			"dedupe":        `[body.id, body.data?.session.id]`,
			"occurred_at":   `time(body.at, "unix_ms", "2006-01-02T15:04:05Z07:00")`,
			"revision":      `body.data?.revision`,
			"livemode":      `body.mode == "live"`,
			"subject":       `text(body.data?.user)`,
			"provider_ref":  `body.data?.person`,
			"kind":          `has(body.data?.company) ? "company" : "individual"`,
			"ref":           `body.data?.session.id`,
			"parent_ref":    `body.data?.order`,
			"attempt_ref":   `body.data?.try`,
			"workflow":      `body.data?.flow`,
			"scope":         `has(body.data?.document) ? "document" : "overall"`,
			"check":         `body.data?.topic == "address" ? "address_verification" : nil`,
			"document_id":   `body.data?.document?.id`,
			"document_type": `body.data?.document?.type`,
			"status":        `lower(body.data?.result)`,
			"expiry_kind":   `body.data?.lapsed == true ? "attempt" : "validity"`,
			"reasons":       `map(filter(list(body.data?.findings), .weight > 0), .code)`,
			"retryable":     `body.data?.again`,
			"expires_at":    `body.data?.until`,
			"keep":          `any(list(body.data?.findings), .code == "X0")`,
		},
		Statuses: map[string]kyc.Status{"clear": kyc.Approved, "failed": kyc.Rejected, "open": kyc.Pending, "gone": kyc.Expired, "frozen": kyc.Suspended},
		Reasons: map[string]GenericReason{
			"F1": {kyc.DocumentUnreadable, "retryable"}, "S9": {kyc.SanctionsMatch, "terminal"}, "H3": {kyc.HighRisk, ""},
		},
	}
	for _, change := range changes {
		change(&s)
	}
	return s
}

func mapping(key, expression string) func(*GenericSpec) {
	return func(s *GenericSpec) { s.Map[key] = expression }
}

func signature(sig GenericSignature) func(*GenericSpec) {
	return func(s *GenericSpec) { s.Signature = sig }
}

func without(keys ...string) func(*GenericSpec) {
	return func(s *GenericSpec) {
		for _, k := range keys {
			delete(s.Map, k)
		}
	}
}

func made(tb testing.TB, spec GenericSpec) Adapter {
	tb.Helper()
	a, err := Generic(spec)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// facecheckBody is a callback of the invented provider; data is the inside of its object.
func facecheckBody(data string) string {
	return `{"event":"check.done","id":"ev-1","at":1777638615678,"mode":"live","data":{"user":4711,"session":{"id":"s-1"},` + data + `}}`
}

func TestGeneric(t *testing.T) {
	a := made(t, facecheck())
	if a.Name != GenericName || a.Version != 3 || a.Evidence != kyc.Signed || a.Doc == "" || !slices.Equal(a.PersonRefs, []RefKind{SubjectRef}) || a.API != nil {
		t.Errorf("adapter %+v", a)
	}
	f := func(name, body, want string) {
		t.Helper()
		r, err := a.Translate(http.Header{}, []byte(body), nil)
		sound(t, a, r, err)
		if got := compact(t, asWant(r, []byte(body), err)); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
	const event = `{"disposition":"update","event":{"id":"ev-1","type":"check.done"},"subject":{"id":"4711","kind":"individual"},"verification":{"ref":"s-1"},` +
		`"occurred_at":"2026-05-01T12:30:15Z","origin":"provider","dedupe":["ev-1","s-1"],"livemode":true,`
	f("approved", facecheckBody(`"result":"CLEAR","until":"2027-05-01T00:00:00Z"`),
		event+`"updates":[{"scope":"overall","check":"identity_verification","status":"approved","retryable":false,"terminal":false,"expires_at":"2027-05-01T00:00:00Z"}]}`)
	f("rejected, gravest first, the code that no try mends decides", facecheckBody(`"result":"failed","findings":[{"code":"F1","weight":2},`+
		`{"code":"F1","weight":0.5},{"code":"S9","weight":1},{"code":"low","weight":0}]`),
		event+`"updates":[{"scope":"overall","check":"identity_verification","status":"rejected","reasons":[{"code":"sanctions_match","provider_code":"S9"},`+
			`{"code":"document_unreadable","provider_code":"F1"}],"retryable":false,"terminal":true}]}`)
	f("rejected, the payload says try again", facecheckBody(`"result":"failed","again":true,"findings":[{"code":"N3W","weight":2},{"code":"Anna Smith","weight":2}]`),
		event+`"updates":[{"scope":"overall","check":"identity_verification","status":"rejected","reasons":[{"code":"other","provider_code":"N3W"},{"code":"other"}],`+
			`"retryable":true,"terminal":false}]}`)
	f("rejected, the payload says no more", facecheckBody(`"result":"failed","again":false,"findings":[{"code":"F1","weight":1}]`),
		event+`"updates":[{"scope":"overall","check":"identity_verification","status":"rejected","reasons":[{"code":"document_unreadable","provider_code":"F1"}],`+
			`"retryable":false,"terminal":true}]}`)
	f("rejected, nobody says: not an invitation", facecheckBody(`"result":"failed","findings":{"code":"H3","weight":1}`),
		event+`"updates":[{"scope":"overall","check":"identity_verification","status":"rejected","reasons":[{"code":"high_risk","provider_code":"H3"}],`+
			`"retryable":false,"terminal":true}]}`)
	f("a yes beside a hit", facecheckBody(`"result":"clear","findings":[{"code":"F1","weight":1},{"code":"S9","weight":1}]`),
		strings.TrimSuffix(event, ",")+`,"keep_body":true,"updates":[{"scope":"overall","check":"identity_verification","status":"in_review",`+
			`"reasons":[{"code":"sanctions_match","provider_code":"S9"},{"code":"document_unreadable","provider_code":"F1"}],"retryable":false,"terminal":false}]}`)
	f("a yes with remarks", facecheckBody(`"result":"clear","findings":[{"code":"F1","weight":1},{"code":"N3W","weight":1}]`),
		event+`"updates":[{"scope":"overall","check":"identity_verification","status":"approved","retryable":false,"terminal":false}]}`)
	f("an unknown word is looked at", facecheckBody(`"result":"approved","findings":[{"code":"S9","weight":1}]`),
		strings.TrimSuffix(event, ",")+`,"keep_body":true,"updates":[{"scope":"overall","check":"identity_verification","status":"in_review",`+
			`"reasons":[{"code":"sanctions_match","provider_code":"S9"}],"retryable":false,"terminal":false}]}`)
	f("kept, as the mapping asks", facecheckBody(`"result":"open","findings":[{"code":"X0","weight":1}]`),
		event+`"keep_body":true,"updates":[{"scope":"overall","check":"identity_verification","status":"pending","retryable":false,"terminal":false}]}`)
	f("lapsed", facecheckBody(`"result":"gone","lapsed":true`),
		event+`"updates":[{"scope":"overall","check":"identity_verification","status":"expired","expiry_kind":"attempt","retryable":false,"terminal":false}]}`)
	f("frozen", facecheckBody(`"result":"frozen"`),
		event+`"updates":[{"scope":"overall","check":"identity_verification","status":"suspended","retryable":false,"terminal":false}]}`)
	f("a document of a company", `{"event":"document.done","at":"2026-05-01T14:30:15+02:00","mode":"test","data":{"user":12345678901234567890,"person":"p-1","company":{},"topic":"address",`+
		`"session":{"id":"s-1"},"order":"o-1","try":2,"flow":"kyb","revision":7,"result":"clear","document":{"id":"d-1","type":"utility_bill"}}}`,
		`{"disposition":"update","event":{"type":"document.done","revision":7},"subject":{"id":"12345678901234567890","provider_ref":"p-1","kind":"company"},`+
			`"verification":{"ref":"s-1","parent_ref":"o-1","attempt_ref":"2","workflow":"kyb"},"occurred_at":"2026-05-01T12:30:15Z","origin":"provider",`+
			`"dedupe":["(body)"],"livemode":false,`+
			`"updates":[{"scope":"document","check":"address_verification","document":{"id":"d-1","type":"utility_bill"},"status":"approved","retryable":false,"terminal":false}]}`)
	f("ignored", `{"event":"billing.paid","id":7}`, `{"disposition":"ignored","event":{"type":"billing.paid"},"ignored":"event carries no kyc status","dedupe":["(body)"]}`)

	refuse := func(name, body, want string) {
		t.Helper()
		f(name, body, `{"error":"genuine but unreadable: `+want+`"}`)
	}
	refuse("no status", facecheckBody(`"result":null`), "map.status is missing")
	refuse("nobody", `{"event":"check.done","mode":"live","data":{"session":{},"result":"clear"}}`, "map.subject is missing")
	refuse("no event", `{"mode":"live","data":{"session":{},"user":"u","result":"clear"}}`, "map.event_type is missing")
	refuse("an event that is free text", `{"event":"a b","mode":"live","data":{"session":{},"user":"u","result":"clear"}}`, "map.event_type is not a word")
	refuse("a wrong turn", strings.Replace(facecheckBody(`"result":"clear"`), `"session"`, `"sitting"`, 1), "map.dedupe cannot be evaluated")
	refuse("no time", strings.Replace(facecheckBody(`"result":"clear"`), "1777638615678", `"yesterday"`, 1), "map.occurred_at is not a time")
	refuse("a time of the dinosaurs", strings.Replace(facecheckBody(`"result":"clear"`), "1777638615678", `-1777638615678`, 1), "map.occurred_at is not a time")
	refuse("no time of expiry", facecheckBody(`"result":"clear","until":20270501`), "map.expires_at has an unexpected type")
	refuse("a person that is a list", strings.Replace(facecheckBody(`"result":"clear"`), "4711", `["a"]`, 1), "map.subject has an unexpected type")
	refuse("an id with a line break", facecheckBody(`"result":"clear","person":"a\nb"`), "map.provider_ref holds a control character")
	refuse("an id that is too long", facecheckBody(`"result":"clear","person":"`+strings.Repeat("x", maxID+1)+`"`), "map.provider_ref is too long")
	refuse("an id that is far too long", facecheckBody(`"result":"clear","person":"`+strings.Repeat("x", maxText+1)+`"`), "map.provider_ref is too large")
	refuse("a flag that is none", facecheckBody(`"result":"failed","again":"yes"`), "map.retryable has an unexpected type")
	refuse("a revision that is none", facecheckBody(`"result":"failed","revision":1.5`), "map.revision has an unexpected type")
	refuse("a revision below zero", facecheckBody(`"result":"failed","revision":-1`), "map.revision is negative")
	refuse("a code that is an object", facecheckBody(`"result":"failed","findings":[{"code":{},"weight":1}]`), "map.reasons has an unexpected type")
	refuse("a weight that is none", facecheckBody(`"result":"failed","findings":[{"code":"F1"}]`), "map.reasons cannot be evaluated")
	refuse("a document without an id", facecheckBody(`"result":"clear","document":{"type":"passport"}`), "map.document_id is missing")
	refuse("a list", `[]`, "body is not a json object")
	refuse("half a body", `{"event":`, "body is not one json document")
	refuse("a key twice", `{"event":"x","Event":"y"}`, "body names a key twice")
}

// compact is asJSON on one line, with the digest of a body cut down to a word.
func compact(t *testing.T, w want) string {
	t.Helper()
	if len(w.Dedupe) == 1 && len(w.Dedupe[0]) == 64 {
		w.Dedupe[0] = "(body)"
	}
	var b strings.Builder
	for line := range strings.Lines(asJSON(t, w)) {
		b.WriteString(strings.TrimSpace(line))
	}
	return strings.NewReplacer(`": `, `":`).Replace(b.String())
}

// Without optional keys everything has its default, and an expression may be as plain as a word.
func TestGenericLeast(t *testing.T) {
	a := made(t, GenericSpec{
		Signature: GenericSignature{Kind: "none"},
		Map:       map[string]string{"event_type": `"k"`, "provider_ref": "body.who", "status": "body.status", "check": " screening ", "scope": "check"},
	})
	body := []byte(`{"who":"p","status":"approved"}`)
	r, err := a.Translate(http.Header{}, body, nil)
	sound(t, a, r, err)
	if len(r.Updates) != 1 || r.KeepBody || a.Version != 1 || a.Evidence != kyc.Network {
		t.Fatalf("%v %+v", err, r)
	}
	u := r.Updates[0]
	if u.Status != kyc.Approved || u.Check != kyc.Screening || u.Scope != kyc.CheckScope || u.OccurredAtOrigin != kyc.OriginReceived || r.Livemode != nil || len(r.Dedupe) != 0 {
		t.Errorf("%+v", u)
	}
	f := func(status string, want kyc.Status, kept bool) {
		t.Helper()
		body := []byte(`{"who":"p","status":` + status + `}`)
		r, err := a.Translate(http.Header{}, body, nil)
		sound(t, a, r, err)
		if err != nil || r.Updates[0].Status != want || r.KeepBody != kept {
			t.Errorf("%s: %v %+v, want %s, kept %v", status, err, r, want, kept)
		}
	}
	f(`"rejected"`, kyc.Rejected, false)
	f(`"expired"`, kyc.Expired, false)
	f(`"Approved"`, kyc.InReview, true)
	f(`"approved "`, kyc.InReview, true)
	f(`1`, kyc.InReview, true)
}

// TestGenericDedupe: what is said to name an event must not name another one too.
func TestGenericDedupe(t *testing.T) {
	a := made(t, facecheck(mapping("dedupe", "[body.a, body.b]"), mapping("occurred_at", "body.at"), mapping("event_id", "body.id"), mapping("revision", "body.rev"),
		mapping("status", `"pending"`), mapping("subject", `"u"`), mapping("event_type", `"e"`), mapping("ref", "nil"), without("ignore"), func(s *GenericSpec) { s.Statuses = nil }))
	f := func(body string, want ...string) {
		t.Helper()
		r, err := a.Translate(http.Header{}, []byte(body), nil)
		sound(t, a, r, err)
		if err != nil || !slices.Equal(r.Dedupe, want) {
			t.Errorf("%s: %v, %v; want %v", body, r.Dedupe, err, want)
		}
	}
	f(`{"a":"x","b":2,"at":"2026-05-01T00:00:00Z"}`, "x", "2")
	f(`{"a":"x","b":2,"rev":1}`, "x", "2", "1") // the second revision is another event
	f(`{"a":"x","b":2,"rev":2}`, "x", "2", "2")
	f(`{"a":"x","b":2,"id":"i"}`, "x", "2", "i")
	f(`{"a":"x","b":2,"id":"x"}`, "x", "2")
	f(`{"a":"x","b":2}`)                               // neither id nor time nor revision
	f(`{"a":"x","at":"2026-05-01T00:00:00Z","id":""}`) // a hole in it
	f(`{"a":"x","id":"i"}`)
	f(`{"id":"i"}`, "i")
}

// TestGenericHints: a grave code that leaves another try open is not made an invitation by a
// lighter one beside it. What a source says outright counts.
func TestGenericHints(t *testing.T) {
	a := made(t, facecheck(func(s *GenericSpec) {
		s.Reasons = map[string]GenericReason{
			"P": {Reason: kyc.PEPMatch}, "F": {Reason: kyc.FraudSuspected, Hint: "retryable"}, "H": {Reason: kyc.HighRisk}, "B": {Reason: kyc.DocumentUnreadable, Hint: "retryable"},
		}
	}))
	f := func(codes string, want bool) {
		t.Helper()
		findings := `{"code":"` + strings.Join(strings.Split(codes, ""), `","weight":1},{"code":"`) + `","weight":1}`
		r, err := a.Translate(http.Header{}, []byte(facecheckBody(`"result":"failed","findings":[`+findings+`]`)), nil)
		if err != nil || r.Updates[0].Retryable != want || r.Updates[0].Terminal == want {
			t.Errorf("%s: %+v, %v; want retryable %v", codes, r.Updates, err, want)
		}
	}
	f("P", false)
	f("PB", false)
	f("FB", true)
	f("HB", true)
	f("H", false)
}

// TestGenericMistakes: what is wrong with a spec is found when it is loaded, and named.
func TestGenericMistakes(t *testing.T) {
	f := func(want string, changes ...func(*GenericSpec)) {
		t.Helper()
		_, err := Generic(facecheck(changes...))
		if err == nil {
			t.Errorf("accepted, want %q", want)
			return
		}
		wants := strings.Split(want, "\n")
		for i, e := range err.(interface{ Unwrap() []error }).Unwrap() {
			g, ok := errors.AsType[*GenericError](e)
			if !ok || g.Remedy == "" || i >= len(wants) || !strings.HasPrefix(e.Error(), wants[i]) {
				t.Errorf("got %v\nwant %s", err, want)
			}
		}
		if n := strings.Count(err.Error(), "\n") + 1; n != len(wants) {
			t.Errorf("%d mistakes, want %s", n, want)
		}
	}
	m := mapping
	// Names and types.
	f("map.status: column 1: unknown name bdy", m("status", "bdy.status"))
	f("map.status: column 1: unknown name frobnicate", m("status", "frobnicate(body.status)"))
	f("map.status: column 13: unexpected token EOF", m("status", "body.status +"))
	f("map.status: line 2, column 7: unknown name boddy", m("status", "body.a ??\n      boddy"))
	f("map.status: column 1: it gives a list and should give text", m("status", "[body.status]"))
	f("map.status: column 1: it gives true or false and should give text", m("status", "has(body.status)"))
	f("map.status: column 1: it gives a function and should give text", m("status", "lower"))
	f("map.ignore: column 1: it gives text and should give true or false", m("ignore", `text(body.status)`))
	f("map.reasons: column 1: it gives true or false and should give a list", m("reasons", `has(body.status)`))
	f("map.occurred_at: column 1: it gives a whole number and should give a time", m("occurred_at", `int(body.at)`))
	f("map.revision: column 1: it gives text and should give a whole number", m("revision", `text(body.revision)`))
	f("map.keep: column 16: predicate should return boolean", m("keep", `any(body.list, "x")`))
	f("map.status: column 1: not enough arguments to call lower", m("status", "lower()"))
	f("map.status: column 1: not enough arguments to call header", m("status", "header()"))
	f("map.status: column 14: invalid operation: < (mismatched types", m("status", `text(body.a) < 1 ? "a" : "b"`))
	f("map.status: column 1: unexpected token EOF", m("status", ""))
	// What the language leaves out.
	f("map.status: column 7: + is not among the operators", m("status", `"abc" + body.status`))
	f("map.reasons: column 2: .. is not among the operators", m("reasons", `1..1000000000`))
	f("map.status: column 5: neither variables nor objects", m("status", `let a = body.a; text(a)`))
	f("map.status: column 6: neither variables nor objects", m("status", `body.x; body.status`))
	f("map.status: column 1: reduce is not among the functions", m("status", `reduce(body.list, #acc, "")`))
	f("map.reasons: column 1: sortBy is not among the functions", m("reasons", `sortBy(body.list, .a)`))
	f("map.status: column 1: unknown name repeat", m("status", `repeat("a", 1000000)`))
	f("map.status: column 1: unknown name now", m("status", `now()`))
	f("map.status: column 1: unknown name fromJSON", m("status", `fromJSON(body.a)`))
	f("map.status: column 1: unknown name $env", m("status", `$env.body`))
	f("map.status: column 1: unknown name Body", m("status", `Body.status`))
	f("map.status: column 15: values have no methods", m("status", `time(body.at).String()`))
	f("map.keep: column 8: one side of == must be text", m("keep", `body.a == body.b`))
	f("map.keep: column 8: one side of != must be text", m("keep", `body.a != body.b`))
	f("map.keep: column 8: what is looked for", m("keep", `body.a in body.b`))
	f("map.keep: column 14: a pattern must stand in the expression itself", m("keep", `text(body.a) matches body.b`))
	f("map.keep: column 14: error parsing regexp", m("keep", `text(body.a) matches "["`))
	f("map.status: column 1: the name of a header must stand", m("status", `header(text(body.a))`))
	f("map.status: column 405: compilation failed: expression exceeds maximum allowed nodes", m("status", `text(`+strings.Repeat("1,", 198)+"1,2,3)"))
	// Keys.
	f("map.colour: unknown key", m("colour", "body.colour"))
	f("map.status: is missing", without("status"))
	f("map.event_type: is missing\nmap.status: is missing\nmap.subject: is missing", without("status", "event_type", "subject", "provider_ref", "ref"))
	f("statuses.ok: is mapped to no status", func(s *GenericSpec) { s.Statuses["ok"] = "fine" })
	f("reasons.F1: is mapped to no reason", func(s *GenericSpec) { s.Reasons["F1"] = GenericReason{Reason: "blurred"} })
	f(`reasons.F1: "maybe" is not known`, func(s *GenericSpec) { s.Reasons["F1"] = GenericReason{kyc.OtherReason, "maybe"} })
	f("reasons.: is no code", func(s *GenericSpec) { s.Reasons[""] = GenericReason{kyc.OtherReason, ""} })
	f("resolution: is no resolution", func(s *GenericSpec) { s.Resolution = time.Minute })
	// Signatures.
	g := func(want string, sig GenericSignature) { t.Helper(); f(want, signature(sig)) }
	g("signature.kind: is no kind of signature", GenericSignature{})
	g("signature.kind: is no kind of signature", GenericSignature{Kind: "rot13"})
	g("signature.header: is missing", GenericSignature{Kind: "hmac"})
	g("signature.header: is not the name of a header", GenericSignature{Kind: "hmac", Header: "X Signature"})
	g("signature.announce: is not the name of a header", GenericSignature{Kind: "hmac", Header: "X", Announce: "X:", Announced: "a"})
	g("signature.announced: goes with announce only", GenericSignature{Kind: "hmac", Header: "X", Announced: "a"})
	g("signature: an announcing header needs the value", GenericSignature{Kind: "hmac", Header: "X", Announce: "Y"})
	g(`signature.algorithm: "md5" is not known`, GenericSignature{Kind: "hmac", Header: "X", Algorithm: "md5"})
	g(`signature.encoding: "base32" is not known`, GenericSignature{Kind: "hmac", Header: "X", Encoding: "base32"})
	g("signature.tolerance: does not go with kind hmac", GenericSignature{Kind: "hmac", Header: "X", Tolerance: time.Minute})
	g("signature.algorithm: does not go with kind timestamped", GenericSignature{Kind: "timestamped", Header: "X", Algorithm: "sha1"})
	g("signature.member: is missing\nsignature.timestamp_member: is missing", GenericSignature{Kind: "body_hmac"})
	g("signature: signature and timestamp are one member", GenericSignature{Kind: "body_hmac", Member: "a", TimestampMember: "a"})
	g("signature.member: is missing", GenericSignature{Kind: "body_token"})
	g("signature.header: is missing", GenericSignature{Kind: "header"})
	g("signature.prefix: \"X\" is not known", GenericSignature{Kind: "standard_webhooks", Prefix: "X"})
	g("signature.tolerance: cannot be any", GenericSignature{Kind: "standard_webhooks", Tolerance: AnyAge})
	g("signature.header: does not go with kind none", GenericSignature{Kind: "none", Header: "X"})
}

// TestGenericBounds: an expression over a hostile body ends soon and keeps little.
func TestGenericBounds(t *testing.T) {
	ones := func(n int) string { return `{"a":[1` + strings.Repeat(",1", n-1) + `]}` }
	nested := `{"a":[` + strings.Repeat(`[1`+strings.Repeat(",1", 99)+`],`, 101) + `[]]}`
	f := func(expression, body, want string) {
		t.Helper()
		a := made(t, GenericSpec{Signature: GenericSignature{Kind: "none"}, Map: map[string]string{
			"event_type": `"e"`, "subject": `"u"`, "status": `"pending"`, "reasons": expression, "ignore": "false",
		}})
		began := time.Now()
		r, err := a.Translate(http.Header{}, []byte(body), nil)
		sound(t, a, r, err)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s took %v", expression, took)
		}
		if got := fmt.Sprint(err); got != want {
			t.Errorf("%s over %d bytes: %s, want %s", expression, len(body), got, want)
		}
	}
	const (
		unfit   = "genuine but unreadable: map.reasons cannot be evaluated"
		endless = "genuine but unreadable: map.reasons takes too many steps"
		tooMuch = "genuine but unreadable: map.reasons is too large"
		fine    = "<nil>"
	)
	f(`map(body.a, #)`, ones(maxItems), fine)
	f(`map(body.a, #)`, ones(maxItems+1), unfit)
	f(`filter(body.a, # == 1)`, ones(1<<19), unfit) // 1 MiB
	f(`list(body.a)`, ones(1<<19), tooMuch)
	f(`body.a`, ones(1<<19), tooMuch)
	f(`[text(body.a)]`, ones(1<<19), tooMuch)
	f(`[text(first(body.a))]`, ones(1<<19), "genuine but unreadable: map.reasons has an unexpected type")
	f(`has(body.b) ? ["x"] : []`, ones(1<<19), fine) // what is large harms only those who use it
	f(`map(body.a, any(body.a, # == 2))`, ones(maxItems), endless)
	f(`filter(body.a, count(#, # == 2) == 1)`, nested, endless)
	f(`map(body.a, [#,#,#,#,#,#,#,#,#,#,#,#,#,#,#,#,#,#,#,#])`, ones(maxItems), unfit) // the memory budget
	f(`map(body.a, text(body.b, body.b))`, `{"b":"`+strings.Repeat("x", 600)+`","a":[1]}`, tooMuch)
	f(`[lower(body.a)]`, `{"a":"`+strings.Repeat("\u023a", maxText/2)+`"}`, tooMuch) // a letter that grows
	f(`["x" in body.a ? "a" : "b"]`, ones(1<<19), unfit)
	f(`[body.a == "x" ? "a" : "b"]`, ones(1<<19), fine)
	f(`[len(body.a) > 1 ? "a" : "b"]`, ones(1<<19), unfit)
	f(`[body.a matches "(x+x+)+y" ? "a" : "b"]`, `{"a":"`+strings.Repeat("x", maxText)+`"}`, fine)
	f(`[body.a matches "(x+x+)+y" ? "a" : "b"]`, `{"a":"`+strings.Repeat("x", maxText+1)+`"}`, unfit)
	f(`body.b ?? []`, `{"a":`+strings.Repeat(`{"a":`, 9000)+"1"+strings.Repeat("}", 9001), fine)
	f(`body.b ?? []`, `{"a":`+strings.Repeat(`{"a":`, 20_000)+"1"+strings.Repeat("}", 20_001), "genuine but unreadable: body is not one json document")
	f(`[text(body.a.a.a)]`, `{"a":`+strings.Repeat(`{"a":`, 9000)+"1"+strings.Repeat("}", 9001), "genuine but unreadable: map.reasons has an unexpected type")
	f(`[text(body.a)]`, `{"a":1`+strings.Repeat("0", maxText)+`}`, tooMuch)
	var wide strings.Builder
	for i := range maxItems {
		fmt.Fprintf(&wide, `"k%d":1,`, i)
	}
	f(`body.b ?? []`, `{"o":{`+wide.String()+`"x":1}}`, fine)
	f(`[text(body.o.x)]`, `{"o":{`+wide.String()+`"x":1}}`, unfit)
}

// TestGenericFunctions evaluates one expression over one body.
func TestGenericFunctions(t *testing.T) {
	f := func(expression, body, want string) {
		t.Helper()
		a := made(t, GenericSpec{Signature: GenericSignature{Kind: "none"}, Map: map[string]string{
			"event_type": `"e"`, "provider_ref": `"p"`, "status": `"pending"`, "subject": expression,
		}})
		h := header(map[string]string{"X-One": "1"})
		h["X-Two"] = []string{"1", "2"}
		h.Set("X-Long", strings.Repeat("x", maxText+1))
		r, err := a.Translate(h, []byte(body), nil)
		got := fmt.Sprint(err)
		if err == nil {
			got = r.Updates[0].Subject.ID
		}
		if strings.TrimPrefix(got, "genuine but unreadable: map.subject ") != want {
			t.Errorf("%s over %s = %s, want %s", expression, body, got, want)
		}
	}
	f(`body.a`, `{}`, "")
	f(`body.a?.b?.c`, `{}`, "")
	f(`body.a.b`, `{}`, "cannot be evaluated")
	f(`body.a?.b`, `{"a":"x"}`, "cannot be evaluated")
	f(`body.a`, `{"a":9007199254740993}`, "9007199254740993")
	f(`body.a`, `{"a":92233720368547758089}`, "92233720368547758089")
	f(`body.a`, `{"a":1.5}`, "has an unexpected type")
	f(`text(body.a)`, `{"a":1.5}`, "1.5")
	f(`text(body.a)`, `{"a":1e3}`, "1000")
	f(`text(body.a)`, `{"a":1e999}`, "1e999")
	f(`text(body.a, "-", body.b, true)`, `{"a":"x"}`, "x-true")
	f(`body.a[1]`, `{"a":["x","y"]}`, "y")
	f(`body.a[2]`, `{"a":["x","y"]}`, "cannot be evaluated")
	f(`first(body.a)`, `{"a":["x","y"]}`, "x")
	f(`last(body.a)`, `{"a":["x","y"]}`, "y")
	f(`last(body.a)`, `{"a":[]}`, "")
	f(`last(body.a)`, `{}`, "")
	f(`last(body.a)`, `{"a":"xyz"}`, "has an unexpected type")
	f(`find(body.a, .k == "u")?.v`, `{"a":[{"k":"t","v":"1"},{"k":"u","v":"2"}]}`, "2")
	f(`find(body.a, .k == "w")?.v`, `{"a":[{"k":"t","v":"1"}]}`, "")
	f(`upper(body.a)`, `{"a":"x"}`, "X")
	f(`body.a[0:3]`, `{"a":"abcdef"}`, "abc")
	f(`body["a b"]`, `{"a b":"x"}`, "x")
	f(`body.a ?? body.b`, `{"b":"x"}`, "x")
	f(`int(body.a) >= 80 ? "high" : "low"`, `{"a":"80"}`, "high")
	f(`int(body.a) >= 80 ? "high" : "low"`, `{"a":79.0}`, "low")
	f(`int(body.a) >= 80 ? "high" : "low"`, `{}`, "is not a whole number") // a missing score is no low one
	f(`body.a >= 80 ? "high" : "low"`, `{}`, "cannot be evaluated")
	f(`body.a > 1.5 ? "high" : "low"`, `{"a":2}`, "high")
	f(`body.a ? "yes" : "no"`, `{"a":"true"}`, "cannot be evaluated")
	f(`text(body.a) in ["x", "y"] ? "in" : "out"`, `{"a":"y"}`, "in")
	f(`text(body.a) not in body.l ? "out" : "in"`, `{"a":"y","l":["x"]}`, "out")
	f(`not has(body.a) and none(body.l, # == "q") ? "1" : "2"`, `{"l":["x"]}`, "1")
	f(`all(body.l, # endsWith "x") && body.s matches "^[a-z]+$" ? "1" : "2"`, `{"l":["x"],"s":"abc"}`, "1")
	f(`time(body.a) < time(body.b) ? "before" : "after"`, `{"a":"2026-01-01T00:00:00Z","b":"2026-01-02T00:00:00Z"}`, "before")
	f(`time(body.a, "unix") == time(body.b, "unix_ms") ? "same" : "not"`, `{"a":"1777638615","b":1777638615000}`, "same")
	f(`time(body.a, "2006-01-02") == time(body.b) ? "same" : "not"`, `{"a":"2026-05-01","b":"2026-05-01T00:00:00Z"}`, "same")
	f(`time(body.a) == time(body.b) ? "same" : "not"`, `{"b":"[redacted]"}`, "same") // neither is there
	f(`time(body.a) == time(body.b) ? "same" : "not"`, `{"a":1777638615}`, "is not a time")
	f(`header("x-one")`, `{}`, "1")
	f(`header("X-None")`, `{}`, "")
	f(`header("X-Two")`, `{}`, "is duplicated in a header")
	f(`header("X-Long")`, `{}`, "is too large")
}

// Keys of Standard Webhooks, which are not any text.
const (
	genericKey   = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	genericOther = "whsec_YWJjZGVmZ2hpamFiY2RlZmdoaWphYmNkZWZnaGk="
)

// genericSignatures are all kinds, as sources would configure them.
var genericSignatures = []struct {
	GenericSignature
	variant
	proves kyc.Authenticity
}{
	{GenericSignature{Kind: "hmac", Header: "X-Sig"}, variant{}, kyc.Signed},
	{GenericSignature{Kind: "hmac", Header: "X-Sig", Algorithm: "sha1", Encoding: "base64", Prefix: "v0="}, variant{}, kyc.Signed},
	{GenericSignature{Kind: "hmac", Header: "X-Sig", Algorithm: "sha512", Announce: "X-Alg", Announced: "SHA512"}, variant{}, kyc.Signed},
	{GenericSignature{Kind: "timestamped", Header: "X-Sig"}, variant{Tolerance: "5m"}, kyc.Signed},
	{GenericSignature{Kind: "timestamped", Header: "X-Sig", Tolerance: time.Hour}, variant{Tolerance: "1h"}, kyc.Signed},
	{GenericSignature{Kind: "standard_webhooks"}, variant{Key: genericKey, Other: genericOther, Tolerance: "5m"}, kyc.Signed},
	{GenericSignature{Kind: "standard_webhooks", Prefix: "svix", Tolerance: time.Minute}, variant{Key: genericKey, Other: genericOther, Tolerance: "1m"}, kyc.Signed},
	{GenericSignature{Kind: "digest_suffix", Header: "Signature"}, variant{}, kyc.Signed},
	{GenericSignature{Kind: "digest_suffix", Header: "Signature", Plain: true}, variant{}, kyc.Signed},
	{GenericSignature{Kind: "body_hmac", Member: "sig", TimestampMember: "ts", Suffix: "go"}, variant{Tolerance: "5m"}, kyc.Authenticated},
	{GenericSignature{Kind: "body_hmac", Member: "sig", TimestampMember: "ts", Tolerance: AnyAge}, variant{}, kyc.Authenticated},
	{GenericSignature{Kind: "body_token", Member: "token"}, variant{}, kyc.Authenticated},
	{GenericSignature{Kind: "basic"}, variant{}, kyc.Authenticated},
	{GenericSignature{Kind: "basic", Header: "X-Auth"}, variant{}, kyc.Authenticated},
	{GenericSignature{Kind: "bearer"}, variant{}, kyc.Authenticated},
	{GenericSignature{Kind: "header", Header: "X-Token"}, variant{}, kyc.Authenticated},
	{GenericSignature{Kind: "none"}, variant{}, kyc.Network},
}

// TestGenericAttack forges every kind of signature in every way, as it is done with the adapters
// that are written out.
func TestGenericAttack(t *testing.T) {
	kinds := map[string]bool{}
	for _, c := range genericSignatures {
		kinds[c.Kind] = true
		a := made(t, facecheck(signature(c.GenericSignature)))
		if a.Authenticity(nil) != c.proves {
			t.Errorf("%+v proves %s, want %s", c.GenericSignature, a.Authenticity(nil), c.proves)
		}
		if _, err := a.Scheme(Options{"x": "y"}); err == nil {
			t.Errorf("%s takes an option", c.Kind)
		}
		v := c.variant
		if v.Key == "" {
			v.Key, v.Other = "a-key-of-the-source:with-a-colon", "another-key:of-another-source"
		}
		s := scheme(t, a, nil)
		if signing.Keyless(s) != (c.Kind == "none") {
			t.Errorf("%s keyless: %v", c.Kind, signing.Keyless(s))
			continue
		}
		if c.Kind != "none" && !attack(t, a, v, s, fixture{name: c.Kind, body: []byte(facecheckBody(`"result":"clear"`))}) {
			t.Errorf("%+v was not attacked", c.GenericSignature)
		}
	}
	if names := slices.Sorted(maps.Keys(kinds)); len(names) != len(GenericKinds()) {
		t.Errorf("attacked %v of %v", names, GenericKinds())
	}
}

// TestGenericSchemes: each kind is the scheme of that name, with its parameters in their places.
func TestGenericSchemes(t *testing.T) {
	f := func(sig GenericSignature, want signing.Scheme) {
		t.Helper()
		if got := scheme(t, made(t, facecheck(signature(sig))), nil); got != want {
			t.Errorf("%+v is %T%+v, want %T%+v", sig, got, got, want, want)
		}
	}
	f(GenericSignature{Kind: "hmac", Header: "X"}, signing.BodyHMAC{Header: "X"})
	f(GenericSignature{Kind: "hmac", Header: "X", Algorithm: "sha1", Encoding: "base64", Prefix: "p", Announce: "A", Announced: "B"},
		signing.BodyHMAC{Header: "X", Hash: signing.SHA1, Encoding: signing.Base64, Prefix: "p", Announce: "A", Announced: "B"})
	f(GenericSignature{Kind: "timestamped", Header: "X"}, signing.Timestamped{Header: "X", Tolerance: 5 * time.Minute})
	f(GenericSignature{Kind: "timestamped", Header: "X", Tolerance: AnyAge}, signing.Timestamped{Header: "X"})
	f(GenericSignature{Kind: "standard_webhooks", Prefix: "svix", Tolerance: time.Hour}, signing.StandardWebhooks{HeaderPrefix: "svix", Tolerance: time.Hour})
	f(GenericSignature{Kind: "digest_suffix", Header: "X"}, signing.DigestSuffix{Header: "X"})
	f(GenericSignature{Kind: "digest_suffix", Header: "X", Plain: true}, signing.DigestSuffix{Header: "X", Plain: true})
	f(GenericSignature{Kind: "body_hmac", Member: "a", TimestampMember: "b", Suffix: "c"}, signing.BodyProof{Signature: "a", Timestamp: "b", Suffix: "c", Tolerance: 5 * time.Minute})
	f(GenericSignature{Kind: "body_token", Member: "a"}, signing.BodyToken{Member: "a"})
	f(GenericSignature{Kind: "basic"}, signing.Static{Scheme: signing.Basic})
	f(GenericSignature{Kind: "bearer", Header: "X"}, signing.Static{Header: "X", Scheme: signing.Bearer})
	f(GenericSignature{Kind: "header", Header: "X"}, signing.Static{Header: "X", Scheme: signing.Raw})
	f(GenericSignature{Kind: "none"}, signing.Unsigned{})
}

// TestGenericAnyAge: a time is signed, but the sender's retries are as old as their first try.
func TestGenericAnyAge(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	s := scheme(t, made(t, facecheck(signature(GenericSignature{Kind: "timestamped", Header: "X", Tolerance: AnyAge}))), nil)
	for age, want := range map[time.Duration]bool{1000 * time.Hour: true, -5 * time.Minute: true, -6 * time.Minute: false} {
		m, _ := sign(t, s, []byte("{}"), now.Add(-age), ring(t, "k"))
		if err := s.Verify(m.h, m.body, ring(t, "k"), now); (err == nil) != want {
			t.Errorf("%v old: %v", age, err)
		}
	}
}

// TestGenericHeaders: what rests on headers that no signature covers is not signed.
func TestGenericHeaders(t *testing.T) {
	hmac, standard, svix := GenericSignature{Kind: "hmac", Header: "X"}, GenericSignature{Kind: "standard_webhooks"}, GenericSignature{Kind: "standard_webhooks", Prefix: "svix"}
	f := func(sig GenericSignature, key, expression string, want kyc.Authenticity) {
		t.Helper()
		if got := made(t, facecheck(signature(sig), mapping(key, expression))).Authenticity(nil); got != want {
			t.Errorf("%s: %s with %s proves %s, want %s", key, expression, sig.Kind, got, want)
		}
	}
	f(hmac, "event_type", `header("X-Event")`, kyc.Signed) // a name, which decides nothing
	f(hmac, "status", `header("X-Status")`, kyc.Authenticated)
	f(hmac, "event_id", `header("X-Id")`, kyc.Authenticated)
	f(hmac, "keep", `any(list(body.x), header("X-Id") == #)`, kyc.Authenticated)
	f(standard, "event_id", `header("Webhook-Id")`, kyc.Signed)
	f(standard, "event_id", `header("svix-id")`, kyc.Authenticated)
	f(svix, "event_id", `header("svix-id")`, kyc.Signed)
	f(svix, "status", `header("svix-id") == "" ? header("X") : "y"`, kyc.Authenticated)
	f(GenericSignature{Kind: "none"}, "status", `header("X")`, kyc.Network)

	read := made(t, facecheck(signature(svix), mapping("event_id", `header("svix-id")`), mapping("keep", `header("x-b") == header("x-b")`))).Headers
	if want := []string{"Svix-Id", "Svix-Signature", "Webhook-Id", "X-B"}; !slices.Equal(read, want) {
		t.Errorf("reads %v, want %v", read, want)
	}
	// Under Svix either family of headers may be the signed one: the other is not to be believed.
	a := made(t, facecheck(signature(svix), mapping("event_id", `header("svix-id")`)))
	id := func(h http.Header) string {
		r, err := a.Translate(h, []byte(facecheckBody(`"result":"clear"`)), nil)
		if err != nil {
			t.Fatal(err)
		}
		return r.EventID
	}
	family := func(prefix, id string) map[string]string {
		return map[string]string{prefix + "-Id": id, prefix + "-Timestamp": "1", prefix + "-Signature": "v1," + base64.StdEncoding.EncodeToString(make([]byte, 32))}
	}
	if got := id(header(family("Svix", "own"))); got != "own" {
		t.Errorf("id %q", got)
	}
	h := header(family("Webhook", "own"))
	h.Set("Svix-Id", "forged")
	if got := id(h); got != "own" {
		t.Errorf("id %q of the family that nobody verified", got)
	}
}

// FuzzGeneric: whatever expression passes the check, over whatever body, ends soon and says nothing
// that no adapter may say.
func FuzzGeneric(f *testing.F) {
	full := made(f, facecheck())
	for _, text := range facecheck().Map {
		f.Add(text, facecheckBody(`"result":"failed","findings":[{"code":"F1","weight":2}],"document":{"id":"d"}`))
	}
	f.Add(`map(filter(list(body.a), has(.b)), text(.b, #index)[0:2])`, `{"a":[{"b":1},{"b":"x"},{},1e400]}`)
	f.Fuzz(func(t *testing.T, expression, body string) {
		r, err := full.Translate(http.Header{}, []byte(body), nil)
		sound(t, full, r, err)
		for _, k := range GenericKeys() {
			a, err := Generic(GenericSpec{Signature: GenericSignature{Kind: "none"}, Map: map[string]string{
				"event_type": `"e"`, "subject": `"u"`, "status": `"rejected"`, k.Name: expression,
			}})
			if err != nil {
				continue
			}
			began := time.Now()
			r, err := a.Translate(http.Header{}, []byte(body), nil)
			sound(t, a, r, err)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("%s: %s took %v", k.Name, expression, took)
			}
		}
	})
}
