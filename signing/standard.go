package signing

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
)

// StandardWebhooks are the schemes of the Standard Webhooks specification, which Svix uses under
// its own header names. What is signed is "<id>.<unix seconds>.<body>"; there is one signature for
// each key, separated by blanks: "v1,<base64>", an HMAC-SHA-256 under a base64 text with or without
// "whsec_", or "v1a,<base64>", an ed25519 signature under a "whsk_", which a "whpk_" verifies. A
// ring may hold keys of both kinds.
type StandardWebhooks struct {
	// HeaderPrefix is "webhook" (or "") or "svix". With "svix" a request without svix-signature is
	// read by its webhook-* headers, as Svix's own libraries do; the two families are never mixed.
	HeaderPrefix string
	Tolerance    time.Duration // both ways; 0: the specification's 5 minutes
}

// Sign sets the id, timestamp and signature headers, with one signature for each key, newest first.
func (s StandardWebhooks) Sign(h Header, m Message, keys Keyring) error {
	if err := checkID(m.ID); err != nil {
		return fmt.Errorf("message id: %w", err)
	}
	if !s.signsWith(keys) {
		return CheckSigning(s, keys)
	}
	t, err := unix(m.Time)
	if err != nil {
		return err
	}
	var room [128]byte // two signatures fit: a text costs the allocation that the header keeps
	b := room[:0]
	for i, k := range keys {
		if i > 0 {
			b = append(b, ' ')
		}
		if k.pair != nil {
			b = append(b, "v1a,"...)
			b = base64.StdEncoding.AppendEncode(b, k.pair().signs(m.ID+"."+t+".", m.Body))
			continue
		}
		var sum [maxSum]byte
		n := k.sumOf(sha256Standard, m.ID, "."+t+".", m.Body, &sum)
		b = append(b, "v1,"...)
		b = base64.StdEncoding.AppendEncode(b, sum[:n])
	}
	names := &webhookNames
	if s.HeaderPrefix == "svix" {
		names = &svixNames
	}
	h.Set(names.id, m.ID)
	h.Set(names.timestamp, t)
	h.Set(names.signature, string(b))
	return nil
}

// standardNames are the headers of one family, written as HTTP libraries write them: a name in
// another case costs a copy of it for each request (BenchmarkSign).
type standardNames struct{ id, timestamp, signature string }

var (
	webhookNames = standardNames{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"}
	svixNames    = standardNames{"Svix-Id", "Svix-Timestamp", "Svix-Signature"}
)

// signsWith reports whether CheckSigning has nothing to say, at no cost.
func (s StandardWebhooks) signsWith(keys Keyring) bool {
	for _, k := range keys {
		if k.pair != nil {
			if k.pair().private == nil {
				return false
			}
		} else if sec := k.secret(); sec == nil || sec.standardErr != nil {
			return false
		}
	}
	return len(keys) > 0 && s.Check(keys) == nil
}

// Verify accepts a body that any v1 signature fits under any secret, or any v1a under any ed25519
// key, within the tolerance. A signature of one kind never counts under a key of the other. Other
// versions and unreadable signatures are passed over.
func (s StandardWebhooks) Verify(h Header, body []byte, keys Keyring, now time.Time) error {
	id, t, sigs, err := s.read(h)
	if err != nil {
		return err
	}
	at, ok := seconds(t)
	if !ok {
		return fmt.Errorf("%w: the timestamp is not unix seconds", ErrMalformed)
	}
	if !sigs.fit(keys, id+"."+t+".", body) {
		return ErrMismatch
	}
	return fresh(at, now, s.tolerance(), s.tolerance())
}

// Asymmetric is true: v1a is ed25519.
func (StandardWebhooks) Asymmetric() bool { return true }

// Check reports settings that cannot work and keys that are neither Standard Webhooks secrets nor
// ed25519 keys.
func (s StandardWebhooks) Check(keys Keyring) error {
	switch {
	case s.HeaderPrefix != "" && s.HeaderPrefix != "webhook" && s.HeaderPrefix != "svix":
		return errors.New("header prefix is not one of webhook, svix")
	case s.Tolerance < 0:
		return errors.New("a tolerance cannot be negative")
	case len(keys) == 0:
		return errNoKey
	case len(keys) > maxSignatures:
		return fmt.Errorf("%d keys at a time are too many, at most %d fit into the header", len(keys), maxSignatures)
	}
	for i, k := range keys {
		if k.pair != nil {
			continue
		}
		if sec := k.secret(); sec == nil {
			return keyError(i, len(keys), errNoKey)
		} else if sec.standardErr != nil {
			return keyError(i, len(keys), sec.standardErr)
		}
	}
	return nil
}

func (s StandardWebhooks) prefix() string {
	if s.HeaderPrefix == "" {
		return "webhook"
	}
	return s.HeaderPrefix
}

func (s StandardWebhooks) tolerance() time.Duration {
	if s.Tolerance == 0 {
		return defaultSkew
	}
	return s.Tolerance
}

// family returns the prefix of the headers this request is to be judged by.
func (s StandardWebhooks) family(h Header) string {
	p := s.prefix()
	if p == "svix" && len(h.Values("svix-signature")) == 0 {
		return "webhook"
	}
	return p
}

// read returns the three headers, each of which must stand once.
func (s StandardWebhooks) read(h Header) (id, t string, sigs standardSigs, err error) {
	p := s.family(h)
	text, err := one(h, p+"-signature")
	if err != nil {
		return "", "", sigs, err
	}
	if id, err = one(h, p+"-id"); err != nil {
		return "", "", sigs, err
	}
	if err := checkID(id); err != nil {
		return "", "", sigs, fmt.Errorf("%w: %s-id: %w", ErrMalformed, p, err)
	}
	if t, err = one(h, p+"-timestamp"); err != nil {
		return "", "", sigs, err
	}
	sigs, err = standardSignatures(text)
	return id, t, sigs, err
}

// standardSigs are the signatures of a header that can be read, by their version.
type standardSigs struct {
	v1  [][sha256.Size]byte
	v1a [][ed25519.SignatureSize]byte
}

// fit reports whether any of them is one of head and body under a key of its own kind.
func (g standardSigs) fit(keys Keyring, head string, body []byte) bool {
	shared := keys.matchesAny(sha256Standard, head, body, g.v1)
	return keys.verifiesAny(head, body, g.v1a) || shared
}

func standardSignatures(text string) (sigs standardSigs, err error) {
	entries := 0
	for entry := range strings.FieldsSeq(text) {
		if entries++; entries > maxSignatures {
			return standardSigs{}, fmt.Errorf("%w: more than %d signatures", ErrMalformed, maxSignatures)
		}
		version, value, ok := strings.Cut(entry, ",")
		if !ok {
			return standardSigs{}, fmt.Errorf("%w: a signature is not version,value", ErrMalformed)
		}
		var v1 [sha256.Size]byte
		var v1a [ed25519.SignatureSize]byte
		switch {
		case version == "v1" && Base64.decode(v1[:], value):
			sigs.v1 = append(sigs.v1, v1)
		case version == "v1a" && Base64.decode(v1a[:], value):
			sigs.v1a = append(sigs.v1a, v1a)
		}
	}
	return sigs, nil
}

// checkID refuses what would make "<id>.<time>.<body>" readable in two ways.
func checkID(id string) error {
	switch {
	case id == "":
		return errors.New("it is empty")
	case len(id) > maxID:
		return fmt.Errorf("it is longer than %d bytes", maxID)
	case strings.Contains(id, "."):
		return errors.New("it contains a dot")
	}
	return nil
}
