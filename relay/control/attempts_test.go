package control

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/outbox"
	"countersign/relay"
)

// TestAttemptsAreSeen: what a partner answered is shown of one delivery, and to those who see
// bodies; what went over the wire is shown to all. In lists, logs and metrics there is none of it.
func TestAttemptsAreSeen(t *testing.T) {
	g := newRig(t)
	g.tell("bad", 1, "rejected")
	const said = theirs + `\x1b[2J`
	f := func(who string, wantText bool) {
		t.Helper()
		token := Token{Name: who, Scope: scopes[who], Partner: "acme"}
		dead, err := g.outbox.FindDead(deadOf(t, g))
		if err != nil {
			t.Fatal(err)
		}
		tries, bodies, err := g.server.attempts(token, dead.Endpoint, dead.Subject, dead.Sequence, nil)
		if err != nil || len(tries) != 1 || bodies != wantText {
			t.Fatalf("%s sees %+v, bodies %v, %v", who, tries, bodies, err)
		}
		got := tries[0]
		if (got.Answer == said) != wantText || got.Answer != "" && !wantText || got.AnswerGone {
			t.Errorf("%s is shown %q, want it shown: %v", who, got.Answer, wantText)
		}
		if got.Outcome != "dead_lettered" || got.Code != 404 || got.AnswerBytes != int64(len(theirs)+4) || got.AnswerType != "text/plain; charset=utf-8" || got.TookMS <= 0 || got.FirstByteMS <= 0 ||
			"http://"+got.Address != g.partner.URL {
			t.Errorf("%s sees %+v", who, got)
		}
	}
	f("vera", false)
	f("otto", true)
	f("ada", true)
	f("pia", true)
	for _, who := range []string{"vera", "otto", "pia"} {
		a := g.call(who, "GET", "/v1/deliveries?status=dead_lettered", "")
		if a.code != 200 || a.header.Get("X-Content-Type-Options") != "nosniff" || len(a.data(t)) == 0 || strings.Contains(a.body, theirs) {
			t.Errorf("%s sees the list %s", who, a.body)
		}
	}
	for who, code := range map[string]int{"vera": 403, "otto": 200, "pia": 200, "bea": 404} {
		a := g.call(who, "GET", "/v1/deliveries/"+deadOf(t, g), "")
		if a.code != code || strings.Contains(a.body, theirs) != (code == 200) {
			t.Errorf("%s sees the delivery %d %s", who, a.code, a.body)
		}
	}
	for who, code := range map[string]int{"vera": 200, "otto": 200, "pia": 200, "bea": 404} {
		a := g.call(who, "GET", "/v1/deliveries/"+deadOf(t, g)+"/attempts", "")
		if a.code != code || strings.Contains(a.body, theirs) || strings.Contains(a.body, `"body":`) || code == 200 && !strings.Contains(a.body, `"code":404`) {
			t.Errorf("%s sees the attempts %d %s", who, a.code, a.body)
		}
	}
	if trail := g.call("vera", "GET", "/v1/audit", "").body; strings.Count(trail, `"call":"GET /v1/deliveries/{id}"`) != 3 || strings.Contains(trail, "/attempts") { // those that were seen, and the one that was not there
		t.Errorf("the trail says %s", trail)
	}
	for _, r := range g.server.routes() {
		if method, path, _ := strings.Cut(r.Pattern, " "); method == "GET" && r.Scope == Viewer {
			path = strings.NewReplacer("{partner}", "acme", "partners/{id}", "partners/acme", "endpoints/{id}", "endpoints/main", "{id}", "bad").Replace(path) + "?livemode=true&status=dead_lettered&partner=acme&source=sumsub-eu&older=1h"
			if a := g.call("vera", "GET", path, ""); strings.Contains(a.body, theirs) {
				t.Errorf("%s shows a viewer what the partner said: %s", path, a.body)
			}
		}
	}
	if a := g.call("ada", "GET", "/metrics?endpoint=main", "").body + g.call("ada", "GET", "/metrics", "").body; strings.Contains(a, theirs) || !strings.Contains(a, "relay_attempts_total") {
		t.Error("it stands in a metric, or there are none")
	}
	if log := g.log.String(); strings.Contains(log, theirs) || !strings.Contains(log, `"delivery_attempt"`) {
		t.Error("it was logged, or nothing was")
	}
}

func deadOf(t *testing.T, g *rig) string {
	t.Helper()
	list, _, err := g.outbox.ListDead(func(string) bool { return true }, "", 1)
	if err != nil || len(list) != 1 {
		t.Fatalf("dead: %+v, %v", list, err)
	}
	return list[0].ID
}

// TestAcceptedAttemptIsSeen: it stands behind those that failed, with what it was answered.
func TestAcceptedAttemptIsSeen(t *testing.T) {
	g := newRig(t)
	g.tell("bad", 1, "rejected")
	dead := deadOf(t, g)
	_, endpoint, _ := outbox.SplitID(dead)
	g.mu.Lock()
	g.thanks = "we know bad now\a"
	g.mu.Unlock()
	if a := g.call("otto", "POST", "/v1/deliveries/"+dead+"/redeliver", ""); a.code != 200 {
		t.Fatalf("%d %s", a.code, a.body)
	}
	var v relay.SubjectView
	at := -1
	eventually(t, "it is accepted", func() bool {
		var err error
		if v, err = g.relay.Subject("acme", "bad", true, relay.Asked{}); err != nil {
			t.Fatal(err)
		}
		at = slices.IndexFunc(v.Deliveries, func(o relay.OutcomeView) bool { return o.Endpoint == endpoint && o.Outcome == outbox.Done })
		return at >= 0
	})
	o := v.Deliveries[at]
	f := func(who, want string) {
		t.Helper()
		tries, bodies, err := g.server.attempts(Token{Name: who, Scope: scopes[who], Partner: "acme"}, o.Endpoint, "acme/bad", o.Sequence, v.Deliveries)
		if err != nil || len(tries) != 2 || tries[0].Outcome != "dead_lettered" || bodies != (want != "") {
			t.Fatalf("%s sees %+v, %v, %v", who, tries, bodies, err)
		}
		if got := tries[1]; got.Outcome != "done" || got.Code != 200 || got.Answer != want || got.AnswerBytes != 16 || got.FirstByteMS <= 0 || got.FirstByteMS > got.TookMS ||
			"http://"+got.Address != g.partner.URL || got.At.Before(tries[0].At) {
			t.Errorf("%s sees %+v", who, got)
		}
	}
	f("vera", "")
	f("otto", `we know bad now\a`)
}

// TestTryViewLosesNothing: each field of a try shows.
func TestTryViewLosesNothing(t *testing.T) {
	some := outbox.Try{
		At: time.Unix(1, 0), Outcome: "retry", Reason: "r", Code: 1, Detail: "d", Took: time.Millisecond, RefusedSince: time.Unix(2, 0), RefusedTimes: 3,
		Exchange: outbox.Exchange{
			DNS: time.Millisecond, Connect: time.Millisecond, TLS: time.Millisecond, FirstByte: time.Millisecond, Reused: true, Address: netip.MustParseAddrPort("192.0.2.7:443"),
			Answer: outbox.Answer{Text: "t", Type: "y", Bytes: 4, Cut: true, Gone: true},
		},
	}
	whole := viewTryInFull(&some)
	var without func(at reflect.Value, name string)
	without = func(at reflect.Value, name string) {
		for i := range at.NumField() {
			f, is := at.Field(i), name+at.Type().Field(i).Name
			if is == "Exchange" || is == "Exchange.Answer" {
				without(f, is+".")
				continue
			}
			was := reflect.New(f.Type()).Elem()
			was.Set(f)
			if f.IsZero() {
				t.Errorf("%s is not set", is)
			}
			f.SetZero()
			if got := viewTryInFull(&some); got == whole {
				t.Errorf("%s is not shown", is)
			}
			f.Set(was)
		}
	}
	without(reflect.ValueOf(&some).Elem(), "")
	for i, v := 0, reflect.ValueOf(whole); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("%s of the view is never set", v.Type().Field(i).Name)
		}
	}
}

// TestAnswerText: what is no text is said by its length and type.
func TestAnswerText(t *testing.T) {
	f := func(a outbox.Answer, want string) {
		t.Helper()
		if got := viewTryInFull(&outbox.Try{Exchange: outbox.Exchange{Answer: a}}).Answer; got != want {
			t.Errorf("%+v is shown as %q, want %q", a, got, want)
		}
	}
	f(outbox.Answer{}, "")
	f(outbox.Answer{Text: "no", Type: "text/plain", Bytes: 2}, "no")
	f(outbox.Answer{Type: "image/png", Bytes: 70}, "70 bytes of image/png")
	f(outbox.Answer{Bytes: 70}, "70 bytes that are no text")
	f(outbox.Answer{Type: "text/html", Bytes: 70, Gone: true}, "")
}
