package relay

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"countersign/outbox"
	"countersign/outbox/store"
)

// outcomes of which every field says something, and of which none does.
func outcomeSamples() []OutcomeView {
	at := time.Date(2026, 3, 19, 9, 20, 0, 1000, time.UTC)
	return []OutcomeView{
		{ID: "@a", Endpoint: "a", Sequence: 1, At: at, Outcome: outbox.Died, Lane: "acme/ann"},
		{
			ID: "evt_01KM2VSGN1Q0KF3ZB6H8D4YTAC@acme-main", Endpoint: "acme-main", Sequence: 1 << 40, WebhookID: "evt_01KM2VSGN1Q0KF3ZB6H8D4YTAC", Type: "kyc.status.approved", Outcome: outbox.Done, Reason: "http_2xx", Code: 204,
			Attempts: 15, Anew: true, Replayed: true, Format: "standard", Previous: 77, TookMS: 15_000.217, Owed: at.Add(-time.Hour), Received: at.Add(-2 * time.Hour), At: at, Lane: "acme/a/b\x01t",
			Exchange: outbox.Exchange{Reused: true, FirstByte: time.Millisecond, Address: netip.MustParseAddrPort("192.0.2.7:443"), Answer: outbox.Answer{Text: "ok", Type: "text/plain", Bytes: 2}},
		},
	}
}

// TestOutcomeRecord: what was put down is read again, from the bucket and by way of the index, and
// both name the same key.
func TestOutcomeRecord(t *testing.T) {
	for _, want := range outcomeSamples() {
		body := want.appendTo(nil)[len(store.StartRecord(0)):]
		k := outcomeKey(want.At, want.Lane, want.Sequence, want.Endpoint, endingOf(want.Outcome))
		if got, ok := readOutcome(k, body); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("read %+v, %v, want %+v", got, ok, want)
		}
		place := outcomePlace(want.At, want.Sequence, want.Endpoint, endingOf(want.Outcome))
		if string(outcomeKeyAt(want.Lane, place)) != string(k) || string(placeInIndex(store.Outcomes, k, body)) != string(indexKey(want.Lane, place)) {
			t.Errorf("the index leads to %q, and it stands at %q", outcomeKeyAt(want.Lane, place), k)
		}
		got, ok := outcomeOf(place, kindOutcome, body)
		got.Lane = want.Lane
		if !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("read %+v, %v by way of the index, want %+v", got, ok, want)
		}
		for n := range body {
			if _, ok := readOutcome(k, body[:n]); ok {
				t.Errorf("%d bytes of %d were read", n, len(body))
			}
		}
	}
}

func FuzzReadOutcome(f *testing.F) {
	for _, o := range outcomeSamples() {
		f.Add(outcomeKey(o.At, o.Lane, o.Sequence, o.Endpoint, endingOf(o.Outcome)), o.appendTo(nil)[len(store.StartRecord(0)):])
	}
	f.Fuzz(func(t *testing.T, k, body []byte) {
		if o, ok := readOutcome(k, body); ok && len(o.Reason)+len(o.Type)+len(o.WebhookID)+len(o.Format) > len(body) {
			t.Errorf("%+v out of %d bytes", o, len(body))
		}
	})
}
