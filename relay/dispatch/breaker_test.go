package dispatch

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"countersign/outbox"
)

// TestBreaker tells a breaker of an endpoint with eight slots a story: each word is one thing that
// happens, and what is left of it stands after the arrow.
//
//	+5s    five seconds pass                fail ann   an attempt about ann fails
//	ok     one succeeds                     probe      a probe begins
//	late   one fails that began long ago    pfail ann  the probe fails
//	pok    it succeeds                      rest       nothing is due
func TestBreaker(t *testing.T) {
	f := func(what, story, want string) {
		t.Helper()
		b, now := breaker{}, at(0)
		var said []string
		for word := range strings.SplitSeq(story, ", ") {
			kind, who, _ := strings.Cut(word, " ")
			times := 1
			if n, rest, ok := strings.Cut(kind, "×"); ok {
				_, _ = fmt.Sscan(n, &times)
				kind = rest
			}
			for range times {
				became := unturned
				switch kind {
				case "fail":
					became = b.failed(now, now, who, false)
				case "late":
					became = b.failed(at(-60), now, "ann", false)
				case "ok", "pok":
					became = b.succeeded(now, 8)
				case "probe":
					b.probe()
				case "pfail":
					became = b.failed(now, now, who, true)
				case "rest":
					became = b.rested()
				default:
					by, err := time.ParseDuration(kind[1:])
					if err != nil {
						t.Fatal(err)
					}
					now = now.Add(by)
				}
				if became != unturned {
					said = append(said, [...]string{"", "opened", "reopened", "half-opened", "closed"}[became])
				}
			}
		}
		got := fmt.Sprint(b.state, " ", b.slots(8), " ", strings.Join(said, ","))
		if strings.TrimSpace(got) != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	const down = "9×fail ann, fail bob, +20s, fail cid"
	f("nothing", "+1s", "closed 8")
	f("nine failures", "5×fail ann, +1h, 2×fail bob, 2×fail cid", "closed 8")
	f("ten of three people over a while", down, "open 0 opened")
	f("at once", "9×fail ann, fail bob, fail cid", "closed 8")
	f("of two people", "50×fail ann, +1h, 50×fail bob", "closed 8")
	f("one success in between", "9×fail ann, fail bob, +20s, ok, fail cid", "closed 8")
	f("and again", "9×fail ann, ok, +20s, 9×fail bob, fail cid, ok, +20s, 9×fail dan", "closed 8")
	f("a probe fails", down+", +5s, probe, pfail ann", "open 0 opened")
	f("what was under way fails", down+", 16×fail ann", "open 0 opened")
	f("what was under way succeeds", down+", ok", "half_open 1 opened,half-opened")
	f("a probe succeeds", down+", +5s, probe, pok", "half_open 1 opened,half-opened")
	const back = down + ", +5s, probe, pok"
	f("the ramp", back+", ok", "half_open 2 opened,half-opened")
	f("the ramp, twice", back+", ok, 2×ok", "half_open 4 opened,half-opened")
	f("the ramp, not in full", back+", ok, 2×ok, 3×ok", "half_open 4 opened,half-opened")
	f("the whole ramp", back+", ok, 2×ok, 4×ok", "closed 8 opened,half-opened,closed")
	f("one failure on the ramp", back+", ok, fail ann, 2×ok", "half_open 4 opened,half-opened")
	f("two on the ramp", back+", ok, 2×ok, 2×fail ann", "open 0 opened,half-opened,reopened")
	f("late failures on the ramp", back+", 9×late", "half_open 1 opened,half-opened")
	f("nothing is left", back+", rest", "closed 8 opened,half-opened,closed")
	f("nothing is left but a failure", back+", fail ann, rest", "half_open 1 opened,half-opened")
	f("an open one does not rest", down+", rest", "open 0 opened")
	f("down again", back+", rest, "+down, "open 0 opened,half-opened,closed,opened")
}

// TestProbes: they come less and less often, but once a minute where a rejection waits, and at once
// where one waits that has never been tried.
func TestProbes(t *testing.T) {
	f := func(urgent, fresh bool, want ...time.Duration) {
		t.Helper()
		b := breaker{state: open, changed: at(0), opened: at(0)}
		now := at(0)
		for i, wait := range want {
			due := b.probeAt(urgent, fresh)
			if got := due.Sub(now); got != wait {
				t.Errorf("urgent %v, fresh %v: probe %d comes after %v, want %v", urgent, fresh, i+1, got, wait)
			}
			now = due.Add(15 * time.Second) // it hangs
			b.probe()
			b.failed(due, now, "ann", true)
		}
	}
	const s, m = time.Second, time.Minute
	f(false, false, 5*s, 10*s, 20*s, 40*s, 80*s, 160*s, 4*m, 4*m)
	f(true, false, 5*s, 10*s, 20*s, 40*s, m, m)
	f(true, true, s, s, s)
	if b := resumed(at(-600), at(0)); b.probeAt(false, false).After(at(0)) || b.state != open {
		t.Errorf("after a restart the first probe of %+v waits", b)
	}
	if b := resumed(time.Time{}, at(0)); b.state != closed {
		t.Errorf("%+v", b)
	}
}

// TestChoose: whose turn it is. A word is a delivery: g of a rejection, p of another, with ! it has
// failed.
func TestChoose(t *testing.T) {
	f := func(queue string, slots int, u turns, want int) {
		t.Helper()
		var ds []outbox.Delivery
		for w := range strings.FieldsSeq(queue) {
			d := outbox.Delivery{Urgent: w[0] == 'g'}
			if strings.HasSuffix(w, "!") {
				d.Failures = 3
			}
			ds = append(ds, d)
		}
		if got := u.choose(ds, slots); got != want {
			t.Errorf("of %q by %d slots with %+v: %d, want %d", queue, slots, u, got, want)
		}
	}
	f("", 16, turns{}, -1)
	f("p p g p", 16, turns{}, 2)
	f("p! p g! p g", 16, turns{}, 2) // as they became due
	f("p! p g p g!", 16, turns{}, 2)
	f("p! p", 16, turns{}, 0)
	f("p! p", 16, turns{inFlight: 12, failed: 12}, 1)
	f("g! p! p", 16, turns{inFlight: 12, failed: 12}, 2)
	f("g! p!", 16, turns{inFlight: 12, failed: 12}, -1) // a place is kept for who has not failed
	f("g! p!", 16, turns{inFlight: 12, failed: 11}, 0)
	f("g", 16, turns{inFlight: 16, failed: 12}, -1)
	f("p!", 2, turns{inFlight: 1, failed: 1}, -1)
	f("p! g", 2, turns{inFlight: 1, failed: 1}, 1)
	f("p! p", 1, turns{}, 0)
	f("p! p", 1, turns{again: true}, 1) // one slot goes by turns
	f("g! p", 1, turns{again: true}, 1)
	f("p!", 1, turns{again: true}, 0)
	f("p g", 0, turns{}, -1)
	for slots := range 100 {
		if n := forFailed(slots); slots > 1 && (n >= slots || n < slots/2) || slots <= 1 && n != slots {
			t.Errorf("of %d slots %d may be taken by what has failed", slots, n)
		}
	}
}
