package provider

import (
	"net/http"
	"strings"
	"testing"
)

// TestGenericKeys: what the expressions name must not come twice; the rest of a body is the
// provider's business, unless an expression may read any key.
func TestGenericKeys(t *testing.T) {
	const body = `{"event":"check.finished","id":"e-1","at":1777638615000,"mode":"live","data":{"user":7,"session":{"id":"s-1"},"result":"clear"MORE}OUTER}`
	f := func(changes []func(*GenericSpec), more, outer, want string) {
		t.Helper()
		text := strings.NewReplacer("MORE", more, "OUTER", outer).Replace(body)
		r, err := made(t, facecheck(changes...)).Translate(http.Header{}, []byte(text), nil)
		switch {
		case want == "" && (err != nil || len(r.Updates) != 1 || r.Updates[0].Subject.ID != "7"):
			t.Errorf("%s: %s, %v", text, asJSON(t, r), err)
		case want != "" && (err == nil || err.Error() != ErrUnreadable.Error()+": "+want):
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	const twice = "body names a key twice"
	f(nil, ``, ``, "")
	f(nil, `,"free":{"A":1,"a":2,"a":3,"Result":4,"result":5}`, `,"free":1,"Free":2,"free":3`, "")
	f(nil, `,"Result":"failed"`, ``, twice)
	f(nil, `,"result":"failed"`, ``, twice)
	f(nil, ``, `,"data":{}`, twice)
	f(nil, `,"findings":[{"code":"F1","weight":0,"x":1,"X":2}]`, ``, "")
	f(nil, `,"findings":[{"code":"F1","Code":"S9","weight":0}]`, ``, twice)
	f(nil, ``, `,"DATA":{"result":"failed"}`, twice)
	any1 := []func(*GenericSpec){mapping("workflow", `body.data[body.mode]`)}
	f(any1, ``, ``, "")
	f(any1, `,"free":{"a":1}`, ``, "")
	f(any1, `,"free":{"a":1,"A":2}`, ``, twice)
	f([]func(*GenericSpec){mapping("workflow", `text(body.mode) in body.data ? "w" : nil`)}, `,"free":[{"a":1,"a":2}]`, ``, twice)
	f([]func(*GenericSpec){mapping("workflow", `body.data["free"]?.b`)}, `,"free":{"b":"w","c":1,"C":2}`, ``, "")
	f([]func(*GenericSpec){mapping("workflow", `body.data["free"]?.b`)}, `,"free":{"b":"w","B":2}`, ``, twice)

	spec := facecheck(mapping("status", `body.data.Result`))
	if r, err := made(t, spec).Translate(http.Header{}, []byte(strings.NewReplacer("MORE", "", "OUTER", "").Replace(body)), nil); err == nil {
		t.Errorf("a key in another case was read: %s", asJSON(t, r))
	}
}
