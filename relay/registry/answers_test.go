package registry

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"countersign/outbox/store"
)

// TestAnswers: what a call was answered is kept sealed with what it made, is there after a restart,
// and goes when it has had its time.
func TestAnswers(t *testing.T) {
	g := newRig(t, acme())
	g.run()
	create := func(id string, at time.Time) error {
		c := Change{Actor: "otto", At: at, Answer: func(v Version, key string) (Answer, error) {
			return Answer{ID: "of-" + id, At: at, Said: "said", Body: []byte(v.ID + key)}, nil
		}}
		_, _, err := g.CreateEndpoint(t.Context(), keptEndpoint(id, "acme"), c)
		return err
	}
	now := time.Now()
	if err := create("one", now.Add(-25*time.Hour)); err != nil {
		t.Fatal(err)
	}
	g.again(acme())
	a, ok, err := g.Answer("of-one")
	if !ok || err != nil || a.Said != "said" || !strings.HasPrefix(string(a.Body), "onewhsec_") {
		t.Errorf("%+v, %v, %v", a, ok, err)
	}
	err = g.store.View(func(tx *store.Tx) error {
		return tx.Bucket(store.Registry).EachEither([]byte(answerPrefix), func(_, v []byte) error {
			if strings.Contains(string(v), "whsec") {
				t.Error("an answer is not sealed")
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := create("two", now); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := g.Answer("of-one"); ok || err != nil {
		t.Errorf("after 25 hours: %v, %v", ok, err)
	}
	for i := range maxAnswers {
		g.answers[strconv.Itoa(i)] = now
	}
	if err := create("three", now); !errors.Is(err, ErrAnswers) || g.Read().Endpoint("three") != nil {
		t.Errorf("one too many: %v", err)
	}
}
