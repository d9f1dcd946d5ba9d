package signing

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // only to recognise a sender that uses it
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"hash"
	"slices"
	"strings"
)

// claim is what a request says about itself, for guessing how its sender made the signature.
type claim struct {
	hash     HashName
	encoding Encoding
	prefix   string // the text that should stand before a digest
	texts    []string
	head     string         // what is signed before the body
	standard bool           // keys are decoded base64
	made     []guess[maker] // nil: as an HMAC
}

// maker makes a digest of this many bytes from a key, what stands before the body, and the body.
type maker func(size int, key []byte, head string, body []byte) []byte

// guess is one way in which a sender may have departed from the scheme; the guess without advice is
// the scheme itself.
type guess[T any] struct {
	value  T
	advice string
}

// diagnose looks for the smallest departure from the scheme that explains the signature, and
// advises on it.
func (e *explanation) diagnose(c claim) {
	var best []string
	fits := 0
	for _, digest := range c.digests() {
		for _, body := range bodyGuesses(e.body) {
			for _, head := range c.headGuesses() {
				for i, k := range e.keys {
					for _, key := range keyGuesses(k, c.standard) {
						for _, made := range c.makers() {
							advice := advices(digest.advice, body.advice, head.advice, key.advice, made.advice)
							if best != nil && len(advice) >= len(best) {
								continue
							}
							if hmac.Equal(made.value(len(digest.value), key.value, head.value, body.value), digest.value) {
								best, fits = advice, i+1
							}
						}
					}
				}
			}
		}
	}
	if len(best) > 0 {
		e.say("Key %d of %d matches once something is put right.", fits, len(e.keys))
		e.advise("%s", strings.Join(best, " "))
	}
}

func advices(all ...string) []string {
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

func (c claim) makers() []guess[maker] {
	if c.made == nil {
		return []guess[maker]{{hmacOf, ""}}
	}
	return c.made
}

// digests reads the signatures in every encoding and length that is in use.
func (c claim) digests() []guess[[]byte] {
	_, expected, _ := c.hash.slot()
	var all []guess[[]byte]
	for _, text := range c.texts {
		bare := text
		for _, p := range []string{"sha1=", "sha256=", "sha512=", "SHA256=", "v1=", "v1,", c.prefix} {
			bare = strings.TrimPrefix(bare, p)
		}
		bare = strings.TrimSpace(bare)
		var advice []string
		if !strings.HasPrefix(text, c.prefix) || len(bare) != len(text)-len(c.prefix) {
			advice = append(advice, "The prefix before the digest differs from the one that is configured: correct it.")
		}
		b, err := hex.DecodeString(bare)
		enc := Hex
		if err != nil {
			var ok bool
			if b, ok = base64Any(bare); !ok {
				continue
			}
			enc = Base64
		}
		if enc != c.encoding {
			advice = append(advice, "The digest is written as "+string(enc)+", not as "+string(c.encoding)+": correct the encoding.")
		}
		name := hashOf(len(b))
		if name == "" {
			continue
		}
		if len(b) != expected {
			advice = append(advice, "The signature fits "+string(name)+", not "+string(c.hash)+": choose the same algorithm on both sides.")
		}
		all = append(all, guess[[]byte]{b, strings.Join(advice, " ")})
	}
	return all
}

func (c claim) headGuesses() []guess[string] {
	all := []guess[string]{{c.head, ""}}
	if c.head != "" {
		all = append(all, guess[string]{"", "The signature covers the body alone: sign what is before it too, or choose the scheme without a timestamp."})
	}
	return all
}

// keyGuesses lists the forms in which a secret is used by mistake.
func keyGuesses(k Key, standard bool) []guess[[]byte] {
	s := k.secret()
	if s == nil {
		return nil
	}
	const trim = "The secret has white space around it: remove it, often the newline at the end of a file."
	text := strings.TrimSpace(string(s.raw))
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, standardPrefix))
	if standard {
		all := []guess[[]byte]{{[]byte(text), "The sender keyed with the secret's text: decode the base64 after whsec_ first."}}
		if s.standard != nil {
			all = append(all, guess[[]byte]{s.standard, ""})
		} else if err == nil {
			all = append(all, guess[[]byte]{decoded, trim})
		}
		return all
	}
	all := []guess[[]byte]{{s.raw, ""}, {[]byte(text), trim}}
	if err == nil && len(decoded) > 0 {
		all = append(all, guess[[]byte]{decoded, "The sender keyed with the decoded secret: this scheme uses the whole text as it is."})
	}
	return append(all, guess[[]byte]{
		[]byte(strings.TrimPrefix(text, standardPrefix)),
		"The sender keyed with the secret without whsec_: this scheme uses the whole text, prefix included.",
	})
}

// bodyGuesses lists what tools do to a body between the sender's MAC and ours.
func bodyGuesses(body []byte) []guess[[]byte] {
	const raw = " Verify the raw bytes as they arrived, and sign the bytes that are sent."
	all := []guess[[]byte]{
		{body, ""},
		{append(slices.Clone(body), '\n'), "The signature fits the body with a newline after it: something cut the last newline." + raw},
		{append(slices.Clone(body), "\r\n"...), "The signature fits the body with a line end (CR LF) after it: something cut it." + raw},
		{bytes.TrimRight(body, "\r\n"), "The signature fits the body without its last newline: an editor or a shell added one." + raw},
		{bytes.TrimSpace(body), "The signature fits the body without the white space around it." + raw},
		{bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n")), "The signature fits the body with LF for CR LF: something changed the line ends." + raw},
		{bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), "The signature fits the body without its byte order mark." + raw},
		{nil, "The signature fits an empty body: the body was not read before it was signed." + raw},
	}
	var compact bytes.Buffer
	if json.Compact(&compact, body) != nil {
		return all
	}
	const indented = "The signature fits the body without its white space: the body was re-indented."
	all = append(all, guess[[]byte]{compact.Bytes(), indented + raw},
		guess[[]byte]{append(slices.Clone(compact.Bytes()), '\n'), indented + raw},
		guess[[]byte]{spaced(compact.Bytes()), "The signature fits the body with a blank after each comma and colon: the body was parsed and written again." + raw})
	for _, indent := range []string{"  ", "    ", "\t"} {
		var b bytes.Buffer
		if json.Indent(&b, compact.Bytes(), "", indent) == nil {
			const compacted = "The signature fits the body indented: the body was compacted."
			all = append(all, guess[[]byte]{b.Bytes(), compacted + raw}, guess[[]byte]{append(slices.Clone(b.Bytes()), '\n'), compacted + raw})
		}
	}
	var escaped bytes.Buffer
	json.HTMLEscape(&escaped, compact.Bytes())
	return append(all, guess[[]byte]{escaped.Bytes(), "The signature fits the body with <, > and & escaped: the body was parsed and written again." + raw})
}

// spaced puts a blank after each comma and colon outside strings, as some encoders do.
func spaced(compact []byte) []byte {
	out, quoted, escaped := make([]byte, 0, len(compact)*5/4), false, false
	for _, c := range compact {
		out = append(out, c)
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == ':'):
			out = append(out, ' ')
		}
	}
	return out
}

func hashOf(size int) HashName {
	switch size {
	case sha1.Size:
		return SHA1
	case sha256.Size:
		return SHA256
	case sha512.Size:
		return SHA512
	default:
		return ""
	}
}

// newHash makes the hash whose digest has this many bytes, which hashOf knows.
func newHash(size int) hash.Hash {
	switch size {
	case sha1.Size:
		return sha1.New() //nolint:gosec // only to recognise a sender that uses it
	case sha512.Size:
		return sha512.New()
	default:
		return sha256.New()
	}
}

func hmacOf(size int, key []byte, head string, body []byte) []byte {
	m := hmac.New(func() hash.Hash { return newHash(size) }, key)
	_, _ = m.Write([]byte(head)) // a hash never fails
	_, _ = m.Write(body)         // a hash never fails
	return m.Sum(nil)
}
