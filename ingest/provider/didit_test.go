package provider

import (
	"net/http"
	"testing"
)

// TestDiditTestHeader: the header that marks a test of the console's is not signed, so that it sets
// a callback aside and never makes one disappear.
func TestDiditTestHeader(t *testing.T) {
	f := func(environment, header, want string) {
		t.Helper()
		h := http.Header{}
		if header != "" {
			h.Set(diditTest, header)
		}
		r, err := didit.Translate(h, []byte(`{"webhook_type":"status.updated","session_id":"s","status":"Declined","timestamp":1775124000,"environment":"`+environment+`"}`), nil)
		if err != nil || len(r.Updates) != 1 || asJSON(t, r.Livemode) != want+"\n" {
			t.Errorf("environment %q, header %q: %s, %v, want livemode %s", environment, header, asJSON(t, r), err, want)
		}
	}
	f("live", "", "true")
	f("live", "true", "false")
	f("sandbox", "", "false")
	f("sandbox", "true", "false")
	f("", "true", "false")
	f("", "false", "null")
	f("", "", "null")
	f("Live", "", "true")
	f("staging", "", "null")
}
