package browser

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// call makes a call of the gateway's API, and decodes the answer.
func (g *gateway) call(method, path, ask string, v any) {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), method, g.base+path, strings.NewReader(ask))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+g.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode == http.StatusOK {
		err = json.Unmarshal(b, v)
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		g.t.Fatalf("%s %s: %d %s, %v", method, path, resp.StatusCode, b, err)
	}
}

// first is the id of the first delivery of this status at an endpoint, when there is one.
func (g *gateway) first(status, endpoint string) (id string) {
	g.t.Helper()
	g.eventually(status+" at "+endpoint, func() bool {
		var list struct{ Data []struct{ ID string } }
		g.call(http.MethodGet, "/v1/deliveries?status="+status+"&endpoint="+endpoint, "", &list)
		if len(list.Data) > 0 {
			id = list.Data[0].ID
		}
		return id != ""
	})
	return url.QueryEscape(id)
}

// TestSteered walks the pages of deliveries, endpoints and replays as an operator does: finds why a
// partner was not told, rotates a key, and sends again what was dead-lettered.
func TestSteered(t *testing.T) {
	g := newGateway(t)
	var made struct{ ID string }
	g.call(http.MethodPost, "/v1/partners/acme/endpoints", `{"id":"acme-new","url":"http://127.0.0.1:9/kyc","headers":{"X-Room":"a-canary"},"retry":{"first":"1h","max":"1h"}}`, &made)
	g.people()
	waits, dead := g.first("retrying", "acme-new"), g.first("dead_lettered", "acme-risk")
	c := newChromium(t, g.base)
	c.signIn(g.token)

	c.press("nav a[href='/console/deliveries']")
	c.says("h1", "Deliveries")
	c.says("tbody", "no response: connection refused")
	c.look("deliveries")
	c.do(chromedp.SetValue(chromedp.CSS("#status"), "dead_lettered"))
	c.press("form.filter button")
	c.says("tbody", "dead-lettered")
	c.says("tbody", "HTTP 500")
	c.press("tbody a[href*='delivery?id=']")
	c.says("h1", "Delivery")
	c.says(".state", "dead-lettered")
	c.look("delivery-dead")
	c.press("form[action='/console/delivery/sealed'] button")
	c.says("main", "this queue was moved")
	c.look("delivery-sealed")
	c.open("/console/delivery?id=" + waits)
	c.says(".state", "no response: connection refused")
	c.look("delivery-waits")
	c.press("a[href*='/console/delivery/retry']")
	c.says("h1", "Retry now")
	c.look("delivery-retry")
	c.press("form[method=post] button.main")
	c.says("[role=status]", "due now")
	c.open("/console/delivery/cancel?id=" + dead)
	c.look("delivery-cancel")
	c.open("/console/delivery/redeliver?id=" + dead)
	c.look("delivery-redeliver")

	c.open("/console/withheld")
	c.says("tbody", "acme-risk")
	c.look("withheld")

	c.press("nav a[href='/console/endpoints']")
	c.look("endpoints")
	c.eventually("there are samples to plot", func() bool {
		c.open("/console/endpoint?id=acme-main")
		return !strings.Contains(c.text("main"), "Too few samples")
	})
	c.look("endpoint")
	c.press("a[href*='/console/endpoint/ping']")
	c.press("form[method=post] button.main")
	c.says(".state", "HTTP 200")
	c.look("ping")
	c.open("/console/endpoint/rotate?id=acme-new")
	c.look("rotate")
	c.press("form[method=post] button.main")
	c.says("h1", "New key of acme-new")
	c.look("newkey")
	c.open("/console/endpoint?id=acme-new")
	c.says("main", "More than one key signs")
	c.look("endpoint-failing")

	c.press("nav a[href='/console/replays']")
	c.says("main", "There is no replay.")
	c.press("a[href='/console/replay/new']")
	c.look("replay-new")
	c.do(chromedp.SetValue(chromedp.CSS("#endpoint"), "acme-risk"), chromedp.SetValue(chromedp.CSS("#because"), "the queue is back"))
	c.press("form[method=post] button.main")
	c.eventually("it is counted", func() bool { return strings.Contains(c.text("main"), "Would be sent") }) // by itself: the page is live
	c.look("replay-dry")
	c.press("form[action='/console/replay/start'] button")
	c.eventually("it is done", func() bool { return strings.Contains(c.text("main"), "finished") })
	c.look("replay-done")
	c.press("nav a[href='/console/replays']")
	c.look("replays")
}
