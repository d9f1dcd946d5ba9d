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

// callback makes the request a provider would send: a sample body, signed with the source's newest key.
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
	return req, nil
}

// post sends a callback and returns the status and its text.
func post(req *http.Request) (int, string, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", fmt.Errorf("send the callback: %w", err)
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

// Run sends one signed sample.
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
