package dispatch

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/outbox"
	"countersign/relay/send"
)

// outages are the ways in which an endpoint fails for everybody, and how long each takes.
func outages(t *testing.T) []struct {
	kind
	took time.Duration
} {
	t.Helper()
	list := []struct {
		kind
		took time.Duration
	}{{code(500), 20 * time.Millisecond}, {code(503), 20 * time.Millisecond}, {code(429), 20 * time.Millisecond}, {code(302), 20 * time.Millisecond}}
	for _, k := range failures(t) {
		took := 5 * time.Millisecond
		switch k.what {
		case send.Timeout:
			took = 15 * time.Second
		case send.Connect, send.TLS, send.DNS, send.Reset:
		default:
			continue
		}
		list = append(list, struct {
			kind
			took time.Duration
		}{k, took})
	}
	return list
}

// typical are enough for what takes long.
var typical = []string{send.Timeout, send.Connect, "503"}

// TestOutages: an endpoint that is down for hours, or for three days, costs nobody an attempt of a
// schedule: when it is back, everybody is told within minutes, rejections first and in order, and
// it was asked no more than once a minute meanwhile. A restart changes nothing.
func TestOutages(t *testing.T) {
	t.Parallel()
	for _, k := range outages(t) {
		for _, down := range []time.Duration{6 * time.Hour, 72 * time.Hour} {
			if down > 6*time.Hour && !slices.Contains(typical, k.what) {
				continue
			}
			t.Run(fmt.Sprint(k.what, " ", down), func(t *testing.T) {
				t.Parallel()
				const people = 60
				m := newStorm(t, func(_ outbox.Delivery, at time.Duration) (kind, time.Duration) {
					if at < down {
						return k.kind, k.took
					}
					return fine, 50 * time.Millisecond
				})
				m.people(people)
				m.coming[down/2] = m.restart
				m.coming[down-time.Minute] = func() { m.owe("late", 2, true) }
				m.run(down)
				asked := m.sent
				m.run(100 * time.Hour)
				if n := len(m.told); n != 2*people+1 || len(m.dead()) > 0 || m.outbox.Owed("a") > 0 {
					t.Errorf("%d are told, %d are dead, %d are owed; want %d told", n, len(m.dead()), m.outbox.Owed("a"), 2*people+1)
				}
				if most := 200 + int(down/time.Minute); asked > most {
					t.Errorf("asked %d times while it was down, want at most %d", asked, most)
				}
				if took := m.since() - down; took > 10*time.Minute {
					t.Errorf("all are told %v after it was back", took)
				}
				if m.inOrder(); m.most > 24 { // eight under way as it opened, and a probe
					t.Errorf("%d were under way while it was open", m.most)
				}
				if n := len(m.notices); n < 2 || m.notices[0].Kind != Opened || m.notices[n-1].Kind != Recovered {
					t.Errorf("noticed %+v", m.notices)
				}
				t.Logf("asked %d times in %v, all told %v after it was back; %v at %v", asked, down, m.since()-down, m.states, m.at)
			})
		}
	}
}

// TestFlapping: an endpoint that works for one minute in ten, for eighty hours, loses nothing while
// more comes all the time.
func TestFlapping(t *testing.T) {
	t.Parallel()
	for _, k := range outages(t) {
		if !slices.Contains(typical, k.what) {
			continue
		}
		t.Run(k.what, func(t *testing.T) {
			t.Parallel()
			m := newStorm(t, func(_ outbox.Delivery, at time.Duration) (kind, time.Duration) {
				if at%(10*time.Minute) < 9*time.Minute && at < 80*time.Hour {
					return k.kind, k.took
				}
				return fine, 50 * time.Millisecond
			})
			owed, seqs := 0, map[string]uint64{}
			for at := time.Minute; at < 79*time.Hour; at += 17 * time.Minute {
				m.coming[at] = func() {
					for i := range 4 {
						who := fmt.Sprintf("q%03d", (owed+i)%50)
						seqs[who]++
						m.owe(who, seqs[who], (owed+i)%3 == 0)
					}
					owed += 4
				}
			}
			m.run(100 * time.Hour)
			if len(m.told) != owed || len(m.dead()) > 0 {
				t.Errorf("of %d %d are told, %d are dead", owed, len(m.told), len(m.dead()))
			}
			m.inOrder()
			t.Logf("%d requests for %d deliveries, the breaker turned %d times", m.sent, owed, len(m.states))
		})
	}
}

// TestNeverBack: what is owed to an endpoint that never comes back dies when its schedule would
// have ended, tried or not, with its reason; what is owed later stays; after five days the endpoint
// is disabled, whatever restarts there were. When an operator resumes it, the rest is told at once.
func TestNeverBack(t *testing.T) {
	t.Parallel()
	const people = 40
	back := false
	m := newStorm(t, func(outbox.Delivery, time.Duration) (kind, time.Duration) {
		if back {
			return fine, 50 * time.Millisecond
		}
		return slow, 15 * time.Second
	})
	m.people(people)
	for day := range 5 {
		m.coming[time.Duration(24*day+20)*time.Hour] = func() {
			m.owe(fmt.Sprintf("r%03d", day), 1, true)
		}
	}
	m.coming[110*time.Hour] = m.restart
	m.coming[119*time.Hour] = m.restart
	f := func(at time.Duration, owed, dead int, disabled bool) {
		t.Helper()
		m.run(at)
		if m.outbox.Owed("a") != int64(owed) || len(m.dead()) != dead || m.sender.idle() != disabled {
			t.Errorf("after %v %d are owed and %d dead, disabled %v; want %d, %d, %v", at, m.outbox.Owed("a"), len(m.dead()), m.sender.idle(), owed, dead, disabled)
		}
	}
	f(72*time.Hour, 2*people+3, 0, false)
	f(79*time.Hour, people+3, people, false) // the second of each person has come to its turn
	f(119*time.Hour, people+4, people+1, false)
	f(122*time.Hour, people+4, people+1, true)
	f(144*time.Hour, people+4, people+1, true)
	for _, d := range m.dead() {
		if d.Reason != reasonExhausted || d.Sequence != 1 {
			t.Errorf("%+v", d)
		}
	}
	back = true
	if err := m.sender.r.Resume(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	m.run(144*time.Hour + 5*time.Minute)
	if len(m.told) != people+4 || m.outbox.Owed("a") != 0 {
		t.Errorf("%d are told when it is resumed, %d owed", len(m.told), m.outbox.Owed("a"))
	}
	kinds := map[NoticeKind]int{}
	for _, n := range m.notices {
		kinds[n.Kind]++
	}
	if kinds[Disabled] != 1 || kinds[Exhausted] != people+1 || kinds[Opened] != 1 || kinds[Recovered] != 0 {
		t.Errorf("noticed %v", kinds)
	}
}

// slow is an attempt whose time was over.
var slow = kind{what: send.Timeout, err: context.DeadlineExceeded}

// TestHangingForDays: where the only ones who are told hang, the breaker takes the endpoint for
// dead. A healthy person's rejection waits for two slots at most, and for no backlog, also of
// rejections that have never been tried.
func TestHangingForDays(t *testing.T) {
	t.Parallel()
	m := newStorm(t, func(d outbox.Delivery, _ time.Duration) (kind, time.Duration) {
		if strings.HasPrefix(d.Lane, "acme/h") {
			return slow, 15 * time.Second
		}
		return fine, 50 * time.Millisecond
	})
	for i := range 160 {
		m.owe(fmt.Sprintf("h%03d", i), 1, i%2 == 0)
	}
	owed := map[string]time.Duration{}
	for n, at := range []time.Duration{70 * time.Second, 80 * time.Second, 10 * time.Minute, 59 * time.Minute, 5 * time.Hour, 30 * time.Hour, 60 * time.Hour} {
		who := fmt.Sprintf("w%03d", n)
		owed["evt_"+who+"-1"] = at
		m.coming[at] = func() { m.owe(who, 1, true) }
	}
	m.run(62 * time.Hour)
	for id, at := range owed {
		if told, ok := m.when[id]; !ok || told-at > 35*time.Second {
			t.Errorf("%s is owed at %v and told at %v, %v", id, at, told, ok)
		}
	}
	if len(m.dead()) > 0 {
		t.Errorf("%d died before their schedule has ended", len(m.dead()))
	}
	if !slices.Contains(m.states, "open") {
		t.Error("the breaker never opened")
	}
}

// TestOneOfManyFails: what fails for a few never opens the breaker, and refusals of bodies do not
// either.
func TestOneOfManyFails(t *testing.T) {
	t.Parallel()
	f := func(what string, bad kind, who string) {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			m := newStorm(t, func(d outbox.Delivery, _ time.Duration) (kind, time.Duration) {
				if strings.HasPrefix(d.Lane, "acme/"+who) {
					return bad, 10 * time.Millisecond
				}
				return fine, 10 * time.Millisecond
			})
			m.people(30)
			m.owe("b000", 1, true)
			m.owe("b001", 1, true)
			m.run(30 * time.Hour)
			if len(m.states) > 0 || len(m.notices) > 0 {
				t.Errorf("the breaker turned: %v %+v", m.states, m.notices)
			}
		})
	}
	f("two people", code(500), "b")
	f("bodies", code(422), "")
	f("healthy", kind{a: send.Answer{Code: http.StatusNoContent}}, "")
}
