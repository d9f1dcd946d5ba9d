package store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
)

// TestWatch: who watches a part is told of each record that a commit has changed in it, and of
// nothing else.
func TestWatch(t *testing.T) {
	t.Parallel()
	s, stop := start(t, Options{})
	defer stop()
	var mu sync.Mutex
	var told []string
	watch := func(n Name, key []byte) {
		mu.Lock()
		defer mu.Unlock()
		if n == Meta {
			return // the sums
		}
		told = append(told, n.String()+"/"+string(key))
	}
	write := func(s *Store, err error, fn func(tx *Tx) error) {
		t.Helper()
		if got := s.Update(context.Background(), fn); !errors.Is(got, err) {
			t.Fatal(got)
		}
	}
	is := func(want ...string) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
		told = nil
	}
	part := s.Part(3)
	part.Watch(watch)
	write(part, nil, func(tx *Tx) error { return tx.Bucket(Subjects).Put([]byte("a"), []byte("1")) })
	is("subjects/a")
	write(s, nil, func(tx *Tx) error { return tx.Bucket(Subjects).Put([]byte("b"), []byte("1")) })
	write(s.Part(4), nil, func(tx *Tx) error { return tx.Bucket(Subjects).Put([]byte("c"), []byte("1")) })
	is()
	no := errors.New("no")
	write(part, no, func(tx *Tx) error { return errors.Join(tx.Bucket(Subjects).Put([]byte("d"), []byte("1")), no) })
	is()
	write(part, nil, func(tx *Tx) error {
		return errors.Join(tx.Bucket(Refs).Put([]byte("e"), []byte("1")), tx.Bucket(Subjects).Delete([]byte("a")))
	})
	is("refs/e", "subjects/a")
	part.Watch(nil)
	write(part, nil, func(tx *Tx) error { return tx.Bucket(Subjects).Put([]byte("f"), []byte("1")) })
	is()
}
