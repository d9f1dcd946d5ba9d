package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign/ingest/provider"
)

type demoCommand struct {
	Keep  bool     `help:"Keep the demo's directory (config, keys, database) and print its path."`
	Kafka []string `help:"Kafka brokers, host:port: write everything to Kafka too. Missing topics are created."`
}

const demoConfig = `mode: sandbox
data: %[1]s/data
listen: {callbacks: 127.0.0.1:0, control: 127.0.0.1:0}
sources:
  - {name: sumsub-demo,  provider: sumsub,  keys: [file:sumsub.key],  partner: acme}
  - {name: persona-demo, provider: persona, keys: [file:persona.key], partner: acme}
  - {name: rebilly-demo, provider: rebilly, keys: [file:rebilly.key], partner: acme}
  - {name: blendfi-demo, provider: blendfi, keys: [file:blendfi.key], partner: acme, options: {scheme: blendfi-v1}}
partners:
  - id: acme
    endpoints:
      - {id: acme-demo, url: "http://%[2]s/kyc", keys: [file:acme.key], retry: {first: 300ms, factor: 2, max: 2s, jitter: 0.1, attempts: 8}}
`

// demoStep is one callback of the story.
type demoStep struct {
	source, event, subject string
	at                     time.Duration // before now
	what                   string
	again                  bool // the same bytes as the step before it that had this subject
}

var demoStory = []demoStep{
	{"sumsub-demo", "approved", "ada", time.Minute, "Sumsub approves ada", false},
	{"sumsub-demo", "approved", "ada", 0, "Sumsub sends the very same callback again", true},
	{"sumsub-demo", "pending", "ada", 10 * time.Minute, "an older callback about ada arrives late", false},
	{"persona-demo", "approved", "grace", time.Minute, "Persona approves grace", false},
	{"blendfi-demo", "v1_rejected", "linus", time.Minute, "BlendFi rejects linus", false},
	{"rebilly-demo", "request_fulfilled", "edsger", time.Minute, "Rebilly, which does not sign, says edsger is fine", false},
	{"persona-demo", "approved", "barbara", time.Minute, "Persona approves barbara; the partner's server fails twice first", false},
}

// demoWant is what the partner must have accepted by the end: no more and no less.
var demoWant = []string{
	"ada kyc.status.approved", "grace kyc.status.approved", "linus kyc.status.rejected liveness_failed",
	"edsger kyc.status.in_review", "barbara kyc.status.approved",
}

// Run plays the story over real sockets and files, and succeeds only if every part of it happened.
func (cmd *demoCommand) Run(c *console) (err error) {
	dir, err := os.MkdirTemp("", "countersign-demo-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	if cmd.Keep {
		c.printf("everything is in %s\n", dir)
	} else {
		defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	}
	c.orderly.Store(true)
	partner, err := newDemoPartner(c, "barbara")
	if err != nil {
		return err
	}
	defer partner.close()
	cfg, err := cmd.setup(c, dir, partner)
	if err != nil {
		return err
	}
	g, err := newGateway(cfg, roleAll, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	c.printf("the gateway takes callbacks at http://%s/v1/callbacks/, the partner listens at http://%s/kyc\n\n", g.callbackAddr(), partner.ln.Addr())
	if err := cmd.play(c, cfg, g, partner); err != nil {
		return err
	}
	if err := partner.judge(c, g); err != nil || len(cmd.Kafka) == 0 {
		return err
	}
	return demoForwarded(c, g)
}

// demoForwarded waits until Kafka has acknowledged everything.
func demoForwarded(c *console, g *gateway) error {
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		updates, changes := g.updates.Status(), g.changes.Status()
		switch {
		case updates.Waiting == 0 && changes.Waiting == 0:
			c.printf("Kafka has acknowledged %d update(s) on %s and every change on %s.\n", g.updates.Kept(), updates.Topic, changes.Topic)
			return nil
		case time.Now().After(end):
			_, notes := g.kafkaState()
			return fmt.Errorf("not everything is on Kafka: %s", strings.Join(notes, "; "))
		}
	}
}

// setup writes keys and config as a newcomer would, and reads them back strictly.
func (cmd *demoCommand) setup(c *console, dir string, p *demoPartner) (*Config, error) {
	files := map[string]string{
		"sumsub.key": randomText(), "persona.key": "wbhsec_" + randomText(), "rebilly.key": "countersign:" + randomText(), "blendfi.key": "whsec_test_" + randomText(),
		"acme.key": "whsec_" + base64.StdEncoding.EncodeToString(p.key), "countersign.yaml": fmt.Sprintf(demoConfig, dir, p.ln.Addr()),
	}
	if len(cmd.Kafka) > 0 {
		files["countersign.yaml"] += fmt.Sprintf("kafka: {brokers: [%s], create: true, partitions: 3, replication: 1}\n", strings.Join(cmd.Kafka, ", "))
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, fmt.Errorf("set up the demo: %w", err)
		}
	}
	return configFlag{Config: filepath.Join(dir, "countersign.yaml")}.load(c)
}

func randomText() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func (cmd *demoCommand) play(c *console, cfg *Config, g *gateway, p *demoPartner) error {
	sent := map[string][]byte{}
	now := time.Now()
	for i, step := range demoStory {
		sc := &cfg.Sources[slices.IndexFunc(cfg.Sources, func(s SourceConfig) bool { return s.Name == step.source })]
		body := sent[step.subject]
		if !step.again {
			var err error
			body, err = provider.Sample(sc.Provider, step.event, provider.SampleVars{
				Subject: step.subject, EventID: fmt.Sprintf("evt_demo_%d", i), At: now.Add(-step.at), Livemode: sc.Livemode,
			})
			if err != nil {
				return err
			}
			sent[step.subject] = body
		}
		req, err := newCallback(c.ctx, sc, "http://"+g.callbackAddr(), body, now)
		if err != nil {
			return err
		}
		code, _, err := post(req)
		if err != nil {
			return err
		}
		p.say("-> %-62s answered %d\n", step.what, code)
		if code != http.StatusOK {
			return fmt.Errorf("callback %d was answered %d", i+1, code)
		}
		if i == 0 { // let the first delivery arrive before its duplicate, so that the story reads in order
			p.await(c.ctx, 1)
		}
	}
	p.await(c.ctx, len(demoWant))
	return nil
}

// demoPartner is a partner of its own making: it verifies with its key by plain HMAC and shares no
// code with the signer.
type demoPartner struct {
	c    *console
	ln   net.Listener
	srv  *http.Server
	key  []byte
	fail string // this subject's deliveries fail twice first

	mu       sync.Mutex // guards the fields below
	failed   int
	accepted []string
	ids      []string
	bad      int
	changed  chan struct{}
}

func newDemoPartner(c *console, fail string) (*demoPartner, error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("make the partner's key: %w", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // bound once at start
	if err != nil {
		return nil, fmt.Errorf("partner: %w", err)
	}
	p := &demoPartner{c: c, ln: ln, key: key, fail: fail, changed: make(chan struct{}, 100)}
	p.srv = &http.Server{Handler: p, ReadHeaderTimeout: time.Second}
	go p.srv.Serve(ln) //nolint:errcheck // ends with close
	return p, nil
}

func (p *demoPartner) close() { p.srv.Close() } //nolint:errcheck,gosec // ending

func (p *demoPartner) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.c.printf(format, args...)
}

// ServeHTTP implements http.Handler.
func (p *demoPartner) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	mac := hmac.New(sha256.New, p.key)
	mac.Write([]byte(r.Header.Get("Webhook-Id") + "." + r.Header.Get("Webhook-Timestamp") + "."))
	mac.Write(body)
	good := hmac.Equal([]byte("v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))), []byte(r.Header.Get("Webhook-Signature")))
	var event struct {
		Type string `json:"type"`
		Data struct {
			Subject struct{ ID string }
			Status  string
			Reasons []struct{ Code string }
		} `json:"data"`
	}
	err = json.NewDecoder(bytes.NewReader(body)).Decode(&event)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !good || err != nil {
		p.bad++
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if event.Data.Subject.ID == p.fail && p.failed < 2 {
		p.failed++
		p.c.printf("   <- verified %-50s partner answers 500 (failure %d)\n", event.Data.Subject.ID+" "+event.Type, p.failed)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	words := []string{event.Data.Subject.ID, event.Type}
	for _, reason := range event.Data.Reasons {
		words = append(words, reason.Code)
	}
	line := strings.Join(words, " ")
	p.accepted = append(p.accepted, line)
	p.ids = append(p.ids, r.Header.Get("Webhook-Id"))
	p.c.printf("   <- verified %-50s %s\n", line, r.Header.Get("Webhook-Id"))
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// await returns when n deliveries were accepted, or after a while.
func (p *demoPartner) await(ctx context.Context, n int) {
	late := time.NewTimer(15 * time.Second)
	defer late.Stop()
	for {
		p.mu.Lock()
		have := len(p.accepted)
		p.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-p.changed:
		case <-late.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// judge compares what arrived with what had to. Nothing more may be owed.
func (p *demoPartner) judge(c *console, g *gateway) error {
	settled := func() bool { return g.outbox.Owed("acme-demo") == 0 && g.journal.Backlog() == 0 }
	for end := time.Now().Add(5 * time.Second); !settled() && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	got := slices.Clone(p.accepted)
	slices.Sort(got)
	want := slices.Sorted(slices.Values(demoWant))
	unique := slices.Compact(slices.Sorted(slices.Values(p.ids)))
	switch {
	case p.bad > 0:
		return fmt.Errorf("%d deliveries did not verify", p.bad)
	case !slices.Equal(got, want):
		return fmt.Errorf("the partner accepted %s, but should have accepted %s", strings.Join(got, "; "), strings.Join(want, "; "))
	case len(unique) != len(p.ids):
		return errors.New("something was delivered twice")
	case p.failed != 2:
		return fmt.Errorf("the partner failed %d times, not twice", p.failed)
	case !settled():
		return errors.New("something is still pending")
	}
	c.printf("\n%d callbacks in, %d webhooks out: two approvals at once and one after two failures, a rejection with its reason, an unsigned approval as in_review;\n"+
		"the duplicate was not sent twice and the late one not at all. Every signature was verified with the partner's own key.\n", len(demoStory), len(p.accepted))
	return nil
}
