package journal

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
)

// everything reads all that the journal has, from its file.
func (r *rig) everything(t *testing.T) (rs []Record) {
	t.Helper()
	for i := range r.recent { // what stands in memory proves nothing of the file
		r.recent[i] = Record{}
	}
	for at := int64(0); at+1 < r.next.Load(); {
		batch, last, err := r.read(at)
		if err != nil || last == at {
			t.Fatalf("after %d: %d records up to %d, %v", at, len(batch), last, err)
		}
		rs, at = append(rs, batch...), last
	}
	return rs
}

// TestSaid: what was made ready stands in the file as it was said, with what was changed beside it
// before it was appended; appended again, or with another body, it is another record.
func TestSaid(t *testing.T) {
	r := startRig(t, store.Options{}, Options{})
	u := update(7)
	rec := Said(u)
	if want := string(u.AppendJSON(nil)); string(rec.Body) != want || rec.Kind != u.Kind || !rec.Appended.Equal(u.ReceivedAt) || rec.Update != u || cap(rec.Body) != len(want) {
		t.Fatalf("said %+v", rec)
	}
	rec.Appended = rec.Appended.Add(time.Hour) // as a release does
	other := rec
	other.Body = json.RawMessage(`{"n":1}`)
	shorter := Said(update(8))
	shorter.Body = shorter.Body[1:]
	together, err := r.AppendAt(t.Context(), rec, other, rec, shorter)
	if err != nil || together != At(1) {
		t.Fatal(together, err)
	}
	if err := r.Append(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	r = r.again(t)
	all := r.everything(t)
	if len(all) != 5 || r.metric(t, "journal_damaged_records_total") != 0 {
		t.Fatalf("%d records, %v damaged", len(all), r.metric(t, "journal_damaged_records_total"))
	}
	for i, want := range []Record{rec, other, rec, shorter, rec} {
		got := all[i]
		if string(got.Body) != string(want.Body) || !got.Appended.Equal(want.Appended) || got.Kind != kyc.Observation || got.Position.Offset != int64(i+1) {
			t.Errorf("record %d: %s %v, want %s %v", i+1, got.Body, got.Appended, want.Body, want.Appended)
		}
	}
}

// TestManyInOneTransaction: those that share a transaction get offsets without a gap, whichever of
// them fails in it; nothing is told of a record before what its caller has to be told of; and where
// the next one goes is in the file.
func TestManyInOneTransaction(t *testing.T) { synctest.Test(t, manyInOneTransaction) }

func manyInOneTransaction(t *testing.T) {
	r := startRig(t, store.Options{}, Options{})
	held, free := make(chan struct{}), make(chan struct{})
	go r.s.Update(context.Background(), func(*store.Tx) error {
		close(held)
		<-free
		return nil
	})
	<-held
	const callers = 40
	errRefused := errors.New("refused")
	var wg sync.WaitGroup
	told := make([]int64, callers) // what the journal knew when a caller's own word of the commit came
	for i := range callers {
		wg.Go(func() {
			also := func(tx *store.Tx) error {
				if i%10 == 3 {
					return errRefused
				}
				tx.OnCommit(func() { told[i] = r.next.Load() })
				return nil
			}
			first, err := r.AppendWith(t.Context(), also, Said(update(int64(i))), Said(update(int64(i))))
			if refused := i%10 == 3; errors.Is(err, errRefused) != refused || err == nil && (first.Offset%2 != 1 || first.Offset < told[i]) {
				t.Errorf("caller %d: at %d, %v; the journal had told of up to %d", i, first.Offset, err, told[i])
			}
		})
	}
	synctest.Wait() // for all of them to wait
	close(free)
	wg.Wait()
	const want = 2 * callers * 9 / 10
	if err := r.Passed(t.Context(), Position{Offset: 10}); err != nil || r.Backlog() != want-10 {
		t.Errorf("%d wait, %v; want %d", r.Backlog(), err, want-10)
	}
	r = r.again(t)
	all := r.everything(t)
	if len(all) != want-10 || r.next.Load() != want+1 {
		t.Fatalf("%d records, the next is %d; want %d and %d", len(all), r.next.Load(), want-10, want+1)
	}
	for i := 0; i < len(all); i += 2 {
		if string(all[i].Body) != string(all[i+1].Body) || all[i].Position.Offset != int64(11+i) {
			t.Errorf("record %d at %d: %s, and %s", i, all[i].Position.Offset, all[i].Body, all[i+1].Body)
		}
	}
}

// TestKnownIsCounted: what stands in memory is handed over without a gap, up to the largest group,
// and never the half of what one callback brought.
func TestKnownIsCounted(t *testing.T) {
	f := func(records, after, want int, together ...int) {
		t.Helper()
		j := &Bolt{recent: make([]Record, keepRecent)}
		rs := make([]Record, records)
		for i := range rs {
			rs[i].Update = &kyc.Update{ID: strconv.Itoa(i + 1)}
		}
		for i, at := range together {
			rs[at-1].Update.Callback = kyc.Callback{ID: "c", Index: i, Count: len(together)}
		}
		j.remember([]landing{{1, rs[:records/2]}, {int64(records/2) + 1, rs[records/2:]}})
		got := j.known(int64(after))
		if len(got) != want || cap(got) != want {
			t.Errorf("%d records, after %d: %d of room for %d, want %d", records, after, len(got), cap(got), want)
		}
		for i := range got {
			if at := after + 1 + i; got[i].Position.Offset != int64(at) || got[i].Update.ID != strconv.Itoa(at) {
				t.Errorf("after %d: at %d stands %+v", after, at, got[i].Position)
			}
		}
	}
	f(0, 0, 0)
	f(1, 0, 1)
	f(1, 1, 0)
	f(999, 0, 999)
	f(1500, 0, maxBatch)
	f(1500, 1000, 500)
	f(1500, 0, maxBatch+2, 999, 1000, 1001, 1002)
	f(keepRecent, 0, maxBatch)
	f(keepRecent+100, 0, 0)                // overwritten
	f(keepRecent+100, 100, maxBatch)       // around the end of the ring
	f(keepRecent+100, keepRecent-100, 200) // from its end to behind its beginning
}
