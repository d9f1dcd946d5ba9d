package ingest

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
	"countersign/kyc"
	"countersign/signing"
)

// TestPlaces: whoever posts many stands behind everybody who posts few, and is remembered in
// bounded memory.
func TestPlaces(t *testing.T) {
	var p places
	forger, provider := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")
	for i := range 600 {
		if got := p.take(forger, at); !got.Equal(at.Add(time.Duration(i) * placeApart)) {
			t.Fatalf("%d: %s", i, got)
		}
	}
	if got := p.take(provider, at.Add(time.Minute)); !got.Equal(at.Add(time.Minute)) {
		t.Errorf("somebody else: %s", got)
	}
	if got := p.take(forger, at.Add(time.Hour)); !got.Equal(at.Add(time.Hour)) {
		t.Errorf("an hour later: %s", got)
	}
	if block(netip.MustParseAddr("2001:db8::1")) != block(netip.MustParseAddr("2001:db8::2")) {
		t.Error("a /64 is one")
	}
	for i := range 3 * maxPlaces {
		p.take(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), at.Add(2*time.Hour))
	}
	if len(p.last) > maxPlaces {
		t.Errorf("%d addresses", len(p.last))
	}
}

// fetches asks for what the body names.
func fetches(_ signing.Header, body []byte, _ provider.Options) (provider.Result, error) {
	return provider.Result{Fetch: []provider.Fetch{{Ref: string(body), What: "w"}}}, nil
}

// TestUnprovedQuestions: what proved nothing says so in its question, and whether its ref is known.
func TestUnprovedQuestions(t *testing.T) {
	d := open(t, func(o *Options) {
		o.Knows = func(u *kyc.Update) bool { return u.Verification.Ref == "known" }
		bare := o.Sources[0]
		bare.Name = "bare"
		bare.Adapter.Proves = func(provider.Options) kyc.Authenticity { return kyc.Network }
		bare.Adapter.Translate = fetches
		proved := bare
		proved.Name, proved.Adapter.Proves = "proved", func(provider.Options) kyc.Authenticity { return kyc.Authenticated }
		o.Sources = append(o.Sources, bare, proved)
	})
	f := func(source, ref string, weak, known bool) {
		t.Helper()
		if a := d.ask(genuine(t, source, ref)); a.status != http.StatusOK {
			t.Fatalf("%d", a.status)
		}
		for _, q := range d.questions(source) {
			if q.Ref == ref && (q.Weak != weak || q.Known != known || q.Place.IsZero() == weak) {
				t.Errorf("%s %s: %+v", source, ref, q)
			}
		}
	}
	f("bare", "stranger", true, false)
	f("bare", "known", true, true)
	f("proved", "stranger", false, false)
	if qs := d.questions("bare"); len(qs) != 2 || qs[0].Ref != "known" {
		t.Errorf("%+v", qs)
	}
}

// TestKnownRefCannotStarve: whoever knows one ref, and says it again and again, is asked about
// first only so often.
func TestKnownRefCannotStarve(t *testing.T) {
	in := &Ingress{o: Options{Knows: func(*kyc.Update) bool { return true }}}
	m := &message{src: &source{proves: kyc.Network, tally: &tally{}}, client: netip.MustParseAddr("192.0.2.1")}
	before := 0
	for range 2000 {
		q := journal.Question{Since: at}
		if in.stand(m, &kyc.Update{}, &q); q.Place.Before(at) {
			before++
		}
	}
	if want := int(headStart / placeApart); before != want {
		t.Errorf("%d of 2000 stand before what somebody else says now, want %d", before, want)
	}
}
