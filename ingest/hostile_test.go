package ingest

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"

	"countersign/ingest/provider"
)

// TestSmuggling sends what two HTTP parsers may read differently. Behind each stands a second,
// genuine callback: it must never be served from inside the first.
func TestSmuggling(t *testing.T) {
	d := open(t)
	hidden := approval(t, "sumsub", "smuggled")
	start := "POST /v1/callbacks/sumsub HTTP/1.1\r\nHost: h\r\n"
	// f wants one answer with this status, a closed connection, and nothing behind it served. 0: no
	// answer.
	f := func(name string, status int, raw string) {
		t.Helper()
		for _, half := range []bool{false, true} { // whoever waits for our close gets it too
			answers, closed := d.send(raw+hidden, half)
			got := 0
			if len(answers) > 0 {
				got = answers[0].status
			}
			if got != status || len(answers) > 1 || !closed {
				t.Errorf("%s: %d answers, first %d, closed %v; want one of %d, and closed", name, len(answers), got, closed, status)
			}
			if n := d.held.called(); n != 0 {
				t.Fatalf("%s: the hidden callback was taken", name)
			}
		}
	}
	f("CL and TE", 400, start+"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f("TE and CL", 400, start+"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n")
	f("CL and identity", 400, start+"Content-Length: 0\r\nTransfer-Encoding: identity\r\n\r\n")
	f("identity", 411, start+"Transfer-Encoding: identity\r\n\r\n")
	f("no length", 411, start+"\r\n")
	f("two different CL", 400, start+"Content-Length: 0\r\nContent-Length: 6\r\n\r\n")
	f("two equal CL", 400, start+"Content-Length: 0\r\nContent-Length: 0\r\n\r\n")
	f("a list of CL", 400, start+"Content-Length: 0, 0\r\n\r\n")
	f("CL with a plus", 400, start+"Content-Length: +5\r\n\r\nhello")
	f("CL with a minus", 400, start+"Content-Length: -1\r\n\r\n")
	f("CL in hex", 400, start+"Content-Length: 0x5\r\n\r\nhello")
	f("CL with a blank inside", 400, start+"Content-Length: 1 1\r\n\r\n")
	f("empty CL", 400, start+"Content-Length: \r\n\r\n")
	f("CL overflow", 400, start+"Content-Length: 99999999999999999999\r\n\r\nhi")
	f("CL wraps to 0", 400, start+"Content-Length: 18446744073709551616\r\n\r\n")
	f("TE xchunked", 400, start+"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n")
	f("TE list", 400, start+"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n")
	f("two TE", 400, start+"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n")
	f("TE with a vertical tab", 400, start+"Transfer-Encoding: \vchunked\r\nContent-Length: 0\r\n\r\n")
	f("space before the colon, CL", 400, start+"Content-Length : 5\r\n\r\nhello")
	f("space before the colon, TE", 400, start+"Transfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n")
	f("a blank in a header's name", 400, start+"X Sig: a\r\nContent-Length: 0\r\n\r\n")
	f("a bracket in a header's name", 400, start+"X(Sig): a\r\nContent-Length: 0\r\n\r\n")
	f("folded header", 400, start+"X-Sig: a\r\n b\r\nContent-Length: 0\r\n\r\n")
	f("folded CL", 400, start+"X-Sig: a\r\n Content-Length: 5\r\nContent-Length: 0\r\n\r\n")
	f("folded TE", 400, start+"Transfer-Encoding:\r\n chunked\r\nContent-Length: 0\r\n\r\n")
	f("first line folded", 400, strings.Replace(start, "Host", " Host", 1)+"Content-Length: 0\r\n\r\n")
	f("no Host", 400, "POST /v1/callbacks/sumsub HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
	f("two Hosts", 400, start+"Host: other\r\nContent-Length: 0\r\n\r\n")
	f("NUL in a value", 400, start+"X-Sig: a\x00b\r\nContent-Length: 0\r\n\r\n")
	f("NUL in a name", 400, start+"X-S\x00ig: a\r\nContent-Length: 0\r\n\r\n")
	f("bare CR", 400, start+"X-Sig: a\rContent-Length: 5\r\nContent-Length: 0\r\n\r\n")
	f("no colon", 400, start+"Content-Length\r\n\r\n")
	f("HTTP/1.0 and TE", 400, "POST /v1/callbacks/sumsub HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f("HTTP/0.9", 400, "POST /v1/callbacks/sumsub\r\n\r\n")
	f("HTTP/2 preface", 400, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	f("absolute form", 400, "POST http://h/v1/callbacks/sumsub HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
	f("absolute form, other host", 400, "POST http://evil/v1/callbacks/sumsub HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
	f("CONNECT", 400, "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n")
	f("asterisk", 400, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
	f("GET with a body", 405, "GET /v1/callbacks/sumsub HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
	f("GET whose body is the callback", 405, fmt.Sprintf("GET /v1/callbacks/sumsub HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", len(hidden)))
	f("Upgrade", 411, start+"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n")
	f("unknown source with a body", 404, strings.Replace(start, "sumsub", "nobody", 1)+"Content-Length: 0\r\n\r\n")
	f("body too large", 413, start+"Content-Length: 2000000\r\n\r\n"+strings.Repeat("x", 8<<10))
	f("long header", 431, start+"X-Sig: "+strings.Repeat("a", 17_000)+"\r\nContent-Length: 0\r\n\r\n")
	f("HTTP/1.2", 411, strings.Replace(start, "1.1", "1.2", 1)+"\r\n")
}

// TestPipelining: requests that are plainly two are two, in order; and a genuine callback inside a
// body is no callback.
func TestPipelining(t *testing.T) {
	d := open(t)
	first, second := approval(t, "sumsub", "user-1"), approval(t, "sumsub", "user-2")
	large := genuine(t, "sumsub", sample(t, "sumsub", "approved", provider.SampleVars{Subject: "user-3"})+strings.Repeat(" ", 50_000))
	answers, closed := d.send(first+large+second+genuine(t, "probe", "ignored")+request("GET", pathPrefix+"sumsub", "")+first, true)
	var got []int
	for _, a := range answers {
		got = append(got, a.status)
	}
	if want := []int{200, 200, 200, 200, 405}; len(got) != 5 || got[4] != 405 || got[0]+got[1]+got[2]+got[3] != 800 || !closed {
		t.Errorf("answers %v, closed %v; want %v and closed", got, closed, want)
	}
	var subjects []string
	for _, u := range d.updates() {
		subjects = append(subjects, u.Subject.ID)
	}
	if strings.Join(subjects, " ") != "user-1 user-3 user-2" {
		t.Errorf("taken in the order %v", subjects)
	}
	if answers, _ := d.send(post(pathPrefix+"sumsub", first), true); len(answers) != 1 || answers[0].status != 401 {
		t.Errorf("a callback in the body of another: %v", answers)
	}
}

// TestPathTricks: nothing but callbacks is served here, however it is spelled.
func TestPathTricks(t *testing.T) {
	d := open(t)
	admin := []string{"/metrics", "/healthz", "/readyz", "/debug/pprof/", "/debug/pprof/heap", "/v1/deliveries", "/v1/partners", "/v1/quarantine", "/v1/openapi.json", "/", "/index.html"}
	prefixes := []string{"", "/v1/callbacks/..", "/v1/callbacks/sumsub/../../..", "/v1/callbacks/sumsub/%2e%2e/%2e%2e/%2e%2e", "/v1/callbacks/%2e%2e%2f..", "/.", "//h", "/%2561", "/v1/callbacks/sumsub;", "http://h", `/\..`}
	for _, prefix := range prefixes {
		for _, path := range admin {
			for _, m := range []string{"GET", "POST", "HEAD"} {
				answers, closed := d.send(request(m, prefix+path, "", "Content-Length: 0"), m != "HEAD")
				if len(answers) != 1 && m != "HEAD" || !closed {
					t.Fatalf("%s %s%s: %d answers, closed %v", m, prefix, path, len(answers), closed)
				}
				for _, a := range answers {
					if a.status != 400 && a.status != 404 && (m == "POST" || a.status != 405) {
						t.Errorf("%s %s%s: answered %d", m, prefix, path, a.status)
					}
				}
			}
		}
	}
	f := func(status int, path string) {
		t.Helper()
		if a := d.ask(post(path, "x")); a.status != status {
			t.Errorf("%s: %d, want %d", path, a.status, status)
		}
	}
	f(401, "/v1/callbacks/sumsub")
	f(401, "/v1/callbacks/sumsub?a=/../b%2f&c=//")
	f(404, "/v1/callbacks/sumsub#x")
	f(404, "/v1/callbacks/sumsub;x")
	f(404, "/V1/callbacks/sumsub")
	f(401, "/v1/callbacks/sumsub/") // one slash is forgiven
	f(400, "/v1/callbacks/sumsub//")
	f(404, "/v1/callbacks/sumsub/x/")
	f(404, "/v1/callbacks/")
	f(400, "/v1/callbacks/%73umsub")
	f(400, "/v1/callbacks/%2573umsub")
	f(400, "/v1//callbacks/sumsub")
	f(400, "/v1/callbacks//sumsub")
	f(400, "/v1/callbacks/./sumsub")
	f(400, "/v1/callbacks/x/../sumsub")
	f(400, "/v1/callbacks/x%2f..%2fsumsub")
	f(400, `/v1/callbacks/x\..\sumsub`)
	f(400, "/v1/callbacks/sumsub%00")
	f(400, "v1/callbacks/sumsub")
}

// TestBodies is where a body begins and ends.
func TestBodies(t *testing.T) {
	d := open(t)
	padded := func(n int) string {
		body := sample(t, "sumsub", "approved", provider.SampleVars{})
		return body + strings.Repeat(" ", n-len(body))
	}
	f := func(source string, status, n int) {
		t.Helper()
		body := padded(n)
		if a := d.ask(genuine(t, source, body)); a.status != status {
			t.Errorf("%s, %d bytes: %d, want %d", source, n, a.status, status)
		}
		if status == 413 {
			return
		}
		if a := d.ask(post(pathPrefix+source, body[:n-1]+"x", signed(t, source, body)...)); a.status != 401 {
			t.Errorf("%s, %d bytes, the last one changed: %d, want 401", source, n, a.status)
		}
		for _, missing := range []int{1, n / 2, n} {
			raw := genuine(t, source, body)
			if a := d.ask(raw[:len(raw)-missing]); a.status != 400 {
				t.Errorf("%s, %d of %d bytes missing: %d, want 400", source, missing, n, a.status)
			}
		}
	}
	for _, n := range []int{500, leastRoom - 1, leastRoom, leastRoom + 1, 64 << 10, 1<<20 - 1, 1 << 20} {
		f("sumsub", 200, n)
	}
	f("sumsub", 413, 1<<20+1)
	f("small", 200, 999)
	f("small", 200, 1000)
	f("small", 413, 1001)
	f("small", 413, 3<<20)
	want := 7 + 2
	if n := len(d.updates()); n != want {
		t.Errorf("%d records, want %d", n, want)
	}
	// Two answers on one connection: a large body is read to its end, and not further.
	answers, _ := d.send(genuine(t, "sumsub", padded(100_000))+genuine(t, "sumsub", padded(leastRoom+1)), true)
	if len(answers) != 2 || answers[0].status != 200 || answers[1].status != 200 {
		t.Errorf("two large bodies: %v", answers)
	}
}

// TestHead: a HEAD is refused without a body, so that the next answer is not read from the middle
// of this one.
func TestHead(t *testing.T) {
	d := open(t)
	c := d.dial()
	io.WriteString(c, request("HEAD", pathPrefix+"sumsub", ""))
	b, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 405 ") || !strings.HasSuffix(string(b), "\r\n\r\n") || !strings.Contains(string(b), "Allow: POST\r\n") {
		t.Errorf("%q, %v", b, err)
	}
}

// TestExpect: who waits for 100 Continue gets it only if its body is wanted, and else is refused
// without it.
func TestExpect(t *testing.T) {
	d := open(t)
	body := sample(t, "sumsub", "approved", provider.SampleVars{}) + strings.Repeat(" ", 20_000)
	for _, form := range []string{"100-continue", "100-Continue", " 100-CONTINUE "} {
		for _, raw := range []string{genuine(t, "sumsub", body, "Expect: "+form), inChunks(genuine(t, "sumsub", body, "Expect: "+form), 5000)} {
			head, rest, _ := strings.Cut(raw, "\r\n\r\n")
			c := d.dial()
			r := bufio.NewReader(c)
			io.WriteString(c, head+"\r\n\r\n")
			if a, err := read(r); err != nil || a.status != 100 {
				t.Fatalf("%d, %v; want 100", a.status, err)
			}
			io.WriteString(c, rest)
			if a, err := read(r); err != nil || a.status != 200 {
				t.Errorf("%d, %v; want 200", a.status, err)
			}
			if strings.Contains(head, "chunked") {
				continue // one that comes in chunks is the last on its connection
			}
			io.WriteString(c, approval(t, "sumsub", "user-2"))
			if a, err := read(r); err != nil || a.status != 200 {
				t.Errorf("the next: %d, %v; want 200", a.status, err)
			}
			io.WriteString(c, post(pathPrefix+"nobody", "x")) // what was admitted is forgotten
			if a, err := read(r); err != nil || a.status != 404 {
				t.Errorf("a stranger on the same connection: %d, %v; want 404", a.status, err)
			}
		}
	}
	for raw, status := range map[string]int{
		post(pathPrefix+"nobody", body, "Expect: 100-continue"):                               404,
		genuine(t, "walled", body, "Expect: 100-Continue"):                                    403,
		genuine(t, "small", body, "Expect: 100-continue"):                                     413,
		request("POST", pathPrefix+"sumsub", "x", "Expect: 100-continue"):                     411,
		request("PUT", pathPrefix+"sumsub", "x", "Expect: 100-continue", "Content-Length: 1"): 405,
	} {
		head, rest, _ := strings.Cut(raw, "\r\n\r\n")
		for _, waits := range []bool{true, false} {
			c, called := d.dial(), d.held.called()
			io.WriteString(c, head+"\r\n\r\n")
			if !waits {
				io.WriteString(c, rest+approval(t, "sumsub", "smuggled"))
			}
			r := bufio.NewReader(c)
			if a, err := read(r); err != nil || a.status != status || a.body != "" {
				t.Errorf("%.60s: %d, %v; want %d at once, and no body", head, a.status, err, status)
			}
			io.WriteString(c, approval(t, "sumsub", "smuggled"))
			if _, err := r.Peek(1); timedOut(err) || err == nil || d.held.called() != called {
				t.Errorf("%.60s: %v, taken %v", head, err, d.held.called() != called)
			}
		}
	}
}
