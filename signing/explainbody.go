package signing

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// explainer is a scheme of another package that explains itself: whole sentences that show nothing
// of a key or the body, and a remedy, "" if it knows none.
type explainer interface {
	ExplainSteps(h Header, body []byte, keys Keyring, now time.Time) (steps []string, remedy string)
}

func (e *explanation) own(s explainer) {
	steps, remedy := s.ExplainSteps(e.h, e.body, e.keys, e.now)
	e.steps = append(e.steps, steps...)
	if remedy != "" {
		e.advise("%s", remedy)
	}
}

func (e *explanation) unsigned() {
	e.say("Scheme: none. The sender signs nothing, so every request is accepted: only its address or the token in the path tells who sent it.")
}

func (e *explanation) digestSuffix(s DigestSuffix) {
	forms := map[bool]string{true: "the secret", false: "the hex sha256 of the secret"}
	e.say("Scheme: sha256 of the raw body followed by %s, written as hex in %s; it is a plain hash and not an HMAC.", forms[s.Plain], s.Header)
	text, ok := e.header(s.Header)
	if !ok {
		return
	}
	e.say("Expected to be hashed: the %d bytes of the body, then %s.", len(e.body), forms[s.Plain])
	want, err := s.read(e.h)
	if err != nil {
		e.say("Its value is not what the scheme expects: %v.", err)
	} else {
		e.say("Its value is a hex digest of %d bytes.", len(want))
		if e.tryKeys(func(k Keyring) bool { return k.matches(s.slot(), "", e.body, want[:]) }) {
			return
		}
	}
	other := "The signature fits the other form of the secret, " + forms[!s.Plain] + ": set the secret form of the source to "
	other += map[bool]string{true: "hashed, as for new accounts.", false: "plain, as for old accounts."}[s.Plain]
	e.diagnose(claim{hash: SHA256, encoding: Hex, texts: []string{text}, made: []guess[maker]{
		{suffixed(s.Plain), ""},
		{suffixed(!s.Plain), other},
		{hmacOf, "The signature is an HMAC of the body: this scheme hashes the body and then " + forms[s.Plain] + ", so correct the sender or choose the HMAC scheme."},
	}})
}

// suffixed makes the digest of DigestSuffix, with whichever hash has that size.
func suffixed(plain bool) maker {
	return func(size int, key []byte, head string, body []byte) []byte {
		if !plain {
			sum := sha256.Sum256(key)
			key = hex.AppendEncode(nil, sum[:])
		}
		h := newHash(size)
		_, _ = h.Write([]byte(head)) // a hash never fails
		_, _ = h.Write(body)         // a hash never fails
		_, _ = h.Write(key)          // a hash never fails
		return h.Sum(nil)
	}
}

// members reports on the members a proof lies in and returns their texts if each is one.
func (e *explanation) members(names ...string) ([]string, bool) {
	found, err := scan(e.body, names...)
	if err != nil {
		e.say("The body cannot be searched for its proof: %v.", err)
		if errors.Is(err, errNotJSON) || errors.Is(err, errNotObject) {
			e.advise("Verify the whole body as it arrived: it is cut short, or its sender does not write JSON and another scheme is the right one.")
		} else {
			e.advise("Send %s once each, in exactly this spelling, in a body of at most %d levels.", strings.Join(names, " and "), maxDepth)
		}
		return nil, false
	}
	texts, all := make([]string, len(names)), true
	for i, name := range names {
		switch texts[i], err = found.text(i); {
		case err == nil:
			e.say("The body's member %s appears once, with %d characters.", name, len(texts[i]))
			continue
		case errors.Is(err, ErrMissing):
			e.say("The body's member %s is absent or empty.", name)
			e.advise("Check that the sender is set up to put %s at the top level of the body: if it signs in a header, choose that scheme for the source.", name)
		default:
			e.say("The body's member %s cannot be used: %v.", name, err)
			e.advise("Send %s as a JSON string.", name)
		}
		all = false
	}
	return texts, all
}

func (e *explanation) bodyToken(s BodyToken) {
	e.say("Scheme: a fixed credential in the body's member %s; it proves the sender only and does not cover the rest of the body.", s.Member)
	texts, ok := e.members(s.Member)
	if !ok || e.tryKeys(func(k Keyring) bool { return s.Verify(nil, e.body, k, e.now) == nil }) {
		return
	}
	for _, k := range e.keys {
		if sec := k.secret(); sec != nil && hmac.Equal([]byte(strings.TrimSpace(texts[0])), []byte(strings.TrimSpace(string(sec.raw)))) {
			e.advise("The token fits but for white space around it: remove it, often the newline at the end of a file.")
		}
	}
	e.advise("The token is another one: compare %s with the token that is set at the sender, where another environment or webhook has another one.", s.Member)
}

func (e *explanation) bodyProof(s BodyProof) {
	e.say("Scheme: HMAC of the timestamp, the partner id and a fixed word with sha256, written as base64 in the body's member %s.", s.Signature)
	e.say("It does not cover the rest of the body.")
	texts, ok := e.members(s.Signature, s.Timestamp)
	if !ok {
		return
	}
	p, err := s.read(e.body)
	if err != nil {
		e.say("The proof does not parse: %v.", err)
		e.malformedProof(s, texts[0], texts[1])
		return
	}
	e.age(p.at.Unix(), s.Tolerance, s.ahead())
	e.say("Expected to be signed: the %d characters of the timestamp, the key's partner id and %d characters more.", len(p.text), len(s.Suffix))
	if !e.tryKeys(func(k Keyring) bool { return k.matches(sha256Credential, p.text, []byte(s.Suffix), p.sum[:]) }) {
		e.diagnoseProof(s, p)
	} else if fresh(p.at.Unix(), e.now, s.Tolerance, s.ahead()) != nil {
		e.say("The signature is right: only its time is refused.")
	}
}

// malformedProof advises on the usual mistakes in how a proof is written.
func (e *explanation) malformedProof(s BodyProof, signature, timestamp string) {
	if _, err := time.Parse("2006-01-02T15:04:05", timestamp); err == nil {
		e.advise("The timestamp has no zone: write Z or an offset such as +01:00 after it.")
	} else if _, ok := seconds(timestamp); ok || len(timestamp) == 13 {
		e.advise("The timestamp looks like a number of seconds or milliseconds: write it as RFC 3339 with a zone, and sign that text.")
	} else if _, err := time.Parse(time.RFC3339, timestamp); err != nil {
		e.advise("Write %s as RFC 3339 with a zone, such as 2026-03-14T09:25:00.829Z, and sign that text.", s.Timestamp)
	} else if b, err := hex.DecodeString(signature); err == nil && len(b) == sha256.Size {
		e.advise("The digest is written as hex, not as base64: correct the encoding.")
	}
	e.advise("Write %s as padded base64 of all %d bytes of the digest: it is cut short or encoded otherwise.", s.Signature, sha256.Size)
}

// signed is what a sender may have signed instead, and with which key.
type signed struct {
	key  []byte
	text string
}

// diagnoseProof looks for the mistake that explains the signature, and advises on it.
func (e *explanation) diagnoseProof(s BodyProof, p proof) {
	for i, k := range e.keys {
		sec := k.secret()
		if sec == nil {
			continue
		}
		name, key, ok := sec.credential()
		if !ok {
			continue
		}
		for _, g := range proofGuesses(string(name), key, s.Suffix, p) {
			if hmac.Equal(hmacOf(sha256.Size, g.value.key, g.value.text, nil), p.sum[:]) {
				e.say("Key %d of %d matches once something is put right.", i+1, len(e.keys))
				e.advise("%s", g.advice)
				return
			}
		}
		if otherPartner(key, s.Suffix, p) {
			e.say("Key %d of %d matches with another partner id.", i+1, len(e.keys))
			e.advise("The api key is right and the partner id is another one: correct what is before the colon of the key.")
			return
		}
	}
	e.advise("Neither the partner id nor a usual mistake explains the signature: compare the api key with the sender's dashboard, where" +
		" another environment has another one and a new key disables the old one at once.")
}

func proofGuesses(name string, key []byte, suffix string, p proof) []guess[signed] {
	trimmed := []byte(strings.TrimSpace(string(key)))
	all := []guess[signed]{
		{signed{trimmed, p.text + strings.TrimSpace(name) + suffix}, "The key has white space in it: remove it, often the newline at the end of a file."},
		{signed{[]byte(name), p.text + string(key) + suffix}, "The key is the wrong way round: write the partner id, a colon and then the api key."},
		{signed{[]byte(name + ":" + string(key)), p.text + name + suffix}, "The sender keyed with the whole text: key with what follows the colon only."},
		{signed{key, p.text + name}, "The signature lacks the fixed word at its end: sign the timestamp, the partner id and " + suffix + "."},
		{signed{key, p.text + suffix}, "The signature lacks the partner id: sign the timestamp, the partner id and " + suffix + "."},
	}
	const otherwise = "The signature fits the same time written otherwise: sign the text of the timestamp exactly as it is in the body."
	for _, layout := range []string{time.RFC3339, proofTime, "2006-01-02T15:04:05.000000Z07:00", "2006-01-02T15:04:05.000-07:00", "2006-01-02T15:04:05-07:00"} {
		all = append(all, guess[signed]{signed{key, p.at.UTC().Format(layout) + name + suffix}, otherwise})
	}
	return all
}

// otherPartner reports whether the key fits with any partner id of up to four digits, which is how
// long they usually are.
func otherPartner(key []byte, suffix string, p proof) bool {
	m := hmac.New(sha256.New, key)
	var buf [sha256.Size]byte
	for digits, n := 1, 10; digits <= 4; digits, n = digits+1, n*10 {
		for id := range n {
			m.Reset()
			_, _ = fmt.Fprintf(m, "%s%0*d%s", p.text, digits, id, suffix) // a hash never fails
			if hmac.Equal(m.Sum(buf[:0]), p.sum[:]) {
				return true
			}
		}
	}
	return false
}
