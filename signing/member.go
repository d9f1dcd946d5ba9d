package signing

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits on a body that carries its own proof.
const (
	maxDepth  = 64 // of nesting; it bounds the scanner's stack
	maxMember = 64 // bytes of a member's name
	maxEscape = 6  // bytes of the longest spelling of one character of a name: \u0041
)

var (
	errNotJSON   = errors.New("the body is not valid JSON")
	errNotObject = errors.New("the body is not a JSON object")
	errDeep      = fmt.Errorf("the body nests deeper than %d levels", maxDepth)
)

// member is where the value of a member stands in a body, from its first byte to behind its last.
// The zero member stands nowhere.
type member struct{ from, to int }

func (m member) stands() bool { return m.to > 0 }

// scanner finds members at the top level of a body that nobody has vouched for yet (I7). It passes
// over the bytes once, builds nothing of what it passes and stops at the first fault. What it
// accepts is valid JSON. A name that stands twice is refused, however its second spelling is
// escaped or capitalised: parsers disagree on which of the two counts.
type scanner struct {
	body  []byte
	at    int
	names [][]byte
	found []member // one for each name
	end   int      // where a member could be added: behind the last value, or behind the opening brace
	empty bool     // the object has no member
}

// scan finds the named members. Its errors hold nothing of the body.
func scan(body []byte, names ...string) (*scanner, error) {
	s := &scanner{body: body, found: make([]member, len(names))}
	for _, n := range names {
		s.names = append(s.names, []byte(n))
	}
	s.blanks()
	if s.at == len(body) || body[s.at] != '{' {
		return s, errNotObject
	}
	if err := s.object(1); err != nil {
		return s, err
	}
	s.blanks()
	if s.at != len(body) {
		return s, errNotJSON
	}
	return s, nil
}

// text returns the decoded value of the i-th name, which must be a string that reads in one way
// only.
func (s *scanner) text(i int) (string, error) {
	m, name := s.found[i], s.names[i]
	switch {
	case !m.stands() || m.to-m.from == len(`""`) && s.body[m.from] == '"':
		return "", fmt.Errorf("%w: the body has no %s", ErrMissing, name)
	case s.body[m.from] != '"':
		return "", fmt.Errorf("%w: %s is not a string", ErrMalformed, name)
	case m.to-m.from > maxEscape*maxHeader:
		return "", fmt.Errorf("%w: %s is too long", ErrMalformed, name)
	}
	raw := s.body[m.from+1 : m.to-1]
	b, ok := unquote(make([]byte, 0, len(raw)), raw)
	switch {
	case !ok:
		return "", fmt.Errorf("%w: %s is not valid text", ErrMalformed, name)
	case len(b) > maxHeader:
		return "", fmt.Errorf("%w: %s is longer than %d bytes", ErrMalformed, name, maxHeader)
	}
	return string(b), nil
}

// note remembers a member of the top level if it is one that is looked for.
func (s *scanner) note(key []byte, m member) error {
	s.empty, s.end = false, m.to
	if len(key) > maxEscape*maxMember {
		return nil
	}
	var buf [maxEscape * maxMember]byte // no text is longer than its spelling
	got, ok := unquote(buf[:0], key)
	if !ok {
		return nil // not text, so not one of our names
	}
	for i, name := range s.names {
		switch {
		case !bytes.EqualFold(got, name):
		case s.found[i].stands():
			return fmt.Errorf("%s is duplicated in the body", name)
		case string(got) != string(name):
			return fmt.Errorf("%s is capitalised otherwise in the body", name)
		default:
			s.found[i] = m
		}
	}
	return nil
}

func (s *scanner) object(depth int) error {
	s.at++ // the brace
	if depth == 1 {
		s.end, s.empty = s.at, true
	}
	s.blanks()
	if s.take('}') {
		return nil
	}
	for {
		key, ok := s.quoted()
		if !ok {
			return errNotJSON
		}
		s.blanks()
		if !s.take(':') {
			return errNotJSON
		}
		s.blanks()
		m := member{from: s.at}
		if err := s.value(depth); err != nil {
			return err
		}
		m.to = s.at
		if depth == 1 {
			if err := s.note(key, m); err != nil {
				return err
			}
		}
		s.blanks()
		if s.take('}') {
			return nil
		}
		if !s.take(',') {
			return errNotJSON
		}
		s.blanks()
	}
}

func (s *scanner) array(depth int) error {
	s.at++ // the bracket
	s.blanks()
	if s.take(']') {
		return nil
	}
	for {
		s.blanks()
		if err := s.value(depth); err != nil {
			return err
		}
		s.blanks()
		if s.take(']') {
			return nil
		}
		if !s.take(',') {
			return errNotJSON
		}
	}
}

// value passes over one value that stands depth levels deep.
func (s *scanner) value(depth int) error {
	if s.at == len(s.body) {
		return errNotJSON
	}
	var ok bool
	switch c := s.body[s.at]; c {
	case '{', '[':
		if depth == maxDepth {
			return errDeep
		}
		if c == '{' {
			return s.object(depth + 1)
		}
		return s.array(depth + 1)
	case '"':
		_, ok = s.quoted()
	case 't':
		ok = s.word("true")
	case 'f':
		ok = s.word("false")
	case 'n':
		ok = s.word("null")
	default:
		ok = s.number()
	}
	if !ok {
		return errNotJSON
	}
	return nil
}

// quoted passes over a string and returns what stands between its quotes.
func (s *scanner) quoted() ([]byte, bool) {
	if !s.take('"') {
		return nil, false
	}
	from := s.at
	for s.at < len(s.body) {
		switch c := s.body[s.at]; {
		case c == '"':
			s.at++
			return s.body[from : s.at-1], true
		case c == '\\':
			if !s.escape() {
				return nil, false
			}
		case c < ' ':
			return nil, false
		default:
			s.at++
		}
	}
	return nil, false
}

// escape passes over one escape sequence.
func (s *scanner) escape() bool {
	rest := s.body[s.at+1:]
	if len(rest) == 0 {
		return false
	}
	if rest[0] != 'u' {
		s.at += 2
		return bytes.IndexByte([]byte(`"\/bfnrt`), rest[0]) >= 0
	}
	s.at += 6
	return len(rest) >= 5 && hex4(rest[1:5]) >= 0
}

func (s *scanner) number() bool {
	s.take('-')
	if !s.take('0') && !s.digits() {
		return false
	}
	if s.take('.') && !s.digits() {
		return false
	}
	if !s.take('e') && !s.take('E') {
		return true
	}
	if !s.take('+') {
		s.take('-')
	}
	return s.digits()
}

func (s *scanner) digits() bool {
	from := s.at
	for s.at < len(s.body) && s.body[s.at] >= '0' && s.body[s.at] <= '9' {
		s.at++
	}
	return s.at > from
}

func (s *scanner) word(w string) bool {
	if !bytes.HasPrefix(s.body[s.at:], []byte(w)) {
		return false
	}
	s.at += len(w)
	return true
}

func (s *scanner) blanks() {
	for s.at < len(s.body) && (s.body[s.at] == ' ' || s.body[s.at] == '\n' || s.body[s.at] == '\r' || s.body[s.at] == '\t') {
		s.at++
	}
}

func (s *scanner) take(c byte) bool {
	if s.at == len(s.body) || s.body[s.at] != c {
		return false
	}
	s.at++
	return true
}

// unquote appends the text of a string that the scanner has passed over. It reports false for what
// decoders replace or drop: bytes that are not UTF-8 and halves of surrogate pairs.
func unquote(dst, raw []byte) ([]byte, bool) {
	for len(raw) > 0 {
		switch {
		case raw[0] != '\\':
			r, n := utf8.DecodeRune(raw)
			if r == utf8.RuneError && n == 1 {
				return nil, false
			}
			dst, raw = append(dst, raw[:n]...), raw[n:]
		case raw[1] != 'u':
			dst, raw = append(dst, unescape(raw[1])), raw[2:]
		default:
			r := hex4(raw[2:6])
			raw = raw[6:]
			if utf16.IsSurrogate(r) {
				if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
					return nil, false
				}
				if r = utf16.DecodeRune(r, hex4(raw[2:6])); r == utf8.RuneError {
					return nil, false
				}
				raw = raw[6:]
			}
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst, true
}

func unescape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	default:
		return c // a quote, a backslash or a slash
	}
}

// hex4 reads four hexadecimal digits, -1 if they are not.
func hex4(b []byte) rune {
	var r rune
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return r
}

// checkMember refuses names that cannot stand in a body as they are.
func checkMember(name string) error {
	if name == "" {
		return errors.New("no member is named")
	}
	if len(name) > maxMember {
		return fmt.Errorf("the name of a member is longer than %d bytes", maxMember)
	}
	for i := range len(name) {
		if c := name[i]; c < ' ' || c > '~' || bytes.IndexByte([]byte(`"\<>&`), c) >= 0 {
			return errors.New("the name of a member is not plain ASCII")
		}
	}
	return nil
}
