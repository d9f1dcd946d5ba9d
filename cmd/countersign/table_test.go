package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

// TestAllPages walks a list of three pages, as a table and as one list of JSON. One that breaks off
// is no list.
func TestAllPages(t *testing.T) {
	const many = 2*rowsAtOnce + 1
	list := func(breaks bool) func(context.Context, client.Page) (api.List[int], error) {
		return func(_ context.Context, p client.Page) (l api.List[int], err error) {
			from := 0
			fmt.Sscan(p.Cursor, &from)
			if breaks && from > 0 {
				return l, errors.New("it broke")
			}
			for i := from; i < min(from+p.Limit, many); i++ {
				l.Data = append(l.Data, i)
			}
			if l.HasMore = from+p.Limit < many; l.HasMore {
				l.Next = strconv.Itoa(from + p.Limit)
			}
			return l, nil
		}
	}
	f := func(asJSON, all, breaks bool) (string, error) {
		var out bytes.Buffer
		c := &console{out: &out, err: &out, ctx: t.Context()}
		err := lists(c, jsonFlag{asJSON}, pageFlags{Limit: 100, All: all}, list(breaks), &table{head: []string{"N", "TWICE"}}, func(t *table, n *int) { t.add(strconv.Itoa(*n), strconv.Itoa(2**n)) })
		return out.String(), err
	}
	if out, err := f(false, false, false); err != nil || strings.Count(out, "\n") != 102 || !strings.HasSuffix(out, "99  198\nmore: --cursor 100\n") || !strings.HasPrefix(out, "N   TWICE\n0   0\n") {
		t.Errorf("a page: %v\n%s", err, out)
	}
	if out, err := f(false, true, false); err != nil || strings.Count(out, "\n") != many+3 || !strings.HasSuffix(out, "\n2000  4000\n") || strings.Contains(out, "more") {
		t.Errorf("all: %v\n%s", err, out[len(out)-100:])
	}
	var v api.List[int]
	if out, err := f(true, true, false); err != nil || json.Unmarshal([]byte(out), &v) != nil || v.Object != "list" || len(v.Data) != many || v.Data[many-1] != many-1 || v.HasMore {
		t.Errorf("all as JSON: %v, %d of %d", err, len(v.Data), many)
	}
	if out, err := f(true, true, true); err == nil || json.Valid([]byte(out)) {
		t.Errorf("a list that breaks off passes for one: %v", err)
	}
}

// TestTables: columns stand under their heads, nothing stands behind the last, an empty cell can be
// counted, and an empty list says nothing to a pipe.
func TestTables(t *testing.T) {
	var out, errs bytes.Buffer
	c := &console{out: &out, err: &errs}
	tab := &table{head: []string{"ID", "WHO", "WHEN"}}
	tab.add("a-long-one", "", when(time.Date(2026, 3, 1, 10, 0, 0, 999, time.FixedZone("", 3600))))
	tab.add("b", "x\ty\n\x1b[2J", when(time.Time{}))
	c.print(tab)
	if want := "ID          WHO              WHEN\na-long-one  -                2026-03-01T09:00:00Z\nb           x\\u0009y\\u000a\\u001b[2J  -\n"; strings.Join(strings.Fields(out.String()), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("%s", out.String())
	}
	lines := strings.Split(out.String(), "\n")
	if at := strings.Index(lines[0], "WHEN"); strings.Index(lines[1], "2026") != at || lines[2][at:] != "-" {
		t.Errorf("columns do not stand under their heads:\n%s", out.String())
	}
	out.Reset()
	empty := func(context.Context, client.Page) (api.List[int], error) { return api.Page[int](nil, false), nil }
	for _, all := range []bool{false, true} {
		if err := lists(c, jsonFlag{}, pageFlags{All: all}, empty, tab, func(*table, *int) {}); err != nil || out.Len() > 0 || errs.Len() == 0 {
			t.Errorf("an empty list: %v %q %q", err, out.String(), errs.String())
		}
	}
}

// TestExitCodes: what a gateway answers, or that none does, is a code that a script can trust, and
// with --json the same in its own words.
func TestExitCodes(t *testing.T) {
	var answers atomic.Int64
	answers.Store(http.StatusOK)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(int(answers.Load()))
		json.NewEncoder(w).Encode(api.Error{Error: api.Fault{Type: "a_type", Code: "a_code", Message: "said so", Param: "id"}})
	}))
	defer s.Close()
	f := func(url string, want int, wantCode string, args ...string) {
		t.Helper()
		env := map[string]string{urlVariable: url, tokenVariable: someToken}
		code, _, errs := cli(t, env, args...)
		if code != want || (want == exitYes) != (errs == "") || want != exitYes && !strings.Contains(errs, "countersign: ") {
			t.Errorf("%d, %q: exit %d, want %d: %s", answers.Load(), args, code, want, errs)
		}
		code, _, errs = cli(t, env, append(args, "--json")...)
		var v struct{ Error failure }
		if err := json.Unmarshal([]byte(errs), &v); code != want || want != exitYes && (err != nil || v.Error.Exit != want || v.Error.Code != wantCode || v.Error.Type == "" || v.Error.Message == "") {
			t.Errorf("%d, %q as JSON: exit %d, want %d with %s: %v %s", answers.Load(), args, code, want, wantCode, err, errs)
		}
	}
	resume := []string{"endpoints", "resume", "acme-main"} // it is sent once
	f(s.URL, exitYes, "", resume...)
	for status, want := range map[int]int{
		400: exitNo, 401: exitUnpermitted, 403: exitUnpermitted, 404: exitUnknown, 409: exitNo, 412: exitNo, 413: exitNo, 421: exitNo, 429: exitNotNow, 500: exitNo, 502: exitNotNow, 503: exitNotNow, 504: exitNotNow,
	} {
		answers.Store(int64(status))
		f(s.URL, want, "a_code", resume...)
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	f(gone.URL, exitNotNow, "unreachable", resume...)
	f(gone.URL, exitUsage, "usage", "endpoints", "nosuch")
	f("nowhere", exitUsage, "usage", resume...)
	f("", exitNo, "config", "restore", "x", "--yes", "--config", "none.yaml")
	f("", exitNo, "failed", "sign", "--scheme", "nosuch", "--key", "env:X", "--body", "-")
}
