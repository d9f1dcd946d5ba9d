package main

import (
	"net/http"
	"strings"
)

// walkGivenUp is a partner that takes an endpoint away for good: what is owed to it is given up,
// and its rejections are acknowledged, by the ids that they had before the endpoint was renamed.
func walkGivenUp(w *walk) {
	w.desk.answer(http.StatusGone)
	w.run(exitYes, "trigger sumsub-eu rejected_retry --subject olga", "200 ok")
	w.until("endpoints", "acme-main", "disabled: the partner answered 410 Gone")
	w.run(exitYes, "trigger sumsub-eu rejected_retry --subject pete", "200 ok")
	w.until("endpoints", "1     1     disabled: ")
	w.edit("{id: acme-main,", "{id: acme-new,")
	w.until("endpoints", "acme-main", "orphaned: not served")
	w.run(exitUsage, "endpoints give-up acme-main", "--dry-run")
	w.run(exitNo, "endpoints give-up acme-new --yes", "its pending deliveries are sent; remove it from the config first")
	w.run(exitUnknown, "endpoints give-up acme-none --yes", "not found")
	w.run(exitYes, "endpoints give-up acme-main --dry-run", "pending for acme-main: 1, of which rejections or suspensions: 1", "acme/pete (test)")
	w.run(exitYes, "endpoints give-up acme-main --yes", "dead-lettered for acme-main: 1; they are kept")
	w.run(exitYes, "endpoints give-up acme-main --yes", "dead-lettered for acme-main: 0;")
	w.run(exitYes, "deliveries --dead-lettered --endpoint acme-main", "given_up")
	w.until("endpoints", "acme-main", "orphaned: not served")
	var id string
	for line := range strings.Lines(w.run(exitYes, "withheld", "dead-lettered: given_up")) {
		if strings.Contains(line, "given_up") {
			id = strings.Fields(line)[0]
		}
	}
	const series = `countersign_outbox_oldest_withheld_rejection_seconds{endpoint="acme-main"}`
	w.series = append(w.series, series)
	eventually(w.t, "the rejections are withheld still", func() bool { v, ok := w.scrape(series); return ok && v > 0 })
	w.edit("{id: acme-new,", "{id: acme-newest, renamed_from: acme-main,")
	w.run(exitYes, `withheld acknowledge `+id+` --reason "told Mr Ode at Acme by telephone"`, "@acme-newest is acknowledged; it stays dead-lettered (given_up)")
	w.run(exitYes, "audit", "/v1/endpoints/acme-main/give-up")
}
