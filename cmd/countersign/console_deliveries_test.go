package main

import (
	"fmt"
	"html"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

// farSide is a partner's endpoint that keeps what it was sent.
type farSide struct {
	url string

	mu      sync.Mutex // guards what follows
	status  int
	answer  string
	headers http.Header // of the last request
	names   []string    // of all of them
}

func newFarSide(t *testing.T, status int, answer string) *farSide {
	t.Helper()
	r := &farSide{status: status, answer: answer}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.headers = req.Header
		r.names = append(r.names, req.Header.Get("Webhook-Id"))
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(r.status)
		_, _ = io.WriteString(w, r.answer)
	})}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	r.url = "http://" + ln.Addr().String() + "/"
	return r
}

func (r *farSide) turn(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func (r *farSide) seen() (http.Header, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.headers, len(r.names)
}

// hostileAnswer is what a partner may answer.
const hostileAnswer = `<script>alert("answer")</script><img src=x onerror=alert(1)>{{.Token}}`

// endpoint makes acme an endpoint through the API, and says what its key is.
func (b *browsing) endpoint(id string, fields api.Fields) string {
	b.t.Helper()
	ask := api.Fields{"id": id, "retry": map[string]any{"first": "1h", "max": "1h", "attempts": 30}}
	maps.Copy(ask, fields)
	made, err := b.admin.CreateEndpoint(b.t.Context(), "acme", "", ask)
	if err != nil {
		b.t.Fatal(err)
	}
	return made.Key
}

// waits is the first delivery of this status at an endpoint, when there is one.
func (b *browsing) waits(status, endpoint string) (d api.Delivery) {
	b.t.Helper()
	eventually(b.t, status+" at "+endpoint, func() bool {
		list, err := b.admin.ListDeliveries(b.t.Context(), client.Page{}, client.Deliveries{Status: status, Endpoint: endpoint})
		if err == nil && len(list.Data) > 0 && (status != "retrying" || list.Data[0].WaitsFor == "try") { // it is settled
			d = list.Data[0]
		}
		return d.ID != ""
	})
	return d
}

// has is a page that has all of these texts, and none that begins with a !.
func (p paged) has(t *testing.T, what string, texts ...string) paged {
	t.Helper()
	for _, text := range texts {
		want := !strings.HasPrefix(text, "!")
		if text = strings.TrimPrefix(text, "!"); strings.Contains(p.body, text) != want {
			_, main, _ := strings.Cut(p.body, "<main")
			t.Errorf("%s (%d): %q stands in it: %v, want %v\n%s", what, p.code, text, !want, want, main)
		}
	}
	return p
}

// step goes to the page of a change, looks for what it says, and confirms it with these further
// fields. Nothing is done before that.
func (s *surfer) step(path string, says []string, pairs ...string) paged {
	s.b.t.Helper()
	page := s.get(path)
	if page.code != http.StatusOK {
		s.b.t.Fatalf("%s: %d %s", path, page.code, page.body)
	}
	page.has(s.b.t, path, says...)
	action, _, _ := strings.Cut(path, "?")
	form := page.fields(s.b.t, action)
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return s.ask(http.MethodPost, action, form)
}

// confirmed is a step that was done: the page that it leads to.
func (s *surfer) confirmed(path string, says []string, pairs ...string) paged {
	s.b.t.Helper()
	a := s.step(path, says, pairs...)
	if a.code != http.StatusSeeOther {
		s.b.t.Fatalf("%s: %d %s", path, a.code, a.body)
	}
	return s.get(a.header.Get("Location"))
}

// noSecret fails if a page has a token, a key, or what a partner wrote as markup.
func (s *surfer) noSecret(keys ...string) {
	s.b.t.Helper()
	for _, page := range s.seen {
		for _, token := range s.b.tokens {
			if strings.Contains(page, token) {
				s.b.t.Error("a token is in a page")
			}
		}
		for _, key := range keys {
			if strings.Contains(page, key) {
				s.b.t.Error("a key is in a page")
			}
		}
		if strings.Contains(page, `<script>alert`) || strings.Contains(page, "<img src=x") {
			s.b.t.Error("what a partner wrote is markup in a page")
		}
	}
}

func deliveryPath(step string, d *api.Delivery) string {
	return "/console/delivery" + step + "?id=" + url.QueryEscape(d.ID)
}

// TestConsoleDeliveries: an operator finds why a partner was not told, sees what it answered, and
// has it sent; what nobody may see is not on a page.
func TestConsoleDeliveries(t *testing.T) {
	b := newBrowsing(t)
	far := newFarSide(t, 503, hostileAnswer)
	key := b.endpoint("strict", api.Fields{"url": far.url, "headers": map[string]any{"X-Room": "canary-of-a-header"}})
	b.say("ann", "approved", time.Now())
	d := b.waits("retrying", "strict")
	s := b.signedIn("operator")
	list := s.get("/console/deliveries?status=retrying&endpoint=strict").has(t, "the list", html.EscapeString(d.ID), "HTTP 503", "next attempt", "retrying")
	list.has(t, "the list", "!acme-main</a>")
	s.get("/console/deliveries?since=2026-01-01T08%3A00&until=2026-01-02&type=kyc.status.*").has(t, "an empty list", "There is no such delivery")
	if a := s.get("/console/deliveries?subject=ann&endpoint=strict").has(t, "of a person", html.EscapeString(d.ID)); a.code != 200 {
		t.Errorf("%d", a.code)
	}
	if a := s.get("/console/deliveries?since=never"); a.code != 400 || !strings.Contains(a.body, `role="alert"`) || !strings.Contains(a.body, `value="never"`) {
		t.Errorf("a time that is none: %d %s", a.code, a.body)
	}
	sent, _ := far.seen()
	one := s.get(deliveryPath("", &d)).has(t, "one", "HTTP 503", "It waits for its next attempt.", "Next attempt:", "first byte", "Webhook-Signature", "•••", "X-Room", "(sealed)", "of text/html",
		"Retry now", "Skip", "Cancel", "Send to another endpoint", "!alert(", "!canary-of-a-header", "!"+sent.Get("Webhook-Signature"))
	for _, name := range []string{"Content-Type", "Webhook-Id", "Webhook-Timestamp"} {
		one.has(t, "the headers that were sent", "<dt>"+name+"</dt><dd>"+html.EscapeString(sent.Get(name))+"</dd>")
	}
	trail := func() string { return fmt.Sprint(b.admin.ListAudit(t.Context(), client.Page{}, client.Span{})) }
	if strings.Contains(trail(), "GET /v1/deliveries/{id}") {
		t.Error("a page that shows nothing sealed stands in the audit trail")
	}
	sealed := s.ask(http.MethodPost, "/console/delivery/sealed", one.fields(t, "/console/delivery/sealed"))
	sealed.has(t, "the body", html.EscapeString(hostileAnswer), "kyc.status.approved", "&#34;data&#34;")
	if !strings.Contains(trail(), "GET /v1/deliveries/{id}") {
		t.Error("the body was shown, and the audit trail does not say so")
	}
	far.turn(200)
	s.confirmed(deliveryPath("/retry", &d), []string{"What this does", "Its attempts so far still count."}).has(t, "after it", "The delivery is due now.")
	d = b.waits("delivered", "strict")
	s.get(deliveryPath("", &d)).has(t, "delivered", "HTTP 200", "delivered", "Redeliver", "!>Skip<", "!>Cancel<", "Endings")
	_, before := far.seen()
	s.confirmed(deliveryPath("/redeliver", &d), []string{"the same webhook-id"}).has(t, "after it", "pending again")
	eventually(t, "it is sent again", func() bool { _, n := far.seen(); return n > before })
	s.noSecret(key, "canary-of-a-header")
}

// TestConsoleDeliverySteps: skip and cancel say what they do before, cancel wants a reason, and of a
// rejection more.
func TestConsoleDeliverySteps(t *testing.T) {
	b := newBrowsing(t)
	far := newFarSide(t, 503, "")
	b.endpoint("strict", api.Fields{"url": far.url})
	at := time.Now()
	b.say("bob", "approved", at.Add(-time.Minute))
	first := b.waits("retrying", "strict")
	b.say("bob", "rejected_final", at)
	second := b.waits("pending", "strict")
	s := b.signedIn("operator")
	s.get(deliveryPath("", &second)).has(t, "the second", "It waits for another delivery of the same person", html.EscapeString(url.QueryEscape(first.ID)), "!>Skip<")
	s.confirmed(deliveryPath("/retry", &second), []string{"Another delivery of the same person goes first: " + html.EscapeString(first.ID)}).has(t, "after it", "is tried first")
	s.confirmed(deliveryPath("/skip", &first), []string{"dead-lettered", "The next delivery of the same person goes on."}).has(t, "after it", "The delivery is skipped")
	s.get("/console/withheld").has(t, "what is withheld", url.QueryEscape(second.ID), "!"+url.QueryEscape(first.ID), ">Acknowledge…<")
	s.get(deliveryPath("", &first)).has(t, "skipped", "dead-lettered", "an operator skipped it", "Redeliver", "Cancel")
	says := []string{"cannot be redelivered or replayed", "It tells of a rejection or suspension."}
	if a := s.step(deliveryPath("/cancel", &second), says, "because", "a test"); a.code != 409 {
		t.Errorf("a rejection was cancelled without force: %d %s", a.code, a.body)
	} else {
		a.has(t, "refused", `role="alert"`, `value="a test"`)
	}
	if a := s.step(deliveryPath("/cancel", &second), says); a.code != 400 {
		t.Errorf("it was cancelled without a reason: %d", a.code)
	}
	s.confirmed(deliveryPath("/cancel", &second), says, "because", "<b>a test</b>", "force", "true").has(t, "after it", "never sent", "tell the partner")
	s.get(deliveryPath("", &second)).has(t, "cancelled", "cancelled", "&lt;b&gt;a test&lt;/b&gt;", "!>Retry now<", "!>Redeliver<")
	acknowledge := "/console/withheld/acknowledge?id=" + url.QueryEscape(second.ID)
	if a := s.step(acknowledge, []string{"The partner is told nothing by this"}); a.code != 400 {
		t.Errorf("it was acknowledged without a reason: %d", a.code)
	}
	s.confirmed(acknowledge, nil, "reason", "told by phone").has(t, "after it", "is acknowledged.", "!>Acknowledge…<")
	s.get("/console/withheld").has(t, "what is withheld", "No rejection is withheld.")
	s.get("/console/withheld?acknowledged=true").has(t, "what was acknowledged", "told by phone")
	if a := s.get("/console/delivery?id=none"); a.code != 404 {
		t.Errorf("none: %d", a.code)
	}
	s.noSecret()
}

// TestConsoleHeaders holds the headers that a delivery's page shows to those that were sent, in
// every format.
func TestConsoleHeaders(t *testing.T) {
	b := newBrowsing(t)
	formats := []string{"standard", "cloudevents", "blendfi", "blendfi-v1", "bluum", "rebilly"}
	far := map[string]*farSide{}
	for _, f := range formats {
		far[f] = newFarSide(t, 200, "")
		b.endpoint("in-"+f, api.Fields{"url": far[f].url, "format": f})
	}
	b.say("cleo", "approved", time.Now())
	s := b.signedIn("viewer")
	for _, f := range formats {
		d := b.waits("delivered", "in-"+f)
		page := s.get(deliveryPath("", &d))
		sent, _ := far[f].seen()
		for name := range sent {
			if slices.Contains([]string{"Content-Length", "User-Agent", "Accept-Encoding", "X-Blendfi-Event-Type"}, name) {
				continue
			}
			_, rest, ok := strings.Cut(strings.ToLower(page.body), "<dt>"+strings.ToLower(name)+"</dt><dd>")
			value, _, _ := strings.Cut(rest, "</dd>")
			signature := strings.Contains(name, "Signature")
			if !ok || !signature && html.UnescapeString(value) != strings.ToLower(sent.Get(name)) || signature && !strings.Contains(value, "•••") {
				t.Errorf("%s: %s: %s was sent, and %q shown: %v", f, name, sent.Get(name), value, ok)
			}
		}
		page.has(t, f, "!"+strings.TrimPrefix(sent.Get("X-Blendfi-Signature")+sent.Get("Webhook-Signature"), "v1,"))
	}
}

// TestConsoleDeliveryScopes: who may not do something is not offered it, and is refused; a form of
// another page does nothing.
func TestConsoleDeliveryScopes(t *testing.T) {
	b := newBrowsing(t)
	far := newFarSide(t, 503, hostileAnswer)
	b.endpoint("strict", api.Fields{"url": far.url})
	b.say("dan", "approved", time.Now())
	d := b.waits("retrying", "strict")
	viewer, partner := b.signedIn("viewer"), b.signedIn("partner")
	viewer.get(deliveryPath("", &d)).has(t, "a viewer", "HTTP 503", "!>Retry now<", "!>Skip<", "!>Cancel<", "!Show the body", "!alert(")
	partner.get(deliveryPath("", &d)).has(t, "a partner", "HTTP 503", ">Retry now<", "!>Skip<", "!>Cancel<", "Show the body")
	partner.get("/console/deliveries").has(t, "a partner's list", html.EscapeString(d.ID), "!name=\"partner\"")
	f := func(s *surfer, who, step string, want int) {
		t.Helper()
		path := "/console/delivery/" + step
		if step != "sealed" {
			if a := s.get(path + "?id=" + url.QueryEscape(d.ID)); a.code != want {
				t.Errorf("%s asks for %s: %d, want %d", who, step, a.code, want)
			}
		}
		if a := s.post(path, "id", d.ID, "because", "x", "form", "x"); a.code != 403 {
			t.Errorf("%s posts a form of nobody's to %s: %d", who, step, a.code)
		}
	}
	for _, step := range []string{"retry", "skip", "cancel", "redeliver", "sealed"} {
		f(viewer, "a viewer", step, 403)
	}
	f(partner, "a partner", "retry", 200)
	f(partner, "a partner", "redeliver", 200)
	f(partner, "a partner", "skip", 403)
	f(partner, "a partner", "cancel", 403)
	if got := b.waits("retrying", "strict"); got.ID != d.ID || got.Attempts != 1 {
		t.Errorf("something was done: %+v", got)
	}
	made, err := b.admin.CreatePartner(t.Context(), "", api.PartnerAsk{ID: "other"})
	if err != nil {
		t.Fatal(made, err)
	}
	token, err := b.admin.MakeToken(t.Context(), "an-other", api.TokenAsk{Scope: api.Partner, Partner: "other"})
	if err != nil {
		t.Fatal(err)
	}
	b.tokens["other"] = token.Token
	other := b.signedIn("other")
	if a := other.get(deliveryPath("", &d)); a.code != 404 {
		t.Errorf("another partner sees the delivery: %d", a.code)
	}
	if a := other.get(deliveryPath("/retry", &d)); a.code != 404 {
		t.Errorf("another partner may retry the delivery: %d", a.code)
	}
	for _, s := range []*surfer{viewer, partner, other} {
		s.noSecret()
	}
}
