package main

import (
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// topicWriting is a writing with a ledger of the topics beside the two.
type topicWriting struct {
	*writing
	read *ledger
	next map[place]int64
	seq  map[string]uint64
}

func newTopicWriting(t *testing.T) *topicWriting {
	t.Helper()
	w := &topicWriting{writing: newWriting(t), next: map[place]int64{}, seq: map[string]uint64{}}
	w.o.Topics = []string{filepath.Join(t.TempDir(), "topics.jsonl")}
	var err error
	if w.read, err = openLedger(w.o.Topics[0]); err != nil {
		t.Fatal(err)
	}
	return w
}

// bodyOf is the digest of an event's body.
func bodyOf(subject string, n int) string { return digest([]byte(subject + strconv.Itoa(n))) }

// sends writes down an event that went out and, if acked, its answer.
func (w *topicWriting) sends(subject string, n int, status string, acked bool) {
	l := firedLine{T: w.clock, Ev: evSent, Source: "s", Subject: subject, N: n, At: int64(1000 + n), Status: status, SHA: bodyOf(subject, n)}
	w.sent.fired(&l)
	if w.later(time.Millisecond); acked {
		l.T, l.Ev, l.Code = w.clock, evAcked, 200
		w.sent.fired(&l)
	}
}

// stands writes a record down at the next offset of its partition, sound unless change makes it
// otherwise.
func (w *topicWriting) stands(l topicLine, change func(*topicLine)) {
	w.later(time.Millisecond)
	l.T, l.Partition, l.Offset = w.clock, int32(len(l.Subject)%3), -1
	l.Key, l.SHA, l.Core = "acme/"+l.Subject, "v"+l.ID, "c"+l.ID
	if change != nil {
		change(&l)
	}
	p := place{l.Topic, l.Partition}
	if l.Offset < 0 {
		l.Offset = w.next[p]
	}
	w.next[p] = l.Offset + 1
	w.read.topic(&l)
}

func (w *topicWriting) update(subject string, n int, status string, change func(*topicLine)) {
	w.stands(topicLine{
		Topic: topicUpdates, ID: "u-" + subject + strconv.Itoa(n), Type: "kyc.update.observation", Subject: subject, Status: status, At: int64(1000 + n),
		Body: bodyOf(subject, n),
	}, change)
}

func (w *topicWriting) change(subject string, seq uint64, status string, change func(*topicLine)) {
	w.stands(topicLine{
		Topic: topicChanges, ID: "evt_" + subject + status + string(rune('0'+seq)), Type: "kyc.status." + status, Subject: subject, Status: status, Seq: seq,
	}, change)
}

// whole is one event that went all the way: to the topics, and to the partner.
func (w *topicWriting) whole(subject string, n int, status string) {
	w.sends(subject, n, status, true)
	w.update(subject, n, status, nil)
	w.change(subject, uint64(n)+1, status, nil)
	w.arrives(subject, uint64(n)+1, status, nil)
}

func (w *topicWriting) judgeTopics() topicFindings {
	w.t.Helper()
	for _, l := range []*ledger{w.sent, w.got, w.read} {
		if err := l.Close(); err != nil {
			w.t.Fatal(err)
		}
	}
	f, err := judgeTopics(w.o)
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

// faultsOf is a stream's findings with all that is no fault left out.
func faultsOf(s streamFindings) streamFindings {
	s.Records, s.Distinct, s.Others, s.Again, s.Repeated, s.Allowed, s.Unexplained = 0, 0, 0, 0, 0, 0, 0
	return s
}

// sound is a run in which everything is as it should be: two persons, three events each.
func sound(w *topicWriting) {
	for _, subject := range []string{"ann", "bob"} {
		for n, status := range []string{"approved", "rejected", "approved"} {
			w.whole(subject, n, status)
		}
	}
}

func TestJudgeTopics(t *testing.T) {
	f := func(name string, updates, changes streamFindings, write func(w *topicWriting)) {
		t.Helper()
		w := newTopicWriting(t)
		write(w)
		v := w.judgeTopics()
		if u, c := faultsOf(v.Updates), faultsOf(v.Changes); u != updates || c != changes {
			t.Errorf("%s:\n%+v, want\n%+v;\n%+v, want\n%+v\n%v", name, u, updates, c, changes, v.Examples)
		}
		if (v.faults() > 0) != (updates.faults()+changes.faults() > 0) {
			t.Errorf("%s: %d faults", name, v.faults())
		}
	}
	var none streamFindings
	// silent is an event of which only the update stands on its topic, as if the change and the
	// partner were not looked at.
	silent := func(w *topicWriting, subject string, n int, status string, change func(*topicLine)) {
		w.update(subject, n, status, change)
		w.change(subject, uint64(n)+1, status, nil)
		w.arrives(subject, uint64(n)+1, status, nil)
	}
	f("sound", none, none, sound)
	f("in doubt, and there", none, none, func(w *topicWriting) {
		sound(w)
		w.sends("ann", 3, "rejected", false)
		silent(w, "ann", 3, "rejected", nil)
	})
	f("in doubt, and not there", none, none, func(w *topicWriting) { sound(w); w.sends("ann", 3, "rejected", false) })
	f("records of other kinds", none, none, func(w *topicWriting) {
		sound(w)
		w.update("ann", 7, "", func(l *topicLine) { l.Type, l.Body, l.At = "kyc.update.timer", "", 0 })
		w.change("ann", 4, "approved", func(l *topicLine) { l.Type = "kyc.check.clear" })
	})
	f("a reader that began anew", none, none, func(w *topicWriting) {
		w.whole("ann", 0, "approved")
		w.update("ann", 0, "approved", func(l *topicLine) { l.Offset = 0 })
	})
	f("lost: an update", streamFindings{Lost: 1}, none, func(w *topicWriting) {
		sound(w)
		w.sends("ann", 3, "rejected", true)
		w.change("ann", 4, "rejected", nil)
		w.arrives("ann", 4, "rejected", nil)
	})
	f("lost: a change, which the partner was told", none, streamFindings{Lost: 1, PartnerOnly: 1}, func(w *topicWriting) {
		sound(w)
		w.sends("ann", 3, "rejected", true)
		w.update("ann", 3, "rejected", nil)
		w.arrives("ann", 4, "rejected", nil)
	})
	f("lost: both", streamFindings{Lost: 1}, streamFindings{Lost: 1}, func(w *topicWriting) { sound(w); w.sends("bob", 3, "rejected", true) })
	f("invented: a body that was never sent", streamFindings{Invented: 1}, none, func(w *topicWriting) { sound(w); w.update("ann", 5, "approved", nil) })
	f("invented: a second id for one callback", streamFindings{Invented: 1}, none, func(w *topicWriting) {
		sound(w)
		w.update("ann", 2, "approved", func(l *topicLine) { l.ID = "u-other" })
	})
	f("invented: a person", none, streamFindings{Invented: 1, TopicOnly: 1}, func(w *topicWriting) { sound(w); w.change("eve", 1, "approved", nil) })
	f("invented: a change", none, streamFindings{Invented: 1, TopicOnly: 1}, func(w *topicWriting) { sound(w); w.change("ann", 4, "suspended", nil) })
	f("a callback that came again", none, none, func(w *topicWriting) {
		sound(w)
		w.sends("ann", 2, "approved", true)
		w.update("ann", 2, "approved", func(l *topicLine) { l.SHA = "taken later" })
	})
	f("taken more often than sent", streamFindings{Invented: 1}, none, func(w *topicWriting) {
		sound(w)
		w.update("ann", 2, "approved", func(l *topicLine) { l.SHA = "taken later" })
	})
	f("altered: another value under the same id", streamFindings{Altered: 1}, none, func(w *topicWriting) {
		sound(w)
		w.sends("ann", 2, "approved", true)
		w.update("ann", 2, "approved", func(l *topicLine) { l.SHA, l.Core = "taken later", "other" })
	})
	f("altered: another change under the same id", none, streamFindings{Altered: 1}, func(w *topicWriting) {
		sound(w)
		w.change("ann", 3, "approved", func(l *topicLine) { l.SHA = "other" })
	})
	f("altered: another status than was sent", streamFindings{Altered: 1}, none, func(w *topicWriting) {
		w.sends("ann", 0, "approved", true)
		silent(w, "ann", 0, "approved", func(l *topicLine) { l.Status = "rejected" })
	})
	f("altered: another time than was sent", streamFindings{Altered: 1}, none, func(w *topicWriting) {
		w.sends("ann", 0, "approved", true)
		silent(w, "ann", 0, "approved", func(l *topicLine) { l.At++ })
	})
	f("altered: a change that the partner was told otherwise", none, streamFindings{Altered: 1}, func(w *topicWriting) {
		w.whole("ann", 0, "approved")
		w.sends("ann", 1, "rejected", true)
		w.update("ann", 1, "rejected", nil)
		w.change("ann", 2, "rejected", nil)
		w.arrives("ann", 2, "rejected", func(r *receivedLine) { r.Seq = 3 })
	})
	f("malformed", streamFindings{Malformed: 1}, none, func(w *topicWriting) {
		w.sends("ann", 0, "approved", true)
		silent(w, "ann", 0, "approved", func(l *topicLine) { l.Bad = "no header ce_id" })
	})
	f("a key in two partitions", streamFindings{Moved: 1}, none, func(w *topicWriting) {
		sound(w)
		w.sends("ann", 3, "rejected", true)
		silent(w, "ann", 3, "rejected", func(l *topicLine) { l.Partition += 5 })
	})
	f("updates out of order", streamFindings{OutOfOrder: 1}, none, func(w *topicWriting) {
		w.sends("ann", 0, "approved", true)
		w.sends("ann", 1, "rejected", true)
		w.update("ann", 1, "rejected", nil)
		w.update("ann", 0, "approved", nil)
		for n, status := range []string{"approved", "rejected"} {
			w.change("ann", uint64(n)+1, status, nil)
			w.arrives("ann", uint64(n)+1, status, nil)
		}
	})
	f("changes out of order", none, streamFindings{OutOfOrder: 1, Gaps: 1, Lost: 1, Invented: 1}, func(w *topicWriting) {
		for n, status := range []string{"approved", "rejected"} {
			w.sends("ann", n, status, true)
			w.update("ann", n, status, nil)
			w.arrives("ann", uint64(n)+1, status, nil)
		}
		w.change("ann", 2, "rejected", nil)
		w.change("ann", 1, "approved", nil)
	})
	f("a gap in the sequence", none, streamFindings{Gaps: 1}, func(w *topicWriting) {
		w.whole("ann", 0, "approved")
		w.sends("ann", 1, "rejected", true)
		w.update("ann", 1, "rejected", nil)
		w.change("ann", 3, "rejected", nil)
		w.arrives("ann", 3, "rejected", nil)
	})
	f("a hole in the offsets", streamFindings{Holes: 1}, none, func(w *topicWriting) {
		sound(w)
		w.sends("ann", 3, "rejected", true)
		silent(w, "ann", 3, "rejected", func(l *topicLine) { l.Offset = 99 })
	})
	f("on the topic, and no partner was told", none, streamFindings{TopicOnly: 1}, func(w *topicWriting) {
		sound(w)
		w.sends("ann", 3, "rejected", true)
		w.update("ann", 3, "rejected", nil)
		w.change("ann", 4, "rejected", nil)
	})
	f("on the topic, and the partner never accepted", none, streamFindings{TopicOnly: 1}, func(w *topicWriting) {
		w.sends("ann", 0, "approved", true)
		w.update("ann", 0, "approved", nil)
		w.change("ann", 1, "approved", nil)
		w.arrives("ann", 1, "approved", func(r *receivedLine) { r.Answer = 500 })
	})
	f("no partner is asked", none, none, func(w *topicWriting) {
		w.o.Received = nil
		w.sends("ann", 0, "approved", true)
		w.update("ann", 0, "approved", nil)
		w.change("ann", 1, "approved", nil)
	})
	f("nothing stands anywhere", streamFindings{Lost: 1}, streamFindings{Lost: 1}, func(w *topicWriting) { w.sends("ann", 0, "approved", true) })
}

func TestJudgeTopicRepeats(t *testing.T) {
	f := func(name, fault string, before, after time.Duration, repeats, wantUnexplained, wantAllowed, wantProblems int) {
		t.Helper()
		w := newTopicWriting(t)
		w.whole("ann", 0, "approved")
		w.later(before)
		if fault != "" {
			w.sent.fired(&firedLine{T: w.clock, Ev: fault})
		}
		w.later(after)
		for range repeats {
			w.update("ann", 0, "approved", nil)
		}
		v := w.judgeTopics()
		if v.Updates.Repeated != repeats || v.Updates.Unexplained != wantUnexplained || v.Updates.Allowed != wantAllowed || len(v.problems()) != wantProblems || v.faults() != 0 {
			t.Errorf("%s: %+v, want %d unexplained, %d allowed; %v, want %d", name, v.Updates, wantUnexplained, wantAllowed, v.problems(), wantProblems)
		}
	}
	f("just before a kill", evKilled, 100*time.Millisecond, time.Second, 1, 0, 1, 0)
	f("long before a kill", evKilled, 5*time.Second, time.Second, 1, 1, 0, 2)
	f("just before a broker died", evBroker, 100*time.Millisecond, 20*time.Second, 1, 0, 1, 0)
	f("long before a broker died", evBroker, 5*time.Second, time.Second, 1, 1, 0, 2)
	f("no fault", "", 0, time.Millisecond, 1, 1, 0, 2)
	f("more often than one fault excuses", evBroker, 100*time.Millisecond, time.Second, 2, 0, 1, 1)
	f("not at all", evKilled, 100*time.Millisecond, time.Second, 0, 0, 1, 0)
}

// TestJudgeTopicOrder holds that a repeat of what came before is no disorder, and that an order
// with the repeats left out is judged.
func TestJudgeTopicOrder(t *testing.T) {
	w := newTopicWriting(t)
	for n, status := range []string{"approved", "rejected", "approved"} {
		w.whole("ann", n, status)
	}
	w.kill()
	for n, status := range []string{"approved", "rejected", "approved"} { // a batch that went out twice
		w.update("ann", n, status, nil)
		w.change("ann", uint64(n)+1, status, nil)
	}
	w.whole("ann", 3, "rejected")
	v := w.judgeTopics()
	if v.faults() != 0 || len(v.problems()) != 0 || v.Updates.Repeated != 3 || v.Changes.Repeated != 3 || v.Updates.Distinct != 4 || v.Marks != 1 {
		t.Errorf("%+v %v", v, v.problems())
	}
}
