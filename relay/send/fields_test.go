package send

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// fieldsOf are the headers of a map, in the order of their names.
func fieldsOf(h http.Header) Fields {
	f := make(Fields, 0, len(h))
	for name, values := range h {
		for _, v := range values {
			f = append(f, Field{name, v})
		}
	}
	slices.SortStableFunc(f, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return f
}

// TestFields: a list is read and changed as an http.Header is.
func TestFields(t *testing.T) {
	var f Fields
	h := http.Header{}
	for _, to := range []interface {
		Add(name, value string)
		Set(name, value string)
	}{&f, h} {
		to.Add("webhook-id", "evt_1")
		to.Add("X-Two", "a")
		to.Add("x-two", "b")
		to.Add("x-gone", "c")
		to.Set("X-GONE", "d")
	}
	for _, name := range []string{"Webhook-Id", "WEBHOOK-ID", "x-two", "X-Gone", "missing"} {
		if got, want := f.Values(name), h.Values(name); !slices.Equal(got, want) {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if want := fieldsOf(h); len(f) != len(want) {
		t.Errorf("%v, want %v", f, want)
	}
}
