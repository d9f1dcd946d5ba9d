package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
)

// place is a log under the contracts, with what writes to it.
type place struct {
	Log
	Appender
	reopen func() place // as a restart does
}

// logContract holds any Log to what the interface promises. open makes an empty one.
func logContract(t *testing.T, open func(t *testing.T) place) {
	t.Helper()
	for name, part := range map[string]func(*testing.T, place){
		"order": orderAndPositions, "tail": tailFromAnywhere, "tail live": tailWhileAppending, "tail ends": tailEnds,
		"end": endMoves, "passed": passed, "restart": positionsGoOn, "another log": anotherLog,
	} {
		t.Run(name, func(t *testing.T) { part(t, open(t)) })
	}
}

// appenderContract holds any Appender to what the interface promises. open makes an empty one.
func appenderContract(t *testing.T, open func(t *testing.T) place) {
	t.Helper()
	for name, part := range map[string]func(*testing.T, place){
		"all kinds": allKinds, "groups": groupsStayTogether, "bytes": callersBytes, "none": allOrNone, "with": withSomethingElse,
	} {
		t.Run(name, func(t *testing.T) { part(t, open(t)) })
	}
}

var someTime = time.Date(2026, 3, 19, 9, 20, 0, 123_456_000, time.UTC)

func record(i int) Record {
	return Record{Kind: kyc.Observation, Appended: someTime.Add(time.Duration(i) * time.Microsecond), Body: fmt.Appendf(nil, `{"n":%d}`, i)}
}

func mustAppend(t *testing.T, j Appender, rs ...Record) {
	t.Helper()
	if err := j.Append(t.Context(), rs...); err != nil {
		t.Fatal(err)
	}
}

// fill appends records from, from+1 … to-1 in groups.
func fill(t *testing.T, j Appender, from, to int) {
	t.Helper()
	for i := from; i < to; {
		var rs []Record
		for ; i < to && len(rs) < 250; i++ {
			rs = append(rs, record(i))
		}
		mustAppend(t, j, rs...)
	}
}

// tail reads until it has at least n records, and checks that positions go up, and are of one log.
func tail(t *testing.T, j Log, from Position, n int) (got []Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	last := from
	err := j.Tail(ctx, from, func(_ context.Context, rs []Record) error {
		for _, r := range rs {
			if r.Position.Offset <= last.Offset || last != (Position{}) && r.Position.Partition != last.Partition {
				t.Errorf("position %v after %v", r.Position, last)
			}
			last = r.Position
		}
		if got = append(got, rs...); len(got) >= n {
			cancel()
		}
		return nil
	})
	if err != nil || len(got) != n {
		t.Fatalf("Tail from %v: %d records, %v; want %d", from, len(got), err, n)
	}
	return got
}

// says holds a record to what was appended.
func says(t *testing.T, got, want Record) {
	t.Helper()
	if got.Kind != want.Kind || !got.Appended.Equal(want.Appended) || !bytes.Equal(got.Body, want.Body) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// same is says, and holds a record of the embedded log to its offset.
func same(t *testing.T, got Record, at int64, want Record) {
	t.Helper()
	if says(t, got, want); got.Position != At(at) {
		t.Errorf("it stands at %v, want %d", got.Position, at)
	}
}

func orderAndPositions(t *testing.T, j place) {
	t.Helper()
	for i := range 5 {
		mustAppend(t, j, record(i))
	}
	fill(t, j, 5, 2600)
	all := tail(t, j, Position{}, 2600)
	for i, r := range all {
		says(t, r, record(i))
	}
	mustAppend(t, j) // nothing
	mustAppend(t, j, record(2600))
	says(t, tail(t, j, all[2599].Position, 1)[0], record(2600))
}

func tailFromAnywhere(t *testing.T, j place) {
	t.Helper()
	fill(t, j, 0, 1200)
	all := tail(t, j, Position{}, 1200)
	for _, from := range []int{1, 7, 999, 1000, 1001, 1199} {
		for i, r := range tail(t, j, all[from-1].Position, 1200-from) {
			if says(t, r, record(from+i)); r.Position != all[from+i].Position {
				t.Errorf("record %d stands at %v, and stood at %v", from+i, r.Position, all[from+i].Position)
			}
		}
	}
	says(t, tail(t, j.reopen(), all[1198].Position, 1)[0], record(1199))
}

// A reader that is there first sees everything once and in order, whatever comes meanwhile.
func tailWhileAppending(t *testing.T, j place) {
	t.Helper()
	const writers, each = 4, 300
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := j.Append(t.Context(), record(w*each+i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	next := map[int]int{}
	for _, r := range tail(t, j, Position{}, writers*each) {
		var got struct{ N int }
		if err := json.Unmarshal(r.Body, &got); err != nil {
			t.Fatal(err)
		}
		if w := got.N / each; got.N%each != next[w] {
			t.Fatalf("record %d of writer %d comes after %d of its records", got.N%each, w, next[w])
		}
		next[got.N/each]++
	}
	wg.Wait()
}

func tailEnds(t *testing.T, j place) {
	t.Helper()
	fill(t, j, 0, 3)
	want := errors.New("cannot fold")
	if err := j.Tail(t.Context(), Position{}, func(context.Context, []Record) error { return want }); !errors.Is(err, want) {
		t.Errorf("Tail = %v, want the reader's error", err)
	}
	last := tail(t, j, Position{}, 3)[2].Position
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, from := range []Position{{}, last, last.Plus(96)} { // something to read, nothing, not yet
		if err := j.Tail(ctx, from, func(context.Context, []Record) error { t.Error("read after the end"); return nil }); err != nil {
			t.Errorf("Tail = %v after its context ended, want nil", err)
		}
	}
}

// The end is the newest record there is: of an empty log none, and when all are passed it says
// nothing that anybody would wait for in vain.
func endMoves(t *testing.T, j place) {
	t.Helper()
	f := func(want Position) {
		t.Helper()
		if end, err := j.End(t.Context()); end != want || err != nil {
			t.Errorf("End = %v, %v; want %v", end, err, want)
		}
	}
	f(Position{})
	fill(t, j, 0, 300)
	last := tail(t, j, Position{}, 300)[299].Position
	f(last)
	mustAppend(t, j, record(300))
	newest := tail(t, j, last, 1)[0].Position
	f(newest)
	j = j.reopen()
	f(newest)
	if err := j.Passed(t.Context(), newest); err != nil {
		t.Fatal(err)
	}
	if end, err := j.End(t.Context()); err != nil || end != (Position{}) && end != newest { // forgotten, or kept by a log that forgets nothing
		t.Errorf("End = %v, %v, after %v was passed", end, err, newest)
	}
}

// What is not passed stays, whatever is.
func passed(t *testing.T, j place) {
	t.Helper()
	fill(t, j, 0, 5000)
	all := tail(t, j, Position{}, 5000)
	f := func(upTo Position, next int) {
		t.Helper()
		if err := j.Passed(t.Context(), upTo); err != nil {
			t.Fatal(err)
		}
		from := Position{}
		if next > 0 {
			from = all[next-1].Position
		}
		got := tail(t, j, from, 5000-next)
		if says(t, got[0], record(next)); got[0].Position != all[next].Position {
			t.Errorf("record %d stands at %v, and stood at %v", next, got[0].Position, all[next].Position)
		}
	}
	f(Position{}, 0)
	f(all[0].Position, 1)
	f(all[0].Position, 1)
	f(all[4499].Position, 4500) // more than one transaction takes
	f(all[9].Position, 4500)    // long ago
	j = j.reopen()
	f(all[4998].Position, 4999)
}

// Positions never go back: not after everything was passed, not after more than everything, not by
// a restart.
func positionsGoOn(t *testing.T, j place) {
	t.Helper()
	fill(t, j, 0, 10)
	all := tail(t, j, Position{}, 10)
	last := all[9].Position
	f := func(upTo Position) {
		t.Helper()
		if err := j.Passed(t.Context(), upTo); err != nil {
			t.Fatal(err)
		}
		for n := range 2 {
			mustAppend(t, j, record(n))
			r := tail(t, j, last, 1)[0]
			says(t, r, record(n))
			last = r.Position
			j = j.reopen()
		}
	}
	f(all[4].Position)
	f(last)           // all of it
	f(last.Plus(990)) // and what is not there yet: it is not forgotten in advance
	f(last)
}

// A position of another log is refused: its offset says nothing here.
func anotherLog(t *testing.T, j place) {
	t.Helper()
	fill(t, j, 0, 3)
	last := tail(t, j, Position{}, 3)[2].Position
	other := Position{last.Partition + 1, last.Offset - 1}
	if err := j.Tail(t.Context(), other, func(context.Context, []Record) error { return errors.New("it was read") }); err == nil || err.Error() == "it was read" {
		t.Errorf("Tail from another log's %v: %v", other, err)
	}
	if err := j.Passed(t.Context(), other); err == nil {
		t.Error("another log's position was passed")
	}
	tail(t, j, Position{}, 3)
}

func allKinds(t *testing.T, j place) {
	t.Helper()
	kinds := []kyc.Kind{
		kyc.Observation, kyc.Confirmation, kyc.FetchRequest, kyc.Decision, kyc.Timer, kyc.PolicyChange, kyc.Submission, kyc.Redelivery, kyc.Erasure,
	}
	for i, k := range kinds {
		r := record(i)
		r.Kind = k
		mustAppend(t, j, r)
	}
	mustAppend(t, j, Record{Kind: kyc.Timer}) // no body, no time
	for i, r := range tail(t, j.reopen(), Position{}, len(kinds)+1) {
		if i == len(kinds) {
			says(t, r, Record{Kind: kyc.Timer})
			continue
		}
		want := record(i)
		want.Kind = kinds[i]
		says(t, r, want)
		if r.Appended.Location() != time.UTC {
			t.Errorf("appended in %v", r.Appended.Location())
		}
	}
}

// Concurrent Appends do not mix: the records of one stand together and in order.
func groupsStayTogether(t *testing.T, j place) {
	t.Helper()
	const writers, rounds, size = 20, 10, 3
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for round := range rounds {
				var rs []Record
				for i := range size {
					rs = append(rs, Record{Kind: kyc.Observation, Appended: someTime, Body: fmt.Appendf(nil, "[%d,%d,%d]", w, round, i)})
				}
				if err := j.Append(t.Context(), rs...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	next := map[int]int{}
	var now [3]int
	for i, r := range tail(t, j, Position{}, writers*rounds*size) {
		var got [3]int
		if err := json.Unmarshal(r.Body, &got); err != nil {
			t.Fatal(err)
		}
		if got[2] != i%size || got[2] > 0 && (got[0] != now[0] || got[1] != now[1]) || got[1] != next[got[0]] {
			t.Fatalf("%v stands after %v", got, now)
		}
		if now = got; got[2] == size-1 {
			next[got[0]]++
		}
	}
}

// What Append was given is the caller's again as soon as it returns.
func callersBytes(t *testing.T, j place) {
	t.Helper()
	body := []byte(`{"n":1}`)
	one := Record{Kind: kyc.Observation, Appended: someTime, Body: body, Update: &kyc.Update{ID: "u"}}
	rs := []Record{one, one, one}
	rs[2].Update = nil
	mustAppend(t, j, rs...)
	copy(body, "XXXXXXX")
	clear(rs)
	for i, r := range tail(t, j, Position{}, 3) {
		if string(r.Body) != `{"n":1}` || r.Kind != kyc.Observation || r.Update != nil && !reflect.DeepEqual(*r.Update, kyc.Update{ID: "u"}) {
			t.Errorf("record %d says %s", i+1, r.Body)
		}
	}
}

// A record that cannot be written takes those beside it with it.
func allOrNone(t *testing.T, j place) {
	t.Helper()
	if err := j.Append(t.Context(), record(0), Record{Kind: "nonsense", Body: []byte("{}")}, record(1)); err == nil {
		t.Error("a record of no known kind was taken: no reader could ever read it")
	}
	mustAppend(t, j, record(2))
	says(t, tail(t, j, Position{}, 1)[0], record(2))
}

// What is written together with something else stands where its writer is told, and not at all
// where the other thing fails.
func withSomethingElse(t *testing.T, j place) {
	t.Helper()
	mustAppend(t, j, record(0))
	refused := errors.New("refused")
	if at, err := j.AppendWith(t.Context(), func(*store.Tx) error { return refused }, record(1)); !errors.Is(err, refused) || at != (Position{}) {
		t.Errorf("AppendWith = %v, %v, where the other thing failed", at, err)
	}
	ran := false
	first, err := j.AppendWith(t.Context(), func(*store.Tx) error { ran = true; return nil }, record(2), record(3))
	if err != nil || !ran {
		t.Fatal(err, ran)
	}
	all := tail(t, j, Position{}, 3)
	for i, want := range []Record{record(0), record(2), record(3)} {
		says(t, all[i], want)
	}
	if all[1].Position != first || all[2].Position != first.Plus(1) {
		t.Errorf("they stand at %v and %v, and the first was said to at %v", all[1].Position, all[2].Position, first)
	}
}
