package provider

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

// GenericName is the provider of every source whose adapter is made of its configuration.
const GenericName = "generic"

// GenericPersonRefs are the refs that may teach who later callbacks are about. What stands in
// provider_ref belongs to one person by the meaning of that key; of a session nobody but the
// provider knows.
var GenericPersonRefs = []RefKind{SubjectRef}

// GenericSpec is an adapter as data, for a provider we do not know: how it signs, and an expression
// for each thing its bodies say.
type GenericSpec struct {
	Version    int // of the mapping; 0: 1
	Doc        string
	Signature  GenericSignature
	Resolution time.Duration            // of the provider's times, the coarsest it has; 0: a microsecond
	Map        map[string]string        // an expression for each of GenericKeys
	Statuses   map[string]kyc.Status    // what the words that map.status gives mean; empty: they are ours
	Reasons    map[string]GenericReason // what the codes that map.reasons gives mean
}

// GenericReason is what a provider's code means, and whether another try can mend it.
type GenericReason struct {
	Reason kyc.Reason
	Hint   string // retryable, terminal or "": the code does not say
}

// AnyAge is the tolerance of a sender that does not sign its retries afresh.
const AnyAge time.Duration = -1

// GenericSignature is one of the schemes of signing, by a kind and the parameters that this kind
// takes.
type GenericSignature struct {
	Kind            string
	Header          string
	Algorithm       string // of hmac: sha1, sha256 (the default) or sha512
	Encoding        string // of hmac: hex (the default) or base64
	Prefix          string // of hmac: what stands before the digest; of standard_webhooks: of its headers, webhook (the default) or svix
	Announce        string // of hmac: a header that names the algorithm
	Announced       string // and the only value of it that is accepted
	Member          string // of the body: where the proof or the token stands
	TimestampMember string // of the body: where its time stands
	Suffix          string // of body_hmac: what is signed last
	Plain           bool   // of digest_suffix: the secret itself is appended, not its digest
	Tolerance       time.Duration
}

// GenericError is one mistake in a GenericSpec, and what to do about it.
type GenericError struct{ Key, What, Remedy string }

// Error returns key: what; remedy.
func (e *GenericError) Error() string { return e.Key + ": " + e.What + "; " + e.Remedy }

// generic is a spec that has been compiled. It is never changed, so that callbacks share it.
type generic struct {
	version    int
	resolution time.Duration
	scheme     signing.Scheme
	proves     kyc.Authenticity
	svix       bool // the scheme's own headers may stand under either of two names
	programs   map[string]*program
	reads      *shape // of a body, by all of them
	statuses   map[string]kyc.Status
	reasons    reasonTable
}

// Generic makes an adapter of a spec. The error joins a GenericError for every mistake it can find.
func Generic(spec GenericSpec) (Adapter, error) {
	g := &generic{version: max(spec.Version, 1), resolution: cmp.Or(spec.Resolution, time.Microsecond), statuses: spec.Statuses, programs: map[string]*program{}}
	c := &genericCheck{}
	if !slices.Contains([]time.Duration{time.Microsecond, time.Millisecond, time.Second}, g.resolution) {
		c.wrong("resolution", "is no resolution of a timestamp", "use 1s, 1ms or 1us")
	}
	kind := c.signature(&spec.Signature)
	if kind != nil {
		g.scheme, g.proves, g.svix = kind.build(&spec.Signature), kind.proves, spec.Signature.Prefix == "svix" && kind.name == "standard_webhooks"
		c.settings(g.scheme)
	}
	c.tables(&spec)
	g.reasons = spec.table()
	c.mapping(spec.Map, g.programs)
	if len(c.errs) > 0 {
		return Adapter{}, errors.Join(c.errs...)
	}
	g.proves, g.reads = g.weakest(kind.covers(spec.Signature.Prefix)), g.shape()
	return Adapter{
		Name: GenericName, Version: g.version, Doc: spec.Doc, Evidence: g.proves, PersonRefs: GenericPersonRefs, reasons: g.reasons,
		Headers:   g.headers(),
		Workflow:  spec.Map["workflow"],
		Scheme:    func(o Options) (signing.Scheme, error) { return g.scheme, o.allow(nil) },
		Translate: func(h signing.Header, body []byte, _ Options) (Result, error) { return g.translate(h, body) },
	}, nil
}

// weakest is what a callback proves where its meaning rests on headers too, which no signature
// covers but for those named: whoever has seen one callback could send it again beside others. The
// name of the event decides nothing.
func (g *generic) weakest(covered []string) kyc.Authenticity {
	for key, p := range g.programs {
		for _, h := range p.headers {
			if key != "event_type" && g.proves == kyc.Signed && !slices.ContainsFunc(covered, func(name string) bool { return strings.EqualFold(name, h) }) {
				return kyc.Authenticated
			}
		}
	}
	return g.proves
}

// shape is what the expressions read of a body: in any object the keys that they name, or every key
// where one of them takes its names from the body.
func (g *generic) shape() *shape {
	s, seen := &shape{}, map[string]bool{}
	for _, p := range g.programs {
		s.every = s.every || p.anyKey
		for _, name := range p.names {
			if !seen[name] {
				s.keys = append(s.keys, shapeKey{name: []byte(name), value: s})
			}
			seen[name] = true
		}
	}
	if s.every || len(s.keys) > maxShapeKeys {
		s.keys, s.every, s.rest = nil, true, s
	}
	s.compare()
	return s
}

// headers are those that expressions read, and what tells which of two families was verified.
func (g *generic) headers() (names []string) {
	for _, p := range g.programs {
		for _, h := range p.headers {
			names = append(names, http.CanonicalHeaderKey(h))
			if rest, ok := svixHeader(h); ok && g.svix {
				names = append(names, rest, svixSignature)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// genericKind is a scheme and its parameters.
type genericKind struct {
	name         string
	takes, needs string
	proves       kyc.Authenticity
	build        func(*GenericSignature) signing.Scheme
}

// covers names the headers that the signature covers.
func (k *genericKind) covers(prefix string) []string {
	if k.name != "standard_webhooks" {
		return nil
	}
	p := cmp.Or(prefix, "webhook")
	return []string{p + "-id", p + "-timestamp"}
}

// genericTolerance is that of the schemes which leave it to us.
const genericTolerance = 5 * time.Minute

var genericKinds = []genericKind{
	{"hmac", "header algorithm encoding prefix announce announced", "header", kyc.Signed, func(s *GenericSignature) signing.Scheme {
		return signing.BodyHMAC{
			Header: s.Header, Hash: signing.HashName(s.Algorithm), Encoding: signing.Encoding(s.Encoding), Prefix: s.Prefix,
			Announce: s.Announce, Announced: s.Announced,
		}
	}},
	{"timestamped", "header tolerance", "header", kyc.Signed, func(s *GenericSignature) signing.Scheme {
		return signing.Timestamped{Header: s.Header, Tolerance: s.tolerance()}
	}},
	{"standard_webhooks", "prefix tolerance", "", kyc.Signed, func(s *GenericSignature) signing.Scheme {
		return signing.StandardWebhooks{HeaderPrefix: s.Prefix, Tolerance: s.tolerance()}
	}},
	{"digest_suffix", "header plain", "header", kyc.Signed, func(s *GenericSignature) signing.Scheme {
		return signing.DigestSuffix{Header: s.Header, Plain: s.Plain}
	}},
	{"body_hmac", "member timestamp_member suffix tolerance", "member timestamp_member", kyc.Authenticated, func(s *GenericSignature) signing.Scheme {
		return signing.BodyProof{Signature: s.Member, Timestamp: s.TimestampMember, Suffix: s.Suffix, Tolerance: s.tolerance()}
	}},
	{"body_token", "member", "member", kyc.Authenticated, func(s *GenericSignature) signing.Scheme { return signing.BodyToken{Member: s.Member} }},
	{"basic", "header", "", kyc.Authenticated, func(s *GenericSignature) signing.Scheme {
		return signing.Static{Header: s.Header, Scheme: signing.Basic}
	}},
	{"bearer", "header", "", kyc.Authenticated, func(s *GenericSignature) signing.Scheme {
		return signing.Static{Header: s.Header, Scheme: signing.Bearer}
	}},
	{"header", "header", "header", kyc.Authenticated, func(s *GenericSignature) signing.Scheme { return signing.Static{Header: s.Header, Scheme: signing.Raw} }},
	{"none", "", "", kyc.Network, func(*GenericSignature) signing.Scheme { return signing.Unsigned{} }},
}

// GenericKinds lists the kinds of signature.
func GenericKinds() (names []string) {
	for _, k := range genericKinds {
		names = append(names, k.name)
	}
	return names
}

// tolerance is how old a signed time may be, as the schemes write it: 0 accepts any age.
func (s *GenericSignature) tolerance() time.Duration {
	return max(cmp.Or(s.Tolerance, genericTolerance), 0)
}

// given reports which parameters are set, by their names in the config.
func (s *GenericSignature) given() map[string]bool {
	return map[string]bool{
		"header": s.Header != "", "algorithm": s.Algorithm != "", "encoding": s.Encoding != "", "prefix": s.Prefix != "",
		"announce": s.Announce != "", "announced": s.Announced != "", "member": s.Member != "", "timestamp_member": s.TimestampMember != "",
		"suffix": s.Suffix != "", "plain": s.Plain, "tolerance": s.Tolerance != 0,
	}
}

// genericCheck collects the mistakes of a spec.
type genericCheck struct{ errs []error }

func (c *genericCheck) wrong(key, what, remedy string) {
	c.errs = append(c.errs, &GenericError{key, what, remedy})
}

// signature returns the kind, nil where anything about it is wrong.
func (c *genericCheck) signature(s *GenericSignature) *genericKind {
	i := slices.IndexFunc(genericKinds, func(k genericKind) bool { return k.name == s.Kind })
	if i < 0 {
		c.wrong("signature.kind", "is no kind of signature", "use one of "+strings.Join(GenericKinds(), ", "))
		return nil
	}
	k, before := &genericKinds[i], len(c.errs)
	takes, given := strings.Fields(k.takes), s.given()
	for _, name := range slices.Sorted(maps.Keys(given)) {
		switch {
		case given[name] && !slices.Contains(takes, name):
			c.wrong("signature."+name, "does not go with kind "+k.name, "remove it; this kind takes "+cmp.Or(strings.Join(takes, ", "), "none"))
		case !given[name] && slices.Contains(strings.Fields(k.needs), name):
			c.wrong("signature."+name, "is missing", "add it: kind "+k.name+" needs "+k.needs)
		}
	}
	c.oneOf("signature.algorithm", s.Algorithm, "sha256", "sha1", "sha512")
	c.oneOf("signature.encoding", s.Encoding, "hex", "base64")
	if k.name == "standard_webhooks" {
		c.oneOf("signature.prefix", s.Prefix, "webhook", "svix")
		if s.Tolerance == AnyAge {
			c.wrong("signature.tolerance", "cannot be any", "give a duration such as 5m: kind standard_webhooks always has one")
		}
	}
	c.header("signature.header", s.Header)
	c.header("signature.announce", s.Announce)
	if s.Announced != "" && s.Announce == "" {
		c.wrong("signature.announced", "goes with announce only", "name the header that announces the algorithm, or remove it")
	}
	if len(c.errs) > before {
		return nil
	}
	return k
}

func (c *genericCheck) header(key, name string) {
	if strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z')
	}) {
		c.wrong(key, "is not the name of a header", "write it like X-Signature")
	}
}

func (c *genericCheck) oneOf(key, v string, words ...string) {
	if v != "" && !slices.Contains(words, v) {
		c.wrong(key, strconv.Quote(v)+" is not known", "use one of "+strings.Join(words, ", "))
	}
}

// settings asks the scheme itself. A scheme that has no use for settings, or wants to see keys, has
// been checked above.
func (c *genericCheck) settings(s signing.Scheme) {
	checked, ok := s.(interface{ Check(signing.Keyring) error })
	if _, standard := s.(signing.StandardWebhooks); !ok || standard {
		return
	}
	if err := checked.Check(nil); err != nil {
		c.wrong("signature", err.Error(), "correct it")
	}
}

// tables checks what the provider's words and codes are to mean.
func (c *genericCheck) tables(spec *GenericSpec) {
	for _, w := range slices.Sorted(maps.Keys(spec.Statuses)) {
		if !slices.Contains(kyc.Statuses, spec.Statuses[w]) {
			c.wrong("statuses."+w, "is mapped to no status", "use one of not_started, pending, in_review, approved, rejected, expired, suspended")
		}
	}
	for _, code := range slices.Sorted(maps.Keys(spec.Reasons)) {
		m := spec.Reasons[code]
		if code == "" || len(code) > maxWord {
			c.wrong("reasons."+code, "is no code", "use the provider's own, of at most "+strconv.Itoa(maxWord)+" bytes")
		}
		if !slices.Contains(kyc.Priority, m.Reason) {
			c.wrong("reasons."+code, "is mapped to no reason", "use one of those in docs/EVENTS.md, such as document_unreadable or other")
		}
		c.oneOf("reasons."+code, m.Hint, "retryable", "terminal")
	}
}

// table is the spec's codes as every adapter has them.
func (spec *GenericSpec) table() reasonTable {
	t := reasonTable{}
	for code, m := range spec.Reasons {
		t[code] = mapped{m.Reason, map[string]hint{"retryable": retryable, "terminal": terminal}[m.Hint]}
	}
	return t
}

// mapping compiles the expressions.
func (c *genericCheck) mapping(texts map[string]string, programs map[string]*program) {
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		i := slices.IndexFunc(genericKeys, func(k GenericKey) bool { return k.Name == name })
		if i < 0 {
			c.wrong("map."+name, "unknown key", "use one of "+strings.Join(genericKeyNames(), ", "))
			continue
		}
		p, err := genericKeys[i].compile(texts[name])
		if err != nil {
			c.errs = append(c.errs, err)
			continue
		}
		programs[name] = p
	}
	for _, k := range genericKeys {
		if _, ok := texts[k.Name]; k.Need && !ok {
			c.wrong("map."+k.Name, "is missing", "say in an expression where it stands: "+k.Meaning)
		}
	}
	if texts["subject"] == "" && texts["provider_ref"] == "" && texts["ref"] == "" {
		c.wrong("map.subject", "is missing, and so are provider_ref and ref: an update must be about somebody", "map at least one of them")
	}
}
