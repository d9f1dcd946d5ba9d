package provider

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"countersign/kyc"
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

// TestWordsWithoutSession: what is said of a person beside any onboarding or session shows, however
// many newer ones have approved them since it was first said.
func TestWordsWithoutSession(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	f := func(a Adapter, want kyc.Status, bodies ...string) {
		t.Helper()
		var s kyc.State
		for i, body := range bodies {
			r, err := a.Translate(http.Header{}, []byte(body), nil)
			if err != nil || len(r.Updates) != 1 {
				t.Fatalf("%s: %s: %+v, %v", a.Name, body, r, err)
			}
			u := r.Updates[0]
			u.ID, u.Source, u.Partner, u.Authenticity, u.ReceivedAt = fmt.Sprint("event ", i), "s", "p", kyc.Signed, at.Add(time.Hour)
			s.Apply([]kyc.Update{u}, kyc.Policy{Required: []kyc.Check{kyc.IdentityVerification}})
		}
		if got := s.View().Status; got != want {
			t.Errorf("%s: %q is %s, want %s", a.Name, bodies, got, want)
		}
	}
	on := func(name, onboarding string, minute int) string {
		return fmt.Sprintf(`{"event_kind":"footprint.%s","external_id":"user-7","fp_id":"fp_7","onboarding_id":"%s","status":"pass","requires_manual_review":false,"timestamp":"%s"}`,
			name, onboarding, at.Add(time.Duration(minute)*time.Minute).Format(time.RFC3339))
	}
	review, done := "user.manual_review", "onboarding.completed"
	f(footprint, kyc.InReview, on(review, "", 1))
	f(footprint, kyc.Approved, on(review, "", 1), on(done, "ob_2", 2))
	f(footprint, kyc.InReview, on(review, "", 1), on(done, "ob_2", 2), on(review, "", 3))
	f(footprint, kyc.InReview, on(review, "", 3), on(done, "ob_2", 2), on(review, "", 1))
	f(footprint, kyc.Rejected, on(review, "", 1), on(done, "ob_2", 2), on("user.info_requested", "", 3))
	changed := func(status string, minute int) string { // the only event with what a reviewer decided
		return fmt.Sprintf(`{"event_kind":"footprint.onboarding.status_changed","external_id":"user-7","fp_id":"fp_7","new_status":"%s","requires_manual_review":false,"timestamp":"%s"}`,
			status, at.Add(time.Duration(minute)*time.Minute).Format(time.RFC3339))
	}
	f(footprint, kyc.Rejected, on(done, "ob_2", 1), on(review, "", 2), changed("fail", 2))
	f(footprint, kyc.Approved, on(done, "ob_2", 1), on(review, "", 2), changed("pass", 3))
	f(footprint, kyc.Approved, on(done, "ob_2", 1), changed("pending", 2))

	user := func(name, session, status string, minute int) string {
		return fmt.Sprintf(`{"webhook_type":"%s","vendor_data":"user-7","session_id":"%s","status":"%s","timestamp":%d}`, name, session, status, at.Unix()+int64(minute)*60)
	}
	f(didit, kyc.Approved, user("user.status.updated", "", "FLAGGED", 1), user("status.updated", "s-2", "Approved", 2))
	f(didit, kyc.InReview, user("user.status.updated", "", "FLAGGED", 1), user("status.updated", "s-2", "Approved", 2), user("user.status.updated", "", "FLAGGED", 3))
	f(didit, kyc.Suspended, user("user.status.updated", "", "BLOCKED", 1), user("status.updated", "s-2", "Approved", 2))
	f(didit, kyc.Suspended, user("user.status.updated", "", "BLOCKED", 1), user("status.updated", "s-2", "Approved", 2), user("user.status.updated", "", "BLOCKED", 3))
	declined := `{"webhook_type":"status.updated","vendor_data":"user-7","session_id":"s-2","status":"Declined","created_at":1777633200}` // before the approval, as every session's birth is
	f(didit, kyc.Rejected, user("status.updated", "s-2", "Approved", 2), declined)
}
