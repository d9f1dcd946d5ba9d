package journal

import (
	"context"
	"errors"
	"strings"
	"testing"

	"countersign/outbox/store"
)

// TestCursor: a cursor stands with the records before it, per source and across restarts.
func TestCursor(t *testing.T) {
	j := startRig(t, store.Options{}, Options{Backlog: 3})
	at := func(source, want string) {
		t.Helper()
		if got, err := j.Cursor(source); err != nil || got != want {
			t.Errorf("cursor of %s = %q, %v; want %q", source, got, err, want)
		}
	}
	from := func(source, cursor string, want error, rs ...Record) {
		t.Helper()
		if err := j.AppendFrom(context.Background(), source, cursor, rs...); !errors.Is(err, want) {
			t.Errorf("append from %s of %s: %v, want %v", cursor, source, err, want)
		}
	}
	at("a", "")
	from("a", "7", nil, record(1), record(2))
	from("ab", "x", nil)
	at("a", "7")
	at("ab", "x")
	from("a", "9", ErrBacklog, record(3), record(4)) // all or none
	at("a", "7")
	from("a", "8", nil, record(3))
	from("a", "9", nil) // a cursor alone needs no room in the journal
	if n := j.Backlog(); n != 3 {
		t.Errorf("%d records, want 3", n)
	}
	j = j.again(t)
	at("a", "9")
	at("ab", "x")
	for i, r := range tail(t, j, Position{}, 3) {
		same(t, r, int64(i+1), record(i+1))
	}
}

// TestDamagedCursor: it is named, neither guessed nor begun again.
func TestDamagedCursor(t *testing.T) {
	j := startRig(t, store.Options{}, Options{})
	if err := j.AppendFrom(context.Background(), "a", "7"); err != nil {
		t.Fatal(err)
	}
	j.spoil(t, store.Meta, cursorKey("a"))
	if c, err := j.Cursor("a"); c != "" || !errors.Is(err, store.ErrBadRecord) || !strings.Contains(err.Error(), "cursor of a") {
		t.Errorf("%q, %v", c, err)
	}
}
