package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const (
	keyFile  = "countersign.key"
	keyBytes = 32
)

// Sealer encrypts what must not stand in the file in clear: quarantined bodies and secrets. Every record has a key of its own (HKDF over its name), and its
// name is authenticated, so that a sealed record cannot be moved to another place.
type Sealer struct{ master func() []byte }

// OpenSealer reads the key file in dir; it makes one with mode 0600 if there is none. Whoever loses it loses what is sealed.
func OpenSealer(dir string) (*Sealer, error) {
	path := filepath.Join(dir, keyFile)
	b, err := os.ReadFile(path) //nolint:gosec // the operator's own data directory
	if errors.Is(err, os.ErrNotExist) {
		b = make([]byte, keyBytes)
		if _, err := rand.Read(b); err != nil {
			return nil, fmt.Errorf("make the key file: %w", err)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil { //nolint:gosec // the operator's own data directory
			return nil, fmt.Errorf("make the key file: %w", err)
		}
		if err := writeSynced(path, b); err != nil {
			return nil, fmt.Errorf("make the key file: %w", err)
		}
	} else if err != nil {
		return nil, fmt.Errorf("read the key file: %w", err)
	}
	if len(b) != keyBytes {
		return nil, fmt.Errorf("%s holds %d bytes, not %d; put the right key file back", path, len(b), keyBytes)
	}
	return &Sealer{master: func() []byte { return b }}, nil
}

// Seal encrypts plain under the record's name.
func (s *Sealer) Seal(name string, plain []byte) ([]byte, error) {
	a, err := s.aead(name)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, a.NonceSize(), a.NonceSize()+len(plain)+a.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return a.Seal(nonce, nonce, plain, []byte(name)), nil
}

// Unseal decrypts what Seal made under the same name.
func (s *Sealer) Unseal(name string, sealed []byte) ([]byte, error) {
	a, err := s.aead(name)
	if err != nil {
		return nil, err
	}
	if len(sealed) < a.NonceSize() {
		return nil, fmt.Errorf("unseal: %w", ErrBadRecord)
	}
	plain, err := a.Open(nil, sealed[:a.NonceSize()], sealed[a.NonceSize():], []byte(name))
	if err != nil {
		return nil, fmt.Errorf("unseal: %w: not sealed with this key file", ErrBadRecord)
	}
	return plain, nil
}

func (s *Sealer) aead(name string) (cipher.AEAD, error) {
	k, err := hkdf.Key(sha256.New, s.master(), nil, "countersign/"+name, keyBytes)
	if err != nil {
		return nil, fmt.Errorf("derive a record key: %w", err)
	}
	b, err := aes.NewCipher(k)
	if err != nil {
		return nil, fmt.Errorf("derive a record key: %w", err)
	}
	return cipher.NewGCM(b)
}
