package notice

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/format"
	"countersign/relay/registry"
	"countersign/signing"
)

// rig is a notifier on a real file, whose clock a test moves. Nothing is sent: what is owed is
// looked at by claiming it.
type rig struct {
	t        *testing.T
	now      time.Time
	store    *store.Store
	registry *registry.Registry
	outbox   *outbox.Outbox
	notifier *Notifier
	sequence uint64
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func endpoint(id string, events ...string) registry.Endpoint {
	f, _ := format.ByName(Format)
	return registry.Endpoint{ID: id, Format: f, Events: events}
}

func newRig(t *testing.T, set ...func([]registry.Partner)) *rig {
	t.Helper()
	g := &rig{t: t, now: start}
	log := slog.New(slog.DiscardHandler)
	var err error
	if g.store, err = store.Open(store.Options{Dir: t.TempDir(), Logger: log, Metrics: prometheus.NewRegistry(), Linger: 200 * time.Microsecond}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.store.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := g.store.Close(); err != nil {
			t.Error(err)
		}
	})
	other := endpoint("acme-blendfi", "endpoint.*")
	other.Format, _ = format.ByName("blendfi")
	ps := []registry.Partner{
		{ID: "acme", Endpoints: []registry.Endpoint{endpoint("acme-main", "kyc.status.*", "endpoint.*"), endpoint("acme-ops", "endpoint.*", "delivery.*", "key.*"), other}},
		{ID: "beta", Endpoints: []registry.Endpoint{endpoint("beta-ops", "endpoint.*", "delivery.*", "key.*")}},
		{ID: registry.Operator, Endpoints: []registry.Endpoint{endpoint("ops", "*")}},
	}
	for _, fn := range set {
		fn(ps)
	}
	if g.registry, err = registry.New(registry.Options{Store: g.store, Partners: ps}); err != nil {
		t.Fatal(err)
	}
	plan, err := g.plan(ps)
	if err == nil {
		err = g.registry.Own(t.Context(), plan)
	}
	if err == nil {
		err = g.registry.Configure(ps)
	}
	if err != nil {
		t.Fatal(err)
	}
	g.restart()
	return g
}

func (g *rig) plan(ps []registry.Partner) (p registry.Plan, err error) {
	err = g.store.View(func(tx *store.Tx) error {
		p, err = registry.PlanOf(tx, ps, map[string]string{})
		return err
	})
	return p, err
}

// restart has a new notifier and a new outbox read the file.
func (g *rig) restart() {
	g.t.Helper()
	now := func() time.Time { return g.now }
	var err error
	g.notifier, err = New(Options{Store: g.store, Outbox: func() *outbox.Outbox { return g.outbox }, Registry: g.registry, Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Now: now})
	if err != nil {
		g.t.Fatal(err)
	}
	var all []outbox.Endpoint
	for _, p := range g.registry.Read().Receivers() {
		for i := range p.Endpoints {
			all = append(all, outbox.Endpoint{ID: p.Endpoints[i].ID})
		}
	}
	g.outbox, err = outbox.New(outbox.Options{Store: g.store, Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Now: now, Settled: g.notifier.Settled}, all)
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *rig) look() {
	g.t.Helper()
	if err := g.notifier.look(g.t.Context()); err != nil {
		g.t.Fatal(err)
	}
}

// settle owes a delivery about somebody to acme-main, and has it end.
func (g *rig) settle(outcome outbox.Outcome, reason string, restrictive bool) string {
	g.t.Helper()
	g.sequence++
	d := outbox.Delivery{
		Endpoint: "acme-main", Lane: "acme/ann", Sequence: g.sequence, WebhookID: "evt_" + string('a'+rune(g.sequence)), Type: "kyc.status.rejected",
		Format: Format, Restrictive: restrictive, Owed: g.now, Received: g.now, Body: []byte("{}"),
	}
	err := g.store.Update(g.t.Context(), func(tx *store.Tx) error { return g.outbox.Put(tx, d) })
	if err != nil {
		g.t.Fatal(err)
	}
	claimed := g.claim("acme-main")
	if len(claimed) != 1 {
		g.t.Fatalf("%d claimed", len(claimed))
	}
	g.outbox.Settle(outbox.Attempt{Delivery: claimed[0], Outcome: outcome, Reason: reason, At: g.now})
	if err := g.outbox.Flush(g.t.Context()); err != nil {
		g.t.Fatal(err)
	}
	return d.ID()
}

func (g *rig) claim(endpoint string) []outbox.Delivery {
	g.t.Helper()
	ds, _, err := g.outbox.Claim(endpoint, outbox.Turn{Max: 100, Failed: 100})
	if err != nil {
		g.t.Fatal(err)
	}
	return ds
}

// told takes what an endpoint is owed, as if it had accepted it: types, and the data of the last.
func (g *rig) told(endpoint string) (types []string, data map[string]any) {
	g.t.Helper()
	for {
		ds := g.claim(endpoint)
		if len(ds) == 0 {
			return types, data
		}
		for _, d := range ds {
			var b struct {
				Type, Timestamp string
				Data            map[string]any
			}
			if err := json.Unmarshal(d.Body, &b); err != nil || b.Type != d.Type || b.Data["id"] != d.WebhookID || d.Format != Format {
				g.t.Errorf("%+v: %v", b, err)
			}
			types, data = append(types, b.Type), b.Data
			g.outbox.Settle(outbox.Attempt{Delivery: d, Outcome: outbox.Done, At: g.now})
		}
		if err := g.outbox.Flush(g.t.Context()); err != nil {
			g.t.Fatal(err)
		}
	}
}

func (g *rig) want(endpoint string, want ...string) map[string]any {
	g.t.Helper()
	types, data := g.told(endpoint)
	if !slices.Equal(types, want) {
		g.t.Errorf("%s was told %q, want %q", endpoint, types, want)
	}
	return data
}

func (g *rig) nothing(endpoints ...string) {
	g.t.Helper()
	for _, e := range endpoints {
		g.want(e)
	}
}

// TestDisabledAndRecovered: the operator and the partner's other endpoint are told once that an
// endpoint is disabled, over a restart too, and that it accepts again once it does; nobody else is
// told.
func TestDisabledAndRecovered(t *testing.T) {
	g := newRig(t)
	g.look()
	g.nothing("ops", "acme-ops")
	wrote := make(chan error, 1)
	g.registry.Disable("acme-main", "the partner answered 410 Gone", func(err error) { wrote <- err })
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	g.look()
	g.restart() // what has been told is not told again
	g.look()
	data := g.want("ops", EndpointDisabled)
	if data["partner"] != "acme" || data["endpoint"] != "acme-main" || data["reason"] != "the partner answered 410 Gone" {
		t.Errorf("%v", data)
	}
	g.want("acme-ops", EndpointDisabled)
	g.nothing("acme-main", "acme-blendfi", "beta-ops")

	if err := g.registry.Enable(t.Context(), "acme-main"); err != nil {
		t.Fatal(err)
	}
	g.look()
	g.nothing("ops", "acme-ops") // it has accepted nothing yet
	g.restart()
	g.settle(outbox.Done, "", false)
	g.look()
	g.look()
	g.want("ops", EndpointRecovered)
	g.want("acme-ops", EndpointRecovered)
	g.nothing("acme-main", "acme-blendfi", "beta-ops")
	g.settle(outbox.Done, "", false)
	g.look()
	g.nothing("ops", "acme-ops")
}

// TestExhausted: deliveries that die are told of in the same file that keeps them as dead, of each
// endpoint once a minute at most, and none is missing from the counts.
func TestExhausted(t *testing.T) {
	g := newRig(t)
	first := g.settle(outbox.Died, "exhausted", true)
	g.restart() // before anybody was told
	g.look()
	data := g.want("ops", DeliveryExhausted)
	if data["count"] != 1.0 || data["rejections"] != 1.0 || data["endpoint"] != "acme-main" || data["deliveries"].([]any)[0] != first {
		t.Errorf("%v", data)
	}
	g.want("acme-ops", DeliveryExhausted)
	for range 15 {
		g.settle(outbox.Died, "refused", false)
		g.look()
	}
	g.nothing("ops", "acme-ops", "beta-ops") // within the minute
	g.now = g.now.Add(exhaustRest)
	g.look()
	data = g.want("ops", DeliveryExhausted)
	if data["count"] != 15.0 || data["rejections"] != 0.0 || len(data["deliveries"].([]any)) != named || data["reasons"].(map[string]any)["refused"] != 15.0 {
		t.Errorf("%v", data)
	}
	g.settle(outbox.Done, "", false)
	g.look()
	g.want("ops", EndpointRecovered)
	g.want("acme-ops", DeliveryExhausted, EndpointRecovered)

	// A notice that dies is no news, or there would be one about each.
	g.settle(outbox.Died, "exhausted", false)
	g.now = g.now.Add(exhaustRest)
	g.look()
	for _, d := range g.claim("ops") {
		g.outbox.Settle(outbox.Attempt{Delivery: d, Outcome: outbox.Died, Reason: "exhausted", At: g.now})
	}
	if err := g.outbox.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.now = g.now.Add(exhaustRest)
	g.look()
	g.nothing("ops")
}

// TestKeyExpiring: a key that ends is told of once a week before, once a day before, and never
// after.
func TestKeyExpiring(t *testing.T) {
	key, err := signing.StandardKey("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	if err != nil {
		t.Fatal(err)
	}
	until := start.AddDate(0, 0, 10)
	g := newRig(t, func(ps []registry.Partner) {
		ps[0].Endpoints[0].Keys = []registry.Key{{Key: key}, {Key: key, Until: until}}
		ps[0].Endpoints[0].Events = append(ps[0].Endpoints[0].Events, "key.*")
	})
	told := 0
	for g.now.Before(until.AddDate(0, 0, 2)) {
		g.look()
		types, data := g.told("ops")
		for _, kind := range types {
			told++
			if left := until.Sub(g.now); kind != KeyExpiring || left <= 0 || left > keySoon || told == 2 && left > keyAtOnce || data["expires_at"] != until.Format(time.RFC3339) {
				t.Errorf("%s told %s before the end: %v", kind, left, data)
			}
		}
		g.now = g.now.Add(6 * time.Hour)
		if told == 1 {
			g.restart()
		}
	}
	if told != 2 {
		t.Errorf("told %d times, want 2", told)
	}
	g.want("acme-main", KeyExpiring, KeyExpiring) // it has to fetch the new one
	g.nothing("beta-ops")
}

// TestSaysNothingOfAnybody: no subject, URL or key stands in a notice.
func TestSaysNothingOfAnybody(t *testing.T) {
	g := newRig(t)
	g.settle(outbox.Died, "exhausted", true)
	g.look()
	for _, d := range g.claim("ops") {
		if strings.Contains(string(d.Body), "ann") || strings.Contains(string(d.Body), "http") || !IsNotice(d.Lane) {
			t.Errorf("%s in lane %s", d.Body, d.Lane)
		}
	}
}

// TestTypes: what the config knows is what is told, and a partner's * asks for none of it.
func TestTypes(t *testing.T) {
	if all := []string{EndpointDisabled, EndpointRecovered, DeliveryExhausted, KeyExpiring}; !slices.Equal(all, Types) {
		t.Errorf("%q, and the registry has %q", all, Types)
	}
	for _, kind := range Types {
		e := endpoint("e", "*", "kyc.*")
		if wants(&e, kind, false) || !wants(&e, kind, true) || registry.CheckEvent(kind) != nil {
			t.Errorf("%s: of a partner %v, of the operator %v, %v", kind, wants(&e, kind, false), wants(&e, kind, true), registry.CheckEvent(kind))
		}
	}
}
