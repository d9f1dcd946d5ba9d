package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
	"countersign/kyc"
	"countersign/outbox/store"
	"countersign/signing"
)

// TestFollow: what the stream says is on disk, in its order and in full, while the connection stays
// open; it is as good as signed.
func TestFollow(t *testing.T) {
	d := newDesk(t)
	first, second, _ := strings.Cut(body(3, "ACTIVE"), `,"at"`)
	fd := newFeed(t, sends(
		": hello\n\n", account(1, "SUBMITTED")+account(2, "APPROVED"), ": heartbeat\n\n",
		"event: x\r\nid: 9\r\ndata: "+first+"\r\ndata: ,\"at\""+second+"\r\n\r\n",
		"data: "+`{"event_id":4,"account_id":"acc-7","account_blocked":true}`+"\n\n",
	))
	stop := d.run(alpaca(t, "src", fd.url))
	d.reaches("src", "4")
	d.says("1 pending, 2 approved, 3 approved")
	d.eventually("all is counted", func() bool { return d.value("stream_events_total", "src", "ignored") == 1 })
	for name, want := range map[string]float64{"appended": 3, "duplicate": 0, "quarantined": 0, "oversized": 0} {
		if n := d.value("stream_events_total", "src", name); n != want {
			t.Errorf("%s: %v, want %v", name, n, want)
		}
	}
	u := d.updates()[1]
	if u.Kind != kyc.Observation || u.Authenticity != kyc.Signed || u.NeedsConfirmation || u.Partner != "acme" || u.Source != "src" || u.Provider != "alpaca" || u.BodySHA256 == "" {
		t.Errorf("%+v", u)
	}
	if d.value("stream_connected", "src", "") != 1 || d.value("stream_last_event_timestamp_seconds", "src", "") < float64(time.Now().Add(-time.Minute).Unix()) {
		t.Error("an open stream is not seen")
	}
	stop()
	if d.value("stream_connected", "src", "") != 0 || len(fd.queries()) != 1 {
		t.Errorf("stopped: connected %v, asked %v", d.value("stream_connected", "src", ""), fd.queries())
	}
	if strings.Contains(d.log.String(), "the-secret") || strings.Contains(d.log.String(), "acc-7") {
		t.Errorf("the log tells: %s", d.log)
	}
}

// TestRestart: the stream is opened again behind what is on disk, and what comes again all the same
// has the ids it had (I4).
func TestRestart(t *testing.T) {
	d := newDesk(t)
	fd := newFeed(
		t, sends(account(1, "SUBMITTED"), account(2, "ACTION_REQUIRED")),
		sends(account(2, "ACTION_REQUIRED"), account(3, "APPROVED")), // as a provider may do whose cursor includes what it names
		sends(account(1, "SUBMITTED"), account(4, "DISABLED")),       // as none should
	)
	src := alpaca(t, "src", fd.url)
	for i, cursor := range []string{"2", "3", "4"} {
		stop := d.run(src)
		d.reaches("src", cursor)
		if i == 1 && d.value("stream_events_total", "src", "duplicate") != 1 {
			t.Error("the repeat is not counted")
		}
		stop()
		d.stop()
		d.open()
	}
	t.Cleanup(func() { d.stop() })
	if got := strings.Join(fd.queries(), " "); got != "since=2000-01-01 since_id=2 since_id=3" {
		t.Errorf("asked %s", got)
	}
	d.says("1 pending, 2 rejected, 3 approved, 1 pending, 4 suspended")
	if us := d.updates(); us[0].ID != us[3].ID || us[0].ID == us[1].ID {
		t.Errorf("ids %s, %s and again %s", us[0].ID, us[1].ID, us[3].ID)
	}
}

// TestTorn: an event that was cut off is nothing until it has come in full.
func TestTorn(t *testing.T) {
	f := func(what, piece string, end func(wire), o outcome) {
		t.Helper()
		d := newDesk(t)
		fd := newFeed(t, func(w wire) { w.send(account(1, "SUBMITTED"), piece); end(w) }, sends(account(2, "APPROVED")))
		stop := d.run(alpaca(t, "src", fd.url))
		d.reaches("src", "2")
		stop()
		d.says("1 pending, 2 approved")
		if n := len(d.held()); n != 0 || d.value("stream_connections_total", "src", string(o)) != 1 {
			t.Errorf("%s: %d in quarantine, %s counted %v times", what, n, o, d.value("stream_connections_total", "src", string(o)))
		}
		if q := fd.queries(); q[1] != "since_id=1" {
			t.Errorf("%s: asked %v", what, q)
		}
	}
	whole := account(2, "APPROVED")
	f("in the middle", whole[:40], wire.cut, unreachable)
	f("in the middle, in an orderly way", whole[:40], func(wire) {}, ended)
	f("before the blank line", whole[:len(whole)-1], wire.cut, unreachable)
	f("before its first byte", "", wire.cut, unreachable)
}

// TestQuarantine: what cannot be understood is kept, sealed, in its order, and the stream goes on
// behind it (I8).
func TestQuarantine(t *testing.T) {
	f := func(what, odd string, maxEvent int64, cursor, outcome string, want journal.Item) {
		t.Helper()
		d := newDesk(t)
		fd := newFeed(t, sends(account(1, "SUBMITTED"), "data: "+odd+"\n\n"), sends("data: "+odd+"\n\n", account(9, "APPROVED")))
		src := alpaca(t, "src", fd.url)
		src.MaxEvent, src.Options = maxEvent, provider.Options{}
		if want.Reason == journal.WrongMode || odd == "panic" || odd == "nothing" {
			src.Adapter.Translate = odds
		}
		stop := d.run(src)
		d.eventually(what+": counted", func() bool { return d.value("stream_events_total", "src", outcome) == 1 })
		d.reaches("src", cursor)
		stop()
		stop = d.run(src)
		d.reaches("src", "9")
		stop()
		items := d.held()
		if len(items) != 1 || items[0].Reason != want.Reason || string(items[0].Body) != string(want.Body) || !strings.Contains(items[0].Detail, want.Detail) ||
			items[0].Source != "src" || items[0].Provider != "alpaca" {
			t.Errorf("%s: in quarantine: %+v", what, items)
		}
		if us := d.updates(); len(us) < 2 || us[len(us)-1].ProviderEvent.Revision != 9 && want.Reason != journal.WrongMode {
			t.Errorf("%s: %+v", what, us)
		}
		if strings.Contains(d.log.String(), "Anna") {
			t.Errorf("%s: the log tells: %s", what, d.log)
		}
	}
	item := func(reason journal.Reason, detail, body string) journal.Item {
		return journal.Item{Reason: reason, Detail: detail, Body: []byte(body)}
	}
	mistyped := `{"account_id":"Anna","event_id":5,"status_to":7}`
	f("unreadable, with an id", mistyped, 0, "5", "quarantined", item(journal.Unreadable, "status_to", mistyped))
	f("unreadable, without one", "Anna is no json", 0, "1", "quarantined", item(journal.Unreadable, "json", "Anna is no json"))
	f("an unknown word", body(5, "WONDERING"), 0, "5", "quarantined", item(journal.UnknownWord, "unknown", body(5, "WONDERING")))
	large := `{"event_id":5,"name":"` + strings.Repeat("Anna", 100) + `"}`
	f("oversized", large, 200, "1", "oversized", item(journal.Unreadable, "200 bytes", large[:200]))
	f("live in a sandbox", `{"event_id":5}`, 0, "5", "quarantined", item(journal.WrongMode, "livemode", `{"event_id":5}`))
	f("a bug of the adapter's", "panic", 0, "1", "quarantined", item(journal.Unreadable, "panicked", "panic"))
	f("another", "nothing", 0, "1", "quarantined", item(journal.Unreadable, "nothing", "nothing"))
}

// odds translates what Alpaca does not say.
func odds(h signing.Header, event []byte, o provider.Options) (provider.Result, error) {
	live := true
	switch string(event) {
	case "panic":
		panic("Anna")
	case "nothing":
		return provider.Result{}, nil
	case `{"event_id":5}`:
		return provider.Result{Livemode: &live, Updates: []kyc.Update{{Status: kyc.Approved}}}, nil
	}
	a, _ := provider.ByName("alpaca")
	return a.Translate(h, event, o)
}

// TestEndings: whatever ends a connection is counted, and the next one is made.
func TestEndings(t *testing.T) {
	f := func(o outcome, step func(wire)) {
		t.Helper()
		d := newDesk(t)
		d.change = func(f *Follower) { f.waits.silence = 300 * time.Millisecond }
		fd := newFeed(t, step, sends(account(1, "APPROVED")))
		stop := d.run(alpaca(t, "src", fd.url))
		d.reaches("src", "1")
		stop()
		d.says("1 approved")
		if n := d.value("stream_connections_total", "src", string(o)); n < 1 {
			t.Errorf("%s counted %v times", o, n)
		}
	}
	status := func(code int) func(wire) { return func(w wire) { w.w.WriteHeader(code) } }
	f(ended, func(w wire) { w.send(": hello\n\n") })
	f(silent, wire.wait)
	f(silent, sends(": hello\n\n"))
	f(gap, sends(": you are reading too slowly, dropped 10000 messages\n\n"+account(7, "REJECTED")))
	f(gap, sends(": you are reading too slowly, dropped 1 messages\n"+account(7, "REJECTED")))
	f(refused, status(http.StatusUnauthorized))
	f(refused, status(http.StatusForbidden))
	f(limited, status(http.StatusTooManyRequests))
	f(failing, status(http.StatusInternalServerError))
	f(failing, status(http.StatusNoContent))
	f(failing, func(w wire) { w.w.Header().Set("Location", "/elsewhere"); w.w.WriteHeader(http.StatusFound) })
	f(failing, func(w wire) {
		w.w.Header().Set("Content-Type", "text/html")
		w.send(account(7, "REJECTED")) // of a proxy's making, perhaps
	})
	f(unreachable, wire.cut)
}

// TestRefused: credentials that are not taken are not tried again and again.
func TestRefused(t *testing.T) {
	d := newDesk(t)
	d.change = func(f *Follower) { f.waits.refused = time.Hour }
	fd := newFeed(t, sends(account(1, "APPROVED")))
	src := alpaca(t, "src", fd.url)
	src.Credentials.User = "somebody else"
	stop := d.run(src)
	d.eventually("it is counted", func() bool { return d.value("stream_connections_total", "src", string(refused)) == 1 })
	stop() // which does not wait for the hour
	if d.value("stream_connected", "src", "") != 0 || !strings.Contains(d.log.String(), "the api answered 401") {
		t.Errorf("connected %v: %s", d.value("stream_connected", "src", ""), d.log)
	}
}

// TestWait: a provider that asks to be left alone is, and a try after many that failed is made a
// minute later.
func TestWait(t *testing.T) {
	d := newDesk(t)
	f, err := New(Options{Journal: d.journal})
	if err != nil {
		t.Fatal(err)
	}
	tries := f.backoff()
	if w := f.wait(tries, &ending{outcome: limited, after: 40 * time.Second}); w != 40*time.Second {
		t.Errorf("told to wait 40 s: %v", w)
	}
	for range 100 {
		f.wait(tries, &ending{outcome: failing})
	}
	if w := f.wait(tries, &ending{outcome: failing}); w < 40*time.Second || w > 80*time.Second {
		t.Errorf("after 100 tries: %v", w)
	}
	tries.Reset()
	if w := f.wait(tries, &ending{outcome: ended}); w < 700*time.Millisecond || w > 1300*time.Millisecond {
		t.Errorf("after a good one: %v", w)
	}
	if w := f.wait(tries, &ending{outcome: refused}); w < time.Minute {
		t.Errorf("refused: %v", w)
	}
}

// TestGoodConnections: a provider that ends its connections in an orderly way is not waited for
// ever longer.
func TestGoodConnections(t *testing.T) {
	d := newDesk(t)
	d.change = func(f *Follower) { f.waits.first, f.waits.longest = 20*time.Millisecond, time.Hour }
	var fd *feed
	fd = newFeed(t, func(w wire) { w.send(account(len(fd.queries()), "SUBMITTED")) })
	stop := d.run(alpaca(t, "src", fd.url))
	d.eventually("the twelfth has come", func() bool { return d.journal.Backlog() >= 12 }) // doubling each time, that would be a minute and a half
	stop()
}

// TestSlow: a stream that comes byte by byte, with heartbeats in between, is neither torn nor
// silent.
func TestSlow(t *testing.T) {
	d := newDesk(t)
	d.change = func(f *Follower) { f.waits.silence = 400 * time.Millisecond }
	text := ": beat\n\n" + account(1, "APPROVED") + ": beat\n\n"
	fd := newFeed(t, func(w wire) {
		tick := time.NewTicker(8 * time.Millisecond) // a thousand milliseconds in all
		defer tick.Stop()
		for i := range text {
			<-tick.C
			w.send(text[i : i+1])
		}
		w.wait()
	})
	stop := d.run(alpaca(t, "src", fd.url))
	d.reaches("src", "1")
	if n := d.value("stream_connections_total", "src", string(silent)); n != 0 {
		t.Errorf("%v times silent", n)
	}
	stop()
	d.says("1 approved")
}

// TestNoRoom: a journal without room holds the stream back. Nothing is lost, even where the
// provider leaves out what a slow reader does not take.
func TestNoRoom(t *testing.T) {
	d := newDesk(t)
	d.stop()
	d.backlog = 2
	d.open()
	t.Cleanup(func() { d.stop() })
	var fd *feed
	fd = newFeed(t, func(w wire) {
		w.send(account(1, "SUBMITTED") + account(2, "SUBMITTED") + account(3, "SUBMITTED"))
		d.eventually("it has been asked for room", func() bool { return d.full.Load() > 3 })
		w.send(account(7, "SUBMITTED") + account(8, "SUBMITTED")) // the provider has no room either, and leaves out what was in between
		w.wait()
	}, func(w wire) {
		var behind int
		q := fd.queries()
		fmt.Sscanf(q[len(q)-1], "since_id=%d", &behind)
		for id := behind + 1; id <= 9; id++ {
			w.send(account(id, "SUBMITTED"))
		}
		w.wait()
	})
	stop := d.run(alpaca(t, "src", fd.url))
	d.reaches("src", "2")
	d.eventually("the provider has left something out", func() bool { return d.full.Load() > 9 })
	var got []int64
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := d.journal.Tail(ctx, journal.Position{}, func(ctx context.Context, rs []journal.Record) error { // the relay catches up
		for _, r := range rs {
			if got = append(got, r.Update.ProviderEvent.Revision); len(got) == 9 {
				cancel()
			}
		}
		return d.journal.Passed(context.WithoutCancel(ctx), rs[len(rs)-1].Position)
	})
	if err != nil {
		t.Fatal(err)
	}
	d.reaches("src", "9")
	if !slices.Equal(got, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9}) {
		t.Errorf("appended %v", got)
	}
	stop()
	if n := d.value("stream_connections_total", "src", string(heldBack)); n < 1 || fd.queries()[1] != "since_id=3" {
		t.Errorf("held back %v times, asked %v", n, fd.queries())
	}
}

// TestStopWithoutRoom: a follower that waits for room stops when asked, and takes nothing with it.
func TestStopWithoutRoom(t *testing.T) {
	d := newDesk(t)
	d.stop()
	d.backlog = 1
	d.open()
	t.Cleanup(func() { d.stop() })
	d.change = func(f *Follower) { f.waits.room = time.Hour }
	fd := newFeed(t, sends(account(1, "SUBMITTED"), account(2, "WONDERING"), account(3, "APPROVED")))
	stop := d.run(alpaca(t, "src", fd.url))
	d.reaches("src", "1")
	stop()
	d.reaches("src", "1")
	if n := len(d.held()); n != 0 {
		t.Errorf("%d in quarantine", n)
	}
	d.says("1 pending")
}

// TestFailingJournal: what is wrong with the journal ends the follower, and with it the process.
func TestFailingJournal(t *testing.T) {
	d := newDesk(t)
	fd := newFeed(t, sends(account(1, "APPROVED")))
	broken := errors.New("the disk is gone")
	f, err := New(Options{
		Journal: &faulty{d.journal, broken}, Sources: []Source{alpaca(t, "src", fd.url)},
		Take:   func(string, provider.Result, error, []byte) (journal.Intake, error) { return journal.Intake{}, nil },
		Logger: discard(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Run(t.Context()); !errors.Is(err, broken) || !strings.Contains(err.Error(), "stream") {
		t.Errorf("Run = %v", err)
	}
}

// faulty is a journal that takes nothing.
type faulty struct {
	*journal.Bolt
	err error
}

// AppendFrom fails.
func (f *faulty) AppendFrom(context.Context, string, string, ...journal.Record) error { return f.err }

// TestIsolation is I6: a provider that hangs, one that is not there and one that refuses hold up
// nobody.
func TestIsolation(t *testing.T) {
	d := newDesk(t)
	hanging := newFeed(t, func(w wire) { <-w.gone })
	good := newFeed(t, sends(account(1, "APPROVED")), sends())
	bad := alpaca(t, "refusing", good.url)
	bad.Credentials.User = "nobody"
	stop := d.run(alpaca(t, "hanging", hanging.url), alpaca(t, "gone", "http://127.0.0.1:1"), bad, alpaca(t, "good", good.url))
	d.reaches("good", "1")
	d.eventually("the others are seen", func() bool {
		return d.value("stream_connections_total", "gone", string(unreachable)) > 0 && d.value("stream_connections_total", "refusing", string(refused)) > 0
	})
	stop()
	d.says("1 approved")
}

// TestNew: a source that cannot be followed is refused by name.
func TestNew(t *testing.T) {
	f := func(want string, change func(*Source)) {
		t.Helper()
		s := alpaca(t, "the-source", "")
		change(&s)
		if _, err := New(Options{Sources: []Source{s}}); err == nil || !strings.Contains(err.Error(), "the-source") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want one that names the source and %q", err, want)
		}
	}
	f("no stream", func(s *Source) { s.Adapter, _ = provider.ByName("sumsub") })
	f("api.key", func(s *Source) { s.Credentials.Key = signing.Key{} })
	for live, want := range map[bool]string{true: "https://broker-api.alpaca.markets", false: "https://broker-api.sandbox.alpaca.markets"} {
		s := alpaca(t, "src", "")
		s.Live = live
		if f, err := New(Options{Sources: []Source{s}}); err != nil || f.sources[s.Name].Base != want {
			t.Errorf("live %v: %v, %v", live, f, err)
		}
	}
}

// TestFlood: thousands of events in one burst are taken in batches, in order, once.
func TestFlood(t *testing.T) {
	d := newDesk(t)
	const n = 5000
	var all strings.Builder
	for id := 1; id <= n; id++ {
		all.WriteString(account(id, "SUBMITTED"))
	}
	fd := newFeed(t, func(w wire) { io.WriteString(w.w, all.String()); w.wait() })
	stop := d.run(alpaca(t, "src", fd.url))
	d.eventually("everything is there", func() bool { return d.journal.Backlog() == n })
	d.reaches("src", strconv.Itoa(n))
	stop()
	for i, u := range d.updates() {
		if u.ProviderEvent.Revision != int64(i+1) {
			t.Fatalf("the %dth is %d", i+1, u.ProviderEvent.Revision)
		}
	}
}

// TestDamagedCursor: a stream whose place is not known is not begun again on the quiet.
func TestDamagedCursor(t *testing.T) {
	d := newDesk(t)
	f, err := New(Options{Journal: &lost{d.journal}, Sources: []Source{alpaca(t, "src", "http://127.0.0.1:1")}, Logger: discard()})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Run(t.Context()); !errors.Is(err, store.ErrBadRecord) {
		t.Errorf("Run = %v", err)
	}
}

// lost is a journal whose cursors are damaged.
type lost struct{ *journal.Bolt }

// Cursor fails.
func (l *lost) Cursor(string) (string, error) { return "", store.ErrBadRecord }
