package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"countersign/outbox/store"
)

const secretBody, secretHeader = "the passport number is K0000000E", "Bearer of a very secret header"

func item(id string) Item {
	return Item{
		ID: id, Source: "sumsub-eu", Provider: "sumsub", Reason: Unreadable, Detail: "no field status", At: someTime,
		Headers: map[string][]string{"X-Secret": {secretHeader}}, Body: []byte(secretBody),
	}
}

func mustHold(t *testing.T, r *rig, it Item, rs ...Record) {
	t.Helper()
	if err := r.Hold(t.Context(), it, rs...); err != nil {
		t.Fatal(err)
	}
}

func TestHoldAndUnseal(t *testing.T) {
	r := startRig(t, store.Options{}, Options{})
	want := item("q1")
	mustHold(t, r, want)
	for range 2 {
		if got, err := r.Unseal("q1"); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Unseal = %+v, %v; want %+v", got, err, want)
		}
		view := ItemView{ID: "q1", Source: "sumsub-eu", Provider: "sumsub", Reason: Unreadable, Detail: "no field status", At: someTime, Bytes: len(secretBody)}
		if items, more, err := r.Items("", 10); err != nil || more || !slices.Equal(items, []ItemView{view}) {
			t.Errorf("Items = %+v, %v, %v; want %+v", items, more, err, view)
		}
		if r.Quarantined() != 1 {
			t.Errorf("%d in quarantine, want 1", r.Quarantined())
		}
		r = r.again(t)
	}
	for _, id := range []string{"", "q", "q2"} {
		if _, err := r.Unseal(id); !errors.Is(err, ErrNotFound) {
			t.Errorf("Unseal(%q) = %v, want ErrNotFound", id, err)
		}
	}
	if got := r.metric(t, "journal_quarantine_items"); got != 1 {
		t.Errorf("the metric says %v", got)
	}
}

// I7: nothing of a held callback stands in the file in clear. A journal record does, which shows
// that the search would find it.
func TestHeldBodiesAreSealed(t *testing.T) {
	r := startRig(t, store.Options{}, Options{})
	mustHold(t, r, item("q1"), record(1))
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(r.s.Path())
	if err != nil {
		t.Fatal(err)
	}
	f := func(what string, want bool) {
		t.Helper()
		if got := bytes.Contains(file, []byte(what)); got != want {
			t.Errorf("%q is in the file: %v, want %v", what, got, want)
		}
	}
	f(secretBody, false)
	f(secretBody[4:20], false)
	f(secretHeader, false)
	f("X-Secret", false)
	f("dGhlIHBhc3Nwb3J0", false) // the body's beginning in base64, as JSON would have it
	f(string(record(1).Body), true)
	f("sumsub-eu", true)

	other, err := store.OpenSealer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r = startRig(t, store.Options{Dir: dirOf(r.s)}, Options{Sealer: other})
	if got, err := r.Unseal("q1"); !errors.Is(err, store.ErrBadRecord) || got.Body != nil {
		t.Errorf("Unseal with another key file = %+v, %v", got, err)
	}
	if items, _, err := r.Items("", 10); err != nil || len(items) != 1 {
		t.Errorf("without the key the list is %v, %v", items, err)
	}
}

// A provider's retry of the same callback is kept once.
func TestHoldIsIdempotent(t *testing.T) {
	r := startRig(t, store.Options{}, Options{})
	for range 3 {
		mustHold(t, r, item("q1"))
	}
	mustHold(t, r, item("q2"))
	if items, _, _ := r.Items("", 10); len(items) != 2 || r.Quarantined() != 2 {
		t.Errorf("%d items listed, %d counted; want 2", len(items), r.Quarantined())
	}
	if r = r.again(t); r.Quarantined() != 2 {
		t.Errorf("%d after a restart, want 2", r.Quarantined())
	}
}

// An item and the records that came of it are kept together or not at all.
func TestHoldIsAllOrNone(t *testing.T) {
	r := startRig(t, store.Options{MaxSize: 4 << 20}, Options{Backlog: 3})
	mustHold(t, r, item("q1"), record(0), record(1))
	for i, got := range tail(t, r, Position{}, 2) {
		same(t, got, int64(i+1), record(i))
	}
	f := func(it Item, want error, rs ...Record) {
		t.Helper()
		if err := r.Hold(t.Context(), it, rs...); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("Hold = %v, want %v", err, want)
		}
		if items, _, _ := r.Items("", 10); len(items) != 1 || r.Quarantined() != 1 || r.Backlog() != 2 {
			t.Errorf("%d items, %d counted, backlog %d; want 1, 1, 2", len(items), r.Quarantined(), r.Backlog())
		}
	}
	f(item("q2"), ErrBacklog, record(2), record(3))
	f(item("q3"), nil, Record{Kind: "nonsense"})
	f(item(""), nil, record(2)) // bbolt has no empty key
	large := item("q4")
	large.Body = make([]byte, 5<<20)
	f(large, ErrFull, record(2))
	f(item("q5"), ErrFull, record(2)) // the store admits nothing now
	if got := r.metric(t, "journal_quarantined_total"); got != 1 {
		t.Errorf("%v counted as held, want 1", got)
	}
}

func TestItemsInPages(t *testing.T) {
	r := startRig(t, store.Options{}, Options{})
	var want []string
	for i := range 25 {
		id := fmt.Sprintf("q%02d", i)
		mustHold(t, r, item(id))
		want = append(want, id)
	}
	f := func(size int) {
		t.Helper()
		var got []string
		after := ""
		for {
			items, more, err := r.Items(after, size)
			if err != nil || len(items) > size || more && len(items) != size {
				t.Fatalf("pages of %d: %d items after %q, more %v, %v", size, len(items), after, more, err)
			}
			for _, it := range items {
				got = append(got, it.ID)
				after = it.ID
			}
			if !more {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d give %v", size, got)
		}
	}
	f(1)
	f(7)
	f(25)
	f(100)
	if items, more, err := r.Items("q10x", 1); err != nil || !more || items[0].ID != "q11" { // an id that is not there
		t.Errorf("after q10x: %v, %v, %v", items, more, err)
	}
}

// I8: a damaged item stays, is listed as such, and hides no other.
func TestDamagedItem(t *testing.T) {
	r := startRig(t, store.Options{}, Options{Now: func() time.Time { return someTime.Add(1000 * time.Hour) }})
	for _, id := range []string{"q1", "q2", "q3"} {
		mustHold(t, r, item(id))
	}
	r.spoil(t, store.Quarantine, []byte("q2"))
	items, _, err := r.Items("", 10)
	if err != nil || len(items) != 3 || items[1].ID != "q2" || items[1].Detail != store.ErrBadRecord.Error() || items[2].ID != "q3" {
		t.Errorf("Items = %+v, %v", items, err)
	}
	if _, err := r.Unseal("q2"); !errors.Is(err, store.ErrBadRecord) {
		t.Errorf("Unseal = %v, want ErrBadRecord", err)
	}
	if _, err := r.Unseal("q3"); err != nil {
		t.Error(err)
	}
	if err := r.removeBodies(t.Context(), someTime.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := r.s.View(func(tx *store.Tx) error {
		if len(tx.Bucket(store.Quarantine).Raw([]byte("q2"))) < len(secretBody) {
			t.Error("retention has taken the body of a damaged item, which nobody has seen")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// Retention removes bodies of a certain age and leaves the items.
func TestRetain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t, store.Options{}, Options{})
		for i := range 1200 { // more than one chunk
			it := item(fmt.Sprintf("old%04d", i))
			it.At = time.Now()
			mustHold(t, r, it)
		}
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Retain(ctx, func() time.Duration { return time.Hour }) }()
		<-time.After(30 * time.Minute) // of the bubble's clock
		fresh := item("young")
		fresh.At = time.Now()
		mustHold(t, r, fresh)
		f := func(id string, want bool) {
			t.Helper()
			_, err := r.Unseal(id)
			if got := err == nil; got != want || !got && !errors.Is(err, ErrNotFound) {
				t.Errorf("after %v the body of %s: %v, want it there: %v", time.Since(began), id, err, want)
			}
		}
		f("old0000", true)
		<-time.After(35 * time.Minute)
		f("old0000", false)
		f("old1199", false)
		f("young", true)
		items, _, err := r.Items("", 2000)
		if err != nil || len(items) != 1201 || !items[0].BodyGone || items[0].Bytes != len(secretBody) || items[1200].BodyGone {
			t.Errorf("%d items listed, %v", len(items), err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		mustHold(t, r, item("old0000")) // the provider sends it once more
		f("old0000", true)
		if r.Quarantined() != 1201 {
			t.Errorf("%d counted, want 1201", r.Quarantined())
		}
	})
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02{}sealed"))
	f.Add([]byte{255, 255, 255, 255, '{', '}'})
	f.Add([]byte{0, 0, 0, 9, '{', '}'})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, sealed, err := split(b); err == nil && len(sealed) > len(b) {
			t.Errorf("%d sealed bytes out of %d", len(sealed), len(b))
		}
	})
}
