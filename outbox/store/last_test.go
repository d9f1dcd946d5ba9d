package store

import (
	"errors"
	"slices"
	"testing"
)

// TestLast: what is written last sees everything else of its transaction, once, however many there
// are, and nothing of one that failed.
func TestLast(t *testing.T) {
	s, _ := start(t, Options{})
	var order []string
	write := func(name string, err error) func(*Tx) error {
		return func(tx *Tx) error {
			order = append(order, name)
			tx.Last(func() error {
				order = append(order, "last of "+name)
				return tx.SetNumber([]byte(name), 7)
			})
			return errors.Join(err, tx.Bucket(History).Put([]byte(name), []byte("body")))
		}
	}
	for _, name := range []string{"one", "two"} {
		if err := s.Update(t.Context(), write(name, nil)); err != nil {
			t.Fatal(err)
		}
	}
	refused := errors.New("refused")
	if err := s.Update(t.Context(), write("three", refused)); !errors.Is(err, refused) {
		t.Errorf("%v, want %v", err, refused)
	}
	if want := []string{"one", "last of one", "two", "last of two", "three"}; !slices.Equal(order, want) {
		t.Errorf("in the order %q, want %q", order, want)
	}
	err := s.View(func(tx *Tx) error {
		for name, want := range map[string]int64{"one": 7, "two": 7, "three": 0} {
			if n, err := tx.Number([]byte(name)); err != nil || n != want || tx.Bucket(History).Has([]byte(name)) != (want != 0) {
				t.Errorf("%s: %d, %v; want %d", name, n, err, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
