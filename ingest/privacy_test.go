package ingest

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"countersign/ingest/provider"
)

// The canaries stand for what nobody may see (I7): a name in a body, a signature, a path token, a
// key.
const (
	canaryBody   = "CANARY-Jane-Doe"
	canaryHeader = "CANARY-signature-77"
	canaryPath   = "CANARY-path-31"
)

var canaries = []string{"CANARY", "Jane", token, hmacKey, basicKey, "cmViaWxseTpwYXNzd29yZC05"} // the last: basicKey in base64

// TestNothingIsShown sends secrets and personal data down every path that refuses, and finds none
// in the log, at any level, nor in an answer, nor in a metric.
func TestNothingIsShown(t *testing.T) {
	d := open(t)
	body := fmt.Sprintf(`{"type":"applicantReviewed","externalUserId":5,"name":%q}`, canaryBody)
	secret := "X-Payload-Digest: " + canaryHeader
	raws := []string{
		post(pathPrefix+"sumsub", body, secret, "Authorization: "+canaryHeader),
		post(pathPrefix+"sumsub", body, signed(t, "sumsub", body+" ")...),
		post(pathPrefix+"rebilly", body, "Authorization: Basic "+canaryHeader),
		post(pathPrefix+"rebilly", body, append(signed(t, "rebilly", body), "Authorization: "+canaryHeader)...),
		post(pathPrefix+"persona", body, "Persona-Signature: t=1,v1="+canaryHeader),
		genuine(t, "sumsub", body),                 // unreadable: a number where a text belongs
		genuine(t, "sumsub", canaryBody),           // unreadable: no JSON
		genuine(t, "rebilly", body),                // unreadable
		genuine(t, "probe", "panic "+canaryBody),   // unreadable, by the fake
		genuine(t, "probe", "panic:"+canaryBody),   // an adapter that puts the body into its panic
		genuine(t, "probe", "index:"+canaryBody),   // one of the runtime's own
		genuine(t, "probe", "keep:"+canaryBody),    // applied and kept
		genuine(t, "probe", "nothing:"+canaryBody), // kept
		post(pathPrefix+"probe", "panic in verify: "+canaryBody, secret),
		genuine(t, "prefixed", sample(t, "sumsub", "approved", provider.SampleVars{Subject: canaryBody + ":1"})),
		post(pathPrefix+"tokened/"+canaryPath, body, secret),
		post(pathPrefix+"tokened/"+token+"/"+canaryPath, body, secret),
		post(pathPrefix+"tokened/"+token+"%2f", body, secret),
		post(pathPrefix+"tokened//"+token, body, secret),
		post(pathPrefix+canaryPath, body, secret),
		post("/"+canaryPath, body, secret),
		post(pathPrefix+"sumsub?name="+canaryBody, body, secret),
		request("GET", pathPrefix+"tokened/"+token, ""),
		request("POST", pathPrefix+"sumsub", body, secret, "Content-Length: 5", "Content-Length: 6"),
		request("POST", pathPrefix+"sumsub", body, secret, "Content-Length: "+canaryHeader),
		request("POST", pathPrefix+"sumsub", body, secret, "Transfer-Encoding: "+canaryHeader),
		request("POST", pathPrefix+"sumsub", body, secret+"\x00"),
		request("POST", pathPrefix+"sumsub", body, "Authorization: "+canaryHeader+"\x01"),
		request("POST", pathPrefix+"sumsub", body, "X "+canaryHeader+": 1"),
		request("POST", pathPrefix+"sumsub", body, canaryHeader+" : 1"),
		request("POST", pathPrefix+"sumsub", body, canaryHeader),
		request("POST", pathPrefix+"sumsub", body, "Trailer: "+canaryHeader+"\x7f", "Trailer: Authorization"),
		request("POST", pathPrefix+"sumsub", body, "Content-Length: 0", "X-Long: "+strings.Repeat(canaryHeader, 2000)),
		request("POST", pathPrefix+"sumsub", "zz;"+canaryBody+"\r\n", secret, "Transfer-Encoding: chunked"),
		"POST " + pathPrefix + canaryPath + " " + canaryHeader + "\r\nHost: h\r\n\r\n",
		"POST http://[" + canaryHeader + pathPrefix + canaryPath + " HTTP/1.1\r\nHost: " + canaryHeader + "\r\n\r\n",
		"POST " + pathPrefix + "sumsub HTTP/1.1\r\nHost: [" + canaryHeader + "\r\n\r\n",
		canaryHeader + "\r\n\r\n",
		strings.TrimSuffix(post(pathPrefix+"sumsub", strings.Repeat(canaryBody, 2000), secret), "4"),
	}
	for _, raw := range raws {
		for range 2 { // the second time with whatever the first left in fasthttp's pools
			answers, closed := d.send(raw, true)
			if len(answers) > 1 || !closed {
				t.Errorf("%d answers, closed %v: %.200q", len(answers), closed, raw)
			}
			for _, a := range answers {
				d.clean("an answer to "+raw[:min(len(raw), 60)], fmt.Sprint(a))
			}
		}
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	log := d.log.String()
	d.clean("the log", log)
	for _, line := range []string{`"callback_refused"`, `"ingress_panic"`, `"ingress_connection"`, `"runtime error: index out of range`, `"panic":"*`, `"panic":"string"`} {
		if !strings.Contains(log, line) {
			t.Errorf("the log has no %s: these paths were not walked", line)
		}
	}
	families, err := d.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	d.clean("the metrics", fmt.Sprint(families))
}

// TestTakenIsLogged: at debug, and only there, a callback that is taken is one line with our ids of
// its updates, and nothing of whom it is about.
func TestTakenIsLogged(t *testing.T) {
	f := func(level slog.Level, lines int) {
		t.Helper()
		var log book
		d := open(t, func(o *Options) { o.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: level})) })
		for _, raw := range []string{approval(t, "sumsub", canaryBody), genuine(t, "probe", "ignored")} {
			if a := d.ask(raw); a.status != 200 {
				t.Fatalf("%d", a.status)
			}
		}
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		text := log.String()
		if n := strings.Count(text, `"callback_accepted"`); n != lines {
			t.Errorf("%s: %d lines, want %d:\n%s", level, n, lines, text)
		}
		d.clean("the log", text)
		want := fmt.Sprintf(`"source":"sumsub","verdict":"accepted","updates":[%q]`, d.updates()[0].ID)
		if lines > 0 && (!strings.Contains(text, want) || !strings.Contains(text, `"source":"probe","verdict":"ignored","updates":[]`)) {
			t.Errorf("the log has no %s:\n%s", want, text)
		}
	}
	f(slog.LevelDebug, 2)
	f(slog.LevelInfo, 0)
}

func (d *door) clean(where, text string) {
	d.t.Helper()
	for _, c := range canaries {
		if i := strings.Index(text, c); i >= 0 {
			d.t.Errorf("%s shows %q: …%s…", where, c, text[max(0, i-200):min(len(text), i+60)])
		}
	}
}

// TestNothingUnprovenIsTranslated is I7: an adapter sees no byte of a callback without proof.
func TestNothingUnprovenIsTranslated(t *testing.T) {
	d := open(t)
	body := "ignored"
	proof := signed(t, "probe", body)
	f := func(translated int64, raw string) {
		t.Helper()
		before := d.probe.translated.Load()
		d.send(raw, true)
		if got := d.probe.translated.Load() - before; got != translated {
			t.Errorf("translated %d times, want %d: %.200s", got, translated, raw)
		}
	}
	path := pathPrefix + "probe"
	f(1, post(path, body, proof...))
	f(0, post(path, body))
	f(0, post(path, body, "X-Probe: "))
	f(0, post(path, body, "X-Probe: zz"))
	f(0, post(path, body+" ", proof...))
	f(0, post(path, strings.ToUpper(body), proof...))
	f(0, post(path, body, proof[0], proof[0]))
	f(0, post(path, body, strings.Repeat("0", 64)))
	f(0, post(path, body, signed(t, "sumsub", body)...))
	f(1, request("POST", path, "7\r\nignored\r\n0\r\n\r\n", append(proof, "Transfer-Encoding: chunked")...))
	f(0, request("POST", path, "7\r\nignored\r\n0\r\n"+proof[0]+"\r\n\r\n", "Transfer-Encoding: chunked")) // a proof behind the body
	f(0, request("POST", path, "6\r\nignore\r\n1\r\nD\r\n0\r\n\r\n", append(proof, "Transfer-Encoding: chunked")...))
	f(0, request("PUT", path, body, append(proof, "Content-Length: 7")...))
	f(0, post(path+"/x", body, proof...))
	f(0, strings.TrimSuffix(post(path, body, proof...), "d")) // one byte short
	d.stopping.Store(true)
	f(0, post(path, body, proof...))
	if n := len(d.records()); n != 0 {
		t.Errorf("%d records", n)
	}
}

// TestMutations changes one byte of a genuine request at a time: only the known answers come back,
// never two, and none that lets another body in.
func TestMutations(t *testing.T) {
	d := open(t)
	body := sample(t, "sumsub", "approved", provider.SampleVars{Subject: "user-1"})
	raw := genuine(t, "sumsub", body)
	sum := len(d.updates())
	if d.ask(raw).status != 200 || len(d.updates()) != sum+1 {
		t.Fatal("the request is not genuine")
	}
	want := d.updates()[0].BodySHA256
	length := strings.Index(raw, "Content-Length: ") + len("Content-Length: ")
	rnd := rand.New(rand.NewPCG(7, 31))
	for range 400 {
		at, b := rnd.IntN(len(raw)), byte(rnd.IntN(256))
		mutant := raw[:at] + string([]byte{b}) + raw[at+1:]
		answers, closed := d.send(mutant, true)
		shorter := at >= length && at < length+3 // what is left of the body is the next request, and no readable one
		if len(answers) > 1 && !shorter || !closed {
			t.Errorf("%d answers to %q", len(answers), mutant)
		}
		for _, a := range answers {
			if !slices.Contains(statuses, a.status) || a.status == 200 && at >= len(raw)-len(body) && mutant != raw {
				t.Errorf("byte %d = %#x: answered %d", at, b, a.status)
			}
		}
	}
	for _, u := range d.updates() {
		if u.BodySHA256 != want {
			t.Errorf("a changed body was taken: %+v", u)
		}
	}
}
