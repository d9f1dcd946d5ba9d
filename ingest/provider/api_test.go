package provider

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// asked is one testdata/<adapter>/api/<name>.txtar: a question, the provider's answers, the calls
// that must be made for them, and what they must become.
type asked struct {
	name    string
	q       Fetch
	options Options
	answers [][]byte
	calls   []wantCall
	want    want
}

// wantCall is a call as a person would check it.
type wantCall struct {
	Method string            `json:"method"`
	Path   string            `json:"path"`
	Header map[string]string `json:"header,omitempty"`
	Body   string            `json:"body,omitempty"`
}

// questions reads every API fixture of an adapter: sections fetch.json, options, answer1, answer2
// …, calls.json and want.json.
func questions(tb testing.TB, a Adapter) (all []asked) {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", a.Name, "api", "*.txtar"))
	if err != nil {
		tb.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		x := asked{name: strings.TrimSuffix(filepath.Base(file), ".txtar"), options: Options{}}
		found := sections(string(text))
		for line := range strings.Lines(found["options"]) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
			x.options[k] = v
		}
		for i := 1; found["answer"+strconv.Itoa(i)] != ""; i++ {
			x.answers = append(x.answers, []byte(found["answer"+strconv.Itoa(i)]))
		}
		err = errors.Join(strict(found["fetch.json"], &x.q), strict(found["calls.json"], &x.calls), strict(found["want.json"], &x.want))
		if err != nil {
			tb.Fatalf("%s: %v", file, err)
		}
		all = append(all, x)
	}
	return all
}

// TestAPI follows each question through its calls and reads the answers.
func TestAPI(t *testing.T) {
	for _, a := range All {
		all := questions(t, a)
		if a.API == nil {
			if len(all) > 0 {
				t.Errorf("%s has API fixtures and no API", a.Name)
			}
			continue
		}
		if len(all) == 0 || !strings.HasPrefix(a.API.Doc, "https://") || a.API.Credentials == "" || (a.API.Authorize == nil) == (a.API.TokenURL == nil) {
			t.Errorf("%s: its API is incomplete or has no fixtures", a.Name)
		}
		for _, x := range all {
			t.Run(a.Name+"/"+x.name, func(t *testing.T) { ask(t, a, x) })
		}
	}
}

func ask(t *testing.T, a Adapter, x asked) {
	t.Helper()
	var calls []wantCall
	for n := 0; ; n++ {
		if n > len(x.answers) {
			t.Fatalf("asks on after %d answers", n)
		}
		c, ok, err := a.API.Next(x.q, x.answers[:n], x.options)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		if a.API.Authorize != nil {
			if err := a.API.Authorize(&c, Credentials{User: "user", Key: ring(t, "key")[0]}, time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)); err != nil {
				t.Fatal(err)
			}
		}
		if !strings.HasPrefix(c.Path, "/") {
			t.Errorf("path %q", c.Path)
		}
		calls = append(calls, wantCall{Method: c.Method, Path: c.Path, Header: c.Header, Body: string(c.Body)})
	}
	if got, want := asJSON(t, calls), asJSON(t, x.calls); got != want {
		t.Errorf("calls %s\nwant %s", got, want)
	}
	r, err := a.API.Read(x.q, x.answers, x.options)
	var all []byte
	for _, b := range x.answers {
		all = append(all, b...)
	}
	if got, want := asJSON(t, asWant(r, all, err)), asJSON(t, x.want); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	sound(t, a, r, err)
	private(t, r)
	if len(r.Fetch) > 0 {
		t.Error("an answer asks another question")
	}
	for _, b := range x.answers { // whatever an answer lacks, it is refused or read: never a panic
		for cut := range b {
			r, err := a.API.Read(x.q, [][]byte{b[:cut]}, x.options)
			sound(t, a, r, err)
		}
	}
}
