package main

import (
	"context"
	"net/http"
	"strings"
	"time"

	"countersign/ingest/provider"
)

// The walks of cases that are about callbacks, keys and bodies, and about what partners are sent.

func walkLivemode(w *walk) {
	live := provider.SampleVars{Subject: "heidi", Livemode: true}
	w.send(http.StatusOK, w.callback("sumsub-eu", "", w.sample("sumsub-eu", "pending", live)))
	w.metric("countersign_journal_quarantine_items", 1)
	w.metric(`countersign_journal_quarantined_total{reason="livemode"}`, 1)
	first := w.only(w.run(exitYes, "quarantine", "livemode", "the body's test flag is not the source's livemode"))
	w.run(exitNo, "quarantine release "+first, "correct the source, or discard it")
	w.run(exitYes, "quarantine discard "+first, "is discarded")
	w.send(http.StatusOK, w.callback("sumsub-eu", "", w.sample("sumsub-eu", "approved", live)))
	w.edit("keys: [file:sumsub.key], partner: acme}", "keys: [file:sumsub.key], partner: acme, livemode: true}")
	second := w.only(w.run(exitYes, "quarantine", "livemode"))
	w.run(exitYes, "quarantine release "+second, "is released: 1 update(s)")
	w.told("heidi", "kyc.status.approved")
	w.metric("countersign_journal_quarantine_items", 0)
	w.run(exitUnknown, "subject acme heidi", "not found") // a live person is nobody in the sandbox
}

func walkRotatedEarly(w *walk) {
	body := w.sample("sumsub-eu", "approved", provider.SampleVars{Subject: "trent"})
	req := w.callback("sumsub-eu", "the-key-of-tomorrow", body)
	w.capture(req, body)
	w.send(http.StatusUnauthorized, req)
	w.metric(`countersign_ingest_callbacks_total{source="sumsub-eu",verdict="mismatch"}`, 1)
	w.run(exitNo, "verify --provider sumsub --key file:sumsub.key --headers headers.json --body body.json", "Key 1 of 1 does not match.", "Remedy: ")
	w.save("new.key", "the-key-of-tomorrow")
	w.run(exitYes, "verify --provider sumsub --key file:new.key --key file:sumsub.key --headers headers.json --body body.json", "Key 1 of 2 matches.", "Verdict: accepted.")
	w.edit("keys: [file:sumsub.key]", "keys: [file:new.key, file:sumsub.key]")
	w.send(http.StatusOK, w.callback("sumsub-eu", "the-key-of-tomorrow", body))
	w.told("trent", "kyc.status.approved")
	w.send(http.StatusOK, w.callback("sumsub-eu", sumsubKey, w.sample("sumsub-eu", "approved", provider.SampleVars{Subject: "ursula"})))
	w.told("ursula", "kyc.status.approved")
}

func walkOtherAccount(w *walk) {
	body := w.sample("sumsub-eu", "approved", provider.SampleVars{Subject: "victor"})
	req := w.callback("sumsub-eu", otherKey, body)
	w.capture(req, body)
	w.send(http.StatusUnauthorized, req)
	w.metric(`countersign_ingest_callbacks_total{source="sumsub-eu",verdict="mismatch"}`, 1)
	w.run(exitNo, "verify --provider sumsub --key file:sumsub.key --headers headers.json --body body.json", "compare the secret with the sender's dashboard")
	w.run(exitYes, "verify --provider sumsub --key file:other.key --headers headers.json --body body.json", "Verdict: accepted.")
	w.edit("  - {name: blendfi", "  - {name: sumsub-us, provider: sumsub, keys: [file:other.key], partner: acme}\n  - {name: blendfi")
	w.send(http.StatusOK, w.callback("sumsub-us", "", body))
	w.told("victor", "kyc.status.approved")
}

func walkProxy(w *walk) {
	body := w.sample("sumsub-eu", "approved", provider.SampleVars{Subject: "wendy"})
	signed := w.callback("sumsub-eu", "", body)
	changed := []byte(strings.NewReplacer(`":`, `": `, `,"`, `, "`).Replace(string(body))) // a proxy that parses and prints JSON
	req := w.callback("sumsub-eu", "", changed)
	req.Header = signed.Header
	w.capture(req, changed)
	w.send(http.StatusUnauthorized, req)
	w.metric(`countersign_ingest_callbacks_total{source="sumsub-eu",verdict="mismatch"}`, 1)
	w.run(exitNo, "verify --provider sumsub --key file:sumsub.key --headers headers.json --body body.json", "Key 1 of 1 matches once something is put right.")
	w.send(http.StatusOK, w.callback("sumsub-eu", "", body))
	w.told("wendy", "kyc.status.approved")
}

func walkUnknownWord(w *walk) {
	body := w.sample("sumsub-eu", "approved", provider.SampleVars{Subject: "xavier"}, "GREEN", "YELLOW")
	w.send(http.StatusOK, w.callback("sumsub-eu", "", body))
	w.told("xavier", "kyc.status.in_review")
	w.metric(`countersign_journal_quarantined_total{reason="unknown_word"}`, 1)
	w.metric("countersign_journal_quarantine_items", 1)
	id := w.only(w.run(exitYes, "quarantine", "unknown_word", "applied; a word in it is unknown"))
	w.run(exitYes, "quarantine show "+id, "YELLOW")
	w.run(exitNo, "quarantine release "+id, "it was applied as in_review; decide about the person, or discard it")
	w.run(exitYes, `decide acme xavier --source sumsub-eu --check identity_verification --status approved --because "their support: a pass" --yes`, "decided: ")
	w.told("xavier", "kyc.status.approved")
	w.run(exitYes, "quarantine discard "+id, "is discarded")
}

func walkWorkflow(w *walk) {
	w.edit("keys: [file:sumsub.key], partner: acme}", "keys: [file:sumsub.key], partner: acme, workflows: [full-kyc-level]}")
	w.run(exitYes, "check", "only workflows full-kyc-level approve")
	level := []string{"basic-kyc-level", "lite-level"}
	w.send(http.StatusOK, w.callback("sumsub-eu", "", w.sample("sumsub-eu", "rejected_retry", provider.SampleVars{Subject: "wilma", At: time.Now().Add(-time.Hour)}, level...)))
	w.told("wilma", "kyc.status.rejected")
	w.send(http.StatusOK, w.callback("sumsub-eu", "", w.sample("sumsub-eu", "approved", provider.SampleVars{Subject: "wilma"}, level...)))
	w.metric(`countersign_journal_quarantined_total{reason="workflow"}`, 1)
	w.metric("countersign_journal_quarantine_items", 1)
	id := w.only(w.run(exitYes, "quarantine", "workflow", "not applied; an approval of a workflow that may not approve"))
	w.run(exitYes, "subject acme wilma", "acme/wilma  rejected")
	w.run(exitNo, "quarantine release "+id, "add it to the source's workflows, or discard it")
	w.edit("workflows: [full-kyc-level]", "workflows: [full-kyc-level, lite-level]")
	w.run(exitYes, "quarantine release "+id, "is released: 1 update(s)")
	w.told("wilma", "kyc.status.approved")
}

func walkUnknownEvent(w *walk) {
	body := w.sample("sumsub-eu", "approved", provider.SampleVars{Subject: "yara"}, "applicantReviewed", "applicantSomethingNew", `"reviewResult":{"reviewAnswer":"GREEN"},`, "")
	req := w.callback("sumsub-eu", "", body)
	w.capture(req, body)
	w.send(http.StatusOK, req)
	w.metric(`countersign_ingest_callbacks_total{source="sumsub-eu",verdict="ignored"}`, 1)
	w.run(exitYes, "translate --provider sumsub --headers headers.json --body body.json", `"disposition":"ignored"`)
	w.run(exitYes, "quarantine")
	w.run(exitUnknown, "subject acme yara", "not found")
}

func walkUnknownDecision(w *walk) {
	w.send(http.StatusOK, w.callback("sumsub-eu", "", w.sample("sumsub-eu", "approved", provider.SampleVars{Subject: "zara"})))
	w.told("zara", "kyc.status.approved")
	body := w.sample("sumsub-eu", "rejected_final", provider.SampleVars{Subject: "zara"}, "applicantReviewed", "applicantSomethingNew")
	w.send(http.StatusOK, w.callback("sumsub-eu", "", body))
	w.metric(`countersign_journal_quarantined_total{reason="unknown_event"}`, 1)
	w.metric("countersign_journal_quarantine_items", 1)
	id := w.only(w.run(exitYes, "quarantine", "unknown_event", "not applied; the event is unknown, and its body carries a decision"))
	w.run(exitYes, "subject acme zara", "acme/zara  approved")
	w.run(exitYes, "quarantine show "+id, "applicantSomethingNew")
	w.run(exitNo, "quarantine release "+id, "install a version that knows it")
	w.run(exitYes, `decide acme zara --source sumsub-eu --check identity_verification --status rejected --reasons fraud_suspected --because "their support: the new name of a rejection" --yes`,
		"decided: ")
	w.told("zara", "kyc.status.rejected")
	w.run(exitYes, "quarantine discard "+id, "is discarded")
}

// facecheck is a provider that the config describes, with a mistake: its callbacks say outcome, not
// result.
const facecheck = `  - name: facecheck
    provider: generic
    keys: [file:facecheck.key]
    partner: acme
    generic:
      resolution: 1s
      signature: {kind: hmac, header: X-Facecheck-Digest}
      map: {event_type: body.event, event_id: body.id, subject: body.user, status: body.result}
      statuses: {clear: approved}
`

func walkUnreadable(w *walk) {
	w.edit("  - {name: blendfi", facecheck+"  - {name: blendfi")
	for _, body := range []string{`{"event":"check.finished","id":"fc-1","user":"zoe","outcome":"clear"}`, `{"event":"check.finished","id":"fc-2"}`} {
		w.send(http.StatusOK, w.callback("facecheck", "", []byte(body)))
	}
	w.metric(`countersign_journal_quarantined_total{reason="unreadable"}`, 2)
	w.metric("countersign_journal_quarantine_items", 2)
	var readable, broken string
	for _, id := range firsts(w.run(exitYes, "quarantine", "unreadable")) {
		if strings.Contains(w.run(exitYes, "quarantine show "+id), "zoe") {
			readable = id
		} else {
			broken = id
		}
	}
	w.run(exitNo, "quarantine release "+readable, "today's adapter cannot tell what it says either")
	w.edit("status: body.result", "status: body.outcome")
	w.run(exitYes, "quarantine release "+readable, "is released: 1 update(s)")
	w.told("zoe", "kyc.status.approved")
	w.run(exitNo, "quarantine release "+broken, "today's adapter cannot tell what it says either")
	w.run(exitYes, "quarantine discard "+broken, "is discarded")
	w.metric("countersign_journal_quarantine_items", 0)
}

func walkAhead(w *walk) {
	body := w.sample("sumsub-eu", "approved", provider.SampleVars{Subject: "alan", At: time.Now().Add(time.Hour)})
	w.send(http.StatusOK, w.callback("sumsub-eu", "", body))
	w.told("alan", "kyc.status.approved")
	w.metric(`countersign_ingest_clock_ahead_total{source="sumsub-eu"}`, 1)
	w.until("subject acme alan", "acme/alan  approved")
	w.run(exitYes, "subject acme alan --json", `"occurred_at_origin":"received"`)
}

func walkGone(w *walk) {
	w.desk.answer(http.StatusGone)
	w.run(exitYes, "trigger sumsub-eu pending --subject barb", "200 ok")
	w.metric(`countersign_relay_endpoint_disabled{endpoint="acme-main"}`, 1)
	w.until("endpoints", "disabled: the partner answered 410 Gone")
	w.run(exitYes, "trigger sumsub-eu approved --subject carl", "200 ok")
	w.until("endpoints", "1     1     disabled")
	dead := w.run(exitYes, "deliveries --dead-lettered --endpoint acme-main", "http_410", "kyc.status.pending")
	w.desk.answer(http.StatusOK)
	w.run(exitYes, "endpoints resume acme-main", "is enabled: its pending deliveries are sent now; those answered 410 are dead-lettered")
	w.told("carl", "kyc.status.approved")
	w.run(exitYes, "redeliver "+firsts(dead)[0], "is pending again")
	w.told("barb", "kyc.status.pending")
	w.until("endpoints", "0     0     enabled")
	w.until("subject acme barb", "done")
}

func walkOvertaken(w *walk) {
	w.desk.answer(http.StatusInternalServerError)
	w.run(exitYes, "trigger sumsub-eu rejected_retry --subject chad", "200 ok")
	w.until("endpoints", "0     1     ")
	w.metric(`countersign_outbox_dead_lettered_deliveries{endpoint="acme-main"}`, 1)
	dead := firsts(w.run(exitYes, "deliveries --dead-lettered --endpoint acme-main", "500 exhausted"))[0]
	w.desk.answer(http.StatusOK)
	w.run(exitYes, "trigger sumsub-eu approved --subject chad", "200 ok")
	w.told("chad", "kyc.status.approved")
	w.until("endpoints", "0     1     ")
	w.run(exitNo, "redeliver "+dead, "a later change of this subject has been delivered since")
	w.run(exitYes, "redeliver "+dead+" --force", "is pending again")
	w.told("chad", "kyc.status.rejected")
	w.until("endpoints", "0     0     ")
}

func walkPartnerSignature(w *walk) {
	w.desk.answer(http.StatusUnauthorized)
	w.run(exitYes, "trigger sumsub-eu approved --subject dave", "200 ok")
	w.until("endpoints", "0     1     ")
	w.metric(`countersign_relay_attempt_reasons_total{reason="http_4xx"}`, 1)
	w.metric(`countersign_relay_attempts_total{endpoint="acme-main",outcome="retry"}`, 1)
	dead := firsts(w.run(exitYes, "deliveries --dead-lettered --endpoint acme-main", " 401 "))[0]
	h, body := w.desk.last() // what the partner captured
	w.save("body.json", body)
	w.run(exitYes, "sign --scheme standard --key file:acme.key --body body.json --id "+h.Get("Webhook-Id")+" --at "+h.Get("Webhook-Timestamp"),
		"Webhook-Signature: "+h.Get("Webhook-Signature")+"\n")

	addr := freeAddr(w.t)
	w.edit(w.desk.url, "http://"+addr+"/")
	w.save("theirs.key", "whsec_d3Jvbmd3cm9uZ3dyb25nd3Jvbmd3cm9uZ3dyb25nd3I=")
	stop := w.listen("listen --addr " + addr + " --key file:theirs.key")
	w.run(exitYes, "redeliver "+dead, "is pending again")
	stop("refused: Key 1 of 1 does not match.", "refused: Remedy: ")
	w.until("endpoints", "0     1     ")
	stop = w.listen("listen --addr " + addr + " --key file:acme.key")
	w.run(exitYes, "redeliver "+dead, "is pending again")
	w.until("endpoints", "0     0     ")
	stop("verified evt_")
}

// listen is a partner on the command line; ending it expects these words of what it printed.
func (w *walk) listen(line string) (stop func(wants ...string)) {
	w.t.Helper()
	var out notebook
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan int, 1)
	c := &console{in: strings.NewReader(""), out: &out, err: &out, ctx: ctx, env: func(string) (string, bool) { return "", false }}
	go func() { ended <- run(c, words(line)) }()
	eventually(w.t, "it listens", func() bool { return strings.Contains(out.String(), "listening on") })
	return func(wants ...string) {
		w.t.Helper()
		eventually(w.t, "it printed what was expected", func() bool { return containsAll(out.String(), wants) })
		cancel()
		if code := <-ended; code != exitYes {
			w.t.Errorf("countersign %s: exit %d\n%s", line, code, out.String())
		}
		w.ran = append(w.ran, typed{line, out.String()})
	}
}
