package dispatch

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/send"
)

// storm is one endpoint over days of virtual time: the real outbox file, line, breaker, schedule
// and answers, and attempts that take as long as they are said to.
type storm struct {
	*hours
	l      *line
	answer func(d outbox.Delivery, at time.Duration) (kind, time.Duration)
	coming map[time.Duration]func() // what happens besides, by when
	began  time.Time

	flying []flight
	told   []string // accepted, in order
	when   map[string]time.Duration
	tries  map[string]int // requests, by webhook-id
	sent   int
	states []string // of the breaker, as it turned
	at     []time.Duration
	most   int // under way at once while it was open

	noticed sync.Mutex // guards notices: each outbox has a writer of its own
	notices []Notice
}

type flight struct {
	j       job
	started time.Time
	ends    time.Time
	k       kind
}

func newStorm(t *testing.T, answer func(outbox.Delivery, time.Duration) (kind, time.Duration)) *storm {
	t.Helper()
	m := &storm{hours: newHours(t), answer: answer, coming: map[time.Duration]func(){}, when: map[string]time.Duration{}, tries: map[string]int{}}
	m.reset()
	m.began = m.now()
	return m
}

func (m *storm) reset() {
	m.l = &line{s: m.sender}
	m.sender.r.o.Notice = func(n Notice) {
		m.noticed.Lock()
		defer m.noticed.Unlock()
		m.notices = append(m.notices, n)
	}
}

// restart is a crash: what was claimed is given back, and what is in memory is lost.
func (m *storm) restart() {
	m.flush()
	m.close()
	m.flying = nil
	m.open()
	m.reset()
}

func (m *storm) since() time.Duration { return m.now().Sub(m.began) }

func (m *storm) flush() {
	m.t.Helper()
	if err := m.outbox.Flush(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
	if err := m.store.Update(m.t.Context(), func(*store.Tx) error { return nil }); err != nil { // and what nobody waited for
		m.t.Fatal(err)
	}
}

// run lets it go on for so long, or until nothing is owed and nothing is to come.
func (m *storm) run(most time.Duration) {
	m.t.Helper()
	for still := 0; m.since() < most; still++ {
		if still > 10_000 {
			m.t.Fatalf("time stands still after %v", m.since())
		}
		m.begin()
		next, _ := m.l.until()
		for _, f := range m.flying {
			next = earlier(next, f.ends)
		}
		for at := range m.coming {
			next = earlier(next, m.began.Add(at))
		}
		if len(m.flying) == 0 && len(m.coming) == 0 && m.outbox.Owed("a") == 0 {
			return
		}
		if next = earlier(next, m.began.Add(most)); next.After(m.now()) {
			m.leap(next)
			still = 0
		}
		m.land()
		for at, what := range m.coming {
			if m.since() >= at {
				delete(m.coming, at)
				what()
			}
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// begin starts what may be started now.
func (m *storm) begin() {
	m.l.listen()
	for {
		j, ok := m.l.take(m.t.Context())
		if !ok {
			break
		}
		k, took := m.answer(j.d, m.since())
		m.flying = append(m.flying, flight{j, m.now(), m.now().Add(max(took, time.Millisecond)), k})
		m.tries[j.d.WebhookID]++
		m.sent++
	}
	m.flush() // what expired
	if m.sender.turned() == open {
		m.most = max(m.most, len(m.flying))
	}
}

// land ends what has been answered by now.
func (m *storm) land() {
	slices.SortStableFunc(m.flying, func(a, b flight) int { return a.ends.Compare(b.ends) })
	for len(m.flying) > 0 && !m.flying[0].ends.After(m.now()) {
		f := m.flying[0]
		m.flying = m.flying[1:]
		was := m.sender.turned()
		m.sender.conclude(m.t.Context(), &f.j, &f.k.a, f.k.err, f.started)
		if m.sender.give(&f.j) {
			m.sender.looked(false)
		}
		if is := m.sender.turned(); is != was {
			m.states, m.at = append(m.states, is.String()), append(m.at, m.since())
		}
		if f.k.a.Code == http.StatusOK {
			m.told = append(m.told, f.j.d.WebhookID)
			m.when[f.j.d.WebhookID] = m.since()
		}
	}
	m.flush()
}

// inOrder fails unless of each person the changes were told in order.
func (m *storm) inOrder() {
	m.t.Helper()
	last := map[string]uint64{}
	for _, id := range m.told {
		var who string
		var seq uint64
		if n, err := fmt.Sscanf(id, "evt_%4s-%d", &who, &seq); n != 2 || err != nil {
			m.t.Fatalf("%s: %v", id, err)
		}
		if seq <= last[who] {
			m.t.Errorf("%s is told after %d of the same person", id, last[who])
		}
		last[who] = seq
	}
}

var fine = kind{what: "200", a: send.Answer{Code: http.StatusOK}}

// people owes two changes each to so many, the second a rejection.
func (m *storm) people(n int) {
	for i := range n {
		m.owe(fmt.Sprintf("p%03d", i), 1, false)
	}
	for i := range n {
		m.owe(fmt.Sprintf("p%03d", i), 2, true)
	}
}
