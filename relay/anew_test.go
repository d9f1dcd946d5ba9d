package relay

import (
	"strings"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/relay/format"
	"countersign/signing"
)

// TestRenderedAnew: what cannot be signed any more, because the endpoint's format or keys have
// changed since it was made, goes out in the format of today, with the same webhook-id, in order,
// and its history says so.
func TestRenderedAnew(t *testing.T) {
	t.Parallel()
	plain, err := signing.ParseKey("a plain text of a partner's own")
	if err != nil {
		t.Fatal(err)
	}
	ancient := standard
	ancient.Name = "ancient" // not in this program
	f := func(what string, before, after format.Format, key signing.Key, cause string) {
		t.Helper()
		p := newPartner(t, always(500))
		g := start(t, acme(p.endpoint("a", only("kyc.status.*"), hourly, func(e *Endpoint) { e.Format = before })))
		g.tell(said("ann", 1, kyc.Pending), said("ann", 2, kyc.Rejected))
		eventually(t, "one try is settled", func() bool { tries, _ := g.outbox.Tries("a", "acme/ann", 2); return len(tries) == 1 })
		old := p.seen()[0]
		e := &g.partners[0].Endpoints[0]
		e.Format, e.Keys = after, []Key{{Key: key}}
		g.restart()
		g.after(time.Hour + time.Second)
		if h := p.until(t, 2)[1]; !signedBy(*e, h, key, g.clock.now()) { // it fails once more, and is what it is from then on
			t.Errorf("%s: it is not signed as today", what)
		}
		eventually(t, "three tries are settled", func() bool { tries, _ := g.outbox.Tries("a", "acme/ann", 2); return len(tries) == 3 })
		p.from(ok)
		g.restart()
		g.after(time.Hour + time.Second)
		g.settled()
		hits := p.seen()
		if len(hits) != 4 || len(p.accepted()) != 2 || len(g.dead("a")) != 0 {
			t.Fatalf("%s: %d requests, %d accepted, dead: %+v", what, len(hits), len(p.accepted()), g.dead("a"))
		}
		for i, h := range hits[1:] {
			if i > 0 && !signedBy(*e, h, key, g.clock.now()) {
				t.Errorf("%s: request %d is not signed as today", what, i+2)
			}
			for _, c := range g.view("acme", "ann", true).Changes {
				if want, _ := after.Render(c, c.Sequence-2); h.id == c.ID && h.body != string(want) {
					t.Errorf("%s: request %d is %s, want %s", what, i+2, h.body, want)
				}
			}
		}
		if hits[1].id != old.id || hits[2].id != old.id || hits[1].body != hits[2].body || hits[3].id == old.id {
			t.Errorf("%s: %s became %s, %s, %s", what, old.id, hits[1].id, hits[2].id, hits[3].id)
		}
		tries, err := g.outbox.Tries("a", "acme/ann", 2)
		if err != nil || tries[1].Reason != "rendered_anew" || !strings.Contains(tries[1].Detail, cause) || tries[2].Reason != "http_5xx" {
			t.Errorf("%s: the tries are %+v, %v", what, tries, err)
		}
		for _, d := range g.view("acme", "ann", true).Deliveries {
			if d.Outcome != outbox.Done || !d.Anew || d.Format != after.Name {
				t.Errorf("%s: its history says %+v", what, d)
			}
		}
	}
	f("another format, another key", standard, blendfiV1, plain, "made in standard, cannot be signed any more (key 1 of 1: not a Standard Webhooks secret")
	f("its format is gone", ancient, standard, rotatedKey, "made in ancient, cannot be signed any more (format ancient is not in this program), rendered again in standard")
}

// TestRenderedAnewInNoWords: a format that has no word for what was owed gives the lane free, and
// the rest goes out.
func TestRenderedAnewInNoWords(t *testing.T) {
	t.Parallel()
	plain, err := signing.ParseKey("a plain text of a partner's own")
	if err != nil {
		t.Fatal(err)
	}
	p := newPartner(t, always(500))
	g := start(t, acme(p.endpoint("a", only("kyc.*"), hourly)))
	g.tell(said("ann", 1, kyc.Approved)) // a check, which blendfi does not know, and a status
	eventually(t, "one try is settled", func() bool { tries, _ := g.outbox.Tries("a", "acme/ann", 1); return len(tries) == 1 })
	e := &g.partners[0].Endpoints[0]
	e.Format, e.Keys = blendfi, []Key{{Key: plain}}
	p.from(ok)
	g.restart()
	g.after(time.Hour + time.Second)
	g.settled()
	if d := g.dead("a"); len(d) != 1 || d[0].Reason != "unsignable" || d[0].Type != "kyc.check.clear" || len(p.accepted()) != 1 {
		t.Errorf("dead: %+v; %d accepted, want 1", d, len(p.accepted()))
	}
}

// TestNotRenderedAnew: what no key of today signs in any format, or whose change is not kept, fails
// and is tried again like anything else.
func TestNotRenderedAnew(t *testing.T) {
	t.Parallel()
	p := newPartner(t, ok)
	g := newRig(t)
	e := p.endpoint("a", only("kyc.status.*"), hourly)
	e.Keys = []Key{{Key: mainKey, Until: g.clock.now().Add(-time.Hour)}}
	g.partners = []Partner{acme(e)}
	g.restart()
	g.tell(said("ann", 1, kyc.Approved))
	eventually(t, "one try is settled", func() bool { tries, _ := g.outbox.Tries("a", "acme/ann", 2); return len(tries) == 1 })
	if tries, err := g.outbox.Tries("a", "acme/ann", 2); err != nil || tries[0].Reason != "other" || g.outbox.Owed("a") != 1 {
		t.Errorf("%+v, %v; %d owed, want 1", tries, err, g.outbox.Owed("a"))
	}
}
