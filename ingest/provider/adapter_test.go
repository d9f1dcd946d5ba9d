package provider

import (
	"cmp"
	"errors"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

func TestTranslate(t *testing.T) {
	for _, a := range All {
		for _, f := range fixtures(t, a) {
			t.Run(a.Name+"/"+f.name, func(t *testing.T) {
				scheme(t, a, f.options) // a fixture's options must be possible
				r, err := a.Translate(http.Header{}, f.body, f.options)
				if err != nil && !errors.Is(err, ErrUnreadable) {
					t.Errorf("error %v does not wrap ErrUnreadable", err)
				}
				if got, want := asJSON(t, asWant(r, f.body, err)), asJSON(t, f.want); got != want {
					t.Errorf("got %s\nwant %s", got, want)
				}
				sound(t, a, r, err)
				private(t, r)
			})
		}
	}
}

// errorText is every way an error may look: fixed words and our own field names.
var errorText = regexp.MustCompile(`^genuine but unreadable: [A-Za-z0-9 ._:/-]{1,100}$`)

// sound checks what holds for any body.
func sound(t *testing.T, a Adapter, r Result, err error) {
	t.Helper()
	if err != nil {
		if !errors.Is(err, ErrUnreadable) || !errorText.MatchString(err.Error()) {
			t.Errorf("error %q is not in fixed words", err)
		}
		if asJSON(t, r) != asJSON(t, Result{}) {
			t.Errorf("an error comes with a result: %+v", r)
		}
		return
	}
	said, ignored, held := len(r.Updates)+len(r.Fetch) > 0, r.Ignored != "", r.Hold != ""
	if !said && !ignored && !held || said && ignored || said && held || ignored && held {
		t.Errorf("a result is updates or a fetch, or ignored, or kept: %+v", r)
	}
	if held && (!slices.Contains(Holds, r.Hold) || r.KeepBody) {
		t.Errorf("kept as %q: %+v", r.Hold, r)
	}
	if !slices.Contains([]string{"", noStatus, unknownEv, otherKind, faultEv, testEv}, r.Ignored) {
		t.Errorf("ignored %q is not in fixed words", r.Ignored)
	}
	if r.Fault != (r.Ignored == faultEv) {
		t.Errorf("a fault is ignored as one: %+v", r)
	}
	for _, q := range r.Fetch {
		if q.Ref == "" || q.What == "" || len(q.Ref) > 2*maxID || a.API == nil {
			t.Errorf("nobody can ask for %+v", q)
		}
	}
	for _, u := range r.Updates {
		soundUpdate(t, a, r, u)
	}
}

// private checks that nothing of a fixture's free text has left it. (A fuzzer writes these words
// into ids.)
func private(t *testing.T, r Result) {
	t.Helper()
	for _, u := range r.Updates {
		for _, secret := range []string{"Anna", "internal"} { // what stands in the free text of our fixtures
			if strings.Contains(asJSON(t, u), secret) {
				t.Errorf("free text reached the update: %s", asJSON(t, u))
			}
		}
	}
}

func soundUpdate(t *testing.T, a Adapter, r Result, u kyc.Update) {
	t.Helper()
	fail := func(ok bool, what string) {
		if !ok {
			t.Errorf("%s: %s", what, asJSON(t, u))
		}
	}
	fail(u.SchemaVersion == 1 && u.Kind == kyc.Observation && u.Provider == a.Name && u.AdapterVersion == a.Version, "not filled in")
	fail(u.Subject.ID != "" || u.Subject.ProviderRef != "" || u.Verification.Ref != "", "about nobody")
	fail(u.Subject.Kind == kyc.Individual || u.Subject.Kind == kyc.Company, "kind")
	fail(slices.Contains(kyc.Statuses, u.Status) || u.Status == "" && u.Release, "status")
	fail(!u.Release || !u.OccurredAt.IsZero() && u.Scope == kyc.Overall && sessioned(u), "a release names its time and its run")
	fail(slices.Contains(kyc.Checks, u.Check), "check")
	fail(u.Scope == kyc.Overall || u.Scope == kyc.CheckScope || u.Scope == kyc.DocumentScope, "scope")
	fail(!u.Retryable || !u.Terminal, "retryable and terminal")
	fail((u.Status == kyc.Rejected) == (u.Retryable || u.Terminal), "a rejection is one of retryable and terminal, nothing else is")
	fail(u.Status != kyc.Rejected || len(u.Reasons) > 0, "a rejection has a reason")
	fail(u.Status != kyc.Approved || len(u.Reasons) == 0, "an approval has no reasons")
	fail((u.Status == kyc.Expired) == (u.ExpiryKind != ""), "expiry kind")
	fail(u.OccurredAt.IsZero() == (u.OccurredAtOrigin == kyc.OriginReceived), "origin")
	fail(u.OccurredAt.IsZero() || u.OccurredAtOrigin == kyc.OriginProvider || u.OccurredAtOrigin == kyc.OriginSignature, "origin")
	fail(u.ProviderEvent.Type == cmp.Or(r.EventType, namelessEv), "event type")
	fail(r.Livemode == nil && !u.Livemode || r.Livemode != nil && *r.Livemode == u.Livemode, "livemode")
	fail(len(u.Reasons) <= maxReasons, "too many reasons")
	fail(slices.IsSortedFunc(u.Reasons, func(a, b kyc.ReasonPair) int {
		return slices.Index(kyc.Priority, a.Code) - slices.Index(kyc.Priority, b.Code)
	}), "reasons are not by priority")
	for _, p := range u.Reasons {
		fail(slices.Contains(kyc.Priority, p.Code) && len(p.ProviderCode) <= maxWord, "reason")
	}
	for _, id := range []string{u.Subject.ID, u.Subject.ProviderRef, u.Verification.Ref, u.Verification.ParentRef, u.Verification.Workflow, r.EventID} {
		fail(len(id) <= maxID && !strings.ContainsAny(id, "\x00\n\r\t\x7f\ufffd"), "id")
	}
}

// sessioned reports whether an update is of a run at the provider.
func sessioned(u kyc.Update) bool { return cmp.Or(u.Verification.ParentRef, u.Verification.Ref) != "" }

func TestConformance(t *testing.T) {
	names := map[string]bool{}
	for _, a := range All {
		if names[a.Name] || a.Name == "" || a.Version < 1 || a.Evidence == "" || len(a.Events) == 0 || len(a.PersonRefs) == 0 || !strings.HasPrefix(a.Doc, "https://") {
			t.Errorf("%q is incomplete or stands twice", a.Name)
		}
		names[a.Name] = true
		if got, ok := ByName(a.Name); !ok || got.Name != a.Name {
			t.Errorf("ByName(%q) = %q, %v", a.Name, got.Name, ok)
		}
		seen := map[string]bool{}
		for _, f := range fixtures(t, a) {
			seen[f.want.Event.Type] = true
			if f.proof != nil {
				err := scheme(t, a, f.options).Verify(header(f.proof.Headers), f.body, ring(t, f.proof.Key), time.Unix(f.proof.At, 0))
				if err != nil {
					t.Errorf("%s/%s: verify: %v", a.Name, f.name, err)
				}
			}
		}
		for _, e := range a.Events {
			if !seen[e] {
				t.Errorf("%s: event %s has no fixture", a.Name, e)
			}
		}
	}
	folders, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range folders {
		if d.Name() != "fuzz" && !names[d.Name()] {
			t.Errorf("testdata/%s belongs to no adapter", d.Name())
		}
	}
	if _, ok := ByName("nobody"); ok {
		t.Error("ByName found nobody")
	}
}

// vector is a delivery whose proof somebody else computed, or a forgery: one row of
// testdata/<adapter>/vectors.json.
type vector struct {
	Name    string            `json:"name"`
	Key     string            `json:"key"`
	Headers map[string]string `json:"headers"`
	Fixture string            `json:"fixture,omitempty"`
	Body    string            `json:"body,omitempty"` // instead of a fixture
	Options Options           `json:"options,omitempty"`
	At      int64             `json:"at,omitempty"` // the verifier's clock
	Valid   bool              `json:"valid"`
	Note    string            `json:"note,omitempty"`
}

// TestGolden knows that the fixtures still hold the documented samples: their signatures were
// computed over these bytes by someone else.
func TestGolden(t *testing.T) {
	for _, a := range All {
		if signing.Keyless(scheme(t, a, nil)) {
			continue
		}
		var vectors []vector
		readJSON(t, a, "vectors.json", &vectors)
		fits, fails := 0, 0
		for _, v := range vectors {
			body := []byte(v.Body)
			if v.Fixture != "" {
				body = fixtureBody(t, a, v.Fixture)
			}
			at := time.Unix(v.At, 0)
			if v.At == 0 {
				at = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
			}
			err := scheme(t, a, v.Options).Verify(header(v.Headers), body, ring(t, v.Key), at)
			if (err == nil) != v.Valid {
				t.Errorf("%s/%s: %v, want valid %v (%s)", a.Name, v.Name, err, v.Valid, v.Note)
			}
			if v.Valid {
				fits++
			} else {
				fails++
			}
		}
		if fits == 0 || fails == 0 {
			t.Errorf("%s has %d vectors that fit and %d that do not: both are needed", a.Name, fits, fails)
		}
	}
}

// TestReasonTables holds each adapter's codes to its reasons.json: code -> [reason, hint], hint R
// retryable, F terminal, P the payload decides.
func TestReasonTables(t *testing.T) {
	hints := map[string]hint{"R": retryable, "F": terminal, "P": undecided}
	for _, a := range All {
		var want map[string][2]string
		readJSON(t, a, "reasons.json", &want)
		if len(a.reasons) != len(want) {
			t.Errorf("%s has %d codes, want %d", a.Name, len(a.reasons), len(want))
		}
		for code, w := range want {
			h, ok := hints[w[1]]
			if m := a.reasons.look(code); !ok || m.reason != kyc.Reason(w[0]) || m.hint != h {
				t.Errorf("%s: %s = %v, want %v", a.Name, code, m, w)
			}
			if p := a.reasons.pairs([]string{code}); len(p) != 1 || p[0].Code != kyc.Reason(w[0]) || p[0].ProviderCode != code {
				t.Errorf("%s: pairs(%s) = %v", a.Name, code, p)
			}
		}
	}
}

func TestReasons(t *testing.T) {
	table := newReasons(means(kyc.PEPMatch, terminal, "P"), means(kyc.DocumentExpired, retryable, "E"), means(kyc.HighRisk, undecided, "H"))
	f := func(codes []string, payload, fallback hint, wantRetryable bool, want ...kyc.ReasonPair) {
		t.Helper()
		var u kyc.Update
		reject(&u, table.pairs(codes), payload, table.hint(codes), fallback)
		if u.Status != kyc.Rejected || u.Retryable != wantRetryable || u.Terminal == wantRetryable || !slices.Equal(u.Reasons, want) {
			t.Errorf("reject(%v, %v, %v) = %v retryable %v terminal %v, want %v retryable %v",
				codes, payload, fallback, u.Reasons, u.Retryable, u.Terminal, want, wantRetryable)
		}
	}
	pep, expired, risk := kyc.ReasonPair{Code: kyc.PEPMatch, ProviderCode: "P"}, kyc.ReasonPair{Code: kyc.DocumentExpired, ProviderCode: "E"},
		kyc.ReasonPair{Code: kyc.HighRisk, ProviderCode: "H"}
	other := kyc.ReasonPair{Code: kyc.OtherReason}
	f([]string{"E"}, undecided, terminal, true, expired)
	f([]string{"E", "P"}, undecided, retryable, false, pep, expired) // gravest first, and one that no try mends decides
	f([]string{"P"}, retryable, terminal, true, pep)                 // the payload outranks the code
	f([]string{"E"}, terminal, retryable, false, expired)
	f([]string{"H"}, undecided, retryable, true, risk)
	f([]string{"H"}, undecided, terminal, false, risk)
	f([]string{"H"}, undecided, undecided, false, risk) // nobody decides: not an invitation
	f(nil, undecided, retryable, true, other)
	f([]string{"E", "E"}, undecided, retryable, true, expired)
	f([]string{"N3W-code/x"}, undecided, retryable, true, kyc.ReasonPair{Code: kyc.OtherReason, ProviderCode: "N3W-code/x"})
	f([]string{"two words"}, undecided, retryable, true, other)
	f([]string{"\u00e9t\u00e9"}, undecided, retryable, true, other)
	f([]string{strings.Repeat("x", maxWord+1)}, undecided, retryable, true, other)

	var many []string
	for i := range 3 * maxReasons {
		many = append(many, "X"+strings.Repeat("x", i))
	}
	if got := table.pairs(append(many, "P")); len(got) != maxReasons || got[0] != pep {
		t.Errorf("%d reasons, first %v; want %d, first %v", len(got), got[0], maxReasons, pep)
	}
}

// TestTimesAreLimited: whatever else a source configures, a signed time is good for a finite while
// unless the config says any.
func TestTimesAreLimited(t *testing.T) {
	looked := 0
	for _, a := range All {
		for _, v := range variants(t, a) {
			if v.Error != "" || v.Options["tolerance"] == "any" {
				continue
			}
			s := scheme(t, a, v.Options)
			if p, ok := s.(plaidJWT); ok {
				s = signing.Timestamped{Tolerance: p.tolerance()}
			}
			f := reflect.ValueOf(s).FieldByName("Tolerance")
			if !f.IsValid() {
				continue
			}
			looked++
			if d := time.Duration(f.Int()); d <= 0 || d > 7*24*time.Hour {
				t.Errorf("%s%v accepts a time of %v", a.Name, v.Options, d)
			}
		}
	}
	if looked < 8 {
		t.Errorf("only %d schemes have a time", looked)
	}
}

func TestSchemeOptions(t *testing.T) {
	f := func(a Adapter, o Options, want signing.Scheme) {
		t.Helper()
		if got, err := a.Scheme(o); err != nil || got != want {
			t.Errorf("%s%v = %+v, %v; want %+v", a.Name, o, got, err, want)
		}
	}
	digest := func(n signing.HashName, announced string) signing.BodyHMAC {
		return signing.BodyHMAC{Header: "X-Payload-Digest", Hash: n, Encoding: signing.Hex, Announce: "X-Payload-Digest-Alg", Announced: announced}
	}
	f(sumsub, nil, digest(signing.SHA256, "HMAC_SHA256_HEX"))
	f(sumsub, Options{"algorithm": "sha1"}, digest(signing.SHA1, "HMAC_SHA1_HEX"))
	f(sumsub, Options{"algorithm": "sha512"}, digest(signing.SHA512, "HMAC_SHA512_HEX"))

	stamped := func(header string, tolerance, ahead time.Duration) signing.Timestamped {
		return signing.Timestamped{Header: header, Tolerance: tolerance, Ahead: ahead}
	}
	f(persona, nil, stamped("Persona-Signature", 72*time.Hour, 5*time.Minute))
	f(persona, Options{"tolerance": "96h", "completed": "approved"}, stamped("Persona-Signature", 96*time.Hour, 5*time.Minute))
	f(persona, Options{"tolerance": "any", "completed": "pending"}, stamped("Persona-Signature", 0, 5*time.Minute))

	f(rebilly, nil, signing.Static{Header: "Authorization", Scheme: signing.Basic})
	f(rebilly, Options{"auth": "header", "header": "X-Token"}, signing.Static{Header: "X-Token", Scheme: signing.Raw})
	f(rebilly, Options{"subject": "customer_id"}, signing.Static{Header: "Authorization", Scheme: signing.Basic})

	legacy := signing.BodyHMAC{Header: "X-BlendFi-Signature", Hash: signing.SHA256, Encoding: signing.Hex}
	v1 := stamped("X-BlendFi-Signature", 5*time.Minute, 5*time.Minute)
	f(blendfi, nil, blendfiEither{legacy, v1})
	f(blendfi, Options{"scheme": "blendfi-legacy"}, legacy)
	f(blendfi, Options{"scheme": "blendfi-v1"}, v1)
	f(blendfi, Options{"scheme": "blendfi-v1", "tolerance": "10m"}, stamped("X-BlendFi-Signature", 10*time.Minute, 10*time.Minute))
}

func TestDisposition(t *testing.T) {
	f := func(r Result, want string) {
		t.Helper()
		if got := r.Disposition(); got != want {
			t.Errorf("%+v is %q, want %q", r, got, want)
		}
	}
	f(Result{Updates: []kyc.Update{{}}}, "update")
	f(Result{Updates: []kyc.Update{{}}, Fetch: []Fetch{{}}}, "update")
	f(Result{Fetch: []Fetch{{}}}, "fetch")
	f(Result{Ignored: unknownEv}, "ignored")
	f(Result{Hold: UnknownEvent}, "kept")
}
