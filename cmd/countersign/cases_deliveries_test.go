package main

import (
	"net/http"
	"strings"
)

// patient has the endpoint's deliveries wait an hour after a failure.
func (w *walk) patient() {
	w.edit("retry: {first: 10ms, factor: 1, max: 10ms, attempts: 2}", "retry: {first: 1h, factor: 1, max: 1h, attempts: 9}")
}

// still is until, once nothing of it is under way.
func (w *walk) still(line string, wants ...string) (out string) {
	w.t.Helper()
	eventually(w.t, "nothing is under way", func() bool {
		out = w.until(line, wants...)
		return !strings.Contains(out, "under way")
	})
	return out
}

// walkNotTold is a person whose partner was down when there was something to tell, and what came
// after it, which waits.
func walkNotTold(w *walk) {
	w.patient()
	w.desk.answer(http.StatusInternalServerError)
	w.run(exitYes, "trigger sumsub-eu pending --subject rosa", "200 ok")
	w.still("deliveries --partner acme --subject rosa", "retrying", "500 http_5xx")
	w.run(exitYes, "trigger sumsub-eu approved --subject rosa", "200 ok")
	list := w.still("deliveries --partner acme --subject rosa", "retrying", "pending", "after evt_")
	ids := firsts(list)
	w.run(exitYes, "deliveries show "+ids[0], "500 http_5xx", "what went wrong", `"subject":{"id":"rosa"`)
	w.run(exitNo, "deliveries skip "+ids[1], "it waits behind "+ids[0])
	w.desk.answer(http.StatusOK)
	w.run(exitYes, "deliveries retry-now "+ids[1], ids[0]+" is due now; what waits behind it goes when it is through")
	w.told("rosa", "kyc.status.pending")
	w.told("rosa", "kyc.status.approved")
	w.until("deliveries --partner acme --subject rosa --status delivered", "200 http_2xx")
	webhook, _, _ := strings.Cut(ids[1], "@")
	w.until("find "+webhook, "change", "acme/rosa (test)", "delivered")
	w.run(exitNo, "find evt_00000000000000000000000000", "nothing is found")

	w.desk.answer(http.StatusInternalServerError)
	w.run(exitYes, "trigger sumsub-eu pending --subject sven", "200 ok")
	w.still("deliveries --partner acme --subject sven", "retrying")
	w.run(exitYes, "trigger sumsub-eu rejected_retry --subject sven", "200 ok")
	ids = firsts(w.until("deliveries --partner acme --subject sven", "after evt_"))
	w.run(exitYes, "deliveries skip "+ids[0], ids[0]+" is dead-lettered (skipped), and the deliveries behind it continue")
	w.run(exitNo, `deliveries cancel `+ids[1]+` --because "a test person"`, "it tells of a rejection or suspension")
	w.run(exitYes, `deliveries cancel `+ids[1]+` --because "a test person, ticket 4815" --force`, ids[1]+" is cancelled: it is never sent; tell the partner")
	w.until("deliveries --status cancelled", "cancelled", ids[1])
	w.run(exitYes, "deliveries show "+ids[1], "a test person, ticket 4815")
}

// walkBehind is an endpoint that was down for a while: what it was sent meanwhile waits for its
// next try, and need not.
func walkBehind(w *walk) {
	w.patient()
	w.desk.answer(http.StatusServiceUnavailable)
	for _, who := range []string{"tina", "ugo"} {
		w.run(exitYes, "trigger sumsub-eu approved --subject "+who, "200 ok")
		w.still("deliveries --status retrying --endpoint acme-main", "acme/"+who+" (test)", "503 http_5xx")
	}
	w.metric(`countersign_outbox_pending_deliveries{endpoint="acme-main"}`, 2)
	w.until("endpoints", "2     0     ")
	w.desk.answer(http.StatusOK)
	w.run(exitYes, "endpoints retry-now acme-main", "2 deliveries to acme-main are due now, one after the other")
	w.told("tina", "kyc.status.approved")
	w.told("ugo", "kyc.status.approved")
	w.until("endpoints", "0     0     ")
	w.run(exitUnknown, "endpoints retry-now acme-none", "not found")
}
