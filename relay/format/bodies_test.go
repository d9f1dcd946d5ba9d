package format

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

// TestBodies holds the bytes that partners were promised.
func TestBodies(t *testing.T) {
	f := func(format Format, c kyc.Change, want string) {
		t.Helper()
		if got := string(mustRender(t, format, c, 5)); got != want {
			t.Errorf("%s:\n got %s\nwant %s", format.Name, got, want)
		}
	}
	approved := changeOf(kyc.InReview, kyc.Approved, becauses[0])
	approved.OccurredAt = approvedTime
	f(standard, approved, `{"type":"kyc.status.approved","timestamp":"2026-03-19T09:20:00.001Z","data":{"id":"evt_01JPN3","sequence":7,"previous_sequence":5,`+
		`"partner":"acme","subject":{"id":"user-001","kind":"individual"},"status":"approved","previous_status":"in_review",`+
		`"check":{"type":"identity_verification","status":"clear","source":"sumsub-eu","provider":"sumsub","provider_ref":"65f2a9c4"},`+
		`"reasons":[],"retryable":false,"terminal":false,"approved_at":"2026-03-19T09:20:00.001Z",`+
		`"expires_at":"2027-03-19T09:20:00.001Z","livemode":false}}`)
	f(standard, kyc.Change{
		ID: "evt_2", Type: "kyc.document.rejected", Sequence: 1, Partner: "acme", Livemode: true, Subject: kyc.Subject{ID: "a<b>&c"},
		Status: kyc.Rejected, PreviousStatus: kyc.NotStarted, Document: kyc.Document{ID: "d1", Type: "identity-proof"},
		Reasons: []kyc.ReasonPair{{Code: kyc.DocumentExpired, ProviderCode: "EXP"}, {Code: kyc.OtherReason}}, Retryable: true, ReceivedAt: changeTime,
	}, `{"type":"kyc.document.rejected","timestamp":"2026-05-02T10:00:00Z","data":{"id":"evt_2","sequence":1,"previous_sequence":5,`+
		`"partner":"acme","subject":{"id":"a<b>&c"},"status":"rejected","previous_status":"not_started","document":{"id":"d1","type":"identity-proof"},`+
		`"reasons":[{"code":"document_expired","provider_code":"EXP"},{"code":"other"}],"retryable":true,"terminal":false,"livemode":true}}`)

	at := time.Date(2026, 4, 29, 13, 8, 0, 0, time.UTC)
	seed := func(status kyc.Status, reasons ...kyc.Reason) kyc.Change {
		c := changeOf(kyc.Pending, status, because{})
		c.Subject.ID, c.OccurredAt = "cust-100234", at
		if !c.ApprovedAt.IsZero() {
			c.ApprovedAt, c.ExpiresAt = at, at.AddDate(1, 0, 0)
		}
		for _, r := range reasons {
			c.Reasons = append(c.Reasons, kyc.ReasonPair{Code: r})
		}
		return c
	}
	const ids = `"user_id":"cust-100234","external_id":"cust-100234",`
	const dates = `"approved_at":"2026-04-29T13:08:00Z","expires_at":"2027-04-29T13:08:00Z"}`
	f(blendfi, seed(kyc.Approved), `{"type":"user.kyc.approved",`+ids+`"kyc_status":"approved",`+dates)
	f(blendfi, seed(expiring), `{"type":"user.kyc.expired",`+ids+`"kyc_status":"approved",`+dates)
	f(blendfi, seed(kyc.Expired), `{"type":"user.kyc.expired",`+ids+`"kyc_status":"expired",`+dates)
	f(blendfi, seed(kyc.Rejected, kyc.DocumentUnreadable),
		`{"type":"user.kyc.rejected",`+ids+`"kyc_status":"rejected","rejected_at":"2026-04-29T13:08:00Z","rejection_reason":"document_unreadable"}`)
	f(blendfi, seed(kyc.Pending), "")
	undated := seed(kyc.Approved)
	undated.ApprovedAt, undated.ExpiresAt = time.Time{}, time.Time{}
	f(blendfi, undated, `{"type":"user.kyc.approved",`+ids+`"kyc_status":"approved","approved_at":"2026-04-29T13:08:00Z"}`)

	const head = `{"id":"evt_01JPN3","type":"user.kyc_`
	const user = `","created_at":"2026-04-29T13:08:00Z","api_version":"2026-05-01","data":{"object":"user","id":"cust-100234","external_id":"cust-100234",`
	f(blendfiV1, seed(kyc.Pending), head+"pending"+user+`"kyc_status":"pending"}}`)
	f(blendfiV1, seed(kyc.Approved), head+"approved"+user+`"kyc_status":"approved","kyc_approved_at":"2026-04-29T13:08:00Z",`+
		`"kyc_expires_at":"2027-04-29T13:08:00Z","latest_submission":{"status":"approved","result_at":"2026-04-29T13:08:00Z","rejection_reasons":[]}}}`)
	retry := seed(kyc.Rejected)
	retry.Reasons, retry.Retryable = []kyc.ReasonPair{{Code: kyc.LivenessFailed, ProviderCode: "BAD_FACE_MATCHING"}}, true
	f(blendfiV1, retry, head+"rejected"+user+`"kyc_status":"rejected","latest_submission":{"status":"rejected","result_at":"2026-04-29T13:08:00Z",`+
		`"rejection_reasons":[{"code":"liveness_failed","category":"selfie","message":"The face could not be matched to the document or to a live person.",`+
		`"retriable":true,"provider_code":"BAD_FACE_MATCHING"}]}}}`)
}

// TestBodiesOfOthers holds the bytes of the formats that wrap or rename everything.
func TestBodiesOfOthers(t *testing.T) {
	f := func(format Format, c kyc.Change, want string) {
		t.Helper()
		if got := string(mustRender(t, format, c, 5)); got != want {
			t.Errorf("%s:\n got %s\nwant %s", format.Name, got, want)
		}
	}
	approved := changeOf(kyc.InReview, kyc.Approved, becauses[0])
	f(cloudevents, approved, `{"specversion":"1.0","id":"evt_01JPN3","source":"/partners/acme","type":"kyc.status.approved","subject":"acme/user-001",`+
		`"time":"2026-05-02T10:00:00Z","datacontenttype":"application/json","sequence":"00000000000000000007","livemode":false,"data":{"id":"evt_01JPN3",`+
		`"sequence":7,"previous_sequence":5,"partner":"acme","subject":{"id":"user-001","kind":"individual"},"status":"approved","previous_status":"in_review",`+
		`"check":{"type":"identity_verification","status":"clear","source":"sumsub-eu","provider":"sumsub","provider_ref":"65f2a9c4"},`+
		`"reasons":[],"retryable":false,"terminal":false,"approved_at":"2026-03-19T09:20:00.001Z","expires_at":"2027-03-19T09:20:00.001Z","livemode":false}}`)
	approved.Subject.Kind, approved.Livemode = kyc.Company, true
	f(bluum, approved, `{"id":"evt_01JPN3","object":"event","created":1777716000,"livemode":true,"type":"account.updated","data":{"id":"user-001",`+
		`"object":"investor","livemode":true,"account_type":"corporate","status":"active","workflow_type":"kyb","workflow_status":"APPROVED",`+
		`"expires_at":"2027-03-19T09:20:00.001Z","compliance_checks":[{"check_type":"identity_verification","status":"clear","provider":"sumsub",`+
		`"external_id":"65f2a9c4"}]}}`)
	document := documentOf(kyc.Pending, kyc.Rejected, becauses[1])
	document.Check.Type = kyc.AddressVerification
	f(bluum, document, `{"id":"evt_01JPN3","object":"event","created":1777716000,"livemode":false,"type":"document.rejected","data":{"id":"d1",`+
		`"object":"document","livemode":false,"investor_id":"user-001","document_type":"proof_of_address","status":"rejected",`+
		`"reason":"Document is blurry or illegible"}}`)
	document.Check.Type, document.Document, document.Status, document.Livemode = kyc.TaxIDVerification, kyc.Document{}, kyc.Approved, true
	f(bluum, document, `{"id":"evt_01JPN3","object":"event","created":1777716000,"livemode":true,"type":"document.approved",`+
		`"data":{"object":"document","livemode":true,"investor_id":"user-001","document_type":"w9_form","status":"approved"}}`)
	check := changeOf(kyc.Pending, kyc.Rejected, becauses[2])
	check.Type, check.Check.Type = "kyc.check.failed", kyc.Screening
	f(bluum, check, `{"id":"evt_01JPN3","object":"event","created":1777716000,"livemode":false,"type":"compliance.check.failed",`+
		`"data":{"investor_id":"user-001","check_type":"screening","status":"failed","provider":"sumsub","external_id":"65f2a9c4"}}`)
	check.Type, check.Check, check.Subject = "kyc.status.rejected", kyc.CheckView{}, kyc.Subject{ID: "a/b"}
	f(bluum, check, `{"id":"evt_01JPN3","object":"event","created":1777716000,"livemode":false,"type":"account.updated","data":{"id":"a/b",`+
		`"object":"investor","livemode":false,"status":"declined","workflow_type":"kyc","workflow_status":"REJECTED","reason":"Verification failed",`+
		`"compliance_checks":[]}}`)
	f(rebilly, check, `{"eventType":"kyc-request-failed","customerId":"a/b","kycRequestId":"a/b","_links":[{"rel":"customer",`+
		`"href":"/v1/subjects/acme/a%2Fb"}],"_embedded":{"kycRequest":{"id":"a/b","customerId":"a/b","status":"failed",`+
		`"rejectionReason":{"type":"other","message":"The verification did not succeed."},"revision":7,"updatedTime":"2026-05-02T10:00:00Z"}}}`)
	f(rebilly, documentOf(kyc.Pending, kyc.Approved, becauses[0]), `{"eventType":"kyc-document-accepted","customerId":"user-001","kycDocumentId":"d1",`+
		`"_links":[{"rel":"customer","href":"/v1/subjects/acme/user-001"}],"_embedded":{"kycDocument":{"id":"d1","customerId":"user-001",`+
		`"documentType":"identity-proof","documentSubtype":"passport","status":"accepted","rejectionReason":null,"requestId":"user-001","revision":7,`+
		`"processedTime":"2026-05-02T10:00:00Z","updatedTime":"2026-05-02T10:00:00Z"}}}`)
}

// TestBlendFiEvents reads the two vocabularies as a table: previous status, status, event and
// kyc_status in each.
func TestBlendFiEvents(t *testing.T) {
	f := func(previous, status kyc.Status, seed, v1 string) {
		t.Helper()
		c := changeOf(previous, status, becauses[1])
		for _, w := range []struct {
			format Format
			want   string
		}{{blendfi, seed}, {blendfiV1, v1}} {
			got := ""
			if body := mustRender(t, w.format, c, 0); body != nil {
				s := read(t, body)
				got = s.Type[len("user.kyc."):] + " " + s.KYCStatus + s.Data.KYCStatus
			}
			if got != w.want {
				t.Errorf("%s: %s -> %s: %q, want %q", w.format.Name, previous, status, got, w.want)
			}
		}
	}
	f(kyc.NotStarted, kyc.NotStarted, "", "")
	f(kyc.NotStarted, kyc.Pending, "", "pending pending")
	f(kyc.Pending, kyc.NotStarted, "", "pending pending")
	f(kyc.Pending, kyc.InReview, "", "pending pending")
	f(kyc.InReview, kyc.Approved, "approved approved", "approved approved")
	f(kyc.Approved, expiring, "expired approved", "expired approved")
	f(kyc.Approved, kyc.Expired, "expired expired", "expired expired")
	f(kyc.Approved, kyc.InReview, "rejected rejected", "rejected rejected")
	f(expiring, kyc.InReview, "rejected rejected", "rejected rejected")
	f(kyc.Approved, kyc.Pending, "rejected rejected", "pending pending")
	f(kyc.Approved, kyc.NotStarted, "rejected rejected", "pending pending")
	f(kyc.Approved, kyc.Suspended, "rejected rejected", "rejected rejected")
	f(kyc.Pending, kyc.Suspended, "rejected rejected", "rejected rejected")
	f(kyc.Approved, "paused", "rejected rejected", "rejected rejected")
	f(kyc.Pending, "paused", "", "")
	f(kyc.Rejected, kyc.Pending, "", "pending pending")
}

func TestFailingClosedInvitesNobody(t *testing.T) {
	for _, status := range []kyc.Status{kyc.InReview, kyc.Suspended} {
		c := changeOf(kyc.Approved, status, becauses[1]) // retryable, document_unreadable
		if s := read(t, mustRender(t, blendfi, c, 0)); s.Reason != "other" {
			t.Errorf("blendfi: %s: reason %s", status, s.Reason)
		}
		s := read(t, mustRender(t, blendfiV1, c, 0)).Data.Submission
		if len(s.Reasons) != 1 || s.Reasons[0].Code != "other" || s.Reasons[0].Retriable {
			t.Errorf("blendfi-v1: %s: %+v", status, s)
		}
	}
}

func TestBlendFiV1Headers(t *testing.T) {
	k, err := signing.ParseKey("whsec_test_7d1f0c5ab2e94d63")
	if err != nil {
		t.Fatal(err)
	}
	ring := signing.Keyring{k}
	body := mustRender(t, blendfiV1, changeOf(kyc.InReview, kyc.Approved, becauses[0]), 0)
	sign := func(body string) http.Header {
		h := http.Header{}
		if err := blendfiV1.Scheme.Sign(h, signing.Message{ID: "evt_1", Time: changeTime, Body: []byte(body)}, ring); err != nil {
			t.Fatal(err)
		}
		return h
	}
	h := sign(string(body))
	for name, want := range map[string]string{blendfiEventID: "evt_1", blendfiEventType: "user.kyc_approved", blendfiTimestamp: "1777716000"} {
		if got := h.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	for _, foreign := range []string{"", "[]", `{"type":7}`, `{"type":"user.kyc_other"}`, "{\"type\":\"a\\r\\nb\"}"} {
		if got := sign(foreign).Values(blendfiEventType); got != nil {
			t.Errorf("type of %s = %q", foreign, got)
		}
	}
	f := func(name string, change func(http.Header), want error) {
		t.Helper()
		c := h.Clone()
		change(c)
		if err := blendfiV1.Scheme.Verify(c, body, ring, changeTime); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	f("as signed", func(http.Header) {}, nil)
	f("signature alone", func(h http.Header) { h.Del(blendfiEventID); h.Del(blendfiEventType); h.Del(blendfiTimestamp) }, nil)
	f("id twice", func(h http.Header) { h.Add(blendfiEventID, "evt_1") }, signing.ErrMalformed)
	f("time twice", func(h http.Header) { h.Add(blendfiTimestamp, "1777716000") }, signing.ErrMalformed)
	f("another time", func(h http.Header) { h.Set(blendfiTimestamp, "1777716001") }, signing.ErrMalformed)
	f("no signature", func(h http.Header) { h.Del("X-Blendfi-Signature") }, signing.ErrMissing)
	f("forged", func(h http.Header) { h.Set("X-Blendfi-Signature", "t=1777716000,v1=00") }, signing.ErrMismatch)
	if s, ok := blendfiV1.Scheme.(interface{ Unwrap() signing.Scheme }); !ok || s.Unwrap() == nil {
		t.Error("the scheme cannot be explained")
	}
}
