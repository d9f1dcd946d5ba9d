package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"strings"

	"countersign/relay/control/client"
)

// client speaks to the control listener of a running gateway, found through its config. It reads
// the token from COUNTERSIGN_TOKEN or from the gateway's data directory.
func (f configFlag) client(c *console) (*client.Client, error) {
	cfg, err := f.load(c)
	if err != nil {
		return nil, err
	}
	return newClient(c, cfg)
}

func newClient(c *console, cfg *Config) (_ *client.Client, err error) {
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
	return client.New(client.Options{Base: "http://" + reachable(cfg.Listen.Control), Token: token}), nil
}

// reachable is where an address that is listened on is called from the same machine: all addresses
// are none to call, and no name to be called by.
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

// pageFlags are the flags of every list.
type pageFlags struct {
	Cursor string `help:"Go on where a page ended: what it printed behind more."`
	Limit  int    `help:"At most so many, up to 1000." default:"100"`
}

func (p pageFlags) page() client.Page { return client.Page{Cursor: p.Cursor, Limit: p.Limit} }

// more says how to go on where a list has not been printed to its end.
func (c *console) more(next string) {
	if next != "" {
		c.printf("more: --cursor %s\n", next)
	}
}
