package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/store"
)

// watched is a journal that tells what of it has been folded, and may refuse timers.
type watched struct {
	*journal.Bolt
	w *watch
	g *rig
}

// watch outlives the journals of a rig.
type watch struct {
	mu       sync.Mutex // guards the fields below
	fired    map[string]int
	told     map[string]bool
	largest  int
	refusals int // still to come
}

func (j *watched) Append(ctx context.Context, rs ...journal.Record) error {
	if len(rs) > 0 && rs[0].Kind == kyc.Timer && j.w.refuses(len(rs)) {
		return journal.ErrBacklog
	}
	return j.Bolt.Append(ctx, rs...)
}

func (w *watch) refuses(timers int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.largest = max(w.largest, timers)
	w.refusals--
	return w.refusals >= 0
}

func (j *watched) Tail(ctx context.Context, from journal.Position, fn func(context.Context, []journal.Record) error) error {
	return j.Bolt.Tail(ctx, from, func(ctx context.Context, rs []journal.Record) error {
		err := fn(ctx, rs)
		if err == nil && j.g.relay.Folded(rs[len(rs)-1].Position) { // else it was stopped
			j.w.folded(rs)
		}
		return err
	})
}

func (w *watch) folded(rs []journal.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range rs {
		id := string(rs[i].Body)[:60] // it stands at the front
		if rs[i].Kind == kyc.Timer {
			w.fired[id]++
		} else {
			w.told[id] = true
		}
	}
}

// count is how many timers and how many other records have been folded, repeats apart.
func (w *watch) count() (fired, told int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.fired), len(w.told)
}

// timed is a rig whose clock stands still at start until it is set; it does not run.
func timed(t *testing.T, start time.Time, partners ...Partner) (*rig, *watch) {
	t.Helper()
	g, w := newRig(t, partners...), &watch{fired: map[string]int{}, told: map[string]bool{}}
	g.clock.set(start)
	g.alarm = g.clock.alarm
	g.wrap = func(b *journal.Bolt) readAndWritten { return &watched{b, w, g} }
	g.close()
	g.open()
	return g, w
}

// quiet waits until everything told and n timers in all have been folded.
func (g *rig) quiet(w *watch, n int) {
	g.t.Helper()
	eventually(g.t, fmt.Sprintf("%d updates and %d timers are folded", g.appended, n), func() bool {
		fired, told := w.count()
		return fired >= n && told >= int(g.appended)
	})
	if fired, _ := w.count(); fired != n {
		g.t.Fatalf("%d timers have been fired, %d were due", fired, n)
	}
}

// approvals are n subjects approved until the same instant.
func approvals(n int, given, until time.Time) (us []kyc.Update) {
	for i := range n {
		u := said(fmt.Sprintf("u%05d", i), 0, kyc.Approved)
		u.OccurredAt, u.ReceivedAt, u.ExpiresAt = given, given, until
		us = append(us, named(u))
	}
	return us
}

// TestManyAtOnce: ten thousand timers of one instant are fired in bounded groups (I9), the earliest
// first, each once.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	start := time.Date(2027, 1, 3, 8, 0, 0, 0, time.UTC)
	g, w := timed(t, start, acme())
	g.run()
	n := 10000
	if raceEnabled {
		n = 5000 // more than may be on their way at once
	}
	for part := range slices.Chunk(approvals(n, start, start.AddDate(0, 0, 30)), 1000) {
		g.tell(part...)
	}
	g.quiet(w, 0)
	gauge := func(want time.Time) {
		t.Helper()
		eventually(t, "the gauge shows "+want.String(), func() bool {
			return g.metric("relay_timer_next_timestamp_seconds") == float64(max(0, want.Unix()))
		})
	}
	gauge(start.AddDate(0, 0, 23))
	g.clock.set(start.AddDate(0, 0, 23))
	g.quiet(w, n)
	gauge(start.AddDate(0, 0, 30))
	g.clock.set(start.AddDate(0, 0, 30))
	g.quiet(w, 2*n)
	gauge(time.Unix(0, 0))
	if g.entries(store.Timers) != 0 || w.largest > 2*timerStep || w.largest < timerStep/2 {
		t.Errorf("%d entries are left, the largest group was %d", g.entries(store.Timers), w.largest)
	}
	f := func(want int, name string, labels ...string) {
		t.Helper()
		if got := g.metric(name, labels...); got != float64(want) {
			t.Errorf("%s%v = %v, want %d", name, labels, got, want)
		}
	}
	f(n, "relay_timers_fired_total", "kind", "notice")
	f(n, "relay_timers_fired_total", "kind", "expiry")
	f(0, "relay_timers_fired_total", "kind", "attempt")
	f(2*n, "relay_timer_lateness_seconds")
	f(3*n, "relay_updates_total", "verdict", "applied")
	f(0, "relay_updates_total", "verdict", "duplicate")
	f(0, "relay_timers_refused_total")
}

// TestLateness: how late timers are told is counted from their instant, through stops too; what was
// overdue when it came was not late.
func TestLateness(t *testing.T) {
	start := time.Date(2027, 1, 3, 8, 0, 0, 0, time.UTC)
	g, w := timed(t, start, acme())
	f := func(what string, count int, sum float64) {
		t.Helper()
		families, err := g.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			if h := family.GetMetric()[0].GetHistogram(); family.GetName() == "relay_timer_lateness_seconds" && (int(h.GetSampleCount()) != count || h.GetSampleSum() != sum) {
				t.Errorf("%s: %d timers, %v s late; want %d, %v s", what, h.GetSampleCount(), h.GetSampleSum(), count, sum)
			}
		}
	}
	g.run()
	g.tell(approvals(1, start, start.AddDate(0, 0, 300))...)
	g.quiet(w, 0)
	eventually(t, "it waits", func() bool { return g.clock.awaited() == 1 })
	g.clock.set(start.Add(time.Hour))
	g.tell(approvals(3, start.Add(time.Hour), start.Add(73*time.Hour))[1:]...) // less than the notice
	g.quiet(w, 2)
	f("at once", 0, 0)
	g.clock.set(start.Add(73 * time.Hour))
	g.quiet(w, 4)
	f("in time", 2, 0)
	g.tell(approvals(4, start.Add(73*time.Hour), start.AddDate(0, 0, 20))[3:]...)
	g.quiet(w, 4)
	g.close()
	g.clock.set(start.AddDate(0, 0, 13).Add(90 * time.Second))
	g.open()
	g.run()
	g.quiet(w, 5)
	f("after a stop", 1, 90)
}

// TestFiringIsBounded: however many are due, a bounded number is on its way to the fold (I9); what
// has been folded, or was refused, makes room.
func TestFiringIsBounded(t *testing.T) {
	g := newRig(t, acme())
	g.tamper(func(tx *store.Tx) error {
		for i := range maxFiring + 700 {
			if err := tx.Bucket(store.Timers).Put(timerKey(int64(i+1), fmt.Sprintf("acme/u%05d", i))); err != nil {
				return err
			}
		}
		return nil
	})
	f := func(what string, want int, first int64) (keys []string) {
		t.Helper()
		keys, next, err := g.relay.overdue(time.Now())
		if err != nil || len(keys) != want || !next.IsZero() {
			t.Fatalf("%s: %d entries, then at %v, %v; want %d", what, len(keys), next, err, want)
		}
		if want > 0 {
			if at, _ := splitTimer([]byte(keys[0])); at != first {
				t.Errorf("%s: the first is of %d, want %d", what, at, first)
			}
		}
		return keys
	}
	first := f("the first", timerStep, 1)
	for i := int64(timerStep); i < maxFiring; i += timerStep {
		f("more", timerStep, i+1)
	}
	f("enough", 0, 0)
	g.relay.timers.forget(first[:3]...)
	f("refused, and tried again", 3, 1)
	f("enough again", 0, 0)
}

// TestRefusedTimers: a journal that takes nothing is asked again, later each time, and in the end
// everything is told.
func TestRefusedTimers(t *testing.T) {
	t.Parallel()
	start := time.Date(2027, 1, 3, 8, 0, 0, 0, time.UTC)
	g, w := timed(t, start, acme())
	g.run()
	g.tell(approvals(700, start, start.AddDate(0, 0, 30))...)
	g.quiet(w, 0)
	const refusals = 9
	w.mu.Lock()
	w.refusals = refusals
	w.mu.Unlock()
	due := start.AddDate(0, 0, 23)
	g.clock.set(due)
	for i := range refusals {
		eventually(t, "the journal has refused, and is given a rest", func() bool {
			return g.metric("relay_timers_refused_total") == float64(i+1) && g.clock.awaited() == 1
		})
		if got := g.metric("relay_timer_next_timestamp_seconds"); got != float64(due.Unix()) || g.entries(store.Timers) != 700 {
			t.Errorf("the earliest is at %v, %d entries are left", got, g.entries(store.Timers))
		}
		if g.clock.set(g.clock.now().Add(49 * time.Millisecond)); g.clock.awaited() != 1 { // sooner than the shortest pause
			t.Errorf("no rest after %d refusals", i+1)
		}
		g.clock.set(g.clock.now().Add(2 * clockDoubt))
	}
	g.quiet(w, 700)
	if got := g.metric("relay_timers_fired_total", "kind", "notice"); got != 700 || !g.log.has("timers_refused") {
		t.Errorf("%v fired", got)
	}
}

// TestStrayTimers: an entry that its subject knows nothing of is put right and fires nothing; a
// damaged subject keeps nobody else's timers back.
func TestStrayTimers(t *testing.T) {
	t.Parallel()
	start := time.Date(2027, 1, 3, 8, 0, 0, 0, time.UTC)
	g, w := timed(t, start, acme())
	g.run()
	g.tell(approvals(3, start, start.AddDate(0, 0, 30))...)
	g.quiet(w, 0)
	if err := g.halt(); err != nil {
		t.Fatal(err)
	}
	g.tamper(func(tx *store.Tx) error {
		timers := tx.Bucket(store.Timers)
		early, err := loadSubject(tx, "acme/u00001") // whose entry stands where rules of old wanted it
		if err != nil {
			return err
		}
		if err := timers.Delete(timerKey(early.Timer, early.lane)); err != nil {
			return err
		}
		early.Timer = instant(start.Add(time.Hour))
		return errors.Join(
			tx.Bucket(store.Subjects).PutRecord([]byte(early.lane), early.encode()),
			spoil(tx, store.Subjects, []byte("acme/u00002")),
			timers.Put(timerKey(early.Timer, early.lane)),
			timers.Put(timerKey(instant(start.Add(time.Minute)), "acme/u00000")),
			timers.Put(timerKey(instant(start.Add(time.Minute)), "acme/nobody")),
		)
	})
	g.restart()
	g.clock.set(start.Add(2 * time.Hour))
	eventually(t, "what was astray is put right", func() bool { return g.entries(store.Timers) == 3 })
	if fired, _ := w.count(); fired != 0 {
		t.Errorf("%d timers were fired", fired)
	}
	g.clock.set(start.AddDate(0, 0, 23))
	g.quiet(w, 2)
	if !g.log.has("subject_set_aside") {
		t.Error("nobody was told of the damage")
	}
	if s := loaded(t, g, "acme/u00001"); s.Timer != instant(start.AddDate(0, 0, 30)) {
		t.Errorf("its next timer is at %v", time.UnixMicro(s.Timer))
	}
}

// TestTimerOfNobody: a record of ours makes no subject.
func TestTimerOfNobody(t *testing.T) {
	g := start(t, acme())
	u := kyc.TimerDue{
		At: t0, Partner: "acme", Livemode: true, Subject: kyc.Subject{ID: "ann"},
	}.Update()
	g.tell(u)
	g.folded()
	nobody(t, g, "ann")
	if g.entries(store.Subjects) != 0 || g.metric("relay_updates_total", "verdict", "stale") != 1 {
		t.Errorf("%d subjects", g.entries(store.Subjects))
	}
}

// TestAlarm: real timers are early at most, so that a clock that was set is seen.
func TestAlarm(t *testing.T) {
	now := time.Now()
	ready, stop := alarm(func() time.Time { return now })(now.Add(-time.Hour))
	defer stop()
	select {
	case <-ready:
	case <-time.After(patience):
		t.Error("an instant that has passed does not ring")
	}
	f := func(at time.Time, want int64) {
		t.Helper()
		if got := instant(at); got != want {
			t.Errorf("instant(%v) = %d, want %d", at, got, want)
		}
	}
	f(time.Time{}, 0)
	f(time.Unix(1, 1), 1_000_001)
	f(time.Unix(1, 1000), 1_000_001)
	f(time.Unix(1, 1001), 1_000_002)
	f(time.Unix(-5, 0), 1)
}
