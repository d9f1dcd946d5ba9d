package control

import (
	"context"
	"crypto/rand"
	"errors"
	stdflag "flag"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay"
	"countersign/relay/dispatch"
	"countersign/relay/format"
	"countersign/relay/registry"
	"countersign/relay/send"
	"countersign/signing"
)

// listPersons is how many people TestLists makes, of five deliveries each.
var listPersons = stdflag.Int("lists", 10_000, "how many people TestLists makes; with more than 100,000 it prints how long each list takes")

const (
	listEndpoints = 50
	listWithin    = 50 * time.Millisecond
)

// crowd is a gateway that owes a lot to many, and delivers nothing: what is asked of it does not
// change meanwhile.
type crowd struct {
	*rig
	persons   int
	endpoints int
	rejects   int // one in so many is rejected
	partners  []registry.Partner
	metrics   prometheus.Registerer
	looked    int
	records   atomic.Int64 // that all transactions have looked at
	random    *mathrand.Rand
}

// person is the i-th of all. Four of five are of the first partner, which has one endpoint, as every
// other has.
func (c *crowd) person(i int) (partner, id string) {
	if i%5 != 4 {
		return "p00", fmt.Sprintf("person-%07d", i)
	}
	return fmt.Sprintf("p%02d", 1+i/5%(c.endpoints-1)), fmt.Sprintf("person-%07d", i)
}

func (c *crowd) lane(i int) (lane, endpoint string) {
	partner, id := c.person(i)
	return c.relay.LaneOf(partner, id, true), partner + "-main"
}

// newCrowd makes it, through the writers that the gateway itself has: the fold, the outbox and its
// hook.
func newCrowd(t *testing.T, persons, endpoints, rejects int, change ...func(*Options)) *crowd {
	t.Helper()
	c := &crowd{rig: &rig{t: t, reg: prometheus.NewRegistry()}, persons: persons, endpoints: endpoints, rejects: rejects, random: mathrand.New(mathrand.NewPCG(1, 2))}
	c.metrics = prometheus.WrapRegistererWithPrefix("countersign_", c.reg)
	log := slog.New(slog.NewJSONHandler(&c.log, &slog.HandlerOptions{Level: slog.LevelError}))
	dir, err := os.MkdirTemp("", "countersign-lists")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if c.store, err = store.Open(store.Options{Dir: dir, Logger: log, Metrics: c.metrics, Looked: func(n int) { c.records.Add(int64(n)) }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.store.Close() })
	background(t, c.store.Run)
	sealer, err := store.OpenSealer(dir)
	if err == nil {
		c.journal, err = journal.NewBolt(journal.Options{Store: c.store, Sealer: sealer, Logger: log, Metrics: c.metrics})
	}
	if err == nil {
		c.registry, err = registry.New(registry.Options{Store: c.store, Sealer: sealer, Random: rand.Reader})
	}
	if err != nil {
		t.Fatal(err)
	}
	c.configure(log)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.url = "http://" + l.Addr().String()
	o := Options{
		Listener: l, Relay: c.relay, Dispatcher: c.dispatcher, Outbox: c.outbox, Store: c.store, Registry: c.registry, Quarantine: c.journal, Questions: c.journal, Tokens: tokens(),
		Livemode: true, Logger: log, Gatherer: c.reg, Metrics: c.metrics,
	}
	for _, fn := range change {
		fn(&o)
	}
	c.server = New(o)
	c.server.looked = func(n int) { c.looked = n }
	background(t, c.server.Run)
	c.tellAll()
	c.settleSome()
	c.endMany()
	return c
}

func (c *crowd) configure(log *slog.Logger) {
	c.t.Helper()
	key, err := signing.StandardKey("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	if err != nil {
		c.t.Fatal(err)
	}
	standard, _ := format.ByName("standard")
	var owed []outbox.Endpoint
	for i := range c.endpoints {
		id := fmt.Sprintf("p%02d", i)
		c.partners = append(c.partners, registry.Partner{ID: id, Endpoints: []registry.Endpoint{{
			ID: id + "-main", URL: "http://127.0.0.1:1", Format: standard, Keys: []registry.Key{{Key: key}}, Events: []string{"kyc.status.*"}, Concurrency: 4, Timeout: time.Second,
			Retry: registry.Retry{First: time.Hour, Factor: 1, Max: time.Hour, Attempts: 9},
		}}})
		owed = append(owed, outbox.Endpoint{ID: id + "-main"})
	}
	var plan registry.Plan
	err = c.store.View(func(tx *store.Tx) (err error) {
		plan, err = registry.PlanOf(tx, c.partners, nil)
		return err
	})
	if err = errors.Join(err, c.registry.Own(c.t.Context(), plan), c.registry.Configure(c.partners)); err != nil { // as a start does
		c.t.Fatal(err)
	}
	if c.outbox, err = outbox.New(outbox.Options{Store: c.store, Logger: log, Metrics: c.metrics, Settled: relay.Settled, Decides: relay.Decides}, owed); err != nil {
		c.t.Fatal(err)
	}
	c.relay, err = relay.New(relay.Options{Store: c.store, Log: c.journal, Journal: c.journal, Outbox: c.outbox, Registry: c.registry, Logger: log, Metrics: c.metrics, PersonRefs: map[string][]relay.RefKind{"sumsub": {relay.SubjectRef}}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.dispatcher = dispatch.New(dispatch.Options{Registry: c.registry, Outbox: c.outbox, Client: send.New(send.Options{}), After: c.relay.Begun(), Logger: log, Metrics: c.metrics})
	background(c.t, c.relay.Run)
}

var toldAt = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// saying is what sumsub says about the i-th person: of some that they are rejected.
func (c *crowd) saying(i int) kyc.Update {
	partner, id := c.person(i)
	u := kyc.Update{
		SchemaVersion: 1, Kind: kyc.Observation, Source: "sumsub-eu", Provider: "sumsub", Partner: partner, Livemode: true, Subject: kyc.Subject{ID: id, ProviderRef: fmt.Sprint("applicant-", i)},
		Scope: kyc.Overall, Check: kyc.IdentityVerification, Status: kyc.Approved, Authenticity: kyc.Signed, OccurredAt: toldAt, OccurredAtOrigin: kyc.OriginProvider, ReceivedAt: toldAt,
	}
	if i%c.rejects == 0 {
		u.Status = kyc.Rejected
	}
	u.ID = kyc.UpdateID(u.Source, []string{id}, u.Kind, u.Check, u.Scope, "", 0, toldAt)
	return u
}

// tellAll has everybody told about once: a record, a change and a delivery that is owed.
func (c *crowd) tellAll() {
	c.t.Helper()
	for from := 0; from < c.persons; from += 1000 {
		var rs []journal.Record
		for i := from; i < min(from+1000, c.persons); i++ {
			u := c.saying(i)
			rs = append(rs, journal.Record{Kind: u.Kind, Appended: toldAt.Add(time.Duration(i) * time.Millisecond / 4), Body: u.AppendJSON(nil)})
		}
		for {
			err := c.journal.Append(c.t.Context(), rs...)
			if err == nil {
				break
			}
			if c.t.Context().Err() != nil {
				c.t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond) // the backlog is full
		}
	}
	deadline := time.Now().Add(20*time.Second + time.Duration(c.persons)*5*time.Millisecond)
	for c.relay.Position().Offset < int64(c.persons) {
		if time.Now().After(deadline) {
			c.t.Fatalf("%d of %d are folded", c.relay.Position().Offset, c.persons)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// settleSome has a tenth of what is owed fail, a fifth die, and a fiftieth arrive.
func (c *crowd) settleSome() {
	c.t.Helper()
	for i := range c.endpoints {
		id := fmt.Sprintf("p%02d-main", i)
		owed := c.outbox.Owed(id)
		left := owed * 32 / 100
		for n := int64(0); n < left; {
			ds, _, err := c.outbox.Claim(id, outbox.Turn{Max: int(min(2000, left-n))})
			if err != nil || len(ds) == 0 {
				c.t.Fatalf("claimed %d: %v", len(ds), err)
			}
			var as []outbox.Attempt
			for _, d := range ds {
				a := outbox.Attempt{Delivery: d, Outcome: outbox.Retry, Reason: "http_5xx", Code: 503, Detail: "the endpoint answered 503", At: time.Now(), Took: 20 * time.Millisecond, Retry: time.Now().Add(time.Hour + time.Duration(n)*time.Millisecond)}
				switch {
				case n%32 >= 30:
					a.Outcome, a.Reason, a.Code = outbox.Done, "http_2xx", 200
				case n%32 >= 10:
					a.Outcome, a.Reason = outbox.Died, "exhausted"
				}
				as = append(as, a)
				n++
			}
			c.outbox.Settle(as...)
			if err := c.outbox.Flush(c.t.Context()); err != nil {
				c.t.Fatal(err)
			}
		}
	}
}

// endMany has everybody's four deliveries before that arrived, as the hook of the outbox keeps it.
func (c *crowd) endMany() {
	c.t.Helper()
	const chunk = 2000
	for from := 0; from < c.persons; from += chunk {
		err := c.store.Update(c.t.Context(), func(tx *store.Tx) error {
			for i := from; i < min(from+chunk, c.persons); i++ {
				lane, endpoint := c.lane(i)
				for n := range 4 {
					at := toldAt.Add(-time.Duration(n+1)*24*time.Hour + time.Duration(i)*50*time.Millisecond)
					kind := "kyc.status.in_review"
					if i%50_000 == n {
						kind = "kyc.status.suspended" // hardly any
					}
					d := outbox.Delivery{Endpoint: endpoint, Lane: lane, Sequence: uint64(100 + n), WebhookID: fmt.Sprintf("evt_%d_%d", i, n), Type: kind, Format: "standard", Owed: at, Received: at}
					if err := relay.Settled(tx, outbox.Attempt{Delivery: d, Outcome: outbox.Done, Reason: "http_2xx", Code: 200, At: at, Took: 20 * time.Millisecond}); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

// TestLists (I9): whatever is kept, a list, one delivery and a search look at a bounded part of it.
func TestLists(t *testing.T) {
	c := newCrowd(t, *listPersons, listEndpoints, 100)
	big := c.persons > 100_000
	if big {
		c.awaitFinder()
		fmt.Fprintf(os.Stdout, "%-46s %8s %8s %8s %7s\n", "what is asked", "p50", "p99", "looks", "entries")
	}
	const page, scan = 100 * 8, relay.ListLook * 6
	f := func(what string, most int, path func(i int) string, want func(a answer) bool) {
		t.Helper()
		times, looks, entries := []time.Duration{}, 0, 0
		rounds := 3
		if big {
			rounds = 200
		}
		for range rounds {
			p := path(c.random.IntN(c.persons))
			c.looked = 0
			begun := time.Now()
			a := c.call("otto", "GET", p, "")
			times = append(times, time.Since(begun))
			looks = max(looks, c.looked)
			list, _ := a.json["data"].([]any)
			entries = max(entries, len(list))
			if a.code != http.StatusOK || !want(a) {
				t.Errorf("%s: %s: %d %.600s", what, p, a.code, a.body)
				return
			}
		}
		if looks > most {
			t.Errorf("%s looks at %d records, want %d at most", what, looks, most)
		}
		if big {
			slices.Sort(times)
			fmt.Fprintf(os.Stdout, "%-46s %8s %8s %8d %7d\n", what, times[len(times)/2].Round(10*time.Microsecond), times[len(times)*99/100].Round(10*time.Microsecond), looks, entries)
			if times[len(times)/2] > listWithin {
				t.Errorf("%s takes %s, want %s", what, times[len(times)/2], listWithin)
			}
		}
	}
	always := func(path string) func(int) string { return func(int) string { return "/v1/deliveries?" + path } }
	entries := func(n int) func(answer) bool {
		return func(a answer) bool { return len(a.data(t)) == n }
	}
	some := func(a answer) bool { return len(a.data(t)) > 0 }
	whatever := func(answer) bool { return true }
	for _, status := range []string{"retrying", "pending", "dead_lettered", "delivered", ""} {
		name := status
		if name == "" {
			name = "all"
		}
		page := page
		if status == "delivered" { // what died stands among it
			page = scan
		}
		f(name, page, always("status="+status), entries(100))
		f(name+" of the large endpoint", page, always("endpoint=p00-main&status="+status), entries(100))
		f(name+" of a small endpoint", page, always("limit=10&endpoint=p07-main&status="+status), some)
		f(name+", the second page", page, func(int) string {
			a := c.call("otto", "GET", "/v1/deliveries?status="+status, "")
			return "/v1/deliveries?status=" + status + "&cursor=" + a.json["next"].(string)
		}, entries(100))
		f(name+" since and until", scan, always("since=2026-02-25&until=2026-02-27T02:00:00Z&status="+status), whatever)
		f(name+" of a type that nothing has", scan, always("type=kyc.check.failed&status="+status), func(a answer) bool { return len(a.data(t)) == 0 && (a.json["has_more"] == true || c.persons < 50_000) })
		f(name+" of a person", 400, func(i int) string {
			partner, id := c.person(i)
			return "/v1/deliveries?livemode=true&partner=" + partner + "&subject=" + id + "&status=" + status
		}, whatever)
	}
	f("retrying of a rare type", scan, always("type=kyc.status.rejected&status=retrying"), some)
	f("delivered of a rare type", scan, always("type=kyc.status.suspended&status=delivered"), whatever)
	f("persons", page, func(int) string { return "/v1/subjects?livemode=true" }, entries(100))
	f("persons of a status that few have", page, func(int) string { return "/v1/subjects?livemode=true&partner=p00&status=suspended" }, whatever)
	f("persons by the beginning of an id", page, func(i int) string {
		partner, id := c.person(i)
		return "/v1/subjects?livemode=true&partner=" + partner + "&begins=" + id
	}, some)
	finds := func(kind string) func(answer) bool {
		return func(a answer) bool {
			list, _ := a.json["data"].([]any)
			for _, v := range list {
				if v.(map[string]any)["kind"] == kind {
					return a.json["complete"] == true
				}
			}
			return false
		}
	}
	look := func(word func(i int) string) func(int) string {
		return func(i int) string { return "/v1/search?q=" + url.QueryEscape(word(i)) }
	}
	const tail = 3 * 8192 // that no segment has, and those of the other person's changes
	f("search of a webhook-id", tail, look(c.webhookID), finds("change"))
	f("search of a delivery", tail, look(func(i int) string {
		_, endpoint := c.lane(i)
		return c.webhookID(i) + "@" + endpoint
	}), finds("delivery"))
	f("search of a record", tail, look(func(i int) string { return c.saying(i).ID }), finds("record"))
	f("search of a provider's ref", 400, look(func(i int) string { return fmt.Sprint("applicant-", i) }), finds("ref"))
	f("search of a subject", 400, look(func(i int) string {
		_, id := c.person(i)
		return id
	}), finds("subject"))
	f("search of nothing that is there", tail, look(func(i int) string { return "evt_" + c.saying(i).ID }), func(a answer) bool { return a.code == 200 })
	f("one delivery", tail, func(i int) string {
		_, endpoint := c.lane(i)
		return "/v1/deliveries/" + c.webhookID(i) + "@" + endpoint
	}, func(a answer) bool { return a.json["body"] != "" && a.json["body"] != nil })
}

// webhookID is the id of the change that the i-th person was told about.
func (c *crowd) webhookID(i int) string {
	u := c.saying(i)
	return kyc.ChangeID(u.ID, "kyc.status."+string(u.Status), u.Subject.ID)
}

// awaitFinder waits until what finds ids has come to the end.
func (c *crowd) awaitFinder() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		if a := c.call("otto", "GET", "/v1/search?q=evt_00000000000000000000000000", ""); a.json["complete"] == true {
			time.Sleep(time.Second)
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	c.t.Fatal("ids cannot be found")
}
