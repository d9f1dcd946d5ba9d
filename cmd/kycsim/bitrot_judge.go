package main

import (
	"fmt"
	"slices"
	"strings"
)

// judge compares a life with the one without damage.
func (r *rotting) judge(l *livedOnce) (outcome string, faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	faults = append(faults, l.faults...)
	if strings.Contains(l.said, "goroutine ") || strings.Contains(l.said, "panic:") {
		fault("it panics")
	}
	if l.memory > rotMemory {
		fault("%d MiB of memory", l.memory>>20)
	}
	if l.ready > rotReady {
		fault("%s until it was ready", l.ready)
	}
	if l.refused {
		if !strings.Contains(l.said, "countersign.db") {
			fault("refused without the name of the file: %.300s", l.said)
		}
		if len(l.told) > 0 {
			fault("refused, and partners were told something")
		}
		return "refused by name", faults
	}
	outcome = "nobody harmed"
	for subject, want := range r.want {
		got := l.told[subject]
		if slices.Equal(got, want) {
			continue
		}
		if wrong := strangerIn(got, want); wrong != nil {
			fault("%s was told %+v, which is not what was to come", subject, *wrong)
		}
		switch {
		case l.aside[subject]:
			outcome = "set aside and counted"
		case l.damaged > 0:
			if outcome == "nobody harmed" {
				outcome = "lost a delivery, counted"
			}
		default:
			fault("%s was told %d of %d, without a word", subject, len(got), len(want))
		}
	}
	for subject := range l.told {
		if r.want[subject] == nil {
			fault("%s is nobody", subject)
		}
	}
	return outcome, faults
}

// strangerIn is the first of got that does not come in want, in this order.
func strangerIn(got, want []toldOnce) *toldOnce {
	at := 0
	for i := range got {
		for at < len(want) && want[at] != got[i] {
			at++
		}
		if at == len(want) {
			return &got[i]
		}
		at++
	}
	return nil
}
