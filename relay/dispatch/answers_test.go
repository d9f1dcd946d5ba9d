package dispatch

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"countersign/outbox"
	"countersign/relay/send"
)

// TestAnswers is the answers table: every code.
func TestAnswers(t *testing.T) {
	f := func(from, to int, want answer) {
		t.Helper()
		for c := from; c <= to; c++ {
			if got := read(&send.Answer{Code: c}, nil); got != want {
				t.Errorf("%d means %+v, want %+v", c, got, want)
			}
		}
	}
	f(0, 199, answer{reason: "http_other"})
	f(200, 299, answer{reason: "http_2xx", ok: true})
	f(300, 399, answer{reason: "http_3xx"})
	about := answer{reason: "http_4xx", about: true}
	f(400, 407, about)
	f(408, 409, answer{reason: "http_4xx"})
	f(410, 410, answer{reason: "http_410", disable: true})
	f(411, 422, about)
	f(423, 423, answer{reason: "http_4xx"})
	f(424, 424, about)
	f(425, 425, answer{reason: "http_4xx"})
	f(426, 428, about)
	f(429, 429, answer{reason: "http_429", slow: true, person: true})
	f(430, 499, about)
	f(500, 501, answer{reason: "http_5xx"})
	f(502, 504, answer{reason: "http_5xx", slow: true})
	f(505, 599, answer{reason: "http_5xx"})
	f(600, 999, answer{reason: "http_other"})
	if got := read(&send.Answer{Code: 200}, errors.New("x")); got != (answer{reason: send.Other}) {
		t.Errorf("an error means %+v", got)
	}
	known := strings.Join(reasons(), " ")
	for c := range 1000 {
		if r := read(&send.Answer{Code: c}, nil).reason; !strings.Contains(known, r) {
			t.Errorf("%s is no known reason", r)
		}
	}
}

func TestSettle(t *testing.T) {
	schedule := Schedule{First: time.Minute, Factor: 2, Max: time.Hour, Attempts: 4}
	now := at(0)
	f := func(what string, failures int, refusedSince time.Time, code int, retryAfter time.Duration, want string) {
		t.Helper()
		a := send.Answer{Code: code, RetryAfter: retryAfter}
		out := settle(&outbox.Delivery{Failures: failures}, read(&a, nil), &a, schedule, now, time.Second, refusals{since: refusedSince, times: 3})
		got := fmt.Sprint(out.Outcome, " ", out.Reason)
		if out.Outcome == outbox.Retry {
			got += fmt.Sprint(" ", out.Retry.Sub(now))
		}
		if got != want || out.Code != code || !out.At.Equal(now) || out.Took != time.Second {
			t.Errorf("%s: %s (%d), want %s", what, got, out.Code, want)
		}
	}
	never := time.Time{}
	f("success", 0, never, 204, 0, "done http_2xx")
	f("success at the last attempt", 3, never, 200, 0, "done http_2xx")
	f("gone", 0, never, 410, 0, "dead_lettered http_410")
	f("first failure", 0, never, 500, 0, "retry http_5xx 1m1s")
	f("third failure", 2, at(-10), 404, 0, "retry http_4xx 4m1s")
	f("last failure", 3, at(-10), 404, 0, "dead_lettered exhausted")
	f("Retry-After is later", 0, never, 503, 10*time.Minute, "retry http_5xx 10m1s")
	f("the schedule is later", 2, never, 429, time.Second, "retry http_429 4m1s")
	f("Retry-After does not add attempts", 3, never, 503, time.Hour, "dead_lettered exhausted")
	f("Retry-After is too long", 0, never, 503, 12*time.Hour, "retry http_5xx 1h0m1s")
	f("a redirect", 0, never, 302, 0, "retry http_3xx 1m1s")
	f("refused for an hour", 1, at(-60), 400, 0, "dead_lettered refused")
	f("not yet an hour", 1, at(-59), 400, 0, "retry http_4xx 2m1s")
}
