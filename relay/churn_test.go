package relay

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/kyc"
)

// TestChurn lives through a month in which the same persons go on to be spoken of, told and, after
// the days for which the history is kept, forgotten again: once that has begun, the file does not
// grow any more.
func TestChurn(t *testing.T) {
	t.Parallel()
	days, persons, daily := 36, 400, 160
	if raceEnabled || testing.Short() {
		days, daily = 24, 60
	}
	p := newPartner(t, func(h hit) reply {
		if h.try == 1 && h.id[len(h.id)-1] < '3' { // three in 32
			return reply{code: 503}
		}
		return reply{code: 200}
	})
	g := newRig(t, acme(p.endpoint("a", attempts(5))))
	g.close()
	g.maxSize = 64 << 20 // it grows by a MiB at a time
	g.open()
	r := rand.New(rand.NewPCG(21, 22))
	statuses := []kyc.Status{kyc.Pending, kyc.InReview, kyc.Approved, kyc.Rejected}
	var third, highest int64 // of what is in use: readers that a busy machine keeps waiting hold pages, and the file grows by that
	for day := range days {
		g.relay.Keep(Retention{Changes: 3 * 24 * time.Hour, History: 6 * 24 * time.Hour, Attempts: 2 * 24 * time.Hour})
		g.run()
		for n := 0; n < daily; n += 20 {
			us := make([]kyc.Update, 20)
			for i := range us {
				u := said(fmt.Sprintf("person-%04d", r.IntN(persons)), 0, statuses[r.IntN(len(statuses))])
				u.OccurredAt = g.clock.now().Add(time.Duration(n+i) * time.Millisecond)
				u.ReceivedAt = u.OccurredAt
				us[i] = named(u)
			}
			g.tell(us...)
		}
		g.settled()
		if err := g.journal.Passed(t.Context(), g.relay.Position()); err != nil { // as the relay does now and then: a day has hours for it
			t.Fatal(err)
		}
		g.stopped()
		g.clock.advance(24 * time.Hour)
		g.retained()
		c := g.store.Compaction()
		if highest = max(highest, c.File-c.Free); day < days/3 {
			third = highest
		}
		if day%5 == 4 {
			t.Logf("day %d: %d bytes, %d of them free", day+1, c.File, c.Free)
		}
		g.reg = prometheus.NewRegistry()
		g.makeRelay(slog.New(slog.NewJSONHandler(&g.log, nil)))
	}
	size := g.store.Compaction().File
	if highest > third+third/2 || size > 3*highest {
		t.Errorf("%d bytes were in use at the most after a third of the days, %d at the end, in a file of %d", third, highest, size)
	}
	t.Logf("%d bytes in use at the most after a third of the days, %d at the end, in a file of %d", third, highest, size)
}
