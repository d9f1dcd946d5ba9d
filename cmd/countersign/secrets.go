package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"countersign/signing"
)

// Secret is a text that must be compared, not signed with. It never prints and is never encoded;
// the text lives in a closure, out of reach of reflection.
type Secret struct{ reveal func() string }

func newSecret(s string) Secret { return Secret{reveal: func() string { return s }} }

// Reveal returns the text, "" of the zero Secret. Compare it in constant time.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.reveal == nil }

// Format writes a fixed word, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "secret") }

// String returns a fixed word.
func (Secret) String() string { return "secret" }

// LogValue returns a fixed word.
func (Secret) LogValue() slog.Value { return slog.StringValue("secret") }

// MarshalText always fails: a secret that is about to be encoded is a mistake. JSON and YAML
// encoders ask it too.
func (Secret) MarshalText() ([]byte, error) { return nil, errors.New("a secret is never encoded") }

// maxSecret is more than any key needs, PEM included.
const maxSecret = 64 << 10

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// bareSecret is a secret without what an editor, a shell or a mounted secret adds where nobody sees
// it: a byte order mark before it, and newlines behind it. What may be part of it and is more often
// a slip is refused, and why says what: blanks around it, a newline within (but for PEM and JSON,
// which have lines). "": there is nothing but blanks. Bytes that are no text are left as they are,
// but for one newline at their end.
func bareSecret(s string) (bare, why string) {
	if !utf8.ValidString(s) {
		return strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r"), ""
	}
	s = strings.TrimRight(strings.TrimPrefix(s, "\ufeff"), "\r\n")
	if strings.TrimFunc(s, blank) == "" {
		return "", ""
	}
	first, _ := utf8.DecodeRuneInString(s)
	last, _ := utf8.DecodeLastRuneInString(s)
	switch {
	case blank(first):
		return s, "a blank or an invisible character is before the secret"
	case blank(last):
		return s, "a blank or an invisible character is behind the secret"
	case strings.ContainsAny(s, "\r\n") && s[0] != '{' && !strings.HasPrefix(s, "-----BEGIN "):
		return s, "there is more than one line in it"
	}
	return s, ""
}

// blank reports whether nothing is seen of a character: white space of any kind, and what has no
// width.
func blank(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) }

// readSecret follows a reference, env:NAME or file:/path; a relative path starts at dir.
func readSecret(ref, dir string, env func(string) (string, bool)) (string, *mistake) {
	if name, ok := strings.CutPrefix(ref, "env:"); ok {
		if !envName.MatchString(name) {
			return "", &mistake{"names no environment variable after env:", "write env:NAME, with letters, digits and underscores"}
		}
		v, set := env(name)
		if !set {
			return "", &mistake{"the environment variable " + name + " is not set", "set it where countersign is started"}
		}
		v, why := bareSecret(v)
		switch {
		case v == "":
			return "", &mistake{"the environment variable " + name + " is empty", "set it to the secret"}
		case why != "":
			return "", &mistake{"the environment variable " + name + " cannot be used: " + why, "set it to the secret and nothing else"}
		}
		return v, nil
	}
	path, m := fileRef(ref, dir)
	if m != nil {
		if !strings.HasPrefix(ref, "file:") {
			m = &mistake{"is a secret written out in the file", "move it to the environment (env:NAME) or to a file of its own (file:/path), and replace it if others could read it"}
		}
		return "", m
	}
	return readSecretFile(path)
}

// fileRef returns the path of a file: reference.
func fileRef(ref, dir string) (string, *mistake) {
	path, ok := strings.CutPrefix(ref, "file:")
	if !ok || path == "" {
		return "", &mistake{"is not a file: reference", "write file:/path, or file:path beside the config"}
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return path, nil
}

func readSecretFile(path string) (string, *mistake) {
	unreadable := func(why string) *mistake {
		return &mistake{"the secret file " + path + " cannot be used: " + why, "create it, readable for countersign only, with nothing but the secret in it"}
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", unreadable(fileError(err))
	case !info.Mode().IsRegular(): // a pipe would block the start, a device might never end
		return "", unreadable("it is not a regular file")
	case info.Size() > maxSecret:
		return "", unreadable("it is over 64 KiB")
	}
	b, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return "", unreadable(fileError(err))
	}
	s, why := bareSecret(string(b))
	switch {
	case s == "":
		return "", unreadable("it is empty")
	case why != "":
		return "", unreadable(why)
	}
	return s, nil
}

// readSecret reads what a reference leads to, once for a whole file, and notes which files hold
// secrets.
func (l *loader) readSecret(ref string) (string, *mistake) {
	if s, ok := l.secrets[ref]; ok {
		return s, nil
	}
	s, m := readSecret(ref, l.dir, l.env)
	if m != nil {
		return s, m
	}
	l.secrets[ref] = s
	if path, none := fileRef(ref, l.dir); none == nil {
		l.holdsSecret(path)
	}
	return s, nil
}

func (l *loader) holdsSecret(path string) {
	if !l.holding[path] {
		l.holding[path] = true
		l.cfg.SecretFiles = append(l.cfg.SecretFiles, path)
	}
}

// parseSecret and parseKey are the two things a reference may become.
func (l *loader) parseSecret(ref string) (Secret, *mistake) {
	s, m := l.readSecret(ref)
	if m != nil {
		return Secret{}, m
	}
	return newSecret(s), nil
}

func (l *loader) parseKey(ref string) (signing.Key, *mistake) {
	s, m := l.readSecret(ref)
	if m != nil {
		return signing.Key{}, m
	}
	k, err := signing.NewKey([]byte(s))
	if err != nil {
		return signing.Key{}, &mistake{"the secret cannot be a key: " + err.Error(), "generate a new one"}
	}
	return k, nil
}
