package provider

import (
	"errors"
	"testing"
)

func TestSegment(t *testing.T) {
	f := func(id, want string) {
		t.Helper()
		if got, err := segment("id", id); got != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, ErrUnreadable) {
			t.Errorf("segment(%q) = %q, %v; want %q", id, got, err, want)
		}
	}
	f("f0e1-7", "f0e1-7")
	f("a b/../c?d#e%", "a%20b%2F..%2Fc%3Fd%23e%25")
	f("...a", "...a")
	f("", "")
	f(".", "")
	f("..", "")
}

// TestSession: where a first call opens a session, the second one is made only with a token that
// fits into a header, and only for an id that fits into a path.
func TestSession(t *testing.T) {
	f := func(a Adapter, ref, session string, want bool) {
		t.Helper()
		c, ok, err := a.API.Next(Fetch{Ref: ref, What: "x"}, [][]byte{[]byte(session)}, nil)
		if ok != want || (err == nil) != want {
			t.Errorf("%s: %s after %s: %+v, %v, %v; want a call %v", a.Name, ref, session, c, ok, err, want)
		}
	}
	f(trulioo, "t-1", `{"accessToken":"eyJ.a-b_c"}`, true)
	f(trulioo, "t-1", `{"accessToken":""}`, false)
	f(trulioo, "t-1", `{"accessToken":"a\r\nX-Other: b"}`, false)
	f(trulioo, "t-1", `{"message":"no"}`, false)
	f(trulioo, "t-1", `no`, false)
	f(trulioo, "..", `{"accessToken":"a"}`, false)
	f(idnow, "acme/t-1", `{"authToken":"a"}`, true)
	f(idnow, "acme/t-1", `{"authToken":"a b"}`, false)
	f(idnow, "acme/t-1", `{"errors":[]}`, false)
	f(idnow, "acme/", `{"authToken":"a"}`, false)
	f(idnow, "../t-1", `{"authToken":"a"}`, false)
	f(idnow, "t-1", `{"authToken":"a"}`, false)
}

func TestNoAnswers(t *testing.T) {
	for _, a := range []Adapter{trulioo, socure, idnow, rebilly} {
		if r, err := a.API.Read(Fetch{Ref: "x/y"}, nil, nil); !errors.Is(err, ErrUnreadable) {
			t.Errorf("%s reads %+v, %v from no answers", a.Name, r, err)
		}
	}
}
