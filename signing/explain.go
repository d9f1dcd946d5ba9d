package signing

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
)

// explanation collects what a scheme finds, one sentence at a time.
type explanation struct {
	h      Header
	body   []byte
	keys   Keyring
	now    time.Time
	steps  []string
	remedy string // what to do about it; the first one found counts
}

// Explain says step by step why a scheme accepts or refuses a request: one sentence each, then the
// verdict and, for a refusal, a remedy. It names keys by their place and never shows them or the
// body. It guesses at what went wrong, with many MACs and by reading the body, so it is for a
// person at a terminal and never for the path of a callback. A scheme built around another one may
// offer Unwrap() Scheme to have the inner one explained, and one of another package ExplainSteps(h
// Header, body []byte, keys Keyring, now time.Time) (steps []string, remedy string) to explain
// itself.
func Explain(s Scheme, h Header, body []byte, keys Keyring, now time.Time) []string {
	e := &explanation{h: h, body: body, keys: keys, now: now}
	e.say("The body has %d bytes and the ring holds %s.", len(body), count(len(keys), "key"))
	if err := CheckKeys(s, keys); err != nil {
		e.say("The scheme cannot use this configuration: %v.", err)
		e.advise("Correct the key or the setting first: %v.", err)
	}
	e.explain(s)
	err := s.Verify(h, body, keys, now)
	if err == nil {
		return append(e.steps, "Verdict: accepted.")
	}
	e.say("Verdict: refused: %v.", err)
	e.adviseOn(err)
	return append(e.steps, "Remedy: "+e.remedy)
}

func (e *explanation) explain(s Scheme) {
	switch s := s.(type) {
	case BodyHMAC:
		e.bodyHMAC(s)
	case Timestamped:
		e.timestamped(s)
	case StandardWebhooks:
		e.standard(s)
	case Static:
		e.static(s)
	case DigestSuffix:
		e.digestSuffix(s)
	case BodyProof:
		e.bodyProof(s)
	case BodyToken:
		e.bodyToken(s)
	case Unsigned:
		e.unsigned()
	case explainer:
		e.own(s)
	case interface{ Unwrap() Scheme }:
		e.say("The scheme adds rules of its own to the following one.")
		e.explain(s.Unwrap())
	default:
		e.say("The scheme has no step-by-step description.")
	}
}

func (e *explanation) say(format string, args ...any) {
	e.steps = append(e.steps, fmt.Sprintf(format, args...))
}

func (e *explanation) advise(format string, args ...any) {
	if e.remedy == "" {
		e.remedy = fmt.Sprintf(format, args...)
	}
}

// adviseOn gives the general remedy for a refusal that no step could explain better.
func (e *explanation) adviseOn(err error) {
	switch {
	case errors.Is(err, ErrMissing):
		e.advise("Check that signing is switched on at the sender and that no proxy removes the header.")
	case errors.Is(err, ErrMalformed):
		e.advise("Compare the header with the sender's documentation: another product or version of it may be sending.")
	case errors.Is(err, ErrStale):
		e.advise("Check both clocks; for a captured request, verify at the time it arrived; if the sender does not sign retries afresh, widen the tolerance.")
	default:
		e.advise("No usual change of the body, the hash or the key explains the signature: compare the secret with the sender's dashboard" +
			" (another environment or endpoint has another one) and verify the bytes exactly as they arrived.")
	}
}

// header reports on one header and returns its value if it stands once.
func (e *explanation) header(name string) (string, bool) {
	text, err := one(e.h, name)
	switch {
	case err == nil:
		e.say("%s appears once, with %d characters.", name, len(text))
	case errors.Is(err, ErrMissing):
		e.say("%s is absent or empty.", name)
		e.advise("Check that signing is switched on at the sender and that no proxy removes %s.", name)
	case len(e.h.Values(name)) > 1:
		e.say("%s appears %d times, which is refused.", name, len(e.h.Values(name)))
		e.advise("Send %s once: a proxy or a client adds it a second time.", name)
	default:
		e.say("%s is too long.", name)
	}
	return text, err == nil
}

func (e *explanation) bodyHMAC(s BodyHMAC) {
	hash := s.Hash
	if hash == "" {
		hash = SHA256
	}
	e.say("Scheme: HMAC of the raw body with %s, written as %s in %s.", hash, s.Encoding.name(), s.Header)
	e.announcement(s)
	text, ok := e.header(s.Header)
	at, size, known := hash.slot()
	if !ok || !known {
		return
	}
	e.say("Expected to be signed: the %d bytes of the body.", len(e.body))
	want := make([]byte, size)
	if err := s.decode(want, text); err != nil {
		e.say("Its value is not what the scheme expects: %v.", err)
	} else {
		e.say("Its value is a %s digest of %d bytes.", s.Encoding.name(), size)
		if e.tryKeys(func(k Keyring) bool { return k.matches(at, "", e.body, want) }) {
			return
		}
	}
	if strings.HasPrefix(text, "t=") {
		e.advise("The header reads t=…,v1=…: this sender uses the timestamped scheme, so choose that one for the source.")
		return
	}
	e.diagnose(claim{hash: hash, encoding: s.Encoding.name(), prefix: s.Prefix, texts: []string{text}})
}

func (e *explanation) announcement(s BodyHMAC) {
	if s.Announce == "" {
		return
	}
	switch v := e.h.Values(s.Announce); {
	case len(v) == 0:
		e.say("%s, which names the algorithm, is absent; that is allowed.", s.Announce)
	case s.announced(e.h) == nil:
		e.say("%s names the algorithm %s, as pinned.", s.Announce, s.Announced)
	case len(v) > 1:
		e.say("%s appears %d times, which is refused.", s.Announce, len(v))
		e.advise("Send %s once.", s.Announce)
	default:
		e.say("%s names another algorithm than the pinned %s, which is refused.", s.Announce, s.Announced)
		e.advise("Choose the same algorithm on both sides: this source expects %s.", s.Announced)
	}
}

func (e *explanation) timestamped(s Timestamped) {
	e.say(`Scheme: HMAC of "<t>.<body>" with sha256, written as t=<unix seconds>,v1=<hex> in %s.`, s.Header)
	text, ok := e.header(s.Header)
	if !ok {
		return
	}
	groups, err := s.parse(text)
	if err != nil {
		e.say("Its value does not parse: %v.", err)
		e.milliseconds(text)
		if !strings.Contains(text, "t=") {
			e.advise("The header holds no t=…: this sender signs the body alone, so choose that scheme for the source.")
		}
		return
	}
	for i, g := range groups {
		e.say("Group %d of %d holds %s of version v1.", i+1, len(groups), count(len(g.sigs), "signature"))
		e.age(g.at, s.Tolerance, s.ahead())
		e.say("Expected to be signed: %d bytes, the timestamp, a dot and the body.", len(g.text)+1+len(e.body))
		if e.tryKeys(func(k Keyring) bool { return k.matchesAny(sha256Raw, g.text+".", e.body, g.sigs) }) {
			continue
		}
		c := claim{hash: SHA256, encoding: Hex, head: g.text + "."}
		for _, sig := range g.sigs {
			c.texts = append(c.texts, Hex.encode(sig[:]))
		}
		if len(groups) == 1 {
			e.diagnose(c)
		}
	}
}

func (e *explanation) standard(s StandardWebhooks) {
	p := s.family(e.h)
	e.say(`Scheme: Standard Webhooks, HMAC with sha256 (v1) or ed25519 (v1a) of "<id>.<timestamp>.<body>", in %s-id, %s-timestamp and %s-signature.`, p, p, p)
	text, okSignature := e.header(p + "-signature")
	id, okID := e.header(p + "-id")
	t, okTime := e.header(p + "-timestamp")
	if !okSignature || !okID || !okTime {
		return
	}
	if err := checkID(id); err != nil {
		e.say("The id cannot be signed: %v.", err)
		return
	}
	at, ok := seconds(t)
	if !ok {
		e.say("The timestamp is not unix seconds.")
		e.milliseconds("t=" + t)
		return
	}
	sigs, err := standardSignatures(text)
	if err != nil {
		e.say("The signature header does not parse: %v.", err)
		return
	}
	e.say("It holds %s of version v1.", count(len(sigs.v1), "readable signature"))
	if len(sigs.v1a) > 0 {
		e.say("It holds %s of version v1a, which is ed25519.", count(len(sigs.v1a), "readable signature"))
	}
	e.age(at, s.tolerance(), s.tolerance())
	head := id + "." + t + "."
	e.say("Expected to be signed: %d bytes, the id, the timestamp and the body, joined with dots.", len(head)+len(e.body))
	if e.tryKeys(func(k Keyring) bool { return sigs.fit(k, head, e.body) }) {
		return
	}
	e.kinds(sigs)
	c := claim{hash: SHA256, encoding: Base64, head: head, standard: true}
	for _, sig := range sigs.v1 {
		c.texts = append(c.texts, Base64.encode(sig[:]))
	}
	e.diagnose(c)
}

func (e *explanation) static(s Static) {
	kind := s.Scheme
	if kind == "" {
		kind = Raw
	}
	e.say("Scheme: a fixed credential (%s) in %s; it proves the sender only and does not cover the body.", kind, s.header())
	text, ok := e.header(s.header())
	if !ok {
		return
	}
	credential, err := s.credential(text)
	if err != nil {
		e.say("Its value does not parse: %v.", err)
		for _, other := range []StaticKind{Basic, Bearer} {
			if word, _, _ := strings.Cut(text, " "); other != kind && strings.EqualFold(word, string(other)) {
				e.advise("The sender uses %s: choose that for the source.", other)
			}
		}
		return
	}
	e.say("Its value holds a credential of %d bytes.", len(credential))
	if !e.tryKeys(func(k Keyring) bool { return s.Verify(e.h, nil, k, e.now) == nil }) {
		e.advise("The credential is another one: compare user, password or token with what is set at the sender, white space included.")
	}
}

// tryKeys says which keys fit, by their place only.
func (e *explanation) tryKeys(fits func(Keyring) bool) bool {
	found := false
	for i := range e.keys {
		if fits(e.keys[i : i+1]) {
			e.say("Key %d of %d matches.", i+1, len(e.keys))
			found = true
		} else {
			e.say("Key %d of %d does not match.", i+1, len(e.keys))
		}
	}
	return found
}

// age says how the signed time compares with the clock.
func (e *explanation) age(at int64, past, ahead time.Duration) {
	age := e.now.Unix() - at
	limit := "any age is accepted"
	if past > 0 {
		limit = fmt.Sprintf("%v is accepted", past)
	}
	if age >= 0 {
		e.say("The timestamp is %d seconds old; %s.", age, limit)
	} else {
		e.say("The timestamp is %d seconds ahead of the clock; %v is accepted.", -age, ahead)
	}
	if fresh(at, e.now, past, ahead) != nil {
		e.say("That is outside the tolerance.")
	}
}

// milliseconds recognises the usual mistake in a timestamp.
func (e *explanation) milliseconds(text string) {
	_, t, _ := strings.Cut(text, "t=")
	t, _, _ = strings.Cut(t, ",")
	if len(t) != 13 {
		return
	}
	if _, ok := seconds(t[:10]); ok {
		e.advise("The timestamp has 13 digits and looks like milliseconds: it must be seconds.")
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// base64Any decodes either alphabet, padded or not.
func base64Any(text string) ([]byte, bool) {
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	b, err := base64.RawStdEncoding.DecodeString(text)
	return b, err == nil
}
