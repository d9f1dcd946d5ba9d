package format

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

// language is how a snippet of docs/FORMATS.md is made into a program and run.
type language struct {
	name, file string
	build, run []string
}

var languages = []language{
	{"go", "verify.go", []string{"go", "build", "-o", "verify", "verify.go"}, []string{"./verify"}},
	{"python", "verify.py", nil, []string{"python3", "verify.py"}},
	{"javascript", "verify.js", nil, []string{"node", "verify.js"}},
	{"java", "Verify.java", []string{"javac", "Verify.java"}, []string{"java", "-XX:TieredStopAtLevel=1", "Verify"}},
	{"php", "verify.php", nil, []string{"php", "verify.php"}},
}

// snippetFormats have one signature each.
var snippetFormats = []Format{standard, blendfi, blendfiV1}

const (
	olderKey = "whsec_bSvML0JVUh267rI0nTQaHlvVv8cRQaNx"
	newerKey = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
)

// trial is one delivery as a partner's program meets it, and what the program has to say.
type trial struct {
	name  string
	wire  []byte // headers, an empty line, the body
	key   string
	now   time.Time
	want  string
	crash bool // it may also refuse by failing
}

// TestSnippets runs every program of docs/FORMATS.md on deliveries signed by the gateway, and on
// forgeries.
func TestSnippets(t *testing.T) {
	doc, err := os.ReadFile(formatsDoc)
	if err != nil {
		t.Fatal(err)
	}
	snippets := map[string]string{}
	for _, m := range regexp.MustCompile("(?ms)^```([a-z]+) ([a-z0-9-]+)\n(.*?)^```$").FindAllSubmatch(doc, -1) {
		name := string(m[1]) + " " + string(m[2])
		if snippets[name] != "" {
			t.Errorf("there are two snippets %s", name)
		}
		snippets[name] = string(m[3])
	}
	tryAsymmetric(t, snippets)
	if want := len(languages) * (len(snippetFormats) + 1); len(snippets) != want {
		t.Errorf("%d snippets, want %d", len(snippets), want)
	}
	for _, l := range languages {
		for _, f := range snippetFormats {
			code := snippets[l.name+" "+f.Name]
			if n := statements(code); n == 0 || n > 25 {
				t.Errorf("the snippet %s %s has %d lines beside its imports, want 1 to 25", l.name, f.Name, n)
			}
			t.Run(l.name+" "+f.Name, func(t *testing.T) {
				t.Parallel()
				tryOut(t, l, code, trials(t, f))
			})
		}
	}
}

var imports = regexp.MustCompile(`(?m)^(import \((?s:.*?)^\)|(package|import|const \{) .*|<\?php)$`)

// statements counts the lines that are neither blank nor there to name libraries.
func statements(code string) (n int) {
	for line := range strings.Lines(imports.ReplaceAllString(code, "")) {
		if strings.TrimSpace(line) != "" {
			n++
		}
	}
	return n
}

// cannot ends a test for want of something that a machine may lack; one that runs CI may not.
func cannot(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func tryOut(t *testing.T, l language, code string, trials []trial) {
	t.Helper()
	for _, command := range [][]string{l.build, l.run} {
		if len(command) == 0 || strings.HasPrefix(command[0], "./") {
			continue
		}
		if _, err := exec.LookPath(command[0]); err != nil {
			cannot(t, command[0]+" is not on this machine: the program is not run")
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, l.file), []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	if l.build != nil {
		build := exec.CommandContext(t.Context(), l.build[0], l.build[1:]...)
		build.Dir = dir
		build.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", l.build, err, out)
		}
	}
	for _, try := range trials {
		run := exec.CommandContext(t.Context(), l.run[0], l.run[1:]...)
		run.Dir, run.Stdin = dir, bytes.NewReader(try.wire)
		run.Env = append(os.Environ(), "KEY="+try.key, "NOW="+strconv.FormatInt(try.now.Unix(), 10))
		out, err := run.Output()
		if got := strings.TrimSpace(string(out)); got != try.want && (!try.crash || err == nil || got == "yes") {
			t.Errorf("%s: %q, want %q (%v)", try.name, got, try.want, err)
		}
	}
}

// keyless is what a forger sends to a partner who forgot to set the key.
func keyless(t *testing.T, f Format, h http.Header, body []byte) http.Header {
	t.Helper()
	sum := func(head string) []byte {
		mac := hmac.New(sha256.New, nil)
		mac.Write([]byte(head))
		mac.Write(body)
		return mac.Sum(nil)
	}
	h = h.Clone()
	switch f.Name {
	case "standard":
		head := h.Get("webhook-id") + "." + h.Get("webhook-timestamp") + "."
		h.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(sum(head)))
	case "blendfi":
		h.Set("X-Blendfi-Signature", hex.EncodeToString(sum("")))
	case "blendfi-v1":
		at := h.Get("X-Blendfi-Timestamp")
		h.Set("X-Blendfi-Signature", "t="+at+",v1="+hex.EncodeToString(sum(at+".")))
	default:
		t.Fatalf("no forgery for %s", f.Name)
	}
	return h
}

// trials are a delivery during a rotation of keys, seen by an honest partner and with everything
// that can be wrong.
func trials(t *testing.T, f Format) []trial {
	t.Helper()
	var ring signing.Keyring
	for _, text := range []string{newerKey, olderKey} {
		k, err := signing.StandardKey(text)
		if err != nil {
			t.Fatal(err)
		}
		ring = append(ring, k)
	}
	c := changeOf(kyc.InReview, kyc.Approved, becauses[0])
	c.Subject.ID = "ключ-001" // bytes, not letters, are signed
	body := mustRender(t, f, c, 5)
	h := http.Header{"Content-Type": {f.ContentType}}
	if err := f.Scheme.Sign(h, signing.Message{ID: c.ID, Time: changeTime, Body: body}, ring); err != nil {
		t.Fatal(err)
	}
	wire := func(h http.Header, body []byte) []byte {
		var b bytes.Buffer
		if err := h.Write(&b); err != nil {
			t.Fatal(err)
		}
		return append(append(b.Bytes(), '\r', '\n'), body...)
	}
	with := func(name, value string) []byte {
		h := h.Clone()
		h.Set(name, value)
		return wire(h, body)
	}
	timed, several := "no", "yes" // what a stale timestamp, and the newer of two keys, come to
	if f.Name == "blendfi" {
		timed, several = "yes", "no" // it has no timestamp and one signature
	}
	unsigned := http.Header{"Content-Type": {f.ContentType}}
	all := []trial{
		{"genuine", wire(h, body), olderKey, changeTime, "yes", false},
		{"the newer key", wire(h, body), newerKey, changeTime, several, false},
		{"tampered", wire(h, bytes.Replace(body, []byte("approved"), []byte("rejected"), 1)), olderKey, changeTime, "no", false},
		{"longer", wire(h, append(slices.Clone(body), '\n')), olderKey, changeTime, "no", false},
		{"another key", wire(h, body), "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", changeTime, "no", false},
		{"signed with no key", wire(keyless(t, f, h, body), body), "", changeTime, "no", true},
		{"5 minutes old", wire(h, body), olderKey, changeTime.Add(5 * time.Minute), "yes", false},
		{"older", wire(h, body), olderKey, changeTime.Add(5*time.Minute + time.Second), timed, false},
		{"ahead", wire(h, body), olderKey, changeTime.Add(-5*time.Minute - time.Second), timed, false},
		{"unsigned", wire(unsigned, body), olderKey, changeTime, "no", false},
	}
	switch f.Name {
	case "standard":
		all = append(all, trial{"another id", with("webhook-id", "evt_other"), olderKey, changeTime, "no", false})
		fresh := strconv.FormatInt(changeTime.Add(time.Minute).Unix(), 10)
		all = append(all, trial{"made to look fresh", with("webhook-timestamp", fresh), olderKey, changeTime, "no", false})
		all = append(all, trial{"a timestamp of letters", with("webhook-timestamp", "soon"), olderKey, changeTime, "no", false})
	case "blendfi-v1":
		text := strings.Replace(h.Get("X-Blendfi-Signature"), "t=1", "t=2", 1)
		all = append(all, trial{"another time", with("X-Blendfi-Signature", text), olderKey, time.Unix(2777716000, 0), "no", false})
	}
	return all
}
