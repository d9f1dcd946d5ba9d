package relay

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"countersign/kyc"
)

// randomChange says some things and leaves others out.
func randomChange(rnd *rand.Rand) *kyc.Change {
	some := func() bool { return rnd.IntN(2) == 0 }
	text := func() string {
		return [...]string{"", "", "a", "Zoë <b>&\"\\", "kyc.status.approved", "01KM2VSGN1Q0KF3ZB6H8D4YTAC"}[rnd.IntN(6)]
	}
	at := func() (t time.Time) {
		if some() {
			t = time.Unix(rnd.Int64N(1e11)-1e9, rnd.Int64N(1e9)).UTC() // before 1970, and after nanoseconds can count
		}
		return t
	}
	c := &kyc.Change{
		ID: "evt_" + text(), Type: text(), Sequence: rnd.Uint64() >> rnd.IntN(64), Partner: text(), Livemode: some(), Subject: kyc.Subject{ID: text(), ProviderRef: text(), Kind: text()},
		Status: kyc.Status(text()), PreviousStatus: kyc.Status(text()), Retryable: some(), Terminal: some(), NeedsConfirmation: some(), ClaimedStatus: kyc.Status(text()),
		ApprovedAt: at(), ExpiresAt: at(), OccurredAt: at(), ReceivedAt: at(), DecidedBy: text(), CauseID: text(), Traceparent: text(),
	}
	if some() {
		c.Check = kyc.CheckView{Type: kyc.Check(text()), Status: text(), Source: text(), Provider: text(), ProviderRef: text()}
	}
	if some() {
		c.Document = kyc.Document{ID: text(), Type: text(), Subtype: text()}
	}
	for range rnd.IntN(3) {
		c.Reasons = append(c.Reasons, kyc.ReasonPair{Code: kyc.Reason(text()), ProviderCode: text()})
	}
	return c
}

// TestChangeCodec: a change reads as it was written, and as it reads from its JSON; its id is found
// without reading it; what is cut or longer is none.
func TestChangeCodec(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		c := randomChange(rnd)
		b := appendChange(nil, c)
		var is, told kyc.Change
		if !readChange(b, &is) || !reflect.DeepEqual(&is, c) {
			t.Fatalf("read %+v\nwrote %+v", is, c)
		}
		if json.Unmarshal(c.AppendJSON(nil), &told) == nil && !reflect.DeepEqual(is, told) {
			t.Fatalf("read %+v\nits JSON says %+v", is, told)
		}
		if string(changeID(b)) != c.ID || string(entryID(changeKey(t0, placeZero, 1), b)) != c.ID {
			t.Fatalf("the id of %+v is %q", c, changeID(b))
		}
		if readChange(append(bytes.Clone(b), 0), &is) || readChange(c.AppendJSON(nil), &is) {
			t.Fatal("something else is a change")
		}
		if i := rnd.IntN(len(b)); readChange(b[:i], &is) {
			t.Fatalf("%d bytes of %d are a change", i, len(b))
		}
	}
}

// BenchmarkChange is what it costs to write a change into the history, beside its JSON.
func BenchmarkChange(b *testing.B) {
	at := time.Date(2026, 5, 1, 12, 30, 15, 123456000, time.UTC)
	c := &kyc.Change{
		ID: "evt_01KM2VSGN1Q0KF3ZB6H8D4YTAC", Type: "kyc.status.rejected", Sequence: 6, Partner: "acme", Livemode: true, Subject: kyc.Subject{ID: "user-00007919", ProviderRef: "64f1c0a5b9e77c0001001eef", Kind: kyc.Individual},
		Status: kyc.Rejected, PreviousStatus: kyc.InReview, Check: kyc.CheckView{Type: kyc.IdentityVerification, Status: "failed", Source: "sumsub-eu", Provider: "sumsub", ProviderRef: "64f1c0a5b9e77c0001001eef"},
		Reasons: []kyc.ReasonPair{{Code: kyc.DocumentUnreadable, ProviderCode: "UNSATISFACTORY_PHOTOS"}}, Retryable: true, DecidedBy: "01KM2VSGN1Q0KF3ZB6H8D4YTAC", OccurredAt: at, ReceivedAt: at,
		CauseID: "01KM2VSGN1Q0KF3ZB6H8D4YTAC", Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}
	for _, w := range []struct {
		name string
		to   func([]byte) []byte
	}{{"history", func(b []byte) []byte { return appendChange(b, c) }}, {"JSON", c.AppendJSON}} {
		b.Run(w.name, func(b *testing.B) {
			buf := make([]byte, 0, 1<<10)
			b.ReportAllocs()
			for b.Loop() {
				w.to(buf)
			}
			b.ReportMetric(float64(len(w.to(buf))), "bytes")
		})
	}
}
