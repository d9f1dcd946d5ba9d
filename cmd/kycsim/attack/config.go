package attack

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Tokens of Config, by what they may do.
var tokens = []struct{ name, scope, partner string }{
	{"vera", "viewer", ""},
	{"otto", "operator", ""},
	{"ada", "admin", ""},
	{"paula", "partner", "acme"},
	{"quentin", "partner", "beta"},
}

// token is what somebody of that name sends.
func token(name string) string { return "token-of-" + name + "-in-an-attack-of-the-gateway" }

// Sealed writes a certificate of the gateway's own into dir, and returns what Config says of it,
// and who judges it.
func Sealed(dir string) (line string, roots *x509.CertPool, err error) {
	_, path, err := authority(dir)
	if err != nil {
		return "", nil, err
	}
	b, err := os.ReadFile(path) //nolint:gosec // written just now
	if err != nil {
		return "", nil, err
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(b)
	return fmt.Sprintf("tls: {cert: file:%s, key: file:%s}\n", path, filepath.Join(dir, "authority.key")), roots, nil
}

// Config writes what a gateway under attack is configured with into dir, and returns the file's
// path. more is what Sealed says; "": it speaks plain HTTP.
func Config(dir, callbacks, control, plaid, more string) (string, error) {
	file := func(name, text string) (string, error) {
		path := filepath.Join(dir, name)
		return path, os.WriteFile(path, []byte(text+"\n"), 0o600)
	}
	key, err := file("genuine.key", genuineKey)
	if err != nil {
		return "", fmt.Errorf("prepare the gateway: %w", err)
	}
	segment, err := file("path.token", pathToken)
	if err != nil {
		return "", fmt.Errorf("prepare the gateway: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "mode: sandbox\ndata: %s\nlisten: {callbacks: %s, control: %s}\n%ssources:\n", filepath.Join(dir, "data"), callbacks, control, more)
	for _, more := range []string{
		"{name: open", "{name: elsewhere, allow: [192.0.2.0/24]", "{name: secret, token: \"file:" + segment + "\"", "{name: small, max_body: 64KiB", "{name: seldom, rate: 5",
	} {
		fmt.Fprintf(&b, "  - %s, provider: sumsub, keys: [\"file:%s\"], partner: acme}\n", more, key)
	}
	b.WriteString("  - {name: scarce, provider: jumio, partner: acme, allow: [127.0.0.0/8], rate: 0.001}\n")
	fmt.Fprintf(&b, "  - {name: published, provider: plaid_idv, partner: acme, api: {url: \"http://%s\", user: u, key: \"file:%s\"}}\n", plaid, key)
	fmt.Fprintf(&b, "partners:\n  - {id: acme, endpoints: [{id: acme-main, url: \"http://127.0.0.1:9/hooks?secret=of-acme\"}]}\n  - {id: beta}\ntokens:\n")
	for _, t := range tokens {
		sum := sha256.Sum256([]byte(token(t.name)))
		fmt.Fprintf(&b, "  - {name: %s, scope: %s, sha256: %s", t.name, t.scope, hex.EncodeToString(sum[:]))
		if t.partner != "" {
			fmt.Fprintf(&b, ", partner: %s", t.partner)
		}
		b.WriteString("}\n")
	}
	return file("countersign.yaml", b.String())
}
