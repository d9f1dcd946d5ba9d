package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"countersign/outbox/store"
)

// TestWaiting: while a file is read, which takes long if it is large, the gateway says how far it
// is; a stop is a stop; and then it serves.
func TestWaiting(t *testing.T) {
	_, config := house(t, "http://127.0.0.1:9/hook")
	cfg, problems := loadConfig(config, func(string) (string, bool) { return "", false }, knownNames())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	newGatewayNow := func(ctx context.Context, examiner store.Examiner) (*gateway, error) {
		return openGateway(cfg, roleAll, outside{ctx: ctx, log: slog.New(slog.DiscardHandler), terminal: io.Discard, examiner: examiner})
	}
	ask := func(path string, code int, want string) {
		t.Helper()
		resp, err := http.Get("http://" + cfg.Listen.Control + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != code || !strings.Contains(string(b), want) {
			t.Errorf("%s: %d %.200s, %v; want %d, %q", path, resp.StatusCode, b, err, code, want)
		}
	}
	in, out := make(chan struct{}), make(chan struct{})
	slow := func(ctx context.Context, path, to string, tick func(store.Progress)) (store.Report, error) {
		tick(store.Progress{Step: store.StepCheck, Done: 437, Total: 1000})
		close(in)
		select {
		case <-out:
			return examineApart(ctx, path, to, tick)
		case <-ctx.Done():
			return store.Report{}, ctx.Err()
		}
	}
	type opened struct {
		g   *gateway
		err error
	}
	open := func(ctx context.Context) chan opened {
		c := make(chan opened, 1)
		go func() {
			g, err := newGatewayNow(ctx, slow)
			c <- opened{g, err}
		}()
		return c
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := open(ctx)
	<-in
	ask("/healthz", 200, "ok")
	ask("/readyz", 503, "checking the file, 43 %")
	ask("/metrics", 200, "go_goroutines")
	ask("/v1/audit", 503, "checking the file, 43 %")
	cancel()
	if o := <-c; !errors.Is(o.err, context.Canceled) {
		t.Fatalf("stopped meanwhile: %v", o.err)
	}
	in = make(chan struct{})
	c = open(t.Context())
	<-in
	ask("/readyz", 503, "checking the file, 43 %")
	close(out)
	o := <-c
	if o.err != nil {
		t.Fatal(o.err)
	}
	ask("/readyz", 200, "ready")
	ask("/v1/audit", 401, "")
	if err := o.g.close(); err != nil {
		t.Error(err)
	}
}
