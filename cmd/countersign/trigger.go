package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"countersign/ingest"
	"countersign/ingest/provider"
	"countersign/relay/control/client"
	"countersign/signing"
)

type triggerCommand struct {
	configFlag
	jsonFlag
	Source  string `arg:"" help:"A source of the config."`
	Event   string `arg:"" help:"The name of a sample; countersign providers NAME lists them."`
	Subject string `help:"The subject's id." default:"user-001"`
	Ref     string `help:"The provider's id of the person; derived from the subject's id by default."`
	Session string `help:"The provider's id of the session; derived from the subject's id by default."`
}

// Run sends one signed sample. It counts as the provider's own word, so it is for test people only:
// that is asked of the config, of the running gateway, and by the gateway itself.
func (cmd *triggerCommand) Run(c *console) error {
	cfg, err := cmd.load(c)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(cfg.Sources, func(s SourceConfig) bool { return s.Name == cmd.Source })
	if i < 0 {
		names := make([]string, len(cfg.Sources))
		for i := range cfg.Sources {
			names[i] = cfg.Sources[i].Name
		}
		return fmt.Errorf("no source %s in %s; %sthere are %s", cmd.Source, cfg.Path, didYouMean(cmd.Source, names), strings.Join(names, ", "))
	}
	sc := &cfg.Sources[i]
	if err := onlyForTests(cfg, sc); err != nil {
		return err
	}
	if all := provider.SampleEvents(sc.Provider); len(all) > 0 && !slices.Contains(all, cmd.Event) {
		return fmt.Errorf("%s has no sample %s; %sthere are %s", sc.Provider, cmd.Event, didYouMean(cmd.Event, all), strings.Join(all, ", "))
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
	if err := cmd.say(c, map[string]any{"object": "trigger", "source": cmd.Source, "event": cmd.Event, "code": code, "answer": text}, "%d %s\n", code, text); err != nil {
		return err
	}
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

// saysSandbox asks the gateway at the control address for its mode: it may run with another config
// than this one, or with another environment.
func saysSandbox(ctx context.Context, control string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	v, err := client.New(client.Options{Base: "http://" + control, Tries: 1}).Health(ctx)
	if errors.Is(err, client.ErrUnreachable) {
		return fmt.Errorf("no gateway at %s says in which mode it is, so nothing was sent: %w", control, err)
	}
	if err != nil || v.Mode != modeSandbox {
		return fmt.Errorf("the gateway at %s does not say that it is in the sandbox (mode %q), so nothing was sent", control, v.Mode)
	}
	return nil
}

// newCallback makes the request a provider would send: a sample body, signed with the source's
// newest key, and marked as made here.
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
