package provider

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// slowTwice is shape.twice, written again on top of the decoder's own tokens.
func slowTwice(d *jsontext.Decoder, s *shape) bool {
	switch d.PeekKind() {
	case '{':
		_, _ = d.ReadToken()
		var names []string
		twice := false
		for d.PeekKind() != '}' {
			tok, _ := d.ReadToken()
			name := tok.String()
			var below *shape
			if s != nil {
				below = s.rest
				if i, ok := s.key([]byte(name)); ok {
					below = s.keys[i].value
				}
				for _, other := range names {
					_, a := s.key([]byte(name))
					_, b := s.key([]byte(other))
					same := strings.EqualFold(name, other)
					twice = twice || same && (a || b || s.every)
				}
				names = append(names, name)
			}
			twice = slowTwice(d, below) || twice
		}
		_, _ = d.ReadToken()
		return twice
	case '[':
		_, _ = d.ReadToken()
		twice := false
		for d.PeekKind() != ']' {
			twice = slowTwice(d, s) || twice
		}
		_, _ = d.ReadToken()
		return twice
	default:
		_, _ = d.ReadToken()
		return false
	}
}

// FuzzKeys: whatever a body holds, the reader of keys stays inside it and agrees with the slow one.
func FuzzKeys(f *testing.F) {
	for _, text := range []string{
		`{"status":"1","Status":"2"}`, `{"every":{"a":{"id":1},"A":{}}}`, `{"raw":{"a":[{"b":1,"b":2}]}}`, `{"list":[{"id":1,"ID":2}],"x":{"y":"\\\""}}`,
		`{"\u0073tatus":1,"status":2}`, `{"inner":{"\ud83d":1,"\ud83d":2,"id":3}}`, ` { "meta" : [ ] , "meta" : { } } `, `{"ſtatus":1,"status":"x"}`,
	} {
		f.Add([]byte(text))
	}
	s := shapeOf(reflect.TypeFor[twiceBody]())
	f.Fuzz(func(t *testing.T, body []byte) {
		var b twiceBody
		_ = decode(body, &b)
		if !utf8.Valid(body) || !jsontext.Value(body).IsValid(lax) {
			return
		}
		if got, want := s.twice(body), slowTwice(jsontext.NewDecoder(bytes.NewReader(body), lax), s); got != want {
			t.Errorf("%s: %v, want %v", body, got, want)
		}
	})
}
