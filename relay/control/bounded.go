package control

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxText    = 256  // bytes of a text of a caller that is kept or logged
	maxMessage = 1000 // bytes of one that is only answered
)

// bounded is a caller's text as it is kept and logged: cut on a rune, with a mark that it was, and
// with characters escaped that cannot be seen, or that a terminal would obey.
func bounded(s string) string { return cut(s, maxText) }

// cut is bounded for another length. A backslash is escaped too, so that no text can pretend to be
// another.
func cut(s string, most int) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		shown := s[i : i+n]
		switch {
		case r == utf8.RuneError && n == 1:
			shown = fmt.Sprintf(`\x%02x`, s[i])
		case r == '\\':
			shown = `\\`
		case !strconv.IsPrint(r):
			quoted := strconv.QuoteRune(r)
			shown = quoted[1 : len(quoted)-1]
		}
		if b.Len()+len(shown) > most {
			return b.String() + fmt.Sprintf("… (cut, %d bytes)", len(s))
		}
		b.WriteString(shown)
		i += n
	}
	return b.String()
}
