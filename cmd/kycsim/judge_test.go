package main

import (
	"path/filepath"
	"testing"
	"time"
)

// writing is a pair of ledgers made by hand.
type writing struct {
	t     *testing.T
	sent  *ledger
	got   *ledger
	o     judgeOptions
	clock int64
}

func newWriting(t *testing.T) *writing {
	t.Helper()
	w := &writing{t: t, clock: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC).UnixNano()}
	w.o.Fired, w.o.Received = []string{filepath.Join(t.TempDir(), "fired.jsonl")}, []string{filepath.Join(t.TempDir(), "received.jsonl")}
	var err error
	if w.sent, err = openLedger(w.o.Fired[0]); err != nil {
		t.Fatal(err)
	}
	if w.got, err = openLedger(w.o.Received[0]); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *writing) later(d time.Duration) { w.clock += int64(d) }

// fires writes down an event that went out and, if acked, its answer.
func (w *writing) fires(subject string, n int, status string, acked bool) {
	l := firedLine{T: w.clock, Ev: evSent, Source: "s", Subject: subject, N: n, At: int64(1000 + n), Status: status, SHA: "00"}
	w.sent.fired(&l)
	if w.later(time.Millisecond); acked {
		l.T, l.Ev, l.Code = w.clock, evAcked, 200
		w.sent.fired(&l)
	}
}

func (w *writing) kill() { w.sent.fired(&firedLine{T: w.clock, Ev: evKilled}) }

// arrives writes down a delivery, sound unless change makes it otherwise.
func (w *writing) arrives(subject string, seq uint64, status string, change func(*receivedLine)) {
	w.later(time.Millisecond)
	l := receivedLine{
		T: w.clock, ID: "evt_" + subject + status + string(rune('0'+seq)), Seq: seq, Prev: seq - 1, Subject: subject, Status: status, Type: "kyc.status." + status,
		SHA: "aa" + string(rune('0'+seq)), OK: true, Answer: 200, Path: "/a",
	}
	if change != nil {
		change(&l)
	}
	w.got.received(&l)
}

func (w *writing) judge() findings {
	w.t.Helper()
	if err := w.sent.Close(); err != nil {
		w.t.Fatal(err)
	}
	if err := w.got.Close(); err != nil {
		w.t.Fatal(err)
	}
	f, err := judge(w.o)
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

// good is a run in which everything is as it should be: two persons, three events each.
func good(w *writing) {
	for _, subject := range []string{"ann", "bob"} {
		for n, status := range []string{"approved", "rejected", "approved"} {
			w.fires(subject, n, status, true)
			w.arrives(subject, uint64(n)+1, status, nil)
		}
	}
}

// numbers are what a case expects to be counted; what it does not name must be 0.
type numbers struct {
	lost, invented, altered, badlySigned, outOfOrder, otherID, gaps, duplicated, repeated int
}

func TestJudge(t *testing.T) {
	f := func(name string, want numbers, write func(w *writing)) {
		t.Helper()
		w := newWriting(t)
		write(w)
		v := w.judge()
		got := numbers{v.Lost, v.Invented, v.Altered, v.BadlySigned, v.OutOfOrder, v.DuplicateWithOtherID, v.Gaps, v.Duplicated, v.RepeatedAfter2xx}
		if got != want {
			t.Errorf("%s: %+v, want %+v\n%v", name, got, want, v.Examples)
		}
		faulty := want.lost+want.invented+want.altered+want.badlySigned+want.outOfOrder+want.otherID > 0
		if (v.faults() > 0) != faulty {
			t.Errorf("%s: %d faults", name, v.faults())
		}
	}
	path := func(p string) func(*receivedLine) { return func(r *receivedLine) { r.Path = p } }
	answered := func(code int) func(*receivedLine) { return func(r *receivedLine) { r.Answer = code } }
	f("good", numbers{}, good)
	f("retried until accepted", numbers{}, func(w *writing) {
		w.fires("ann", 0, "approved", true)
		w.arrives("ann", 1, "approved", answered(500))
		w.arrives("ann", 1, "approved", answered(0))
		w.arrives("ann", 1, "approved", nil)
	})
	f("check changes beside status changes", numbers{}, func(w *writing) {
		w.fires("ann", 0, "approved", true)
		w.arrives("ann", 1, "approved", func(r *receivedLine) { r.Type = "kyc.check.clear" })
		w.arrives("ann", 2, "approved", nil)
	})
	f("in doubt, and arrived", numbers{}, func(w *writing) {
		good(w)
		w.fires("ann", 3, "rejected", false)
		w.arrives("ann", 4, "rejected", nil)
	})
	f("in doubt, and did not arrive", numbers{}, func(w *writing) { good(w); w.fires("ann", 3, "rejected", false) })
	f("lost at the end", numbers{lost: 1}, func(w *writing) { good(w); w.fires("bob", 3, "rejected", true) })
	f("lost in the middle", numbers{lost: 1}, func(w *writing) {
		for n, status := range []string{"approved", "rejected", "in_review"} {
			w.fires("ann", n, status, true)
		}
		w.arrives("ann", 1, "approved", nil)
		w.arrives("ann", 2, "in_review", nil)
	})
	f("received, but never accepted", numbers{lost: 1}, func(w *writing) {
		w.fires("ann", 0, "approved", true)
		w.arrives("ann", 1, "approved", answered(500))
	})
	f("lost by one endpoint of two", numbers{lost: 1}, func(w *writing) {
		good(w)
		w.fires("cleo", 0, "approved", true)
		w.arrives("cleo", 1, "approved", nil)
		for n, status := range []string{"approved", "rejected", "approved"} {
			w.arrives("ann", uint64(n)+1, status, path("/b"))
			w.arrives("bob", uint64(n)+1, status, path("/b"))
		}
	})
	f("an endpoint that was told nothing", numbers{lost: 6}, func(w *writing) { w.o.Paths = []string{"/a", "/b"}; good(w) })
	f("nothing arrived anywhere", numbers{lost: 1}, func(w *writing) { w.fires("ann", 0, "approved", true) })
	f("invented subject", numbers{invented: 1}, func(w *writing) { good(w); w.arrives("eve", 1, "approved", nil) })
	f("invented status", numbers{invented: 1}, func(w *writing) { good(w); w.arrives("ann", 4, "suspended", nil) })
	f("told once too often", numbers{invented: 1}, func(w *writing) { good(w); w.arrives("ann", 4, "rejected", nil) })
	f("type and status disagree", numbers{lost: 1, invented: 1}, func(w *writing) {
		w.fires("ann", 0, "approved", true)
		w.arrives("ann", 1, "approved", func(r *receivedLine) { r.Type = "kyc.status.rejected" })
	})
	f("altered", numbers{altered: 1}, func(w *writing) {
		w.fires("ann", 0, "approved", true)
		w.arrives("ann", 1, "approved", answered(500))
		w.arrives("ann", 1, "approved", func(r *receivedLine) { r.SHA = "bb" })
	})
	f("badly signed", numbers{badlySigned: 1}, func(w *writing) { good(w); w.arrives("ann", 4, "rejected", func(r *receivedLine) { r.OK = false }) })
	f("out of order", numbers{outOfOrder: 1}, func(w *writing) {
		w.fires("ann", 0, "approved", true)
		w.fires("ann", 1, "rejected", true)
		w.arrives("ann", 2, "rejected", nil)
		w.arrives("ann", 1, "approved", nil)
	})
	f("overtaken while it was being retried", numbers{outOfOrder: 1}, func(w *writing) {
		w.fires("ann", 0, "approved", true)
		w.fires("ann", 1, "rejected", true)
		w.arrives("ann", 1, "approved", answered(500))
		w.arrives("ann", 2, "rejected", nil)
		w.arrives("ann", 1, "approved", nil)
	})
	f("the same change under another id", numbers{otherID: 1, lost: 0, invented: 1, gaps: 1}, func(w *writing) {
		w.fires("ann", 0, "approved", true)
		w.arrives("ann", 1, "approved", nil)
		w.arrives("ann", 1, "approved", func(r *receivedLine) { r.ID = "evt_other" })
	})
	f("gap", numbers{gaps: 1}, func(w *writing) {
		w.fires("ann", 0, "approved", true)
		w.fires("ann", 1, "rejected", true)
		w.arrives("ann", 1, "approved", nil)
		w.arrives("ann", 4, "rejected", nil) // previous_sequence 3 was never seen
	})
	reordered := func(w *writing) {
		w.fires("ann", 1, "rejected", true)
		w.fires("ann", 0, "approved", true)
	}
	f("reordered, last word right", numbers{}, func(w *writing) { reordered(w); w.arrives("ann", 1, "rejected", nil) })
	f("reordered, last word wrong", numbers{lost: 1}, func(w *writing) {
		reordered(w)
		w.arrives("ann", 1, "rejected", nil)
		w.arrives("ann", 2, "approved", nil)
	})
	f("reordered, told nothing", numbers{lost: 1}, func(w *writing) { good(w); w.fires("cleo", 1, "rejected", true); w.fires("cleo", 0, "approved", true) })
	f("reordered, invented", numbers{invented: 1}, func(w *writing) {
		reordered(w)
		w.arrives("ann", 1, "expired", nil)
		w.arrives("ann", 2, "rejected", nil)
	})
}

func TestJudgeRepeats(t *testing.T) {
	f := func(name string, kills int, killed bool, wait time.Duration, wantRepeated, wantAllowed int) {
		t.Helper()
		w := newWriting(t)
		w.o.Kills = kills
		w.fires("ann", 0, "approved", true)
		w.arrives("ann", 1, "approved", nil)
		w.later(wait)
		if killed {
			w.kill()
		}
		w.later(300 * time.Millisecond)
		w.arrives("ann", 1, "approved", nil)
		v := w.judge()
		if v.Duplicated != 1 || v.RepeatedAfter2xx != wantRepeated || v.AllowedRepeats != wantAllowed || v.faults() != 0 {
			t.Errorf("%s: %+v, want %d repeated, %d excused", name, v, wantRepeated, wantAllowed)
		}
	}
	f("answered just before a kill", 1, true, 20*time.Millisecond, 0, 1)
	f("answered a while before a kill", 1, true, 200*time.Millisecond, 1, 0)
	f("answered long before a kill", 1, true, 5*time.Second, 1, 0)
	f("no kill", 0, false, 200*time.Millisecond, 1, 0)
	f("a kill nobody timed", 1, false, 200*time.Millisecond, 0, 0)
	f("a kill nobody timed, but long after", 1, false, 20*time.Second, 1, 0)
}

func TestJudgeRefuses(t *testing.T) {
	w := newWriting(t)
	good(w)
	w.kill()
	w.o.Kills = 2
	_ = w.judgeErr()
	if err := w.judgeErr(); err == nil {
		t.Error("two kills were expected and one is in the ledger, but nothing was said")
	}
	if _, err := judge(judgeOptions{Fired: []string{filepath.Join(t.TempDir(), "none")}}); err == nil {
		t.Error("a ledger that does not exist was judged")
	}
}

// judgeErr may be called more than once; the ledgers are closed by the first.
func (w *writing) judgeErr() error {
	_, _ = w.sent.Close(), w.got.Close()
	_, err := judge(w.o)
	return err
}

func TestSoakVerdict(t *testing.T) {
	f := func(name string, r soakReport, expectFailure, want bool) {
		t.Helper()
		if r.judge(expectFailure); r.OK != want {
			t.Errorf("%s: %v %v, want %v", name, r.OK, r.Problems, want)
		}
	}
	ok := findings{Acked: 10, Duplicated: 2, AllowedRepeats: 3}
	with := func(change func(*findings)) soakReport {
		r := soakReport{Found: ok}
		change(&r.Found)
		return r
	}
	f("good", soakReport{Found: ok}, false, true)
	f("good, but failure was expected", soakReport{Found: ok}, true, false)
	f("lost", with(func(f *findings) { f.Lost = 1 }), false, false)
	f("lost, as expected", with(func(f *findings) { f.Lost = 1 }), true, true)
	f("only altered, where a loss was expected", with(func(f *findings) { f.Altered = 1 }), true, false)
	f("more repeats than excused", with(func(f *findings) { f.Duplicated = 4 }), false, false)
	f("a repeat far from any kill", with(func(f *findings) { f.RepeatedAfter2xx = 1 }), false, false)
	f("a gap", with(func(f *findings) { f.Gaps = 1 }), false, false)
	f("nothing was acknowledged", with(func(f *findings) { f.Acked = 0 }), false, false)
	f("given up", soakReport{Found: ok, Fired: fireSummary{GivenUp: 1}}, false, false)
	f("did not stop", soakReport{Found: ok, Problems: []string{"the gateway did not stop"}}, false, false)
}
