package send

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Text is the beginning of the answer's body as people may read it, of at most so many bytes, and
// whether that is not all of it. Nil: there is none, or it is no text.
//
// It is somebody else's text, made valid UTF-8: line ends and tabs stay, and what else cannot be
// seen, a terminal would obey, or is no character is written as \x1b or \u202e is. So it may be
// stored and shown where texts are escaped as every other text is, in JSON or HTML; it may still
// say what a person is called, and belongs in no log.
func (a *Answer) Text(most int) (text []byte, cut bool) {
	b := a.Body[:min(len(a.Body), most)]
	cut = int64(len(b)) < a.Size || a.Cut != ""
	switch {
	case plain(b):
		return b, cut
	case latin(a.Type):
		return visible(widened(b), most, cut)
	case noText(b):
		return nil, cut
	}
	if cut { // not in the middle of a character
		for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
			if at := len(b) - i; utf8.RuneStart(b[at]) {
				if !utf8.FullRune(b[at:]) {
					b = b[:at]
				}
				break
			}
		}
	}
	return visible(b, most, cut)
}

// maxType is how much is kept of what an answer says that it is.
const maxType = 80

// TypeText is the Content-Type as people may read it.
func (a *Answer) TypeText() string {
	if len(a.Type) <= maxType && plain([]byte(a.Type)) {
		return a.Type
	}
	text, _ := visible([]byte(a.Type), maxType, false)
	return string(text)
}

// plain reports whether nothing has to be made of a text: what nearly every answer is.
func plain(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c >= utf8.RuneSelf-1) && c != '\n' && c != '\t' {
			return false
		}
	}
	return true
}

// latin reports whether a type says that each byte is a character.
func latin(contentType string) bool {
	_, charset, _ := strings.Cut(strings.ToLower(contentType), "charset=")
	charset, _, _ = strings.Cut(charset, ";")
	switch strings.Trim(charset, `"' `) {
	case "iso-8859-1", "latin1", "windows-1252":
		return true
	default:
		return false
	}
}

func widened(b []byte) []byte {
	var wide bytes.Buffer
	for _, c := range b {
		wide.WriteRune(rune(c))
	}
	return wide.Bytes()
}

// noText reports whether bytes are no text: one of them is 0, or every eighth is no part of a
// character.
func noText(b []byte) bool {
	odd := 0
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == 0 {
			return true
		}
		if r == utf8.RuneError && n == 1 {
			odd++
		}
		i += n
	}
	return odd > utf8.UTFMax && odd > len(b)/8
}

// visible writes what cannot be seen so that it can.
func visible(b []byte, most int, cut bool) (text []byte, more bool) {
	text = make([]byte, 0, min(len(b)+len(b)/4, most))
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		shown := b[i : i+n]
		i += n
		switch {
		case r == utf8.RuneError && n == 1:
			shown = appendHex(nil, shown[0])
		case r == '\r' && i < len(b) && b[i] == '\n': // the end of a line, and the next byte says so
			continue
		case r == '\n', r == '\t':
		case !strconv.IsGraphic(r):
			quoted := strconv.QuoteRuneToASCII(r)
			shown = []byte(quoted[1 : len(quoted)-1])
		}
		if len(text)+len(shown) > most {
			return text, true
		}
		text = append(text, shown...)
	}
	return text, cut
}

func appendHex(b []byte, c byte) []byte {
	const digits = "0123456789abcdef"
	return append(b, '\\', 'x', digits[c>>4], digits[c&15])
}
