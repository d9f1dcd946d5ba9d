package ingest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
	"countersign/signing"
)

// TestVerdicts is every way to get every verdict: status, headers, body, label and log line.
func TestVerdicts(t *testing.T) {
	d := open(t)
	produced := map[verdict]bool{}
	f := func(source string, want verdict, status int, retryAfter, raw string) {
		t.Helper()
		before := d.count(source, want)
		a := d.ask(raw)
		produced[want] = true
		if a.status != status || a.header.Get("Retry-After") != retryAfter {
			t.Errorf("%s: %d, Retry-After %q; want %d, %q\n%.200s", want, a.status, a.header.Get("Retry-After"), status, retryAfter, raw)
		}
		if d.count(source, want) != before+1 {
			t.Errorf("%s/%s is not counted: %.200s", source, want, raw)
		}
		if got := a.header.Get("Allow"); (got == "POST") != (want == method) {
			t.Errorf("%s: Allow is %q", want, got)
		}
		if a.header.Get("Content-Type") != "text/plain" || a.header.Get("Server") != "" || len(a.body) > 40 {
			t.Errorf("%s: answered %v %q", want, a.header, a.body)
		}
		if want.taken() && want != handshake && a.body != "ok\n" && a.body != "thanks" {
			t.Errorf("%s: body %q", want, a.body)
		}
	}
	taken := func(source string, want verdict, raw string) { t.Helper(); f(source, want, 200, "", raw) }
	green := sample(t, "sumsub", "approved", provider.SampleVars{})

	for _, source := range []string{"sumsub", "persona", "rebilly", "trusting"} {
		taken(source, accepted, approval(t, source, "user-1"))
	}
	taken("sumsub", accepted, genuine(t, "sumsub?retry=1", green))
	taken("tokened", accepted, genuine(t, "tokened/"+token, green))
	for _, path := range []string{"sumsub/", "sumsub/?retry=1"} {
		taken("sumsub", accepted, genuine(t, path, green)) // one slash is forgiven
	}
	taken("tokened", accepted, genuine(t, "tokened/"+token+"/", green))
	for _, line := range []string{"Content-Encoding: IDENTITY", "Content-Encoding:   Identity \t", "Content-Encoding:"} {
		taken("sumsub", accepted, genuine(t, "sumsub", green, line))
	}
	taken("probe", accepted, genuine(t, "probe", "reply"))
	taken("probe", accepted, genuine(t, "probe", "keep"))
	taken("probe", ignored, genuine(t, "probe", "ignored"))
	taken("sumsub", ignored, genuine(t, "sumsub", `{"type":"applicantPersonalInfoChanged","externalUserId":"user-1","applicantId":"a"}`))
	taken("probe", handshake, genuine(t, "probe", "handshake"))
	taken("probe", accepted, genuine(t, "probe", "fetch"))
	taken("probe", ignored, genuine(t, "probe", "fault"))
	taken("published", accepted, genuine(t, "published", "reply", "X-Key: known"))
	for _, body := range []string{"unreadable", "nothing"} {
		taken("probe", quarantined, genuine(t, "probe", body))
	}
	taken("sumsub", quarantined, genuine(t, "sumsub", "this is no JSON"))
	taken("sumsub", quarantined, genuine(t, "sumsub", ""))
	taken("sumsub", quarantined, genuine(t, "sumsub", sample(t, "sumsub", "approved", provider.SampleVars{Livemode: true})))
	taken("prefixed", quarantined, genuine(t, "prefixed", sample(t, "sumsub", "approved", provider.SampleVars{Subject: "gamma:1"})))

	refused := func(source string, want verdict, status int, raw string) {
		t.Helper()
		f(source, want, status, "", raw)
	}
	digest := signed(t, "sumsub", green) // X-Payload-Digest-Alg, X-Payload-Digest
	for _, path := range []string{"//v1/callbacks/sumsub", "/v1/callbacks/./sumsub", "/v1/callbacks/x/../sumsub", "/v1/callbacks%2fsumsub", `/v1/callbacks\sumsub`, "/v1/callbacks/sumsub//", "http://gateway/v1/callbacks/sumsub"} {
		refused("unknown", badRequest, 400, post(path, green, digest...))
	}
	for _, line := range []string{"Content-Type: a\r\nContent-Type: b", "Content-Encoding: identity\r\ncontent-encoding: identity", "Content-Encoding: gzip", "X-Folded: a\r\n b"} {
		refused("sumsub", badRequest, 400, genuine(t, "sumsub", green, line))
	}
	refused("sumsub", badRequest, 400, strings.TrimSuffix(genuine(t, "sumsub", green+strings.Repeat(" ", 20_000)), " ")) // shorter than announced, longer than what is read ahead
	refused("sumsub", badRequest, 400, strings.TrimSuffix(genuine(t, "sumsub", green), "}"))
	refused("unknown", badRequest, 400, "POST /v1/callbacks/sumsub HTTP/1.1\r\nContent-Length: 0\r\n\r\n")

	path := pathPrefix + "sumsub"
	refused("sumsub", unsigned, 401, post(path, green))
	refused("sumsub", malformed, 401, post(path, green, "X-Payload-Digest: not-hex"))
	refused("sumsub", malformed, 401, genuine(t, "sumsub", green, digest[0])) // a proof that stands twice, even if both are right
	refused("sumsub", malformed, 401, genuine(t, "sumsub", green, digest[1]))
	refused("sumsub", mismatch, 401, post(path, green+" ", digest...))
	refused("sumsub", mismatch, 401, post(path, green, digest[1], "X-Payload-Digest-Alg: HMAC_SHA1_HEX"))
	refused("persona", stale, 401, old(t, 73*time.Hour))
	refused("persona", stale, 401, old(t, -6*time.Minute))

	refused("published", unsigned, 401, genuine(t, "published", "reply"))
	refused("published", mismatch, 401, genuine(t, "published", "reply", "X-Key: unknown"))
	f("published", noKey, 503, "30", genuine(t, "published", "reply", "X-Key: unreachable"))

	refused("walled", address, 403, genuine(t, "walled", green))
	for _, name := range []string{"nobody", "sumsub/x", "sumsub/x/", "Sumsub", "", "tokened", "tokened/", "tokened/tok-5b1fQ8", "tokened/" + token + "/x"} {
		refused("unknown", unknownSource, 404, post(pathPrefix+name, green, digest...))
	}
	refused("unknown", unknownSource, 404, post("/v1/callbacks", green, digest...))
	for _, m := range []string{"GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "post"} {
		refused("sumsub", method, 405, request(m, path, ""))
	}
	refused("sumsub", noLength, 411, request("POST", path, ""))
	refused("sumsub", noLength, 411, request("POST", path, "", "Transfer-Encoding: identity"))
	refused("sumsub", badRequest, 400, post(path, green, "Transfer-Encoding: identity"))
	taken("sumsub", accepted, inChunks(genuine(t, "sumsub", green), 100))
	refused("sumsub", mismatch, 401, inChunks(genuine(t, "sumsub", green)+" ", 100))
	refused("small", tooLarge, 413, inChunks(genuine(t, "small", strings.Repeat("x", 1001)), 100))
	refused("small", tooLarge, 413, genuine(t, "small", strings.Repeat("x", 1001)))
	refused("unknown", longHeader, 431, post(path, green, "X-Long: "+strings.Repeat("h", 16<<10)))

	taken("slow", accepted, genuine(t, "slow", green))
	f("slow", tooFast, 429, "1", genuine(t, "slow", green))
	taken("other", accepted, genuine(t, "other", green, TriggerHeader+": true")) // of a test source in the sandbox
	d.set.Load().sources["other"].Livemode = true
	refused("other", triggered, 403, genuine(t, "other", green, TriggerHeader+": true"))
	refused("other", triggered, 403, genuine(t, "other", green, strings.ToLower(TriggerHeader)+": 1"))
	for v, err := range map[verdict]error{backlog: journal.ErrBacklog, unasked: journal.ErrQuestions, full: journal.ErrFull, unforwarded: journal.ErrNotForwarded, undecided: errors.New("input/output error")} {
		d.held.set(fmt.Errorf("append: %w", err), nil)
		after := map[verdict]string{backlog: "30", unasked: "30", full: "30", unforwarded: "5", undecided: "1"}[v]
		f("sumsub", v, 503, after, genuine(t, "sumsub", green))          // Append
		f("sumsub", v, 503, after, genuine(t, "sumsub", "unreadable"))   // Hold
		f("probe", v, 503, after, genuine(t, "probe", "keep"))           // Hold with records
		taken("probe", ignored, genuine(t, "probe", "ignored: no disk")) // nothing to keep
	}
	d.held.set(nil, nil)
	f("probe", panicked, 503, "1", genuine(t, "probe", "panic"))
	d.budget(0)
	f("sumsub", noRoom, 503, "1", genuine(t, "sumsub", green))
	d.budget(1 << 20)
	taken("sumsub", accepted, genuine(t, "sumsub", green))
	d.stopping.Store(true)
	f("sumsub", stopping, 503, "1", genuine(t, "sumsub", green))

	for _, v := range verdicts {
		if !produced[v] {
			t.Errorf("no request was answered %s", v)
		}
	}
}

// old is a genuine Persona callback signed some time before the gateway's clock.
func old(t *testing.T, age time.Duration) string {
	t.Helper()
	body := sample(t, "persona", "approved", provider.SampleVars{})
	h := header1{}
	err := signing.Timestamped{Header: "Persona-Signature"}.Sign(&h, signing.Message{Time: at.Add(-age), Body: []byte(body)}, ring(t, hmacKey))
	if err != nil {
		t.Fatal(err)
	}
	return post(pathPrefix+"persona", body, "Persona-Signature: "+h.value)
}

// header1 has room for one header.
type header1 struct{ value string }

func (h *header1) Values(string) []string { return []string{h.value} }
func (h *header1) Set(_, v string)        { h.value = v }
func (h *header1) Add(_, v string)        { h.value = v }

// TestVerdictTable: the statuses of the API page and no others, and a label for each verdict from
// the first scrape.
func TestVerdictTable(t *testing.T) {
	d := open(t)
	for _, v := range verdicts {
		if !slices.Contains(statuses, v.status()) {
			t.Errorf("%s is answered %d", v, v.status())
		}
		if after := v.retryAfter(); (after != "") != (v.status() == 429 || v.status() == 503) {
			t.Errorf("%s (%d): Retry-After %q", v, v.status(), after)
		}
		for _, label := range []string{"unknown", "sumsub"} {
			if d.count(label, v) != 0 {
				t.Errorf("%s %s is not 0 at the start", label, v)
			}
		}
	}
	f := func(err error, want verdict) {
		t.Helper()
		if got := ofSignature(fmt.Errorf("verify: %w", err)); got != want || got.status() != 401 {
			t.Errorf("ofSignature(%v) = %s (%d), want %s", err, got, got.status(), want)
		}
	}
	f(signing.ErrMissing, unsigned)
	f(signing.ErrMalformed, malformed)
	f(signing.ErrMismatch, mismatch)
	f(signing.ErrStale, stale)
	f(errors.New("whatever else"), mismatch)
}

// statuses are all that a provider is ever answered.
var statuses = []int{200, 400, 401, 403, 404, 405, 411, 413, 429, 431, 503}

// TestFloodOfOneSource: the source that floods is slowed down, another is not (I6).
func TestFloodOfOneSource(t *testing.T) {
	d := open(t)
	flood, other := approval(t, "slow", "user-1"), approval(t, "sumsub", "user-1")
	slowed := 0
	for range 30 {
		if d.ask(flood).status == 429 {
			slowed++
		}
		if a := d.ask(other); a.status != 200 {
			t.Errorf("the other source was answered %d", a.status)
		}
	}
	if slowed < 20 {
		t.Errorf("%d of 30 were slowed down", slowed)
	}
}

// TestForwardedFor: X-Forwarded-For counts only as far as trusted proxies wrote it.
func TestForwardedFor(t *testing.T) {
	prefixes := func(texts ...string) (ps []netip.Prefix) {
		for _, text := range texts {
			ps = append(ps, netip.MustParsePrefix(text))
		}
		return ps
	}
	direct := open(t)
	proxied := open(t, func(o *Options) { o.TrustedProxies = prefixes("127.0.0.0/8", "10.0.0.0/8", "fd00::/8") })
	f := func(d *door, status int, lines ...string) {
		t.Helper()
		if a := d.ask(genuine(t, "walled", sample(t, "sumsub", "approved", provider.SampleVars{}), lines...)); a.status != status {
			t.Errorf("%q: %d, want %d", lines, a.status, status)
		}
	}
	const good, bad = "203.0.113.7", "198.51.100.9"
	f(direct, 403, "X-Forwarded-For: "+good) // nobody is trusted: what it says is the client's own word
	f(direct, 403, "Forwarded: for="+good, "X-Real-IP: "+good)

	f(proxied, 403) // the proxy itself
	f(proxied, 200, "X-Forwarded-For: "+good)
	f(proxied, 200, "X-Forwarded-For: "+bad+", "+good)
	f(proxied, 403, "X-Forwarded-For: "+good+", "+bad) // what stands to the left was written by the client
	f(proxied, 403, "X-Forwarded-For: "+good, "X-Forwarded-For: "+bad)
	f(proxied, 200, "X-Forwarded-For: "+bad, "X-Forwarded-For: "+good)
	f(proxied, 200, "X-Forwarded-For: "+good+", 10.1.2.3")
	f(proxied, 200, "X-Forwarded-For: "+good+",fd00::1 ,  10.1.2.3")
	f(proxied, 200, "X-Forwarded-For: ::ffff:"+good)
	f(proxied, 403, "X-Forwarded-For: "+good+", unknown, 10.1.2.3")
	f(proxied, 403, "X-Forwarded-For: "+good+", "+bad+":443")
	f(proxied, 200, "X-Forwarded-For: "+bad+", "+good+":443, [fd00::1]:8080, 10.1.2.3:1")
	f(proxied, 200, `X-Forwarded-For: "`+good+`:443", [fd00::1]`)
	f(proxied, 403, "X-Forwarded-For: "+good+":http")
	f(proxied, 403, "X-Forwarded-For: "+good+":99999")
	f(proxied, 403, "X-Forwarded-For: ["+good+"]")
	f(proxied, 403, `X-Forwarded-For: "`+good)
	f(proxied, 403, "X-Forwarded-For: "+good+",")
	f(proxied, 403, "X-Forwarded-For: ")
	f(proxied, 403, "X-Forwarded-For: 10.0.0.1, 10.0.0.2")
	f(proxied, 403, "X-Forwarded-For: "+good+"%eth0")
	f(proxied, 403, "X-Real-IP: "+good)
}

// TestForwarded: the standard's header counts like X-Forwarded-For, and where both are there they
// have to agree.
func TestForwarded(t *testing.T) {
	d := open(t, func(o *Options) {
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
		for i := range o.Sources {
			if o.Sources[i].Name == "walled" {
				o.Sources[i].Allow = append(o.Sources[i].Allow, netip.MustParsePrefix("2001:db8::/32"))
			}
		}
	})
	f := func(status int, lines ...string) {
		t.Helper()
		if a := d.ask(genuine(t, "walled", sample(t, "sumsub", "approved", provider.SampleVars{}), lines...)); a.status != status {
			t.Errorf("%q: %d, want %d", lines, a.status, status)
		}
	}
	const good, bad = "203.0.113.7", "198.51.100.9"
	f(200, "Forwarded: for="+good)
	f(200, "forwarded: proto=https; FOR="+good+";by=10.0.0.1")
	f(200, `Forwarded: for="`+good+`:4711"`)
	f(200, `Forwarded: for="[2001:db8::7]:4711", for=10.1.2.3`)
	f(200, `Forwarded: for="[2001:DB8::7]"`)
	f(200, "Forwarded: for="+bad+", for="+good)
	f(200, "Forwarded: for="+bad, "Forwarded: for="+good+",for=10.1.2.3")
	f(403, "Forwarded: for="+good+", for="+bad)
	f(403, "Forwarded: for="+good+", for=unknown")
	f(403, "Forwarded: for="+good+", for=_hidden, for=10.1.2.3")
	f(403, "Forwarded: for="+good+", proto=https") // it does not say who
	f(403, "Forwarded: for="+good+";for="+bad)
	f(403, "Forwarded: for="+good+";for="+good)
	f(403, "Forwarded: by="+good)
	f(403, "Forwarded: ")
	f(403, `Forwarded: host="x;for=`+good+`"`) // what stands in quotes is the client's
	f(403, `Forwarded: host="x, for=`+good+`"`)
	f(200, `Forwarded: host="x\", for=`+bad+`";for=`+good)
	f(403, `Forwarded: for=`+good+`, host="x`)

	f(200, "Forwarded: for="+good, "X-Forwarded-For: "+good)
	f(200, "Forwarded: for="+good, "X-Forwarded-For: "+bad+", "+good+":443")
	f(403, "Forwarded: for="+good, "X-Forwarded-For: "+bad) // whichever a proxy let through
	f(403, "Forwarded: for="+bad, "X-Forwarded-For: "+good)
	f(403, "Forwarded: for="+good, "X-Forwarded-For: 203.0.113.8")
	f(403, "Forwarded: for=unknown", "X-Forwarded-For: "+good)
}
