package signing

import (
	"bytes"
	"crypto/ed25519"
)

// SecretSize is how many bytes of a key are secret under a scheme: of a credential with a name
// before a colon what follows it, else all; of an ed25519 key what there is to guess, which is its
// seed.
func SecretSize(s Scheme, k Key) int {
	if k.pair != nil {
		return ed25519.SeedSize
	}
	sec := k.secret()
	if sec == nil {
		return 0
	}
	named := false
	switch s := s.(type) {
	case BodyProof:
		named = true
	case Static:
		named = s.Scheme == Basic
	default:
	}
	if _, secret, ok := bytes.Cut(sec.raw, []byte{':'}); named && ok {
		return len(secret)
	}
	return len(sec.raw)
}
