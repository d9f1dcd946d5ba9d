package attack

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestRoutes holds the table of routes to those that the gateway has: one that nobody attacks is a
// fault.
func TestRoutes(t *testing.T) {
	files, err := filepath.Glob("../../../relay/control/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	var theirs, ours []string
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"((?:GET|POST|PUT|PATCH|DELETE) /[^" ]*)"`).FindAllStringSubmatch(string(b), -1) {
			theirs = append(theirs, m[1])
		}
	}
	for _, r := range Routes() {
		ours = append(ours, r.Pattern)
	}
	for _, p := range theirs {
		if !slices.Contains(ours, p) && p != "GET /debug/pprof/profile" && p != "GET /debug/pprof/trace" { // these take their time
			t.Errorf("%s is attacked by nobody", p)
		}
	}
	for _, p := range ours {
		if !slices.Contains(theirs, p) {
			t.Errorf("there is no %s", p)
		}
	}
}

// TestSizes: a corpus that loses its forms finds nothing.
func TestSizes(t *testing.T) {
	forms := slices.Concat(requestLines(), paths(), headerForms(), lengths(), chunks(), smuggled(), noHTTP(), strangers())
	if len(forms) < 250 {
		t.Errorf("%d forms of raw HTTP", len(forms))
	}
	seen := map[string]bool{}
	for i, f := range forms {
		if text, err := f.fill(i); err != nil || strings.Contains(text, "SIGNED") || strings.Contains(text, "HIDDEN") || len(f.want) == 0 {
			t.Errorf("%s: %v", f.name, err)
		}
		if seen[f.name] {
			t.Errorf("two forms are called %s", f.name)
		}
		seen[f.name] = true
	}
	if n := len(urls()); n < 240 {
		t.Errorf("%d addresses", n)
	}
}

// TestJudge: what should not be is found.
func TestJudge(t *testing.T) {
	f := one("a form", "", bad)
	for _, c := range []struct {
		x    exchange
		want int
	}{
		{exchange{statuses: []int{400}, ended: true}, 0},
		{exchange{statuses: []int{200}, ended: true}, 1},
		{exchange{ended: true}, 1},
		{exchange{statuses: []int{400, 200}, ended: true}, 1},
		{exchange{statuses: []int{400}}, 1},
		{exchange{statuses: []int{400}, ended: true, rest: true}, 1},
	} {
		if got := f.judge(c.x); len(got) != c.want {
			t.Errorf("%+v: %q", c.x, got)
		}
	}
	r := Route{Pattern: "GET /v1/x", Who: "oap"}
	for letter, right := range map[string]int{"": 401, "v": 403, "o": 200, "a": 404, "p": 200, "q": 404} {
		for _, status := range []int{200, 401, 403, 404, 500} {
			fault := r.judge(&caller{letter: letter}, status)
			if status == right && fault != "" {
				t.Errorf("%q answered %d: %s", letter, status, fault)
			}
			if status == 500 && fault == "" || letter == "v" && status == 200 && fault == "" || letter == "" && status == 200 && fault == "" || letter == "q" && status == 200 && fault == "" {
				t.Errorf("%q answered %d, and that is no fault", letter, status)
			}
		}
	}
}
