package provider

import (
	"maps"
	"net/http"
	"slices"
	"testing"
)

// TestFootprintID: an event is named by the header that the signature covers, which no fixture has.
func TestFootprintID(t *testing.T) {
	body := fixtureBody(t, footprint, "onboarding.completed_pass")
	f := func(h http.Header, want string) {
		t.Helper()
		r, err := footprint.Translate(h, body, nil)
		if err != nil || len(r.Updates) != 1 || r.EventID != want || r.Updates[0].ProviderEvent.ID != want {
			t.Errorf("%v: %+v, %v; want id %q", h, r, err, want)
		}
		if dedupe := []string{want}; want != "" && !slices.Equal(r.Dedupe, dedupe) || want == "" && r.Dedupe != nil {
			t.Errorf("%v: dedupe %q, want %q", h, r.Dedupe, dedupe)
		}
	}
	svix := header(map[string]string{"svix-id": "msg_1", "svix-signature": "v1,x"})
	webhook := header(map[string]string{"webhook-id": "msg_2", "webhook-signature": "v1,x"})
	f(svix, "msg_1")
	f(webhook, "msg_2")
	both := svix.Clone()
	maps.Copy(both, webhook)
	f(both, "msg_1") // the family that was verified
	twice := svix.Clone()
	twice.Add("svix-id", "msg_3")
	f(twice, "")
	f(header(map[string]string{"svix-id": "msg_1"}), "") // not signed under that name
	f(header(map[string]string{"svix-id": "two words", "svix-signature": "v1,x"}), "")
	f(http.Header{}, "")
}
