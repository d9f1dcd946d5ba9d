package judge

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const rotations = 50

// received is a webhook as the partner got it.
type received struct {
	header http.Header
	body   string
	key    string // the first of the keys it was told of that fitted; "": none did
}

// told is a partner on loopback. It verifies each request under the keys that it has been told of
// so far: secrets with the official library, public keys by the specification.
type told struct {
	t *testing.T
	*httptest.Server

	mu       sync.Mutex // guards the fields below
	keys     []string   // newest first
	revoked  []string
	got      []received
	bad      int           // requests that fit no key it was told of
	late     int           // requests that came after the revocation of a key that has signed them
	gate     chan struct{} // requests wait until it is closed; nil: none do
	waiting  int
	arrivals int
}

func newPartner(t *testing.T) *told {
	t.Helper()
	p := &told{t: t}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

// ServeHTTP implements http.Handler.
func (p *told) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		p.t.Error(err)
	}
	p.mu.Lock()
	got := received{header: r.Header, body: string(body)}
	for _, key := range p.keys {
		if fits(key, r.Header, body) {
			got.key = key
			break
		}
	}
	if got.key == "" {
		p.bad++
	}
	for _, key := range p.revoked {
		if fits(key, r.Header, body) {
			p.late++
		}
	}
	p.got = append(p.got, got)
	p.arrivals++
	gate := p.gate
	p.waiting++
	p.mu.Unlock()
	if gate != nil {
		<-gate
	}
	p.mu.Lock()
	p.waiting--
	p.mu.Unlock()
}

// see calls fn with the partner's state.
func (p *told) see(fn func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fn()
}

// hold calls fn while every attempt that the gateway may have under way is at the partner already:
// what was signed before has arrived, and nothing else is in flight.
func (p *told) hold(slots int, fn func()) {
	p.t.Helper()
	gate := make(chan struct{})
	p.see(func() { p.gate = gate })
	defer close(gate)
	eventually(p.t, "all slots are at the partner", func() (yes bool) {
		p.see(func() { yes = p.waiting == slots })
		return yes
	})
	fn()
	p.see(func() { p.gate = nil })
}

// process is our program, serving.
type process struct {
	t                       *testing.T
	program, dir            string
	config, control, client string // addresses and a file
	run                     *exec.Cmd
	out                     bytes.Buffer
	exited                  chan error
}

const slots = 4

func newProcess(t *testing.T, url string) *process {
	t.Helper()
	p := &process{t: t, program: gateway(t), dir: t.TempDir(), control: address(t), client: address(t)}
	p.config = filepath.Join(p.dir, "countersign.yaml")
	text := fmt.Sprintf("mode: sandbox\ndata: %s\nlisten: {callbacks: %s, control: %s}\nsources:\n  - {name: s, provider: sumsub, keys: [env:SUMSUB], partner: acme}\npartners:\n  - id: acme\n    endpoints:\n      - {id: main, url: %q, events: [\"kyc.*\"], concurrency: %d}\n",
		filepath.Join(p.dir, "data"), p.client, p.control, url, slots)
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill() })
	return p
}

func address(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (p *process) start() {
	p.t.Helper()
	p.out.Reset()
	p.run = exec.CommandContext(context.Background(), p.program, "serve", "--config", p.config)
	p.run.Env, p.run.Stdout, p.run.Stderr = append(os.Environ(), "SUMSUB=a-key-of-sumsub-for-tests"), &p.out, &p.out
	if err := p.run.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.exited = make(chan error, 1) // what it returned, for whoever looks
	go func() { p.exited <- p.run.Wait() }()
	eventually(p.t, "the gateway is ready", func() bool {
		select {
		case err := <-p.exited:
			p.exited <- err
			p.t.Fatalf("serve: %v\n%s", err, p.out.String())
		default:
		}
		resp, err := http.Get("http://" + p.control + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// kill ends it as a crash does.
func (p *process) kill() {
	if p.run == nil {
		return
	}
	_ = p.run.Process.Kill()
	<-p.exited
	p.run = nil
}

// call makes a call of the control API as an operator.
func (p *process) call(path, body string) (v map[string]any, err error) {
	token, err := os.ReadFile(filepath.Join(p.dir, "data", "operator.token"))
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+p.control+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", path, resp.StatusCode, b)
	}
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	return v, err
}

// must is call, where nothing may go wrong.
func (p *process) must(path, body string) map[string]any {
	p.t.Helper()
	v, err := p.call(path, body)
	if err != nil {
		p.t.Fatalf("%v\n%s", err, p.out.String())
	}
	return v
}

// load tells the gateway about people without end, until it is stopped. What fails while the
// gateway is down is of no interest.
func (p *process) load(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for worker := range 2 * slots {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				status := []string{"approved", "pending", "rejected"}[n%3]
				if _, err := p.call(fmt.Sprintf("/v1/test_helpers/users/w%d-%d/kyc?partner=acme", worker, n%8), `{"status":"`+status+`"}`); err != nil {
					select {
					case <-time.After(20 * time.Millisecond):
					case <-ctx.Done():
					}
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 60s in vain until %s", what)
		}
	}
}

// fits reports whether a request verifies under a key: a secret by the official library, a public
// key by the words of the specification.
func fits(key string, h http.Header, body []byte) bool {
	if !strings.HasPrefix(key, "whpk_") {
		wh, err := standardwebhooks.NewWebhook(key)
		return err == nil && wh.Verify(body, h) == nil
	}
	public, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(key, "whpk_"))
	if err != nil {
		return false
	}
	signed := fmt.Appendf(nil, "%s.%s.%s", h.Get("webhook-id"), h.Get("webhook-timestamp"), body)
	for entry := range strings.FieldsSeq(h.Get("webhook-signature")) {
		text, asymmetric := strings.CutPrefix(entry, "v1a,")
		if sig, err := base64.StdEncoding.DecodeString(text); asymmetric && err == nil && ed25519.Verify(public, signed, sig) {
			return true
		}
	}
	return false
}

// key is what the partner is told of a key: its secret, or its public half.
func key(t *testing.T, v map[string]any) (id, text string) {
	t.Helper()
	id, _ = v["id"].(string)
	for _, name := range []string{"secret", "public_key"} {
		if s, _ := v[name].(string); s != "" {
			text = s
		}
	}
	if id == "" || text == "" {
		t.Fatalf("no key in the answer: %v", v["object"])
	}
	return id, text
}

// TestRotationsUnderLoad: while webhooks go out without a pause, and over a crash, an endpoint's
// key is rotated 50 times, between both kinds, and the oldest is revoked each time. Every request
// verifies under a key that the partner had been told of when it came, and none that comes after a
// revocation is signed with that key. Afterwards the official libraries for JavaScript judge the
// same requests.
func TestRotationsUnderLoad(t *testing.T) {
	partner := newPartner(t)
	g := newProcess(t, partner.URL)
	g.start()
	first, err := os.ReadFile(filepath.Join(g.dir, "data", "endpoint-main.key"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSpace(string(first))
	partner.see(func() { partner.keys = []string{text} })
	stop := g.load(t)
	defer stop()
	v := g.must("/v1/endpoints/main/rotate", `{"kind":"hmac"}`)
	id, text := key(t, v)
	ids := []string{id}
	partner.see(func() { partner.keys = append([]string{text}, partner.keys...) })
	for n := range rotations {
		kind := []string{"hmac", "hmac", "ed25519"}[n%3]
		id, text = key(t, g.must("/v1/endpoints/main/rotate", `{"kind":"`+kind+`","overlap":"1h"}`))
		ids = append(ids, id)
		var before int
		partner.see(func() { partner.keys, before = append([]string{text}, partner.keys...), partner.arrivals })
		eventually(t, "requests come under the new key", func() (yes bool) {
			partner.see(func() {
				yes = partner.arrivals >= before+2*slots && fits(text, partner.got[len(partner.got)-1].header, []byte(partner.got[len(partner.got)-1].body))
			})
			return yes
		})
		if n == rotations/2 {
			g.kill()
			g.start()
		}
		partner.hold(slots, func() {
			g.must("/v1/endpoints/main/keys/"+ids[0]+"/revoke", "")
			partner.see(func() {
				ended := partner.keys[len(partner.keys)-2] // the last is the first of all, whose id nobody was told
				partner.revoked = append(partner.revoked, ended)
				partner.keys = append(partner.keys[:len(partner.keys)-2], partner.keys[len(partner.keys)-1])
			})
		})
		ids = ids[1:]
	}
	var before int
	partner.see(func() { before = partner.arrivals })
	eventually(t, "requests come after the last revocation", func() (yes bool) {
		partner.see(func() { yes = partner.arrivals >= before+2*slots })
		return yes
	})
	stop()
	g.kill()
	partner.mu.Lock()
	defer partner.mu.Unlock()
	if partner.bad > 0 || partner.late > 0 {
		t.Errorf("%d of %d requests fit no key that the partner had been told of, %d were signed with a key after its revocation", partner.bad, len(partner.got), partner.late)
	}
	kinds := judgeReceived(t, partner.got)
	t.Logf("%d requests over %d rotations and as many revocations: %d bad, %d under a revoked key; judged again in JavaScript: %v", len(partner.got), rotations, partner.bad, partner.late, kinds)
}

// judgeReceived has the JavaScript libraries judge what a partner received: each request under the
// key that fitted, and with another body.
func judgeReceived(t *testing.T, got []received) map[string]int {
	t.Helper()
	var all []question
	for _, r := range got {
		if r.key == "" {
			continue
		}
		h := map[string]string{}
		for name := range r.header {
			h[strings.ToLower(name)] = r.header.Get(name)
		}
		judges := []string{"standardwebhooks", "svix"}
		if strings.HasPrefix(r.key, "whpk_") {
			judges = []string{"openssl"}
		}
		for _, judge := range judges {
			all = append(all, question{Judge: judge, Key: r.key, Body: r.body, Headers: h, want: true}, question{Judge: judge, Key: r.key, Body: r.body + " ", Headers: h})
		}
	}
	accepted := map[string]int{}
	for i, a := range ask(t, javascript(t), all) {
		if a.Accepted != all[i].want {
			t.Errorf("%s: %+v, want accepted %v", all[i].Judge, a, all[i].want)
		}
		if a.Accepted {
			accepted[all[i].Judge]++
		}
	}
	return accepted
}
