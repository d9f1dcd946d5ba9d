package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// visible is a writer to a terminal, or to a file that somebody will look at with one. What
// strangers have supplied (a body, an id, a name, a ref) may hold characters that a terminal obeys
// or does not show: they are written as \u and four hexadecimal digits, so that nothing is done,
// and two ids that look alike can be told apart. Inside a text of JSON that is the same text, so
// JSON stays what it was; there, none of these characters can stand outside of one. Line feeds and
// tabs pass: they are ours (console.printf sees to those of others).
type visible struct{ w io.Writer }

// Write implements io.Writer. It writes line by line where something has to be escaped, so that
// what it returns is true of whole lines.
func (v visible) Write(p []byte) (n int, err error) {
	if plain(p) {
		return v.w.Write(p)
	}
	for line := range bytes.Lines(p) {
		if _, err := io.WriteString(v.w, escape(string(line), "\n\t")); err != nil {
			return n, err
		}
		n += len(line)
	}
	return n, nil
}

// plain reports whether nothing of p can need an escape: it is printable ASCII, in lines.
func plain(p []byte) bool {
	for _, b := range p {
		if (b < ' ' || b > '~') && b != '\n' && b != '\t' {
			return false
		}
	}
	return true
}

// escape makes what is not seen visible, but for the characters in pass. A byte that is no UTF-8 is
// \x and two digits.
func escape(s, pass string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case seen(r) || strings.ContainsRune(pass, r):
			b.WriteString(s[:n])
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		s = s[n:]
	}
	return b.String()
}

// unseen are characters that Unicode counts as printable and nobody sees: the braille pattern
// without dots, beside those that are to be ignored and variants of the one before.
const unseen = '\u2800'

// seen reports whether a reader sees a character, and a terminal does not obey it: it is no control
// character (C0, C1), no direction mark or override, no separator of lines, no space but the plain
// one, and not of zero width.
func seen(r rune) bool {
	return strconv.IsPrint(r) && r != unseen && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// complain prints an error, each of several on a line of its own.
func (c *console) complain(err error) {
	if several, ok := err.(interface{ Unwrap() []error }); ok { // what is wrapped is one line with what wraps it
		for _, e := range several.Unwrap() {
			c.complain(e)
		}
		return
	}
	if bad, ok := errors.AsType[*configError](err); ok {
		for _, p := range bad.problems {
			fmt.Fprintln(c.err, p) //nolint:errcheck // nowhere left to say it
		}
	}
	fmt.Fprintln(c.err, "countersign:", escape(err.Error(), "")) //nolint:errcheck // nowhere left to say it
}

// printf prints text. Line feeds and tabs in a text that is an argument are escaped too: a line is
// a line of ours, whatever a stranger called himself.
func (c *console) printf(format string, args ...any) {
	for i, a := range args {
		if _, own := a.(fmt.Stringer); own { // a text of ours
			continue
		}
		if v := reflect.ValueOf(a); v.Kind() == reflect.String {
			args[i] = escape(v.String(), "")
		}
	}
	fmt.Fprintf(c.out, format, args...) //nolint:errcheck // a terminal that is gone is no error of ours
}
