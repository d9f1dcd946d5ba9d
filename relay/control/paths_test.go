package control

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"countersign/kyc"
)

// raw makes one request whose path goes out as it is written here: an http.Client, or a proxy,
// might tidy it up.
func (g *rig) raw(token, method, path, body string) (code int, text string) {
	g.t.Helper()
	u, err := url.Parse(g.url)
	if err != nil {
		g.t.Fatal(err)
	}
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		g.t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret-%s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", method, path, token, len(body), body)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	var b strings.Builder
	if err := resp.Write(&b); err != nil {
		g.t.Fatal(err)
	}
	return resp.StatusCode, b.String()
}

// TestNamesOfDots: a subject may be called "." or "..", or hold a slash or a per cent sign, in
// every call that names one, however the caller writes it.
func TestNamesOfDots(t *testing.T) {
	g := newRig(t)
	for id, written := range map[string][]string{
		".": {".", "%2E", "%2e"}, "..": {"..", "%2E%2E", "%2e.", ".%2E"}, "a/../b": {"a%2F..%2Fb"}, "%2e": {"%252e"}, "...": {"..."}, "a//b": {"a%2F%2Fb"}, ".a": {".a"},
	} {
		for _, w := range written {
			f := func(method, path, body, want string) {
				t.Helper()
				if code, text := g.raw("ada", method, strings.ReplaceAll(path, "ID", w), body); code != 200 || !strings.Contains(text, want) {
					t.Errorf("%q written %q: %s %s: %d %s\nwant %s", id, w, method, path, code, text, want)
				}
			}
			named := fmt.Sprintf("%q", id)
			f("POST", "/v1/test_helpers/users/ID/kyc?partner=acme", `{"status":"rejected","retryable":true}`, `"user_id":`+named)
			f("GET", "/v1/users/ID/kyc?partner=acme", "", `"user_id":`+named)
			f("GET", "/v1/users/ID/kyc?partner=acme&format=canonical", "", `"id":`+named)
			f("GET", "/v1/subjects/acme/ID", "", `"id":`+named)
			f("POST", "/v1/subjects/acme/ID/decisions", `{"source":"test_helpers","check":"identity_verification","status":"approved","reason":"x"}`, `"subject":`+named)
			f("GET", "/v1/policies/acme", "", `"partner":"acme"`)
			g.folded()
			if got, err := g.relay.SubjectStatus("acme", id, false); err != nil || got.Status != kyc.Approved {
				t.Errorf("%q: %s, %v", id, got.Status, err)
			}
		}
	}
	for _, path := range []string{"/v1/./endpoints", "/v1/x/../endpoints", "/v1/endpoints/.", "/v1/users/../endpoints"} { // nothing is a step up
		if code, text := g.raw("ada", "GET", path, ""); code != 404 {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	for _, path := range []string{"/v1/users/./kyc?partner=acme", "/v1/users/../kyc?partner=acme"} { // and a partner sees its own only
		if code, text := g.raw("pia", "GET", strings.ReplaceAll(path, "acme", "beta"), ""); code != 403 {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
}
