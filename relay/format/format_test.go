package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	approvedTime = time.Date(2026, 3, 19, 9, 20, 0, 1_000_000, time.UTC)
	expiryTime   = time.Date(2027, 3, 19, 9, 20, 0, 1_000_000, time.UTC)
	changeTime   = time.Date(2026, 5, 2, 10, 0, 0, 0, time.UTC)
)

// because is one way a change may be reasoned.
type because struct {
	name                string
	retryable, terminal bool
	reasons             []kyc.ReasonPair
}

var becauses = []because{
	{"plain", false, false, nil},
	{"unreadable", true, false, []kyc.ReasonPair{{Code: kyc.DocumentUnreadable, ProviderCode: "LOW_QUALITY"}}},
	{"unreadable for good", false, true, []kyc.ReasonPair{{Code: kyc.DocumentUnreadable, ProviderCode: "LOW_QUALITY"}}},
	{"hit and mismatch", true, false, []kyc.ReasonPair{{Code: kyc.DataMismatch}, {Code: kyc.SanctionsMatch, ProviderCode: "SANCTIONS"}}},
	{"fraud", false, true, []kyc.ReasonPair{{Code: kyc.FraudSuspected, ProviderCode: "FORGERY"}, {Code: kyc.LivenessFailed}}},
}

// changeOf builds the status change a fold could owe. The word "expiring" stands for the notice to an approved subject.
func changeOf(previous, status kyc.Status, b because) kyc.Change {
	c := kyc.Change{
		ID: "evt_01JPN3", Type: "kyc.status." + string(status), Sequence: 7, Partner: "acme",
		Subject:        kyc.Subject{ID: "user-001", ProviderRef: "65f2a9c4", Kind: kyc.Individual},
		Status:         status,
		PreviousStatus: previous,
		Check: kyc.CheckView{
			Type: kyc.IdentityVerification, Status: "clear", Source: "sumsub-eu", Provider: "sumsub", ProviderRef: "65f2a9c4",
		},
		Reasons: b.reasons, Retryable: b.retryable, Terminal: b.terminal,
		OccurredAt: changeTime, ReceivedAt: changeTime.Add(time.Second), CauseID: "01JPN3",
	}
	if status == expiring {
		c.Status = kyc.Approved
	}
	if c.Status == kyc.Approved || c.Status == kyc.Expired {
		c.ApprovedAt, c.ExpiresAt = approvedTime, expiryTime
	}
	return c
}

// words are all that can stand on either side of a change: the statuses, the notice, and one that does not exist yet.
var words = append(slices.Clone(kyc.Statuses), expiring, "paused")

// eachChange calls f for every pair of words, reasoned in every way.
func eachChange(f func(name string, c kyc.Change)) {
	for _, previous := range words {
		for _, status := range words {
			for _, b := range becauses {
				f(fmt.Sprintf("%s -> %s, %s", previous, status, b.name), changeOf(previous, status, b))
			}
		}
	}
}

// others are changes of checks and documents.
func others() []kyc.Change {
	check := changeOf(kyc.Pending, kyc.Rejected, becauses[1])
	check.Type, check.Check.Status = "kyc.check.failed", "failed"
	document := changeOf(kyc.NotStarted, kyc.Approved, becauses[0])
	document.Type, document.Document = "kyc.document.approved", kyc.Document{ID: "d1", Type: "identity-proof", Subtype: "passport"}
	return []kyc.Change{check, document}
}

func mustRender(t *testing.T, f Format, c kyc.Change, previousSequence uint64) []byte {
	t.Helper()
	b, err := f.Render(c, previousSequence)
	if err != nil {
		t.Fatalf("%s: %v", f.Name, err)
	}
	return b
}

func TestGolden(t *testing.T) {
	for _, f := range All {
		var got bytes.Buffer
		line := func(name string, c kyc.Change) {
			body := mustRender(t, f, c, 5)
			if body == nil {
				body = []byte("nothing is owed")
			}
			fmt.Fprintf(&got, "%s: %s\n", name, body)
		}
		eachChange(line)
		for _, c := range others() {
			line(c.Type, c)
		}
		path := filepath.Join("testdata", f.Name+".golden")
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		gotLines, wantLines := strings.Split(got.String(), "\n"), strings.Split(string(want), "\n")
		if len(gotLines) != len(wantLines) {
			t.Errorf("%s: %d lines, want %d", path, len(gotLines), len(wantLines))
		}
		for i := range min(len(gotLines), len(wantLines)) {
			if gotLines[i] != wantLines[i] {
				t.Errorf("%s:%d:\n got %s\nwant %s", path, i+1, gotLines[i], wantLines[i])
			}
		}
	}
}

// said is what a partner takes from a body, whatever its format.
type said struct {
	Type      string `json:"type"`
	KYCStatus string `json:"kyc_status"`
	Reason    string `json:"rejection_reason"`
	Data      struct {
		Status     string `json:"status"`
		KYCStatus  string `json:"kyc_status"`
		Submission struct {
			Status  string `json:"status"`
			Reasons []struct {
				Code      string `json:"code"`
				Retriable bool   `json:"retriable"`
			} `json:"rejection_reasons"`
		} `json:"latest_submission"`
	} `json:"data"`
}

func read(t *testing.T, body []byte) said {
	t.Helper()
	var s said
	if err := json.Unmarshal(body, &s); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return s
}

func (s said) approves() bool {
	return strings.HasSuffix(s.Type, "approved") ||
		slices.Contains([]string{s.KYCStatus, s.Data.Status, s.Data.KYCStatus, s.Data.Submission.Status}, "approved")
}

// TestApprovalIsNeverLeftStanding: what takes approval away is told in every format, and only what approves says approved.
func TestApprovalIsNeverLeftStanding(t *testing.T) {
	for _, f := range All {
		taken := 0
		eachChange(func(name string, c kyc.Change) {
			body := mustRender(t, f, c, 5)
			if body == nil {
				if wasApproved(c) || c.Status == kyc.Approved || c.Status == kyc.Rejected || c.Status == kyc.Suspended || c.Status == kyc.Expired {
					t.Errorf("%s: %s: nothing is owed", f.Name, name)
				}
				return
			}
			if c.Status != kyc.Approved {
				taken++
			}
			if got := read(t, body).approves(); got != (c.Status == kyc.Approved) {
				t.Errorf("%s: %s: says approved = %v: %s", f.Name, name, got, body)
			}
		})
		if taken == 0 {
			t.Errorf("%s: nothing was tried", f.Name)
		}
	}
}

// TestTerminalRejectionsInviteNobody tries every reason, alone and in pairs.
func TestTerminalRejectionsInviteNobody(t *testing.T) {
	inviting := []string{"document_unreadable", "document_expired", "liveness_failed", "data_mismatch"}
	six := append(slices.Clone(inviting), "pep_match", "sanctions_match", "other")
	for _, f := range []Format{blendfi, blendfiV1} {
		for _, first := range kyc.Priority {
			for _, second := range kyc.Priority {
				for _, terminal := range []bool{false, true} {
					b := because{"", true, terminal, []kyc.ReasonPair{{Code: first}, {Code: second}}}
					s := read(t, mustRender(t, f, changeOf(kyc.Pending, kyc.Rejected, b), 0))
					codes, retriable := []string{s.Reason}, false
					if f.Name == "blendfi-v1" {
						codes = nil
						for _, r := range s.Data.Submission.Reasons {
							codes, retriable = append(codes, r.Code), retriable || r.Retriable
						}
					}
					hit := slices.ContainsFunc(b.reasons, isHit)
					if hit && codes[0] != "pep_match" && codes[0] != "sanctions_match" {
						t.Errorf("%s: %s, %s: the hit is not told first: %v", f.Name, first, second, codes)
					}
					for _, code := range codes {
						if !slices.Contains(six, code) {
							t.Errorf("%s: %s, %s: the reason %q does not exist there", f.Name, first, second, code)
						}
						if (terminal || hit) && (slices.Contains(inviting, code) || retriable) {
							t.Errorf("%s: %s, %s, terminal %v: invites another try with %s", f.Name, first, second, terminal, code)
						}
					}
					if !terminal && !hit && slices.Contains(inviting, string(first)) && codes[0] != string(first) {
						t.Errorf("%s: %s became %s", f.Name, first, codes[0])
					}
				}
			}
		}
	}
}

func TestRenderIsPure(t *testing.T) {
	for _, f := range All {
		eachChange(func(name string, c kyc.Change) {
			before, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			first := mustRender(t, f, c, 5)
			c.OccurredAt = c.OccurredAt.In(time.FixedZone("elsewhere", 3600))
			second := mustRender(t, f, c, 5)
			c.OccurredAt = c.OccurredAt.UTC()
			after, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(first, second) || !bytes.Equal(before, after) {
				t.Errorf("%s: %s: not pure", f.Name, name)
			}
			if first != nil && (first[len(first)-1] != '}' || !json.Valid(first)) {
				t.Errorf("%s: %s: not one JSON object: %s", f.Name, name, first)
			}
		})
	}
}

func TestSignThenVerify(t *testing.T) {
	older, newer := "whsec_bSvML0JVUh267rI0nTQaHlvVv8cRQaNx", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	key := func(text string) signing.Key {
		k, err := signing.StandardKey(text)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	ring := signing.Keyring{key(newer), key(older)}
	for _, f := range All {
		if err := signing.CheckKeys(f.Scheme, ring); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
		c := changeOf(kyc.InReview, kyc.Approved, becauses[0])
		body := mustRender(t, f, c, 5)
		for attempt := range 3 { // every attempt is signed afresh
			at := changeTime.Add(time.Duration(attempt) * time.Hour)
			h := http.Header{}
			if err := f.Scheme.Sign(h, signing.Message{ID: c.ID, Time: at, Body: body}, ring); err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
			if err := f.Scheme.Verify(h, body, ring[1:], at.Add(time.Minute)); err != nil {
				t.Errorf("%s, attempt %d: a partner with the older key refuses: %v", f.Name, attempt, err)
			}
			if err := f.Scheme.Verify(h, append(slices.Clone(body), ' '), ring, at); !errors.Is(err, signing.ErrMismatch) {
				t.Errorf("%s, attempt %d: another body: %v", f.Name, attempt, err)
			}
		}
	}
}

func TestAll(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range All {
		if f.Name == "" || seen[f.Name] || f.ContentType != "application/json" || f.Scheme == nil || f.Render == nil || len(f.Gaps) == 0 {
			t.Errorf("%q is incomplete or stands twice", f.Name)
		}
		seen[f.Name] = true
		if got, ok := ByName(f.Name); !ok || got.Name != f.Name {
			t.Errorf("ByName(%q) = %q, %v", f.Name, got.Name, ok)
		}
	}
	if _, ok := ByName("xml"); ok {
		t.Error("found a format that does not exist")
	}
	if All[0].Name != "standard" || len(All) != 3 {
		t.Errorf("%d formats, %s first", len(All), All[0].Name)
	}
}
