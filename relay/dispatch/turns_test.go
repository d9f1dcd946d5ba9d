package dispatch

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/outbox"
	"countersign/relay/registry"
)

// arrivals are the requests that have come, by webhook-id, and how many came before each.
type arrivals struct {
	mu  sync.Mutex // guards the fields below
	n   int
	ids map[string][]int
}

func (a *arrivals) come(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ids == nil {
		a.ids = map[string][]int{}
	}
	a.ids[id] = append(a.ids[id], a.n)
	a.n++
}

// before is how many requests came before the first of an id; -1: it has not come.
func (a *arrivals) before(id string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.ids[id]) == 0 {
		return -1
	}
	return a.ids[id][0]
}

func (a *arrivals) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n
}

// hangs answers nobody whose id begins with hang, until the sender's time is over.
func hangs(a *arrivals) func(*rig, http.ResponseWriter, *http.Request) {
	return func(_ *rig, _ http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("webhook-id")
		a.come(id)
		if strings.HasPrefix(id, "evt_hang") {
			<-r.Context().Done()
		}
	}
}

// always is a schedule by which something is always due.
var always = registry.Retry{First: time.Millisecond, Factor: 1, Max: time.Millisecond, Attempts: 10_000}

// TestHangingPersons: those who hang have slots of their own, so that a rejection of somebody else,
// and what else has not failed, waits for no backlog of theirs.
func TestHangingPersons(t *testing.T) {
	t.Parallel()
	f := func(t *testing.T, concurrency, people int, restrictive bool, most int) {
		t.Helper()
		t.Parallel()
		const tries = 3
		var a arrivals
		g := newRigOf(t, hangs(&a), func(e *registry.Endpoint) {
			e.Concurrency, e.Timeout, e.Retry = concurrency, 200*time.Millisecond, always
		})
		for i := range people {
			g.oweOf(fmt.Sprint("hang-", i), 2, i%8 == 0)
		}
		g.run()
		eventually(t, "all have been tried", func() bool { return a.count() > people })
		well := 0
		for i := range tries { // a busy machine may spoil one of them
			who, since := fmt.Sprint("well-", i), a.count()
			g.oweOf(who, 2, restrictive)
			eventually(t, who+" is told", func() bool { return a.before("evt_"+who) >= 0 })
			if a.before("evt_"+who)-since <= most {
				well++
			}
		}
		if well < tries/2+1 {
			t.Errorf("%d slots: of %d healthy persons %d were told before %d of those who hang", concurrency, tries, well, most)
		}
	}
	t.Run("rejections", func(t *testing.T) { f(t, 16, 160, true, 32) })
	t.Run("others", func(t *testing.T) { f(t, 16, 160, false, 64) })
	t.Run("rejections by one slot", func(t *testing.T) { f(t, 1, 8, true, 4) })
	t.Run("others by one slot", func(t *testing.T) { f(t, 1, 8, false, 4) })
}

// TestRejectionAfterAPause: a rejection that comes while the endpoint has asked for a rest is the
// first request after it, whatever waits, and so is the one behind an approval of the same person.
func TestRejectionAfterAPause(t *testing.T) {
	t.Parallel()
	var a arrivals
	var busy atomic.Bool
	busy.Store(true)
	g := newRigOf(t, func(_ *rig, w http.ResponseWriter, r *http.Request) {
		if busy.Load() {
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		a.come(r.Header.Get("webhook-id"))
	}, func(e *registry.Endpoint) { e.Concurrency, e.Retry = 1, always })
	for i := range 100 {
		g.owe(fmt.Sprint("p", i))
	}
	g.run()
	eventually(t, "it asks for a rest", func() bool { return g.dispatcher.senders["a"].closed() })
	g.oweOf("bob", 2, false)
	g.oweOf("bob-2", 2, true)
	busy.Store(false)
	g.clock.advance(2 * time.Minute)
	g.dispatcher.senders["a"].nudge()
	eventually(t, "all is told", func() bool { return g.outbox.Owed("a") == 0 })
	if at := a.before("evt_bob-2"); at != 0 {
		t.Errorf("the rejection is told after %d others", at)
	}
}

// TestQueueLetsRejectionsPass: what is claimed and waits for a slot lets a rejection go first.
func TestQueueLetsRejectionsPass(t *testing.T) {
	g := newRig(t, 4)
	for i := range 40 {
		g.owe(fmt.Sprint("p", i))
	}
	s := g.dispatcher.senders["a"]
	l := &line{s: s}
	defer l.release()
	var begun []job
	for {
		j, ok := l.take(t.Context())
		if !ok {
			break
		}
		begun = append(begun, j)
	}
	if len(begun) != 4 || len(l.queue) != 4 {
		t.Fatalf("%d are under way and %d wait, want 4 and 4", len(begun), len(l.queue))
	}
	g.oweOf("rejected", 2, true)
	for _, j := range begun {
		g.outbox.Settle(outbox.Attempt{Delivery: j.d, Outcome: outbox.Done, At: g.clock.now()})
		if s.give(&j) {
			s.looked(false)
		}
	}
	if j, ok := l.take(t.Context()); !ok || j.d.Lane != "acme/rejected" {
		t.Errorf("next is %+v", j)
	}
}
