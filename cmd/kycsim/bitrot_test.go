package main

import (
	"strings"
	"testing"
	"time"
)

// TestBitrotJudge: what is excused, and what is not.
func TestBitrotJudge(t *testing.T) {
	a, b, c := toldOnce{1, "evt_1", "kyc.status.approved", "approved"}, toldOnce{2, "evt_2", "kyc.status.rejected", "rejected"}, toldOnce{3, "evt_3", "kyc.status.approved", "approved"}
	r := &rotting{want: map[string][]toldOnce{"ann": {a, b, c}, "bob": {a}}}
	f := func(what string, l livedOnce, outcome string, faults ...string) {
		t.Helper()
		got, found := r.judge(&l)
		if got != outcome || len(found) != len(faults) {
			t.Fatalf("%s: %s, %q; want %s, %q", what, got, found, outcome, faults)
		}
		for i := range faults {
			if !strings.Contains(found[i], faults[i]) {
				t.Errorf("%s: %q, want %q", what, found[i], faults[i])
			}
		}
	}
	all := map[string][]toldOnce{"ann": {a, b, c}, "bob": {a}}
	f("everything", livedOnce{told: all}, "nobody harmed")
	f("set aside", livedOnce{told: map[string][]toldOnce{"ann": {a}, "bob": {a}}, aside: map[string]bool{"ann": true}}, "set aside and counted")
	f("counted", livedOnce{told: map[string][]toldOnce{"ann": {a, c}, "bob": {a}}, damaged: 1}, "lost a delivery, counted")
	f("without a word", livedOnce{told: map[string][]toldOnce{"ann": {a, c}, "bob": {a}}}, "nobody harmed", "ann was told 2 of 3, without a word")
	f("out of order", livedOnce{told: map[string][]toldOnce{"ann": {b, a, c}, "bob": {a}}, aside: map[string]bool{"ann": true}}, "set aside and counted", "not what was to come")
	f("twice", livedOnce{told: map[string][]toldOnce{"ann": {a, b, b, c}, "bob": {a}}, damaged: 1}, "lost a delivery, counted", "not what was to come")
	f("somebody else", livedOnce{told: map[string][]toldOnce{"ann": {a, b, c}, "bob": {a}, "eve": {a}}}, "nobody harmed", "eve is nobody")
	f("refused", livedOnce{refused: true, said: "data/countersign.db: database is corrupt"}, "refused by name")
	f("refused without a name", livedOnce{refused: true, said: "no"}, "refused by name", "without the name")
	f("refused, and told", livedOnce{refused: true, said: "countersign.db", told: all}, "refused by name", "told something")
	f("a panic", livedOnce{told: all, said: "goroutine 1 [running]"}, "nobody harmed", "panics")
	f("memory", livedOnce{told: all, memory: 300 << 20}, "nobody harmed", "300 MiB")
	f("time", livedOnce{told: all, ready: 2 * time.Minute}, "nobody harmed", "until it was ready")
}
