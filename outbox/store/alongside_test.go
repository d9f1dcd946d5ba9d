package store

import (
	"context"
	"errors"
	"testing"
)

// TestAlongside: what a context brings along is written with its first change, once, in the same
// transaction; not with one that fails, or changes nothing, or has left it out.
func TestAlongside(t *testing.T) {
	s, stop := start(t, Options{Dir: t.TempDir()})
	defer stop()
	wrote := 0
	ctx, a := With(context.Background(), func(tx *Tx) error {
		wrote++
		return tx.Bucket(Audit).Put([]byte("who"), []byte("otto"))
	})
	there := func(key string) (yes bool) {
		t.Helper()
		if err := s.View(func(tx *Tx) error { yes = tx.Bucket(Audit).Has([]byte(key)); return nil }); err != nil {
			t.Fatal(err)
		}
		return yes
	}
	keep := func(key string) func(*Tx) error {
		return func(tx *Tx) error { return tx.Bucket(Audit).Put([]byte(key), nil) }
	}
	no := errors.New("no")
	if err := s.Update(ctx, func(tx *Tx) error { return errors.Join(keep("failed")(tx), no) }); !errors.Is(err, no) || there("who") {
		t.Errorf("a change that failed: %v, it is written: %v", err, there("who"))
	}
	if err := s.Update(ctx, func(*Tx) error { return nil }); err != nil || there("who") {
		t.Errorf("nothing was changed: %v, it is written: %v", err, there("who"))
	}
	if err := s.Update(Without(ctx), keep("without")); err != nil || there("who") {
		t.Errorf("a change that leaves it out: %v, it is written: %v", err, there("who"))
	}
	for _, key := range []string{"first", "second"} {
		if err := s.Update(context.WithoutCancel(ctx), keep(key)); err != nil || !there("who") || wrote != 1 {
			t.Errorf("the %s change: %v, it was written %d times", key, err, wrote)
		}
	}
	if err := a.Now(ctx, s); err != nil || wrote != 1 {
		t.Errorf("by itself, after: %v, it was written %d times", err, wrote)
	}
	ctx, a = With(context.Background(), keep("alone"))
	if err := errors.Join(a.Now(ctx, s), s.Update(ctx, keep("third"))); err != nil || !there("alone") {
		t.Errorf("by itself: %v", err)
	}
}
