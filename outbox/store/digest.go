package store

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Digest is what stands for several texts where they may not stand themselves: their HMAC-SHA-256
// under a key that is made of the key file and this name. Whoever has not the key file cannot find
// out of whom one is by trying ids. No part can pass for a part of another.
func (s *Sealer) Digest(name string, parts ...string) ([sha256.Size]byte, error) {
	key, err := hkdf.Key(sha256.New, s.master(), nil, "countersign/digest/"+name, keyBytes)
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("derive the key of digests: %w", err)
	}
	m := hmac.New(sha256.New, key)
	for _, p := range parts {
		_, _ = m.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p)))) // a hash takes everything
		_, _ = m.Write([]byte(p))
	}
	return [sha256.Size]byte(m.Sum(nil)), nil
}
