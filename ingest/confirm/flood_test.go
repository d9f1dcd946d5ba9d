package confirm

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
	"countersign/kyc"
)

// raiseWeak appends a record that leaves a question of an unproved callback open.
func (d *desk) raiseWeak(ref string, place time.Time, known bool) {
	d.t.Helper()
	u := kyc.Update{SchemaVersion: 1, ID: "claim-" + ref, Kind: kyc.FetchRequest, Source: "src"}
	q := journal.Question{Source: "src", What: "thing", Ref: ref, Claim: u.ID, Since: d.now(), Due: d.now(), Weak: true, Known: known, Place: place}
	if err := d.journal.Append(context.Background(), journal.Record{Kind: u.Kind, Appended: d.now(), Body: u.AppendJSON(nil), Ask: []journal.Question{q}}); err != nil {
		d.t.Fatal(err)
	}
}

// TestGivenUp: what an unproved callback says of a ref that neither the provider nor we know is
// asked twice and no more; a ref that is known here is asked on, and so is what was proved.
func TestGivenUp(t *testing.T) {
	f := func(status int, given bool, raise func(d *desk)) {
		t.Helper()
		d := newDesk(t)
		base, calls := server(t, says(status, ""))
		raise(d)
		d.run(Source{Name: "src", API: thin(), Base: base, Credentials: credentials(t), Rate: 1000})
		if !given {
			d.eventually("it is asked on", func() bool { return calls.Load() > enough+1 })
			if len(d.questions()) != 1 || d.count("src", givenUp) != 0 {
				t.Errorf("%d: it was given up", status)
			}
			return
		}
		d.eventually("it is given up", func() bool { return len(d.questions()) == 0 && d.count("src", givenUp) == 1 })
		if n := calls.Load(); n != enough || len(d.confirmations()) != 0 {
			t.Errorf("%d: asked %d times", status, n)
		}
	}
	weak := func(known bool) func(*desk) {
		return func(d *desk) { d.raiseWeak("7", d.now(), known) }
	}
	f(http.StatusNotFound, true, weak(false))
	t.Run("a provider that was down", func(t *testing.T) { // has not said that it knows nothing
		d := newDesk(t)
		base, calls := server(t, says(502, ""), says(502, ""), says(404, ""), says(200, "approved"))
		d.raiseWeak("7", d.now(), false)
		d.run(Source{Name: "src", API: thin(), Base: base, Credentials: credentials(t), Rate: 1000})
		d.eventually("it is answered", func() bool { return len(d.confirmations()) == 1 && calls.Load() == 4 })
	})
	f(http.StatusBadRequest, true, weak(false))
	f(http.StatusNotFound, false, weak(true))
	f(http.StatusBadGateway, false, weak(false))
	f(http.StatusNotFound, false, func(d *desk) { d.raise("src", provider.Fetch{Ref: "7", What: "thing"}, "claim") })
}

// TestFloodOfQuestions: 600 questions that forged callbacks raised do not stand before a genuine
// one, and end.
func TestFloodOfQuestions(t *testing.T) {
	const forged = 600
	d := newDesk(t)
	var asked, before atomic.Int64
	base, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if strings.HasSuffix(r.URL.Path, "/genuine") {
			before.CompareAndSwap(0, asked.Load())
			says(200, "approved")(w, r)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	})
	start := d.now()
	for i := range forged { // as one address is given its places
		d.raiseWeak(fmt.Sprint("forged-", i), start.Add(time.Duration(i)*time.Second), false)
	}
	d.run(Source{Name: "src", API: thin(), Base: base, Credentials: credentials(t), Rate: 300})
	d.eventually("the flood is being asked about", func() bool { return asked.Load() > 20 })
	d.raiseWeak("genuine", d.now(), false)
	at := asked.Load()
	d.eventually("the genuine one is answered", func() bool { return len(d.confirmations()) == 1 })
	t.Logf("%d forged questions were asked between the genuine one's arrival and its turn", before.Load()-at-1)
	if n := before.Load() - at; n > forged/4 { // a busy machine may ask some while the journal writes
		t.Errorf("%d questions were asked before the genuine one", n)
	}
	d.eventually("the flood has ended", func() bool { return len(d.questions()) == 0 })
	if n := asked.Load(); n != enough*forged+1 {
		t.Errorf("%d calls", n)
	}
}
