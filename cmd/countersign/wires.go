package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"countersign/ingest"
	"countersign/ingest/provider"
	"countersign/kyc"
	"countersign/relay/format"
	"countersign/signing"
)

func reasons(rs []kyc.ReasonPair) string {
	var b strings.Builder
	for _, r := range rs {
		fmt.Fprintf(&b, "%s(%s) ", r.Code, r.ProviderCode)
	}
	return strings.TrimSpace(b.String())
}

// newCallback makes the request a provider would send: a sample body, signed with the source's newest key, and marked as made here.
func newCallback(ctx context.Context, sc *SourceConfig, base string, body []byte, now time.Time) (*http.Request, error) {
	a, err := adapterOf(*sc)
	if err != nil {
		return nil, err
	}
	scheme, err := a.Scheme(sourceOptions(*sc))
	if err != nil {
		return nil, err
	}
	path := base + "/v1/callbacks/" + sc.Name
	if !sc.Token.IsZero() {
		path += "/" + sc.Token.Reveal()
	}
	if a.Stream != nil {
		return nil, fmt.Errorf("%s sends no callbacks: its stream is followed, and translate shows what one of its events means", a.Name)
	}
	if a.API != nil && a.API.Keys != nil {
		return nil, fmt.Errorf("%s signs with keys that only it has, so its callbacks cannot be made here", a.Name)
	}
	m, h := signing.Message{ID: "trigger", Time: now, Body: body}, http.Header{"Content-Type": {"application/json"}}
	if in, ok := scheme.(signing.BodySigner); ok {
		m.Body, err = in.SignBody(m, sc.Keys[:min(1, len(sc.Keys))])
	} else if len(sc.Keys) > 0 {
		err = scheme.Sign(h, m, sc.Keys[:1])
	}
	if err != nil {
		return nil, fmt.Errorf("sign the callback: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, path, bytes.NewReader(m.Body))
	if err != nil {
		return nil, fmt.Errorf("make the callback: %w", err)
	}
	req.Header = h
	req.Header.Set(ingest.TriggerHeader, "true")
	return req, nil
}

// post sends a request and returns the status and its text.
func post(req *http.Request) (int, string, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", fmt.Errorf("send the request: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return 0, "", fmt.Errorf("read the answer: %w", err)
	}
	return resp.StatusCode, strings.TrimSpace(string(b)), nil
}

type triggerCommand struct {
	configFlag
	Source  string `arg:"" help:"A source of the config."`
	Event   string `arg:"" help:"A sample of its provider (see countersign providers)."`
	Subject string `help:"The subject's id." default:"user-001"`
	Ref     string `help:"The provider's id of the person; default made of the subject's."`
	Session string `help:"The provider's id of the session; default made of the subject's."`
}

// Run sends one signed sample. It counts as the provider's own word, so it is for test people only: that is asked of the config, of the running gateway, and by the gateway itself.
func (cmd *triggerCommand) Run(c *console) error {
	cfg, err := cmd.load(c)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(cfg.Sources, func(s SourceConfig) bool { return s.Name == cmd.Source })
	if i < 0 {
		return fmt.Errorf("no source %s in %s", cmd.Source, cfg.Path)
	}
	sc := &cfg.Sources[i]
	if err := onlyForTests(cfg, sc); err != nil {
		return err
	}
	now := time.Now()
	body, err := provider.Sample(sc.Provider, cmd.Event, provider.SampleVars{
		Subject: cmd.Subject, ProviderRef: cmd.Ref, SessionRef: cmd.Session, At: now, Livemode: sc.Livemode,
	})
	if err != nil {
		return err
	}
	scheme := "http://"
	if cfg.TLS != nil {
		scheme = "https://"
	}
	req, err := newCallback(c.ctx, sc, scheme+cfg.Listen.Callbacks, body, now)
	if err != nil {
		return err
	}
	if err := saysSandbox(c.ctx, reachable(cfg.Listen.Control)); err != nil {
		return err
	}
	code, text, err := post(req)
	if err != nil {
		return err
	}
	c.printf("%d %s\n", code, text)
	if code != http.StatusOK {
		return errNo
	}
	return nil
}

// onlyForTests refuses what would be about real people. Nothing overrules it.
func onlyForTests(cfg *Config, sc *SourceConfig) error {
	const instead = "have the provider send a test callback, or use a gateway in the sandbox"
	switch {
	case cfg.Live():
		return fmt.Errorf("%s is live: a sample signed with the key of %s would be the provider's own word about a real person; %s", cfg.Path, sc.Name, instead)
	case sc.Livemode:
		return fmt.Errorf("source %s is live (livemode: true): a sample signed with its key would be the provider's own word about a real person; %s", sc.Name, instead)
	}
	return nil
}

// saysSandbox asks the gateway at the control address for its mode: it may run with another config than this one, or with another environment.
func saysSandbox(ctx context.Context, control string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+control+"/healthz", nil)
	if err != nil {
		return fmt.Errorf("ask for the gateway's mode: %w", err)
	}
	code, text, err := post(req)
	if err != nil {
		return fmt.Errorf("no gateway at %s says in which mode it is, so nothing was sent; is it running with this config? %w", control, err)
	}
	var v struct{ Mode string }
	if err := json.Unmarshal([]byte(text), &v); err != nil || code != http.StatusOK || v.Mode != modeSandbox {
		return fmt.Errorf("the gateway at %s does not say that it is in the sandbox (mode %q), so nothing was sent", control, v.Mode)
	}
	return nil
}

type listenCommand struct {
	Addr      string   `help:"Where to listen." default:"127.0.0.1:8490"`
	Format    string   `help:"The endpoint's format." default:"standard"`
	Key       []string `help:"env:NAME or file:PATH of the endpoint's key; may be repeated. Without one, a fresh key is made and shown."`
	ForwardTo string   `help:"Send what verifies on to this URL, headers and all."`
}

// Run serves until an interrupt.
func (cmd *listenCommand) Run(c *console) error {
	f, ok := format.ByName(cmd.Format)
	if !ok {
		return fmt.Errorf("format %s is not in this program (see countersign formats)", cmd.Format)
	}
	keys, err := readKeys(c, cmd.Key)
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		text, k, err := signing.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		c.printf("give the endpoint this key: %s\n", text)
		keys = signing.Keyring{k}
	}
	if err := signing.CheckKeys(f.Scheme, keys); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", cmd.Addr) //nolint:noctx // bound once at start
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	c.printf("listening on http://%s\n", ln.Addr())
	p := &listener{console: c, format: f, keys: keys, forward: cmd.ForwardTo}
	server := &http.Server{Handler: p, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second}
	stop := context.AfterFunc(c.ctx, func() { server.Close() }) //nolint:errcheck,gosec // ending
	defer stop()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("listen: %w", err)
	}
	return nil
}

// listener is a partner that verifies and prints.
type listener struct {
	*console
	format  format.Format
	keys    signing.Keyring
	forward string
}

// ServeHTTP implements http.Handler.
func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, "body", http.StatusBadRequest)
		return
	}
	if err := l.format.Scheme.Verify(r.Header, body, l.keys, time.Now()); err != nil {
		for _, step := range signing.Explain(l.format.Scheme, r.Header, body, l.keys, time.Now()) {
			l.printf("refused: %s\n", step)
		}
		http.Error(w, "signature", http.StatusUnauthorized)
		return
	}
	var compact bytes.Buffer
	if json.Compact(&compact, body) != nil {
		compact.Reset()
		compact.Write(body)
	}
	l.printf("%s verified %s %s\n", time.Now().Format("15:04:05.000"), r.Header.Get("Webhook-Id"), compact.String())
	if l.forward == "" {
		return
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, l.forward, bytes.NewReader(body))
	if err != nil {
		http.Error(w, "forward", http.StatusBadGateway)
		return
	}
	req.Header = r.Header.Clone()
	code, _, err := post(req)
	if err != nil {
		l.printf("not forwarded: %v\n", err)
		http.Error(w, "forward", http.StatusBadGateway)
		return
	}
	w.WriteHeader(code)
}
