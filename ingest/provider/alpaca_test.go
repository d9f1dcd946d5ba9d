package provider

import (
	"net/http"
	"testing"
)

// TestAlpacaStream: the place behind an event is read although the event cannot be translated, and
// asked for without anything else of it.
func TestAlpacaStream(t *testing.T) {
	const ulid = "01F84ZC0H0Q1QN7XPNWX44HF5J"
	f := func(event, cursor string) {
		t.Helper()
		if got, err := alpaca.Stream.Cursor([]byte(event)); got != cursor || (err == nil) != (cursor != "") {
			t.Errorf("cursor of %s = %q, %v; want %q", event, got, err, cursor)
		}
	}
	f(`{"event_id":122040}`, "122040")
	f(`{"event_id":122040,"status_to":7,"at":"yesterday"}`, "122040")
	f(`{"event_id":122040,"event_ulid":"`+ulid+`"}`, ulid)
	f(`{"event_id":122040,"event_ulid":null}`, "122040")
	f(`{"event_id":null,"event_ulid":"`+ulid+`"}`, ulid)
	f(`{"event_id":12204`, "") // cut short: another event's id
	f(`{"event_id":"122040&until_id=1"}`, "")
	f(`{"event_ulid":"`+ulid+`&x=1"}`, "")
	f(`{"event_id":0}`, "")
	f(`{}`, "")
	f(`7`, "")
	f(``, "")

	g := func(cursor, path string) {
		t.Helper()
		if c := alpaca.Stream.Call(cursor); c.Method != http.MethodGet || c.Path != path || c.Body != nil {
			t.Errorf("call behind %q = %+v, want %s", cursor, c, path)
		}
	}
	g("", "/v1/events/accounts/status?since=2000-01-01") // not now: what comes before the next connection would be lost
	g("122040", "/v1/events/accounts/status?since_id=122040")
	g(ulid, "/v1/events/accounts/status?since_ulid="+ulid)

	for comment, gap := range map[string]bool{
		" you are reading too slowly, dropped 10000 messages": true, " heartbeat": false, " internal server error": false, "": false,
	} {
		if alpaca.Stream.Gap([]byte(comment)) != gap {
			t.Errorf("comment %q: gap %v", comment, !gap)
		}
	}
	if alpaca.Stream.Base(true) == alpaca.Stream.Base(false) || (&Stream{Live: "https://one.example"}).Base(false) != "https://one.example" {
		t.Error("live and sandbox are not told apart")
	}
}
