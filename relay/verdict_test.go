package relay

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/outbox"
)

// TestAnswersInTheWild: what a real partner answers, and what the listings, history and metrics say
// of it.
func TestAnswersInTheWild(t *testing.T) {
	t.Parallel()
	f := func(what string, answer func(hit) reply, want string) {
		t.Helper()
		p := newPartner(t, answer)
		g := start(t, acme(p.endpoint("a", only("kyc.status.*"), attempts(2), func(e *Endpoint) { e.Timeout = 250 * time.Millisecond })))
		g.tell(said("ann", 1, kyc.Approved))
		g.settled()
		v := g.view("acme", "ann", true)
		d := v.Deliveries[0]
		if got := fmt.Sprint(d.Outcome, " ", d.Reason, " ", d.Code, " ", d.Attempts); got != want || len(v.Deliveries) != 1 {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
		if tries, err := g.outbox.Tries("a", "acme/ann", 2); err != nil || len(tries)+map[bool]int{true: 1}[d.Outcome == outbox.Done] != len(p.seen()) {
			t.Errorf("%s: %d tries listed, %v; the partner saw %d", what, len(tries), err, len(p.seen()))
		}
	}
	f("200", ok, "done http_2xx 200 1")
	f("204", always(204), "done http_2xx 204 1")
	f("201 after a failure", func(h hit) reply { return reply{code: map[int]int{1: 500, 2: 201}[h.try]} }, "done http_2xx 201 2")
	f("404", always(404), "dead_lettered exhausted 404 2")
	f("500", always(500), "dead_lettered exhausted 500 2")
	f("101", func(hit) reply {
		return reply{code: 101, header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"nothing"}}}
	}, "dead_lettered exhausted 101 2")
	f("reset", func(hit) reply { return reply{reset: true} }, "dead_lettered exhausted 0 2")
	f("timeout", func(hit) reply { return reply{hang: true} }, "dead_lettered exhausted 0 2")

	elsewhere := newPartner(t, ok)
	f("redirect", func(hit) reply {
		return reply{code: 307, header: http.Header{"Location": {elsewhere.URL}}}
	}, "dead_lettered exhausted 307 2")
	if n := len(elsewhere.seen()); n != 0 {
		t.Errorf("a redirect was followed %d times", n)
	}
}

// TestGone: 410 disables the endpoint, and what it was the answer to is dead, for it was not
// delivered. All else stays owed, over a restart too, and goes out with Resume.
func TestGone(t *testing.T) {
	t.Parallel()
	p := newPartner(t, always(410))
	other := newPartner(t, ok)
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"), func(e *Endpoint) { e.Concurrency = 1 }), other.endpoint("b", only("kyc.status.*"))))
	var us []kyc.Update
	for i := range 20 {
		us = append(us, said(fmt.Sprint("user-", i), 1, kyc.Pending), said(fmt.Sprint("user-", i), 2, kyc.Approved))
	}
	g.tell(us...)
	g.folded()
	eventually(t, "one is dead, and the other endpoint has all", func() bool { return g.outbox.Dead("a") == 1 && g.outbox.Owed("b") == 0 })
	is := func(asked int, owed, dead int64, disabled bool) {
		t.Helper()
		if len(p.seen()) != asked || g.outbox.Owed("a") != owed || g.outbox.Dead("a") != dead {
			t.Errorf("%d requests, %d owed, %d dead; want %d, %d, %d", len(p.seen()), g.outbox.Owed("a"), g.outbox.Dead("a"), asked, owed, dead)
		}
		if v := g.sends.Endpoints()[0]; (v.Disabled != "") != disabled || (g.metric("relay_endpoint_disabled", "endpoint", "a") == 1) != disabled {
			t.Errorf("disabled: %q, want %v", v.Disabled, disabled)
		}
	}
	is(1, 39, 1, true)
	gone := g.dead("a")[0]
	if gone.Reason != "http_410" || gone.Code != 410 || gone.Failures != 1 || !gone.HasBody {
		t.Errorf("%+v", gone)
	}
	partner, id, livemode := splitLane(gone.Subject)
	for _, d := range g.view(partner, id, livemode).Deliveries {
		if d.Endpoint == "a" && (d.Outcome != outbox.Died || d.Reason != "http_410") {
			t.Errorf("its history says %+v", d)
		}
	}
	p.from(ok)
	g.restart()
	g.tell(said("late", 1, kyc.Rejected))
	g.folded()
	is(1, 40, 1, true)
	if g.outbox.OldestWithheld("a").IsZero() {
		t.Error("the rejection is not among those that are withheld")
	}
	if err := g.sends.Resume(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	g.settled()
	is(41, 0, 1, false)
	if err := g.redeliver(gone.ID, true); err != nil {
		t.Fatal(err)
	}
	g.settled()
	is(42, 0, 0, false)
	if hits := p.seen(); hits[41].id != hits[0].id || hits[41].body != hits[0].body {
		t.Errorf("redelivered was %s, want %s", hits[41].id, hits[0].id)
	}
	g.restart()
	is(42, 0, 0, false)
	if err := g.sends.Resume(t.Context(), "nobody"); !errors.Is(err, outbox.ErrNotFound) {
		t.Errorf("Resume(nobody) = %v", err)
	}
}

// TestRefused: a delivery that is refused for an hour, while its endpoint takes others all along,
// is about its own body, and gives its lane free.
func TestRefused(t *testing.T) {
	bad := said("bad", 1, kyc.Approved)
	p := newPartner(t, func(h hit) reply {
		if strings.Contains(h.body, `"id":"bad"`) && strings.Contains(h.body, `"sequence":2`) {
			return reply{code: 400}
		}
		return ok(h)
	})
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"), func(e *Endpoint) {
		e.Retry = Schedule{First: 25 * time.Minute, Factor: 1, Max: 25 * time.Minute, Attempts: 15}
	})))
	g.tell(bad, said("bad", 2, kyc.Suspended))
	for n := 1; n <= 3; n++ { // at once, after 26 and after 52 minutes
		eventually(t, "the attempt is settled", func() bool { tries, _ := g.outbox.Tries("a", "acme/bad", 2); return len(tries) == n })
		g.tell(said(fmt.Sprint("good-", n), 1, kyc.Approved))
		eventually(t, "others are taken in between", func() bool { return g.metric("relay_attempt_reasons_total", "reason", "http_2xx") == float64(n) })
		if len(g.dead("a")) != 0 {
			t.Error("dead before its hour")
		}
		g.after(26 * time.Minute)
	}
	g.settled()
	if d := g.dead("a"); len(d) != 1 || d[0].Reason != "refused" || d[0].Sequence != 2 || d[0].Failures != 4 {
		t.Errorf("dead: %+v", d)
	}
	if s := story(t, p.accepted()); len(s) != 4 || s[3] != "status.suspended 2>4" {
		t.Errorf("delivered: %q", s)
	}
	if tries, err := g.outbox.Tries("a", "acme/bad", 2); err != nil || len(tries) != 4 || !strings.HasPrefix(tries[3].Detail, "refused 4 times since ") {
		t.Errorf("what an operator is told: %+v, %v", tries, err)
	}
}

// TestDeadLeavesTheLane: after the last attempt the lane goes on, in order (I3).
func TestDeadLeavesTheLane(t *testing.T) {
	p := newPartner(t, func(h hit) reply {
		if strings.Contains(h.body, `"sequence":4`) {
			return reply{code: 500}
		}
		return ok(h)
	})
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"), attempts(3))))
	g.tell(said("ann", 1, kyc.Pending), said("ann", 2, kyc.InReview), said("ann", 3, kyc.Approved), said("ann", 4, kyc.Rejected))
	g.settled()
	same(t, "delivered", story(t, p.accepted()), []string{"status.pending 0>2", "status.approved 4>6", "status.rejected 6>8"})
	if d := g.dead("a"); len(d) != 1 || d[0].Reason != "exhausted" || d[0].Failures != 3 || d[0].Type != "kyc.status.in_review" || d[0].Code != 500 {
		t.Errorf("dead: %+v", d)
	}
	if len(p.seen()) != 6 {
		t.Errorf("%d requests, want 6", len(p.seen()))
	}
}
