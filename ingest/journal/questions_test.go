package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"countersign/outbox/store"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func asking(source, ref, claim string, since time.Time) Record {
	r := record(1)
	r.Ask = []Question{{Source: source, What: "check", Ref: ref, Claim: claim, Since: since, Due: since}}
	return r
}

// TestQuestions: a question is written with its record, becomes due at its time and per source, and is there until it is answered.
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
	if err := j.Postpone(context.Background(), later); err != nil {
		t.Fatal(err)
	}
	due("a", noon.Add(time.Hour), "2 3", noon.Add(2*time.Minute))
	before := j.Backlog()
	if err := j.Answer(context.Background(), q, record(7), record(8)); err != nil || j.Backlog() != before+2 {
		t.Errorf("answered: %v, %d records", err, j.Backlog()-before)
	}
	due("a", noon.Add(time.Hour), "2 3", time.Time{})
	if all, more, err := j.Questions("", 2); err != nil || !more || len(all) != 2 || all[0].Ref != "2" {
		t.Errorf("%+v, %v, %v", all, more, err)
	} else if rest, more, err := j.Questions(all[1].ID(), 2); err != nil || more || len(rest) != 1 || rest[0].Source != "ab" {
		t.Errorf("%+v, %v, %v", rest, more, err)
	}
}

// TestRaisedAgain: an answer or a postponement speaks for the claim it was asked about; a later claim stays, open since the first.
func TestRaisedAgain(t *testing.T) {
	j := startRig(t, store.Options{}, Options{})
	mustAppend(t, j, asking("a", "1", "first", noon))
	first := Question{Source: "a", What: "check", Ref: "1", Claim: "first", Due: noon.Add(time.Hour)}
	mustAppend(t, j, asking("a", "1", "second", noon.Add(time.Minute)))
	if err := errors.Join(j.Postpone(context.Background(), first), j.Answer(context.Background(), first, record(2))); err != nil {
		t.Fatal(err)
	}
	all, _, err := j.Questions("", 10)
	if err != nil || len(all) != 1 || all[0].Claim != "second" || !all[0].Since.Equal(noon) || !all[0].Due.Equal(noon.Add(time.Minute)) {
		t.Errorf("%+v, %v", all, err)
	}
	if qs, _, err := j.Due("a", noon.Add(time.Hour), 10); err != nil || len(qs) != 1 {
		t.Errorf("the index has %+v, %v", qs, err)
	}
	if err := j.Answer(context.Background(), all[0]); err != nil {
		t.Fatal(err)
	}
	err = j.s.View(func(tx *bolt.Tx) error {
		if n := tx.Bucket(store.Questions).Stats().KeyN; n != 0 {
			return fmt.Errorf("%d keys are left", n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestDamagedQuestion: one that cannot be read is passed over and stays (I8); the others are asked.
func TestDamagedQuestion(t *testing.T) {
	j := startRig(t, store.Options{}, Options{})
	mustAppend(t, j, asking("a", "1", "c", noon), asking("a", "2", "c", noon))
	err := j.s.Update(context.Background(), func(tx *bolt.Tx) error {
		return tx.Bucket(store.Questions).Put(questionKey([]byte("a\x00check\x001")), []byte("noise"))
	})
	if err != nil {
		t.Fatal(err)
	}
	if qs, _, err := j.Due("a", noon, 10); err != nil || len(qs) != 1 || qs[0].Ref != "2" {
		t.Errorf("%+v, %v", qs, err)
	}
}
