package ingest

import (
	"slices"
	"testing"

	"github.com/valyala/fasthttp"
)

// TestHeaderLists: what headers say stays what it is while the callback lasts, however many are
// asked for, and refers to no memory of the server's.
func TestHeaderLists(t *testing.T) {
	var from fasthttp.RequestHeader
	for _, name := range []string{"A", "B", "C", "D", "E", "F"} {
		from.Add(name, "of "+name)
	}
	from.Add("Twice", "one")
	from.Add("Twice", "two")
	h := &header{h: &from}
	var got [][]string
	for _, name := range []string{"a", "Twice", "B", "c", "none", "D", "e", "F", "a"} {
		v := h.Values(name)
		if cap(v) != len(v) {
			t.Errorf("%s: a list of %d has room for %d", name, len(v), cap(v))
		}
		got = append(got, v)
	}
	if v := from.Peek("A"); len(v) > 0 {
		copy(v, "xx y")
	}
	for i, want := range [][]string{{"of A"}, {"one", "two"}, {"of B"}, {"of C"}, nil, {"of D"}, {"of E"}, {"of F"}, {"of A"}} {
		if !slices.Equal(got[i], want) {
			t.Errorf("%d: %q, want %q", i, got[i], want)
		}
	}
}
