package control

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/relay/format"
)

// word is one thing that a provider may say, for TestPollAgrees.
type word struct {
	name string
	say  func(*kyc.Update)
}

func because(codes ...kyc.Reason) (rs []kyc.ReasonPair) {
	for _, c := range codes {
		rs = append(rs, kyc.ReasonPair{Code: c, ProviderCode: strings.ToUpper(string(c))})
	}
	return rs
}

var pollWords = []word{
	{"not started", func(u *kyc.Update) { u.Status = kyc.NotStarted }},
	{"pending", func(u *kyc.Update) { u.Status = kyc.Pending }},
	{"in review", func(u *kyc.Update) { u.Status, u.Reasons = kyc.InReview, because(kyc.HighRisk) }},
	{"a claim", func(u *kyc.Update) {
		u.Status, u.ClaimedStatus, u.NeedsConfirmation, u.Authenticity = kyc.InReview, kyc.Approved, true, kyc.Network
	}},
	{"a claimed rejection", func(u *kyc.Update) {
		u.Status, u.ClaimedStatus, u.NeedsConfirmation, u.Authenticity, u.Reasons = kyc.InReview, kyc.Rejected, true, kyc.Network, because(kyc.DataMismatch)
	}},
	{"approved", func(u *kyc.Update) { u.Status = kyc.Approved }},
	{"approved until", func(u *kyc.Update) { u.Status, u.ExpiresAt = kyc.Approved, u.OccurredAt.AddDate(5, 0, 0) }},
	{"about to end", func(u *kyc.Update) { u.Status, u.ExpiresAt = kyc.Approved, time.Now().UTC().Add(time.Hour) }},
	{"over already", func(u *kyc.Update) { u.Status, u.ExpiresAt = kyc.Approved, u.OccurredAt.Add(time.Minute) }},
	{"rejected", func(u *kyc.Update) { u.Status, u.Terminal = kyc.Rejected, true }},
	{"rejected, again", func(u *kyc.Update) {
		u.Status, u.Retryable, u.Reasons = kyc.Rejected, true, because(kyc.DocumentUnreadable, kyc.DataMismatch)
	}},
	{"a hit", func(u *kyc.Update) {
		u.Status, u.Retryable, u.Reasons = kyc.Rejected, true, because(kyc.SanctionsMatch)
	}},
	{"expired", func(u *kyc.Update) { u.Status, u.ExpiryKind = kyc.Expired, kyc.ExpiryValidity }},
	{"lapsed", func(u *kyc.Update) { u.Status, u.ExpiryKind = kyc.Expired, kyc.ExpiryAttempt }},
	{"suspended", func(u *kyc.Update) { u.Status, u.Reasons = kyc.Suspended, because(kyc.FraudSuspected) }},
}

// TestPollAgrees lets a provider say every word after every word, and finds in the poll, in both of
// its shapes, what the last webhook said: in every field that both have.
func TestPollAgrees(t *testing.T) {
	g := newRigWith(t, []string{"standard", "blendfi"})
	base := time.Now().UTC().AddDate(0, 0, -3).Truncate(time.Second)
	var ids []string
	for i, first := range append([]word{{"nothing", nil}}, pollWords...) {
		for j, second := range pollWords {
			id := fmt.Sprintf("%s, %s", first.name, second.name)
			ids = append(ids, id)
			for k, w := range []word{first, second} {
				if w.say == nil {
					continue
				}
				at := base.Add(time.Duration(1000*i+10*j+k) * time.Second)
				u := kyc.Update{
					SchemaVersion: 1, ID: kyc.UpdateID("", []string{id, strconv.Itoa(k)}, kyc.Observation, "", "", "", 0, at), Kind: kyc.Observation, Source: "sumsub-eu", Provider: "sumsub",
					Partner: "acme", Livemode: true, Subject: kyc.Subject{ID: id}, Verification: kyc.Verification{Ref: "s-" + id}, Scope: kyc.Overall, Check: kyc.IdentityVerification,
					Authenticity: kyc.Signed, OccurredAt: at, OccurredAtOrigin: kyc.OriginProvider, ReceivedAt: at.Add(3 * time.Second),
				}
				w.say(&u)
				if err := g.journal.Append(context.Background(), journal.Record{Kind: u.Kind, Appended: at.Add(5 * time.Second), Body: u.AppendJSON(nil)}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	g.folded()
	g.mu.Lock()
	defer g.mu.Unlock()
	last := map[string]map[string]any{} // by endpoint and subject: the last webhook about the status
	sequence := map[string]any{}
	for _, w := range g.took {
		var v map[string]any
		if err := json.Unmarshal([]byte(w.body), &v); err != nil {
			t.Fatal(err)
		}
		if w.endpoint == "blendfi" {
			last["blendfi "+v["user_id"].(string)] = v
		} else if data := v["data"].(map[string]any); w.endpoint == "standard" {
			who := data["subject"].(map[string]any)["id"].(string)
			sequence[who] = data["sequence"]
			if typ := v["type"].(string); strings.HasPrefix(typ, "kyc.status.") && typ != "kyc.status.expiring" {
				last["standard "+who] = data
			}
		}
	}
	for _, id := range ids {
		g.agrees(t, id, last["standard "+id], last["blendfi "+id], sequence[id])
	}
}

// agrees compares what somebody who polls reads with the last webhooks.
func (g *rig) agrees(t *testing.T, id string, standard, blendfi map[string]any, sequence any) {
	t.Helper()
	path := "/v1/users/" + strings.ReplaceAll(id, " ", "%20") + "/kyc?partner=acme&livemode=true"
	canonical := g.call("vera", "GET", path+"&format=canonical", "").json
	if standard == nil { // it never had a word about the status
		standard = map[string]any{"status": "not_started", "retryable": false, "terminal": false, "livemode": true, "partner": "acme", "reasons": []any{}}
	}
	for _, field := range []string{
		"status", "reasons", "retryable", "terminal", "approved_at", "expires_at", "livemode", "partner", "claimed_status", "decided_by", "check",
	} {
		if !reflect.DeepEqual(canonical[field], standard[field]) {
			t.Errorf("%s: the poll says %s %v, the webhook %v", id, field, canonical[field], standard[field])
		}
	}
	if yes, _ := standard["needs_confirmation"].(bool); canonical["needs_confirmation"] != yes {
		t.Errorf("%s: the poll says needs_confirmation %v, the webhook %v", id, canonical["needs_confirmation"], yes)
	}
	if sequence != nil && canonical["sequence"] != sequence {
		t.Errorf("%s: the poll says sequence %v, the last change %v", id, canonical["sequence"], sequence)
	}
	poll := g.call("vera", "GET", path, "").json
	if undecided := poll["status"] == "pending" || poll["status"] == "not_started"; undecided && !g.worded(id) && len(poll) == 2 {
		return // the webhook has no word for somebody who is on the way, and the poll has
	}
	if blendfi == nil {
		t.Errorf("%s: nobody was told anything, and the poll says %v", id, poll)
		return
	}
	want := map[string]any{"user_id": blendfi["user_id"], "status": blendfi["kyc_status"]}
	for _, field := range []string{"approved_at", "rejected_at", "expires_at", "rejection_reason"} {
		if v, ok := blendfi[field]; ok {
			want[field] = v
		}
	}
	if !reflect.DeepEqual(poll, want) {
		t.Errorf("%s: the poll says\n%v, the webhook\n%v", id, poll, want)
	}
}

// worded reports whether BlendFi's webhook has a word for the last change of somebody's status.
func (g *rig) worded(id string) bool {
	g.t.Helper()
	st, err := g.relay.SubjectStatus("acme", id, true)
	if err != nil {
		g.t.Fatal(err)
	}
	if st.Change == nil {
		return false
	}
	f, _ := format.ByName("blendfi")
	body, err := f.Render(*st.Change, 0)
	return err != nil || body != nil
}
