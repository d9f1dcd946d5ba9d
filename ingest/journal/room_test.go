package journal

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
)

// New records are refused while there is still room for all that follows from those there are, and
// taken again when they have been folded.
func TestAppendCountsWhatIsOwed(t *testing.T) {
	const size = 16 << 20
	r := startRig(t, store.Options{MaxSize: size}, Options{Endpoints: 2})
	body := []byte(`{"text":"` + strings.Repeat("x", 700) + `"}`)
	var err error
	n := int64(0)
	for ; err == nil; n++ {
		err = r.Append(t.Context(), Record{Kind: kyc.Observation, Body: body})
	}
	n--
	a := r.s.Account()
	const each = recordCost + 2*endpointCost
	if !errors.Is(err, ErrFull) || !errors.Is(err, store.ErrFull) || a.Owed != n*each || a.Room-a.Owed < a.Reserve || a.Room-a.Owed > a.Reserve+2*each+64<<10 {
		t.Errorf("after %d records: %v, %+v", n, err, a)
	}
	own := 0
	for ; own < 1000 && err != nil; own++ { // nobody sends these again
		if r.Append(t.Context(), Record{Kind: kyc.Timer, Body: body}) != nil {
			break
		}
	}
	if want := int(a.Reserve / 4 / each); own < want/2 || own > want+1 {
		t.Errorf("%d timers are taken when callbacks are not any more, want about %d", own, want)
	}
	n += int64(own)
	if a.Room < size/2 {
		t.Errorf("only %d bytes are left for what %d records come to", a.Room, n)
	}
	again := r.again(t) // with one endpoint, each comes to less
	if a := again.s.Account(); a.Owed != n*(recordCost+endpointCost) {
		t.Errorf("after a restart %d bytes are owed for %d records", a.Owed, n)
	}
	if err := again.Passed(t.Context(), Position{Offset: n}); err != nil {
		t.Fatal(err)
	}
	if err := again.Append(t.Context(), Record{Kind: kyc.Observation, Body: body}); err != nil {
		t.Errorf("when everything has been folded: %v", err)
	}
}

// What is expected of a record follows what records have come to, slowly, and never falls below
// what is safe.
func TestCost(t *testing.T) {
	r := startRig(t, store.Options{}, Options{Endpoints: 3})
	const floor = recordCost + 3*endpointCost
	f := func(records int, bytes, want int64) {
		t.Helper()
		r.Folded(records, bytes)
		if got := r.cost.ofRecord(); got < want*95/100 || got > want*105/100 {
			t.Errorf("after %d records of %d bytes one is expected to come to %d, want %d", records, bytes/int64(max(1, records)), got, want)
		}
	}
	f(0, 0, floor)
	f(1000, 1000*1000, floor) // little ones
	f(1<<20, 20_000<<20, 40_000)
	f(1, 1<<20, 40_000) // one large one
	f(1<<20, 100<<20, floor)
	if got := r.owed(); got != 0 {
		t.Errorf("%d bytes are owed for no record", got)
	}
}

// What makes room is never refused for want of it, and what would take some is.
func TestDiscardingNeedsNoRoom(t *testing.T) {
	r := startRig(t, store.Options{}, Options{})
	hold := func(id string) error {
		return r.Hold(t.Context(), Item{ID: id, Source: "s", Provider: "p", Reason: Unreadable, At: time.Now(), Body: []byte("body")})
	}
	if err := hold("one"); err != nil {
		t.Fatal(err)
	}
	var owed atomic.Int64
	owed.Store(1 << 50)
	r.s.Owe(owed.Load)
	if err := hold("two"); !errors.Is(err, ErrFull) {
		t.Errorf("kept although there is no room: %v", err)
	}
	if err := r.Drop(t.Context(), "one", Intake{Records: []Record{{Kind: kyc.Observation, Body: []byte("{}")}}}); !errors.Is(err, ErrFull) || r.Quarantined() != 1 {
		t.Errorf("released although there is no room: %v, %d in quarantine", err, r.Quarantined())
	}
	if err := r.Drop(t.Context(), "one", Intake{}); err != nil || r.Quarantined() != 0 {
		t.Errorf("discarding: %v, %d in quarantine", err, r.Quarantined())
	}
}
