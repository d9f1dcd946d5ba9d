package provider

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/go-json-experiment/json/jsontext"

	"countersign/signing"
)

const (
	plaidHeader = "Plaid-Verification"
	maxToken    = 4096            // bytes of a token; Plaid's have about 400
	plaidAhead  = 5 * time.Minute // how far Plaid's clock may be ahead of ours
)

// plaidJWT is a token in a header, signed with ES256, that claims the digest of the body. Keys are
// JWK texts, matched by their key id. Only a private one can sign.
type plaidJWT struct {
	Tolerance time.Duration
}

// String says how a callback is proved, for docs/PROVIDERS.md.
func (plaidJWT) String() string {
	return "JWT (ES256, the body's digest in it) in `" + plaidHeader + "`, with keys that the provider publishes"
}

// plaidKey is one JWK.
type plaidKey struct {
	jose.JSONWebKey
	expired bool
}

// plaidClaims are the claims that count.
type plaidClaims struct {
	IssuedAt *int64 `json:"iat"`
	Digest   string `json:"request_body_sha256"`
}

// readJWK reads a key on P-256 for ES256. Its errors hold nothing of the text.
func readJWK(text []byte) (k plaidKey, err error) {
	var extra struct {
		Expired jsontext.Value `json:"expired_at"`
	}
	if k.UnmarshalJSON(text) != nil || decode(text, &extra) != nil || !k.Valid() {
		return plaidKey{}, errors.New("is not a JWK")
	}
	var curve elliptic.Curve
	switch key := k.Key.(type) {
	case *ecdsa.PublicKey:
		curve = key.Curve
	case *ecdsa.PrivateKey:
		curve = key.Curve
	}
	switch {
	case curve != elliptic.P256() || k.Algorithm != "" && k.Algorithm != string(jose.ES256) || k.Use != "" && k.Use != "sig":
		return plaidKey{}, errors.New("is no key for ES256")
	case k.KeyID == "" || word(k.KeyID) == "":
		return plaidKey{}, errors.New("has no key id")
	}
	k.expired = len(extra.Expired) > 0 && !bytes.Equal(extra.Expired, []byte("null"))
	return k, nil
}

// plaidKeyOf reads one key of a ring.
func plaidKeyOf(key signing.Key) (k plaidKey, err error) {
	err = errors.New("is empty")
	key.With(func(secret []byte) { k, err = readJWK(secret) })
	return k, err
}

// Check reports keys that are not JWKs for ES256 or have expired.
func (s plaidJWT) Check(keys signing.Keyring) error {
	if s.Tolerance < 0 {
		return errors.New("a tolerance cannot be negative")
	}
	for i, key := range keys {
		k, err := plaidKeyOf(key)
		if err == nil && k.expired {
			err = errors.New("has expired")
		}
		if err != nil {
			return fmt.Errorf("key %d of %d: it %w", i+1, len(keys), err)
		}
	}
	return nil
}

// Sign sets the header to a token under the last key of the ring, which must be private.
func (s plaidJWT) Sign(h signing.Header, m signing.Message, keys signing.Keyring) error {
	if err := s.Check(keys); err != nil {
		return err
	}
	if len(keys) == 0 || m.Time.Unix() <= 0 {
		return errors.New("signing needs a key and a time")
	}
	k, err := plaidKeyOf(keys[len(keys)-1])
	if err != nil {
		return err
	}
	if k.IsPublic() {
		return errors.New("the key is public: signing needs a JWK with d")
	}
	o := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", k.KeyID)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: k.Key}, o)
	if err != nil {
		return fmt.Errorf("sign token: %w", err)
	}
	sum, at := sha256.Sum256(m.Body), m.Time.Unix()
	claims, err := json.Marshal(plaidClaims{IssuedAt: &at, Digest: hex.EncodeToString(sum[:])})
	if err != nil {
		return fmt.Errorf("sign token: %w", err)
	}
	token, err := signer.Sign(claims)
	if err != nil {
		return fmt.Errorf("sign token: %w", err)
	}
	text, err := token.CompactSerialize()
	if err != nil {
		return fmt.Errorf("sign token: %w", err)
	}
	h.Set(plaidHeader, text)
	return nil
}

// Verify accepts a body whose digest a fresh token claims that a key of the ring has signed.
func (s plaidJWT) Verify(h signing.Header, body []byte, keys signing.Keyring, now time.Time) error {
	token, kid, err := plaidToken(h)
	if err != nil {
		return err
	}
	for _, key := range keys {
		k, err := plaidKeyOf(key)
		if err != nil || k.expired || k.KeyID != kid {
			continue
		}
		if claims, err := k.open(token); err == nil {
			return s.judge(claims, body, now)
		}
	}
	return signing.ErrMismatch
}

// KeyID returns the name of the key that a request was signed with, before anything is proved.
func (plaidJWT) KeyID(h signing.Header) (string, error) {
	_, kid, err := plaidToken(h)
	return kid, err
}

// plaidPlausible judges what a token claims before anybody knows whether it is genuine: at most 4
// KiB, and of them two members.
func plaidPlausible(h signing.Header, body []byte, o Options, now time.Time) error {
	tolerance, err := o.tolerance(plaidTolerance, false)
	if err != nil {
		return err
	}
	token, _, err := plaidToken(h)
	if err != nil {
		return err
	}
	return plaidJWT{Tolerance: tolerance}.judge(token.UnsafePayloadWithoutVerification(), body, now)
}

// plaidToken reads the header as far as it can be read without a key. Any algorithm but ES256 is
// refused here, before a key is looked at.
func plaidToken(h signing.Header) (token *jose.JSONWebSignature, kid string, err error) {
	text, err := plaidText(h)
	if err != nil {
		return nil, "", err
	}
	token, err = jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || len(token.Signatures) != 1 {
		return nil, "", fmt.Errorf("%w: %s is not a token signed with ES256", signing.ErrMalformed, plaidHeader)
	}
	if kid = token.Signatures[0].Protected.KeyID; kid == "" || word(kid) == "" {
		return nil, "", fmt.Errorf("%w: the token names no key", signing.ErrMalformed)
	}
	return token, kid, nil
}

// plaidText returns the only value of the header. Of the spellings that base64 leaves open only one
// is accepted, so that a token is known by its text.
func plaidText(h signing.Header) (string, error) {
	v := h.Values(plaidHeader)
	switch {
	case len(v) == 0 || len(v) == 1 && v[0] == "":
		return "", signing.ErrMissing
	case len(v) > 1:
		return "", fmt.Errorf("%w: %s appears %d times", signing.ErrMalformed, plaidHeader, len(v))
	case len(v[0]) > maxToken:
		return "", fmt.Errorf("%w: %s is longer than %d bytes", signing.ErrMalformed, plaidHeader, maxToken)
	}
	for part := range strings.SplitSeq(v[0], ".") {
		if _, err := base64.RawURLEncoding.Strict().DecodeString(part); err != nil || strings.ContainsAny(part, "\r\n") {
			return "", fmt.Errorf("%w: %s is not base64url", signing.ErrMalformed, plaidHeader)
		}
	}
	return v[0], nil
}

// open returns what the key has signed.
func (k *plaidKey) open(token *jose.JSONWebSignature) ([]byte, error) {
	public := k.Public()
	claims, err := token.Verify(&public)
	if err != nil {
		return nil, signing.ErrMismatch
	}
	return claims, nil
}

// judge compares the claims of a genuine token with the body and the clock.
func (s plaidJWT) judge(claims, body []byte, now time.Time) error {
	c, err := readClaims(claims)
	if err != nil {
		return err
	}
	if !c.covers(body) {
		return fmt.Errorf("%w: the token is about another body", signing.ErrMismatch)
	}
	age := float64(now.Unix()) - float64(*c.IssuedAt) // as float64: the claim may be any number
	if age > s.tolerance().Seconds() {
		return fmt.Errorf("%w: too old", signing.ErrStale)
	}
	if -age > plaidAhead.Seconds() {
		return fmt.Errorf("%w: too far ahead", signing.ErrStale)
	}
	return nil
}

func readClaims(text []byte) (c plaidClaims, err error) {
	if decode(text, &c) != nil || c.IssuedAt == nil {
		return plaidClaims{}, fmt.Errorf("%w: the token does not claim a time and a digest", signing.ErrMalformed)
	}
	return c, nil
}

// covers reports whether the claimed digest is that of the body.
func (c *plaidClaims) covers(body []byte) bool {
	claimed, err := hex.DecodeString(c.Digest)
	sum := sha256.Sum256(body)
	return err == nil && subtle.ConstantTimeCompare(claimed, sum[:]) == 1
}

func (s plaidJWT) tolerance() time.Duration {
	if s.Tolerance == 0 {
		return plaidTolerance
	}
	return s.Tolerance
}

// ExplainSteps says step by step why a token is accepted or refused, and what to do about it.
func (s plaidJWT) ExplainSteps(h signing.Header, body []byte, keys signing.Keyring, now time.Time) (steps []string, remedy string) {
	say := func(format string, args ...any) { steps = append(steps, fmt.Sprintf(format, args...)) }
	say("Scheme: a token signed with ES256 that claims the sha256 of the raw body, in %s; keys are JWKs, matched by key id.", plaidHeader)
	switch v := h.Values(plaidHeader); {
	case len(v) == 0 || len(v) == 1 && v[0] == "":
		say("%s is absent or empty.", plaidHeader)
		return steps, "Check that the request comes from Plaid and that no proxy removes " + plaidHeader + "."
	case len(v) > 1:
		say("%s appears %d times, which is refused.", plaidHeader, len(v))
		return steps, "Send " + plaidHeader + " once: a proxy or a client adds it a second time."
	default:
		say("%s appears once, with %d characters.", plaidHeader, len(v[0]))
	}
	token, kid, err := plaidToken(h)
	if err != nil {
		say("Its value is not what the scheme expects: %v.", err)
		return steps, "Copy the whole header, three parts with a dot between. Another algorithm than ES256 is refused before any key is looked at: Plaid uses no other."
	}
	say("It is a token signed with ES256, and names a key with an id of %d characters.", len(kid))
	claims, found := plaidTry(token, kid, keys, say)
	if claims == nil {
		if found {
			return steps, "The token was signed with another key of the same id, or was changed: take the header and the key from the same environment."
		}
		return steps, "Give the key that the token names: the API call /webhook_verification_key/get returns it for that id, without expired_at if it still counts."
	}
	return s.explainClaims(steps, claims, body, now)
}

// plaidTry says which keys fit, by their place only, and returns the claims that one has signed.
func plaidTry(token *jose.JSONWebSignature, kid string, keys signing.Keyring, say func(string, ...any)) (claims []byte, found bool) {
	for i, key := range keys {
		k, err := plaidKeyOf(key)
		switch {
		case err != nil:
			say("Key %d of %d %v.", i+1, len(keys), err)
		case k.KeyID != kid:
			say("Key %d of %d has another id.", i+1, len(keys))
		case k.expired:
			say("Key %d of %d has that id and has expired, so it proves nothing any more.", i+1, len(keys))
		default:
			found = true
			if signed, err := k.open(token); err == nil {
				say("Key %d of %d has that id and matches.", i+1, len(keys))
				claims = signed
			} else {
				say("Key %d of %d has that id and does not match.", i+1, len(keys))
			}
		}
	}
	return claims, found
}

func (s plaidJWT) explainClaims(steps []string, text, body []byte, now time.Time) (_ []string, remedy string) {
	c, err := readClaims(text)
	if err != nil {
		return append(steps, "The claims do not read: "+err.Error()+"."), "Check that the request comes from Plaid: its tokens claim iat and request_body_sha256."
	}
	if c.covers(body) {
		steps = append(steps, fmt.Sprintf("The token claims the digest of these %d bytes.", len(body)))
	} else {
		steps = append(steps, fmt.Sprintf("The token claims another digest than that of these %d bytes.", len(body)))
		remedy = "The token is genuine and the body is another one: verify the bytes exactly as they arrived."
		var compact bytes.Buffer
		if json.Compact(&compact, body) == nil && c.covers(compact.Bytes()) {
			remedy = "The token fits the body without its white space: the body was re-indented. Verify the bytes exactly as they arrived."
		}
	}
	age := now.Unix() - *c.IssuedAt
	if age >= 0 {
		steps = append(steps, fmt.Sprintf("The token is %d seconds old; %v is accepted.", age, s.tolerance()))
	} else {
		steps = append(steps, fmt.Sprintf("The token is %d seconds ahead of the clock; %v is accepted.", -age, plaidAhead))
	}
	return steps, remedy
}
