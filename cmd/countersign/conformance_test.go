package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/ingest/provider"
	"countersign/kyc"
	"countersign/relay"
	"countersign/signing"
)

// posted is one callback as it went over the wire: sending it again is a replay, byte for byte.
type posted struct {
	name, path string
	h          http.Header
	body       []byte
}

// told is what one partner was told: the webhooks that it took.
type told struct {
	mu     sync.Mutex // guards what follows
	bodies map[string][]string
}

func (p *told) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bodies[r.URL.Path] = append(p.bodies[r.URL.Path], string(b))
}

func (p *told) of(adapter string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.bodies["/"+adapter]...)
}

// row is what a source of the test configures: the first row of the adapter's options.json.
type row struct {
	Options map[string]string `json:"options"`
	Key     string            `json:"key"`
}

func defaultRow(t *testing.T, a provider.Adapter) (r row) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "ingest", "provider", "testdata", a.Name, "options.json"))
	var rows []row
	if err == nil {
		err = json.Unmarshal(b, &rows)
	}
	if err != nil || len(rows) == 0 {
		t.Fatalf("%s: options: %v", a.Name, err)
	}
	if r = rows[0]; r.Key == "" {
		r.Key = "a-key-of-the-source:with-a-colon"
	}
	return r
}

// bodies are the adapter's fixtures that need no options.
func bodies(t *testing.T, a provider.Adapter) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "ingest", "provider", "testdata", a.Name, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no fixtures: %v", a.Name, err)
	}
	all := map[string][]byte{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, ok := strings.Cut("\n"+string(b), "\n-- body --\n")
		body, _, _ := strings.Cut(rest, "\n-- ")
		if ok && !strings.Contains("\n"+string(b), "\n-- options --\n") {
			all[strings.TrimSuffix(filepath.Base(file), ".txtar")] = []byte(body)
		}
	}
	return all
}

// capture signs every body as the provider would.
func capture(t *testing.T, a provider.Adapter, path string) (all []posted) {
	t.Helper()
	r := defaultRow(t, a)
	s, err := a.Scheme(r.Options)
	if err != nil {
		t.Fatal(err)
	}
	k, err := signing.ParseKey(r.Key)
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range bodies(t, a) {
		c := posted{name: a.Name + "/" + name, path: path, h: http.Header{}, body: body}
		m := signing.Message{ID: "msg_" + strings.ReplaceAll(name, ".", "_"), Time: time.Now(), Body: body}
		if in, ok := s.(signing.BodySigner); ok {
			if c.body, err = in.SignBody(m, signing.Keyring{k}); err != nil {
				continue // no JSON object: the proof has no place in it
			}
		} else if err := s.Sign(c.h, m, signing.Keyring{k}); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		all = append(all, c)
	}
	return all
}

// town is a config with a source and a partner for every adapter.
func town(t *testing.T, hook string) (config string) {
	t.Helper()
	dir := t.TempDir()
	var sources, partners strings.Builder
	for _, a := range posting() {
		r := defaultRow(t, a)
		proof := "keys: [file:" + a.Name + ".key]"
		s, err := a.Scheme(r.Options)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case signing.Keyless(s):
			proof = "token: file:path.token"
		case a.API != nil && a.API.Keys != nil:
			proof = fmt.Sprintf("api: {url: %q, user: id, key: file:path.token}", publisher(t, r.Key))
		}
		write(t, dir, a.Name+".key", r.Key)
		options, err := json.Marshal(r.Options)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&sources, "  - {name: %s, provider: %s, %s, partner: %s, max_body: 4MiB, options: %s}\n", a.Name, a.Name, proof, partnerOf(a), strings.Replace(string(options), "null", "{}", 1))
		fmt.Fprintf(&partners, "  - {id: %s, endpoints: [{id: %s, url: %q, keys: [file:acme.key], events: [\"kyc.*\"]}]}\n", partnerOf(a), partnerOf(a), hook+"/"+a.Name)
	}
	write(t, dir, "path.token", pathToken)
	write(t, dir, "acme.key", acmeKey)
	return write(t, dir, "countersign.yaml", fmt.Sprintf("mode: sandbox\ndata: %s/data\nlisten: {callbacks: %s, control: %s}\negress: {allow: [127.0.0.0/8]}\nsources:\n%spartners:\n%s",
		dir, freeAddr(t), freeAddr(t), sources.String(), partners.String()))
}

const pathToken = "an-unguessable-path-segment"

func partnerOf(a provider.Adapter) string { return strings.ReplaceAll(a.Name, "_", "-") }

// publisher is a provider's API that publishes the public half of one key.
func publisher(t *testing.T, private string) string {
	t.Helper()
	jwk := map[string]any{}
	if err := json.Unmarshal([]byte(private), &jwk); err != nil {
		t.Fatal(err)
	}
	delete(jwk, "d")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(w).Encode(map[string]any{"key": jwk}); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func (c posted) send(t *testing.T, base string) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, base+c.path, strings.NewReader(string(c.body)))
	if err != nil {
		t.Error(err)
		return 0
	}
	req.Header = c.h.Clone()
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Error(err)
	}
	return resp.StatusCode
}

// TestEveryProvider sends every callback of every adapter's fixtures through a whole gateway,
// twice. A replay is answered 200 and tells nobody anything new (I4); below signed, nobody becomes
// approved, suspended or rejected for good (I10); what is not genuine is refused.
func TestEveryProvider(t *testing.T) {
	partner := &told{bodies: map[string][]string{}}
	hook := httptest.NewServer(partner)
	defer hook.Close()
	g := start(t, town(t, hook.URL))
	base := "http://" + g.callbackAddr()
	settled := func() {
		t.Helper()
		eventually(t, "everything is folded and delivered", func() bool {
			for _, a := range posting() {
				if g.outbox.Owed(partnerOf(a)) > 0 {
					return false
				}
			}
			return g.journal.Backlog() == 0
		})
	}
	var all []posted
	weak := 0
	for _, a := range posting() {
		path := "/v1/callbacks/" + a.Name
		if s, err := a.Scheme(defaultRow(t, a).Options); err == nil && signing.Keyless(s) {
			path += "/" + pathToken
		}
		cs := capture(t, a, path)
		if len(cs) < 3 {
			t.Errorf("%s: %d callbacks", a.Name, len(cs))
		}
		all = append(all, cs...)
	}
	sendAll(t, base, all)
	settled()
	introduce(t, g)
	settled()
	for _, a := range posting() {
		first := partner.of(a.Name)
		if len(first) == 0 && !thin(a) {
			t.Errorf("%s: %d callbacks and nobody was told anything", a.Name, len(all))
		}
		if a.Authenticity(defaultRow(t, a).Options).AtLeast(kyc.Signed) {
			continue
		}
		weak++
		for _, body := range first {
			if strings.Contains(body, "kyc.status.approved") || strings.Contains(body, "kyc.status.suspended") || strings.Contains(body, `"terminal":true`) {
				t.Errorf("%s is below signed, and its word counted: %s", a.Name, body)
			}
		}
	}
	if weak < 4 {
		t.Errorf("only %d adapters are below signed", weak)
	}
	before := map[string]int{}
	for _, a := range posting() {
		before[a.Name] = len(partner.of(a.Name))
	}
	sendAll(t, base, all)
	settled()
	for _, a := range posting() {
		if after := partner.of(a.Name); len(after) != before[a.Name] {
			t.Errorf("%s: replays told the partner %d new things, such as %s", a.Name, len(after)-before[a.Name], after[before[a.Name]])
		}
	}
}

// sendAll sends them side by side, as providers do.
func sendAll(t *testing.T, base string, all []posted) {
	t.Helper()
	var wg sync.WaitGroup
	const lines = 16
	for line := range lines {
		wg.Go(func() {
			for i := line; i < len(all); i += lines {
				if code := all[i].send(t, base); code != http.StatusOK {
					t.Errorf("%s: answered %d", all[i].name, code)
				}
			}
		})
	}
	wg.Wait()
}

// introduce says whose the refs are that callbacks without our own id carry.
func introduce(t *testing.T, g *gateway) {
	t.Helper()
	list, more, err := g.relay.UnroutedItems("", 1000)
	if err != nil || more {
		t.Fatalf("%d unrouted records and more: %v", len(list), err)
	}
	for _, v := range list {
		ref := cmp.Or(v.ProviderRef, v.VerificationRef, v.ParentRef)
		if v.Reason != string(kyc.Unrouted) || ref == "" {
			continue
		}
		s := relay.Submission{Partner: strings.ReplaceAll(v.Source, "_", "-"), Subject: "of-" + ref, Source: v.Source, ProviderRef: ref, Actor: "test"}
		if _, err := g.relay.Submit(t.Context(), s); err != nil && !errors.Is(err, relay.ErrConflict) {
			t.Errorf("%s: %v", v.Source, err)
		}
	}
}

// posting are the adapters whose providers post callbacks.
func posting() []provider.Adapter {
	return slices.DeleteFunc(slices.Clone(provider.All), func(a provider.Adapter) bool { return a.Stream != nil })
}

// thin reports whether none of an adapter's callbacks says anything before its provider was asked.
func thin(a provider.Adapter) bool { return a.API != nil && a.API.Keys != nil }
