package provider

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

// fixture is one testdata/<adapter>/<name>.txtar: a body as it arrived, the source's options, a
// proof it arrived with, and what it must become.
type fixture struct {
	name    string
	body    []byte // exact: the newline before the next section is the file's
	options Options
	proof   *proof
	want    want
}

// proof is the headers of a delivery and the key they were made with.
type proof struct {
	Key     string            `json:"key"`
	Headers map[string]string `json:"headers"`
	At      int64             `json:"at,omitempty"` // the verifier's clock
}

// want is a translation as a person would check it: what all updates of a callback share stands
// once.
type want struct {
	Error        string            `json:"error,omitempty"`
	Disposition  string            `json:"disposition,omitempty"`
	Fetch        []Fetch           `json:"fetch,omitempty"`
	Unsettled    bool              `json:"unsettled,omitempty"`
	Reply        string            `json:"reply,omitempty"`
	Event        kyc.ProviderEvent `json:"event,omitzero"`
	Ignored      string            `json:"ignored,omitempty"`
	Subject      kyc.Subject       `json:"subject,omitzero"`
	Verification kyc.Verification  `json:"verification,omitzero"`
	OccurredAt   time.Time         `json:"occurred_at,omitzero"`
	Origin       kyc.Origin        `json:"origin,omitempty"`
	Dedupe       []string          `json:"dedupe,omitempty"` // the digest of the body where the adapter gives none
	Livemode     *bool             `json:"livemode,omitempty"`
	KeepBody     bool              `json:"keep_body,omitempty"`
	Hold         Hold              `json:"hold,omitempty"`
	Updates      []wantUpdate      `json:"updates,omitempty"`
}

type wantUpdate struct {
	Scope      kyc.Scope        `json:"scope"`
	Check      kyc.Check        `json:"check"`
	Document   kyc.Document     `json:"document,omitzero"`
	Status     kyc.Status       `json:"status"`
	ExpiryKind kyc.ExpiryKind   `json:"expiry_kind,omitempty"`
	Reasons    []kyc.ReasonPair `json:"reasons,omitempty"`
	Retryable  bool             `json:"retryable"`
	Terminal   bool             `json:"terminal"`
	ExpiresAt  time.Time        `json:"expires_at,omitzero"`
	Expiring   bool             `json:"expiring,omitempty"`
	Release    bool             `json:"release,omitempty"`
}

// asWant writes a translation the way fixtures do.
func asWant(r Result, body []byte, err error) want {
	if err != nil {
		return want{Error: err.Error()}
	}
	w := want{
		Disposition: r.Disposition(), Event: kyc.ProviderEvent{ID: r.EventID, Type: r.EventType}, Ignored: r.Ignored,
		Dedupe: r.Dedupe, Livemode: r.Livemode, KeepBody: r.KeepBody, Hold: r.Hold, Fetch: r.Fetch, Unsettled: r.Unsettled, Reply: string(r.Reply),
	}
	if len(w.Dedupe) == 0 {
		sum := sha256.Sum256(body)
		w.Dedupe = []string{hex.EncodeToString(sum[:])}
	}
	for _, u := range r.Updates {
		w.Event, w.Subject, w.Verification, w.OccurredAt, w.Origin = u.ProviderEvent, u.Subject, u.Verification, u.OccurredAt, u.OccurredAtOrigin
		w.Updates = append(w.Updates, wantUpdate{
			u.Scope, u.Check, u.Document, u.Status, u.ExpiryKind, u.Reasons, u.Retryable, u.Terminal, u.ExpiresAt, u.Expiring, u.Release,
		})
	}
	return w
}

// fixtures reads every fixture of an adapter.
func fixtures(tb testing.TB, a Adapter) []fixture {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", a.Name, "*.txtar"))
	if err != nil || len(files) == 0 {
		tb.Fatalf("%s has no fixtures: %v", a.Name, err)
	}
	all := make([]fixture, 0, len(files))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		f := fixture{name: strings.TrimSuffix(filepath.Base(file), ".txtar"), options: Options{}}
		for name, section := range sections(string(text)) {
			var err error
			switch name {
			case "body":
				f.body = []byte(section)
			case "options":
				for line := range strings.Lines(section) {
					k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
					f.options[k] = v
				}
			case "headers.json":
				err = strict(section, &f.proof)
			case "want.json":
				err = strict(section, &f.want)
			default:
				tb.Fatalf("%s: unknown section %q", file, name)
			}
			if err != nil {
				tb.Fatalf("%s: %s: %v", file, name, err)
			}
		}
		all = append(all, f)
	}
	return all
}

func fixtureBody(tb testing.TB, a Adapter, name string) []byte {
	tb.Helper()
	for _, f := range fixtures(tb, a) {
		if f.name == name {
			return f.body
		}
	}
	tb.Fatalf("%s has no fixture %s", a.Name, name)
	return nil
}

// sections splits "-- name --" headed text. One newline ends each section and is no part of it.
func sections(text string) map[string]string {
	out := map[string]string{}
	name, start := "", 0
	for at := 0; at < len(text); {
		end := at + strings.IndexByte(text[at:]+"\n", '\n')
		line := text[at:end]
		if strings.HasPrefix(line, "-- ") && strings.HasSuffix(line, " --") && len(line) > len("--  --") {
			if name != "" {
				out[name] = strings.TrimSuffix(text[start:at], "\n")
			}
			name, start = line[3:len(line)-3], end+1
		}
		at = end + 1
	}
	if name != "" {
		out[name] = strings.TrimSuffix(text[start:], "\n")
	}
	return out
}

func strict(text string, v any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// readJSON reads one file of an adapter's folder.
func readJSON(tb testing.TB, a Adapter, file string, v any) {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", a.Name, file))
	if err == nil {
		err = strict(string(text), v)
	}
	if err != nil {
		tb.Fatalf("%s/%s: %v", a.Name, file, err)
	}
}

// asJSON prints values the same way whatever pointers and empty lists they hold.
func asJSON(tb testing.TB, v any) string {
	tb.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

func header(values map[string]string) http.Header {
	h := http.Header{}
	for k, v := range values {
		h.Set(k, v)
	}
	return h
}

func ring(tb testing.TB, keys ...string) signing.Keyring {
	tb.Helper()
	var r signing.Keyring
	for _, text := range keys {
		k, err := signing.ParseKey(text)
		if err != nil {
			tb.Fatal(err)
		}
		r = append(r, k)
	}
	return r
}

func scheme(tb testing.TB, a Adapter, o Options) signing.Scheme {
	tb.Helper()
	s, err := a.Scheme(o)
	if err != nil {
		tb.Fatalf("%s: scheme of %v: %v", a.Name, o, err)
	}
	return s
}
