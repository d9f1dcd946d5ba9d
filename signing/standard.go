package signing

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
)

// StandardWebhooks is the symmetric scheme of the Standard Webhooks specification, which Svix uses under its own header names: HMAC-SHA-256 of
// "<id>.<unix seconds>.<body>", written as "v1,<base64>", one for each key, separated by blanks. Keys are base64 texts with or without "whsec_".
type StandardWebhooks struct {
	// HeaderPrefix is "webhook" (or "") or "svix". With "svix" a request without svix-signature is read by its webhook-* headers, as Svix's own
	// libraries do; the two families are never mixed.
	HeaderPrefix string
	Tolerance    time.Duration // both ways; 0: the specification's 5 minutes
}

// Sign sets the id, timestamp and signature headers, with one signature for each key, newest first.
func (s StandardWebhooks) Sign(h Header, m Message, keys Keyring) error {
	if err := checkID(m.ID); err != nil {
		return fmt.Errorf("message id: %w", err)
	}
	if err := s.Check(keys); err != nil {
		return err
	}
	t, err := unix(m.Time)
	if err != nil {
		return err
	}
	var b strings.Builder
	for i, k := range keys {
		var sum [maxSum]byte
		n := k.sum(sha256Standard, m.ID+"."+t+".", m.Body, &sum)
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString("v1," + base64.StdEncoding.EncodeToString(sum[:n]))
	}
	p := s.prefix()
	h.Set(p+"-id", m.ID)
	h.Set(p+"-timestamp", t)
	h.Set(p+"-signature", b.String())
	return nil
}

// Verify accepts a body that any v1 signature fits under any key, within the tolerance. Other versions and unreadable signatures are passed over.
func (s StandardWebhooks) Verify(h Header, body []byte, keys Keyring, now time.Time) error {
	id, t, sigs, err := s.read(h)
	if err != nil {
		return err
	}
	at, ok := seconds(t)
	if !ok {
		return fmt.Errorf("%w: the timestamp is not unix seconds", ErrMalformed)
	}
	if !keys.matchesAny(sha256Standard, id+"."+t+".", body, sigs) {
		return ErrMismatch
	}
	return fresh(at, now, s.tolerance(), s.tolerance())
}

// Check reports settings that cannot work and keys that are not Standard Webhooks secrets.
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
func (s StandardWebhooks) read(h Header) (id, t string, sigs [][sha256.Size]byte, err error) {
	p := s.family(h)
	text, err := one(h, p+"-signature")
	if err != nil {
		return "", "", nil, err
	}
	if id, err = one(h, p+"-id"); err != nil {
		return "", "", nil, err
	}
	if err := checkID(id); err != nil {
		return "", "", nil, fmt.Errorf("%w: %s-id: %w", ErrMalformed, p, err)
	}
	if t, err = one(h, p+"-timestamp"); err != nil {
		return "", "", nil, err
	}
	sigs, err = standardSignatures(text)
	return id, t, sigs, err
}

func standardSignatures(text string) ([][sha256.Size]byte, error) {
	var sigs [][sha256.Size]byte
	entries := 0
	for entry := range strings.FieldsSeq(text) {
		if entries++; entries > maxSignatures {
			return nil, fmt.Errorf("%w: more than %d signatures", ErrMalformed, maxSignatures)
		}
		version, value, ok := strings.Cut(entry, ",")
		if !ok {
			return nil, fmt.Errorf("%w: a signature is not version,value", ErrMalformed)
		}
		var sig [sha256.Size]byte
		if version == "v1" && Base64.decode(sig[:], value) {
			sigs = append(sigs, sig)
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
