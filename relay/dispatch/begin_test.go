package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/registry"
	"countersign/relay/send"
)

// oweIn puts deliveries to as many people into the outbox of a partition, in one commit. Their ids
// begin with evt_P-, of partition P.
func (g *rig) oweIn(p, from, n int, restrictive bool) {
	g.t.Helper()
	err := g.outbox.stores[p].Update(g.t.Context(), func(tx *store.Tx) error {
		for i := from; i < from+n; i++ {
			d := outbox.Delivery{
				Endpoint: "a", Lane: fmt.Sprintf("acme/user-%d-%d", p, i), Sequence: 1, WebhookID: fmt.Sprintf("evt_%d-%d", p, i), Restrictive: restrictive,
				Type: "kyc.status.approved", Format: "standard", Owed: g.clock.now(), Received: g.clock.now(), Body: fmt.Appendf(nil, `{"of":"%d-%d"}`, p, i),
			}
			if err := g.outbox.parts[p].Put(tx, d); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		g.t.Fatal(err)
	}
}

func partitionOf(id string) (p int) {
	if _, err := fmt.Sscanf(id, "evt_%d-", &p); err != nil {
		return -1
	}
	return p
}

// claimed is what can be claimed of a partition by hand: all of it is free.
func (g *rig) claimed(p int) map[string]string {
	g.t.Helper()
	ds, _, err := g.outbox.parts[p].Claim("a", outbox.Turn{Max: 1000, Failed: 1000})
	if err != nil {
		g.t.Fatal(err)
	}
	is := map[string]string{}
	for _, d := range ds {
		is[d.WebhookID] = string(d.Body)
	}
	g.outbox.Release(ds...)
	return is
}

// door is a partner that answers only who is let in, and keeps what came.
type door struct {
	mu   sync.Mutex // guards the fields below
	came []string
	body map[string][]string
	in   chan struct{}
}

func newDoor() *door { return &door{body: map[string][]string{}, in: make(chan struct{})} }

func (p *door) answer(_ *rig, w http.ResponseWriter, r *http.Request) {
	id, was := r.Header.Get("Webhook-Id"), r.Header.Get("X-Body")
	p.mu.Lock()
	p.came = append(p.came, id)
	p.body[id] = append(p.body[id], was)
	p.mu.Unlock()
	select {
	case <-p.in:
	case <-r.Context().Done():
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (p *door) count(of int) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range p.came {
		if of < 0 || partitionOf(id) == of {
			n++
		}
	}
	return n
}

func manyParts(tb testing.TB, p *door, set func(*registry.Endpoint)) *rig {
	tb.Helper()
	return newRigIn(tb, 4, p.answer, func(e *registry.Endpoint) {
		e.Concurrency = 4
		set(e)
	})
}

func asItIs(*registry.Endpoint) {}

// TestNoPartitionStarves: a partition that owes 10,000 deliveries takes no more turns than any other,
// from the begin and while every slot is taken, whoever looks for what is next.
func TestNoPartitionStarves(t *testing.T) {
	t.Parallel()
	const slots, most = 4, 4*2*4 + 4 // of each of four a claim at most, and what is under way
	p := newDoor()
	g := manyParts(t, p, asItIs)
	for _, p := range []int{0, 2} {
		g.oweIn(p, 0, 10_000, false)
	}
	g.oweIn(1, 0, 1, false)
	g.run()
	waits := func(of, n int) {
		t.Helper()
		since := p.count(-1)
		for i := range most + 1 {
			if p.count(of) >= n {
				return
			}
			p.in <- struct{}{}
			eventually(t, "the slot is taken again", func() bool { return p.count(-1) > since+i })
		}
		t.Errorf("partition %d waits while %d others go first: %d", of, most, p.count(of))
	}
	eventually(t, "every slot is taken", func() bool { return p.count(-1) == slots })
	waits(1, 1)
	for i := range 5 {
		for _, of := range []int{1, 3} {
			g.oweIn(of, 10+i, 1, false)
			waits(of, i+2-of/3)
		}
	}
	close(p.in)
	if a, b := p.count(0), p.count(2); a < 10 || b < 10 {
		t.Errorf("%d and %d of those that owe most", a, b)
	}
}

// TestUrgentInAnyPartition: a rejection goes before what is owed in any other partition, when the
// line begins and when it comes while others wait for a slot.
func TestUrgentInAnyPartition(t *testing.T) {
	for p := range 4 {
		g := newRigIn(t, 4, func(*rig, http.ResponseWriter, *http.Request) {}, func(e *registry.Endpoint) { e.Concurrency = 4 })
		for other := range 4 {
			g.oweIn(other, 0, 40, false)
		}
		g.oweIn(p, 50, 1, true)
		for _, b := range g.outbox.parts { // as if it had become due by time
			b.Rush("a")
		}
		s := g.dispatcher.senders["a"]
		l := &line{s: s}
		next := func(want string) {
			t.Helper()
			j, ok := l.take(t.Context())
			if !ok || j.d.WebhookID != want {
				t.Errorf("next is %q, want %s", j.d.WebhookID, want)
				return
			}
			j.d.From().Settle(outbox.Attempt{Delivery: j.d, Outcome: outbox.Done, At: g.clock.now()})
			if s.give(&j) {
				s.looked(false)
			}
		}
		next(fmt.Sprintf("evt_%d-50", p))
		if j, ok := l.take(t.Context()); !ok || j.d.Urgent || len(l.queue) == 0 {
			t.Errorf("then %+v", j.d)
		}
		g.oweIn(p, 60, 1, true)
		next(fmt.Sprintf("evt_%d-60", p))
		l.close()
	}
}

// TestEndWaits: a partition that ends while every slot is taken waits for what is in flight, and no
// longer: what was accepted is in the file then, what waits is given back, nothing more of it is
// claimed, and the others go on. It may begin again.
func TestEndWaits(t *testing.T) {
	t.Parallel()
	p := newDoor()
	g := manyParts(t, p, func(e *registry.Endpoint) { e.Concurrency = 8 })
	for of := range 4 {
		g.oweIn(of, 0, 20, false)
	}
	g.run()
	eventually(t, "every slot is taken", func() bool { return p.count(-1) == 8 })
	flying := p.count(1)
	if flying == 0 {
		t.Fatal("none of them by the partition")
	}
	type end struct {
		err  error
		owed int64 // in the file, when it has ended
	}
	ended := make(chan end, 1)
	go func() {
		err := g.dispatcher.End(t.Context(), 1)
		ended <- end{err, g.outbox.parts[1].Owed("a")}
	}()
	eventually(t, "nothing of it waits for a slot", func() bool { return len(g.claimed(1)) == 20-flying })
	for let := 0; ; let++ {
		select {
		case is := <-ended:
			if let < flying || is.err != nil || is.owed != int64(20-flying) {
				t.Errorf("ended when %d are answered, %d of them its own: %v, %d owed, want %d", let, flying, is.err, is.owed, 20-flying)
			}
		case p.in <- struct{}{}:
			continue
		}
		break
	}
	g.oweIn(1, 20, 20, false)
	close(p.in)
	eventually(t, "the others are told everything", func() bool {
		return g.outbox.parts[0].Owed("a")+g.outbox.parts[2].Owed("a")+g.outbox.parts[3].Owed("a") == 0
	})
	if n := p.count(1); n != flying || len(g.claimed(1)) != 40-flying {
		t.Errorf("%d of it were sent, %d before it ended; %d can be claimed", n, flying, len(g.claimed(1)))
	}
	if err := g.dispatcher.Begin(1, g.outbox.parts[1]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it goes on when it begins again", func() bool { return g.outbox.parts[1].Owed("a") == 0 })
	if n := p.count(1); n != 40 {
		t.Errorf("%d requests of 40", n)
	}
}

// TestEndCuts: what does not end in time is cut off and given back; whoever delivers next repeats it
// under the same id, with the same body. What is in flight of others is not touched.
func TestEndCuts(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	bodies := map[string][]string{}
	hold := make(chan struct{})
	g := newRigIn(t, 4, func(*rig, http.ResponseWriter, *http.Request) {}, func(e *registry.Endpoint) { e.Concurrency = 8 })
	s := g.dispatcher.senders["a"]
	is := *s.setup.Load()
	is.post = func(ctx context.Context, _ string, h send.Fields, body []byte, _ time.Duration) (send.Answer, error) {
		mu.Lock()
		bodies[idOf(h)] = append(bodies[idOf(h)], string(body))
		mu.Unlock()
		select {
		case <-hold:
			return send.Answer{Code: 200}, nil
		case <-ctx.Done():
			return send.Answer{}, ctx.Err()
		}
	}
	s.setup.Store(&is)
	tried := func(of, times int) (n int) {
		mu.Lock()
		defer mu.Unlock()
		for id, is := range bodies {
			if partitionOf(id) == of && len(is) >= times {
				n++
			}
		}
		return n
	}
	g.oweIn(0, 0, 4, false)
	g.oweIn(3, 0, 4, false)
	g.run()
	eventually(t, "all are in flight", func() bool { return tried(0, 1) == 4 && tried(3, 1) == 4 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.dispatcher.End(ctx, 3); !errors.Is(err, context.Canceled) {
		t.Errorf("End when its time is over: %v", err)
	}
	if is := g.claimed(3); len(is) != 4 {
		t.Errorf("%d of 4 are given back when it has ended", len(is))
	}
	if is := g.claimed(0); len(is) != 0 {
		t.Errorf("of another partition %d are given back", len(is))
	}
	if err := g.dispatcher.Begin(3, g.outbox.parts[3]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "they are repeated", func() bool { return tried(3, 2) == 4 })
	close(hold)
	eventually(t, "all is told", func() bool { return g.outbox.Owed("a") == 0 })
	for id, is := range bodies {
		if want := 1 + partitionOf(id)/3; len(is) != want || strings.Count(strings.Join(is, " "), is[0]) != want || is[0] != fmt.Sprintf(`{"of":"%s"}`, id[len("evt_"):]) {
			t.Errorf("%s was sent as %q", id, is)
		}
	}
}

func idOf(h send.Fields) string {
	for _, f := range h {
		if strings.EqualFold(f.Name, "webhook-id") {
			return f.Value
		}
	}
	return ""
}

// TestEndWaitsForNoTurn: what waits for the endpoint's rate is given back, however long it would have
// to wait, and so it is from a partition that is cut before Run runs, or was never begun.
func TestEndWaitsForNoTurn(t *testing.T) {
	t.Parallel()
	p := newDoor()
	close(p.in)
	g := manyParts(t, p, func(e *registry.Endpoint) { e.Rate = 0.001 })
	if err := errors.Join(g.dispatcher.End(t.Context(), 2), g.dispatcher.End(t.Context(), 2), g.dispatcher.End(t.Context(), 77)); err != nil {
		t.Fatal(err)
	}
	g.oweIn(1, 0, 3, false)
	g.run()
	eventually(t, "one is told", func() bool { return p.count(1) == 1 && g.outbox.parts[1].Owed("a") == 2 })
	eventually(t, "the next waits for its turn", func() bool { return len(g.claimed(1)) == 0 })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := g.dispatcher.End(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if is := g.claimed(1); len(is) != 2 {
		t.Errorf("%d are given back, want 2", len(is))
	}
}

// TestBeginServes: an outbox that was made before an endpoint came is told of it when it begins, and
// of those that come later.
func TestBeginServes(t *testing.T) {
	t.Parallel()
	g := newRigIn(t, 4, func(*rig, http.ResponseWriter, *http.Request) {}, func(e *registry.Endpoint) { e.Concurrency = 4 })
	if err := g.dispatcher.End(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	a := *g.registry.Read().Endpoint("a")
	g.configure(a, g.endpoint("b", g.url))
	if err := g.dispatcher.Begin(2, g.outbox.parts[2]); err != nil {
		t.Fatal(err)
	}
	if err := g.dispatcher.Begin(2, g.outbox.parts[2]); err == nil {
		t.Error("it has begun twice")
	}
	for i := range 40 {
		g.oweAt("b", fmt.Sprint("user-", i), fmt.Sprint("evt_b", i), 1)
	}
	g.configure(a, g.endpoint("b", g.url), g.endpoint("c", g.url))
	g.run()
	for i := range 40 {
		g.oweAt("c", fmt.Sprint("user-", i), fmt.Sprint("evt_c", i), 1)
	}
	eventually(t, "all is told", func() bool { return g.took.Load() == 80 && g.outbox.Owed("b")+g.outbox.Owed("c") == 0 })
	if n := g.outbox.Dead("b") + g.outbox.Dead("c"); n != 0 {
		t.Errorf("%d are dead", n)
	}
}

// TestOnePartitionBehind: while the results of one partition wait for its disk, no more than a fixed
// number of its attempts is made, and the others go on.
func TestOnePartitionBehind(t *testing.T) {
	t.Parallel()
	const owed = 9000
	g := newRigIn(t, 4, func(_ *rig, w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }, func(e *registry.Endpoint) { e.Concurrency = 64 })
	var mu sync.Mutex
	made := map[int]int{}
	s := g.dispatcher.senders["a"]
	is := *s.setup.Load()
	is.post = func(_ context.Context, _ string, h send.Fields, _ []byte, _ time.Duration) (send.Answer, error) {
		mu.Lock()
		defer mu.Unlock()
		made[partitionOf(idOf(h))]++
		return send.Answer{Code: 200, Reused: true}, nil
	}
	s.setup.Store(&is)
	g.oweIn(0, 0, owed, false)
	letGo := g.held()
	g.run()
	eventually(t, "it is behind", func() bool { return g.outbox.parts[0].Behind() })
	before := 0
	for i := range 20 {
		g.oweIn(1+i%3, 100*i, 50, i%2 == 0)
		eventually(t, "another partition is told", func() bool { return g.outbox.parts[1+i%3].Owed("a") == 0 })
		if i > 0 { // else somebody may have looked before it was behind
			continue
		}
		eventually(t, "nothing is under way", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.turns.inFlight == 0
		})
		mu.Lock()
		before = made[0]
		mu.Unlock()
	}
	mu.Lock()
	if n := made[0]; n > 8192+64 || n != before {
		t.Errorf("%d attempts are made while the disk takes nothing, %d before it was behind", n, before)
	}
	mu.Unlock()
	letGo()
	eventually(t, "everything is told", func() bool { return g.outbox.Owed("a") == 0 })
}

// TestAskedOfAll: what is said of an endpoint, and done about it, is of all partitions.
func TestAskedOfAll(t *testing.T) {
	t.Parallel()
	g := newRigIn(t, 4, func(_ *rig, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, func(e *registry.Endpoint) {
		e.Concurrency, e.Retry = 16, registry.Retry{First: time.Hour, Factor: 1, Max: time.Hour, Attempts: 9}
	})
	began := g.clock.now().Truncate(time.Millisecond)
	for p := range 4 {
		g.oweIn(p, 0, 2, false)
		g.oweIn(p, 2, 1, true)
	}
	view := func(id string) EndpointView {
		t.Helper()
		for _, v := range g.dispatcher.Endpoints() {
			if v.ID == id {
				return v
			}
		}
		t.Fatalf("no endpoint %s", id)
		return EndpointView{}
	}
	if v := view("a"); v.Owed != 12 || v.Dead != 0 || v.OldestDue.Before(began) || v.OldestDue.After(g.clock.now()) {
		t.Errorf("%+v", v)
	}
	stop := g.background(g.dispatcher.Run)
	eventually(t, "all have been tried", func() bool { return g.took.Load() == 12 })
	eventually(t, "all wait for their next try", func() bool { return view("a").OldestDue.IsZero() && len(g.claimed(3)) == 0 })
	stop()
	if n, more, err := g.dispatcher.RetryAll(t.Context(), "a"); n != 12 || more || err != nil {
		t.Errorf("%d made due, more %v, %v", n, more, err)
	}
	disabled := make(chan error, 1)
	g.registry.Disable("a", "it is gone", func(err error) { disabled <- err })
	if err := <-disabled; err != nil {
		t.Fatal(err)
	}
	o, err := g.dispatcher.ToGiveUp("a", 3)
	if err != nil || o.Owed != 12 || o.Rejections != 4 || len(o.Withheld) != 3 {
		t.Fatalf("%+v, %v", o, err)
	}
	for p, w := range o.Withheld {
		if w.Subject != fmt.Sprintf("acme/user-%d-2", p) {
			t.Errorf("%d is %+v", p, w)
		}
	}
	if is, err := g.dispatcher.GiveUp(t.Context(), "a"); err != nil || is.GivenUp != 12 || is.Owed != 0 || view("a").Dead != 12 {
		t.Errorf("%+v, %v", is, err)
	}
}
