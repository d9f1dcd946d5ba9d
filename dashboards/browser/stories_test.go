package browser

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// quickly are settings of an endpoint that is told of changes of status only, and given up soon.
const quickly = `,"events":["kyc.status.*"],"retry":{"first":"1s","factor":1,"max":"1s","attempts":2}`

// TestWhyNotTold: a partner complains, and whoever is on call finds out why they were not told: from
// the person or from what the partner names, to what their own endpoint answered, or to who decided
// that nothing is sent.
func TestWhyNotTold(t *testing.T) {
	g, r := newGateway(t), newReceiver(t)
	r.fails("/a-sick", http.StatusInternalServerError, "the queue is full, ask Kim")
	r.fails("/a-gone", http.StatusGone, "we have moved")
	secret := g.endpoint(r, "a-strict", quickly)
	r.answer("/a-strict", func(a arrival) (int, string) {
		if a.genuine(secret) {
			return http.StatusOK, ""
		}
		return http.StatusUnauthorized, "the signature is not by a key that we know"
	})
	g.endpoint(r, "a-sick", quickly)
	g.endpoint(r, "a-gone", quickly)
	g.endpoint(r, "a-paused", quickly)
	g.endpoint(r, "a-well", quickly)
	g.call(http.MethodPost, "/v1/endpoints/a-paused/pause", "", &struct{}{})
	g.trigger("sumsub-eu", "approved", "before")
	g.eventually("a key that is known is accepted", func() bool { return len(r.at("/a-strict", "before")) == 1 })
	g.call(http.MethodPost, "/v1/endpoints/a-strict/rotate", `{"overlap":"0s"}`, &struct{}{})
	g.trigger("sumsub-eu", "rejected_final", "anna")
	g.trigger("sumsub-eu", "rejected_sanctions", "linus")
	g.trigger("sumsub-eu", "approved", "linus")
	g.first("dead_lettered", "a-sick")
	g.first("dead_lettered", "a-strict")
	g.first("delivered", "a-well")
	hands(t, func(t *testing.T, h *hand) {
		t.Helper()
		h.enter(g.token)

		// "You rejected anna, and nobody told us."
		h.follow("Persons")
		h.fill("Partner", "acme")
		h.fill("Person's id", "anna")
		h.press("Show")
		h.shows("a-sick was not told")
		h.follow("Delivery", "a-sick was not told")
		h.shows("dead-lettered HTTP 500")
		h.shows("It tells of a rejection or suspension that the endpoint has not been told of")
		sent := r.at("/a-sick", "anna")
		if len(sent) != 2 {
			t.Errorf("the partner was asked %d times", len(sent))
		}
		h.shows("Attempts 2")
		h.shows("Webhook-Id " + sent[0].id)
		h.press("Show the body and the answers")
		h.shows("the queue is full, ask Kim")
		h.shows(`"id": "anna"`)

		// Their other endpoint knows only the key that has ended.
		h.follow("anna")
		h.follow("Delivery", "a-strict was not told")
		h.shows("HTTP 401")
		h.press("Show the body and the answers")
		h.shows("the signature is not by a key that we know")
		h.follow("a-strict")
		h.shows("ended")
		h.shows("made a new key")

		// One was disabled because of what it answered, and one was paused by somebody.
		h.follow("Persons")
		h.follow("anna")
		h.follow("Delivery", "a-gone")
		h.shows("disabled")
		h.follow("a-gone")
		h.shows("disabled the partner answered 410 Gone")
		h.follow("Persons")
		h.follow("anna")
		h.follow("Delivery", "a-paused")
		h.shows("paused")
		h.follow("a-paused")
		h.shows("by operator.token")
		h.shows("paused it")

		// "You never approved linus": a match holds it.
		h.follow("Persons")
		h.follow("linus")
		h.shows("Held by a sanctions or PEP match. Only an operator releases it.")
		h.shows("What would answer it: an operator only.")

		// "What became of this webhook?"
		h.follow("Find")
		h.fill("An id", sent[0].id)
		h.press("Find")
		h.follow("a-well")
		h.shows("delivered HTTP 200")
		if got := r.at("/a-well", "anna"); len(got) != 1 || got[0].id != sent[0].id {
			t.Errorf("the endpoint that is well got %v", got)
		}
	}, g.base, "mouse", "without JavaScript")
}

var signsUntil = regexp.MustCompile(`Key key_[0-9a-f]{16} signs until (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC`)

// ends is when the key before ends, as a page says.
func (h *hand) ends() time.Time {
	h.t.Helper()
	text := get(h.chromium, chromedp.Evaluate[string](`document.querySelector("main").innerText.replace(/\s+/g, " ")`))
	m := signsUntil.FindStringSubmatch(text)
	if m == nil {
		h.t.Fatalf("no key signs until a date: %s", text)
	}
	at, err := time.Parse("2006-01-02 15:04:05", m[1])
	if err != nil {
		h.t.Fatal(err)
	}
	return at
}

// TestRotateKey: the dates are seen before; during the overlap the partner's receiver verifies with
// either key, and after the old one was revoked with the new one only.
func TestRotateKey(t *testing.T) {
	g, r := newGateway(t), newReceiver(t)
	id := 0
	hands(t, func(t *testing.T, h *hand) {
		t.Helper()
		id++
		endpoint := fmt.Sprint("a-live", id)
		before := g.endpoint(r, endpoint, quickly)
		sent := func(person string) (a arrival) {
			t.Helper()
			g.trigger("sumsub-eu", "approved", person)
			g.eventually("the partner is told", func() bool { return len(r.at("/"+endpoint, person)) > 0 })
			return r.at("/"+endpoint, person)[0]
		}
		name := func(s string) string { return fmt.Sprint(s, id) }
		if a := sent(name("before")); !a.genuine(before) {
			t.Fatal("not genuine before anything was done")
		}
		h.enter(g.token)
		h.follow("Endpoints")
		h.follow(endpoint)
		h.follow("Rotate the key")
		h.shows("New key signs from now")
		near := func(at time.Time, in time.Duration) {
			t.Helper()
			if d := time.Until(at) - in; d < -5*time.Minute || d > 5*time.Minute {
				t.Errorf("the key before signs until %v, want that to be in %v", at, in)
			}
		}
		near(h.ends(), 24*time.Hour)
		h.fill("Overlap", "2h")
		h.press("Show these dates")
		near(h.ends(), 2*time.Hour)
		var keys struct{ Data []struct{ ID, Status string } }
		g.call(http.MethodGet, "/v1/endpoints/"+endpoint+"/keys", "", &keys)
		if len(keys.Data) != 1 {
			t.Fatal("what was only shown was done")
		}
		old := keys.Data[0].ID
		h.press("Make a new key")
		h.shows("This is the only time that the secret is shown.")
		after := strings.TrimSpace(h.text("#secret"))
		h.follow("To the endpoint")
		h.shows("More than one key signs")
		if a := sent(name("meanwhile")); !a.genuine(before) || !a.genuine(after) {
			t.Errorf("during the overlap it is genuine by the old key: %v, by the new one: %v", a.genuine(before), a.genuine(after))
		}
		h.follow("Revoke", old)
		h.shows("Key " + old)
		h.press("Revoke the key")
		h.shows("The key " + old + " is revoked.")
		if a := sent(name("after")); a.genuine(before) || !a.genuine(after) {
			t.Errorf("afterwards it is genuine by the old key: %v, by the new one: %v", a.genuine(before), a.genuine(after))
		}
		h.shows("revoked a key")
		if strings.Contains(h.text("body"), strings.TrimPrefix(after, "whsec_")) {
			t.Error("the secret is shown again")
		}
	}, g.base, "mouse", "without JavaScript", "keyboard")
}

// TestRelease: a hit, a withheld rejection and a callback in quarantine are released; before, it is
// seen who will be told what, and that is what the partner's receiver gets.
func TestRelease(t *testing.T) {
	g, r := newGateway(t), newReceiver(t)
	g.endpoint(r, "a-all", quickly)
	g.endpoint(r, "a-sick", quickly)
	r.fails("/a-sick", http.StatusInternalServerError, "no")
	g.trigger("sumsub-eu", "rejected_sanctions", "linus")
	g.trigger("persona-us", "approved", "linus")
	g.trigger("sumsub-eu", "approved", "linus")
	g.trigger("by-prefix", "approved", "globex:user-9")
	g.first("dead_lettered", "a-sick")
	g.eventually("the rejection is told", func() bool { return len(r.at("/a-all", "linus")) == 1 })
	h := &hand{newChromium(t, g.base), false}
	h.enter(g.token)

	// The hit.
	h.follow("Test persons held by a match")
	h.follow("linus")
	h.press("Release findings…")
	h.shows("rejected → approved")
	h.shows("a-all")
	h.look("release")
	if n := len(r.at("/a-all", "linus")); n != 1 {
		t.Fatalf("what was only foreseen was done: %d webhooks", n)
	}
	r.fails("/a-sick", http.StatusOK, "")
	h.fill("Why, for whoever must explain it later", "another person of that name, ticket 4815")
	h.press("Release the findings")
	h.shows("rejected → approved")
	g.eventually("the partner is told of the release", func() bool { return len(r.at("/a-all", "linus")) == 2 })
	if a := r.at("/a-all", "linus")[1]; a.status != "approved" || a.kind != "kyc.status.approved" {
		t.Errorf("the partner is told %s", a.body)
	}

	// The rejection that an endpoint was not told of.
	g.trigger("sumsub-eu", "approved", "ada")
	r.fails("/a-sick", http.StatusInternalServerError, "no")
	g.trigger("sumsub-eu", "rejected_final", "ada")
	g.eventually("the rejection is dead-lettered", func() bool {
		var list struct {
			Data []struct {
				Dead string `json:"dead_lettered"`
			}
		}
		g.call(http.MethodGet, "/v1/withheld?endpoint=a-sick", "", &list)
		return len(list.Data) > 0 && list.Data[0].Dead != ""
	})
	was := len(r.at("/a-sick", "ada"))
	r.answer("/a-sick", nil)
	h.follow("Review")
	h.follow("Withheld rejections")
	h.fill("Endpoint", "a-sick")
	h.press("List")
	h.follow("Delivery", "ada")
	h.follow("Redeliver")
	h.shows("Endpoint a-sick")
	h.shows("Person ada")
	h.press("Redeliver")
	h.shows("The delivery is pending again.")
	g.eventually("the endpoint is told of the rejection", func() bool { return len(r.at("/a-sick", "ada")) == was+1 })
	if a := r.at("/a-sick", "ada")[was]; a.status != "rejected" {
		t.Errorf("the endpoint is told %s", a.body)
	}
	h.until("delivered HTTP 200", func() { h.do(chromedp.Reload()) })

	// The callback that named a partner nobody knew.
	g.call(http.MethodPost, "/v1/partners", `{"id":"globex"}`, &struct{}{})
	g.call(http.MethodPost, "/v1/partners/globex/endpoints", `{"id":"globex-main","url":"`+r.URL+`/globex","events":["kyc.status.*"]}`, &struct{}{})
	h.follow("Review")
	h.follow("", "names no partner")
	h.follow("Release…")
	h.shows("user-9 of globex")
	h.shows("globex-main")
	h.look("release-callback")
	h.fill("Reason", "the partner is there now, ticket 4817")
	if n := len(r.at("/globex", "")); n != 0 {
		t.Fatalf("what was only foreseen was done: %d webhooks", n)
	}
	h.press("Release")
	h.shows("The callback is released: 1 update is applied.")
	g.eventually("the new partner is told", func() bool { return len(r.at("/globex", "user-9")) == 1 })
	if a := r.at("/globex", "user-9")[0]; a.status != "approved" {
		t.Errorf("the new partner is told %s", a.body)
	}
}

// TestReplayHour: what an endpoint was sent in a span of time is counted, sent again with live
// progress, and what its receiver gets is exactly that.
func TestReplayHour(t *testing.T) {
	g, r := newGateway(t), newReceiver(t)
	g.endpoint(r, "a-bank", quickly)
	g.endpoint(r, "a-other", quickly)
	for i := range 8 {
		g.trigger("sumsub-eu", "approved", fmt.Sprint("user-", i))
	}
	g.eventually("all are told", func() bool { return len(r.at("/a-bank", "")) == 8 && len(r.at("/a-other", "")) == 8 })
	first := ids(r.at("/a-bank", ""))
	h := &hand{newChromium(t, g.base), false}
	h.enter(g.token)
	h.follow("Replays")
	h.follow("New replay")
	h.fill("what was sent in a span of time", "")
	h.fill("Of which endpoint", "a-bank")
	now := time.Now().UTC()
	h.fill("From (UTC), of a span of time", now.Add(-time.Hour).Format("2006-01-02T15:04"))
	h.fill("To (UTC), of a span of time", now.Add(time.Minute).Format("2006-01-02T15:04"))
	h.fill("Deliveries a second at most", "1")
	h.fill("Reason", "they have lost an hour, ticket 4818")
	h.press("Dry run: count")
	h.shows("Would be sent 8 deliveries")
	h.shows("nothing was sent")
	if n := len(r.at("/a-bank", "")); n != 8 {
		t.Fatalf("a dry run has sent %d", n-8)
	}
	h.press("Send 8 deliveries")
	get(h.chromium, chromedp.Evaluate[bool]("window.same = true"))
	seen := map[string]bool{}
	h.eventually("it is finished", func() bool {
		text := get(h.chromium, chromedp.Evaluate[string](`document.querySelector("main").innerText.replace(/\s+/g, " ")`))
		if _, rest, ok := strings.Cut(text, "Ordered "); ok {
			seen[strings.Fields(rest)[0]] = true
		}
		return strings.Contains(text, "finished")
	})
	if len(seen) < 2 || !get(h.chromium, chromedp.Evaluate[bool]("window.same === true")) {
		t.Errorf("the page has shown %v, and was loaded anew: the progress is not live", seen)
	}
	g.eventually("all are sent again", func() bool { return len(r.at("/a-bank", "")) >= 16 })
	if again := ids(r.at("/a-bank", "")[8:]); !slices.Equal(again, first) {
		t.Errorf("sent again were\n%v\nwant\n%v", again, first)
	}
	if n := len(r.at("/a-other", "")); n != 8 {
		t.Errorf("another endpoint got %d", n-8)
	}
	h.follow("Audit")
	h.shows("POST /v1/replays")
}

// ids are the webhook-ids of what came, in their order.
func ids(list []arrival) (all []string) {
	for _, a := range list {
		all = append(all, a.id)
	}
	slices.Sort(all)
	return all
}
