package browser

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// mostPages is how many pages a walk over links looks at.
const mostPages = 120

// TestPartnersView walks every link that a partner is offered: each leads to a page that is there and
// is theirs, shows nothing of another partner, and keeps the rules of accessibility.
func TestPartnersView(t *testing.T) {
	g, r := newGateway(t), newReceiver(t)
	r.fails("/a-sick", http.StatusInternalServerError, "no")
	g.endpoint(r, "a-made", quickly)
	g.endpoint(r, "a-sick", quickly)
	g.call(http.MethodPost, "/v1/endpoints/a-made/rotate", `{"kind":"ed25519"}`, &struct{}{})
	g.call(http.MethodPost, "/v1/partners", `{"id":"globex"}`, &struct{}{})
	g.call(http.MethodPost, "/v1/partners/globex/endpoints", `{"id":"globex-main","url":"`+r.URL+`/globex"}`, &struct{}{})
	g.trigger("by-prefix", "approved", "globex:hidden-9")
	g.trigger("sumsub-eu", "approved", "anna")
	g.trigger("sumsub-eu", "rejected_final", "berta")
	g.first("dead", "a-sick")
	g.first("delivered", "a-made")
	g.first("delivered", "globex-main")
	file := filepath.Join(t.TempDir(), "acme.token")
	g.command("token", "make", "acmes", "--scope", "partner", "--partner", "acme", "--out", file)
	token, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	h := &hand{newChromium(t, g.base), false}
	h.enter(strings.TrimSpace(string(token)))
	walked, judged := []string{}, map[string]bool{}
	for next := []string{"/console"}; len(next) > 0; next = next[1:] {
		at := next[0]
		if slices.Contains(walked, at) || len(walked) == mostPages {
			continue
		}
		walked = append(walked, at)
		resp := get(h.chromium, chromedp.NavigateResponse(g.base+at))
		if resp.Status != 200 {
			t.Errorf("a partner is led to %s: %d\n%s", at, resp.Status, h.text("main"))
		}
		if text := get(h.chromium, chromedp.Evaluate[string]("document.documentElement.outerHTML")); strings.Contains(text, "globex") || strings.Contains(text, "hidden-9") {
			t.Errorf("%s shows something of another partner", at)
		}
		if path, _, _ := strings.Cut(at, "?"); !judged[path] {
			judged[path] = true
			if name := "partner" + strings.ReplaceAll(strings.TrimPrefix(path, "/console"), "/", "-"); *shots != "" {
				h.look(name)
			} else {
				h.judge(name)
			}
		}
		var links []string
		text := get(h.chromium, chromedp.Evaluate[string](`JSON.stringify([...document.querySelectorAll("a[href]")].map(a => a.getAttribute("href")))`))
		if err := json.Unmarshal([]byte(text), &links); err != nil {
			t.Fatal(err)
		}
		for _, to := range links {
			if !strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "#") {
				t.Errorf("%s leads away, to %s", at, to)
			}
			if strings.HasPrefix(to, "/") {
				next = append(next, to)
			}
		}
	}
	for _, want := range []string{"/console/persons", "/console/person", "/console/deliveries", "/console/delivery", "/console/delivery/redeliver", "/console/endpoints", "/console/endpoint", "/console/endpoint/ping", "/console/endpoint/rotate", "/console/verify"} {
		if !judged[want] {
			t.Errorf("no link leads to %s; walked were %s", want, strings.Join(walked, " "))
		}
	}

	h.open("/console")
	h.follow("Verify webhooks")
	h.follow("a-made")
	h.shows("Code for the ed25519 key")
	h.shows("Code for the shared secret")
	var keys struct{ Data []struct{ ID, Kind string } }
	g.call(http.MethodGet, "/v1/endpoints/a-made/keys", "", &keys)
	for _, k := range keys.Data {
		h.shows(k.ID)
		if n := get(h.chromium, chromedp.Evaluate[int](`[...document.querySelectorAll("[data-program$='-`+k.Kind+`']")].filter(e => e.textContent.includes("`+k.ID+`")).length`)); n != 5 {
			t.Errorf("%d programs have the id of the %s key, want 5", n, k.Kind)
		}
	}
	t.Logf("%d pages were walked", len(walked))
}
