package attack

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Route is a call of the control listener, and who may make it: v, o and a are tokens of scope
// viewer, operator and admin, p one of the partner whose business it is, q one of another, who is
// answered about its own, and * anybody without a token.
type Route struct {
	Pattern string
	path    string // with what the pattern leaves open
	body    string
	Who     string
}

// Routes are all that there are, by docs/API.md and docs/OPERATIONS.md. A test compares them with
// those that the gateway has.
func Routes() []Route {
	return []Route{
		{"GET /healthz", "/healthz", "", "*"},
		{"GET /readyz", "/readyz", "", "*"},
		{"GET /metrics", "/metrics", "", "*"},
		{"GET /runbooks/{alert}", "/runbooks/CountersignPanics", "", "*"},
		{"GET /v1/openapi.json", "/v1/openapi.json", "", "*"},
		{"GET /debug/pprof/", "/debug/pprof/", "", "*"},
		{"GET /debug/pprof/cmdline", "/debug/pprof/cmdline", "", "*"},
		{"GET /debug/pprof/symbol", "/debug/pprof/symbol", "", "*"},
		{"GET /v1/quarantine", "/v1/quarantine", "", "voa"},
		{"GET /v1/quarantine/{id}", "/v1/quarantine/none", "", "oa"},
		{"POST /v1/quarantine/{id}/release", "/v1/quarantine/none/release", "{}", "oa"},
		{"POST /v1/quarantine/{id}/discard", "/v1/quarantine/none/discard", "{}", "oa"},
		{"POST /v1/quarantine/{id}/take-back", "/v1/quarantine/none/take-back", `{"reason":"r"}`, "oa"},
		{"GET /v1/quarantine/{id}/translation", "/v1/quarantine/none/translation", "", "oa"},
		{"GET /v1/sources", "/v1/sources", "", "voa"},
		{"POST /v1/sources/{name}/explain", "/v1/sources/open/explain", "{}", "oa"},
		{"GET /v1/questions", "/v1/questions", "", "voa"},
		{"POST /v1/questions/discard", "/v1/questions/discard", `{"id":"none"}`, "oa"},
		{"GET /v1/questions/old", "/v1/questions/old?source=open&older=1h", "", "voa"},
		{"POST /v1/questions/discard-old", "/v1/questions/discard-old", `{"source":"open","older":"1h"}`, "oa"},
		{"GET /v1/refs/conflicts", "/v1/refs/conflicts", "", "voa"},
		{"POST /v1/refs/settle", "/v1/refs/settle", `{"id":"none"}`, "oa"},
		{"GET /v1/whoami", "/v1/whoami", "", "voapq"},
		{"GET /v1/tokens", "/v1/tokens", "", "a"},
		{"POST /v1/tokens/{name}", "/v1/tokens/mallory", `{"scope":"none"}`, "a"},
		{"POST /v1/tokens/{name}/revoke", "/v1/tokens/none/revoke", "{}", "a"},
		{"GET /v1/replays", "/v1/replays", "", "voa"},
		{"POST /v1/replays", "/v1/replays", `{"kind":"none"}`, "oa"},
		{"GET /v1/replays/{id}", "/v1/replays/none", "", "voa"},
		{"POST /v1/replays/{id}/pause", "/v1/replays/none/pause", "", "oa"},
		{"POST /v1/replays/{id}/resume", "/v1/replays/none/resume", "", "oa"},
		{"POST /v1/replays/{id}/cancel", "/v1/replays/none/cancel", "", "oa"},
		{"GET /v1/withheld", "/v1/withheld", "", "voa"},
		{"POST /v1/withheld/{id}/acknowledge", "/v1/withheld/none@acme-main/acknowledge", `{"reason":"r"}`, "oa"},
		{"GET /v1/audit", "/v1/audit", "", "voa"},
		{"GET /v1/audit/verify", "/v1/audit/verify", "", "voa"},
		{"POST /v1/backup", "/v1/backup", `{}`, "oa"},
		{"POST /v1/reload", "/v1/reload", `{"dry_run":true}`, "oa"},
		{"GET /v1/compact", "/v1/compact", "", "voa"},
		{"POST /v1/compact", "/v1/compact", `{"dry_run":true}`, "oa"},
		{"GET /v1/subjects", "/v1/subjects?partner=acme", "", "voap"},
		{"GET /v1/subjects/{partner}/{id}", "/v1/subjects/acme/ann", "", "voa"},
		{"GET /v1/subjects/{partner}/{id}/export", "/v1/subjects/acme/ann/export", "", "oa"},
		{"POST /v1/subjects/{partner}/{id}/erase", "/v1/subjects/acme/ann/erase", `{"because":"r","dry_run":true}`, "oa"},
		{"GET /v1/subjects/{partner}/{id}/erasure", "/v1/subjects/acme/ann/erasure", "", "voa"},
		{"POST /v1/subjects/{partner}/{id}/decisions", "/v1/subjects/acme/ann/decisions", "{}", "oa"},
		{"POST /v1/subjects/{partner}/{id}/rebuild", "/v1/subjects/acme/ann/rebuild", `{"reason":"r"}`, "oa"},
		{"GET /v1/set-aside", "/v1/set-aside", "", "voa"},
		{"GET /v1/policies/{partner}", "/v1/policies/acme", "", "voa"},
		{"POST /v1/policies/{partner}/apply", "/v1/policies/acme/apply", "", "oa"},
		{"POST /v1/submissions", "/v1/submissions", `{"partner":"acme","subject":"ann","source":"open","provider_ref":"r-1"}`, "oap"},
		{"GET /v1/users/{id}/kyc", "/v1/users/ann/kyc?partner=acme", "", "voap"},
		{"POST /v1/test_helpers/users/{id}/kyc", "/v1/test_helpers/users/ann/kyc?partner=acme", `{"status":"pending"}`, "oap"},
		{"GET /v1/endpoints", "/v1/endpoints", "", "voapq"},
		{"POST /v1/endpoints/{id}/resume", "/v1/endpoints/acme-main/resume", "", "oap"},
		{"POST /v1/endpoints/{id}/pause", "/v1/endpoints/nobody/pause", "", "oa"},
		{"GET /v1/endpoints/{id}/keys", "/v1/endpoints/acme-main/keys", "", "voap"},
		{"POST /v1/endpoints/{id}/rotate", "/v1/endpoints/acme-main/rotate", `{"kind":"none"}`, "oap"},
		{"POST /v1/endpoints/{id}/keys/{key}/revoke", "/v1/endpoints/acme-main/keys/none/revoke", "", "oap"},
		{"POST /v1/endpoints/{id}/ping", "/v1/endpoints/nobody/ping", "", "oap"},
		{"GET /v1/deliveries", "/v1/deliveries?status=dead_lettered&endpoint=acme-main", "", "voap"},
		{"GET /v1/deliveries/{id}", "/v1/deliveries/none@acme-main", "", "oap"},
		{"GET /v1/deliveries/{id}/attempts", "/v1/deliveries/none@acme-main/attempts", "", "voap"},
		{"POST /v1/deliveries/{id}/retry-now", "/v1/deliveries/none@acme-main/retry-now", "", "oap"},
		{"POST /v1/deliveries/{id}/skip", "/v1/deliveries/none@acme-main/skip", "", "oa"},
		{"POST /v1/deliveries/{id}/cancel", "/v1/deliveries/none@acme-main/cancel", `{"because":"r"}`, "oa"},
		{"POST /v1/endpoints/{id}/retry-now", "/v1/endpoints/acme-main/retry-now", "", "oa"},
		{"GET /v1/search", "/v1/search?q=none", "", "voa"},
		{"POST /v1/deliveries/{id}/redeliver", "/v1/deliveries/none@acme-main/redeliver", "{}", "oap"},
		{"GET /v1/partners", "/v1/partners", "", "voapq"},
		{"POST /v1/partners", "/v1/partners", `{"id":"NONE"}`, "oa"},
		{"GET /v1/partners/{id}", "/v1/partners/acme", "", "voap"},
		{"PATCH /v1/partners/{id}", "/v1/partners/acme", "{}", "oa"},
		{"DELETE /v1/partners/{id}", "/v1/partners/acme", "", "oa"},
		{"GET /v1/partners/{id}/endpoints", "/v1/partners/acme/endpoints", "", "voap"},
		{"POST /v1/partners/{id}/endpoints", "/v1/partners/acme/endpoints", `{"id":"NONE"}`, "oap"},
		{"GET /v1/endpoints/{id}", "/v1/endpoints/acme-main", "", "voap"},
		{"PATCH /v1/endpoints/{id}", "/v1/endpoints/acme-main", "{}", "oap"},
		{"DELETE /v1/endpoints/{id}", "/v1/endpoints/acme-main", "", "oap"},
		{"POST /v1/endpoints/{id}/give-up", "/v1/endpoints/acme-main/give-up", "{}", "oa"},
	}
}

// caller is somebody who calls, and which letter of Who is theirs; "": none.
type caller struct{ name, header, letter string }

func (t *Target) callers() []caller {
	bearer := func(text string) string { return "Bearer " + text }
	return []caller{
		{"nobody", "", ""},
		{"an empty token", "Bearer ", ""},
		{"a wrong token", bearer("token-of-nobody"), ""},
		{"half a token", bearer(token("ada")[:12]), ""},
		{"two tokens", bearer(token("vera") + ", " + bearer(token("ada"))), ""},
		{"basic", "Basic " + token("ada"), ""},
		{"a bare token", token("ada"), ""},
		{"a viewer", bearer(token("vera")), "v"},
		{"an operator", bearer(token("otto")), "o"},
		{"an admin", bearer(token("ada")), "a"},
		{"the operator's token file", bearer(t.Token), "a"},
		{"the partner", bearer(token("paula")), "p"},
		{"another partner", bearer(token("quentin")), "q"},
	}
}

var allMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"}

// Calls makes every call as everybody, and in every method.
func Calls(ctx context.Context, t *Target) (*Section, error) {
	s := &Section{Name: "control"}
	for _, r := range Routes() {
		method, _, _ := strings.Cut(r.Pattern, " ")
		for _, c := range t.callers() {
			s.Tried++
			status, err := t.as(ctx, method, r.path, r.body, c.header, "")
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.Pattern, err)
			}
			if fault := r.judge(&c, status); fault != "" {
				s.fault("%s by %s: %d, %s", r.Pattern, c.name, status, fault)
			}
		}
		for _, other := range allMethods {
			if other == method || hasRoute(other, r.path) || other == "HEAD" && (method == "GET" || hasRoute("GET", r.path)) {
				continue
			}
			s.Tried++
			status, err := t.as(ctx, other, r.path, "", "Bearer "+token("ada"), "")
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", other, r.path, err)
			}
			if !slices.Contains([]int{400, 403, 404, 405, 501}, status) {
				s.fault("%s %s: %d, there is no such call", other, r.path, status)
			}
		}
	}
	for _, f := range []func(context.Context, *Target, *Section) error{hosts, hostileIDs, othersBusiness} {
		if err := f(ctx, t, s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func hasRoute(method, path string) bool {
	return slices.ContainsFunc(Routes(), func(r Route) bool { return r.path == path && strings.HasPrefix(r.Pattern, method+" ") })
}

// judge says what is wrong with a status; "": nothing.
func (r *Route) judge(c *caller, status int) string {
	switch {
	case status >= 500:
		return "its own fault"
	case r.Who == "*":
		if status != http.StatusOK {
			return "anybody may"
		}
	case c.letter == "":
		if status != http.StatusUnauthorized && status != http.StatusTooManyRequests {
			return "a token is needed"
		}
	case c.letter == "q" && !strings.Contains(r.Who, "q"): // the same call about another partner's business
		if status != http.StatusForbidden && status != http.StatusNotFound {
			return "it is not that partner's business"
		}
	case strings.Contains(r.Who, c.letter):
		if status == http.StatusUnauthorized || status == http.StatusForbidden {
			return "it may"
		}
	case status != http.StatusForbidden:
		return "it may not"
	default:
	}
	return ""
}

// as makes a call over a connection of its own, under any Host and in any method, and returns the
// status.
func (t *Target) as(ctx context.Context, method, path, body, authorization, host string) (int, error) {
	addr := strings.TrimPrefix(t.Control, "http://")
	nc, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, fmt.Errorf("the control listener cannot be reached: %w", err)
	}
	defer nc.Close() //nolint:errcheck // read to its end
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	if host == "" {
		host = addr
	}
	text := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", method, path, host, len(body))
	if authorization != "" {
		text += "Authorization: " + authorization + "\r\n"
	}
	if _, err := io.WriteString(nc, text+"\r\n"+body); err != nil {
		return 0, err
	}
	res, err := http.ReadResponse(bufio.NewReader(nc), &http.Request{Method: method})
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return res.StatusCode, res.Body.Close()
}

// hosts: a page in a browser on this machine, whose name was made to be of this machine, must not
// reach the listener.
func hosts(ctx context.Context, t *Target, s *Section) error {
	_, port, err := net.SplitHostPort(strings.TrimPrefix(t.Control, "http://"))
	if err != nil {
		return err
	}
	for _, h := range []struct {
		host string
		ok   bool
	}{
		{"127.0.0.1:" + port, true},
		{"localhost:" + port, true},
		{"[::1]:" + port, true},
		{"127.0.0.1", true},
		{"evil.example:" + port, false},
		{"evil.example", false},
		{"127.0.0.1.evil.example:" + port, false},
		{"localhost.evil.example", false},
		{"evil.example@127.0.0.1", false},
		{"192.0.2.1:" + port, false},
		{"0x7f000001", false},
	} {
		for _, path := range []string{"/metrics", "/v1/quarantine", "/healthz", "/debug/pprof/cmdline"} {
			s.Tried++
			status, err := t.as(ctx, "GET", path, "", "Bearer "+token("ada"), h.host)
			if err != nil {
				return err
			}
			if (status == http.StatusOK) != h.ok {
				s.fault("GET %s of host %s: %d", path, h.host, status)
			}
		}
	}
	return nil
}

// hostileIDs: an id that is nobody's must be refused wherever it stands, and never be somebody
// else's.
func hostileIDs(ctx context.Context, t *Target, s *Section) error {
	if err := t.settled(ctx, "ann"); err != nil {
		return err
	}
	ids := []string{"%01t", "%01tann", "ann%00", "ann%0a", "%7f", "%c2%85", "ann%1b%5b2J", "%ff", "%e2%80", strings.Repeat("a", 5000)}
	for _, id := range ids {
		for _, c := range []struct{ method, path, body string }{
			{"GET", "/v1/users/" + id + "/kyc?partner=acme", ""},
			{"GET", "/v1/users/" + id + "/kyc?partner=acme&livemode=true", ""},
			{"GET", "/v1/subjects/acme/" + id, ""},
			{"GET", "/v1/subjects/" + id + "/ann", ""},
			{"POST", "/v1/subjects/acme/" + id + "/decisions", `{"status":"approved","reason":"r"}`},
			{"POST", "/v1/subjects/acme/" + id + "/rebuild", `{"reason":"r"}`},
			{"POST", "/v1/test_helpers/users/" + id + "/kyc?partner=acme", `{"status":"approved"}`},
			{"GET", "/v1/policies/" + id, ""},
			{"GET", "/v1/quarantine/" + id, ""},
			{"POST", "/v1/endpoints/" + id + "/pause", ""},
			{"POST", "/v1/endpoints/" + id + "/resume", ""},
			{"POST", "/v1/endpoints/" + id + "/give-up", "{}"},
			{"POST", "/v1/endpoints/" + id + "/ping", ""},
			{"POST", "/v1/deliveries/" + id + "/redeliver", "{}"},
			{"GET", "/v1/replays/" + id, ""},
			{"POST", "/v1/replays/" + id + "/cancel", ""},
			{"POST", "/v1/withheld/" + id + "/acknowledge", `{"reason":"r"}`},
		} {
			s.Tried++
			status, err := t.as(ctx, c.method, c.path, c.body, "Bearer "+token("ada"), "")
			if err != nil {
				return err
			}
			if status < 400 || status >= 500 {
				s.fault("%s %.80s: %d", c.method, c.path, status)
			}
		}
	}
	return nil
}

// othersBusiness: what a partner may do, it may do about its own users only.
func othersBusiness(ctx context.Context, t *Target, s *Section) error {
	for _, c := range []struct {
		name, method, path, body, who string
		want                          []int
	}{
		{"reads its own", "GET", "/v1/users/ann/kyc", "", "paula", []int{200}},
		{"reads another's", "GET", "/v1/users/ann/kyc", "", "quentin", []int{404}},
		{"reads another's by name", "GET", "/v1/users/ann/kyc?partner=acme", "", "quentin", []int{403, 404}},
		{"reads another's in the other mode", "GET", "/v1/users/ann/kyc?livemode=true&partner=acme", "", "quentin", []int{403, 404}},
		{"binds at another's source", "POST", "/v1/submissions", `{"subject":"ann","source":"open","provider_ref":"ann-ref"}`, "quentin", []int{400, 403, 404}},
		{"binds for another", "POST", "/v1/submissions", `{"partner":"acme","subject":"eve","source":"open","provider_ref":"eve-ref"}`, "quentin", []int{400, 403, 404}},
		{"looks at another's endpoint", "GET", "/v1/endpoints/acme-main", "", "quentin", []int{404}},
		{"looks at another partner", "GET", "/v1/partners/acme", "", "quentin", []int{404}},
		{"makes another an endpoint", "POST", "/v1/partners/acme/endpoints", `{"id":"quentins","url":"http://127.0.0.1:9/"}`, "quentin", []int{404}},
		{"changes another's endpoint", "PATCH", "/v1/endpoints/acme-main", `{"url":"http://127.0.0.1:9/"}`, "quentin", []int{404}},
		{"removes another's endpoint", "DELETE", "/v1/endpoints/acme-main", "", "quentin", []int{404}},
		{"lists another's deliveries", "GET", "/v1/deliveries?status=dead_lettered&endpoint=acme-main", "", "quentin", []int{404}},
		{"looks at another's delivery", "GET", "/v1/deliveries/none@acme-main", "", "quentin", []int{404}},
		{"looks at another's attempts", "GET", "/v1/deliveries/none@acme-main/attempts", "", "quentin", []int{404}},
		{"hurries another's delivery", "POST", "/v1/deliveries/none@acme-main/retry-now", "", "quentin", []int{404}},
		{"lists another's person", "GET", "/v1/deliveries?partner=acme&subject=ann", "", "quentin", []int{403, 404}},
		{"drives another's", "POST", "/v1/test_helpers/users/ann/kyc?partner=acme", `{"status":"approved"}`, "quentin", []int{403, 404}},
	} {
		s.Tried++
		status, answer, err := t.call(ctx, c.method, c.path, token(c.who), c.body)
		if err != nil {
			return err
		}
		if !slices.Contains(c.want, status) {
			s.fault("%s %s: %d %s", c.who, c.name, status, answer)
		}
	}
	status, answer, err := t.call(ctx, http.MethodGet, "/v1/endpoints", token("vera"), "")
	if err != nil || status != http.StatusOK || strings.Contains(answer, "secret=of-acme") {
		s.fault("a viewer reads an endpoint's address: %d %s, %v", status, answer, err)
	}
	return nil
}
