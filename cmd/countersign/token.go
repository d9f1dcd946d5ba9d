package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"countersign/outbox/store"
)

const (
	tokenFile   = "operator.token"
	tokenPrefix = "cs_" // of a token made here: it is followed by 64 hexadecimal digits and 8 more, the CRC-32C of all before them
	tokenOwn    = 32    // characters that a token of the operator's own needs
)

// operatorToken reads the token made at the first start, or makes it. One that is damaged or too
// short is refused and left as it is.
func operatorToken(dir string, notices io.Writer) (string, error) {
	path := filepath.Join(dir, tokenFile)
	text, err := readToken(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return text, err
	}
	if text, err = newToken(); err != nil {
		return "", err
	}
	if err := store.WriteFile(path, []byte(text+"\n")); err != nil {
		return "", fmt.Errorf("make the operator token: %w", err)
	}
	fmt.Fprintf(notices, "made %s: the command line reads it to speak to this gateway\n", path) //nolint:errcheck // a notice
	return text, nil
}

// futureToken reads the token that is there, or makes one as the first start will, and leaves no
// file.
func futureToken(dir string, _ io.Writer) (string, error) {
	text, err := readToken(filepath.Join(dir, tokenFile))
	if errors.Is(err, fs.ErrNotExist) {
		return newToken()
	}
	return text, err
}

// newToken makes a token that nobody guesses.
func newToken() (string, error) {
	var raw [32]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	text := tokenPrefix + hex.EncodeToString(raw[:])
	return text + tokenSum(text), nil
}

// readToken reads a token and looks whether it is whole: whoever guesses half of one is an
// operator.
func readToken(path string) (string, error) {
	b, err := os.ReadFile(path) //nolint:gosec // the operator's own data directory
	if err != nil {
		return "", fmt.Errorf("read the operator token: %w", err)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if why := tokenFault(text); why != "" {
		return "", fmt.Errorf("the operator token in %s %s; remove the file and start again, and a new one is made", path, why)
	}
	return text, nil
}

// tokenFault says what is wrong with a token; "": nothing.
func tokenFault(text string) string {
	const prefix, digits, sum = len(tokenPrefix), 64, 8
	marked := strings.HasPrefix(text, tokenPrefix)
	sums := len(text) == prefix+digits+sum && tokenSum(tokenPrefix+text[prefix:prefix+digits]) == text[prefix+digits:]
	switch {
	case marked && sums:
		return ""
	case marked || sums: // or it is the prefix that is damaged
		return "is damaged, or was cut off"
	}
	if strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		return "holds something else than printable ASCII characters without spaces"
	}
	if len(text) < tokenOwn {
		return fmt.Sprintf("has %d characters, and one of your own needs %d", len(text), tokenOwn)
	}
	return ""
}

func tokenSum(text string) string {
	return fmt.Sprintf("%08x", crc32.Checksum([]byte(text), crc32.MakeTable(crc32.Castagnoli)))
}
