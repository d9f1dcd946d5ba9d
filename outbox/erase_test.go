package outbox

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"countersign/outbox/store"
)

// TestEraseTries: of a person nothing is left among tries and answers, at any endpoint, under
// whichever spelling; of others all is, but for texts that say that person's name.
func TestEraseTries(t *testing.T) {
	const lane, id = "acme/ann", "ann/müller-77"
	r := startRig(t, store.Options{}, Options{}, Endpoint{ID: "a"}, Endpoint{ID: "b"}, Endpoint{ID: "c"})
	try := func(endpoint, lane string, n int, text string) {
		t.Helper()
		r.update(t, func(tx *store.Tx) error {
			d := change(endpoint, lane, 1)
			d.Failures = n
			return r.note(tx, r.tally(), &Attempt{Delivery: d, Outcome: Retry, Reason: "http_4xx", At: base.Add(time.Duration(n) * time.Second), Exchange: answered(text)})
		})
	}
	for n := range 3 {
		try("a", lane, n, fmt.Sprintf("request %d of somebody was refused", n))
		try("c", lane, n, "shared")
		try("a", "acme/anna", n, fmt.Sprint("hers, ", n))
		try("b", "acme/ann\x01t", n, "the test person's")
	}
	try("b", "acme/bob", 0, "shared, of b")
	for i, text := range []string{
		"before bob comes " + id, `{"id":"ann\/M\u00dcLLER-77"}`, "/users/ann%2Fm%C3%BCller-77", "it ends in the middle: ann/mü", "<b>ANN/MÜLLER-77</b>",
	} {
		try("b", "acme/bob", 1+i, text)
	}
	try("b", "acme/bob", 9, "harmless: an ann")
	e, err := r.EraseTries(t.Context(), lane, id, "")
	if err != nil || e != (Erased{Tries: 6, Answers: 9}) {
		t.Errorf("erased %+v, %v; want 6 tries and 3 + 1 + 5 texts", e, err)
	}
	for _, endpoint := range []string{"a", "b", "c"} {
		if tries, err := r.TriesInFull(endpoint, lane, 1); err != nil || len(tries) != 0 {
			t.Errorf("%s keeps %+v, %v", endpoint, tries, err)
		}
	}
	f := func(endpoint, lane string, want ...string) {
		t.Helper()
		tries, err := r.TriesInFull(endpoint, lane, 1)
		var got []string
		for _, try := range tries {
			got = append(got, try.Answer.Text)
			if try.Answer.Gone != (try.Answer.Text == "") {
				t.Errorf("%s: %+v", lane, try)
			}
		}
		if err != nil || strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%s at %s: %q, %v; want %q", lane, endpoint, got, err, want)
		}
	}
	f("a", "acme/anna", "hers, 0", "hers, 1", "hers, 2")
	f("b", "acme/ann\x01t", "the test person's", "the test person's", "the test person's")
	f("b", "acme/bob", "shared, of b", "", "", "", "", "", "harmless: an ann")
	if again, err := r.EraseTries(t.Context(), lane, id); err != nil || again != (Erased{}) {
		t.Errorf("once more: %+v, %v", again, err)
	}
	try("a", lane, 0, "request 0 of somebody was refused") // what the writer remembers leads nowhere, and is put down again
	f("a", lane, "request 0 of somebody was refused")
	r.sound(t)
}

// TestEraseInSteps: what is erased may be much, and no transaction is.
func TestEraseInSteps(t *testing.T) {
	r := startRig(t, store.Options{}, Options{}, Endpoint{ID: "a"}, Endpoint{ID: "b"})
	r.failAll(t, base, lanesOf(300), 0, answersAtOnce, func(lane string) string { return page("of " + lane) })
	r.update(t, func(tx *store.Tx) error {
		for n := range 3 * eraseChunk {
			d := change("b", "acme/zoe", 1)
			d.Failures = n
			if err := r.note(tx, r.tally(), &Attempt{Delivery: d, Outcome: Retry, At: base, Exchange: answered("no")}); err != nil {
				return err
			}
		}
		return nil
	})
	e, err := r.EraseTries(t.Context(), "acme/zoe", "of acme/person")
	if err != nil || e != (Erased{Tries: 3 * eraseChunk, Answers: answerPlaces + 1}) {
		t.Errorf("erased %+v, %v", e, err)
	}
	if n, _ := r.kept(t, store.Answers); n != 0 {
		t.Errorf("%d texts are left", n)
	}
	if _, err := os.Stat(r.s.Path()); err != nil {
		t.Error(err)
	}
	r.sound(t)
}
