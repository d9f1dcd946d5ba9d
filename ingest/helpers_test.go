package ingest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
	"countersign/kyc"
	"countersign/outbox/store"
	"countersign/signing"
)

// at is the gateway's clock; the callbacks happened a minute before.
var (
	at       = time.Date(2026, 5, 1, 12, 30, 15, 0, time.UTC)
	happened = at.Add(-time.Minute)
)

const (
	hmacKey  = "a-key-of-thirty-two-bytes-and-so"
	basicKey = "rebilly:password-9"
	token    = "tok-5b1fQ9"
	patience = 5 * time.Second       // how long a test waits for what must happen
	glance   = 80 * time.Millisecond // how long it looks for what must not happen
)

// door is a running ingress in front of a real store and journal.
type door struct {
	*Ingress
	t       testing.TB
	addr    string
	journal *journal.Bolt
	store   *store.Store
	held    *faulty
	probe   *probe
	reg     *prometheus.Registry
	log     *book

	stop, stopStore func() error // end Run and return what it returned
}

// open starts an ingress with one source of each sort. Changes may replace any option.
func open(tb testing.TB, changes ...func(*Options)) *door {
	tb.Helper()
	d := &door{t: tb, reg: prometheus.NewRegistry(), log: &book{}, probe: &probe{}}
	logger := slog.New(slog.NewJSONHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	d.openJournal(logger)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	d.addr, d.held = ln.Addr().String(), &faulty{Appender: d.journal}
	o := Options{
		Listener: ln, Journal: d.held, Sources: sources(tb, d.probe), Partners: func(id string) bool { return id == "acme" || id == "beta" },
		Logger: logger, Metrics: d.reg, Now: func() time.Time { return at }, ReadTimeout: patience,
	}
	for _, change := range changes {
		change(&o)
	}
	if d.Ingress, err = New(o); err != nil {
		tb.Fatal(err)
	}
	d.server.MaxIdleWorkerDuration = 50 * time.Millisecond // fasthttp's cleaner sleeps that long before it sees that it has been stopped
	d.stop = run(tb, d.Run)
	return d
}

func (d *door) openJournal(logger *slog.Logger) {
	d.t.Helper()
	dir := d.t.TempDir()
	s, err := store.Open(store.Options{Dir: dir, MaxSize: 1 << 30, Logger: logger, Metrics: d.reg})
	if err != nil {
		d.t.Fatal(err)
	}
	d.stopStore = run(d.t, s.Run)
	d.t.Cleanup(func() { d.stopStore(); s.Close() })
	sealer, err := store.OpenSealer(dir)
	if err != nil {
		d.t.Fatal(err)
	}
	d.store = s
	if d.journal, err = journal.NewBolt(journal.Options{Store: s, Sealer: sealer, Logger: logger, Metrics: d.reg}); err != nil {
		d.t.Fatal(err)
	}
}

// run starts a component. It is stopped by what run returns, or at the end of the test.
func run(tb testing.TB, component func(context.Context) error) (stop func() error) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- component(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(2 * patience):
			return errors.New("it does not stop")
		}
	})
	tb.Cleanup(func() { stop() })
	return stop
}

func adapter(tb testing.TB, name string) provider.Adapter {
	tb.Helper()
	a, ok := provider.ByName(name)
	if !ok {
		tb.Fatalf("there is no adapter %s", name)
	}
	return a
}

func ring(tb testing.TB, keys ...string) signing.Keyring {
	tb.Helper()
	r := make(signing.Keyring, 0, len(keys))
	for _, text := range keys {
		k, err := signing.ParseKey(text)
		if err != nil {
			tb.Fatal(err)
		}
		r = append(r, k)
	}
	return r
}

func sources(tb testing.TB, p *probe) []Source {
	tb.Helper()
	sumsub := func(name string, change func(*Source)) Source {
		s := Source{Name: name, Adapter: adapter(tb, "sumsub"), Keys: ring(tb, hmacKey), Partner: "acme", Evidence: kyc.Signed, MaxBody: 1 << 20}
		change(&s)
		return s
	}
	return []Source{
		sumsub("sumsub", func(*Source) {}),
		sumsub("other", func(*Source) {}),
		sumsub("tokened", func(s *Source) { s.Token = ring(tb, token) }),
		sumsub("walled", func(s *Source) { s.Allow = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")} }),
		sumsub("slow", func(s *Source) { s.Rate = 1 }),
		sumsub("small", func(s *Source) { s.MaxBody = 1000 }),
		sumsub("prefixed", func(s *Source) { s.Partner, s.PartnerFrom = "", "subject_prefix" }),
		sumsub("submitted", func(s *Source) { s.Partner, s.PartnerFrom = "", "submission" }),
		sumsub("persona", func(s *Source) { s.Adapter, s.Options = adapter(tb, "persona"), provider.Options{"tolerance": "72h"} }),
		sumsub("rebilly", func(s *Source) { s.Adapter, s.Keys = adapter(tb, "rebilly"), ring(tb, basicKey) }),
		sumsub("trusting", func(s *Source) {
			s.Adapter, s.Keys, s.Evidence = adapter(tb, "rebilly"), ring(tb, basicKey), kyc.Authenticated
		}),
		sumsub("probe", func(s *Source) { s.Adapter = p.adapter() }),
		sumsub("weakly", func(s *Source) {
			s.Adapter = p.adapter()
			s.Adapter.Proves = func(provider.Options) kyc.Authenticity { return kyc.Authenticated }
		}),
		sumsub("published", func(s *Source) { s.Adapter, s.Keys, s.KeysFor = p.adapter(), nil, p.keysFor }),
	}
}

// sample is a callback as the provider would send it.
func sample(tb testing.TB, name, event string, v provider.SampleVars) string {
	tb.Helper()
	if v.Subject == "" {
		v.Subject = "user-1"
	}
	if v.At.IsZero() {
		v.At = happened
	}
	b, err := provider.Sample(name, event, v)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// signed returns the header lines that prove a body to a source of the door.
func signed(tb testing.TB, source, body string) (lines []string) {
	tb.Helper()
	h := http.Header{}
	sign := func(s signing.Scheme, key string, when time.Time) {
		if err := s.Sign(h, signing.Message{Time: when, Body: []byte(body)}, ring(tb, key)); err != nil {
			tb.Fatal(err)
		}
	}
	switch source {
	case "probe", "weakly", "published":
		sign(probeScheme, hmacKey, at)
	case "persona":
		sign(signing.Timestamped{Header: "Persona-Signature"}, hmacKey, at)
	case "rebilly", "trusting":
		sign(signing.Static{Scheme: signing.Basic}, basicKey, at)
	default:
		sign(signing.BodyHMAC{Header: "X-Payload-Digest", Announce: "X-Payload-Digest-Alg", Announced: "HMAC_SHA256_HEX"}, hmacKey, at)
	}
	for name, values := range h {
		lines = append(lines, name+": "+values[0])
	}
	slices.Sort(lines)
	return lines
}

// post is a raw request with a Content-Length.
func post(path, body string, lines ...string) string {
	return request("POST", path, body, append(lines, fmt.Sprintf("Content-Length: %d", len(body)))...)
}

func request(method, path, body string, lines ...string) string {
	return method + " " + path + " HTTP/1.1\r\nHost: gateway\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n" + body
}

// genuine is a signed raw callback for a source.
func genuine(tb testing.TB, source, body string, lines ...string) string {
	tb.Helper()
	return post(pathPrefix+source, body, append(signed(tb, source, body), lines...)...)
}

// approval is a signed raw callback that approves somebody.
func approval(tb testing.TB, source, subject string) string {
	tb.Helper()
	name, event := "sumsub", "approved"
	switch source {
	case "persona":
		name = source
	case "rebilly", "trusting":
		name, event = "rebilly", "request_fulfilled"
	}
	return genuine(tb, source, sample(tb, name, event, provider.SampleVars{Subject: subject}))
}

// answer is one HTTP response.
type answer struct {
	status int
	header http.Header
	body   string
}

func (d *door) dial() net.Conn {
	d.t.Helper()
	c, err := d.redial()
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

func (d *door) redial() (net.Conn, error) {
	c, err := net.Dial("tcp", d.addr)
	if err != nil {
		return nil, err
	}
	d.t.Cleanup(func() { c.Close() })
	return c, c.SetDeadline(time.Now().Add(patience))
}

// try sends one request that may find the door closed.
func (d *door) try(raw string) (status int, err error) {
	c, err := d.redial()
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if _, err := io.WriteString(c, raw); err != nil {
		return 0, err
	}
	a, err := read(bufio.NewReader(c))
	return a.status, err
}

// read returns the next answer on a connection.
func read(r *bufio.Reader) (answer, error) {
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(b)}, err
}

// timedOut reports that we gave up reading; any other error means that the gateway closed the
// connection.
func timedOut(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// send writes raw bytes on a new connection and returns all that comes back, and whether the
// gateway closed. half: we close our side after writing.
func (d *door) send(raw string, half bool) (answers []answer, closed bool) {
	d.t.Helper()
	c := d.dial()
	defer c.Close()
	if !half {
		c.SetDeadline(time.Now().Add(time.Second))
	}
	go func() {
		io.WriteString(c, raw)
		if half {
			c.(*net.TCPConn).CloseWrite()
		}
	}()
	for r := bufio.NewReader(c); ; {
		a, err := read(r)
		if err != nil {
			return answers, !timedOut(err)
		}
		answers = append(answers, a)
	}
}

// ask sends one request and wants one answer.
func (d *door) ask(raw string) answer {
	d.t.Helper()
	answers, closed := d.send(raw, true)
	if len(answers) != 1 || !closed {
		d.t.Fatalf("%d answers (%v), closed %v; want one\n%.300s", len(answers), answers, closed, raw)
	}
	return answers[0]
}

// count is how often a verdict was counted for a source.
func (d *door) count(source string, v verdict) (n float64) {
	d.t.Helper()
	families, err := d.reg.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "ingest_callbacks_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			l := m.GetLabel()
			if l[0].GetValue() == source && l[1].GetValue() == string(v) {
				return m.GetCounter().GetValue()
			}
		}
	}
	d.t.Fatalf("no series for %s, %s", source, v)
	return 0
}

// records returns everything in the journal.
func (d *door) records() (rs []journal.Record) {
	d.t.Helper()
	want := int(d.journal.Backlog())
	if want == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := d.journal.Tail(ctx, journal.Position{}, func(_ context.Context, batch []journal.Record) error {
		if rs = append(rs, batch...); len(rs) >= want {
			cancel()
		}
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return rs
}

// eventually polls until a condition holds.
func eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	deadline, tick := time.After(patience), time.NewTicker(2*time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("%s: not within %v", what, patience)
		}
	}
}
