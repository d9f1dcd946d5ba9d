package console

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

// clock is moved by hand.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// TestSessions: a session ends when nobody has used it for an hour, and after twelve hours whoever
// uses it; of one token and of all together there are so many, and the oldest goes.
func TestSessions(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	ss := newSessions(rand.Reader, c.now)
	begin := func(token string) string {
		t.Helper()
		cookie, err := ss.begin(token)
		if err != nil || len(cookie) != 43 {
			t.Fatal(cookie, err)
		}
		return cookie
	}
	idle, used := begin("a"), begin("a")
	if ss.of(idle, false) == nil || ss.of("x", true) != nil || ss.of("", true) != nil {
		t.Error("a session is not found, or found by another cookie")
	}
	for range 23 {
		c.at = c.at.Add(30 * time.Minute)
		if ss.of(used, true) == nil {
			t.Fatal("a session that is used has ended")
		}
		ss.of(idle, false) // a live page does not use it
	}
	if ss.of(idle, true) != nil {
		t.Error("a session that nobody used has not ended")
	}
	c.at = c.at.Add(30 * time.Minute)
	if ss.of(used, true) != nil {
		t.Error("a session has lasted twelve hours, and has not ended")
	}
	var own []string
	for range maxOfOne + 1 {
		own = append(own, begin("a"))
	}
	if ss.of(own[0], true) != nil || ss.of(own[1], true) == nil {
		t.Error("of one token the oldest does not make room")
	}
	first := ""
	for i := range maxSessions {
		if cookie := begin(fmt.Sprint("b", i)); first == "" {
			first = cookie
		}
	}
	if len(ss.open) != maxSessions || len(ss.all) != maxSessions || ss.of(own[maxOfOne], true) != nil || ss.of(first, true) == nil {
		t.Errorf("%d sessions", len(ss.open))
	}
	s := ss.of(first, true)
	if s.formed("") || s.formed("x") || !s.formed(s.form) {
		t.Error("a form is taken for one of the session, or one of the session for none")
	}
	ss.end(s)
	if ss.of(first, true) != nil {
		t.Error("a session that was ended has not ended")
	}
	if _, err := newSessions(strings.NewReader("too short"), c.now).begin("a"); err == nil {
		t.Error("a session without randomness")
	}
}

// TestInside: an answer is read as it is written, a handler that breaks off is an error, and one
// that nobody waits for ends.
func TestInside(t *testing.T) {
	goOn, ended := make(chan struct{}), make(chan error, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/v1/audit":
			fmt.Fprint(w, "first")
			<-goOn
			fmt.Fprint(w, " second")
		case "/v1/whoami":
			w.Header().Set("X-From", req.RemoteAddr)
			fmt.Fprintf(w, `{"name":%q,"partner":%q}`, req.Header.Get("Authorization"), req.RemoteAddr)
		case "/v1/subjects/p/broken/export":
			fmt.Fprint(w, "half")
			panic(http.ErrAbortHandler)
		default:
			<-req.Context().Done()
			_, err := fmt.Fprint(w, "nobody reads this")
			ended <- err
		}
	})
	cl := client.New(client.Options{Base: "http://localhost", Token: "t", HTTP: &http.Client{Transport: inside{h, "127.0.0.9:1"}}})
	who, err := cl.Whoami(t.Context())
	if err != nil || who.Name != "Bearer t" || who.Partner != "127.0.0.9:1" {
		t.Errorf("%+v, %v", who, err)
	}
	r, w := io.Pipe()
	streamed := make(chan error, 1)
	go func() { streamed <- cl.StreamAudit(t.Context(), w, client.Span{}); w.Close() }()
	b := make([]byte, 5)
	if _, err := io.ReadFull(r, b); err != nil || string(b) != "first" {
		t.Errorf("%q, %v", b, err)
	}
	close(goOn) // only now
	if rest, err := io.ReadAll(r); err != nil || string(rest) != " second" || <-streamed != nil {
		t.Errorf("%q, %v", rest, err)
	}
	if err := cl.ExportSubject(t.Context(), io.Discard, "p", "broken", nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an answer that breaks off: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := cl.ListTokens(ctx, client.Page{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that nobody waits for: %v", err)
	}
	if err := <-ended; err == nil {
		t.Error("its handler does not learn that nobody reads")
	}
}

// TestRing: whatever time passes, there are so many samples; rates and counts are what was counted.
func TestRing(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	reg := prometheus.NewRegistry()
	in := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "countersign_ingest_callbacks_total", Help: "As it is."}, []string{"source", "verdict"})
	keys := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "countersign_relay_key_expires_timestamp_seconds", Help: "As it is."}, []string{"endpoint"})
	oldest := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "countersign_outbox_oldest_pending_seconds", Help: "As it is."}, []string{"endpoint"})
	reg.MustRegister(in, keys, oldest)
	r := newRing(reg, c.now)
	keys.WithLabelValues("never").Set(0)
	keys.WithLabelValues("soon").Set(float64(c.at.Add(25 * time.Hour).Unix()))
	keys.WithLabelValues("late").Set(float64(c.at.Add(60 * 24 * time.Hour).Unix()))
	oldest.WithLabelValues("a").Set(3)
	oldest.WithLabelValues("b").Set(7)
	for range 24*360 + 500 { // a day and more
		in.WithLabelValues("s", "accepted").Add(20)
		in.WithLabelValues("s", "invalid_signature").Add(5)
		c.at = c.at.Add(fineEvery)
		r.sample()
	}
	if len(r.fine) != ringSamples || len(r.coarse) != ringSamples {
		t.Errorf("%d and %d samples", len(r.fine), len(r.coarse))
	}
	hour, day, at := r.hour(), r.day(), r.latest()
	if got := at.at.Sub(hour[0].at); got != time.Hour {
		t.Errorf("the hour has %s", got)
	}
	if got := at.at.Sub(day[0].at); got < 23*time.Hour || got > 24*time.Hour+coarseEvery {
		t.Errorf("the day has %s", got)
	}
	minute := before(hour, at, time.Minute)
	if rate(at, minute, "in") != 2 || rate(at, minute, "refused") != 0.5 || !math.IsNaN(rate(at, nil, "in")) {
		t.Errorf("rates are %v and %v", rate(at, minute, "in"), rate(at, minute, "refused"))
	}
	if at.sums["keys"] != 1 || at.sums["oldest"] != 7 || at.has("kafka") {
		t.Errorf("%v", at.sums)
	}
	if got := refused(at, minute, before(hour, at, time.Hour)); len(got) != 1 || got[0].Reason != "invalid_signature" || got[0].Minute != "30" || got[0].Hour != "1,800" {
		t.Errorf("%+v", got)
	}
	for _, p := range plots(thin(hour, at, len(hour)/plotPoints)) {
		if p.Empty || len(p.Rows) < 55 || len(p.Rows) > 80 {
			t.Errorf("%s has %d rows", p.Title, len(p.Rows))
		}
	}
	fewer := newRing(reg, c.now)
	if got := fewer.latest(); got == nil || before(fewer.hour(), got, time.Minute) != nil || !plots(thin(nil, got, 1))[0].Empty {
		t.Error("a process that has just begun")
	}
}

// TestPlot: the axis ends at a round number above all that is drawn, and what is not known is a gap.
func TestPlot(t *testing.T) {
	f := func(high, top float64, ticks int) {
		t.Helper()
		got, at := scale([]line{{Values: []float64{0, high, math.NaN()}}}, false)
		if math.Abs(got-top) > 1e-9 || len(at) != ticks {
			t.Errorf("up to %v: the axis ends at %v with %v, want %v with %d", high, got, at, top, ticks)
		}
	}
	f(0, 1, 6)
	f(1, 1, 6)
	f(3, 3, 4)
	f(97, 100, 6)
	f(101, 125, 6)
	f(0.031, 0.04, 5)
	f(1_234_567, 1_250_000, 6)
	from := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	times := []time.Time{from, from.Add(20 * time.Minute), from.Add(40 * time.Minute), from.Add(time.Hour)}
	p := newPlot("x", "X", "a second", times, perSecond, line{"a", []float64{1, math.NaN(), 2, 4}}, line{"b", []float64{0, 0, 0, 0}})
	if p.Lines[0].Path != "M46.0 98.0M263.3 68.0L372.0 8.0" || p.Lines[0].Now != "4" || p.Lines[1].N != 2 {
		t.Errorf("%+v", p.Lines)
	}
	if len(p.Rows) != 4 || !p.Rows[0].At.Equal(times[3]) || fmt.Sprint(p.Rows[2].Values) != "[– 0]" || !strings.Contains(p.Says, "a: 4 now, between 1 and 4.") {
		t.Errorf("%+v\n%s", p.Rows, p.Says)
	}
	if len(p.Across) != 3 || p.Across[0].Label != "12:15" {
		t.Errorf("%+v", p.Across)
	}
	if !newPlot("x", "X", "", times[:1], whole, line{"a", []float64{1}}).Empty {
		t.Error("one sample is drawn")
	}
}

// TestPages: every row of the table has a handler, and every page that a template links to is one.
func TestPages(t *testing.T) {
	c, err := New(Options{API: http.NotFoundHandler(), Gatherer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.pages {
		p := &c.pages[i]
		if p.do == nil || !strings.HasPrefix(p.path(), "/console/") || strings.Contains(p.path(), "{") {
			t.Errorf("%s", p.pattern)
		}
		if p.sees(api.Partner) != p.partner || !p.sees(api.Admin) || p.sees("odd") {
			t.Errorf("%s is seen by whoever should not, or not by whoever should", p.pattern)
		}
	}
	for name, s := range c.shown {
		if s.t.Lookup("main") == nil {
			t.Errorf("the template %s has no main", name)
		}
	}
}

// TestWords: what is said of times, sizes and ids.
func TestWords(t *testing.T) {
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	at := time.Unix(1_800_000_000, 0)
	f(ago(at, at), "now")
	f(ago(at.Add(time.Second), at), "1 second ago")
	f(ago(at.Add(90*time.Minute), at), "1 hour ago")
	f(ago(at, at.Add(72*time.Hour)), "in 3 days")
	f(size(0), "0 B")
	f(size(1536), "1.50 KiB")
	f(size(16<<20), "16 MiB")
	f(count(1234567), "1,234,567")
	f(count(-123), "-123")
	f(count(12.0), "12")
	f(short("evt_01KM2VSGN1Q0KF3ZB6H8D4YTAC"), "evt_01KM2VSG…6H8D4YTAC"[:len("evt_01KM2VSG…")]+"H8D4YTAC")
	f(short("user-001"), "user-001")
	f(within("/console/now?a=b"), "/console/now?a=b")
	for _, to := range []string{"", "/", "//evil/console/", "https://evil/console/", "/console/\\evil", "/v1/tokens", "/console/sign-out", "console/now", "/console/a\nb", "/%2f/evil"} {
		f(within(to), "")
	}
}
