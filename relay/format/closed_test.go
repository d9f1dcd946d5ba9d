package format

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"countersign/kyc"
)

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

// approves reports whether any word of a body says yes. What was the case before, and which dates
// an approval had, is not said of now.
func approves(t *testing.T, body []byte) (yes bool) {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if data, ok := v["data"].(map[string]any); ok {
		delete(data, "previous_status")
	}
	eachText(v, func(text string) {
		words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return r == '.' || r == '_' || r == '-' })
		last := words[max(0, len(words)-1)]
		yes = yes || slices.Contains([]string{"approved", "clear", "active", "accepted", "fulfilled"}, last) && !strings.HasSuffix(text, "partially-fulfilled")
	})
	return yes
}

// eachText calls f for every text of a JSON value that is not empty.
func eachText(v any, f func(string)) {
	switch v := v.(type) {
	case string:
		if v != "" {
			f(v)
		}
	case []any:
		for _, e := range v {
			eachText(e, f)
		}
	case map[string]any:
		for _, e := range v {
			eachText(e, f)
		}
	}
}

// TestApprovalIsNeverLeftStanding: what takes approval away is told in every format, and only what
// approves says approved.
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
			if got := approves(t, body); got != (c.Status == kyc.Approved) {
				t.Errorf("%s: %s: says approved = %v: %s", f.Name, name, got, body)
			}
		})
		if taken == 0 {
			t.Errorf("%s: nothing was tried", f.Name)
		}
	}
}

// TestChecksAndDocumentsFailClosed: a format that says yes to a check or a document takes it back;
// one that says nothing of them says nothing at all.
func TestChecksAndDocumentsFailClosed(t *testing.T) {
	f := func(format Format, checks, documents bool) {
		t.Helper()
		eachOther(becauses, func(name string, c kyc.Change) {
			told := strings.HasPrefix(c.Type, checkPrefix) && checks || strings.HasPrefix(c.Type, documentPrefix) && documents
			body := mustRender(t, format, c, 5)
			switch {
			case told != (body != nil):
				t.Errorf("%s: %s: told = %v", format.Name, name, body != nil)
			case told && approves(t, body) != (c.Status == kyc.Approved):
				t.Errorf("%s: %s: %s", format.Name, name, body)
			}
		})
	}
	f(standard, true, true)
	f(cloudevents, true, true)
	f(blendfi, false, false)
	f(blendfiV1, false, false)
	f(bluum, true, true)
	f(rebilly, false, true)
	if strange := (kyc.Change{Type: "kyc.account.closed", Status: kyc.Suspended, ReceivedAt: changeTime}); mustRender(t, bluum, strange, 0) != nil ||
		mustRender(t, rebilly, strange, 0) != nil {
		t.Error("a change of an object that a format does not know is told of")
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
