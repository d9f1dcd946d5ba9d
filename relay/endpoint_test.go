package relay

import (
	"strings"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

// TestRotation: while keys overlap both sign, newest first; then the new one alone. Where there is room for one signature, the older one signs until then.
func TestRotation(t *testing.T) {
	p, flat, silent := newPartner(t, ok), newPartner(t, ok), newPartner(t, ok)
	g := newRig(t)
	until := g.clock.now().Add(time.Hour)
	keys := func(e *Endpoint) { e.Keys = []Key{{Key: mainKey}, {Key: rotatedKey, Until: until}} }
	both := p.endpoint("both", only("kyc.status.*"), keys)
	one := flat.endpoint("one", only("kyc.status.*"), keys, func(e *Endpoint) { e.Format = blendfi })
	expired := silent.endpoint("expired", only("kyc.status.*"), keys, attempts(1), func(e *Endpoint) { e.Keys = e.Keys[1:] })
	g.partners = []Partner{acme(both, one, expired)}
	g.restart()
	f := func(e Endpoint, h hit, k signing.Key, want bool) {
		t.Helper()
		if got := signedBy(e, h, k, g.clock.now()); got != want {
			t.Errorf("%s: signed by this key: %v, want %v", e.ID, got, want)
		}
	}
	last := func(p *partner) hit { return p.seen()[len(p.seen())-1] }
	g.tell(said("ann", 1, kyc.Approved))
	g.settled()
	if sigs := strings.Fields(last(p).header.Get("Webhook-Signature")); len(sigs) != 2 {
		t.Errorf("%d signatures during the overlap, want 2", len(sigs))
	}
	f(both, last(p), mainKey, true)
	f(both, last(p), rotatedKey, true)
	f(one, last(flat), rotatedKey, true)
	f(one, last(flat), mainKey, false)
	f(expired, last(silent), rotatedKey, true)
	g.after(time.Hour)
	g.tell(said("ann", 2, kyc.Rejected))
	g.settled()
	if sigs := strings.Fields(last(p).header.Get("Webhook-Signature")); len(sigs) != 1 {
		t.Errorf("%d signatures after the overlap, want 1", len(sigs))
	}
	f(both, last(p), mainKey, true)
	f(both, last(p), rotatedKey, false)
	f(one, last(flat), mainKey, true)
	f(one, last(flat), rotatedKey, false)
	if len(silent.seen()) != 1 || len(g.dead("expired")) != 1 {
		t.Errorf("%d requests and %d dead of an endpoint whose only key is out of use, want no more than before and 1", len(silent.seen()), len(g.dead("expired")))
	}
}
