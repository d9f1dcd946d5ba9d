package kyc

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxID is how many bytes an id may have: of a subject, a partner, a ref, whoever orders something.
const MaxID = 256

// IDProblem says what is wrong with an id that others give, as the end of a sentence about it; "":
// nothing is. It is the one rule for every id, whoever gives it: a partner, an operator or a
// provider. Control characters are refused, for with them the name of one subject could be that of
// another, and so is what stands in place of bytes that are no text, for it makes one id of
// several.
func IDProblem(id string) string {
	switch {
	case id == "":
		return "is missing"
	case len(id) > MaxID:
		return "is longer than 256 bytes"
	case !IsText(id):
		return "has characters that are no text"
	}
	return ""
}

// IsText reports whether an id or a ref can be printed, stored and told apart: it is UTF-8, without
// control characters and without the mark of bytes that were none.
func IsText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError })
}
