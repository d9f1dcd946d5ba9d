package registry

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"countersign/outbox/store"
)

// TestStoredRefused: what may not be is refused, and leaves nothing behind.
func TestStoredRefused(t *testing.T) {
	g := newRig(t, acme())
	g.run()
	ctx := t.Context()
	if _, err := g.CreatePartner(ctx, keptPartner("beta"), by("otto")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := g.CreateEndpoint(ctx, keptEndpoint("b-main", "beta"), by("otto")); err != nil {
		t.Fatal(err)
	}
	g.own(t, acme(), "gone", "acme")
	last := g.Read().stored.Last
	is := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	create := func(id, partner string) error {
		_, _, err := g.CreateEndpoint(ctx, keptEndpoint(id, partner), by("otto"))
		return err
	}
	_, err := g.CreatePartner(ctx, keptPartner("acme"), by("otto"))
	is("a partner of the config", err, ErrDeclared)
	_, err = g.CreatePartner(ctx, keptPartner("beta"), by("otto"))
	is("twice", err, ErrTaken)
	is("an endpoint of the config", create("a", "acme"), ErrTaken)
	is("twice", create("b-main", "beta"), ErrTaken)
	is("another's", create("gone", "beta"), ErrTaken)
	is("of nobody", create("new", "nobody"), ErrUnknown)
	_, err = g.UpdateEndpoint(ctx, "a", by("otto"), func(*EndpointDraft) error { return nil })
	is("declared", err, ErrDeclared)
	is("declared", g.RemoveEndpoint(ctx, "a", by("otto")), ErrDeclared)
	is("declared", g.RemovePartner(ctx, "acme", by("otto")), ErrDeclared)
	is("unknown", g.RemoveEndpoint(ctx, "nobody", by("otto")), ErrUnknown)
	c := by("otto")
	v, _ := g.Read().StoredEndpoint("b-main")
	c.Expect = func(is Version) bool { return is.Number != v.Number }
	is("changed meanwhile", g.RemoveEndpoint(ctx, "b-main", c), ErrChanged)
	wrong := func(field string, change func(*EndpointDraft)) {
		t.Helper()
		_, err := g.UpdateEndpoint(ctx, "b-main", by("otto"), func(d *EndpointDraft) error { change(d); return nil })
		var m *ValueError
		if !errors.As(err, &m) || m.Field != field || m.What == "" || m.Remedy == "" || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, url := range []string{"http://169.254.169.254/", "https://10.0.0.1/x", "https://[fd00::1]/", "https://168.63.129.16/", "https://2130706433/", "https://user:canary@example.com/", "ftp://example.com/", "https:///x"} {
		wrong("url", func(d *EndpointDraft) { d.URL = url })
	}
	wrong("format", func(d *EndpointDraft) { d.Format = "canary" })
	wrong("events", func(d *EndpointDraft) { d.Events = nil })
	wrong("events[1]", func(d *EndpointDraft) { d.Events = []string{"*", "kyc.canary"} })
	wrong("filter", func(d *EndpointDraft) { d.Filter = "change.nosuch" })
	wrong("concurrency", func(d *EndpointDraft) { d.Concurrency = 1001 })
	wrong("rate", func(d *EndpointDraft) { d.Rate = -1 })
	wrong("timeout", func(d *EndpointDraft) { d.Timeout = time.Hour })
	wrong("max_owed", func(d *EndpointDraft) { d.MaxOwed = 0 })
	wrong("disable_after", func(d *EndpointDraft) { d.DisableAfter = time.Hour - 1 })
	wrong("disable_after", func(d *EndpointDraft) { d.DisableAfter = 366 * day })
	wrong("disable_after", func(d *EndpointDraft) { d.DisableAfter = -2 })
	wrong("retry.max", func(d *EndpointDraft) { d.Retry.Max = time.Millisecond })
	wrong("retry.max", func(d *EndpointDraft) { d.Retry.Max = 500 * time.Millisecond }) // shorter than first
	wrong("retry.jitter", func(d *EndpointDraft) { d.Retry.Jitter = 1 })
	wrong("headers", func(d *EndpointDraft) { d.Clear = map[string]string{"Host": "canary"} })
	wrong("headers", func(d *EndpointDraft) { d.Clear = map[string]string{"X-A": "canary\r\nX-B: c"} })
	if _, _, err := g.CreateEndpoint(ctx, EndpointDraft{}, by("otto")); err == nil {
		t.Error("an endpoint of no values")
	}
	if g.Read().stored.Last != last {
		t.Errorf("%d versions, want %d: what was refused has left something", g.Read().stored.Last, last)
	}
}

// own records an endpoint as a partner's that is not served.
func (g *rig) own(t *testing.T, declared Partner, endpoint, partner string) {
	t.Helper()
	if err := g.Own(t.Context(), Plan{fresh: []Move{{Partner: partner, To: endpoint}}}); err != nil {
		t.Fatal(err)
	}
	if err := g.Configure([]Partner{declared}); err != nil {
		t.Fatal(err)
	}
}

// TestLiveAddresses: in live mode an endpoint has https only, and what egress allows may be
// private.
func TestLiveAddresses(t *testing.T) {
	g := newRig(t, acme())
	g.run()
	g.o.Live, g.o.Allow = true, []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	f := func(url string, ok bool) {
		t.Helper()
		d := keptEndpoint(fmt.Sprintf("e%d", g.Read().stored.Last), "acme")
		d.URL = url
		if _, _, err := g.CreateEndpoint(t.Context(), d, by("otto")); (err == nil) != ok {
			t.Errorf("%s: %v", url, err)
		}
	}
	f("http://hooks.example.com/", false)
	f("https://127.0.0.1/", false)
	f("https://localhost/", false)
	f("https://10.2.0.1/", false)
	f("https://10.1.0.1/", true)
	f("https://hooks.example.com/", true)
}

// TestStoredAgainstConfig: a config that names what is kept is refused with the remedy, what is
// kept is no orphan, and what was removed may be declared.
func TestStoredAgainstConfig(t *testing.T) {
	g := newRig(t, acme())
	g.run()
	ctx := t.Context()
	if _, err := g.CreatePartner(ctx, keptPartner("beta"), by("otto")); err != nil {
		t.Fatal(err)
	}
	for id, partner := range map[string]string{"b-main": "beta", "a-more": "acme", "a-old": "acme"} {
		if _, _, err := g.CreateEndpoint(ctx, keptEndpoint(id, partner), by("otto")); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.RemoveEndpoint(ctx, "a-old", by("otto")); err != nil {
		t.Fatal(err)
	}
	plan := func(ps ...Partner) (p Plan) {
		t.Helper()
		err := g.store.View(func(tx *store.Tx) (err error) {
			p, err = PlanOf(tx, ps, nil)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := plan(acme()); len(p.Refused) != 0 || len(p.Gone) != 0 || len(p.Orphans) != 1 || p.Orphans[0].Endpoint != "a-old" {
		t.Errorf("%+v", p)
	}
	with := acme()
	with.Endpoints = append(with.Endpoints, Endpoint{ID: "a-more"})
	if p := plan(with, Partner{ID: "beta"}); len(p.Refused) != 2 || p.Refused[0].Partner != "beta" || p.Refused[0].Endpoint != "" || p.Refused[1].Endpoint != "a-more" {
		t.Errorf("%+v", p.Refused)
	}
	with = acme()
	with.Endpoints = append(with.Endpoints, Endpoint{ID: "a-new", RenamedFrom: "a-more"})
	if p := plan(with); len(p.Refused) != 1 || p.Refused[0].Key != "renamed_from" {
		t.Errorf("%+v", p.Refused)
	}
	with = acme()
	with.Endpoints = append(with.Endpoints, Endpoint{ID: "a-new", RenamedFrom: "a-old"})
	if p := plan(with); len(p.Refused) != 0 || len(p.Moves) != 1 {
		t.Errorf("%+v", p)
	}
	with = acme()
	with.Endpoints = append(with.Endpoints, Endpoint{ID: "a-old"})
	if p := plan(with); len(p.Refused) != 0 || len(p.Orphans) != 0 {
		t.Errorf("%+v", p)
	}
	if p := plan(); len(p.Gone) != 1 || p.Gone[0] != "acme" || len(p.Orphans) != 2 { // a-more is of a partner that is not there: nobody serves it
		t.Errorf("%+v", p)
	}
	if err := g.Configure(nil); err != nil || g.Read().Endpoint("a-more") != nil || g.Read().Endpoint("b-main") == nil {
		t.Errorf("Configure: %v", err)
	}
}
