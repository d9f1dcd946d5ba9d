package main

import (
	"encoding/json"
	"errors"
	"strconv"
)

// peek reads from a standard body what the ledger needs and passes over the rest, without building
// anything. It is not the gateway's decoder.
func peek(body []byte, r *receivedLine) error {
	s := scan{b: body}
	s.object(func(key string) {
		switch key {
		case "type":
			r.Type = s.text()
		case "data":
			s.object(func(key string) { s.data(key, r) })
		default:
			s.skip()
		}
	})
	if s.blank(); !s.bad && s.i != len(s.b) {
		s.bad = true
	}
	if s.bad {
		return errors.New("the body is not a JSON object of the standard format")
	}
	return nil
}

func (s *scan) data(key string, r *receivedLine) {
	switch key {
	case "sequence":
		r.Seq = s.number()
	case "previous_sequence":
		r.Prev = s.number()
	case "status":
		r.Status = s.text()
	case "subject":
		s.object(func(key string) {
			if key == "id" {
				r.Subject = s.text()
			} else {
				s.skip()
			}
		})
	default:
		s.skip()
	}
}

// scan walks JSON text. After the first surprise it is bad and stands still.
type scan struct {
	b     []byte
	i     int
	depth int
	bad   bool
}

const maxDepth = 32

func (s *scan) blank() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\n' || s.b[s.i] == '\t' || s.b[s.i] == '\r') {
		s.i++
	}
}

// next is the first byte after blanks; 0 at the end.
func (s *scan) next() byte {
	if s.blank(); s.bad || s.i >= len(s.b) {
		return 0
	}
	return s.b[s.i]
}

func (s *scan) expect(c byte) {
	if s.next() != c {
		s.bad = true
		return
	}
	s.i++
}

// list walks the members of an object or array; visit must consume one.
func (s *scan) list(open, end byte, visit func()) {
	s.expect(open)
	if s.depth++; s.depth > maxDepth {
		s.bad = true
	}
	if s.next() == end {
		s.i++
		s.depth--
		return
	}
	for !s.bad {
		visit()
		if s.next() == end {
			s.i++
			break
		}
		s.expect(',')
	}
	s.depth--
}

// object calls visit with each key; visit must consume the value.
func (s *scan) object(visit func(key string)) {
	s.list('{', '}', func() {
		key := s.raw()
		s.expect(':')
		if !s.bad {
			visit(unquote(key))
		}
	})
}

// raw returns a string with its quotes.
func (s *scan) raw() []byte {
	if s.expect('"'); s.bad {
		return nil
	}
	start := s.i - 1
	for ; s.i < len(s.b); s.i++ {
		switch s.b[s.i] {
		case '\\':
			s.i++
		case '"':
			s.i++
			return s.b[start:s.i]
		}
	}
	s.bad = true
	return nil
}

func unquote(q []byte) string {
	if len(q) < 2 {
		return ""
	}
	for _, c := range q {
		if c == '\\' {
			var text string
			if json.Unmarshal(q, &text) != nil {
				return ""
			}
			return text
		}
	}
	return string(q[1 : len(q)-1])
}

func (s *scan) text() string { return unquote(s.raw()) }

func (s *scan) number() uint64 {
	s.next()
	start := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	n, err := strconv.ParseUint(string(s.b[start:s.i]), 10, 64)
	s.bad = s.bad || err != nil
	return n
}

// skip passes over one value of any kind.
func (s *scan) skip() {
	switch s.next() {
	case 0:
		s.bad = true
	case '"':
		s.raw()
	case '{':
		s.object(func(string) { s.skip() })
	case '[':
		s.list('[', ']', s.skip)
	default: // a number or a word
		start := s.i
		for s.i < len(s.b) && s.b[s.i] > ' ' && s.b[s.i] != ',' && s.b[s.i] != '}' && s.b[s.i] != ']' {
			s.i++
		}
		s.bad = s.bad || s.i == start
	}
}
