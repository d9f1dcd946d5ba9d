package main

import (
	"net/http"
)

// walkWithheld is a rejection that dies, and whose endpoint then goes by another name: it is
// withheld until somebody has told the partner, and says so.
func walkWithheld(w *walk) {
	w.desk.answer(http.StatusInternalServerError)
	w.run(exitYes, "trigger sumsub-eu rejected_retry --subject nell", "200 ok")
	w.until("endpoints", "0     1     ")
	id := firsts(w.until("withheld", "kyc.status.rejected", "dead-lettered: exhausted"))[0]
	const series = `countersign_outbox_oldest_withheld_rejection_seconds{endpoint="acme-main"}`
	counts := func() bool { v, ok := w.scrape(series); return ok && v > 0 }
	w.series = append(w.series, series)
	eventually(w.t, "the rejection is withheld", counts)
	w.edit("{id: acme-main,", "{id: acme-new,")
	w.until("endpoints", "acme-new", "0     0     enabled")
	eventually(w.t, "it is withheld although its endpoint is gone", counts)
	w.run(exitYes, "withheld", id, "dead-lettered: exhausted")
	w.run(exitUnknown, "withheld acknowledge evt_none@acme-main --reason nothing", "not found")
	w.run(exitYes, `withheld acknowledge `+id+` --reason "told Ms Ray at Acme by telephone"`, "is acknowledged; it stays dead-lettered (exhausted)")
	w.stop()
	w.start()
	if out := w.run(exitYes, "withheld"); out != "" {
		w.t.Errorf("still withheld: %s", out)
	}
	if _, ok := w.scrape(series); ok {
		w.t.Error("there is still a series of the endpoint that is gone")
	}
	w.run(exitYes, "withheld list --acknowledged", id, "told Ms Ray at Acme by telephone")
	w.run(exitYes, "audit", "/v1/withheld/"+id+"/acknowledge")
}
