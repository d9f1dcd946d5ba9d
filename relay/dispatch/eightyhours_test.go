package dispatch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
	"time"

	"countersign/outbox"
	"countersign/relay/send"
)

// kind is one way in which an attempt can fail.
type kind struct {
	what string
	a    send.Answer
	err  error
}

func code(c int) kind { return kind{what: strconv.Itoa(c), a: send.Answer{Code: c}} }

// failures are real ones: what the client says of servers, networks and proxies that fail in each
// way.
func failures(t *testing.T) (ks []kind) {
	t.Helper()
	f := func(want string, o send.Options, url string, timeout time.Duration) {
		t.Helper()
		c := send.New(o)
		defer c.Close()
		a, err := c.Pool(send.PoolOptions{Name: want, Conns: 1}).Post(t.Context(), url, nil, []byte("{}"), timeout)
		if got := send.Classify(err); got != want {
			t.Fatalf("%s is said to be %q (%v)", want, got, err)
		}
		ks = append(ks, kind{want, a, err})
	}
	hangs := make(chan struct{})
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			<-hangs
			return
		}
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			c.Close()
		}
	}))
	t.Cleanup(p.Close)
	t.Cleanup(func() { close(hangs) })
	f(send.Reset, send.Options{}, p.URL+"/reset", patience)
	f(send.Timeout, send.Options{}, p.URL+"/hang", 50*time.Millisecond)
	f(send.RefusedAddress, send.Options{}, "http://10.0.0.1/", patience)
	f(send.Other, send.Options{}, "://", patience)
	f(send.DNS, send.Options{Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no name server")
	}}}, "http://partner.invalid/", patience)
	f(send.Connect, send.Options{}, "http://127.0.0.1:1", patience)
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	secure.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	secure.StartTLS()
	t.Cleanup(secure.Close)
	f(send.TLS, send.Options{}, secure.URL, patience)
	for code, reason := range map[int]string{407: send.ProxyAuth, 403: send.ProxyRefused, 502: send.ProxyFailed} {
		f(reason, send.Options{Proxy: answering(t, fmt.Sprintf("HTTP/1.1 %d No\r\n\r\n", code))}, "http://127.0.0.1:9/", patience)
	}
	return ks
}

// end says how the first delivery about bad ended, and after how long; "" while it is owed.
func (h *hours) end() string {
	h.t.Helper()
	for _, d := range h.dead() {
		if d.Subject == "acme/bad" && d.Sequence == 1 {
			return fmt.Sprint("dead ", d.Reason, " ", d.Failures)
		}
	}
	if h.outbox.Owed("a") > 0 {
		return ""
	}
	return "done"
}

// run lets the endpoint fail one delivery by answer, which is told how often that has been tried,
// until it has ended or a hundred hours have passed; a second before each try it does what before
// says.
func (h *hours) run(before func(tries int), answer func(tries int) kind) (how string, after time.Duration) {
	h.t.Helper()
	began, tries := h.now(), 0
	h.owe("bad", 1, h.restrictive)
	reply := func(d outbox.Delivery) (send.Answer, error) {
		if d.Lane != "acme/bad" || d.Sequence != 1 {
			return send.Answer{Code: http.StatusOK}, nil
		}
		tries++
		k := answer(tries)
		return k.a, k.err
	}
	h.try(reply)
	for h.now().Sub(began) < 100*time.Hour {
		if how = h.end(); how != "" {
			break
		}
		_, next := h.try(reply)
		if next.IsZero() {
			break
		}
		h.leap(next.Add(-time.Second))
		before(tries)
		h.try(reply)
		h.leap(next)
		h.try(reply)
	}
	return how, h.now().Sub(began)
}

// TestEightyHours: only an answer about the delivery itself, again and again over an hour in which
// the endpoint took others, lets the next of the person pass before the schedule has ended.
func TestEightyHours(t *testing.T) {
	t.Parallel()
	refusals := []int{400, 401, 402, 403, 404, 405, 406, 407, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 424, 426, 428, 431, 451, 499}
	later := failures(t)
	for _, c := range []int{101, 300, 301, 302, 303, 304, 307, 308, 408, 409, 423, 425, 429, 500, 501, 502, 503, 504, 505, 507, 511, 520, 599, 999} {
		later = append(later, code(c))
	}
	f := func(k kind, want string, least, most time.Duration) {
		t.Run(k.what, func(t *testing.T) {
			t.Parallel()
			h := newHours(t)
			how, after := h.run(func(int) { h.others() }, func(int) kind { return k })
			if how != want || after < least || after > most {
				t.Errorf("%s after %v, want %s after %v to %v", how, after, want, least, most)
			}
		})
	}
	for _, c := range refusals {
		f(code(c), "dead refused 8", time.Hour, 4*time.Hour)
	}
	for _, k := range later {
		f(k, "dead exhausted 15", 59*time.Hour, 90*time.Hour)
	}
	f(code(410), "dead http_410 1", 0, 0)
	f(code(204), "done", 0, 0)
}

// TestBrownOut: an endpoint that takes a tenth of what it is sent, for hours, loses nobody's
// rejection.
func TestBrownOut(t *testing.T) {
	t.Parallel()
	for _, k := range append(failures(t)[:2], code(429), code(503), code(408), code(423)) {
		t.Run(k.what, func(t *testing.T) {
			t.Parallel()
			h := newHours(t)
			const people = 60
			for i := range people {
				h.owe(fmt.Sprint("p", i), 1, true)
				h.owe(fmt.Sprint("p", i), 2, false)
			}
			r := rand.New(rand.NewPCG(7, 7))
			began, told := h.now(), []string{}
			for h.outbox.Owed("a") > 0 {
				_, next := h.try(func(d outbox.Delivery) (send.Answer, error) {
					if h.now().Sub(began) < 6*time.Hour && r.IntN(10) > 0 {
						return k.a, k.err
					}
					told = append(told, d.WebhookID)
					return send.Answer{Code: http.StatusOK}, nil
				})
				if next.IsZero() {
					break
				}
				h.leap(next)
			}
			slices.Sort(told)
			if n := len(slices.Compact(told)); n != 2*people || len(h.dead()) > 0 {
				t.Errorf("of %d people %d changes are told, %d are dead", people, n, len(h.dead()))
			}
		})
	}
}

// TestRefusalsAreProved: what is not proved keeps the schedule. The negative control is the first
// line.
func TestRefusalsAreProved(t *testing.T) {
	t.Parallel()
	always := func(int) kind { return code(422) }
	f := func(what, want string, before func(h *hours, tries int), answer func(tries int) kind) {
		t.Helper()
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := newHours(t)
			if how, after := h.run(func(tries int) { before(h, tries) }, answer); how != want {
				t.Errorf("%s after %v, want %s", how, after, want)
			}
		})
	}
	const refused, exhausted = "dead refused 8", "dead exhausted 15"
	others := func(h *hours, _ int) { h.others() }
	f("others are taken", refused, others, always)
	f("nobody else is told", exhausted, func(*hours, int) {}, always)
	f("others are taken at first, and then nobody", exhausted, func(h *hours, tries int) {
		if tries < 3 {
			h.others()
		}
	}, always)
	f("others are taken now and then", "dead refused 10", func(h *hours, tries int) { // nobody from half an hour on to an hour and a half
		if tries != 7 {
			h.others()
		}
	}, always)
	f("each second time it is overloaded", exhausted, others, func(tries int) kind { return code([]int{422, 503}[tries%2]) })
	f("each third time it is overloaded", exhausted, others, func(tries int) kind { return code([]int{400, 404, 429}[tries%3]) })
	f("restarts between", refused, func(h *hours, _ int) {
		h.reopen()
		h.others()
	}, always)
	f("a restart after each time others are taken", exhausted, func(h *hours, tries int) {
		h.others()
		h.try(func(d outbox.Delivery) (send.Answer, error) { return send.Answer{Code: 200}, nil })
		h.reopen()
	}, always)
}

// reopen stops everything and starts it again on the same file.
func (h *hours) reopen() {
	h.t.Helper()
	h.close()
	h.open()
}

// TestRefusedRejection: a rejection that is refused gives way to what is told after it, and to
// nothing else.
func TestRefusedRejection(t *testing.T) {
	t.Parallel()
	f := func(what, want string, next bool) {
		t.Helper()
		h := newHours(t)
		h.restrictive = true
		how, after := h.run(func(tries int) {
			if h.others(); next && tries == 1 {
				h.owe("bad", 2, true)
			}
		}, func(int) kind { return code(422) })
		if how != want {
			t.Errorf("%s: %s after %v, want %s", what, how, after, want)
		}
	}
	f("it is the newest", "dead exhausted 15", false)
	f("something is told after it", "dead refused 8", true)
}

// TestRetryAfterOfARejection: whatever an endpoint asks for, a rejection is tried again as the
// schedule says or after five minutes, and anything else after the endpoint's bound.
func TestRetryAfterOfARejection(t *testing.T) {
	t.Parallel()
	f := func(restrictive bool, most time.Duration) {
		t.Helper()
		h := newHours(t)
		h.retry.First, h.retry.Factor, h.retry.Max, h.retry.Jitter = time.Second, 1, time.Second, 0
		h.close()
		h.open()
		h.owe("bad", 1, restrictive)
		for n := 1; n < 15; n++ {
			tried := h.now()
			_, next := h.try(func(outbox.Delivery) (send.Answer, error) {
				return send.Answer{Code: []int{429, 503}[n%2], RetryAfter: 24 * time.Hour}, nil
			})
			if wait := next.Sub(tried); wait != most {
				t.Fatalf("restrictive %v: tried again after %v, want %v", restrictive, wait, most)
			}
			h.leap(next)
		}
	}
	f(true, 5*time.Minute)
	f(false, time.Hour)
}
