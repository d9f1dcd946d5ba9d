package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

// client speaks to the control listener of a running gateway, found through its config.
type client struct {
	base  string
	token string
}

// client reads the token from COUNTERSIGN_TOKEN or from the gateway's data directory.
func (f configFlag) client(c *console) (*client, error) {
	cfg, err := f.load(c)
	if err != nil {
		return nil, err
	}
	return newClient(c, cfg)
}

func newClient(c *console, cfg *Config) (_ *client, err error) {
	token, ok := c.env("COUNTERSIGN_TOKEN")
	if !ok {
		path := filepath.Join(cfg.Data, tokenFile)
		if token, err = readToken(path); errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("no token: set COUNTERSIGN_TOKEN, or run as who may read %s: %w", path, err)
		}
		if err != nil {
			return nil, err
		}
	}
	return &client{base: "http://" + reachable(cfg.Listen.Control), token: token}, nil
}

// reachable is where an address that is listened on is called from the same machine: all addresses are none to call, and no name to be called by.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if a, aerr := netip.ParseAddr(host); err != nil || host != "" && (aerr != nil || !a.IsUnspecified()) {
		return address
	}
	if strings.Contains(host, ":") {
		return net.JoinHostPort("::1", port)
	}
	return net.JoinHostPort("127.0.0.1", port)
}

// segment is a name as one segment of a path: one of dots only would otherwise be taken for a step in a file system, by whoever stands between us and the gateway.
func segment(name string) string {
	if strings.Trim(name, ".") == "" {
		return strings.ReplaceAll(name, ".", "%2E")
	}
	return url.PathEscape(name)
}

// call makes one request and decodes the answer into out.
func (cl *client) call(ctx context.Context, method, path string, in, out any) error {
	return cl.do(ctx, method, path, "", in, out)
}

// post makes one request that is carried out once, however often it is sent with the same key; empty: every time.
func (cl *client) post(ctx context.Context, path, key string, in, out any) error {
	return cl.do(ctx, http.MethodPost, path, key, in, out)
}

func (cl *client) do(ctx context.Context, method, path, key string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, cl.base+path, body)
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+cl.token)
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("no gateway answers at %s; is it running with this config? %w", cl.base, err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		var e struct {
			Error configError
		}
		if json.Unmarshal(b, &e) == nil && len(e.Error.Problems) > 0 {
			return &e.Error
		}
		if e.Error.Message != "" {
			return errors.New(escape(e.Error.Message, ""))
		}
		return fmt.Errorf("the gateway answered %s", resp.Status)
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}
