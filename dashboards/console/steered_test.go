package console

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/relay/control/api"
)

// TestPlotsOfEndpoint: each endpoint has its own share and its own mean, of so many endpoints only,
// and whoever takes a place that has become free begins anew.
func TestPlotsOfEndpoint(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	reg := prometheus.NewRegistry()
	attempts := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "countersign_relay_attempts_total", Help: "Attempts."}, []string{"endpoint", "outcome"})
	seconds := prometheus.NewSummaryVec(prometheus.SummaryOpts{Name: "countersign_relay_endpoint_attempt_seconds", Help: "Their time."}, []string{"endpoint"})
	reg.MustRegister(attempts, seconds)
	r := newRing(reg, c.now)
	for i := range mostEndpoints + 5 {
		attempts.WithLabelValues(fmt.Sprintf("e%03d", i), "done")
	}
	pass := func(id string, done, failed int, took float64) {
		for range done {
			attempts.WithLabelValues(id, "done").Inc()
			seconds.WithLabelValues(id).Observe(took)
		}
		for range failed {
			attempts.WithLabelValues(id, "retry").Inc()
			seconds.WithLabelValues(id).Observe(took)
		}
	}
	for range 361 {
		c.at = c.at.Add(fineEvery)
		pass("e000", 3, 1, .25)
		pass("e001", 0, 2, .5)
		r.sample()
	}
	f := func(id, share, mean string) {
		t.Helper()
		list, why := r.plotsOf(id, false)
		if why != "" || len(list) != 3 || list[0].Lines[0].Now != share || list[1].Lines[0].Now != mean {
			t.Errorf("%s: %q %+v, want %s and %s", id, why, list, share, mean)
		}
	}
	f("e000", "75 %", "250")
	f("e001", "0 %", "500")
	f("e002", "–", "–") // nothing was tried
	if _, why := r.plotsOf("e204", false); !strings.Contains(why, "more than 200 endpoints") {
		t.Errorf("of one too many it is said: %q", why)
	}
	if n := len(r.last.each); n != mostEndpoints {
		t.Errorf("a sample has %d endpoints", n)
	}
	attempts.DeleteLabelValues("e000", "done")
	attempts.DeleteLabelValues("e000", "retry")
	seconds.DeleteLabelValues("e000")
	c.at = c.at.Add(fineEvery)
	r.sample()
	if list, why := r.plotsOf("e200", false); why != "" || !list[0].Empty {
		t.Errorf("whoever took the place of another has its samples: %q %+v", why, list)
	}
}

// TestBar: the phases of an attempt follow each other, and come to the whole.
func TestBar(t *testing.T) {
	f := func(try api.Try, kinds string) {
		t.Helper()
		b, x := barOf(&try), 0.0
		var got []string
		for _, p := range b.Parts {
			got = append(got, p.Kind)
			at, _ := strconv.ParseFloat(p.X, 64)
			width, _ := strconv.ParseFloat(p.Width, 64)
			if math.Abs(at-x) > .02 || width < 0 {
				t.Errorf("%+v: %s begins at %v, want %v", try, p.Kind, at, x)
			}
			x = at + width
		}
		if strings.Join(got, " ") != kinds || len(got) > 0 && math.Abs(x-barWidth) > .03 {
			t.Errorf("%+v is drawn as %q up to %v, want %q", try, got, x, kinds)
		}
	}
	f(api.Try{}, "")
	f(api.Try{TookMS: 10}, "other")
	f(api.Try{TookMS: 10, DNSMS: 1, ConnectMS: 2, TLSMS: 3, FirstByteMS: 3}, "dns connect tls first other")
	f(api.Try{TookMS: 10, ConnectMS: 10}, "connect")
	f(api.Try{TookMS: 10, DNSMS: 9, FirstByteMS: 30}, "dns first") // more than the whole
	f(api.Try{TookMS: 1, FirstByteMS: -5}, "other")
}

// TestKeyLine: keys are drawn within the drawing, and said in words.
func TestKeyLine(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	if keyLineOf(nil, now) != nil {
		t.Error("no keys are drawn")
	}
	l := keyLineOf([]api.EndpointKey{
		{ID: "new", Status: "signs", MadeAt: now.Add(-time.Hour)},
		{ID: "old", Status: "signs", MadeAt: now.Add(-1000 * time.Hour), Until: now.Add(23 * time.Hour)},
		{ID: "older", Status: "ended", Until: now.Add(-2000 * time.Hour)},
	}, now)
	for _, k := range l.Keys {
		x, _ := strconv.ParseFloat(k.X, 64)
		width, _ := strconv.ParseFloat(k.Width, 64)
		if x < 0 || width < 0 || x+width > keyWidth+2 {
			t.Errorf("%+v leaves the drawing", k)
		}
	}
	if !l.Overlap || !strings.Contains(l.Says, "old: signs, made 2026-12-04 16:00, until 2027-01-16 07:00") {
		t.Errorf("%+v", l)
	}
}

// TestResults: what came of an attempt, in plain words.
func TestResults(t *testing.T) {
	f := func(reason string, code int, detail, want string) {
		t.Helper()
		if got := resultOf(reason, code, detail); got != want {
			t.Errorf("%s %d %q: %q, want %q", reason, code, detail, got, want)
		}
	}
	f("http_5xx", 503, "", "HTTP 503")
	f("exhausted", 404, "", "HTTP 404")
	f("connect", 0, "connect: connection refused", "no response: connection refused")
	f("exhausted", 0, "connect: connection refused", "no response: connection refused")
	f("timeout", 0, "", "no response: timed out")
	f("skipped", 0, "", "an operator skipped it")
	f("", 0, "", "")
	f("dns", 0, "", "no response: dns")
}
