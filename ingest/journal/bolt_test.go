package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/kyc"
	"countersign/outbox/store"
)

// rig is a journal on a store of its own.
type rig struct {
	*Bolt
	s    *store.Store
	reg  *prometheus.Registry
	stop func() error
}

func fastDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "countersign")
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func startRig(tb testing.TB, so store.Options, o Options) *rig {
	tb.Helper()
	if so.Dir == "" {
		so.Dir = fastDir(tb)
	}
	s, err := store.Open(so)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	r := &rig{s: s, reg: prometheus.NewPedanticRegistry(), stop: sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-ended, s.Close())
	})}
	tb.Cleanup(func() {
		if err := r.stop(); err != nil {
			tb.Error(err)
		}
	})
	o.Store, o.Metrics, o.Logger = s, r.reg, slog.New(slog.DiscardHandler)
	if o.Sealer == nil {
		if o.Sealer, err = store.OpenSealer(so.Dir); err != nil {
			tb.Fatal(err)
		}
	}
	if r.Bolt, err = NewBolt(o); err != nil {
		tb.Fatal(err)
	}
	return r
}

// again stops the rig and starts it on the same files.
func (r *rig) again(t *testing.T) *rig {
	t.Helper()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	return startRig(t, store.Options{Dir: dirOf(r.s)}, Options{Backlog: r.o.Backlog, Now: r.o.Now})
}

func dirOf(s *store.Store) string { return s.Path()[:strings.LastIndexByte(s.Path(), '/')] }

// place is the rig under the contracts.
func (r *rig) place(t *testing.T) place {
	t.Helper()
	return place{r, r, func() place { return r.again(t).place(t) }}
}

// TestBoltKeepsTheContracts: of a log that begins as it does, and of one that is partition 3 and
// begins at offset 1,000.
func TestBoltKeepsTheContracts(t *testing.T) {
	for name, first := range map[string]Position{"embedded": At(1), "partition 3": {3, 1000}} {
		open := func(t *testing.T) place {
			t.Helper()
			return startIn(t, first).place(t)
		}
		t.Run(name, func(t *testing.T) {
			logContract(t, open)
			appenderContract(t, open)
		})
	}
}

// startIn starts a rig whose log has this position for its first record: its file says so.
func startIn(t *testing.T, first Position) *rig {
	t.Helper()
	r := startRig(t, store.Options{}, Options{})
	err := r.s.Update(t.Context(), func(tx *store.Tx) error {
		return errors.Join(WritePosition(tx, nextKey, first), WritePosition(tx, trimmedKey, first.Plus(-1)))
	})
	if err != nil {
		t.Fatal(err)
	}
	r = r.again(t)
	if r.Backlog() != 0 || r.Forgotten() != first.Plus(-1) {
		t.Fatalf("%d wait, and %v is forgotten", r.Backlog(), r.Forgotten())
	}
	return r
}

// The same of what only the embedded log promises: offsets go up by one, from what its file says,
// and what is read once is read again from memory and from the file alike.
func TestOffsetsFollow(t *testing.T) {
	for _, first := range []Position{At(1), {3, 1000}} {
		r := startIn(t, first)
		fill(t, r, 0, 1300)
		for range 2 {
			for i, got := range tail(t, r, Position{}, 1300) {
				if says(t, got, record(i)); got.Position != first.Plus(int64(i)) {
					t.Fatalf("record %d stands at %v", i, got.Position)
				}
			}
			if n, since := r.Waiting(first.Plus(99)); n != 1200 || !since.Equal(record(100).Appended) {
				t.Errorf("%d wait since %v", n, since)
			}
			if n, _ := r.Waiting(Position{}); n != 1300 {
				t.Errorf("%d wait for whoever has read nothing", n)
			}
			r = r.again(t)
		}
		if first, err := r.AppendAt(t.Context(), Said(update(1)), Said(update(2))); err != nil || first != r.at(first.Offset) || first.Offset != r.next.Load()-2 {
			t.Errorf("it stands at %v, %v", first, err)
		}
		if rs := r.known(r.next.Load() - 3); len(rs) != 2 || rs[1].Position != first.Plus(1301) {
			t.Errorf("in memory: %v", rs)
		}
	}
}

// TestAuditorKnowsItsLog: the check of a file takes the records of the log that the file is of, and
// finds one of another log, and one that is ahead.
func TestAuditorKnowsItsLog(t *testing.T) {
	for _, first := range []Position{At(1), {3, 1000}} {
		r := startIn(t, first)
		fill(t, r, 0, 20)
		if err := r.Passed(t.Context(), first.Plus(4)); err != nil {
			t.Fatal(err)
		}
		f := func(problem string) {
			t.Helper()
			a := NewAuditor(0)
			err := r.s.View(func(tx *store.Tx) error {
				for _, n := range []store.Name{store.Journal, store.Meta} {
					if err := tx.Bucket(n).ForEach(func(k, v []byte) error { a.Record(n, k, v); return nil }); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if ps := a.Problems(); len(ps) > 0 != (problem != "") || problem != "" && !strings.Contains(ps[0], problem) {
				t.Errorf("log %d: %q, want %q", first.Partition, ps, problem)
			}
		}
		put := func(at Position, gone bool) {
			t.Helper()
			err := r.s.Update(t.Context(), func(tx *store.Tx) error {
				if gone {
					return tx.Bucket(store.Journal).Delete(key(at))
				}
				return tx.Bucket(store.Journal).PutRecord(key(at), encode(record(0)))
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		f("")
		other := Position{first.Partition + 1, 1}
		put(other, false)
		f(fmt.Sprintf("has records of [%d]", other.Partition))
		put(other, true)
		put(first.Plus(20), false)
		f(fmt.Sprintf("next offset is %d, and it has %d", first.Offset+20, first.Offset+20))
	}
}

func (r *rig) metric(t *testing.T, name string) (sum float64) {
	t.Helper()
	fams, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fams {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() // only one of them is there
			}
		}
	}
	return sum
}

// What a reader finds in memory is what stands on disk, through any mixture and more than memory
// holds.
func TestMemoryAndDiskAgree(t *testing.T) {
	r := startRig(t, store.Options{}, Options{})
	const n = 3*keepRecent + 17
	for i := 0; i < n; {
		var rs []Record
		for ; i < n && len(rs) < 100; i++ {
			x := record(i)
			if i%700 < 600 {
				x.Update = &kyc.Update{ID: string(x.Body)}
			}
			rs = append(rs, x)
		}
		mustAppend(t, r, rs...)
	}
	inMemory := 0
	for i, got := range tail(t, r, Position{}, n) {
		same(t, got, int64(i+1), record(i))
		if got.Update != nil {
			inMemory++
			if got.Update.ID != string(got.Body) {
				t.Errorf("record %d carries the update of %s", i+1, got.Update.ID)
			}
		}
	}
	if inMemory == 0 || inMemory > keepRecent {
		t.Errorf("%d records came from memory, want some and at most %d", inMemory, keepRecent)
	}
}

func TestBacklog(t *testing.T) {
	r := startRig(t, store.Options{}, Options{Backlog: 10})
	fill(t, r, 0, 8)
	f := func(n int, want error) {
		t.Helper()
		var rs []Record
		for i := range n {
			rs = append(rs, record(i))
		}
		before := r.Backlog()
		err := r.Append(t.Context(), rs...)
		if !errors.Is(err, want) {
			t.Errorf("Append of %d = %v, want %v", n, err, want)
		}
		if want != nil && r.Backlog() != before {
			t.Errorf("the backlog went from %d to %d by a refused append", before, r.Backlog())
		}
	}
	f(3, ErrBacklog)
	f(2, nil)
	f(1, ErrBacklog)
	if got := r.metric(t, "journal_backlog_records"); got != 10 || r.metric(t, "journal_backlog_max_records") != 10 {
		t.Errorf("the metrics say %v of %v", got, r.metric(t, "journal_backlog_max_records"))
	}
	if got := r.metric(t, "journal_unread_records"); got != 10 {
		t.Errorf("%v records are unread", got)
	}
	r = r.again(t)
	f(1, ErrBacklog) // a restart empties nothing
	if err := r.Passed(t.Context(), Position{Offset: 4}); err != nil {
		t.Fatal(err)
	}
	f(5, ErrBacklog)
	f(4, nil)
	if err := r.Passed(t.Context(), Position{Offset: 1 << 40}); err != nil || r.Backlog() != 0 {
		t.Errorf("after a trim of everything and more: backlog %d, %v", r.Backlog(), err)
	}
	f(11, ErrBacklog)
	f(10, nil)
	if got := startRig(t, store.Options{}, Options{}); got.o.Backlog != 1_000_000 {
		t.Errorf("default backlog %d", got.o.Backlog)
	}
}

// A full file refuses before anything is written, and a group that does not fit leaves none of
// itself.
func TestAppendToAFullFile(t *testing.T) {
	r := startRig(t, store.Options{MaxSize: 4 << 20}, Options{})
	big := Record{Kind: kyc.Observation, Appended: someTime, Body: json.RawMessage(strings.Repeat("x", 500_000))}
	huge := make([]Record, 10)
	for i := range huge {
		huge[i] = big
	}
	mustAppend(t, r, record(0))
	if err := r.Append(t.Context(), huge...); !errors.Is(err, ErrFull) || !errors.Is(err, store.ErrFull) {
		t.Errorf("Append of more than the file may hold = %v, want ErrFull", err)
	}
	if err := r.Append(t.Context(), record(1)); !errors.Is(err, ErrFull) {
		t.Errorf("Append while the store admits nothing = %v, want ErrFull", err)
	}
	if err := r.s.Update(t.Context(), func(*store.Tx) error { return nil }); err != nil { // a commit finds that there is room
		t.Fatal(err)
	}
	mustAppend(t, r, record(1))
	for i, got := range tail(t, r, Position{}, 2) {
		same(t, got, int64(i+1), record(i))
	}
}

// spoil flips one bit of a stored record.
func (r *rig) spoil(t *testing.T, bucket store.Name, key []byte) {
	t.Helper()
	if err := r.s.Update(t.Context(), func(tx *store.Tx) error {
		body, err := tx.Bucket(bucket).Get(key)
		record := store.NewRecord(body)
		err = errors.Join(err, tx.Bucket(bucket).PutRecord(key, record))
		record[len(record)-1] ^= 4 // the checksum has been made, and the page has not
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// I8: a damaged record is passed over, counted, and kept through trims and restarts; and what comes
// after it gets new offsets all the same.
func TestDamagedRecordIsPassedOverAndKept(t *testing.T) {
	r := startRig(t, store.Options{}, Options{})
	fill(t, r, 0, 10)
	r.spoil(t, store.Journal, key(At(4)))
	r.spoil(t, store.Journal, key(At(10)))
	got := tail(t, r, Position{}, 8)
	for i, want := range []int{0, 1, 2, 4, 5, 6, 7, 8} {
		same(t, got[i], int64(want+1), record(want))
	}
	if n := r.metric(t, "journal_damaged_records_total"); n < 1 {
		t.Errorf("%v damaged records counted", n)
	}
	if err := r.Passed(t.Context(), Position{Offset: 9}); err != nil {
		t.Fatal(err)
	}
	if err := r.Passed(t.Context(), Position{Offset: 10}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r = r.again(t)
		if err := r.s.View(func(tx *store.Tx) error {
			if b := tx.Bucket(store.Journal); !b.Has(key(At(4))) || !b.Has(key(At(10))) {
				t.Error("the damaged records are not both kept")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	mustAppend(t, r, record(10))
	same(t, tail(t, r, Position{Offset: 10}, 1)[0], 11, record(10))
}

// The same where the damaged one is far behind: its offset must not be given out a second time, or
// a reader would never see what stands there.
func TestDamagedRecordDoesNotTurnOffsetsBack(t *testing.T) {
	r := startRig(t, store.Options{}, Options{})
	fill(t, r, 0, 10)
	r.spoil(t, store.Journal, key(At(4)))
	if err := r.Passed(t.Context(), Position{Offset: 10}); err != nil {
		t.Fatal(err)
	}
	r = r.again(t)
	if r.Backlog() != 0 {
		t.Errorf("backlog %d, want 0", r.Backlog())
	}
	mustAppend(t, r, record(10))
	same(t, tail(t, r, Position{Offset: 10}, 1)[0], 11, record(10))
}

// Two that trim do not undo each other.
func TestTrimNeverGoesBack(t *testing.T) {
	r := startRig(t, store.Options{}, Options{})
	fill(t, r, 0, 10)
	if err := r.Passed(t.Context(), Position{Offset: 10}); err != nil {
		t.Fatal(err)
	}
	if err := r.s.Update(t.Context(), func(tx *store.Tx) error { return r.forget(tx, 5, trimChunk) }); err != nil { // one that was on its way
		t.Fatal(err)
	}
	if r = r.again(t); r.Backlog() != 0 || r.next.Load() != 11 {
		t.Errorf("backlog %d, next offset %d; want 0 and 11", r.Backlog(), r.next.Load())
	}
}

// When ctx ends, Append returns while its write is still queued. The caller's bytes are its own
// from then on.
func TestAppendGoesOnWithoutTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t, store.Options{}, Options{})
		in, out := make(chan struct{}), make(chan struct{})
		go r.s.Update(context.Background(), func(*store.Tx) error { close(in); <-out; return nil })
		<-in
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		rs := []Record{record(0), record(1)}
		rs[0].Update, rs[1].Update = &kyc.Update{ID: "0"}, &kyc.Update{ID: "1"}
		if err := r.Append(ctx, rs...); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Append = %v, want the deadline", err)
		}
		close(out) // the writer goes on beside what follows: the race detector sees what it still looks at
		copy(rs[0].Body, "XXXXXXX")
		rs[1] = Record{}
		synctest.Wait()
		for i, got := range tail(t, r, Position{}, 2) {
			same(t, got, int64(i+1), record(i))
		}
		for i, got := range tail(t, r.again(t), Position{}, 2) {
			same(t, got, int64(i+1), record(i))
		}
	})
}

// A stopped store takes nothing, and says so.
func TestAppendToAStoppedStore(t *testing.T) {
	r := startRig(t, store.Options{}, Options{})
	fill(t, r, 0, 3)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if err := r.Append(t.Context(), record(3)); !errors.Is(err, store.ErrClosed) || errors.Is(err, ErrFull) || errors.Is(err, ErrBacklog) {
		t.Errorf("Append = %v, want ErrClosed", err)
	}
	if err := r.Passed(t.Context(), Position{Offset: 1}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Passed = %v, want ErrClosed", err)
	}
	if err := r.Tail(t.Context(), Position{}, func(context.Context, []Record) error { return nil }); err == nil {
		t.Error("Tail of a closed file ended without an error")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(store.RecordBody(encode(record(1))))
	f.Add([]byte{99, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decode(b)
		if err != nil {
			return
		}
		again, err := decode(store.RecordBody(encode(r)))
		if err != nil {
			t.Fatalf("%v cannot be read back: %v", r, err)
		}
		same(t, again, 0, r)
	})
}

// What time and operators decide finds room when callbacks do not any more; it has a bound too.
func TestRoomForOurOwn(t *testing.T) {
	r := startRig(t, store.Options{}, Options{Backlog: 32})
	fill(t, r, 0, 32)
	f := func(want error, kinds ...kyc.Kind) {
		t.Helper()
		rs := make([]Record, len(kinds))
		for i := range kinds {
			rs[i] = Record{Kind: kinds[i], Appended: someTime, Body: []byte("{}")}
		}
		if err := r.Append(t.Context(), rs...); !errors.Is(err, want) {
			t.Errorf("Append of %v = %v, want %v", kinds, err, want)
		}
	}
	f(ErrBacklog, kyc.Observation)
	f(ErrBacklog, kyc.FetchRequest)
	f(ErrBacklog, kyc.Timer, kyc.Observation)
	f(nil, kyc.Timer)
	f(ErrBacklog, kyc.Decision, kyc.Decision)
	f(nil, kyc.Decision)
	f(ErrBacklog, kyc.Timer)
}
