package signing

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// BodySigner is a scheme whose proof lies in the body. Its Sign sets no header and succeeds only if
// the body carries the right proof already.
type BodySigner interface {
	// SignBody returns a copy of m.Body, a JSON object, with the proof under the last key of the
	// ring in it: members that stand there are replaced, the others come last, and everything else
	// stays as it is, byte for byte.
	SignBody(m Message, keys Keyring) ([]byte, error)
}

var errUseSignBody = errors.New("the proof of this scheme lies in the body and the body does not carry the right one: use SignBody")

// setMember returns a copy of body in which the member has this value.
func setMember(body []byte, name, value string) ([]byte, error) {
	s, err := scan(body, name)
	if err != nil {
		return nil, fmt.Errorf("set %s: %w", name, err)
	}
	quoted, _ := json.Marshal(value) // a string never fails
	if m := s.found[0]; m.stands() {
		return slices.Concat(body[:m.from], quoted, body[m.to:]), nil
	}
	comma := ","
	if s.empty {
		comma = ""
	}
	return slices.Concat(body[:s.end], []byte(comma+`"`+name+`":`), quoted, body[s.end:]), nil
}

// carries reports whether a message has its proof in the body already: under the last key of the
// ring, and good at its own time.
func carries(s Scheme, m Message, keys Keyring) error {
	k, err := keys.oldest()
	if err != nil {
		return err
	}
	if err := CheckKeys(s, keys); err != nil {
		return err
	}
	if s.Verify(nil, m.Body, Keyring{k}, m.Time) != nil {
		return errUseSignBody
	}
	return nil
}
