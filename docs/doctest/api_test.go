package doctest

import (
	"bytes"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"countersign/ingest/forward"
	"countersign/kyc"
)

func events(t *testing.T) string {
	t.Helper()
	return page(t, "EVENTS.md")
}

// page is the text of a page of docs/.
func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(docs, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks are what stands between fences with these words, as "go consumer".
func blocks(t *testing.T, info string) []string {
	t.Helper()
	var all []string
	for _, m := range regexp.MustCompile("(?ms)^```"+info+"\n(.*?)^```$").FindAllStringSubmatch(events(t), -1) {
		all = append(all, m[1])
	}
	return all
}

// TestRecordsInProse: the records that docs/EVENTS.md shows are as they are described.
func TestRecordsInProse(t *testing.T) {
	for _, name := range []string{"update", "change"} {
		all := blocks(t, "json "+name)
		if len(all) == 0 {
			t.Errorf("no %s is shown", name)
		}
		for _, text := range all {
			open(t, name+".schema.json").holds(t, []byte(text))
		}
	}
}

// TestProseNamesEverything: each header, each kind, each status, check and reason and both topics are
// told of.
func TestProseNamesEverything(t *testing.T) {
	text := events(t)
	f := func(what string) {
		t.Helper()
		if !strings.Contains(text, "`"+what+"`") {
			t.Errorf("docs/EVENTS.md does not name %s", what)
		}
	}
	for name := range headersOf(forward.Event{ID: "i", Type: "t", Subject: "s", At: t0, Traceparent: trace}) {
		f(name)
	}
	for _, kind := range words(t)["Kind"] {
		f(kind)
	}
	for _, all := range [][]string{texts(kyc.Statuses), texts(kyc.Checks), texts(kyc.Priority)} {
		for _, word := range all {
			f(word)
		}
	}
	f(forward.UpdatesTopic)
	f(forward.ChangesTopic)
}

// TestPrograms: there is one reader in each language, and it parses. That they read is tested where
// there is a broker.
func TestPrograms(t *testing.T) {
	program := func(language string) string {
		t.Helper()
		all := blocks(t, language+" consumer")
		if len(all) != 1 {
			t.Fatalf("%d programs in %s", len(all), language)
		}
		return all[0]
	}
	text := program("go")
	if formatted, err := format.Source([]byte(text)); err != nil || string(formatted) != text {
		t.Errorf("the Go program is not formatted: %v", err)
	}
	python, err := exec.LookPath("python3")
	switch {
	case err != nil && os.Getenv("CI") != "":
		t.Fatal(err) // .ci/run installs it
	case err != nil:
		t.Log("python3 is not on this machine: the program in Python is not parsed here; make test-kafka runs it")
		return
	}
	c := exec.CommandContext(t.Context(), python, "-c", "import ast, sys; ast.parse(sys.stdin.read())")
	c.Stdin = bytes.NewBufferString(program("python"))
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("the Python program: %v\n%s", err, out)
	}
}
