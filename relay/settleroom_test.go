package relay

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// TestRoomOfAnswers: what partners answer takes no room that is accounted for. Everybody who waits is
// refused twice, with another page each time, and then accepted with many words, while there is
// hardly more room than that will take: all of it is settled, and what callbacks and the fold are
// left is not touched.
func TestRoomOfAnswers(t *testing.T) {
	const people, together = 1500, 250
	g := &rig{t: t, dir: t.TempDir(), partners: []Partner{acme(Endpoint{ID: "a", MaxOwed: people})}, maxSize: 16 << 20}
	t.Cleanup(func() { g.close() })
	g.open()
	page := strings.Repeat("<p>the upstream is gone</p>", 200)
	for n := 0; n < people; n += together {
		if err := g.store.Update(t.Context(), func(tx *store.Tx) error {
			for i := range together {
				if err := g.outbox.Put(tx, outbox.Delivery{
					Endpoint: "a", Lane: fmt.Sprintf("acme/user-%08d", (n+i)*7919%100_000_000), Sequence: 2, WebhookID: fmt.Sprintf("evt_01KM2VSGN1Q0KF3ZB6H8%06d", n+i),
					Type: "kyc.status.approved", Format: "standard", Owed: g.clock.now(), Received: g.clock.now(), Body: []byte(`{"status":"` + kyc.Approved + `"}`),
				}); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	before := g.store.Account()
	g.stuff(before.Owed + before.Reserve + 64<<10)
	before = g.store.Account()
	settled, seen := 0, 0
	for range 3 * people / together * 2 {
		ds, _, err := g.outbox.Claim("a", outbox.Turn{Max: together, Failed: together})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range ds {
			seen++
			a := outbox.Attempt{Delivery: d, Outcome: outbox.Retry, Reason: "http_5xx", Code: 503, At: g.clock.now(), Took: 1, Retry: g.clock.now()}
			a.Exchange.Answer = outbox.Answer{Text: (strconv.Itoa(seen) + page)[:outbox.MaxText], Type: "text/html", Bytes: 9000}
			if d.Failures == 2 {
				a.Outcome, a.Reason, a.Code = outbox.Done, "http_2xx", 200
				a.Exchange.Answer.Text = a.Exchange.Answer.Text[:outbox.MaxAcceptedText]
				settled++
			}
			g.outbox.Settle(a)
		}
		if err := g.outbox.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if room := g.store.Account().Room; room < before.Reserve/2 {
			t.Fatalf("%d bytes are left after %d of %d, and %d are for settling alone", room, settled, people, before.Reserve/2)
		}
	}
	after := g.store.Account()
	t.Logf("before %+v, after %+v", before, after)
	if settled != people || g.outbox.Owed("a") != 0 || g.metric("outbox_settle_retries_total") != 0 {
		t.Errorf("%d of %d are settled, %d owed, %v were tried again", settled, people, g.outbox.Owed("a"), g.metric("outbox_settle_retries_total"))
	}
	if took := before.Room - after.Room; took > before.Owed {
		t.Errorf("it took %d bytes, and %d were expected", took, before.Owed)
	}
}
