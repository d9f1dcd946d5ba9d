package main

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

// TestConsoleEndpoints: an operator sees how an endpoint does, pauses it, resumes it, pings it, has
// what failed tried again, and gives up what is pending, each after a page that says so.
func TestConsoleEndpoints(t *testing.T) {
	b := newBrowsing(t)
	far := newFarSide(t, 503, hostileAnswer)
	key := b.endpoint("strict", api.Fields{"url": far.url + "kyc?token=in-the-url"})
	b.say("ann", "approved", time.Now())
	d := b.waits("retrying", "strict")
	s := b.signedIn("operator")
	s.get("/console/endpoints").has(t, "the list", "acme-main", "strict", "token=in-the-url", ">failing<")
	b.signedIn("viewer").get("/console/endpoints").has(t, "a viewer's list", "strict", "!token=in-the-url")
	const at = "/console/endpoint?id=strict"
	step := func(name string) string { return "/console/endpoint/" + name + "?id=strict" }
	s.get(at).has(t, "the endpoint", ">failing<", "Breaker", "Signing keys", "Config", "kyc.status.*", "30 attempts", html.EscapeString(d.ID), ">Pause<", ">Ping<", ">Retry failed now<", "!Give up", "made ")
	s.confirmed(step("pause"), []string{"Nothing more is sent to the endpoint until somebody resumes it."}).has(t, "paused", "The endpoint strict is paused.", ">paused<", "by a-operator", ">Resume<", "!>Pause<")
	if e, err := b.admin.Endpoint(t.Context(), "strict"); err != nil || e.Paused == nil {
		t.Errorf("it is not paused: %+v, %v", e, err)
	}
	s.get(deliveryPath("", &d)).has(t, "a delivery of it", "Its endpoint is paused")
	s.confirmed(step("resume"), []string{"1 are pending now"}).has(t, "resumed", "is enabled", ">Pause<")
	s.step(step("ping"), []string{"tells of no person"}).has(t, "a ping", "HTTP 503", ">failed<", "Ping again", "!alert(")
	s.confirmed(step("retry"), []string{"Attempts so far still count."}).has(t, "retried", "deliveries are due now.")
	far.turn(410) // gone: the endpoint is disabled
	eventually(t, "it is disabled", func() bool {
		_, _ = b.admin.RetryNow(t.Context(), d.ID) // refused once it is dead
		e, err := b.admin.Endpoint(t.Context(), "strict")
		return err == nil && e.Disabled != "" && e.Owed == 0
	})
	b.say("ben", "approved", time.Now())
	eventually(t, "one is pending", func() bool {
		e, err := b.admin.Endpoint(t.Context(), "strict")
		return err == nil && e.Owed == 1
	})
	s.get(at).has(t, "disabled", ">disabled<", ">Re-enable<", ">Give up what is pending<")
	says := []string{"1 pending deliveries are dead-lettered"}
	if a := s.get(step("give-up")).has(t, "before it", says...); a.code != 200 {
		t.Errorf("%d", a.code)
	}
	if e, err := b.admin.Endpoint(t.Context(), "strict"); err != nil || e.Owed != 1 {
		t.Errorf("the page that says what it does has done it: %+v, %v", e, err)
	}
	s.confirmed(step("give-up"), says).has(t, "given up", "1 deliveries are dead-lettered.")
	s.get("/console/endpoint/give-up?id=acme-main").has(t, "of one that is enabled", "This cannot be done", "in the config and enabled", `!action="/console/endpoint/give-up"`)
	s.confirmed(step("resume"), nil).has(t, "re-enabled", "is enabled")
	if a := s.get("/console/endpoint?id=none"); a.code != 404 {
		t.Errorf("none: %d", a.code)
	}
	s.noSecret(key)
}

// TestConsoleKeys: a key is rotated, with the overlap as dates; its secret is on one page, and
// nowhere else.
func TestConsoleKeys(t *testing.T) {
	b := newBrowsing(t)
	far := newFarSide(t, 200, "")
	old := b.endpoint("strict", api.Fields{"url": far.url})
	const rotate = "/console/endpoint/rotate?id=strict"
	f := func(scope string) {
		t.Helper()
		s := b.signedIn(scope)
		page := s.get(rotate).has(t, "before it", "Its secret is shown once", "signs on until the overlap ends")
		form := page.fields(t, "/console/endpoint/rotate")
		form.Set("overlap", "forever")
		if a := s.ask(http.MethodPost, "/console/endpoint/rotate", form); a.code != 400 || !strings.Contains(a.body, `value="forever"`) || !strings.Contains(a.body, `role="alert"`) {
			t.Errorf("an overlap that is none: %d %s", a.code, a.body)
		}
		before, err := b.admin.ListKeys(t.Context(), "strict")
		if err != nil {
			t.Fatal(err)
		}
		form.Set("overlap", "48h")
		made := s.ask(http.MethodPost, "/console/endpoint/rotate", form)
		secret := regexp.MustCompile(`<code id="secret">([^<]+)</code>`).FindStringSubmatch(made.body)
		if made.code != 200 || secret == nil || made.header.Get("Cache-Control") != "no-store" || made.header.Get("Location") != "" {
			t.Fatalf("a key was made: %d %v %s", made.code, made.header, made.body)
		}
		made.has(t, "the new key", "This is the only time", "until <time", "Keys over time.", time.Now().UTC().Add(48*time.Hour).Format("2006-01-02"))
		if again := s.ask(http.MethodPost, "/console/endpoint/rotate", form); again.code != 200 || !strings.Contains(again.body, secret[1]) {
			t.Errorf("the same form once more: %d %s", again.code, again.body)
		}
		after, err := b.admin.ListKeys(t.Context(), "strict")
		if err != nil || len(after.Data) != len(before.Data)+1 {
			t.Errorf("the form that was sent twice made %d keys, %v", len(after.Data)-len(before.Data), err)
		}
		pages := len(s.seen)
		page = s.get("/console/endpoint?id=strict").has(t, "the endpoint", after.Data[0].ID, "More than one key signs", "Revoke")
		s.get("/console/now")
		for _, later := range s.seen[pages:] {
			if strings.Contains(later, secret[1]) || strings.Contains(later, old) {
				t.Error("a secret is on a later page")
			}
		}
		revoke := "/console/endpoint/revoke?id=strict&of=" + url.QueryEscape(after.Data[0].ID)
		page.has(t, "the endpoint", html.EscapeString(revoke))
		s.confirmed(revoke, []string{"The key ends at once", after.Data[0].ID}).has(t, "revoked", "The key "+after.Data[0].ID+" is revoked.")
	}
	f("operator")
	f("partner")
	s := b.signedIn("operator")
	keys, err := b.admin.ListKeys(t.Context(), "strict")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys.Data {
		if k.Status != "signs" {
			continue
		}
		last := s.step("/console/endpoint/revoke?id=strict&of="+url.QueryEscape(k.ID), nil, "replace", "true")
		last.has(t, "replaced", "is revoked", `id="secret"`)
	}
	viewer := b.signedIn("viewer")
	viewer.get("/console/endpoint?id=strict").has(t, "a viewer", "Signing keys", "!>Revoke<", "!>Rotate the key<", "!>Pause<", "!>Ping<")
	for _, step := range []string{"pause", "resume", "retry", "ping", "give-up", "rotate", "revoke"} {
		if a := viewer.get("/console/endpoint/" + step + "?id=strict"); a.code != 403 {
			t.Errorf("a viewer may %s: %d", step, a.code)
		}
		if a := s.post("/console/endpoint/"+step, "id", "strict"); a.code != 403 {
			t.Errorf("%s without the form of a page: %d", step, a.code)
		}
	}
	partner := b.signedIn("partner")
	partner.get("/console/endpoint?id=strict").has(t, "a partner", far.url, ">Ping<", "Rotate the key", "!>Pause<", "!Last hour", "!>Replay<")
	for _, step := range []string{"pause", "retry", "give-up"} {
		if a := partner.get("/console/endpoint/" + step + "?id=strict"); a.code != 403 {
			t.Errorf("a partner may %s: %d", step, a.code)
		}
	}
	s.get("/console/endpoint?id=acme-main").has(t, "keys of the config", "key of the config", "!>Revoke<", "!>Rotate the key<")
}

// TestConsoleEndpointPlots: what an endpoint accepted and how long it took is drawn from samples of
// its own.
func TestConsoleEndpointPlots(t *testing.T) {
	b := newBrowsing(t)
	far := newFarSide(t, 200, "")
	b.endpoint("strict", api.Fields{"url": far.url})
	b.say("ann", "approved", time.Now())
	b.waits("delivered", "strict")
	s := b.signedIn("viewer")
	eventually(t, "it is measured", func() bool {
		return strings.Contains(s.get("/console/endpoint?id=strict").body, "Accepted attempts")
	})
	s.get("/console/endpoint?id=strict").has(t, "the endpoint", "Accepted attempts", "Time of an attempt", "!Nothing is measured")
	s.get("/console/endpoint?id=strict&range=day").has(t, "the endpoint", "Last day")
}

// TestConsoleReplays: a replay is counted first, confirmed once, seen, paused and cancelled.
func TestConsoleReplays(t *testing.T) {
	b := newBrowsing(t)
	far := newFarSide(t, 404, "")
	b.endpoint("strict", api.Fields{"url": far.url, "retry": map[string]any{"attempts": 1}})
	for _, id := range []string{"ann", "ben", "cleo"} {
		b.say(id, "approved", time.Now())
	}
	eventually(t, "three are dead-lettered", func() bool {
		e, err := b.admin.Endpoint(t.Context(), "strict")
		return err == nil && e.Dead == 3
	})
	s := b.signedIn("operator")
	form := s.get("/console/replay/new?endpoint=strict").has(t, "the form", "strict: 3 dead-lettered", "Nothing is sent before you confirm that.").fields(t, "/console/replay/new")
	form.Set("kind", "range")
	form.Set("endpoint", "strict")
	if a := s.ask(http.MethodPost, "/console/replay/new", form); a.code != 400 || !strings.Contains(a.body, "since is an instant") {
		t.Errorf("a span without an end: %d %s", a.code, a.body)
	}
	form.Set("kind", "dead_lettered")
	form.Set("rate", "0.05") // three take a minute: it is under way while it is steered
	form.Set("because", "<b>after the fault</b>")
	a := s.ask(http.MethodPost, "/console/replay/new", form)
	if a.code != 303 {
		t.Fatalf("%d %s", a.code, a.body)
	}
	var dry paged
	eventually(t, "it is counted", func() bool {
		dry = s.get(a.header.Get("Location"))
		return strings.Contains(dry.body, "Would be sent")
	})
	dry.has(t, "the dry run", "nothing was sent", "Send 3 deliveries", "&lt;b&gt;after the fault&lt;/b&gt;")
	if e, err := b.admin.Endpoint(t.Context(), "strict"); err != nil || e.Dead != 3 {
		t.Errorf("the dry run did something: %+v, %v", e, err)
	}
	start := dry.fields(t, "/console/replay/start")
	first := s.ask(http.MethodPost, "/console/replay/start", start)
	again := s.ask(http.MethodPost, "/console/replay/start", start)
	if first.code != 303 || again.header.Get("Location") != first.header.Get("Location") {
		t.Fatalf("a replay that is ordered twice: %d %v, %d %v\n%s", first.code, first.header, again.code, again.header, first.body)
	}
	list, err := b.admin.ListReplays(t.Context(), client.Page{})
	if err != nil || len(list.Data) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	id := list.Data[0].ID
	s.get("/console/replays").has(t, "the list", "what is dead-lettered", "dry run", "strict", id)
	one := s.get(first.header.Get("Location")).has(t, "the replay", "percent ordered", "0.05 deliveries a second at most")
	if !strings.Contains(one.body, ">Pause<") {
		t.Fatal("it has ended already")
	}
	s.confirmed("/console/replay/pause?id="+id, []string{"What it has ordered is sent."}).has(t, "paused", ">paused<", ">Go on<")
	s.confirmed("/console/replay/resume?id="+id, nil).has(t, "going on", "is going on")
	s.confirmed("/console/replay/pause?id="+id, nil)
	s.confirmed("/console/replay/cancel?id="+id, []string{"cannot go on"}).has(t, "cancelled", ">cancelled<", "!>Go on<")
	viewer := b.signedIn("viewer")
	viewer.get("/console/replay?id="+id).has(t, "a viewer", ">cancelled<", "!>Pause<")
	viewer.get("/console/replays").has(t, "a viewer", "!New replay")
	if a := viewer.get("/console/replay/new"); a.code != 403 {
		t.Errorf("a viewer may begin a replay: %d", a.code)
	}
	if a := b.signedIn("partner").get("/console/replays"); a.code != 403 {
		t.Errorf("a partner sees replays: %d", a.code)
	}
	if a := s.post("/console/replay/start", "dry_run", id, "key", "x"); a.code != 403 {
		t.Errorf("a form of nobody's starts a replay: %d", a.code)
	}
	s.noSecret()
}
