package attack

import (
	"crypto/sha256"
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

// Config writes what a gateway under attack is configured with into dir, and returns the file's path.
func Config(dir, callbacks, control, plaid string) (string, error) {
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
	fmt.Fprintf(&b, "mode: sandbox\ndata: %s\nlisten: {callbacks: %s, control: %s}\nsources:\n", filepath.Join(dir, "data"), callbacks, control)
	for _, more := range []string{
		"{name: open", "{name: elsewhere, allow: [192.0.2.0/24]", "{name: secret, token: \"file:" + segment + "\"", "{name: small, max_body: 64KiB", "{name: seldom, rate: 5",
	} {
		fmt.Fprintf(&b, "  - %s, provider: sumsub, keys: [\"file:%s\"], partner: acme}\n", more, key)
	}
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
