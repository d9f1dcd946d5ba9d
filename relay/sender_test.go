package relay

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/outbox"
)

// flurry is several changes for each of many subjects.
func flurry(subjects, changes int) (us []kyc.Update) {
	for i := range changes {
		for s := range subjects {
			us = append(us, said(fmt.Sprint("user-", s), i, []kyc.Status{kyc.InReview, kyc.Rejected}[i%2]))
		}
	}
	return us
}

// owedTo is what the model owes an endpoint of acme for these updates.
func owedTo(t *testing.T, e Endpoint, us []kyc.Update) []expected {
	t.Helper()
	m := newModel(acme(e))
	m.take(t, time.Now(), us...)
	return m.owed[e.ID]
}

// slowly holds every answer for up to two milliseconds, so that what can overlap does.
func slowly(answer func(hit) reply) func(hit) reply {
	return func(h hit) reply {
		<-time.After(time.Duration(rand.IntN(2000)) * time.Microsecond)
		return answer(h)
	}
}

// TestOrder: whatever fails, every lane arrives in order, one in flight (I3).
func TestOrder(t *testing.T) {
	t.Parallel()
	f := func(what string, failure reply, timeout time.Duration) {
		t.Helper()
		p := newPartner(t, slowly(func(h hit) reply {
			switch rand.IntN(8) {
			case 0:
				return reply{code: 500}
			case 1:
				return reply{code: 503}
			case 2:
				return failure
			}
			return ok(h)
		}))
		e := p.endpoint("a", func(e *Endpoint) { e.Concurrency, e.Timeout = 32, timeout })
		us := flurry(30, 6)
		g := start(t, acme(e))
		g.tell(us...)
		g.settled()
		owed := owedTo(t, e, us)
		p.check(t, owed)
		if n := len(p.seen()); n <= len(owed) {
			t.Errorf("%s: %d requests for %d deliveries: nothing has failed", what, n, len(owed))
		}
		if failure.hang {
			return // given up by us, such a request may stay at the partner for a while
		}
		for _, w := range overlaps(p.seen(), owed) {
			t.Errorf("%s: %s", what, w)
		}
	}
	f("resets", reply{reset: true}, 10*time.Second)
	f("timeouts", reply{hang: true}, 30*time.Millisecond)
}

// TestOrderChecker is the negative control: behind somebody who lets several deliveries of a lane
// fly, the checkers must find it.
func TestOrderChecker(t *testing.T) {
	landed := make(chan struct{})
	p := newPartner(t, func(h hit) reply {
		<-landed
		return ok(h)
	})
	var mu sync.Mutex // guards flying
	var flying []*http.Request
	careless := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		onward, _ := http.NewRequest(http.MethodPost, p.URL, bytes.NewReader(b))
		onward.Header = r.Header.Clone()
		mu.Lock()
		defer mu.Unlock()
		flying = append(flying, onward)
	}))
	t.Cleanup(careless.Close)
	e := p.endpoint("a", func(e *Endpoint) { e.URL, e.Concurrency = careless.URL, 32 })
	us := flurry(5, 6)
	g := start(t, acme(e))
	g.tell(us...)
	g.settled()
	slices.Reverse(flying)
	var wg sync.WaitGroup
	for i, r := range flying { // the last one lands first, and all are in the air together
		wg.Go(func() {
			if resp, err := http.DefaultClient.Do(r); err == nil {
				resp.Body.Close()
			}
		})
		p.until(t, i+1)
	}
	close(landed)
	wg.Wait()
	owed := owedTo(t, e, us)
	if len(judge(p.seen(), owed)) == 0 || len(overlaps(p.seen(), owed)) == 0 {
		t.Error("the checkers see nothing: they cannot fail")
	}
	for _, w := range judge(p.seen(), owed) {
		if !strings.HasPrefix(w, "out of order") {
			t.Error(w)
		}
	}
	owed[0].body += " "
	owed = append(owed, expected{"acme|lost", "evt_lost", ""})
	if w := strings.Join(judge(p.seen(), owed[1:]), "\n"); !strings.Contains(w, "lost: ") || !strings.Contains(w, "invented: ") {
		t.Error("the checker does not see what is lost and what is invented")
	}
	if w := strings.Join(judge(p.seen(), owed), "\n"); !strings.Contains(w, "altered: ") {
		t.Error("the checker does not see what is altered")
	}
}

// TestRateThenGone: who has waited for its turn looks again before it sends.
func TestRateThenGone(t *testing.T) {
	t.Parallel()
	p := newPartner(t, always(410))
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"), func(e *Endpoint) { e.Rate = 1 })))
	g.tell(flurry(5, 1)...)
	g.folded()
	eventually(t, "one is dead", func() bool { return g.outbox.Dead("a") == 1 })
	g.restart() // whoever waited has waited in vain
	if len(p.seen()) != 1 || g.outbox.Owed("a") != 4 {
		t.Errorf("%d requests and %d owed, want 1 and 4", len(p.seen()), g.outbox.Owed("a"))
	}
}

// TestRetryAfter pauses the whole endpoint, and obeys for the delivery itself.
func TestRetryAfter(t *testing.T) {
	p := newPartner(t, func(h hit) reply {
		if h.try == 1 && strings.Contains(h.body, `"id":"ann"`) {
			return reply{code: 503, header: http.Header{"Retry-After": {"200"}}}
		}
		return ok(h)
	})
	fence := newPartner(t, ok)
	g := start(t, acme(p.endpoint("a", only("kyc.status.*")), fence.endpoint("fence", only("kyc.status.*"))))
	g.tell(said("ann", 1, kyc.Approved))
	eventually(t, "the endpoint is paused", func() bool { tries, _ := g.outbox.Tries("a", "acme/ann", 2); return len(tries) == 1 })
	g.tell(said("bob", 1, kyc.Approved))
	fence.until(t, 2)
	g.after(190 * time.Second)
	fence.from(ok)
	g.tell(said("cid", 1, kyc.Approved))
	fence.until(t, 3)
	if n := len(p.seen()); n != 1 {
		t.Errorf("%d requests during the pause, want the first only", n)
	}
	g.after(11 * time.Second)
	g.settled()
	if n := len(p.accepted()); n != 3 {
		t.Errorf("%d delivered after the pause, want 3", n)
	}
}

// TestHangingEndpoint: one that hangs costs the others nothing (I6).
func TestHangingEndpoint(t *testing.T) {
	t.Parallel()
	stuck, fine := newPartner(t, func(hit) reply { return reply{hang: true} }), newPartner(t, ok)
	e := fine.endpoint("fine")
	g := newRig(t, acme(stuck.endpoint("stuck", func(e *Endpoint) { e.Timeout = time.Minute }), e))
	g.grace = time.Millisecond
	g.restart()
	us := flurry(50, 4)
	g.tell(us...)
	eventually(t, "the other endpoint has everything", func() bool { return g.outbox.Owed("fine") == 0 && g.position() == g.appended })
	fine.check(t, owedTo(t, e, us))
	if n := len(stuck.seen()); n > 8 || len(stuck.accepted()) > 0 {
		t.Errorf("%d requests hang, want at most the 8 that may", n)
	}
	if owed := g.outbox.Owed("stuck"); owed != int64(len(owedTo(t, e, us))) {
		t.Errorf("%d owed to the one that hangs, want all", owed)
	}
}

// TestStopFinishes: what is in flight when the relay stops is waited for and settled.
func TestStopFinishes(t *testing.T) {
	arrived, turn := make(chan struct{}, 9), make(chan struct{})
	p := newPartner(t, func(h hit) reply {
		arrived <- struct{}{}
		<-turn
		return ok(h)
	})
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"), func(e *Endpoint) { e.Concurrency = 2 })))
	g.tell(flurry(9, 1)...)
	<-arrived
	<-arrived
	g.stopRelay()
	close(turn)
	if err := g.ended(); err != nil {
		t.Errorf("Run = %v", err)
	}
	if n := g.outbox.Owed("a"); n != 7 || len(p.accepted()) != 2 {
		t.Errorf("%d owed and %d delivered, want 7 and 2", n, len(p.accepted()))
	}
	if ds, _, err := g.outbox.Claim("a", outbox.Turn{Max: 100, Failed: 100}); err != nil || len(ds) != 7 {
		t.Errorf("%d can be claimed, %v; want 7: every claim was given back", len(ds), err)
	}
	g.restart()
	g.settled()
	if n := len(p.seen()); n != 9 {
		t.Errorf("%d requests, want 9: nothing twice", n)
	}
}

// TestStopCutsOff: a partner that hangs does not hold up the stop for longer than the grace; the
// attempt is made again, with the same id.
func TestStopCutsOff(t *testing.T) {
	p := newPartner(t, func(hit) reply { return reply{hang: true} })
	g := newRig(t, acme(p.endpoint("a", only("kyc.status.*"), func(e *Endpoint) { e.Timeout = 10 * time.Minute })))
	g.grace = 50 * time.Millisecond
	g.restart()
	g.tell(said("ann", 1, kyc.Approved))
	p.until(t, 1)
	if err := g.halt(); err != nil { // fails after its own patience, which is far below the timeout
		t.Errorf("Run = %v", err)
	}
	if ds, _, err := g.outbox.Claim("a", outbox.Turn{Max: 9, Failed: 9}); err != nil || len(ds) != 1 || ds[0].Failures != 0 {
		t.Errorf("claimed %+v, %v; want one that counts no failure", ds, err)
	}
	p.from(ok)
	g.restart()
	g.settled()
	if hits := p.seen(); len(hits) != 2 || hits[0].id != hits[1].id || hits[0].body != hits[1].body {
		t.Errorf("%d requests, want two of one delivery", len(hits))
	}
}

// TestScheduleSurvives: the number of failures, and so the schedule, is on disk.
func TestScheduleSurvives(t *testing.T) {
	p := newPartner(t, always(500))
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"), hourly, attempts(4))))
	g.tell(said("ann", 1, kyc.Approved))
	for n := 1; n < 4; n++ {
		eventually(t, fmt.Sprintf("try %d is settled", n), func() bool { tries, _ := g.outbox.Tries("a", "acme/ann", 2); return len(tries) == n })
		if n%2 == 0 {
			g.crash()
		} else {
			g.restart()
		}
		if len(p.seen()) != n {
			t.Fatalf("%d requests before their time, want %d", len(p.seen()), n)
		}
		g.after(time.Hour + time.Second)
	}
	g.settled()
	if d := g.dead("a"); len(d) != 1 || d[0].Failures != 4 || len(p.seen()) != 4 {
		t.Errorf("%d requests, dead: %+v", len(p.seen()), d)
	}
}

// TestOverlaps keeps the measure honest.
func TestOverlaps(t *testing.T) {
	if !slices.Equal(overlaps([]hit{{id: "a", start: 1, end: 2}, {id: "b", start: 3, end: 4}}, []expected{{"l", "a", ""}, {"l", "b", ""}}), nil) {
		t.Error("requests one after the other are said to overlap")
	}
}
