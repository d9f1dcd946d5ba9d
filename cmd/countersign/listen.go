package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"countersign/relay/format"
	"countersign/signing"
)

type listenCommand struct {
	Addr      string   `help:"The address to listen on." default:"127.0.0.1:8490"`
	Format    string   `help:"The endpoint's format." default:"standard"`
	Key       []string `help:"env:NAME or file:PATH of the endpoint's key; may be repeated. Without one, listen creates its own key and keeps it."`
	KeyFile   string   `help:"Where listen keeps its own key, created on first use with mode 0600; default: the user's config directory." type:"path"`
	ForwardTo string   `help:"Forward verified webhooks to this URL, with their headers."`
}

// Run serves until an interrupt.
func (cmd *listenCommand) Run(c *console) error {
	f, ok := format.ByName(cmd.Format)
	if !ok {
		return fmt.Errorf("format %s is not in this program (see countersign formats)", cmd.Format)
	}
	keys, refs, err := cmd.keyring(c)
	if err != nil {
		return err
	}
	if err := signing.CheckKeys(f.Scheme, keys); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", cmd.Addr) //nolint:noctx // bound once at start
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	cmd.introduce(c, ln.Addr(), refs)
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
	if r.Method == http.MethodHead { // whoever asks whether somebody is there
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
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
