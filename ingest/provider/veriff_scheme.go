package provider

import (
	"fmt"
	"time"

	"countersign/signing"
)

func veriffScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(veriffOptions); err != nil {
		return nil, err
	}
	if _, err := o.oneOf("subject", "vendorData", "endUserId"); err != nil {
		return nil, err
	}
	client, ok := o["client"]
	if ok && (client == "" || word(client) != client) {
		return nil, fmt.Errorf("option client: %q is not an API key such as 0a1b2c3d-1111-4222-8333-444455556666", client)
	}
	return veriffHMAC{client: client}, nil
}

// veriffFamilies are the two sets of headers that say the same.
// https://devdocs.veriff.com/v1/docs/hmac-authentication-and-endpoint-security
var veriffFamilies = [2]struct{ signature, client string }{
	{"X-HMAC-SIGNATURE", "X-AUTH-CLIENT"},
	{"VRF-HMAC-SIGNATURE", "VRF-AUTH-CLIENT"},
}

func veriffBodyHMAC(header string) signing.BodyHMAC {
	return signing.BodyHMAC{Header: header, Hash: signing.SHA256, Encoding: signing.Hex}
}

// veriffHMAC is an HMAC of the body in either of two headers, or in both alike. The client beside
// it is not signed, but another integration of the same account has another secret, so that it can
// only name the wrong one by mistake.
type veriffHMAC struct{ client string }

// Sign sets both families of headers, as Veriff does.
func (s veriffHMAC) Sign(h signing.Header, m signing.Message, keys signing.Keyring) error {
	for _, f := range veriffFamilies {
		if err := veriffBodyHMAC(f.signature).Sign(h, m, keys); err != nil {
			return fmt.Errorf("sign %s: %w", f.signature, err)
		}
		if s.client != "" {
			h.Set(f.client, s.client)
		}
	}
	return nil
}

// Verify accepts a request of which every signature header fits, and of which every client header
// names the one client.
func (s veriffHMAC) Verify(h signing.Header, body []byte, keys signing.Keyring, now time.Time) error {
	proven := false
	for _, f := range veriffFamilies {
		if len(h.Values(f.signature)) == 0 {
			continue
		}
		if err := veriffBodyHMAC(f.signature).Verify(h, body, keys, now); err != nil {
			return err
		}
		proven = true
	}
	if !proven {
		return signing.ErrMissing
	}
	var client string
	for _, f := range veriffFamilies {
		switch v := h.Values(f.client); {
		case len(v) == 0:
		case len(v) > 1:
			return fmt.Errorf("%w: %s appears %d times", signing.ErrMalformed, f.client, len(v))
		case client != "" && v[0] != client:
			return fmt.Errorf("%w: %s names another client than its twin", signing.ErrMismatch, f.client)
		case s.client != "" && v[0] != s.client:
			return fmt.Errorf("%w: %s does not name the client of this source", signing.ErrMismatch, f.client)
		default:
			client = v[0]
		}
	}
	if s.client != "" && client == "" {
		return fmt.Errorf("%w: no header names the client", signing.ErrMissing)
	}
	return nil
}

// Unwrap is the scheme that explains itself to a person.
func (s veriffHMAC) Unwrap() signing.Scheme {
	return veriffBodyHMAC(veriffFamilies[0].signature)
}
