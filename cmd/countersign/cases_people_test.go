package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"countersign/ingest/provider"
	"countersign/kyc"
	"countersign/relay"
)

// The walks of cases that are about a person and what was decided.

func walkNamesake(w *walk) {
	w.run(exitYes, "trigger sumsub-eu rejected_sanctions --subject carl", "200 ok")
	w.told("carl", "kyc.status.rejected")
	w.run(exitYes, "trigger sumsub-eu approved --subject carl", "200 ok")
	w.until("subject acme carl", "acme/carl  rejected", "sanctions_match(SANCTIONS)", "held")
	w.metric(`countersign_relay_updates_total{verdict="held"}`, 1)
	if w.desk.took("carl", "kyc.status.approved") != 0 {
		w.t.Error("the partner was told an approval beside a hit")
	}
	w.run(exitYes, `decide acme carl --source sumsub-eu --check identity_verification --release --because "namesake: the listed one was born in 1948" --yes`, "decided: ")
	w.told("carl", "kyc.status.approved")
	w.until("subject acme carl", "acme/carl  approved", "rejected -> approved")
}

func walkHitAgain(w *walk) {
	pep := func(event string) []byte {
		return w.sample("sumsub-eu", "rejected_sanctions", provider.SampleVars{Subject: "petra", EventID: event}, `["SANCTIONS"]`, `["PEP"]`)
	}
	release := `decide acme petra --source sumsub-eu --check identity_verification --release --because "a councillor of a small town; risk accepted" --yes`
	first := pep("hit-1")
	w.send(http.StatusOK, w.callback("sumsub-eu", "", first))
	w.told("petra", "kyc.status.rejected")
	w.run(exitYes, "trigger sumsub-eu approved --subject petra", "200 ok")
	w.until("subject acme petra", "held")
	w.run(exitYes, release)
	w.told("petra", "kyc.status.approved")
	w.send(http.StatusOK, w.callback("sumsub-eu", "", first)) // the same callback once more is the same hit
	w.metric(`countersign_relay_updates_total{verdict="duplicate"}`, 1)
	w.until("subject acme petra", "acme/petra  approved")
	w.send(http.StatusOK, w.callback("sumsub-eu", "", pep("hit-2")))
	w.until("subject acme petra", "acme/petra  rejected", "approved -> rejected pep_match(PEP)")
	w.metric(`countersign_relay_status_changes_total{status="rejected"}`, 2)
	// The provider has said nothing since the new hit, so there is no yes behind it: a release
	// alone would leave nothing.
	w.run(exitYes, `decide acme petra --source sumsub-eu --check identity_verification --status approved --because "risk accepted again" --yes`, "decided: ")
	w.until("subject acme petra", "acme/petra  approved", "rejected -> approved")

	w.run(exitYes, "trigger sumsub-eu rejected_sanctions --subject pavel", "200 ok")
	w.told("pavel", "kyc.status.rejected")
	w.run(exitYes, `decide acme pavel --source sumsub-eu --check identity_verification --release --because "another birth date" --yes`, "decided: ")
	w.told("pavel", "kyc.status.not_started")
	w.run(exitYes, "trigger sumsub-eu rejected_sanctions --subject piotr", "200 ok")
	w.told("piotr", "kyc.status.rejected")
	w.run(exitYes, `decide acme piotr --source sumsub-eu --check identity_verification --status in_review --because "looking at it" --yes`, "decided: ")
	w.until("subject acme piotr", "acme/piotr  rejected", "decision", `by operator.token: "looking at it"`) // a word that is no release leaves the match
	w.run(exitYes, "trigger sumsub-eu approved --subject piotr", "200 ok")
	w.until("subject acme piotr", "acme/piotr  rejected", "held")
	if w.desk.took("piotr", "kyc.status.approved") != 0 {
		w.t.Error("a decision that is no release has lifted a match")
	}
}

func walkTwoPeople(w *walk) {
	w.run(exitYes, "trigger sumsub-eu pending --subject ada --ref shared-1 --session ada-1", "200 ok")
	w.run(exitYes, "trigger sumsub-eu pending --subject bob --ref shared-1 --session bob-1", "200 ok")
	w.metric("countersign_relay_ambiguous_refs_total", 1)
	for range 2 { // of one applicant, and nobody says whose
		v := provider.SampleVars{Subject: "x", ProviderRef: "shared-1", SessionRef: "new-1"}
		w.send(http.StatusOK, w.callback("sumsub-eu", "", w.sample("sumsub-eu", "approved", v, `"externalUserId":"x",`, "")))
	}
	w.metric("countersign_relay_unrouted_records", 2)
	w.metric(`countersign_relay_updates_total{verdict="ambiguous"}`, 2)
	list := w.run(exitYes, "quarantine --records", "ambiguous", "shared-1 new-1")
	first, second := firsts(list)[0], firsts(list)[1]
	w.run(exitYes, "quarantine release "+first+" --partner acme --subject ada", "is released")
	w.told("ada", "kyc.status.approved")
	w.run(exitYes, "quarantine discard "+second, "is discarded")
	w.metric("countersign_relay_unrouted_records", 0)
	w.until("subject acme bob", "acme/bob  pending")
	w.metric("countersign_relay_contested_refs", 1)
	w.run(exitYes, "refs", "sumsub-eu  shared-1  test", "acme/ada     said by the provider", "acme/bob     said by the provider")
	w.run(exitYes, `refs settle sumsub-eu shared-1 --partner acme --subject ada --because "bob had used ada's link, ticket 4811"`, "is acme/ada's from now on")
	w.metric("countersign_relay_contested_refs", 0)
	v := provider.SampleVars{Subject: "x", ProviderRef: "shared-1", SessionRef: "new-2"}
	w.send(http.StatusOK, w.callback("sumsub-eu", "", w.sample("sumsub-eu", "on_hold", v, `"externalUserId":"x",`, "")))
	w.until("subject acme ada", "acme/ada  in_review", "submission: settled", "ticket 4811")
}

func walkTwoPartners(w *walk) {
	w.edit("partners:\n", fmt.Sprintf("tokens: [{name: beta-api, sha256: %x, scope: partner, partner: beta}]\npartners:\n  - {id: beta, endpoints: []}\n", sha256.Sum256([]byte("cs_of_beta"))))
	w.edit("keys: [file:sumsub.key], partner: acme}", "keys: [file:sumsub.key], partner_from: submission}")
	w.run(exitYes, "submit acme pia sumsub-eu applicant-88", "are acme/pia's")
	w.metric("countersign_relay_updates_total{verdict=\"applied\"}", 1)
	w.env["COUNTERSIGN_TOKEN"] = "cs_of_beta"
	w.run(exitNo, "submit beta otto sumsub-eu applicant-88", "registered more than once")
	w.run(exitUnpermitted, "submit acme otto sumsub-eu applicant-88", "sees partner beta only")
	delete(w.env, "COUNTERSIGN_TOKEN")
	w.metric("countersign_relay_contested_refs", 1)
	w.metric(`countersign_relay_submissions_total{outcome="contested"}`, 1)
	w.send(http.StatusOK, w.callback("sumsub-eu", "", w.sample("sumsub-eu", "approved", provider.SampleVars{Subject: "x", ProviderRef: "applicant-88"})))
	w.metric("countersign_relay_unrouted_records", 1)
	w.run(exitYes, "refs", "sumsub-eu  applicant-88  test", "acme/pia     registered", "beta/otto    registered")
	w.run(exitYes, `refs settle sumsub-eu applicant-88 --partner acme --subject pia --because "the provider's dashboard shows acme's link, ticket 4812"`, "is acme/pia's from now on")
	w.metric("countersign_relay_unrouted_records", 0)
	w.until("subject acme pia", "acme/pia  approved")
	w.until("subject beta otto", "beta/otto  pending")
	w.run(exitYes, "audit --limit 1", "/v1/refs/settle", "ok")
}

func walkTakeBack(w *walk) {
	for _, event := range []string{"approved", "on_hold"} { // of one applicant, and nobody says whose
		v := provider.SampleVars{Subject: "x", ProviderRef: "applicant-9", SessionRef: "try-" + event}
		w.send(http.StatusOK, w.callback("sumsub-eu", "", w.sample("sumsub-eu", event, v, `"externalUserId":"x",`, "")))
	}
	w.metric("countersign_relay_unrouted_records", 2)
	id := firsts(w.run(exitYes, "quarantine --records", "unrouted"))[0]
	w.run(exitYes, "quarantine release "+id+" --partner acme --subject tom", "is released") // it is tim's
	w.metric("countersign_relay_unrouted_records", 0)
	w.until("subject acme tom", "acme/tom  in_review")
	w.run(exitYes, "quarantine take-back "+id+` --because "it is tim's, ticket 4711"`, "acme/tom  in_review -> not_started", "to acme-main", "2 record(s) wait again")
	w.until("subject acme tom", "acme/tom  not_started", "taken_back", "decision: take back", "it is tim's, ticket 4711")
	w.metric("countersign_relay_unrouted_records", 2)
	w.run(exitYes, "quarantine release "+id+" --partner acme --subject tim", "is released")
	w.until("subject acme tim", "acme/tim  in_review")
	w.metric("countersign_relay_unrouted_records", 0)
	w.run(exitUnknown, "quarantine take-back unrouted_00000000000000ff --because x", "not found")
}

func walkBeforeSubmission(w *walk) {
	v := provider.SampleVars{Subject: "x", ProviderRef: "applicant-77"}
	w.send(http.StatusOK, w.callback("sumsub-eu", "", w.sample("sumsub-eu", "approved", v, `"externalUserId":"x",`, "")))
	w.metric("countersign_relay_unrouted_records", 1)
	w.metric(`countersign_relay_updates_total{verdict="unrouted"}`, 1)
	w.run(exitYes, "quarantine --records", "unrouted", "applicant-77")
	w.run(exitYes, "submit acme eve sumsub-eu applicant-77", "are acme/eve's")
	w.told("eve", "kyc.status.approved")
	w.metric("countersign_relay_unrouted_records", 0)
	w.run(exitYes, "quarantine --records")
	w.run(exitNo, "submit acme mallory sumsub-eu applicant-77", "provider_ref belongs to another subject")
}

func walkUnsigned(w *walk) {
	w.run(exitYes, "trigger rebilly request_fulfilled --subject edsger", "200 ok")
	w.told("edsger", "kyc.status.in_review")
	w.until("subject acme edsger", "acme/edsger  in_review", "in_review (claimed approved)")
	w.metric("countersign_relay_unconfirmed_claims_total", 1)
	w.metric(`countersign_journal_open_questions{source="rebilly"}`, 1)
	w.until("questions", "rebilly/kyc-request/session-edsger ", "the source has no api credentials")
	w.run(exitYes, `decide acme edsger --source rebilly --check identity_verification --status approved --because "seen as fulfilled in the dashboard" --yes`, "decided: ")
	w.told("edsger", "kyc.status.approved")
	w.run(exitYes, "questions discard rebilly/kyc-request/session-edsger", "is closed; what was claimed stays as it is")
	w.metric(`countersign_journal_open_questions{source="rebilly"}`, 0)
}

func walkConfirmed(w *walk) {
	api := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/organizations/o-1/kyc-requests/session-grace" || r.Header.Get("REB-APIKEY") != apiKey {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(rw, `{"id":"session-grace","customerId":"ref-grace","status":"fulfilled","revision":2,"updatedTime":%q}`, time.Now().UTC().Format(time.RFC3339))
	}))
	w.t.Cleanup(api.Close)
	w.edit("partner: acme}\npartners", fmt.Sprintf("partner: acme, api: {url: %q, key: file:api.key}}\npartners", api.URL+"/organizations/o-1"))
	w.run(exitYes, "trigger rebilly request_fulfilled --subject grace", "200 ok")
	w.told("grace", "kyc.status.approved")
	w.until("subject acme grace", "acme/grace  approved", "in_review (claimed approved)", "in_review -> approved")
	w.metric(`countersign_confirm_questions_total{outcome="answered",source="rebilly"}`, 1)
	w.metric(`countersign_journal_open_questions{source="rebilly"}`, 0)
	w.run(exitYes, "questions")
}

func walkParked(w *walk) {
	w.run(exitYes, "trigger sumsub-eu rejected_final --subject ivan", "200 ok")
	w.told("ivan", "kyc.status.rejected")
	w.run(exitYes, "trigger sumsub-eu approved --subject ivan", "200 ok")
	w.metric(`countersign_relay_updates_total{verdict="parked"}`, 1)
	w.until("subject acme ivan", "acme/ivan  rejected", "fraud_suspected(FORGERY)", "parked")
	w.run(exitYes, `decide acme ivan --source sumsub-eu --check identity_verification --release --because "appeal upheld, file 2231" --yes`, "decided: ")
	w.told("ivan", "kyc.status.approved")
	w.run(exitYes, `decide acme ivan --source sumsub-eu --check identity_verification --status rejected --reasons fraud_suspected --because "appeal withdrawn" --yes`, "decided: ")
	w.until("subject acme ivan", "acme/ivan  rejected")
	w.run(exitYes, "trigger sumsub-eu approved --subject ivan", "200 ok")
	w.metric(`countersign_relay_updates_total{verdict="parked"}`, 2)
}

func walkOverruled(w *walk) {
	w.run(exitYes, "trigger sumsub-eu on_hold --subject sybil", "200 ok")
	w.told("sybil", "kyc.status.in_review")
	late := provider.SampleVars{Subject: "sybil", At: time.Now()} // rejected now, and told when somebody here has approved
	body := w.sample("sumsub-eu", "rejected_retry", late)
	w.run(exitYes, `decide acme sybil --source sumsub-eu --check identity_verification --status approved --because "seen in person" --yes`, "decided: ")
	w.told("sybil", "kyc.status.approved")
	w.send(http.StatusOK, w.callback("sumsub-eu", "", body))
	w.metric(`countersign_relay_updates_total{verdict="overruled"}`, 1)
	w.until("subject acme sybil", "acme/sybil  approved", "overruled", "before an operator's approval")
	w.run(exitYes, `decide acme sybil --source sumsub-eu --check identity_verification --status in_review --because "their reviewer could not read it" --yes`, "decided: ")
	w.until("subject acme sybil", "acme/sybil  in_review")
}

func walkStale(w *walk) {
	w.run(exitYes, "trigger sumsub-eu rejected_retry --subject judy", "200 ok")
	w.told("judy", "kyc.status.rejected")
	yesterday := provider.SampleVars{Subject: "judy", At: time.Now().AddDate(0, 0, -1)}
	w.send(http.StatusOK, w.callback("sumsub-eu", "", w.sample("sumsub-eu", "approved", yesterday)))
	w.metric(`countersign_relay_updates_total{verdict="stale"}`, 1)
	yesterday.SessionRef = "judy-before"
	w.send(http.StatusOK, w.callback("sumsub-eu", "", w.sample("sumsub-eu", "approved", yesterday)))
	w.metric(`countersign_relay_updates_total{verdict="superseded"}`, 1)
	w.until("subject acme judy", "acme/judy  rejected", "stale", "superseded")
	var v relay.SubjectView
	if err := json.Unmarshal([]byte(w.run(exitYes, "subject acme judy --json", `"occurred_at"`)), &v); err != nil || len(v.Records) != 3 || len(v.Changes) != 2 {
		w.t.Errorf("%v: %d records, %d changes", err, len(v.Records), len(v.Changes))
	}
	w.run(exitYes, "trigger sumsub-eu approved --subject judy", "200 ok")
	w.told("judy", "kyc.status.approved")
}

func walkEnds(w *walk) {
	end := time.Now().Add(4 * time.Second).UTC().Format(time.RFC3339)
	at := time.Now().AddDate(-1, 0, 0)
	body := w.sample("blendfi", "approved", provider.SampleVars{Subject: "mallory", At: at}, at.AddDate(1, 0, 0).UTC().Format(time.RFC3339), end)
	w.send(http.StatusOK, w.callback("blendfi", "", body))
	w.told("mallory", "kyc.status.approved")
	w.told("mallory", "kyc.status.expiring")
	w.told("mallory", "kyc.status.expired")
	w.metric(`countersign_relay_timers_fired_total{kind="notice"}`, 1)
	w.metric(`countersign_relay_timers_fired_total{kind="expiry"}`, 1)
	w.until("subject acme mallory", "acme/mallory  expired", "approved -> expired")
	w.run(exitYes, "trigger blendfi approved --subject mallory", "200 ok")
	w.until("subject acme mallory", "acme/mallory  approved", "expired -> approved")
}

func walkPolicy(w *walk) {
	w.run(exitYes, "trigger sumsub-eu approved --subject niaj", "200 ok")
	w.told("niaj", "kyc.status.approved")
	w.edit("[identity_verification]", "[identity_verification, address_verification]")
	w.run(exitYes, "trigger sumsub-eu approved --subject olga", "200 ok")
	w.until("subject acme olga", "acme/olga  ")
	w.run(exitYes, "policy show acme", "version 2: 1 of 2 subjects are evaluated under an older one; 1 become ")
	w.run(exitNo, "policy apply acme", "nothing was done: add --yes")
	w.until("subject acme niaj", "acme/niaj  approved")
	w.run(exitYes, "policy apply acme --yes", "applied")
	w.until("subject acme niaj", "acme/niaj  pending", "approved -> pending")
	w.run(exitYes, "policy show acme", "version 2: 0 of 2 subjects", "nobody's status changes")
}

func walkWho(w *walk) {
	w.edit("partners:", fmt.Sprintf("tokens: [{name: kim, sha256: %x, scope: operator}]\npartners:", sha256.Sum256([]byte("cs_of_kim"))))
	w.env["COUNTERSIGN_TOKEN"] = "cs_of_kim"
	w.run(exitYes, "trigger sumsub-eu on_hold --subject rupert", "200 ok")
	w.told("rupert", "kyc.status.in_review")
	w.run(exitYes, `decide acme rupert --source sumsub-eu --check identity_verification --status approved --because "four eyes: kim and lee" --yes`, "decided: ")
	w.told("rupert", "kyc.status.approved")
	if list := w.run(exitYes, "audit --subject acme/rupert", "kim", "/v1/subjects/acme/person:", "/decisions  ok"); strings.Contains(list, "rupert") {
		w.t.Errorf("the trail names him: %s", list)
	}
	var v relay.SubjectView
	if err := json.Unmarshal([]byte(w.run(exitYes, "subject acme rupert --json")), &v); err != nil {
		w.t.Fatal(err)
	}
	last := v.Records[0].Update
	if last.Kind != kyc.Decision || last.Actor != "kim" || last.Note != "four eyes: kim and lee" {
		w.t.Errorf("the history does not say who decided and why: %+v", last)
	}
	w.run(exitUnknown, `decide acme nobody --source sumsub-eu --check identity_verification --status approved --because "a slip" --yes`, "not found")
	w.run(exitYes, "audit --limit 1 --refused --call decisions", "/v1/subjects/acme/person:", "not_found") // what was refused stands there too
	w.run(exitYes, "audit --ndjson --since 2020-01-01 --actor kim", `"actor":"kim"`, `/decisions","ok":true`, `"status":404`)
	noted := lastWord(w.run(exitYes, "audit verify", "nothing was changed, removed, inserted or moved", "head: "))
	w.run(exitYes, "audit verify --head "+noted, noted+" is a part of this chain")
	w.run(exitNo, "audit verify --head "+strings.Replace(noted, ":", "0:", 1), "is NOT part of this chain")
	w.run(exitUsage, "audit verify --head 7", "a number, a colon and 64 hex digits")
	w.run(exitYes, "audit --actor lee", "")
	w.run(exitNo, "audit --ndjson --since yesterday", "since is a time")
}

// lastWord is the last word of an output.
func lastWord(out string) string {
	all := strings.Fields(out)
	return all[len(all)-1]
}
