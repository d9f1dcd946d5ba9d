package control

import "testing"

// TestDisableAfter: how long an endpoint may fail is asked for as in the config, shown, and stays
// in a change that leaves it out.
func TestDisableAfter(t *testing.T) {
	g := newRig(t)
	f := func(method, path, body, want string) {
		t.Helper()
		if a := g.call("otto", method, path, body).want(t, 200, ""); a.json["disable_after"] != want {
			t.Errorf("%s %s %s: %v, want %s", method, path, body, a.json["disable_after"], want)
		}
	}
	make, one := "/v1/partners/acme/endpoints", "/v1/endpoints/one"
	f("POST", make, `{"id":"plain","url":"https://hooks.example.com/a"}`, "5d")
	f("POST", make, `{"id":"one","url":"https://hooks.example.com/a","disable_after":"12h"}`, "12h")
	f("GET", one, "", "12h")
	f("PATCH", one, `{"concurrency":2}`, "12h")
	f("PATCH", one, `{"disable_after":"never"}`, "never")
	f("PATCH", one, `{"concurrency":3}`, "never")
	f("GET", one, "", "never")
	f("GET", "/v1/endpoints/main", "", "5d")
	if e := g.registry.Read().Endpoint("one"); e.DisableAfter >= 0 || e.Concurrency != 3 {
		t.Errorf("the dispatcher is given %v", e.DisableAfter)
	}
}
