package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"countersign/ingest"
	"countersign/relay/control/client"
)

// What an operator's shell says once, for all of its commands.
const (
	urlVariable   = "COUNTERSIGN_URL"
	tokenVariable = "COUNTERSIGN_TOKEN"
)

// gatewayFlags are those of every command that asks a running gateway. A URL and a token are all
// that it needs: then no config is read, and no secret of a provider.
type gatewayFlags struct {
	URL string `help:"URL of the gateway's control API, such as https://gateway.example:8481; default COUNTERSIGN_URL, then the config." aliases:"gateway" placeholder:"URL" xor:"where" group:"gateway"`
	accessFlags
}

// besideFlags are the same for commands whose --url is something else: there the gateway is named
// with --gateway, which every command knows.
type besideFlags struct {
	Gateway string `help:"URL of the gateway's control API (other commands call it --url too); default COUNTERSIGN_URL, then the config." placeholder:"URL" xor:"where" group:"gateway"`
	accessFlags
}

// accessFlags are how a gateway is spoken to.
type accessFlags struct {
	TokenFile string `help:"File with the token, - is standard input; else COUNTERSIGN_TOKEN, else, where the config is read, the one in its data directory." placeholder:"FILE" type:"path" group:"gateway"`
	CA        string `name:"ca" help:"PEM file with the CA certificates for an https URL, instead of the system's." placeholder:"FILE" type:"path" group:"gateway"`
	Insecure  bool   `help:"Allow sending the token over plain http to another machine, where the network can read it." group:"gateway"`
	Config    string `help:"The config of a gateway on this machine. Only its control address and its data directory are read." placeholder:"countersign.yaml" type:"path" xor:"where" group:"gateway"`

	tries int // of each call; 0: as the client has it
}

func (f *gatewayFlags) client(c *console) (*client.Client, error) {
	return f.accessFlags.client(c, f.URL)
}

func (f *besideFlags) client(c *console) (*client.Client, error) {
	return f.accessFlags.client(c, f.Gateway)
}

// client is what speaks to the gateway that is meant.
func (f *accessFlags) client(c *console, base string) (cl *client.Client, err error) {
	cl, err = f.find(c, base)
	c.asked = cl
	return cl, err
}

// find speaks to the control listener of a running gateway: the one at the URL, else the one that
// the config names, else the one of COUNTERSIGN_URL, else the one of the config in this directory.
func (f *accessFlags) find(c *console, base string) (*client.Client, error) {
	if base = f.named(c, base); base != "" {
		return f.remote(c, base)
	}
	cfg, err := f.here(c)
	if err != nil {
		return nil, err
	}
	token, err := f.token(c, filepath.Join(cfg.Data, tokenFile))
	if err != nil {
		return nil, err
	}
	return client.New(client.Options{Base: "http://" + reachable(cfg.Listen.Control), Token: token, HTTP: caller("http", nil), Tries: f.tries}), nil
}

// named is the URL of the gateway that is meant; "": the config says where it is.
func (f *accessFlags) named(c *console, flag string) string {
	if flag == "" && f.Config == "" {
		flag, _ = c.env(urlVariable)
	}
	return flag
}

// remote is a client of the gateway at a URL. Nothing of a config is read for it.
func (f *accessFlags) remote(c *console, base string) (*client.Client, error) {
	u, err := f.checkURL(base)
	if err != nil {
		return nil, err
	}
	token, err := f.token(c, "")
	if err != nil {
		return nil, err
	}
	var roots *x509.CertPool
	if f.CA != "" {
		if roots, err = ingest.ReadAuthorities(f.CA); err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
	}
	return client.New(client.Options{Base: u.String(), Token: token, HTTP: caller(u.Scheme, roots), Tries: f.tries}), nil
}

// caller makes the calls: a token in clear goes through no proxy, and any goes only where it was
// meant to. roots are who may vouch for the other end; nil: the system's.
func caller(scheme string, roots *x509.CertPool) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is one
	t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if scheme == "http" {
		t.Proxy = nil
	}
	return &http.Client{Transport: t, CheckRedirect: stay}
}

// stay keeps a token where it was meant to go.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// checkURL refuses what is no base of a control API, and what would show the token to others.
func (f *accessFlags) checkURL(base string) (*url.URL, error) {
	u, err := url.Parse(base)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, usageError("the gateway's URL " + show(base) + " is none; write it like https://gateway.example:8481 or http://127.0.0.1:8481")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, usageError("the gateway's URL has more than scheme, host, port and path; the token goes in " + tokenVariable + " or --token-file")
	case u.Scheme == "http" && !thisMachine(u.Hostname()) && !f.Insecure:
		return nil, usageError("the token would go to " + u.Host + " over http, where whoever is on the way can read it; use https, a tunnel to 127.0.0.1, or --insecure if the way is yours")
	}
	return u, nil
}

// thisMachine reports whether what is sent to a host leaves the machine never.
func thisMachine(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

// token is whose word it is that orders something. own is the file of the data directory; "": there
// is none.
func (f *accessFlags) token(c *console, own string) (string, error) {
	if f.TokenFile != "" {
		b, err := readInput(c, f.TokenFile)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		return givenToken("--token-file "+f.TokenFile, string(b))
	}
	if text, ok := c.env(tokenVariable); ok {
		return givenToken(tokenVariable, text)
	}
	if own == "" {
		return "", usageError("no token: set " + tokenVariable + ", or name a file with --token-file")
	}
	token, err := readToken(own)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return "", fmt.Errorf("no token: set %s, name a file with --token-file, or run as who may read %s: %w", tokenVariable, own, err)
	}
	return token, err
}

// givenToken looks whether a token is whole. One that was not made here may be as short as its
// owner dared.
func givenToken(from, text string) (string, error) {
	text = strings.TrimRight(text, "\r\n")
	if why := tokenFault(text); why != "" && (text == "" || len(text) >= tokenOwn || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })) {
		if text == "" {
			why = "is empty"
		}
		return "", fmt.Errorf("the token of %s %s", from, why)
	}
	return text, nil
}

// here reads of the config where its gateway listens and keeps its data. A directory without one is
// no operator's: both ways out are named.
func (f *accessFlags) here(c *console) (*Config, error) {
	path := cmp.Or(f.Config, defaultPath)
	if _, err := os.Stat(path); f.Config == "" && errors.Is(err, fs.ErrNotExist) {
		return nil, usageError("which gateway? Name it with --url or " + urlVariable + ", and give a token in " + tokenVariable + " or --token-file; or run where its " + defaultPath + " is, or name that with --config")
	}
	cfg, err := whereabouts(c, path)
	if bad, ok := errors.AsType[*configError](err); ok {
		bad.instead = "; or name the gateway with --url, and give a token in " + tokenVariable + " or --token-file"
	}
	return cfg, err
}

// configError is a config that cannot be used, with all that is wrong with it.
type configError struct {
	path     string
	problems []problem
	instead  string // what else would do; "": nothing
}

// Error implements error.
func (e *configError) Error() string {
	return fmt.Sprintf("%d problem(s) in %s%s", len(e.problems), e.path, e.instead)
}

// whereabouts reads a config as far as it says where its gateway is, however wrong the rest may be,
// and without a secret of it: whoever asks need not have them.
func whereabouts(c *console, path string) (*Config, error) {
	l := newLoader(path, c.env, known{})
	if root := l.parse(); root != nil {
		l.place(root)
	}
	if len(l.problems) > 0 {
		return nil, &configError{path: path, problems: l.problems}
	}
	return l.cfg, nil
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
