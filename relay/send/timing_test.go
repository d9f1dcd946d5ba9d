package send

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 19, 9, 20, 0, 0, time.UTC)
	c := client(t, Options{Now: func() time.Time { return now }})
	at := func(header string, date []string, want time.Duration) {
		t.Helper()
		a, err := post(t, c, serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Retry-After"] = []string{header}
			w.Header()["Date"] = date // nil: none is sent
			w.WriteHeader(http.StatusServiceUnavailable)
		}), soon)
		if err != nil || a.RetryAfter != want {
			t.Errorf("Retry-After %q at %q = %v, %v; want %v", header, date, a.RetryAfter, err, want)
		}
	}
	f := func(header string, want time.Duration) {
		t.Helper()
		at(header, nil, want)
	}
	f("120", 2*time.Minute)
	f(" 7 ", 7*time.Second)
	f("0", 0)
	f("86400", 24*time.Hour)
	f("86401", 24*time.Hour)
	f("99999999999999999999999999999999", 24*time.Hour)
	f("Thu, 19 Mar 2026 09:25:00 GMT", 5*time.Minute)
	f("Thursday, 19-Mar-26 09:25:00 GMT", 5*time.Minute) // RFC 850
	f("Thu Mar 19 09:25:00 2026", 5*time.Minute)         // asctime
	f("Thu, 19 Mar 2026 09:19:59 GMT", 0)                // past
	f("Thu, 19 Mar 2099 09:20:00 GMT", 24*time.Hour)
	f("", 0)
	f("-5", 0)
	f("+5", 0)
	f("1.5", 0)
	f("5s", 0)
	f("0x10", 0)
	f("５", 0) // full-width five
	f("soon", 0)

	// A partner's clock is its own: an hour behind, a day ahead, or not to be read.
	at("Thu, 19 Mar 2026 08:25:00 GMT", []string{"Thu, 19 Mar 2026 08:20:00 GMT"}, 5*time.Minute)
	at("Fri, 20 Mar 2026 09:21:00 GMT", []string{"Fri, 20 Mar 2026 09:20:00 GMT"}, time.Minute)
	at("Thu, 19 Mar 2026 09:25:00 GMT", []string{"Thu, 19 Mar 2026 09:26:00 GMT"}, 0)
	at("Thu, 19 Mar 2026 09:25:00 GMT", []string{"today"}, 5*time.Minute)
	at("60", []string{"Thu, 19 Mar 2020 09:20:00 GMT"}, time.Minute)
}
