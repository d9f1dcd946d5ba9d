package journal

import (
	"context"
	"errors"
	"testing"

	"countersign/outbox/store"
)

// TestConfigure: a bound that comes later counts what is open already, one that is raised lets more
// in, and one that goes bounds nobody; what a source that has gone left open stays open.
func TestConfigure(t *testing.T) {
	j := startRig(t, store.Options{Dir: fastDir(t)}, Options{Asking: []string{"a", "b"}})
	add := func(ref string, want error) {
		t.Helper()
		if err := j.Append(context.Background(), weak("a", ref, noon, false)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", ref, err, want)
		}
	}
	configure := func(s Settings) {
		t.Helper()
		if err := j.Configure(context.Background(), s); err != nil {
			t.Fatal(err)
		}
	}
	for _, ref := range []string{"1", "2", "3"} {
		add(ref, nil)
	}
	configure(Settings{Asking: []string{"a", "b"}, Questions: map[string]int{"a": 3}, Endpoints: 2})
	add("4", ErrQuestions)
	configure(Settings{Asking: []string{"a", "b"}, Questions: map[string]int{"a": 4}, Endpoints: 2})
	add("4", nil)
	add("5", ErrQuestions)
	configure(Settings{Endpoints: 2})
	add("5", nil)
	if n := j.metric(t, "journal_open_questions"); n != 5 {
		t.Errorf("%v open, want 5", n)
	}
	if qs, _, err := j.Questions("", 10); len(qs) != 5 || err != nil {
		t.Errorf("%d listed, %v", len(qs), err)
	}
	configure(Settings{Asking: []string{"a"}, Questions: map[string]int{"a": 5}, Endpoints: 2})
	add("6", ErrQuestions)
	if err := j.stop(); err != nil {
		t.Fatal(err)
	}
	if err := j.Configure(context.Background(), Settings{}); err == nil {
		t.Error("a journal whose file is closed was configured")
	}
}
