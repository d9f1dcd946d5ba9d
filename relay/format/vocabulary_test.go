package format

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
)

// event is what bluum and rebilly bodies say, read as their partners would.
type event struct {
	Type      string `json:"type"`
	EventType string `json:"eventType"`
	Data      struct {
		Status   string `json:"status"`
		Workflow string `json:"workflow_status"`
		Reason   string `json:"reason"`
	} `json:"data"`
	Embedded map[string]struct {
		Status    string `json:"status"`
		Rejection struct {
			Type    string `json:"type"`
			Message string `json:"message"`
		} `json:"rejectionReason"`
	} `json:"_embedded"`
}

// words joins what the event says: its name, its statuses, its reason.
func (e event) words() string {
	all := []string{e.Type + e.EventType, e.Data.Status, e.Data.Workflow, e.Data.Reason}
	for _, o := range e.Embedded {
		all = append(all, o.Status, o.Rejection.Type)
	}
	return strings.Join(slices.DeleteFunc(all, func(w string) bool { return w == "" }), ", ")
}

func eventOf(t *testing.T, f Format, c kyc.Change) (e event) {
	t.Helper()
	body := mustRender(t, f, c, 5)
	if body == nil {
		return e
	}
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return e
}

// TestStatusWords reads the two vocabularies as a table: previous status, status, why, and what
// each format says.
func TestStatusWords(t *testing.T) {
	plain, retry, ended, hit := becauses[0], becauses[1], becauses[2], becauses[3]
	f := func(previous, status kyc.Status, b because, wantBluum, wantRebilly string) {
		t.Helper()
		c := changeOf(previous, status, b)
		if got := eventOf(t, bluum, c).words(); got != "account.updated, "+wantBluum {
			t.Errorf("bluum: %s -> %s, %s: %s", previous, status, b.name, got)
		}
		if got := eventOf(t, rebilly, c).words(); got != wantRebilly {
			t.Errorf("rebilly: %s -> %s, %s: %s", previous, status, b.name, got)
		}
	}
	const closed = "kyc-request-failed, failed, other"
	f(kyc.Pending, kyc.NotStarted, plain, "onboarding, IN_PROGRESS", "")
	f(kyc.NotStarted, kyc.Pending, plain, "onboarding, IN_PROGRESS", "kyc-request-attempted, attempted")
	f(kyc.Pending, kyc.InReview, retry, "under_review, PENDING_REVIEW", "kyc-request-attempted, pending-review")
	f(kyc.InReview, kyc.Approved, plain, "active, APPROVED", "kyc-request-fulfilled, fulfilled")
	f(kyc.Approved, expiring, plain, "active, APPROVED", "kyc-request-fulfilled, fulfilled")
	f(expiring, kyc.Expired, plain, "awaiting_documents, EXPIRED", "kyc-request-failed, failed, document-was-valid-but-expired")
	f(kyc.Pending, kyc.Rejected, retry, "awaiting_documents, REJECTED, Document is blurry or illegible", "kyc-request-failed, failed, document-unreadable")
	f(kyc.Pending, kyc.Rejected, plain, "declined, REJECTED, Verification failed", closed)
	f(kyc.Approved, kyc.Rejected, ended, "declined, REJECTED, Verification failed", closed)
	f(kyc.Approved, kyc.Rejected, hit, "declined, REJECTED, Verification failed", closed) // retryable, but a hit
	f(kyc.Pending, kyc.Suspended, retry, "suspended, SUSPENDED", closed)
	f(kyc.Approved, kyc.NotStarted, plain, "onboarding, IN_PROGRESS", closed)
	f(kyc.Approved, kyc.Pending, retry, "onboarding, IN_PROGRESS", closed)
	f(expiring, kyc.InReview, retry, "under_review, PENDING_REVIEW", closed)
	f(kyc.Approved, "paused", retry, "under_review, PENDING_REVIEW", closed)
	f(kyc.Pending, "paused", plain, "under_review, PENDING_REVIEW", "")

	partly := changeOf(kyc.Pending, kyc.Pending, plain)
	partly.Check = kyc.CheckView{Type: kyc.AddressVerification, Status: "pending"}
	if got := eventOf(t, rebilly, partly).words(); got != "kyc-request-partially-fulfilled, partial" {
		t.Errorf("nothing waits but a check that has not begun: %s", got)
	}
	partly.PreviousStatus = kyc.Approved
	if got := eventOf(t, rebilly, partly).words(); got != closed {
		t.Errorf("a check that is required now: %s", got)
	}
}

func TestDocumentWords(t *testing.T) {
	f := func(previous, status kyc.Status, wantBluum, wantRebilly string) {
		t.Helper()
		c := documentOf(previous, status, becauses[1])
		if got := eventOf(t, bluum, c).words(); got != "document."+wantBluum {
			t.Errorf("bluum: %s -> %s: %s", previous, status, got)
		}
		if got := eventOf(t, rebilly, c).words(); got != "kyc-document-"+wantRebilly {
			t.Errorf("rebilly: %s -> %s: %s", previous, status, got)
		}
	}
	const unreadable = "rejected, rejected, document-unreadable"
	f(kyc.NotStarted, kyc.Pending, "processing, processing", "created, pending")
	f("", kyc.InReview, "processing, processing", "created, pending")
	f(kyc.Rejected, kyc.Pending, "processing, processing", "modified, in-progress")
	f(kyc.Pending, kyc.InReview, "processing, processing", "modified, pending")
	f(kyc.Pending, kyc.Approved, "approved, approved", "accepted, accepted")
	f(kyc.Pending, kyc.Rejected, "rejected, rejected, Document is blurry or illegible", unreadable)
	f(kyc.Approved, kyc.Expired, "rejected, rejected, Document is expired", "rejected, rejected, document-was-valid-but-expired")
	f(kyc.Approved, kyc.Suspended, "rejected, rejected, Verification failed", "rejected, rejected, other")
	f(kyc.Approved, kyc.Pending, "rejected, rejected, Verification failed", "modified, in-progress")
	f(kyc.Approved, kyc.InReview, "rejected, rejected, Verification failed", "modified, pending")
}

func TestBluumChecks(t *testing.T) {
	f := func(word, want string) {
		t.Helper()
		c := changeOf(kyc.Pending, kyc.InReview, becauses[0])
		c.Type, c.Check.Status = checkPrefix+word, word
		if got := eventOf(t, bluum, c).words(); got != "compliance.check."+want+", "+want {
			t.Errorf("%s: %s", word, got)
		}
	}
	for _, word := range []string{"pending", "clear", "failed", "review_required", "error"} {
		f(word, word)
	}
	f("expired", "failed")
	f("suspended", "failed")
	f("paused", "review_required")
}

// TestReasonsOfOthers tries every reason, alone and before another, final and not.
func TestReasonsOfOthers(t *testing.T) {
	invitations := []string{"Document is blurry or illegible", "Document is expired", "Name mismatch", "Document type not accepted"}
	harmless := []string{rebillyOther, rebillyTampered, rebillyUnderage}
	for _, first := range kyc.Priority {
		for _, second := range kyc.Priority {
			for _, terminal := range []bool{false, true} {
				b := because{"", !terminal, terminal, []kyc.ReasonPair{{Code: first}, {Code: second}}}
				c := changeOf(kyc.Pending, kyc.Rejected, b)
				d := documentOf(kyc.Approved, kyc.Rejected, b)
				reason, status := eventOf(t, bluum, c).Data.Reason, eventOf(t, bluum, c).Data.Status
				r := eventOf(t, rebilly, c).Embedded["kycRequest"].Rejection
				if eventOf(t, bluum, d).Data.Reason != reason || eventOf(t, rebilly, d).Embedded["kycDocument"].Rejection != r {
					t.Errorf("%s, %s: a document is rejected for another reason than a subject", first, second)
				}
				if rebillyMessages[r.Type] == "" || r.Message != rebillyMessages[r.Type] {
					t.Errorf("%s, %s: %q is none of the 19 reasons, or has another message", first, second, r.Type)
				}
				if reason != bluumFailed && !slices.Contains(invitations, reason) {
					t.Errorf("%s, %s: %q is none of Bluum's", first, second, reason)
				}
				over := terminal || slices.ContainsFunc(b.reasons, isHit)
				if over && (reason != bluumFailed || status != "declined" || !slices.Contains(harmless, r.Type)) {
					t.Errorf("%s, %s, terminal %v: invites another try: %s, %s, %s", first, second, terminal, reason, status, r.Type)
				}
				if !over && status != "awaiting_documents" {
					t.Errorf("%s, %s: another try is not told of: %s", first, second, status)
				}
			}
		}
	}
	if len(rebillyMessages) != 19 {
		t.Errorf("%d reasons, Rebilly has 19", len(rebillyMessages))
	}
}

func TestNearestReason(t *testing.T) {
	f := func(provider string, terminal bool, want string, reasons ...kyc.ReasonPair) {
		t.Helper()
		c := documentOf(kyc.Pending, kyc.Rejected, because{"", true, terminal, reasons})
		c.Check.Provider = provider
		if got := eventOf(t, rebilly, c).Embedded["kycDocument"].Rejection.Type; got != want {
			t.Errorf("%s, terminal %v, %v: %s, want %s", provider, terminal, reasons, got, want)
		}
	}
	mismatch := kyc.ReasonPair{Code: kyc.DataMismatch, ProviderCode: "dob-mismatch"}
	f("rebilly", false, "dob-mismatch", mismatch)
	f("sumsub", false, "document-not-matching", mismatch)
	f("rebilly", true, "other", mismatch)
	f("rebilly", false, "document-not-matching", kyc.ReasonPair{Code: kyc.DataMismatch, ProviderCode: "unheard-of"})
	f("sumsub", true, "tampered-document", mismatch, kyc.ReasonPair{Code: kyc.FraudSuspected})
	f("sumsub", true, "underage-person", kyc.ReasonPair{Code: kyc.Underage})
	f("sumsub", false, "name-mismatch", kyc.ReasonPair{Code: kyc.NameMismatch}, mismatch)
	f("sumsub", false, "other")
}

// TestTheirWordsOnly: whatever happens, no status or event leaves the lists that Bluum and Rebilly
// publish, or the gaps name.
func TestTheirWordsOnly(t *testing.T) {
	events := map[string]string{
		"bluum": "account.updated document.approved document.rejected document.processing compliance.check.pending compliance.check.clear " +
			"compliance.check.failed compliance.check.review_required compliance.check.error",
		"rebilly": "kyc-document-created kyc-document-modified kyc-document-accepted kyc-document-rejected kyc-request-attempted " +
			"kyc-request-fulfilled kyc-request-failed",
	}
	statuses := map[string]string{
		"bluum": "onboarding under_review awaiting_documents active suspended closed declined setup_failed processing approved rejected " +
			"pending clear failed review_required error IN_PROGRESS PENDING_REVIEW APPROVED REJECTED EXPIRED SUSPENDED",
		"rebilly": "pending in-progress accepted rejected archived gathering attempted partial pending-review fulfilled failed abandoned expired",
	}
	for _, f := range []Format{bluum, rebilly} {
		seen, known := map[string]bool{}, strings.Fields(events[f.Name])
		try := func(name string, c kyc.Change) {
			e := eventOf(t, f, c)
			if e.words() == "" {
				return
			}
			seen[e.Type+e.EventType] = true
			all := []string{e.Data.Status, e.Data.Workflow}
			for _, o := range e.Embedded {
				all = append(all, o.Status)
			}
			for _, s := range all {
				if s != "" && !slices.Contains(strings.Fields(statuses[f.Name]), s) {
					t.Errorf("%s: %s: %q is no status of theirs", f.Name, name, s)
				}
			}
			if !slices.Contains(known, e.Type+e.EventType) {
				t.Errorf("%s: %s: %s is no event of theirs", f.Name, name, e.Type+e.EventType)
			}
		}
		eachChange(try)
		eachOther(becauses, try)
		for _, k := range known {
			if !seen[k] && k != "compliance.check.error" { // TestBluumChecks
				t.Errorf("%s: %s never happens", f.Name, k)
			}
		}
	}
}

// TestRebillyShape compares our bodies with two of Rebilly's: what stands in ours stands in theirs,
// but for what the gaps name.
func TestRebillyShape(t *testing.T) {
	var paths func(v map[string]any, prefix string) []string
	paths = func(v map[string]any, prefix string) (all []string) {
		for k, e := range v {
			all = append(all, prefix+k)
			if in, ok := e.(map[string]any); ok {
				all = append(all, paths(in, prefix+k+".")...)
			}
		}
		return all
	}
	f := func(file string, c kyc.Change, ours ...string) {
		t.Helper()
		b, err := os.ReadFile(filepath.Join("testdata", "rebilly", file))
		if err != nil {
			t.Fatal(err)
		}
		var theirs, body map[string]any
		if err := json.Unmarshal(b, &theirs); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(mustRender(t, rebilly, c, 0), &body); err != nil {
			t.Fatal(err)
		}
		if body["eventType"] != theirs["eventType"] {
			t.Errorf("%s: %v, want %v", file, body["eventType"], theirs["eventType"])
		}
		known := append(paths(theirs, ""), ours...)
		for _, p := range paths(body, "") {
			if !slices.Contains(known, p) {
				t.Errorf("%s: %s stands in no body of theirs", file, p)
			}
		}
	}
	f("kyc-document-rejected_expired.json", documentOf(kyc.Pending, kyc.Rejected, because{"", true, false, []kyc.ReasonPair{{Code: kyc.DocumentExpired}}}))
	f("kyc-request-fulfilled.json", changeOf(kyc.Pending, kyc.Approved, becauses[0]), "_embedded.kycRequest.rejectionReason")
}

func TestRebillyDocuments(t *testing.T) {
	f := func(d kyc.Document, check kyc.Check, wantID, wantType, wantSubtype string) {
		t.Helper()
		c := documentOf(kyc.Pending, kyc.Approved, becauses[0])
		c.Document, c.Check.Type = d, check
		var b struct {
			ID       string `json:"kycDocumentId"`
			Embedded struct {
				Document struct {
					ID      string `json:"id"`
					Type    string `json:"documentType"`
					Subtype string `json:"documentSubtype"`
				} `json:"kycDocument"`
			} `json:"_embedded"`
		}
		if err := json.Unmarshal(mustRender(t, rebilly, c, 0), &b); err != nil {
			t.Fatal(err)
		}
		if o := b.Embedded.Document; b.ID != wantID || o.ID != wantID || o.Type != wantType || o.Subtype != wantSubtype {
			t.Errorf("%+v, %s: %+v", d, check, b)
		}
	}
	f(kyc.Document{ID: "d1", Type: "funds-proof", Subtype: "tax-return"}, kyc.RiskAssessment, "d1", "funds-proof", "tax-return")
	f(kyc.Document{ID: "d1", Type: "IDENTITY", Subtype: "ID_CARD"}, kyc.DocumentVerification, "d1", "identity-proof", "id-card")
	f(kyc.Document{Type: "POA", Subtype: "gas"}, kyc.AddressVerification, "sumsub-eu:user-001:address_verification:POA", "address-proof", "")
	f(kyc.Document{ID: "w9"}, kyc.TaxIDVerification, "w9", "", "")
}

// TestCloudEvents holds an event to CloudEvents 1.0: its attributes, their names and types, and
// data that is the data of standard.
func TestCloudEvents(t *testing.T) {
	c := changeOf(kyc.InReview, kyc.Approved, becauses[0])
	c.Partner, c.Livemode = "acme ltd/2", true
	var got, plain map[string]any
	if err := json.Unmarshal(mustRender(t, cloudevents, c, 5), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(mustRender(t, standard, c, 5), &plain); err != nil {
		t.Fatal(err)
	}
	f := func(name string, want any) {
		t.Helper()
		if got[name] != want {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
	f("specversion", "1.0")
	f("id", "evt_01JPN3")
	f("source", "/partners/acme%20ltd%2F2") // a URI reference
	f("type", "kyc.status.approved")
	f("subject", "acme ltd/2/user-001")
	f("time", "2026-05-02T10:00:00Z")
	f("datacontenttype", "application/json")
	f("sequence", "00000000000000000007")
	f("livemode", true)
	if ours, theirs := mustJSON(t, got["data"]), mustJSON(t, plain["data"]); ours != theirs {
		t.Errorf("data: %s, want %s", ours, theirs)
	}
	for name := range got {
		if !regexp.MustCompile(`^[a-z0-9]{1,20}$`).MatchString(name) {
			t.Errorf("%s cannot be the name of an attribute", name)
		}
	}
	if at, err := time.Parse(time.RFC3339, got["time"].(string)); err != nil || !at.Equal(changeTime) {
		t.Errorf("time: %v, %v", at, err)
	}
	c.Sequence = 1<<64 - 1
	if last := mustRender(t, cloudevents, c, 5); !strings.Contains(string(last), `"sequence":"18446744073709551615"`) {
		t.Errorf("the last sequence: %s", last)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
