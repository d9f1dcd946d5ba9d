package dispatch

import (
	"testing"
	"time"
)

func TestSchedule(t *testing.T) {
	exact := DefaultSchedule
	exact.Jitter = 0
	f := func(failures int, want time.Duration, wantOK bool) {
		t.Helper()
		if got, ok := exact.Wait(failures); got != want || ok != wantOK {
			t.Errorf("Wait(%d) = %v, %v; want %v, %v", failures, got, ok, want, wantOK)
		}
		for range 500 { // ± 20 %, and the whole of it
			if got, ok := DefaultSchedule.Wait(failures); got < want*8/10 || got > want*12/10+1 || ok != wantOK {
				t.Fatalf("with jitter Wait(%d) = %v, %v; want %v ± 20 %%, %v", failures, got, ok, want, wantOK)
			}
		}
	}
	f(-1, 0, false)
	f(0, 0, false)
	f(1, 5*time.Second, true)
	f(2, 15*time.Second, true)
	f(3, 45*time.Second, true)
	f(4, 135*time.Second, true)
	f(5, 405*time.Second, true)
	f(6, 1215*time.Second, true)
	f(7, 3645*time.Second, true)
	f(8, 10935*time.Second, true)
	f(9, 32805*time.Second, true)
	f(10, 12*time.Hour, true)
	f(14, 12*time.Hour, true)
	f(15, 0, false) // dead letter
	f(16, 0, false)
	f(1<<40, 0, false)

	var total time.Duration
	for n := 1; ; n++ {
		wait, ok := exact.Wait(n)
		if !ok {
			if n != 15 {
				t.Errorf("%d attempts, want 15", n)
			}
			break
		}
		total += wait
	}
	if total < 73*time.Hour || total > 75*time.Hour {
		t.Errorf("all attempts within %v, want about 74 h", total)
	}
}

// TestScheduleSpreads: jitter uses the whole of its range, or retries would arrive together.
func TestScheduleSpreads(t *testing.T) {
	s := Schedule{First: time.Second, Factor: 1, Max: time.Second, Jitter: 0.5, Attempts: 2}
	var buckets [10]int
	const tries = 5000
	for range tries {
		w, _ := s.Wait(1)
		buckets[min(9, max(0, int((w-500*time.Millisecond)/(100*time.Millisecond))))]++
	}
	for i, n := range buckets {
		if n < tries/20 || n > tries/5 {
			t.Errorf("%d of %d waits are in tenth %d", n, tries, i)
		}
	}
}

// TestScheduleNeverSpins: what is left out or makes no sense is no reason to ask a partner without
// end and without pause.
func TestScheduleNeverSpins(t *testing.T) {
	f := func(what string, s Schedule, min time.Duration) {
		t.Helper()
		last := 0
		for n := 1; n < 1000; n++ {
			wait, ok := s.Wait(n)
			if !ok {
				break
			}
			if last = n; wait < min || wait > 8*24*time.Hour {
				t.Errorf("%s: Wait(%d) = %v, want at least %v", what, n, wait, min)
			}
		}
		if last > 100 {
			t.Errorf("%s: %d retries", what, last)
		}
	}
	f("nothing set", Schedule{}, time.Second)
	f("only attempts", Schedule{Attempts: 20}, time.Second)
	f("no first", Schedule{Factor: 3, Max: time.Hour, Attempts: 20}, time.Second)
	f("no factor", Schedule{First: time.Second, Max: time.Hour, Attempts: 20}, time.Second)
	f("no max", Schedule{First: time.Second, Factor: 3, Attempts: 20}, time.Second)
	f("negative", Schedule{First: -time.Second, Factor: -3, Max: -time.Hour, Attempts: 20}, time.Second)
	f("wild jitter", Schedule{First: time.Second, Factor: 1, Max: time.Second, Jitter: 3, Attempts: 100}, time.Millisecond)
	f("beyond float64", Schedule{First: time.Second, Factor: 1e30, Max: time.Hour, Attempts: 100}, time.Second)
}

// TestObey: a Retry-After is heeded up to the endpoint's bound, and by a rejection for five
// minutes.
func TestObey(t *testing.T) {
	f := func(s Schedule, asked, want, urgent time.Duration) {
		t.Helper()
		if got, short := s.Obey(asked, false), s.Obey(asked, true); got != want || short != urgent {
			t.Errorf("%v: Obey(%v) = %v, of a rejection %v; want %v and %v", s.MaxRetryAfter, asked, got, short, want, urgent)
		}
	}
	f(DefaultSchedule, 0, 0, 0)
	f(DefaultSchedule, time.Minute, time.Minute, time.Minute)
	f(DefaultSchedule, 10*time.Minute, 10*time.Minute, 5*time.Minute)
	f(DefaultSchedule, 24*time.Hour, time.Hour, 5*time.Minute)
	f(Schedule{}, 24*time.Hour, time.Hour, 5*time.Minute)
	f(Schedule{MaxRetryAfter: 3 * time.Hour}, 24*time.Hour, 3*time.Hour, 5*time.Minute)
	f(Schedule{MaxRetryAfter: time.Second}, time.Hour, time.Second, time.Second)
}
