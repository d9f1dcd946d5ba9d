package confirm

import (
	"net/http"
	"testing"
	"time"

	"countersign/ingest/provider"
)

// plan makes these the sources of the confirmer that runs.
func (d *desk) plan(sources ...Source) {
	d.t.Helper()
	p, err := d.asks.Plan(sources)
	if err != nil {
		d.t.Fatal(err)
	}
	p.End()
	p.Begin()
}

// TestPlan: a question that is under way when its source becomes another account is asked again
// there; one of a source that has gone stays open, and is asked when it is back; a source that
// stays is not disturbed.
func TestPlan(t *testing.T) {
	d := newDesk(t)
	hangs, hung := server(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	answers, _ := server(t, says(200, "approved"))
	steady, asked := server(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-r.Context().Done():
		}
		says(200, "approved")(w, r)
	})
	source := func(name, base string) Source {
		return Source{Name: name, API: thin(), Base: base, Credentials: credentials(t), Rate: 1000, Timeout: patience}
	}

	stays := source("stays", steady)

	d.raise("src", provider.Fetch{Ref: "7", What: "thing"}, "claim-7")
	stop := d.run(source("src", hangs), stays)
	d.eventually("it is under way", func() bool { return hung.Load() == 1 })
	d.raise("stays", provider.Fetch{Ref: "8", What: "thing"}, "claim-8")
	d.eventually("the other is under way too", func() bool { return asked.Load() == 1 })

	d.plan(stays)
	if qs := d.questions(); len(qs) == 0 || qs[len(qs)-1].Source != "stays" && qs[len(qs)-1].Source != "src" {
		t.Errorf("open: %+v", qs)
	}
	if n := d.count("src", answered); n != -1 {
		t.Errorf("a source that has gone has a series: %v", n)
	}
	d.plan(stays, source("src", answers))
	d.eventually("everything is answered", func() bool {
		return len(d.questions()) == 0 && d.count("src", answered) == 1 && d.count("stays", answered) == 1
	})
	if asked.Load() != 1 {
		t.Errorf("the source that stays was asked %d times", asked.Load())
	}
	stop()
	if us := d.confirmations(); len(us) != 2 {
		t.Errorf("%d confirmations", len(us))
	}
}
