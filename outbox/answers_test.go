package outbox

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	"countersign/outbox/store"
)

// page is an error page of 4 KiB, with something in it that is its own.
func page(own string) string {
	return strings.Repeat("<p>the upstream is gone</p>", 200)[:MaxText-len(own)-1] + "#" + own
}

func answered(text string) Exchange {
	return Exchange{
		FirstByte: 9 * time.Millisecond, Reused: true, Address: netip.MustParseAddrPort("192.0.2.7:443"),
		Answer: Answer{Text: text, Type: "text/html; charset=utf-8", Bytes: 9000, Cut: true},
	}
}

// failAll has one attempt of each lane fail, in transactions of so many, and answered with what says
// tells.
func (r *rig) failAll(t *testing.T, at time.Time, lanes []string, failures, together int, says func(lane string) string) {
	t.Helper()
	for len(lanes) > 0 {
		n := min(together, len(lanes))
		r.update(t, func(tx *store.Tx) error {
			tally := r.tally()
			for _, lane := range lanes[:n] {
				d := change("a", lane, 1)
				d.Failures = failures
				a := Attempt{Delivery: d, Outcome: Retry, Reason: "http_5xx", Code: 503, At: at, Took: 12345 * time.Microsecond, Retry: at.Add(time.Minute), Exchange: answered(says(lane))}
				if err := r.note(tx, tally, &a); err != nil {
					return err
				}
			}
			return nil
		})
		lanes = lanes[n:]
	}
}

func lanesOf(n int) (lanes []string) {
	for i := range n {
		lanes = append(lanes, fmt.Sprintf("acme/person-%06d", i))
	}
	return lanes
}

// kept is how many records a bucket has, and their bytes with their keys.
func (r *rig) kept(t *testing.T, n store.Name) (records, size int) {
	t.Helper()
	err := r.s.View(func(tx *store.Tx) error {
		b := tx.Bucket(n)
		return b.ForEach(func(k, _ []byte) error {
			records, size = records+1, size+len(k)+len(b.Raw(k))
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return records, size
}

func (r *rig) full(t *testing.T, lane string) []Try {
	t.Helper()
	tries, err := r.TriesInFull("a", lane, 1)
	if err != nil {
		t.Fatal(err)
	}
	return tries
}

// TestAnswersAreKeptOnce: what everybody who waits is answered with stands in the file once, over
// restarts, and each try shows it.
func TestAnswersAreKeptOnce(t *testing.T) {
	r := startRig(t, store.Options{}, Options{}, Endpoint{ID: "a"})
	lanes := lanesOf(300)
	same := func(string) string { return page("all") }
	r.failAll(t, base, lanes, 0, 100, same)
	r = r.again(t, Endpoint{ID: "a"})
	r.failAll(t, base.Add(time.Minute), lanes, 1, 100, same)
	if n, _ := r.kept(t, store.Answers); n != 1 {
		t.Errorf("%d texts are kept, want the one that there is", n)
	}
	want := Try{At: base, Outcome: Retry, Reason: "http_5xx", Code: 503, Took: 12345 * time.Microsecond, Exchange: answered(page("all"))}
	for _, lane := range lanes {
		tries := r.full(t, lane)
		if len(tries) != 2 || tries[0] != want || tries[1].Answer != want.Answer {
			t.Fatalf("%s: %+v, want %+v", lane, tries, want)
		}
	}
	tries, err := r.Tries("a", lanes[0], 1)
	if want.Answer.Text = ""; err != nil || len(tries) != 2 || tries[0] != want {
		t.Errorf("without texts: %+v, %v; want %+v", tries, err, want)
	}
	r.sound(t)
}

// TestAnswersAreBounded (I9): whatever a partner answers, each time another page of 4 KiB, the file
// keeps so many of them, and of each try a few bytes. 1,000,000 persons with 15 tries each come to
// as many times what is measured here.
func TestAnswersAreBounded(t *testing.T) {
	const persons, perTry = 5000, 140
	r := startRig(t, store.Options{}, Options{}, Endpoint{ID: "a"})
	lanes := lanesOf(persons)
	own := func(lane string) string { return page(lane) }
	r.failAll(t, base, lanes, 0, 100, own)
	texts, size := r.kept(t, store.Answers)
	if texts != answerPlaces || size > answerPlaces*(MaxText+64) {
		t.Errorf("%d texts are kept in %d bytes, want %d in %d at most", texts, size, answerPlaces, answerPlaces*(MaxText+64))
	}
	tries, size := r.kept(t, store.Attempts)
	t.Logf("%d tries take %d bytes each, and their texts %d in all", tries, size/tries, texts*MaxText)
	if tries != persons || size > persons*perTry {
		t.Errorf("%d tries take %d bytes each, want %d at most", tries, size/tries, perTry)
	}
	shown, last := 0, ""
	for _, lane := range lanes {
		tries := r.full(t, lane)
		a := tries[0].Answer
		switch {
		case len(tries) != 1 || a.Bytes != 9000 || a.Gone != (a.Text == ""):
			t.Fatalf("%s: %+v", lane, tries)
		case a.Gone:
		case a.Text != page(lane):
			t.Fatalf("%s is shown another's answer", lane)
		default:
			shown, last = shown+1, lane
		}
	}
	if shown != answerPlaces || last < lanes[persons-100] {
		t.Errorf("%d texts are shown, the last that of %s; want the %d newest", shown, last, answerPlaces)
	}
	r.sound(t)
}

// TestAnswersGoOnWhereTheyWere: after a restart the oldest text makes room first.
func TestAnswersGoOnWhereTheyWere(t *testing.T) {
	r := startRig(t, store.Options{}, Options{}, Endpoint{ID: "a"})
	lanes := lanesOf(answerPlaces + 20)
	own := func(lane string) string { return "answer to " + lane }
	r.failAll(t, base, lanes[:answerPlaces+10], 0, answersAtOnce, own)
	r = r.again(t, Endpoint{ID: "a"})
	r.failAll(t, base, lanes[answerPlaces+10:], 0, answersAtOnce, own)
	for i, lane := range lanes {
		if got := r.full(t, lane)[0].Answer.Text; (got == own(lane)) != (i >= 20) {
			t.Errorf("%s is shown %q", lane, got)
		}
	}
}

// TestAnswersOfRenamed: they go with the tries.
func TestAnswersOfRenamed(t *testing.T) {
	r := startRig(t, store.Options{}, Options{}, Endpoint{ID: "a"}, Endpoint{ID: "other"})
	r.failAll(t, base, lanesOf(3), 0, 9, page)
	if err := Rename(t.Context(), r.s, "a", "b"); err != nil {
		t.Fatal(err)
	}
	if err := r.Serve(Endpoint{ID: "b"}); err != nil {
		t.Fatal(err)
	}
	for _, lane := range lanesOf(3) {
		if tries, err := r.TriesInFull("b", lane, 1); err != nil || len(tries) != 1 || tries[0].Answer.Text != page(lane) {
			t.Errorf("%s: %+v, %v", lane, tries, err)
		}
	}
	if old := r.full(t, lanesOf(1)[0]); len(old) != 0 {
		t.Errorf("under its old id there are %+v", old)
	}
	r.sound(t)
}

// TestAnswersAreRefreshed: a text has its time from when it was last answered, within a day.
func TestAnswersAreRefreshed(t *testing.T) {
	r := startRig(t, store.Options{}, Options{}, Endpoint{ID: "a"})
	f := func(at, want time.Time) {
		t.Helper()
		r.failAll(t, at, lanesOf(1), int(at.Sub(base).Hours()), 9, func(string) string { return "busy" })
		err := r.s.View(func(tx *store.Tx) error {
			_, v := tx.Bucket(store.Answers).Cursor().First()
			if got, ok := SaidAt(v); !ok || !got.Equal(want) {
				t.Errorf("answered at %s: it has its time from %s, %v; want %s", at, got, ok, want)
			}
			return nil
		})
		if n, _ := r.kept(t, store.Answers); n != 1 || err != nil {
			t.Errorf("%d texts, %v", n, err)
		}
	}
	f(base, base)
	f(base.Add(23*time.Hour), base)
	f(base.Add(25*time.Hour), base.Add(25*time.Hour))
}

// TestAnswersAreNotKeptWithoutRoom: what is merely good to know takes no room that callbacks or what
// is owed need. That there was an answer is said all the same.
func TestAnswersAreNotKeptWithoutRoom(t *testing.T) {
	c := newClock()
	var ended []Attempt
	o := Options{Now: c.now, Settled: func(_ *store.Tx, a Attempt) error { ended = append(ended, a); return nil }}
	r := startRig(t, store.Options{MaxSize: 8 << 20}, o, Endpoint{ID: "a"})
	f := func(lane string, kept bool) {
		t.Helper()
		ended = nil
		r.put(t, change("a", lane, 1))
		d := r.claim(t, "a", 9)[0]
		r.settle(t, Attempt{Delivery: d, Outcome: Retry, Reason: "http_5xx", At: c.now(), Retry: c.now(), Exchange: answered(page(lane))})
		d = r.claim(t, "a", 9)[0]
		r.settle(t, Attempt{Delivery: d, Outcome: Done, Reason: "http_2xx", At: c.now(), Exchange: answered("thanks")})
		if tries := r.full(t, lane); len(tries) != 1 || tries[0].Answer.Gone == kept || tries[0].Answer.Bytes != 9000 || (tries[0].Answer.Text != "") != kept {
			t.Errorf("%s: %+v, want it kept: %v", lane, tries, kept)
		}
		if len(ended) == 0 || (ended[0].Exchange.Answer.Text == "thanks") != kept || ended[0].Exchange.Answer.Gone == kept {
			t.Errorf("%s ended with %+v, want the answer kept: %v", lane, ended, kept)
		}
	}
	c.add(time.Minute)
	f("x", true)
	for stuff := 0; r.s.Spare(-64 << 10); stuff++ {
		r.update(t, func(tx *store.Tx) error {
			return tx.Bucket(store.Refs).Put(fmt.Appendf(nil, "stuff %d", stuff), make([]byte, 3000))
		})
	}
	if r.s.Low() {
		t.Fatal("the room is low already: this shows nothing")
	}
	f("y", false)
	f("z", false)
}

// TestDamagedAnswers: a damaged try, or text, costs itself only, and is said.
func TestDamagedAnswers(t *testing.T) {
	r := startRig(t, store.Options{}, Options{}, Endpoint{ID: "a"})
	lanes := lanesOf(3)
	for n := range 2 {
		r.failAll(t, base, lanes, n, 9, func(lane string) string { return page(fmt.Sprint(lane, n)) })
	}
	d := change("a", lanes[0], 1)
	r.wreck(t, store.Attempts, attemptKey(&d))
	r.wreck(t, store.Answers, answerKey("a", 1)) // that of the second's first
	if tries := r.full(t, lanes[0]); len(tries) != 2 || tries[0] != (Try{Reason: Damaged}) || tries[1].Answer.Text == "" {
		t.Errorf("%+v", tries)
	}
	if tries := r.full(t, lanes[1]); len(tries) != 2 || !tries[0].Answer.Gone || tries[0].Answer.Text != "" || tries[1].Answer.Text == "" {
		t.Errorf("%+v", tries)
	}
	r.failAll(t, base, lanes[1:2], 2, 9, func(lane string) string { return page(fmt.Sprint(lane, 0)) }) // the damaged one, once more
	if tries := r.full(t, lanes[1]); len(tries) != 3 || tries[2].Answer.Text == "" {
		t.Errorf("%+v", tries)
	}
	r = r.again(t, Endpoint{ID: "a"})
	if found := r.s.Found(); found == nil || found.Damaged["attempts"] != 1 || !maps.Equal(found.Damaged, map[string]int{"attempts": 1, "answers": 1}) {
		t.Errorf("found %+v", found)
	}
	if tries := r.full(t, lanes[2]); len(tries) != 2 || tries[0].Answer.Text == "" {
		t.Errorf("%+v", tries)
	}
	r.sound(t)
}

// TestAuditorOfAnswers: a text that is not what its digest says, or stands in another's place, is
// noticed.
func TestAuditorOfAnswers(t *testing.T) {
	r := startRig(t, store.Options{}, Options{}, Endpoint{ID: "a"})
	r.failAll(t, base, lanesOf(1), 0, 9, page)
	s := said{number: 5, at: base, text: "x"}
	r.update(t, func(tx *store.Tx) error { return tx.Bucket(store.Answers).PutRecord(answerKey("a", 6), s.encode()) })
	r.update(t, func(tx *store.Tx) error {
		return tx.Bucket(store.Attempts).Put(append(deliveryKey("a", "x", 1), 0, 0), bytes.Repeat([]byte{0xff}, 9))
	})
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	rep, err := store.Examine(t.Context(), r.s.Path(), "", nil, NewAuditor)
	text := strings.Join(rep.Problems, "; ")
	if err != nil || !strings.Contains(text, "1 records of answers") || !strings.Contains(text, "1 records of attempts") {
		t.Errorf("%q, %v", text, err)
	}
}
