package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
)

// keyFile is the name of the key file in the data directory: a version (1 byte), the key (32), and
// a CRC-32C over both (4), so that a key that was damaged is named as that, and not by everything
// sealed with it that cannot be opened any more.
const keyFile = "countersign.key"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	keyBytes   = 32
	keyVersion = 1
)

// Files are the files of a data directory that hold what nobody else may read.
func Files(dir string) []string {
	return []string{filepath.Join(dir, fileName), filepath.Join(dir, keyFile)}
}

// Sealer encrypts what must not stand in the file in clear: quarantined bodies and secrets. Every
// record has a key of its own (HKDF over its name), and its name is authenticated, so that a sealed
// record cannot be moved to another place.
type Sealer struct{ master func() []byte }

// OpenSealer reads the key file in dir; it makes one with mode 0600 if there is none. Whoever loses
// it loses what is sealed. One that is damaged, or of another version, is refused and left as it
// is.
func OpenSealer(dir string) (*Sealer, error) { return openSealer(dir, makeKeyFile) }

// RehearseSealer is OpenSealer without the making: where there is no key file it is one of no file.
func RehearseSealer(dir string) (*Sealer, error) {
	return openSealer(dir, func(string) ([]byte, error) { return newKeyFile() })
}

func openSealer(dir string, missing func(path string) ([]byte, error)) (*Sealer, error) {
	path := filepath.Join(dir, keyFile)
	b, err := os.ReadFile(path) //nolint:gosec // the operator's own data directory
	switch {
	case errors.Is(err, os.ErrNotExist):
		if b, err = missing(path); err != nil {
			return nil, fmt.Errorf("make the key file: %w", err)
		}
	case err != nil:
		return nil, fmt.Errorf("read the key file: %w", err)
	}
	key, err := readKeyFile(b)
	if err != nil {
		return nil, fmt.Errorf("%s %w", path, err)
	}
	return &Sealer{master: func() []byte { return key }}, nil
}

func newKeyFile() ([]byte, error) {
	b := make([]byte, 1+keyBytes, 1+keyBytes+4)
	b[0] = keyVersion
	if _, err := rand.Read(b[1:]); err != nil {
		return nil, err
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

func makeKeyFile(path string) ([]byte, error) {
	b, err := newKeyFile()
	if err != nil {
		return nil, err
	}
	if err := makeDir(filepath.Dir(path), syncDir); err != nil {
		return nil, err
	}
	return b, WriteFile(path, b)
}

// readKeyFile takes the key out of what the file holds, or says what is wrong with it and the
// remedy.
func readKeyFile(b []byte) ([]byte, error) {
	const (
		whole  = 1 + keyBytes + 4
		remedy = "put the copy in its place that was kept with a backup. Without one, move it aside: a new one is made, which opens nothing that is sealed"
		other  = "use the program that wrote it, or start with an empty data directory"
	)
	switch {
	case len(b) == keyBytes:
		return nil, fmt.Errorf("holds 32 bytes without a checksum, as versions before this one wrote it, or is cut off; %s", other)
	case len(b) != whole:
		return nil, fmt.Errorf("holds %d bytes, not %d: it is damaged; %s", len(b), whole, remedy)
	case crc32.Checksum(b[:1+keyBytes], castagnoli) != binary.BigEndian.Uint32(b[1+keyBytes:]):
		return nil, fmt.Errorf("does not pass its checksum: it is damaged; %s", remedy)
	case b[0] != keyVersion:
		return nil, fmt.Errorf("is of version %d, and this program knows %d only; %s", b[0], keyVersion, other)
	}
	return b[1 : 1+keyBytes], nil
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
