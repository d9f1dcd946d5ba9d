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
)

// contract holds any Journal to what the interface promises. open makes an empty one; reopen stops
// it as a restart does and opens it again.
func contract(t *testing.T, open func(t *testing.T) (j Journal, reopen func() Journal)) {
	t.Helper()
	for name, part := range map[string]func(*testing.T, Journal, func() Journal){
		"order": orderAndPositions, "all kinds": allKinds, "groups": groupsStayTogether, "tail": tailFromAnywhere, "tail live": tailWhileAppending,
		"tail ends": tailEnds, "trim": trim, "restart": offsetsGoOn, "bytes": callersBytes, "none": allOrNone,
	} {
		t.Run(name, func(t *testing.T) {
			j, reopen := open(t)
			part(t, j, reopen)
		})
	}
}

var someTime = time.Date(2026, 3, 19, 9, 20, 0, 123_456_000, time.UTC)

func record(i int) Record {
	return Record{Kind: kyc.Observation, Appended: someTime.Add(time.Duration(i) * time.Microsecond), Body: fmt.Appendf(nil, `{"n":%d}`, i)}
}

func mustAppend(t *testing.T, j Journal, rs ...Record) {
	t.Helper()
	if err := j.Append(t.Context(), rs...); err != nil {
		t.Fatal(err)
	}
}

// fill appends records from, from+1 … to-1 in groups.
func fill(t *testing.T, j Journal, from, to int) {
	t.Helper()
	for i := from; i < to; {
		var rs []Record
		for ; i < to && len(rs) < 250; i++ {
			rs = append(rs, record(i))
		}
		mustAppend(t, j, rs...)
	}
}

// tail reads until it has at least n records, and checks that positions go up.
func tail(t *testing.T, j Journal, from Position, n int) (got []Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	last := from.Offset
	err := j.Tail(ctx, from, func(_ context.Context, rs []Record) error {
		for _, r := range rs {
			if r.Position.Offset <= last {
				t.Errorf("position %d after %d", r.Position.Offset, last)
			}
			last = r.Position.Offset
		}
		if got = append(got, rs...); len(got) >= n {
			cancel()
		}
		return nil
	})
	if err != nil || len(got) != n {
		t.Fatalf("Tail from %d: %d records, %v; want %d", from.Offset, len(got), err, n)
	}
	return got
}

func same(t *testing.T, got Record, at int64, want Record) {
	t.Helper()
	want.Position.Offset = at
	if got.Position != want.Position || got.Kind != want.Kind || !got.Appended.Equal(want.Appended) || !bytes.Equal(got.Body, want.Body) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func orderAndPositions(t *testing.T, j Journal, _ func() Journal) {
	t.Helper()
	for i := range 5 {
		mustAppend(t, j, record(i))
	}
	fill(t, j, 5, 2600)
	for i, r := range tail(t, j, Position{}, 2600) {
		same(t, r, int64(i+1), record(i))
	}
	mustAppend(t, j) // nothing
	mustAppend(t, j, record(2600))
	same(t, tail(t, j, Position{Offset: 2600}, 1)[0], 2601, record(2600))
}

func allKinds(t *testing.T, j Journal, reopen func() Journal) {
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
	for i, r := range tail(t, reopen(), Position{}, len(kinds)+1) {
		if i == len(kinds) {
			same(t, r, int64(i+1), Record{Kind: kyc.Timer})
			continue
		}
		want := record(i)
		want.Kind = kinds[i]
		same(t, r, int64(i+1), want)
		if r.Appended.Location() != time.UTC {
			t.Errorf("appended in %v", r.Appended.Location())
		}
	}
}

// Concurrent Appends do not mix: the records of one stand together and in order.
func groupsStayTogether(t *testing.T, j Journal, _ func() Journal) {
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
		if r.Position.Offset != int64(i+1) {
			t.Fatalf("record %d stands at %d", i+1, r.Position.Offset)
		}
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

func tailFromAnywhere(t *testing.T, j Journal, reopen func() Journal) {
	t.Helper()
	fill(t, j, 0, 1200)
	for _, from := range []int{0, 1, 7, 999, 1000, 1001, 1199} {
		for i, r := range tail(t, j, Position{Offset: int64(from)}, 1200-from) {
			same(t, r, int64(from+i+1), record(from+i))
		}
	}
	same(t, tail(t, reopen(), Position{Offset: 1199}, 1)[0], 1200, record(1199))
}

// A reader that is there first sees everything once and in order, whatever comes meanwhile.
func tailWhileAppending(t *testing.T, j Journal, _ func() Journal) {
	t.Helper()
	const writers, each = 4, 300
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for i := range each {
				if err := j.Append(t.Context(), record(i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i, r := range tail(t, j, Position{}, writers*each) {
		if r.Position.Offset != int64(i+1) {
			t.Fatalf("record %d stands at %d", i+1, r.Position.Offset)
		}
	}
	wg.Wait()
}

func tailEnds(t *testing.T, j Journal, _ func() Journal) {
	t.Helper()
	fill(t, j, 0, 3)
	want := errors.New("cannot fold")
	if err := j.Tail(t.Context(), Position{}, func(context.Context, []Record) error { return want }); !errors.Is(err, want) {
		t.Errorf("Tail = %v, want the reader's error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, from := range []int64{0, 3, 99} { // something to read, nothing, not yet
		if err := j.Tail(ctx, Position{Offset: from}, func(context.Context, []Record) error { t.Error("read after the end"); return nil }); err != nil {
			t.Errorf("Tail = %v after its context ended, want nil", err)
		}
	}
}

func trim(t *testing.T, j Journal, reopen func() Journal) {
	t.Helper()
	fill(t, j, 0, 5000)
	f := func(upTo int64, wantFirst int) {
		t.Helper()
		if err := j.Trim(t.Context(), Position{Offset: upTo}); err != nil {
			t.Fatal(err)
		}
		got := tail(t, j, Position{}, 5000-wantFirst)
		same(t, got[0], int64(wantFirst+1), record(wantFirst))
	}
	f(0, 0)
	f(1, 1)
	f(1, 1)
	f(4500, 4500) // more than one transaction takes
	f(10, 4500)   // long ago
	j = reopen()
	f(4999, 4999)
}

// Offsets never go back: not after a trim of everything, not after one of more than everything, not
// by a restart.
func offsetsGoOn(t *testing.T, j Journal, reopen func() Journal) {
	t.Helper()
	fill(t, j, 0, 10)
	f := func(upTo, want int64) {
		t.Helper()
		if err := j.Trim(t.Context(), Position{Offset: upTo}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			mustAppend(t, j, record(int(want)))
			same(t, tail(t, j, Position{Offset: want - 1}, 1)[0], want, record(int(want)))
			want++
			j = reopen()
		}
	}
	f(5, 11)
	f(12, 13)   // all of it
	f(1000, 15) // and what is not there yet: it is not forgotten in advance
	f(16, 17)
}

// What Append was given is the caller's again as soon as it returns.
func callersBytes(t *testing.T, j Journal, _ func() Journal) {
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
func allOrNone(t *testing.T, j Journal, _ func() Journal) {
	t.Helper()
	if err := j.Append(t.Context(), record(0), Record{Kind: "nonsense", Body: []byte("{}")}, record(1)); err == nil {
		t.Error("a record of no known kind was taken: no reader could ever read it")
	}
	mustAppend(t, j, record(2))
	same(t, tail(t, j, Position{}, 1)[0], 1, record(2))
}
