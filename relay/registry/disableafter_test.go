package registry

import (
	"testing"
	"time"
)

// TestKeptDisableAfter: how long an endpoint that is kept may fail is what was asked for, over a
// restart too. One that was kept by an earlier program has the default.
func TestKeptDisableAfter(t *testing.T) {
	g := newRig(t, acme())
	g.run()
	want := map[string]time.Duration{"one": 0, "two": 12 * time.Hour, "three": NeverDisabled, "four": MinDisableAfter, "five": MaxDisableAfter}
	for id, after := range want {
		d := keptEndpoint(id, "acme")
		d.DisableAfter = after
		if _, _, err := g.CreateEndpoint(t.Context(), d, by("otto")); err != nil {
			t.Fatal(err)
		}
	}
	check := func() {
		t.Helper()
		for id, after := range want {
			if e := g.Read().Endpoint(id); e.DisableAfter != after {
				t.Errorf("%s: %v, want %v", id, e.DisableAfter, after)
			}
		}
	}
	check()
	_, err := g.UpdateEndpoint(t.Context(), "two", by("otto"), func(d *EndpointDraft) error {
		d.DisableAfter = NeverDisabled
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want["two"] = NeverDisabled
	check()
	g.again(acme())
	check()
}

// TestDisableAfterSpelling: what is shown is read as the same again.
func TestDisableAfterSpelling(t *testing.T) {
	for text, d := range map[string]time.Duration{"never": NeverDisabled, "5d": DisableAfter, "90m": 0, "1h": time.Hour, "1y": year} {
		if d == 0 {
			d = 90 * time.Minute
		}
		got, err := ParseDisableAfter(text)
		if err != nil || got != d {
			t.Errorf("%s: %v, %v", text, got, err)
		}
		if again, err := ParseDisableAfter(FormatDisableAfter(got)); again != got || err != nil {
			t.Errorf("%s: shown as %s", text, FormatDisableAfter(got))
		}
	}
	if s := FormatDisableAfter(0); s != "5d" {
		t.Errorf("where nothing is said: %s", s)
	}
	for _, text := range []string{"", "soon", "0s", "-1ns", "Never"} {
		if d, err := ParseDisableAfter(text); err == nil {
			t.Errorf("%q is taken as %v", text, d)
		}
	}
}
