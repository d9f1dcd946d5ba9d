package provider

import (
	"bytes"
	"strings"
)

// deepest is how many objects and lists may stand in each other here.
const deepest = 100

// next passes blanks and returns the byte that is there; 0: none is.
func (r *quickReader) next() byte {
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// members reads an object whose values are read by fn, which is told whether a name stands for
// itself.
func (r *quickReader) members(depth int, fn func(name []byte, plain bool) bool) bool {
	if r.at++; depth > deepest {
		return false
	}
	if r.next() == '}' {
		r.at++
		return true
	}
	for {
		if r.next() != '"' {
			return false
		}
		name, plain, ok := r.quoted()
		if !ok || r.next() != ':' {
			return false
		}
		r.at++
		if !fn(name, plain) {
			return false
		}
		if c := r.next(); c != ',' {
			r.at++
			return c == '}'
		}
		r.at++
	}
}

// elements reads a list whose values are read by fn.
func (r *quickReader) elements(depth int, fn func() bool) bool {
	if r.at++; depth > deepest {
		return false
	}
	if r.next() == ']' {
		r.at++
		return true
	}
	for fn() {
		if c := r.next(); c != ',' {
			r.at++
			return c == ']'
		}
		r.at++
	}
	return false
}

// quoted reads what stands between two quotes, and reports whether it stands for itself.
func (r *quickReader) quoted() (text []byte, plain, ok bool) {
	from := r.at + 1
	plain = true
	for at := from; at < len(r.text); at++ {
		switch c := r.text[at]; {
		case c == '"':
			r.at = at + 1
			return r.text[from:at], plain, true
		case c < ' ':
			return nil, false, false
		case c == '\\':
			n := escape(r.text[at:])
			if n == 0 {
				return nil, false, false
			}
			plain = false
			at += n - 1
		}
	}
	return nil, false, false
}

// escape is how long the escape is that a text begins with; 0: it is none.
func escape(text []byte) int {
	const digits = "0123456789abcdefABCDEF"
	switch {
	case len(text) < 2:
		return 0
	case bytes.IndexByte([]byte(`"\/bfnrt`), text[1]) >= 0:
		return 2
	case text[1] != 'u' || len(text) < 6:
		return 0
	}
	for _, c := range text[2:6] {
		if strings.IndexByte(digits, c) < 0 {
			return 0
		}
	}
	return 6
}

// skip passes a value of which nothing is read, as long as it is one.
func (r *quickReader) skip(depth int) bool {
	switch r.next() {
	case '{':
		return r.skipObject(depth)
	case '[':
		return r.elements(depth, func() bool { return r.skip(depth + 1) })
	case '"':
		_, _, ok := r.quoted()
		return ok
	case 't':
		return r.literal("true")
	case 'f':
		return r.literal("false")
	case 'n':
		return r.literal("null")
	default:
		return r.number()
	}
}

// skipObject passes an object, whatever its keys are.
func (r *quickReader) skipObject(depth int) bool {
	return r.members(depth, func([]byte, bool) bool { return r.skip(depth + 1) })
}

func (r *quickReader) literal(word string) bool {
	if !bytes.HasPrefix(r.text[r.at:], []byte(word)) {
		return false
	}
	r.at += len(word)
	return true
}

// number reads a number.
func (r *quickReader) number() bool {
	if r.at < len(r.text) && r.text[r.at] == '-' {
		r.at++
	}
	from := r.at
	if whole := r.digits(); whole == 0 || whole > 1 && r.text[from] == '0' {
		return false
	}
	if r.at < len(r.text) && r.text[r.at] == '.' {
		if r.at++; r.digits() == 0 {
			return false
		}
	}
	if r.at < len(r.text) && r.text[r.at]|0x20 == 'e' {
		if r.at++; r.at < len(r.text) && (r.text[r.at] == '+' || r.text[r.at] == '-') {
			r.at++
		}
		return r.digits() > 0
	}
	return true
}

// digits passes digits and returns how many.
func (r *quickReader) digits() (n int) {
	for r.at < len(r.text) && r.text[r.at] >= '0' && r.text[r.at] <= '9' {
		r.at++
		n++
	}
	return n
}
