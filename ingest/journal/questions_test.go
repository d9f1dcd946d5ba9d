package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"countersign/outbox/store"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func asking(source, ref, claim string, since time.Time) Record {
	r := record(1)
	r.Ask = []Question{{Source: source, What: "check", Ref: ref, Claim: claim, Since: since, Due: since}}
	return r
}

// TestQuestions: a question is written with its record, becomes due at its time and per source, and
// is there until it is answered.
func TestQuestions(t *testing.T) {
	j := startRig(t, store.Options{}, Options{})
	due := func(source string, at time.Time, want string, wantNext time.Time) {
		t.Helper()
		qs, next, err := j.Due(source, at, 2)
		var got []string
		for _, q := range qs {
			got = append(got, q.Ref)
		}
		if err != nil || strings.Join(got, " ") != want || !next.Equal(wantNext) {
			t.Errorf("due of %s at %s: %v, next %s, %v; want %q, %s", source, at, got, next, err, want, wantNext)
		}
	}
	due("a", noon, "", time.Time{})
	if !j.OldestQuestion().IsZero() {
		t.Error("a question before there is one")
	}
	asked := j.Asked()
	mustAppend(t, j, asking("a", "1", "c1", noon), asking("a", "2", "c2", noon.Add(time.Minute)), asking("a", "3", "c3", noon.Add(time.Minute)), asking("ab", "1", "c4", noon.Add(-time.Hour)))
	<-asked
	due("a", noon, "1", noon.Add(time.Minute))
	due("a", noon.Add(time.Hour), "1 2", noon.Add(time.Minute)) // two at a time
	due("ab", noon, "1", time.Time{})
	due("b", noon, "", time.Time{})
	if since := j.OldestQuestion(); !since.Equal(noon.Add(-time.Hour)) {
		t.Errorf("oldest: %s", since)
	}
	q := Question{Source: "a", What: "check", Ref: "1", Claim: "c1"}
	later := q
	later.Due, later.Tries, later.Error = noon.Add(2*time.Minute), 1, "no answer"
	if err := j.Postpone(context.Background(), later, Intake{}); err != nil {
		t.Fatal(err)
	}
	due("a", noon.Add(time.Hour), "2 3", noon.Add(2*time.Minute))
	before := j.Backlog()
	if err := j.Answer(context.Background(), q, Intake{Records: []Record{record(7), record(8)}}); err != nil || j.Backlog() != before+2 {
		t.Errorf("answered: %v, %d records", err, j.Backlog()-before)
	}
	due("a", noon.Add(time.Hour), "2 3", time.Time{})
	if all, more, err := j.Questions("", 2); err != nil || !more || len(all) != 2 || all[0].Ref != "2" {
		t.Errorf("%+v, %v, %v", all, more, err)
	} else if rest, more, err := j.Questions(all[1].ID(), 2); err != nil || more || len(rest) != 1 || rest[0].Source != "ab" {
		t.Errorf("%+v, %v, %v", rest, more, err)
	}
}

// TestRaisedAgain: an answer or a postponement speaks for the claim it was asked about; a later
// claim stays, open since the first.
func TestRaisedAgain(t *testing.T) {
	j := startRig(t, store.Options{}, Options{})
	mustAppend(t, j, asking("a", "1", "first", noon))
	first := Question{Source: "a", What: "check", Ref: "1", Claim: "first", Due: noon.Add(time.Hour)}
	mustAppend(t, j, asking("a", "1", "second", noon.Add(time.Minute)))
	if err := errors.Join(j.Postpone(context.Background(), first, Intake{}), j.Answer(context.Background(), first, Intake{Records: []Record{record(2)}})); err != nil {
		t.Fatal(err)
	}
	all, _, err := j.Questions("", 10)
	if err != nil || len(all) != 1 || all[0].Claim != "second" || !all[0].Since.Equal(noon) || !all[0].Due.Equal(noon.Add(time.Minute)) {
		t.Errorf("%+v, %v", all, err)
	}
	if qs, _, err := j.Due("a", noon.Add(time.Hour), 10); err != nil || len(qs) != 1 {
		t.Errorf("the index has %+v, %v", qs, err)
	}
	if err := j.Answer(context.Background(), all[0], Intake{}); err != nil {
		t.Fatal(err)
	}
	err = j.s.View(func(tx *store.Tx) error {
		return tx.Bucket(store.Questions).ForEach(func(k, _ []byte) error { return fmt.Errorf("%q is left", k) })
	})
	if err != nil {
		t.Error(err)
	}
}

// TestKeptAnswers: what is kept of an open question's answers is the newest, told of once; the
// answer that closes the question takes it out, whatever that keeps itself.
func TestKeptAnswers(t *testing.T) {
	j := startRig(t, store.Options{}, Options{})
	mustAppend(t, j, asking("a", "1", "c", noon))
	q := Question{Source: "a", What: "check", Ref: "1", Claim: "c"}
	answer := func(id, body string, rs ...Record) Intake {
		return Intake{Records: rs, Keep: &Item{ID: id, Source: "a", Reason: Unreadable, Body: []byte(body), Answer: &Answer{Ref: "1", Parts: []int{len(body)}}}}
	}
	kept := func(id, want string, n int64) {
		t.Helper()
		it, err := j.Unseal(id)
		if want == "" != errors.Is(err, ErrNotFound) || string(it.Body) != want || j.Quarantined() != n || want != "" && (it.Answer == nil || it.Answer.Parts[0] != len(want)) {
			t.Errorf("%s holds %q, %v; want %q of %d, there are %d", id, it.Body, err, want, n, j.Quarantined())
		}
	}
	for _, body := range []string{"one", "another"} {
		if err := j.Postpone(t.Context(), q, answer(q.ItemID(), body)); err != nil {
			t.Fatal(err)
		}
		kept(q.ItemID(), body, 1)
	}
	if n := j.metric(t, "journal_quarantined_total"); n != 1 {
		t.Errorf("told of %v times", n)
	}
	stale := q
	stale.Claim = "earlier"
	if err := errors.Join(j.Answer(t.Context(), stale, answer("x", "late")), j.Postpone(t.Context(), stale, answer("y", "later"))); err != nil {
		t.Fatal(err)
	}
	kept("x", "late", 3)
	kept("y", "later", 3)
	kept(q.ItemID(), "another", 3)
	before := j.Backlog()
	if err := j.Answer(t.Context(), q, answer("z", "a word nobody knows", record(2))); err != nil || j.Backlog() != before+1 {
		t.Errorf("%v, %d records", err, j.Backlog()-before)
	}
	kept("z", "a word nobody knows", 3)
	kept(q.ItemID(), "", 3)
	if all, _, err := j.Questions("", 10); err != nil || len(all) != 0 {
		t.Errorf("open: %+v, %v", all, err)
	}
}

// TestDamagedQuestion: one that cannot be read is passed over and stays (I8); the others are asked.
func TestDamagedQuestion(t *testing.T) {
	j := startRig(t, store.Options{}, Options{})
	mustAppend(t, j, asking("a", "1", "c", noon), asking("a", "2", "c", noon))
	j.spoil(t, store.Questions, questionKey([]byte("a\x00check\x001")))
	if qs, _, err := j.Due("a", noon, 10); err != nil || len(qs) != 1 || qs[0].Ref != "2" {
		t.Errorf("%+v, %v", qs, err)
	}
}

// weak is a record with a question of a callback that proved nothing.
func weak(source, ref string, at time.Time, known bool) Record {
	r := asking(source, ref, "claim-"+ref, at)
	r.Ask[0].Weak, r.Ask[0].Known, r.Ask[0].Place = true, known, at
	return r
}

// TestOrderOfQuestions: what was proved is asked first, the oldest due of it; then the rest by
// their places, and when they are due again. A place is no time: nobody waits for one.
func TestOrderOfQuestions(t *testing.T) {
	j := startRig(t, store.Options{}, Options{})
	later := weak("a", "forged-1", noon.Add(-time.Hour), false)
	mustAppend(t, j, later, weak("a", "forged-2", noon.Add(time.Hour), false), weak("a", "known", noon.Add(-2*time.Hour), true), asking("a", "proved", "c1", noon), asking("a", "tomorrow", "c2", noon.Add(24*time.Hour)))
	f := func(n int, want string) {
		t.Helper()
		qs, _, err := j.Due("a", noon, n)
		var got []string
		for _, q := range qs {
			got = append(got, q.Ref)
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%v, %v; want %s", got, err, want)
		}
	}
	f(10, "proved known forged-1 forged-2")
	f(2, "proved known")
	q := later.Ask[0]
	q.Due, q.Tries = noon.Add(time.Minute), 1
	if err := j.Postpone(context.Background(), q, Intake{}); err != nil {
		t.Fatal(err)
	}
	f(10, "proved known forged-2") // what was asked waits for its time
	q.Due = noon
	if err := j.Postpone(context.Background(), q, Intake{}); err != nil {
		t.Fatal(err)
	}
	f(10, "proved known forged-1 forged-2")
	mustAppend(t, j, asking("a", "forged-2", "c3", noon)) // now somebody who can prove it says so
	f(10, "forged-2 proved known forged-1")
	mustAppend(t, j, weak("a", "forged-2", noon, false)) // and nobody takes that back
	f(10, "forged-2 proved known forged-1")
	for _, ref := range []string{"forged-1", "forged-2", "known", "proved", "tomorrow"} {
		if err := j.DropQuestion(context.Background(), "a\x00check\x00"+ref); err != nil {
			t.Fatal(err)
		}
	}
	err := j.s.View(func(tx *store.Tx) error {
		return tx.Bucket(store.Questions).ForEach(func(k, _ []byte) error { return fmt.Errorf("%q is left", k) })
	})
	if err != nil {
		t.Error(err)
	}
}

// TestBoundOfQuestions: unproved callbacks may leave so many questions open and no more, over a
// restart; proved ones any number, and what is open already may be raised again.
func TestBoundOfQuestions(t *testing.T) {
	o := Options{Questions: map[string]int{"a": 3}}
	dir := fastDir(t)
	j := startRig(t, store.Options{Dir: dir}, o)
	add := func(r Record, want error) {
		t.Helper()
		if err := j.Append(context.Background(), r); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", r.Ask[0].Ref, err, want)
		}
	}
	full := func() {
		t.Helper()
		add(weak("a", "4", noon, false), ErrQuestions)
		add(weak("a", "4", noon, true), ErrQuestions)
		add(weak("a", "2", noon, false), nil)
		add(weak("b", "4", noon, false), nil)
		add(asking("a", "proved", "c", noon), nil)
	}
	for _, ref := range []string{"1", "2", "3"} {
		add(weak("a", ref, noon, false), nil)
	}
	full()
	if err := j.stop(); err != nil {
		t.Fatal(err)
	}
	j = startRig(t, store.Options{Dir: dir}, o)
	full()
	if n, err := j.DropQuestions(context.Background(), "a", noon.Add(time.Second), false, false); n != 3 || err != nil {
		t.Errorf("%d closed, %v", n, err)
	}
	add(weak("a", "4", noon, false), nil)
}
