package relay

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
)

// series are all series of the registry, by name and labels.
func (g *rig) series() (names []string) {
	g.t.Helper()
	families, err := g.reg.Gather()
	if err != nil {
		g.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			parts := []string{f.GetName()}
			for _, l := range m.GetLabel() {
				parts = append(parts, l.GetName()+"="+l.GetValue())
			}
			names = append(names, strings.Join(parts, ","))
		}
	}
	slices.Sort(names)
	return names
}

// TestMetricsTellTheTruth: after a random run the counters are what the partners saw.
func TestMetricsTellTheTruth(t *testing.T) {
	t.Parallel()
	codes := []int{200, 200, 200, 204, 302, 400, 404, 429, 500, 503}
	p := newPartner(t, func(hit) reply {
		if rand.IntN(20) == 0 {
			return reply{reset: true}
		}
		return reply{code: codes[rand.IntN(len(codes))]}
	})
	q := newPartner(t, first(2, http.StatusBadGateway))
	g := newRig(t, acme(p.endpoint("p", attempts(3)), q.endpoint("q", only("kyc.status.*"), func(e *Endpoint) { e.Format = blendfiV1 })))
	fromStart := g.series()
	g.run()
	us := randomUpdates(7, 200)
	m := newModel(g.partners...)
	m.take(t, time.Now(), us...)
	g.tell(us...)
	g.settled()
	f := func(want int, name string, labels ...string) {
		t.Helper()
		if got := g.metric(name, labels...); got != float64(want) {
			t.Errorf("%s%v = %v, want %d", name, labels, got, want)
		}
	}
	done, attempts, all := map[string]int{}, 0, 0
	for id, hits := range map[string][]hit{"p": p.seen(), "q": q.seen()} {
		counted := int(g.sum("relay_attempts_total", "endpoint", id))
		attempts, all = attempts+counted, all+len(hits)
		for _, h := range hits {
			if h.code/100 == 2 {
				done[id]++
			}
		}
		f(counted, "relay_endpoint_attempt_seconds", "endpoint", id)
		f(done[id], "relay_attempts_total", "endpoint", id, "outcome", "done")
		f(0, "outbox_pending_deliveries", "endpoint", id)
		f(len(m.owed[id])-done[id], "outbox_dead_lettered_deliveries", "endpoint", id)
		f(len(m.owed[id])-done[id], "relay_attempts_total", "endpoint", id, "outcome", "dead_lettered")
	}
	twice := int(g.metric("relay_repeated_requests_total"))
	if attempts+twice != all {
		t.Errorf("%d attempts and %d repeated requests counted, the partners saw %d", attempts, twice, all)
	}
	f(attempts, "relay_attempt_seconds")
	f(done["p"]+done["q"], "relay_attempt_reasons_total", "reason", "http_2xx")
	f(len(m.owed["p"])+len(m.owed["q"])-done["p"]-done["q"], "relay_attempt_reasons_total", "reason", "exhausted")
	f(done["p"], "relay_deliveries_total", "format", "standard", "outcome", "done")
	f(len(m.owed["p"])-done["p"], "relay_deliveries_total", "format", "standard", "outcome", "dead_lettered")
	f(len(p.seen())-twice-len(m.owed["p"]), "relay_deliveries_total", "format", "standard", "outcome", "retry")
	f(done["q"], "relay_deliveries_total", "format", "blendfi-v1", "outcome", "done")
	f(done["p"]+done["q"], "relay_end_to_end_seconds")
	f(len(m.waiting), "relay_unrouted_records")
	tallies, statuses := map[kyc.Verdict]int{}, map[kyc.Status]int{}
	for _, l := range m.lanes {
		for _, r := range l.records {
			tallies[r.Verdict]++
		}
		for _, c := range l.changes {
			if strings.HasPrefix(c.Type, "kyc.status.") {
				statuses[c.Status]++
			}
		}
	}
	for _, v := range kyc.Verdicts {
		if v != kyc.Unrouted && v != kyc.Ambiguous { // these count on the way, not in the end
			f(tallies[v], "relay_updates_total", "verdict", string(v))
		}
	}
	for _, s := range kyc.Statuses {
		f(statuses[s], "relay_status_changes_total", "status", string(s))
	}
	if n := g.log.count(`"msg":"delivery_attempt"`); n != len(p.seen())+len(q.seen())-twice {
		t.Errorf("%d attempts logged, %d made", n, len(p.seen())+len(q.seen())-twice)
	}
	same(t, "every series is there from the first scrape", g.series(), fromStart)
}

// TestMetricsOfDeath: what is put down without an attempt counts as such, and the series are there
// before.
func TestMetricsOfDeath(t *testing.T) {
	t.Parallel()
	p := newPartner(t, always(410))
	g := newRig(t, acme(p.endpoint("a", only("kyc.status.*"), func(e *Endpoint) { e.Concurrency = 1 })))
	fromStart := g.series()
	g.run()
	g.tell(flurry(5, 1)...)
	g.folded()
	eventually(t, "one is dead", func() bool { return g.outbox.Dead("a") == 1 })
	f := func(want float64, name string, labels ...string) {
		t.Helper()
		if got := g.metric(name, labels...); got != want {
			t.Errorf("%s%v = %v, want %v", name, labels, got, want)
		}
	}
	f(1, "relay_attempts_total", "endpoint", "a", "outcome", "dead_lettered")
	f(1, "relay_attempt_reasons_total", "reason", "http_410")
	f(1, "outbox_dead_lettered_deliveries", "endpoint", "a")
	f(4, "outbox_pending_deliveries", "endpoint", "a")
	f(1, "relay_endpoint_disabled", "endpoint", "a")
	f(1, "relay_deliveries_total", "format", "standard", "outcome", "dead_lettered")
	same(t, "series", g.series(), fromStart)
	g.restart()
	f(1, "relay_endpoint_disabled", "endpoint", "a")
	f(1, "outbox_dead_lettered_deliveries", "endpoint", "a")
}

// TestUnconfirmedClaims: I10's claims are counted, once each.
func TestUnconfirmedClaims(t *testing.T) {
	g := start(t, acme())
	claim := weakly(said("ann", 1, kyc.Approved))
	g.tell(claim, claim, weakly(said("bob", 1, kyc.Pending)), said("cid", 1, kyc.Approved))
	g.folded()
	if n := g.metric("relay_unconfirmed_claims_total"); n != 1 {
		t.Errorf("%v claims counted, want 1", n)
	}
	if s := g.view("acme", "ann", true).Status.Status; s != kyc.InReview {
		t.Errorf("ann is %s on an address's word", s)
	}
}
