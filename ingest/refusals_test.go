package ingest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"countersign/ingest/provider"
	"countersign/kyc"
	"countersign/signing"
)

// TestRefusalLog: a flood of refusals does not flood the log, and the log says how many it left
// out. It hides no other refusal: not of another source, not of another kind.
func TestRefusalLog(t *testing.T) {
	d := open(t)
	tallies := []*tally{d.nobody}
	for _, s := range d.set.Load().sources {
		tallies = append(tallies, s.tally)
	}
	for _, to := range tallies {
		for _, v := range verdicts {
			l := to.refusals.of(v)
			l.limit.SetLimit(0)
			l.limit.SetBurst(5)
		}
	}
	lines := func(source string, v verdict) int {
		return strings.Count(d.log.String(), fmt.Sprintf(`"source":%q,"verdict":%q`, source, v))
	}
	green := sample(t, "sumsub", "approved", provider.SampleVars{Subject: "user-1"})
	bareOne := post(pathPrefix+"sumsub", green)
	for i := range 100 {
		d.ask(post(pathPrefix+fmt.Sprint("nobody-", i), green))
		d.ask(bareOne)
	}
	d.ask(post(pathPrefix+"sumsub", green, "X-Payload-Digest: "+strings.Repeat("0", 64), "X-Payload-Digest-Alg: HMAC_SHA256_HEX"))
	d.ask(post(pathPrefix+"other", green))
	type kind struct {
		source  string
		verdict verdict
	}
	for k, want := range map[kind]int{{unknownLabel, unknownSource}: 5, {"sumsub", unsigned}: 5, {"sumsub", mismatch}: 1, {"other", unsigned}: 1} {
		if got := lines(k.source, k.verdict); got != want {
			t.Errorf("%s %s: %d lines, want %d", k.source, k.verdict, got, want)
		}
	}
	l := d.nobody.refusals.of(unknownSource)
	if n := l.unlogged.Load(); n != 95 {
		t.Errorf("%d are not logged, want 95", n)
	}
	l.limit.SetBurst(6)
	l.limit.SetLimit(1e9)
	d.ask(post(pathPrefix+"nobody", green))
	if !strings.Contains(d.log.String(), `"not_logged":95`) {
		t.Error("the next line does not say how many were left out")
	}
}

// TestRateAfterProof: where a key proves callbacks, those that it does not prove use up nothing of
// the source's rate; where nothing does, all count.
func TestRateAfterProof(t *testing.T) {
	d := open(t, func(o *Options) {
		a := provider.Adapter{
			Name: "bare", Evidence: kyc.Network, Scheme: func(provider.Options) (signing.Scheme, error) { return signing.Unsigned{}, nil },
			Translate: func(signing.Header, []byte, provider.Options) (provider.Result, error) {
				return provider.Result{Ignored: "nothing"}, nil
			},
		}
		o.Sources = append(o.Sources, Source{
			Name: "bare", Adapter: a, Partner: "acme", Evidence: kyc.Signed, MaxBody: 1 << 20, Rate: 1, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		})
	})
	for range 50 {
		if a := d.ask(post(pathPrefix+"slow", "{}")); a.status != 401 {
			t.Fatalf("a forged one: %d", a.status)
		}
	}
	if a := d.ask(approval(t, "slow", "user-1")); a.status != 200 {
		t.Errorf("a genuine one beside a flood of forged ones: %d", a.status)
	}
	for range 20 {
		d.ask(approval(t, "slow", "user-1"))
		d.ask(post(pathPrefix+"bare", "{}"))
	}
	if genuine, bare := d.count("slow", tooFast), d.count("bare", tooFast); genuine == 0 || bare == 0 {
		t.Errorf("of 20 genuine ones and 20 at a source without a key %v and %v were too fast", genuine, bare)
	}
}

// TestSourcesAreCheap: a source is made without a look at its verdicts, of which there are more than
// twenty: a config may have tens of thousands of sources.
func TestSourcesAreCheap(t *testing.T) {
	d := open(t)
	n := 0
	if allocs := testing.AllocsPerRun(1000, func() { n++; d.m.answers(fmt.Sprint("source-", n)) }); allocs > 8 {
		t.Errorf("%.1f allocations for a source", allocs)
	}
}
