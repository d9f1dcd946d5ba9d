package format

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
)

// closes says, for each format, where it would invite somebody to try again: nil if it does not.
var closes = map[string]func(v map[string]any) any{
	"standard":    openData,
	"cloudevents": openData,
	"blendfi": func(v map[string]any) any {
		if r := v["rejection_reason"]; r != "sanctions_match" && r != "pep_match" {
			return r
		}
		return nil
	},
	"blendfi-v1": func(v map[string]any) any {
		user := v["data"].(map[string]any)
		reasons := user["latest_submission"].(map[string]any)["rejection_reasons"].([]any)
		for _, r := range reasons {
			if r.(map[string]any)["retriable"] != false {
				return r
			}
		}
		if len(reasons) == 0 || !strings.HasSuffix(reasons[0].(map[string]any)["code"].(string), "_match") {
			return reasons
		}
		return nil
	},
	"bluum": func(v map[string]any) any {
		o := v["data"].(map[string]any)
		if o["object"] == "investor" && o["status"] != "declined" || o["reason"] != nil && o["reason"] != bluumFailed {
			return o
		}
		return nil
	},
	"rebilly": func(v map[string]any) any {
		for _, o := range v["_embedded"].(map[string]any) {
			reason, _ := o.(map[string]any)["rejectionReason"].(map[string]any)
			if t := reason["type"]; t != rebillyOther && t != rebillyTampered && t != rebillyUnderage {
				return o
			}
		}
		return nil
	},
}

func openData(v map[string]any) any {
	if data := v["data"].(map[string]any); data["terminal"] != true || data["retryable"] != false {
		return data
	}
	return nil
}

// hitSaid is what a provider says at a minute, with reasons that its own code calls mendable.
func hitSaid(minute int, s kyc.Status, codes ...kyc.Reason) kyc.Update {
	at := time.Date(2026, 3, 1, 9, minute, 0, 0, time.UTC)
	u := kyc.Update{
		SchemaVersion: 1, ID: at.String(), Kind: kyc.Observation, Source: "rebilly-eu", Provider: "rebilly", Partner: "acme", Livemode: true,
		Subject: kyc.Subject{ID: "ann"}, Verification: kyc.Verification{Ref: "s-1"}, Scope: kyc.Overall, Check: kyc.IdentityVerification, Status: s, Authenticity: kyc.Signed,
		OccurredAt: at, OccurredAtOrigin: kyc.OriginProvider, ReceivedAt: at,
		Retryable: s == kyc.Rejected,
	}
	for _, c := range codes {
		u.Reasons = append(u.Reasons, kyc.ReasonPair{Code: c, ProviderCode: "document-unreadable"})
	}
	return u
}

// TestHitsInviteNobody: whatever a provider calls a match with a list, and whatever stands beside
// it, no format and no poll says that another try would help. An operator alone lifts it.
func TestHitsInviteNobody(t *testing.T) {
	say := hitSaid
	step := func(u kyc.Update, scope kyc.Scope, check kyc.Check) kyc.Update {
		u.Scope, u.Check, u.Document.Type = scope, check, "passport"
		return u
	}
	f := func(name string, us ...kyc.Update) {
		t.Helper()
		var s kyc.State
		told := map[string]int{}
		matched := false
		for _, u := range us {
			matched = matched || slices.ContainsFunc(u.Reasons, isHit)
			changes, _ := s.Apply([]kyc.Update{u}, kyc.Policy{})
			for _, c := range changes {
				if !matched || c.Status != kyc.Rejected {
					continue
				}
				for _, format := range All {
					body := mustRender(t, format, c, 5)
					var v map[string]any
					if body == nil {
						continue
					}
					if err := json.Unmarshal(body, &v); err != nil {
						t.Fatal(err)
					}
					told[format.Name]++
					if open := closes[format.Name](v); open != nil {
						t.Errorf("%s: %s: %s leaves a way open: %v in %s", name, format.Name, c.Type, open, body)
					}
				}
			}
		}
		for _, format := range All {
			if told[format.Name] == 0 {
				t.Errorf("%s: %s was told nothing", name, format.Name)
			}
		}
		v := s.View()
		if v.Status != kyc.Rejected || !v.Terminal || v.Retryable {
			t.Errorf("%s: the state says %s, terminal %v, retryable %v", name, v.Status, v.Terminal, v.Retryable)
		}
		poll := PollBlendFi("ann", kyc.Change{
			Type: "kyc.status.rejected", Status: v.Status, PreviousStatus: v.PreviousStatus, Reasons: v.Reasons, Retryable: v.Retryable, Terminal: v.Terminal, OccurredAt: v.OccurredAt,
		})
		if poll.Status != kyc.Rejected || poll.Reason != kyc.SanctionsMatch && poll.Reason != kyc.PEPMatch {
			t.Errorf("%s: the poll says %+v", name, poll)
		}
		for _, c := range s.Checks() {
			if c.Status == kyc.Rejected && (!c.Terminal || c.Retryable) {
				t.Errorf("%s: check %s: terminal %v, retryable %v", name, c.Type, c.Terminal, c.Retryable)
			}
		}
	}
	for _, hit := range []kyc.Reason{kyc.SanctionsMatch, kyc.PEPMatch} {
		f("alone", say(1, kyc.Rejected, hit))
		f("beside what could be mended", say(1, kyc.Rejected, hit, kyc.DocumentUnreadable))
		f("after an approval", say(1, kyc.Approved), say(2, kyc.Rejected, hit))
		f("after a try that failed", say(1, kyc.Rejected, kyc.DocumentUnreadable), say(2, kyc.Rejected, hit))
		f("before an approval", say(1, kyc.Rejected, hit), say(2, kyc.Approved))
		f("before a new try", say(1, kyc.Rejected, hit), say(2, kyc.Pending))
		f("twice", say(1, kyc.Rejected, hit), say(2, kyc.Rejected, hit, kyc.DataMismatch))
		f("of a step", say(1, kyc.Approved), step(say(2, kyc.Rejected, hit), kyc.CheckScope, kyc.Screening))
		f("of a document", say(1, kyc.Approved), step(say(2, kyc.Rejected, hit, kyc.DocumentUnreadable), kyc.DocumentScope, kyc.DocumentVerification))
		f("of another check", say(1, kyc.Approved), step(say(2, kyc.Rejected, hit), kyc.CheckScope, kyc.AddressVerification))
	}
	if len(closes) != len(All) {
		t.Errorf("%d formats, %d tried", len(All), len(closes))
	}
}
