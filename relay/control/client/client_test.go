package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign/relay/control/api"
)

// answers serves one status after another, the last one for ever, and counts the calls.
func answers(t *testing.T, header http.Header, statuses ...int) (c *Client, calls *atomic.Int64) {
	t.Helper()
	calls = &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := int(calls.Add(1))
		maps.Copy(w.Header(), header)
		status := statuses[min(n, len(statuses))-1]
		switch {
		case status == 0: // it ends in the middle
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			conn.Close()
			return
		case status != http.StatusOK:
			w.WriteHeader(status)
			json.NewEncoder(w).Encode(api.Error{Error: api.Fault{Type: "unavailable", Code: "journal_full", Message: "no room", Param: "p"}})
			return
		}
		fmt.Fprint(w, `{"object":"list","data":[],"has_more":false,"id":"d-1"}`)
	}))
	t.Cleanup(s.Close)
	return New(Options{Base: s.URL + "/", Token: "t", Rest: time.Millisecond}), calls
}

// TestRetries: what is safe is tried again as often as was said, and what is not is sent once.
func TestRetries(t *testing.T) {
	read := func(c *Client) error {
		_, err := c.ListEndpoints(t.Context(), Page{})
		return err
	}
	keyed := func(c *Client) error {
		_, err := c.Decide(t.Context(), "acme", "ann", nil, "key", api.DecisionAsk{})
		return err
	}
	order := func(c *Client) error {
		_, err := c.Decide(t.Context(), "acme", "ann", nil, "", api.DecisionAsk{})
		return err
	}
	f := func(what string, call func(*Client) error, wantCalls int64, wantStatus int, statuses ...int) {
		t.Helper()
		c, calls := answers(t, nil, statuses...)
		err := call(c)
		status := 0
		if e, ok := errors.AsType[*Error](err); ok {
			status = e.Status
		}
		if calls.Load() != wantCalls || status != wantStatus || (err == nil) != (wantStatus == 0) {
			t.Errorf("%s, answered %v: %d calls and %v; want %d and %d", what, statuses, calls.Load(), err, wantCalls, wantStatus)
		}
	}
	for what, call := range map[string]func(*Client) error{"a read": read, "an order with a key": keyed} {
		f(what, call, 1, 0, 200)
		f(what, call, 2, 0, 503, 200)
		f(what, call, 3, 0, 429, 502, 200)
		f(what, call, 3, 504, 504)
		f(what, call, 2, 0, 0, 200)
		for _, status := range []int{400, 401, 403, 404, 409, 421, 500} {
			f(what, call, 1, status, status)
		}
	}
	f("an order", order, 1, 0, 200)
	for _, status := range []int{429, 502, 503, 504} {
		f("an order", order, 1, status, status, 200)
	}
	c, calls := answers(t, nil, 0)
	if err := order(c); !errors.Is(err, ErrUnreachable) || calls.Load() != 1 {
		t.Errorf("an order whose answer never came: %d calls, %v", calls.Load(), err)
	}
}

// TestRetriesAreBounded: neither a gateway that has one wait for long nor one that never answers
// takes longer than was said.
func TestRetriesAreBounded(t *testing.T) {
	c, calls := answers(t, http.Header{"Retry-After": {"3600"}}, 503)
	c.o.Most = 2 * time.Second
	if _, err := c.ListEndpoints(t.Context(), Page{}); calls.Load() != 1 || err == nil || err.Error() != "no room" {
		t.Errorf("%d calls, %v", calls.Load(), err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0") // nobody reads what comes
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	silent := New(Options{Base: "http://" + ln.Addr().String(), Most: 50 * time.Millisecond})
	if _, err := silent.Health(t.Context()); !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody answered: %v", err)
	}
}

// TestErrors: an answer that is no gateway's is told by its status, and a body that is none is an
// error.
func TestErrors(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/set-aside" {
			fmt.Fprint(w, "<html>")
			return
		}
		http.Error(w, "<html>a proxy</html>", http.StatusForbidden)
	}))
	defer s.Close()
	c := New(Options{Base: s.URL})
	_, err := c.ListTokens(t.Context(), Page{})
	if e, ok := errors.AsType[*Error](err); !ok || e.Status != 403 || e.Type != "" || e.Error() != "the gateway answered 403 Forbidden" {
		t.Errorf("%#v", err)
	}
	if _, err := c.ListSetAside(t.Context(), Page{}); err == nil || !strings.Contains(err.Error(), "read the answer") {
		t.Errorf("HTML was read: %v", err)
	}
}

// TestPaths: every name is one segment of the path, and stays what it is.
func TestPaths(t *testing.T) {
	f := func(want string, names ...string) {
		t.Helper()
		if got := at("/v1/subjects/{partner}/{id}", names...); got != want {
			t.Errorf("%q: %s, want %s", names, got, want)
		}
	}
	f("/v1/subjects/acme/user-1", "acme", "user-1")
	f("/v1/subjects/acme/a%2Fb%3Fc%23d%25", "acme", "a/b?c#d%")
	f("/v1/subjects/acme/%2E%2E", "acme", "..")
	f("/v1/subjects/acme/%2E", "acme", ".")
	f("/v1/subjects/acme/.a", "acme", ".a")
	f("/v1/subjects/%7Bid%7D/%C3%BC", "{id}", "ü")
}

// TestAll goes over pages until there are no more, or until somebody has had enough.
func TestAll(t *testing.T) {
	var asked []Page
	list := func(_ context.Context, p Page) (l api.List[int], err error) {
		asked = append(asked, p)
		switch p.Cursor {
		case "":
			return api.List[int]{Data: []int{1, 2}, HasMore: true, Next: "b"}, nil
		case "b":
			return api.List[int]{Data: []int{3}, HasMore: true, Next: "c"}, nil
		case "c":
			return api.List[int]{Data: []int{4}}, nil
		default:
			return l, errors.New("no such page")
		}
	}
	collect := func(from Page, most int) (all []int, err error) {
		for n, e := range All(t.Context(), from, list) {
			if e != nil {
				return all, e
			}
			if all = append(all, n); len(all) == most {
				break
			}
		}
		return all, nil
	}
	f := func(from Page, most int, want string, wantErr bool, wantAsked int) {
		t.Helper()
		asked = nil
		if all, err := collect(from, most); fmt.Sprint(all) != want || (err != nil) != wantErr || len(asked) != wantAsked || asked[0] != from {
			t.Errorf("%v: %v, %v after %v", from, all, err, asked)
		}
	}
	f(Page{Limit: 2}, 0, "[1 2 3 4]", false, 3)
	f(Page{Limit: 2}, 1, "[1]", false, 1)
	f(Page{Cursor: "c"}, 0, "[4]", false, 1)
	f(Page{Cursor: "x"}, 0, "[]", true, 1)
}
